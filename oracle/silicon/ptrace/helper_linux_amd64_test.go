package ptrace

import (
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/seed-4e121ece/ringfence/oracle/silicon"
)

// needed skips a test for an engine that is missing; RINGFENCE_REQUIRE turns the
// skip into a failure.
func needed(t testing.TB, engine string, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if slices.Contains(strings.Split(os.Getenv("RINGFENCE_REQUIRE"), ","), engine) {
		t.Fatal(err)
	}
	t.Skip(err)
}

// newExecutor starts the executor or skips the test.
func newExecutor(t testing.TB, options ...Option) *Executor {
	t.Helper()
	e, err := New(options...)
	needed(t, "ptrace", err)
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// newRunner starts the runner or skips the test.
func newRunner(t testing.TB, options ...silicon.Option) *silicon.Executor {
	t.Helper()
	e, err := silicon.New(options...)
	needed(t, "silicon", err)
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// unfiltered lets the child make system calls: it shows what the filter is good
// for.
func unfiltered(e *Executor) { e.unfiltered = true }

// fromHex returns the bytes of a string of hexadecimal digits and blanks.
func fromHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	require.NoError(t, err)
	return b
}

// newCase returns a case in a mode with all registers zero but RSP.
func newCase(mode x86.Mode, code []byte) oracle.Case { return silicon.NewCaseIn(mode, code) }

// run answers cases.
func run(t testing.TB, e oracle.Executor, cases []oracle.Case) []oracle.Result {
	t.Helper()
	r := make([]oracle.Result, len(cases))
	require.NoError(t, e.Run(cases, r))
	return r
}

// one answers a case.
func one(t testing.TB, e oracle.Executor, c *oracle.Case) *oracle.Result {
	t.Helper()
	return &run(t, e, []oracle.Case{*c})[0]
}

// describe is a result as a line, with a hash of the memory.
func describe(r *oracle.Result) string {
	sum := fnv.New64a()
	sum.Write(r.Memory)
	fpu := ""
	if f := r.State.FPU; f != nil {
		wide := fnv.New64a()
		for _, z := range f.ZMM {
			fmt.Fprint(wide, z)
		}
		fpu = fmt.Sprintf(" fcw=%#x fsw=%#x ftw=%#x mxcsr=%#x st=%x k=%x fop=%#x fip=%#x fdp=%#x vectors=%x xmm0=%x",
			f.FCW, f.FSW, f.FTW, f.MXCSR, f.ST, f.K, f.FOP, f.FIP, f.FDP, wide.Sum64(), f.ZMM[0])
	}
	return fmt.Sprintf("%v (%s) %v %v steps=%d rip=%#x flags=%#x gpr=%x sel=%x bases=%x,%x memory=%x strays=%d %x%s",
		r.Ending, r.Note, r.Outcome, r.Event, r.Steps, r.State.RIP, r.State.RFLAGS, r.State.GPR, r.State.Selector, r.FSBase, r.GSBase,
		sum.Sum64(), r.NumStray, r.Stray[:min(r.NumStray, oracle.MaxStray)], fpu)
}
