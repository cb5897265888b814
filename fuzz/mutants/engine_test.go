package mutants

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const tiny = "fuzz/mutants/testdata/tiny"

// moduleRoot is two folders up: go test runs in the package's folder.
func moduleRoot(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	require.NoError(t, err)
	return filepath.Dir(filepath.Dir(dir))
}

func loadTiny(t *testing.T) *Source {
	t.Helper()
	if testing.Short() {
		t.Skip("builds programs; not in short mode")
	}
	s, err := Load(moduleRoot(t), tiny+"/base", tiny+"/alu")
	require.NoError(t, err)
	return s
}

// TestEngine mutates the whole stand-in: every mutant that its probe can see
// must be killed, by a divergence, a crash or a hang, and the unmutated
// program must be clean in the same binary.
func TestEngine(t *testing.T) {
	s := loadTiny(t)
	scope := ModelScope()
	all := s.Candidates(scope)
	for _, m := range all {
		require.NotEqual(t, "String", m.Func, "left out by the scope")
	}
	w, drawn, rejected, err := s.Draw(tiny+"/base", nil, all, nil, 1000, 1)
	require.NoError(t, err)
	require.Greater(t, len(drawn), 60)
	require.Equal(t, len(all), len(drawn)+rejected, "each candidate is drawn or does not compile")
	t.Logf("%d candidates, %d do not compile", len(all), rejected)

	dir := t.TempDir()
	program, err := s.Build(dir, tiny+"/probe", w.Files)
	require.NoError(t, err)
	r := &Runner{Program: program, Limit: time.Second, Grace: time.Second, Seed: 1, Parallel: runtime.NumCPU()}
	control := r.Run(context.Background(), nil)
	require.Equal(t, Survived, control.End, "%s\n%s", control, control.Output)
	require.Positive(t, control.Answer.Cases)

	ends := map[End]int{}
	r.RunAll(context.Background(), drawn, func(v *Verdict) {
		ends[v.End]++
		if v.End == Survived && !tinyEquivalent[v.Mutant.Key()] {
			t.Errorf("survived:\n%s%q", v.Mutant.Diff(), v.Mutant.Key())
		}
	})
	t.Log(ends)
	require.Positive(t, ends[Diverged])
	require.Positive(t, ends[Crashed])
	require.Positive(t, ends[Hung])
}

// tinyEquivalent are the mutants of the stand-in that change nothing, each for
// a reason that is plain from the code.
var tinyEquivalent = map[string]bool{
	// A loop over nothing does nothing.
	tiny + "/alu/alu.go\nFill\nif len(s) == 0 {\nif (len(s) == 0) && false {": true,
	tiny + "/alu/alu.go\nFill\nreturn\n":                                      true,
	// A byte fits in 32 bits.
	tiny + "/alu/alu.go\nLast\nfunc Last(s []byte) int64 { return int64(int8(s[len(s)-1])) }\n" +
		"func Last(s []byte) int64 { return int64(int32(int8(s[len(s)-1]))) }": true,
}

func TestDrawDependsOnSeedAlone(t *testing.T) {
	s := loadTiny(t)
	keys := func(seed uint64) string {
		_, drawn, _, err := s.Draw(tiny+"/base", nil, s.Candidates(ModelScope()), nil, 20, seed)
		require.NoError(t, err)
		var b strings.Builder
		for _, m := range drawn {
			b.WriteString(m.Key() + m.Kind + "\n")
		}
		return b.String()
	}
	require.Equal(t, keys(7), keys(7))
	require.NotEqual(t, keys(7), keys(8))
}
