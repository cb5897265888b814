package ptrace

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

const (
	code   = oracle.CodeBase
	data   = oracle.DataBase
	stack  = oracle.StackBase
	ro     = oracle.ReadOnlyBase
	page   = oracle.PageSize
	middle = data + page
)

// TestKnown: instructions whose result the manual gives.
func TestKnown(t *testing.T) {
	e := newExecutor(t)
	for _, k := range []struct {
		mode x86.Mode
		code string
		set  func(s *x86.State)
		want string // the event, or "" if it retires
		see  func(r *oracle.Result) uint64
		is   uint64
	}{
		{x86.Long64, "4801d8", func(s *x86.State) { s.GPR[0], s.GPR[3] = 40, 2 }, "", func(r *oracle.Result) uint64 { return r.State.GPR[0] }, 42},
		{x86.Long64, "90", nil, "", func(r *oracle.Result) uint64 { return r.State.RIP }, code + 1},
		{x86.Long64, "ebfe", nil, "", func(r *oracle.Result) uint64 { return r.State.RIP }, code},
		{x86.Long64, "9c", nil, "", func(r *oracle.Result) uint64 { return r.State.GPR[x86.RSP] }, stack + page - 8},
		{x86.Long64, "9c", nil, "", func(r *oracle.Result) uint64 { return uint64(r.Memory[512+128-7]) & 1 }, 0}, // TF in the image
		{x86.Long64, "9c4801d8", nil, "", func(r *oracle.Result) uint64 { return r.State.RIP }, code + 1},
		{x86.Long64, "8ed04801d8", func(s *x86.State) { s.GPR[0] = selData }, "", func(r *oracle.Result) uint64 { return r.State.RIP }, code + 2},
		{x86.Long64, "f3aa", func(s *x86.State) { s.GPR[x86.RDI], s.GPR[x86.RCX] = data, 100 }, "", func(r *oracle.Result) uint64 { return r.State.GPR[x86.RDI] }, data + 100},
		{x86.Long64, "f3aa4801d8", func(s *x86.State) { s.GPR[x86.RDI], s.GPR[x86.RCX] = data, 100 }, "", func(r *oracle.Result) uint64 { return r.State.GPR[x86.RDI] }, data + 100},
		{x86.Long64, "0f0b", nil, "#UD", nil, 0},
		{x86.Long64, "f7f1", nil, "#DE", nil, 0},
		{x86.Long64, "cc", nil, "#BP", func(r *oracle.Result) uint64 { return r.State.RIP }, code + 1},
		{x86.Long64, "f1", nil, "#DB", func(r *oracle.Result) uint64 { return r.State.RIP }, code + 1},
		{x86.Long64, "cd03", nil, "INT 0x3", nil, 0},
		{x86.Long64, "cd04", nil, "INT 0x4", nil, 0},
		{x86.Long64, "f4", nil, "#GP(0x0)", nil, 0},
		{x86.Long64, "488b03", nil, "#PF(0x0) at 0x0", nil, 0},
		{x86.Long64, "488b03", func(s *x86.State) { s.GPR[3] = 1 << 63 }, "#GP(0x0)", nil, 0},
		{x86.Long64, "ff7500", func(s *x86.State) { s.GPR[5] = 1 << 63 }, "#SS(0x0)", nil, 0},
		{x86.Long64, "8b03", func(s *x86.State) { s.GPR[3], s.RFLAGS = data+1, s.RFLAGS|uint64(x86.AC) }, "#AC(0x0)", nil, 0},
		{x86.Long64, "50", func(s *x86.State) { s.RFLAGS |= uint64(x86.ID) }, "", func(r *oracle.Result) uint64 { return r.State.RFLAGS & uint64(x86.ID) }, uint64(x86.ID)},
		{x86.Long64, "50", nil, "", func(r *oracle.Result) uint64 { return r.State.RFLAGS & uint64(x86.ID) }, 0},
		{x86.Compat32, "40", func(s *x86.State) { s.GPR[0] = 10 }, "", func(r *oracle.Result) uint64 { return r.State.GPR[0] }, 11},
		{x86.Compat32, "ce", func(s *x86.State) { s.RFLAGS |= uint64(x86.OF) }, "#OF", nil, 0},
		{x86.Compat32, "60", nil, "", func(r *oracle.Result) uint64 { return r.State.GPR[x86.RSP] }, stack + page - 32},
	} {
		c := newCase(k.mode, fromHex(t, k.code))
		if k.set != nil {
			k.set(&c.State)
		}
		r := one(t, e, &c)
		name := k.mode.String() + " " + k.code + ": " + describe(r)
		require.Equal(t, oracle.Ended, r.Ending, name)
		if k.want == "" {
			assert.Equal(t, step.Okay, r.Outcome, name)
		} else {
			assert.Equal(t, step.Exception, r.Outcome, name)
			assert.Equal(t, k.want, r.Event.String(), name)
		}
		if k.see != nil {
			assert.Equal(t, k.is, k.see(r), name)
		}
	}
	assert.Zero(t, e.Respawns())
}

// TestOnlyOwnMemory: the child has mapped the pages of the layout and nothing
// else, has no descriptor, and is filtered.
func TestOnlyOwnMemory(t *testing.T) {
	t.Run("unmap=all", func(t *testing.T) { onlyOwnMemory(t, newExecutor(t)) })
	t.Run("unmap=listed", func(t *testing.T) { onlyOwnMemory(t, newExecutor(t, func(e *Executor) { e.listed = true })) })
}

func onlyOwnMemory(t *testing.T, e *Executor) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", e.Pid()))
	require.NoError(t, err)
	found := 0
	for line := range strings.Lines(string(text)) {
		var low, high uint64
		var prot string
		_, err := fmt.Sscanf(line, "%x-%x %s", &low, &high, &prot)
		require.NoError(t, err, line)
		if strings.Contains(line, "[vsyscall]") {
			continue
		}
		p := oracle.DefaultLayout.Find(low)
		if !assert.NotNil(t, p, "not a page of the layout: %s", line) {
			continue
		}
		found++
		assert.Equal(t, p.End(), high, line)
		assert.Equal(t, p.Prot&oracle.ProtWrite != 0, prot[1] == 'w', line)
		assert.Equal(t, p.Prot&oracle.ProtExec != 0, prot[2] == 'x', line)
	}
	assert.Equal(t, len(oracle.DefaultLayout.Pages), found)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", e.Pid()))
	require.NoError(t, err)
	assert.Contains(t, string(status), "NoNewPrivs:\t1\n")
	assert.Contains(t, string(status), "Seccomp:\t2\n")
	assert.NotContains(t, string(status), "TracerPid:\t0\n")
	if fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", e.Pid())); err == nil {
		assert.Empty(t, fds)
	}
}

// TestRunAllocatesNothing, whether a case retires, faults, calls or has vector
// state.
func TestRunAllocatesNothing(t *testing.T) {
	e := newExecutor(t)
	var cases []oracle.Case
	for _, s := range []string{"4801d8", "488b03", "0f0b", "cc", "0f05", "9c90", "9d", "f3aa"} {
		cases = append(cases, newCase(x86.Long64, fromHex(t, s)))
	}
	wide := newCase(x86.Long64, fromHex(t, "0f57c0"))
	wide.State.FPU = initial
	cases = append(cases, wide)
	results := run(t, e, cases)
	assert.Zero(t, testing.AllocsPerRun(20, func() { _ = e.Run(cases, results) }))
}
