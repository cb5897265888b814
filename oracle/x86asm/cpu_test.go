package x86asm

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/seed-4e121ece/ringfence/oracle/silicon"
)

// cpu judges byte strings: the CPU itself, as a process sees it.
type cpu struct {
	t       *testing.T
	silicon *silicon.Executor
	results []oracle.Result
}

// newCPU returns the judge, or skips the test where there is none.
func newCPU(t *testing.T) *cpu {
	t.Helper()
	e, err := silicon.New()
	if err != nil {
		if slices.Contains(strings.Split(os.Getenv("RINGFENCE_REQUIRE"), ","), "silicon") {
			t.Fatal("RINGFENCE_REQUIRE asks for silicon:", err)
		}
		t.Skip(err)
	}
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	return &cpu{t: t, silicon: e, results: []oracle.Result{{Memory: make([]byte, oracle.DefaultLayout.WindowBytes())}}}
}

// codeEnd is the first address after the code pages, where nothing is mapped.
const codeEnd = oracle.CodeBase + 2*oracle.PageSize

// run runs code so that it ends where the code pages end, with registers that
// point into the data pages.
func (c *cpu) run(code []byte, gpr func(*[16]uint64)) *oracle.Result {
	k := oracle.Case{Layout: oracle.DefaultLayout, Memory: make([]byte, oracle.DefaultLayout.WindowBytes()), CodeLen: uint8(len(code))}
	copy(k.Code[:], code)
	k.State = x86.State{Mode: x86.Long64, StackWidth: 64, CPL: 3, RIP: codeEnd - uint64(len(code)), RFLAGS: 0x202}
	for i := range k.State.GPR {
		k.State.GPR[i] = oracle.DataBase + oracle.PageSize
	}
	k.State.GPR[x86.RSP] = oracle.StackBase + oracle.PageSize
	k.State.Selector[x86.CS] = silicon.SelectorCS64
	k.State.Selector[x86.SS] = silicon.SelectorSS
	if gpr != nil {
		gpr(&k.State.GPR)
	}
	require.NoError(c.t, c.silicon.Run([]oracle.Case{k}, c.results))
	return &c.results[0]
}

// judge returns the length of the instruction that code starts with, and
// whether the CPU raises #UD for it; 0 and false if it cannot tell. The length is found by putting ever more
// bytes before a page that is not mapped: an instruction that is not whole
// faults on the fetch.
func (c *cpu) judge(code []byte) (length int, undefined bool) {
	for n := 1; n <= len(code); n++ {
		r := c.run(code[:n], nil)
		if r.Ending != oracle.Ended && n < len(code) {
			// What would read the machine is not run; that is decided by bytes
			// that may not be there yet.
			continue
		}
		if r.Ending != oracle.Ended {
			return 0, false
		}
		fetch := r.Outcome == step.Exception && r.Event.Vector == x86.VectorPF && r.Event.Address == codeEnd &&
			r.State.RIP == codeEnd-uint64(n)
		if fetch {
			continue
		}
		return n, r.Outcome == step.Exception && r.Event.Vector == x86.VectorUD
	}
	return 0, false
}

func TestJudge(t *testing.T) {
	c := newCPU(t)
	for _, k := range []struct {
		name      string
		code      []byte
		length    int
		undefined bool
	}{
		{"NOP and more", []byte{0x90, 0x90}, 1, false},
		{"MOV eax, imm32", []byte{0xb8, 1, 2, 3, 4, 5}, 5, false},
		{"UD2", []byte{0x0f, 0x0b}, 2, true},
		{"truncated", []byte{0xb8, 1, 2}, 0, false},
	} {
		length, undefined := c.judge(k.code)
		require.Equal(t, k.length, length, k.name)
		require.Equal(t, k.undefined, undefined, k.name)
	}
}
