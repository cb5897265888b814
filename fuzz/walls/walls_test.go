//go:build linux

package walls

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator"
	"github.com/seed-4e121ece/ringfence/emulator/depriv"
	"github.com/seed-4e121ece/ringfence/emulator/depriv/transport"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/fuzz/gen"
	"github.com/seed-4e121ece/ringfence/internal/hostcpu"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/seed-4e121ece/ringfence/oracle/model"
	"github.com/seed-4e121ece/ringfence/oracle/walled"
)

var (
	cases     = flag.Int("walls.cases", 2000, "cases over each transport and protocol")
	endurance = flag.Duration("walls.endurance", 0, "how long all transports work, at the same time, with their workers killed and stopped again and again")
	every     = flag.Duration("walls.every", time.Second, "how long a worker lives on average")
)

const batch = 256

// names are the engines: every transport with every protocol that it has.
func names() []string {
	var all []string
	for _, k := range transport.Kinds() {
		all = append(all, walled.Prefix+k.String())
		for _, p := range depriv.Protocols()[1:] {
			if k != transport.Call || p != depriv.Hooks {
				all = append(all, walled.Prefix+k.String()+"+"+p.String())
			}
		}
	}
	return all
}

func open(t *testing.T, name string, finding func(depriv.Finding)) *walled.Executor {
	t.Helper()
	return openWith(t, name, depriv.Config{Finding: finding, Timeout: time.Minute})
}

func openWith(t *testing.T, name string, cfg depriv.Config) *walled.Executor {
	t.Helper()
	cfg.Profile = hostcpu.Profile()
	e, err := walled.New(name, cfg, model.WithAccesses())
	if err != nil {
		if slices.Contains(strings.Split(os.Getenv("RINGFENCE_REQUIRE"), ","), "depriv") {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	return e
}

// runner gives the same cases to both sides.
type runner struct {
	gen         []*gen.Generator // one a mode
	cases       []oracle.Case
	plain, wall []oracle.Result
	inProcess   *model.Executor
}

func newRunner(seed uint64) *runner {
	p := hostcpu.Profile()
	r := &runner{
		cases: gen.NewCases(batch), plain: make([]oracle.Result, batch), wall: make([]oracle.Result, batch),
		// The hooks that repeat do not cross: each iteration is a step.
		inProcess: model.New(p, model.WithAccesses(), model.WithStepper(func(h step.Hooks) emulator.Stepper {
			return emulator.New(p, h&^(step.HookRepeatIn|step.HookRepeatOut|step.HookRepeatMove|step.HookRepeatStore))
		})),
	}
	for _, m := range []x86.Mode{x86.Long64, x86.Compat32, x86.Compat16} {
		r.gen = append(r.gen, gen.New(gen.Config{Seed: seed, Profile: p, Mode: m}))
	}
	for i := range r.cases {
		r.plain[i].Memory = make([]byte, len(r.cases[i].Memory))
		r.wall[i].Memory = make([]byte, len(r.cases[i].Memory))
	}
	return r
}

// compare runs a batch on both and fails at the first difference.
func (r *runner) compare(t *testing.T, e oracle.Executor) {
	for i := range r.cases {
		r.gen[i%len(r.gen)].Next(&r.cases[i])
	}
	require.NoError(t, r.inProcess.Run(r.cases, r.plain))
	require.NoError(t, e.Run(r.cases, r.wall))
	for i := range r.cases {
		if c := &r.cases[i]; !same(&r.plain[i], &r.wall[i]) {
			t.Fatalf("% x in %v\nin-process %+v\nwall       %+v", c.Code[:c.CodeLen], c.State.Mode, r.plain[i], r.wall[i])
		}
	}
}

func same(a, b *oracle.Result) bool {
	stray := min(a.NumStray, oracle.MaxStray)
	return a.Ending == b.Ending && a.Outcome == b.Outcome && a.Event == b.Event && a.Steps == b.Steps && a.State == b.State &&
		a.FSBase == b.FSBase && a.GSBase == b.GSBase && slices.Equal(a.Memory, b.Memory) && a.NumStray == b.NumStray &&
		slices.Equal(a.Stray[:stray], b.Stray[:stray]) && a.Retire == b.Retire && slices.Equal(a.Accesses, b.Accesses) &&
		a.Partial == b.Partial && a.Unknown == b.Unknown && a.Promise == b.Promise && a.Note == b.Note
}

// TestEquivalence: no worker is found wanting, and every result is that of the
// emulator in-process.
func TestEquivalence(t *testing.T) {
	for _, name := range names() {
		t.Run(name, func(t *testing.T) {
			e := open(t, name, func(f depriv.Finding) { t.Error(f.Error()) })
			r := newRunner(1)
			for n := 0; n < *cases; n += batch {
				r.compare(t, e)
			}
			s := e.Client().Stats()
			t.Logf("%d cases, %d steps, %.3f crossings a step", *cases, s.Requests, float64(s.Crossings)/float64(s.Requests))
		})
	}
}
