package mutants

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	mutantsFlag  = flag.Int("mutants", 10, "number of mutants to draw")
	seedFlag     = flag.Uint64("seed", 1, "seed of the draw and of the campaigns")
	limitFlag    = flag.Duration("limit", time.Minute, "time that a campaign may take to find one mutant")
	totalFlag    = flag.Duration("total", 0, "time for all mutants: 0 is two minutes for ten mutants or fewer and no bound for more. Those that are cut short count as undecided")
	parallelFlag = flag.Int("probes", runtime.NumCPU(), "number of probes that run at a time")
	onlyFlag     = flag.String("only", "", "draw, or plant, only what has this in file, function, kind or name")
	controlFlag  = flag.Duration("control", 0, "time for the unmutated model: 0 is -limit, or ten seconds for ten mutants or fewer")
)

// The rooms that are damaged, and the probe.
const (
	base      = "emulator/x86"
	probe     = "fuzz/mutants/internal/probe"
	tablesDir = "emulator/isa"
	decodeDir = "emulator/decode"
)

var rooms = []string{"emulator", "emulator/decode", "emulator/exec", "emulator/machine", "emulator/step"}

// drawnRooms says how often each room is drawn from. The machine is the
// campaign's reference Bus, not the model: flaws are planted there, mutants
// are not drawn.
var drawnRooms = Weights{"emulator": 2, "emulator/decode": 8, "emulator/exec": 20, "emulator/isa": 6, "emulator/step": 1}

// damage is what the tests of this file share: the source, loaded once, and
// the probe with all flaws and mutants in it, built once.
type damage struct {
	source   *Source
	tables   *Tables
	scope    *Scope
	planted  []*Mutant
	drawn    []*Mutant
	rejected int
	// sites is the number of mutants that could have been drawn.
	sites  int
	runner *Runner
	built  string
	// control is the run of the unmutated model.
	control *Verdict
}

var work string // a folder for the whole run

func TestMain(m *testing.M) {
	flag.Parse()
	var err error
	if work, err = os.MkdirTemp("", "mutants"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(work)
	os.Exit(code)
}

var load = sync.OnceValues(func() (d *damage, err error) {
	d = &damage{scope: ModelScope()}
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	if d.source, err = Load(filepath.Dir(filepath.Dir(dir)), rooms...); err != nil {
		return nil, err
	}
	d.tables, err = d.source.LoadTables(work, tablesDir, decodeDir, "gp.txt")
	return d, err
})

// build plants and draws, builds the probe and runs the unmutated model in it.
var build = sync.OnceValues(func() (*damage, error) {
	d, err := load()
	if err != nil {
		return nil, err
	}
	if d.planted, err = d.source.Plant(d.tables, Flaws); err != nil {
		return nil, err
	}
	var candidates []*Mutant
	for _, m := range append(d.source.Candidates(d.scope), d.tables.Candidates(d.scope)...) {
		if drawnRooms[m.Package] > 0 && strings.Contains(m.Key()+"\n"+m.Kind, *onlyFlag) {
			candidates = append(candidates, m)
		}
	}
	d.sites = len(candidates)
	var w *Woven
	if w, d.drawn, d.rejected, err = d.source.Draw(base, d.planted, candidates, drawnRooms, *mutantsFlag, *seedFlag); err != nil {
		return nil, err
	}
	start := time.Now()
	program, err := d.source.Build(work, probe, w.Files)
	if err != nil {
		return nil, err
	}
	d.built = fmt.Sprintf("%d flaws and %d mutants in one program, built in %.1f s", len(d.planted), len(d.drawn), time.Since(start).Seconds())
	d.runner = &Runner{
		Program: program, Limit: *limitFlag, Grace: 15 * time.Second, Seed: *seedFlag, Parallel: *parallelFlag,
		Own: func(m *Mutant) (string, error) { return d.source.BuildOwn(work, probe, m) },
	}
	clean := *d.runner
	if clean.Limit = *controlFlag; clean.Limit == 0 {
		if clean.Limit = *limitFlag; *mutantsFlag <= 10 {
			clean.Limit = min(clean.Limit, 10*time.Second)
		}
	}
	d.control = clean.Run(context.Background(), nil)
	return d, nil
})

// loaded returns what is damaged, and the tables.
func loaded(t *testing.T) *damage {
	t.Helper()
	if testing.Short() {
		t.Skip("builds and runs campaigns; not in short mode")
	}
	d, err := load()
	require.NoError(t, err)
	return d
}

// ready returns the built probe. The test ends here if the unmutated model is
// not clean in it.
func ready(t *testing.T) *damage {
	t.Helper()
	loaded(t)
	d, err := build()
	require.NoError(t, err)
	if d.control.End == Unavailable {
		if strings.Contains(os.Getenv("RINGFENCE_REQUIRE"), "silicon") {
			t.Fatalf("RINGFENCE_REQUIRE: %s", d.control)
		}
		t.Skip(d.control)
	}
	t.Log(d.built)
	t.Log("control: ", d.control)
	if d.control.End != Survived || d.control.Answer.Cases == 0 {
		t.Fatalf("the unmutated model is not clean, so that finding a mutant would mean nothing\n%s", d.control.Output)
	}
	return d
}

// TestFlaws plants each named flaw; the default campaign must find every one.
func TestFlaws(t *testing.T) {
	d := ready(t)
	var planted []*Mutant
	for _, m := range d.planted {
		if strings.Contains(m.Name+" "+m.File.Rel, *onlyFlag) {
			planted = append(planted, m)
		}
	}
	found := 0
	d.runner.RunAll(context.Background(), planted, func(v *Verdict) {
		if v.Killed() {
			found++
			t.Logf("%s\n\t%s", v, v.Mutant.Breaks)
			return
		}
		t.Errorf("%s\n\t%s\n%s", v, v.Mutant.Breaks, v.Mutant.Diff())
	})
	t.Logf("%d of %d flaws found", found, len(planted))
}

// TestMutants draws mutants by a seed. All but those that are explained must
// be killed.
func TestMutants(t *testing.T) {
	d := ready(t)
	explained, err := parseExplained(explainedText)
	require.NoError(t, err)
	alone := 0
	for _, m := range d.drawn {
		if m.own != nil {
			alone++
		}
	}
	t.Logf("%d mutants drawn from %d sites by seed %d; %d are built alone", len(d.drawn), d.sites, *seedFlag, alone)
	ctx, total := context.Background(), *totalFlag
	if total == 0 && *mutantsFlag <= 10 {
		total = 2 * time.Minute
	}
	if total > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, total)
		defer cancel()
	}
	report := &Report{Rejected: d.rejected, Explained: explained, Scope: d.scope}
	d.runner.RunAll(ctx, d.drawn, func(v *Verdict) {
		report.Verdicts = append(report.Verdicts, v)
		t.Logf("%d %s: %s", len(report.Verdicts), v.Mutant.Kind, v)
		switch v.End {
		case Unavailable, Broken:
			t.Errorf("%s\n%s", v, v.Output)
		}
		if e := explained[v.Mutant.Key()]; e != nil && v.Killed() {
			t.Errorf("explained.txt, line %d: called equivalent, but %s", e.line, v)
		}
	})
	var out strings.Builder
	report.Write(&out, d.runner)
	t.Log("\n" + out.String())
	if n := len(d.drawn) - len(report.Verdicts); n > 0 {
		t.Logf("%d mutants were not begun in the time given", n)
	}
	if judge := report.Judge(d.runner); judge != "" {
		t.Error(judge)
	}
}

// TestFlawsMatch holds every flaw to its line without building anything.
func TestFlawsMatch(t *testing.T) {
	d := loaded(t)
	seen := map[string]bool{}
	for _, f := range Flaws {
		require.False(t, seen[f.Name], "two flaws are named %s", f.Name)
		seen[f.Name] = true
		if _, err := d.source.Plant(d.tables, []Flaw{f}); err != nil {
			t.Error(err)
		}
	}
}

// TestScope prints what is not drawn, and the places that name no code any
// more. They do no harm: what they named is drawn.
func TestScope(t *testing.T) {
	d := loaded(t)
	scope := ModelScope()
	n := len(d.source.Candidates(scope)) + len(d.tables.Candidates(scope))
	t.Logf("%d sites are drawn from\n%s", n, scope)
	for _, idle := range scope.Idle() {
		t.Logf("names nothing, and can go: %s", idle)
	}
	require.Greater(t, n, 5000)
}
