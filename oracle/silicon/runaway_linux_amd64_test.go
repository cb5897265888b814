package silicon

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// TestRunsAwayInEachMode: what does not end is ended by the child's clock, in
// each mode, with vector state as without; the rest of the batch goes on.
func TestRunsAwayInEachMode(t *testing.T) {
	e := newExecutor(t, WithStop(StopBreakpoint))
	for _, m := range randomModes {
		for _, vector := range []bool{false, true} {
			var cases []oracle.Case
			for _, code := range []string{"90", "ebfe", "90", "ebfe", "0f0b"} {
				c := NewCaseIn(m, fromHex(t, code))
				if vector {
					c.State.FPU = new(x86.FPU)
					oracle.InitFPU(c.State.FPU, AllComponents())
				}
				cases = append(cases, c)
			}
			results := make([]oracle.Result, len(cases))
			require.NoError(t, e.Run(cases, results))
			for i, want := range []oracle.Ending{oracle.Ended, oracle.RanAway, oracle.Ended, oracle.RanAway, oracle.Ended} {
				assert.Equal(t, want, results[i].Ending, "%v, case %d", m, i)
			}
		}
	}
	assert.Zero(t, e.Respawns())
}

// TestIterations: how many times a string instruction has gone round, to its
// end, to its fault, and by the width of its counter.
func TestIterations(t *testing.T) {
	e := newExecutor(t)
	for _, k := range []struct {
		name string
		mode x86.Mode
		code string
		in   set
		want uint64
		okay bool
	}{
		{"stosb", x86.Long64, "f3aa", set{"rcx": 5, "rdi": middle}, 5, true},
		{"none", x86.Long64, "f3aa", set{"rdi": middle}, 0, true},
		{"to the fault", x86.Long64, "f3aa", set{"rcx": 100, "rdi": data + 2*page - 7}, 7, false},
		{"while equal", x86.Long64, "f3ae", set{"rcx": 9, "rdi": middle, "@20001000": 0x0100_0000}, 4, true},
		{"counter of 32 bits", x86.Long64, "67f3aa", set{"rcx": 5<<32 | 3, "rdi": middle}, 3, true},
		{"32-bit", x86.Compat32, "f3ab", set{"rcx": 6, "rdi": middle}, 6, true},
		{"16-bit", x86.Compat16, "f3ab", set{"rcx": 0x10006, "rdi": 0x1000}, 6, true},
		{"16-bit, to the fault", x86.Compat16, "f3aa", set{"rcx": 100, "rdi": 2*page - 9}, 9, false},
		{"no REP", x86.Long64, "aa", set{"rcx": 5, "rdi": middle}, 0, true},
	} {
		c := NewCaseIn(k.mode, fromHex(t, k.code))
		apply(t, &c, k.in)
		r := runOne(t, e, &c)
		require.Equal(t, oracle.Ended, r.Ending, k.name)
		assert.Equal(t, k.okay, r.Outcome == step.Okay, k.name)
		assert.Equal(t, k.want, r.Iterations, k.name)
	}
}

// TestRefusedDescriptors: where the kernel builds no 16-bit descriptors, only
// the cases that need one are without answer.
func TestRefusedDescriptors(t *testing.T) {
	e := newExecutor(t)
	e.refuse(22) // EINVAL
	cases := []oracle.Case{
		NewCaseIn(x86.Compat16, fromHex(t, "90")), NewCaseIn(x86.Compat32, fromHex(t, "90")), NewCase(fromHex(t, "8ed8")), NewCaseIn(x86.Compat32, fromHex(t, "90")),
	}
	use(&cases[3], x86.DS, x86.SegmentRegister{Selector: oracle.LDTSelector(1), Attributes: oracle.AttrData32, Limit: 0xfff})
	results := make([]oracle.Result, len(cases))
	require.NoError(t, e.Run(cases, results))
	for i, want := range []oracle.Ending{oracle.Unsupported, oracle.Ended, oracle.Ended, oracle.Ended} {
		assert.Equal(t, want, results[i].Ending, "case %d: %s", i, results[i].Note)
	}
	assert.Contains(t, results[0].Note, "16-bit")

	e.refuse(38) // ENOSYS
	require.NoError(t, e.Run(cases, results))
	for i, want := range []oracle.Ending{oracle.Unsupported, oracle.Ended, oracle.Ended, oracle.Unsupported} {
		assert.Equal(t, want, results[i].Ending, "case %d: %s", i, results[i].Note)
	}
	assert.Zero(t, e.Respawns())
}

// TestInfo: what the command line shows.
func TestInfo(t *testing.T) {
	e := newExecutor(t)
	info, err := e.Info()
	require.NoError(t, err)
	for _, f := range info.Facts() {
		t.Logf("%s: %s", f.Name, f.Value)
		assert.NotEmpty(t, f.Value, f.Name)
	}
	assert.Len(t, info.Modes, 3)
	assert.Positive(t, info.Retired)
	assert.Zero(t, e.Respawns())
}
