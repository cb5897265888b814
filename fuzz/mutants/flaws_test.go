package mutants

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
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

// model loads what is damaged, and the tables.
func model(t *testing.T) (*Source, *Tables) {
	t.Helper()
	if testing.Short() {
		t.Skip("builds and runs campaigns; not in short mode")
	}
	s, err := Load(moduleRoot(t), rooms...)
	require.NoError(t, err)
	tables, err := s.LoadTables(t.TempDir(), tablesDir, decodeDir, "gp.txt")
	require.NoError(t, err)
	return s, tables
}

// runner builds the probe and checks that the unmutated model is clean in it.
func runner(t *testing.T, s *Source, w *Woven) *Runner {
	t.Helper()
	dir := t.TempDir()
	start := time.Now()
	program, err := s.Build(dir, probe, w.Files)
	require.NoError(t, err)
	t.Logf("%d mutants in one program of %s, built in %.1f s", len(w.Mutants), size(t, program), time.Since(start).Seconds())
	r := &Runner{
		Program: program, Limit: *limitFlag, Grace: 15 * time.Second, Seed: *seedFlag, Parallel: *parallelFlag,
		Own: func(m *Mutant) (string, error) { return s.BuildOwn(dir, probe, m) },
	}
	clean := *r
	if clean.Limit = *controlFlag; clean.Limit == 0 {
		clean.Limit = r.Limit
		if *mutantsFlag <= 10 {
			clean.Limit = min(r.Limit, 10*time.Second)
		}
	}
	control := clean.Run(context.Background(), nil)
	if control.End == Unavailable {
		if strings.Contains(os.Getenv("RINGFENCE_REQUIRE"), "silicon") {
			t.Fatalf("RINGFENCE_REQUIRE: %s", control)
		}
		t.Skip(control)
	}
	t.Log("control: ", control)
	if control.End != Survived || control.Answer.Cases == 0 {
		t.Fatalf("the unmutated model is not clean, so that finding a mutant would mean nothing\n%s", control.Output)
	}
	return r
}

func size(t *testing.T, program string) string {
	info, err := os.Stat(program)
	require.NoError(t, err)
	return fmt.Sprintf("%d MB", info.Size()>>20)
}

// TestFlaws plants each named flaw; the default campaign must find every one.
func TestFlaws(t *testing.T) {
	s, tables := model(t)
	var flaws []Flaw
	for _, f := range Flaws {
		if strings.Contains(f.Name+" "+f.File, *onlyFlag) {
			flaws = append(flaws, f)
		}
	}
	planted, err := s.Plant(tables, flaws)
	require.NoError(t, err)
	w, _, _, err := s.Draw(base, planted, nil, nil, 0, 0)
	require.NoError(t, err)
	r := runner(t, s, w)
	found := 0
	r.RunAll(context.Background(), planted, func(v *Verdict) {
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
	s, tables := model(t)
	scope := ModelScope()
	var candidates []*Mutant
	for _, m := range append(s.Candidates(scope), tables.Candidates(scope)...) {
		if drawnRooms[m.Package] > 0 && strings.Contains(m.Key()+"\n"+m.Kind, *onlyFlag) {
			candidates = append(candidates, m)
		}
	}
	w, drawn, rejected, err := s.Draw(base, nil, candidates, drawnRooms, *mutantsFlag, *seedFlag)
	require.NoError(t, err)
	require.Len(t, drawn, min(*mutantsFlag, len(drawn)))
	explained, err := parseExplained(explainedText)
	require.NoError(t, err)
	alone := 0
	for _, m := range drawn {
		if m.own != nil {
			alone++
		}
	}
	t.Logf("%d mutants drawn from %d candidates by seed %d; %d are built alone", len(drawn), len(candidates), *seedFlag, alone)
	r := runner(t, s, w)

	ctx, total := context.Background(), *totalFlag
	if total == 0 && *mutantsFlag <= 10 {
		total = 2 * time.Minute
	}
	if total > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, total)
		defer cancel()
	}
	report := &Report{Rejected: rejected, Explained: explained, Scope: scope}
	r.RunAll(ctx, drawn, func(v *Verdict) {
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
	report.Write(&out, r)
	t.Log("\n" + out.String())
	if n := len(drawn) - len(report.Verdicts); n > 0 {
		t.Logf("%d mutants were not begun in the time given", n)
	}
	judge := report.Judge(r)
	if judge != "" {
		t.Error(judge)
	}
}

// TestFlawsMatch holds every flaw to its line without building anything.
func TestFlawsMatch(t *testing.T) {
	s, tables := model(t)
	seen := map[string]bool{}
	for _, f := range Flaws {
		require.False(t, seen[f.Name], "two flaws are named %s", f.Name)
		seen[f.Name] = true
		if _, err := s.Plant(tables, []Flaw{f}); err != nil {
			t.Error(err)
		}
	}
}

// TestScope prints what is not drawn, and the places that name no code any
// more. They do no harm: what they named is drawn.
func TestScope(t *testing.T) {
	s, tables := model(t)
	scope := ModelScope()
	n := len(s.Candidates(scope)) + len(tables.Candidates(scope))
	t.Logf("%d sites are drawn from\n%s", n, scope)
	for _, idle := range scope.Idle() {
		t.Logf("names nothing, and can go: %s", idle)
	}
	require.Greater(t, n, 5000)
}
