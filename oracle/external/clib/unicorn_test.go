package clib

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/seed-4e121ece/ringfence/oracle/external"
	"github.com/seed-4e121ece/ringfence/oracle/silicon"
)

// openUnicorn starts the library, or skips the test where it is not to be had.
func openUnicorn(t *testing.T) (x oracle.Executor, hello external.Hello) {
	t.Helper()
	argv, err := Command(Unicorn)
	if err == nil {
		hello, err = external.Probe(argv)
	}
	if err == nil {
		x, err = external.NewExecutor(Unicorn, argv)
	}
	if err != nil {
		if slices.Contains(strings.Split(os.Getenv("RINGFENCE_REQUIRE"), ","), Unicorn) {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	t.Cleanup(func() { _ = x.Close() })
	return x, hello
}

// answer runs the case of a piece of evidence and describes what came.
func answer(t *testing.T, x oracle.Executor, e *oracle.FaultEvidence) string {
	t.Helper()
	c, err := oracle.ParseCase([]byte(e.Case))
	require.NoError(t, err, e.Case)
	r := []oracle.Result{{Memory: make([]byte, len(c.Memory))}}
	require.NoError(t, x.Run([]oracle.Case{*c}, r))
	text, err := e.Describe(c, &r[0])
	require.NoError(t, err)
	if r[0].Ending == oracle.Unsupported {
		text += " (" + r[0].Note + ")"
	}
	return text
}

// TestUnicornFaults runs the evidence of each known fault again: the library
// still says what the row says, and the CPU, where it can be asked, what is true.
func TestUnicornFaults(t *testing.T) {
	x, hello := openUnicorn(t)
	cpu, err := silicon.New()
	if err == nil {
		defer cpu.Close()
	}
	vendor := silicon.Profile().Vendor
	seen := map[string]bool{}
	for i := range unicornFaults {
		f := &unicornFaults[i]
		require.False(t, seen[f.Name], "two faults %q", f.Name)
		seen[f.Name] = true
		require.NotEmpty(t, f.Evidence, f.Name)
		for j := range f.Evidence {
			e := &f.Evidence[j]
			if hello.Version == UnicornVersion {
				if got := answer(t, x, e); got != e.Says {
					t.Errorf("%s: %s: unicorn: want %q, got %q: has it been repaired?", f.Name, e.Case, e.Says, got)
				}
			}
			if cpu != nil && (f.Vendor == oracle.AnyVendor || vendor == isa.Intel) {
				if got := answer(t, cpu, e); got != e.Truth {
					t.Errorf("%s: %s: the CPU: want %q, got %q", f.Name, e.Case, e.Truth, got)
				}
			}
			if e.Says == e.Truth {
				t.Errorf("%s: %s: %q is no fault", f.Name, e.Case, e.Says)
			}
		}
	}
}
