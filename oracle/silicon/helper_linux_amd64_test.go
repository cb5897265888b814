package silicon

import (
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/oracle"
)

// newExecutor starts an executor or skips the test; RINGFENCE_REQUIRE turns the
// skip into a failure.
func newExecutor(t testing.TB, options ...Option) *Executor {
	t.Helper()
	e, err := New(options...)
	if err != nil {
		if strings.Contains(os.Getenv("RINGFENCE_REQUIRE"), "silicon") {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// runOne runs one case.
func runOne(t testing.TB, e *Executor, c *oracle.Case) *oracle.Result {
	t.Helper()
	r := make([]oracle.Result, 1)
	require.NoError(t, e.Run([]oracle.Case{*c}, r))
	return &r[0]
}

// fromHex returns the bytes of a string of hexadecimal digits and blanks.
func fromHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	require.NoError(t, err)
	return b
}

// offset returns where an address lies in Case.Memory.
func offset(t testing.TB, l *oracle.Layout, addr uint64) int {
	t.Helper()
	at := 0
	for _, w := range l.Windows {
		if d := addr - w.Address; d < uint64(w.Length) {
			return at + int(d)
		}
		at += w.Length
	}
	t.Fatalf("%#x is in no window", addr)
	return 0
}

// describe is a result as a line, with a hash of the memory, so that a failure
// can be read.
func describe(r *oracle.Result) string {
	sum := fnv.New64a()
	sum.Write(r.Memory)
	if f := r.State.FPU; f != nil {
		fmt.Fprintf(sum, "%x", *f)
	}
	if r.Ending == oracle.Unsupported {
		return "unsupported " + r.Note
	}
	return fmt.Sprintf("%v %v %v steps=%d rip=%#x flags=%#x gpr=%x sel=%x bases=%x,%x memory=%x strays=%d %x",
		r.Ending, r.Outcome, r.Event, r.Steps, r.State.RIP, r.State.RFLAGS, r.State.GPR, r.State.Selector, r.FSBase, r.GSBase,
		sum.Sum64(), r.NumStray, r.Stray[:min(r.NumStray, oracle.MaxStray)])
}
