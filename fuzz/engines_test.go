package fuzz

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/seed-4e121ece/ringfence/corpus"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/fuzz/diff"
	"github.com/seed-4e121ece/ringfence/fuzz/gen"
	"github.com/seed-4e121ece/ringfence/fuzz/store"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/seed-4e121ece/ringfence/oracle/external"
	"github.com/seed-4e121ece/ringfence/oracle/external/clib"
	"github.com/seed-4e121ece/ringfence/oracle/model"
	"github.com/seed-4e121ece/ringfence/oracle/silicon"
	"github.com/seed-4e121ece/ringfence/oracle/x86asm"
)

// states is how many states of an instruction run in one execution.
const states = 24

// bench is what an execution works with. A process has one of each target: the
// fuzzer runs one execution at a time in a process, and starts several
// processes.
type bench struct {
	mu  sync.Mutex
	gen *gen.Generator
	// modes has a generator for 64-bit code, which is gen, for 32-bit and for
	// 16-bit code.
	modes  [3]*gen.Generator
	cases  []oracle.Case
	differ *diff.Differ
	// why says why there is no CPU to compare with.
	why   error
	known map[string]bool
}

var theBench = sync.OnceValue(func() *bench {
	p := silicon.Profile()
	b := &bench{gen: gen.New(gen.Config{Profile: p}), cases: gen.NewCases(states), known: map[string]bool{}}
	b.modes = [3]*gen.Generator{
		b.gen, gen.New(gen.Config{Profile: p, Mode: x86.Compat32}), gen.New(gen.Config{Profile: p, Mode: x86.Compat16}),
	}
	var reference oracle.Executor
	// The child of the CPU's executor ends with this process.
	if s, err := silicon.New(); err != nil {
		b.why = err
	} else {
		reference = s
	}
	b.differ = diff.New(model.New(p), reference, p, states, len(b.cases[0].Memory))
	return b
})

// theDecoders are the model against every decoder that can be had here: x86asm,
// and the C libraries, each in a process that ends with this one. What is missing
// of those that RINGFENCE_REQUIRE names is an error.
var theDecoders = sync.OnceValues(func() ([]*diff.Decoders, error) {
	subject := func() oracle.Decoder { return model.NewDecoder(x86asm.Profile()) }
	all := []*diff.Decoders{diff.NewDecoders(subject(), x86asm.New(), x86asm.Quirks())}
	for i := range clib.Libraries {
		l := &clib.Libraries[i]
		if l.Quirks == nil {
			continue
		}
		d, err := libraryDecoder(l.Name)
		switch {
		case err == nil:
			all = append(all, diff.NewDecoders(subject(), d, l.Quirks()))
		case slices.Contains(strings.Split(os.Getenv("RINGFENCE_REQUIRE"), ","), l.Name):
			return nil, fmt.Errorf("RINGFENCE_REQUIRE asks for %s: %w", l.Name, err)
		}
	}
	return all, nil
})

func libraryDecoder(name string) (oracle.Decoder, error) {
	argv, err := clib.Command(name)
	if err != nil {
		return nil, err
	}
	return external.NewDecoder(name, argv)
}

// setUp returns the bench, or skips the target where the CPU is needed and not
// to be had; RINGFENCE_REQUIRE=silicon makes that a failure.
func setUp(tb testing.TB, needsCPU bool) *bench {
	b := theBench()
	if b.why != nil {
		if slices.Contains(strings.Split(os.Getenv("RINGFENCE_REQUIRE"), ","), "silicon") {
			tb.Fatalf("RINGFENCE_REQUIRE asks for silicon: %v", b.why)
		}
		if needsCPU {
			tb.Logf("no CPU to compare with, so only the model's promises and decoders are checked: %v", b.why)
		}
	}
	var err error
	if b.known, err = readKnown(filepath.Join("testdata", "known")); err != nil {
		tb.Fatal(err)
	}
	return b
}

// readKnown reads a list of signatures: the first word of each line that is
// not empty or a comment.
func readKnown(path string) (map[string]bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("known divergences: %w", err)
	}
	defer f.Close()
	known := map[string]bool{}
	for s := bufio.NewScanner(f); s.Scan(); {
		if w := strings.Fields(s.Text()); len(w) > 0 && !strings.HasPrefix(w[0], "#") {
			known[w[0]] = true
		}
	}
	return known, nil
}

// addSeeds gives the fuzzer a sample of the corpus: every step-th 64-bit seed
// whose instruction the generator would deal, with a header of zeros.
func addSeeds(f *testing.F, header, step int) {
	n := 0
	for s := range corpus.Seeds() {
		if s.Mode != 64 {
			continue
		}
		if n++; n%step == 0 {
			f.Add(append(make([]byte, header), s.Bytes...))
		}
	}
}

// report records a divergence and fails the test if it is new.
func (b *bench) report(t *testing.T, d *oracle.Divergence) {
	t.Helper()
	if b.known[d.Signature] {
		return
	}
	dir := os.Getenv("RINGFENCE_OUT")
	if dir == "" {
		dir = filepath.Join(os.TempDir(), "ringfence-divergences")
	}
	s, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	d.Replay = "ringfence replay " + filepath.ToSlash(s.Path(d.Signature))
	json, err := d.JSON()
	if err != nil {
		t.Fatal(err)
	}
	added, err := s.Add(store.Record{Signature: d.Signature, JSON: json, Readme: d.Readme()})
	if err != nil {
		t.Fatal(err)
	}
	if !added && os.Getenv("RINGFENCE_OUT") != "" {
		return // the folder that was asked for knows it
	}
	t.Errorf("%s: %s and %s differ in %s (%s and %s): divergence %s\nreplay: go run ./cmd/%s\ncase: %s", d.Disassembly, d.Subject, d.Reference,
		strings.Join(d.Fields, ", "), d.Outcomes[0], d.Outcomes[1], d.Signature, d.Replay, d.Case)
}
