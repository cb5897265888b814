package silicon

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// TestKilled kills the child at random moments while cases run: every case is
// answered, and what is answered is right.
func TestKilled(t *testing.T) {
	e := newExecutor(t)
	const n = 4000
	cases := randomCases(5, n)
	quiet, loud := make([]oracle.Result, n), make([]oracle.Result, n)
	require.NoError(t, e.Run(cases, quiet))

	stop := make(chan struct{})
	var killer sync.WaitGroup
	killer.Go(func() {
		r := rand.New(rand.NewPCG(1, 2))
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(r.IntN(20_000)) * time.Microsecond):
				_ = syscall.Kill(e.Pid(), syscall.SIGKILL)
			}
		}
	})
	died := 0
	for range 8 {
		for i := range loud {
			loud[i] = oracle.Result{Ending: oracle.NumEndings, Memory: loud[i].Memory}
		}
		require.NoError(t, e.Run(cases, loud))
		for i := range loud {
			require.NotEqual(t, oracle.NumEndings, loud[i].Ending, "case %d was not answered", i)
			if loud[i].Ending == oracle.Died {
				died++
				continue
			}
			require.Equal(t, describe(&quiet[i]), describe(&loud[i]), "case %d", i)
		}
	}
	close(stop)
	killer.Wait()
	assert.Positive(t, e.Respawns())
	t.Logf("%d children replaced, %d cases died at every try", e.Respawns(), died)
	assert.Less(t, died, e.Respawns()+1)
}

// TestRunnerOverwritten lets a test write over the runner's memory, which in a campaign it
// would have to guess: what the parent then answers is right or says that there
// is no answer.
func TestRunnerOverwritten(t *testing.T) {
	e := newExecutor(t)
	e.reckless = true
	add := NewCase(fromHex(t, "4801d8"))
	add.State.GPR[x86.RAX], add.State.GPR[x86.RBX] = 40, 2
	targets := map[string]func(c *child) uint64{
		"ack":         func(c *child) uint64 { return c.base + offRing + uint64(unsafe.Offsetof(header{}.ack)) },
		"done":        func(c *child) uint64 { return c.base + offRing + uint64(unsafe.Offsetof(header{}.done)) },
		"req":         func(c *child) uint64 { return c.base + offRing + uint64(unsafe.Offsetof(header{}.req)) },
		"own ack":     func(c *child) uint64 { return c.base + offPrivate + uint64(unsafe.Offsetof(private{}.ack)) },
		"own slot":    func(c *child) uint64 { return c.base + offPrivate + uint64(unsafe.Offsetof(private{}.current)) },
		"text":        func(c *child) uint64 { return c.base + offLoop },
		"config":      func(c *child) uint64 { return c.base + offConfig },
		"next number": func(c *child) uint64 { return slotAddress(c, 1) + uint64(unsafe.Offsetof(slot{}.seq)) },
		"next answer": func(c *child) uint64 { return slotAddress(c, 1) + uint64(unsafe.Offsetof(slot{}.outSeq)) },
		"last answer": func(c *child) uint64 { return slotAddress(c, -1) + uint64(unsafe.Offsetof(slot{}.outSeq)) },
		"next code":   func(c *child) uint64 { return slotAddress(c, 1) + uint64(unsafe.Offsetof(slot{}.codeDst)) },
	}
	for name, target := range targets {
		for _, value := range []uint64{0, 1, 0x7fffffff, ^uint64(0), 0x4141414141414141} {
			evil := NewCase(nil)
			evil.Code[0], evil.Code[1] = 0x48, 0xa3 // MOV [moffs64], RAX
			binary.LittleEndian.PutUint64(evil.Code[2:], target(e.children[0]))
			evil.CodeLen = 10
			evil.State.GPR[x86.RAX] = value
			cases := []oracle.Case{add, evil, add, add}
			results := make([]oracle.Result, len(cases))
			require.NoError(t, e.Run(cases, results), name)
			for _, i := range []int{0, 2, 3} {
				switch r := &results[i]; r.Ending {
				case oracle.Ended:
					assert.Equal(t, step.Okay, r.Outcome, "%s <- %#x: case %d: %v", name, value, i, r.Event)
					assert.Equal(t, uint64(42), r.State.GPR[x86.RAX], "%s <- %#x: case %d", name, value, i)
				case oracle.Died, oracle.RanAway:
				default:
					t.Errorf("%s <- %#x: case %d: %v", name, value, i, r.Ending)
				}
			}
		}
	}
	t.Logf("%d children replaced", e.Respawns())
}

// slotAddress is where the child has a slot, counted from the second case of
// the batch to come.
func slotAddress(c *child, from int) uint64 {
	n := uint64(int(c.sent)+1+from) & uint64(c.slots-1)
	return c.base + offRing + ringHeader + n*uint64(c.slotSize)
}

// TestRunsAway: a case that does not end is stopped by the child's own clock,
// and the rest goes on.
func TestRunsAway(t *testing.T) {
	e := newExecutor(t, WithStop(StopBreakpoint))
	cases := []oracle.Case{NewCase(fromHex(t, "90")), NewCase(fromHex(t, "ebfe")), NewCase(fromHex(t, "90")), NewCase(fromHex(t, "ebfe"))}
	results := make([]oracle.Result, len(cases))
	require.NoError(t, e.Run(cases, results))
	for i, want := range []oracle.Ending{oracle.Ended, oracle.RanAway, oracle.Ended, oracle.RanAway} {
		assert.Equal(t, want, results[i].Ending, "case %d", i)
	}
	assert.Zero(t, e.Respawns())
}

// TestWaitsForCPU: a child that has had no CPU time is not stuck as long as it is
// ready to run; one that sleeps, is stopped, or has had a lot is.
func TestWaitsForCPU(t *testing.T) {
	e := newExecutor(t, WithStop(StopBreakpoint))
	c := e.children[0]
	assert.Eventually(t, func() bool { return !c.waitsForCPU(c.cpuTime()) }, 30*time.Second, time.Millisecond, "it sleeps")

	forever := make([]oracle.Case, 20) // some 10 ms each
	for i := range forever {
		forever[i] = NewCase(fromHex(t, "ebfe"))
	}
	var run sync.WaitGroup
	run.Go(func() { assert.NoError(t, e.Run(forever, make([]oracle.Result, len(forever)))) })
	require.Eventually(t, func() bool { return c.waitsForCPU(c.cpuTime()) }, 30*time.Second, time.Millisecond, "it runs")
	assert.False(t, c.waitsForCPU(c.cpuTime()-2*time.Second), "it has had two seconds")
	require.NoError(t, syscall.Kill(e.Pid(), syscall.SIGSTOP))
	require.Eventually(t, func() bool { return !c.waitsForCPU(c.cpuTime()) }, 30*time.Second, time.Millisecond, "it is stopped")
	require.NoError(t, syscall.Kill(e.Pid(), syscall.SIGCONT))
	run.Wait()
	assert.Zero(t, e.Respawns())
}

// TestNearRunner: a register that points at the runner's memory gets a child
// that lies elsewhere.
func TestNearRunner(t *testing.T) {
	e := newExecutor(t)
	for _, off := range []uint64{0, offRing, offAlias, offPrivate, ^uint64(0), spanSize} {
		c := NewCase(fromHex(t, "488903"))
		c.State.GPR[x86.RBX] = e.children[0].base + off
		before := e.Respawns()
		r := runOne(t, e, &c)
		assert.Equal(t, "#PF(0x6)", r.Event.String()[:8])
		assert.Equal(t, before+1, e.Respawns())
	}
}

// TestUnsupported: what a process cannot set is refused by name, and the rest
// of the batch is answered.
func TestUnsupported(t *testing.T) {
	e := newExecutor(t)
	for _, u := range []struct {
		note   string
		change func(c *oracle.Case)
	}{
		{"mode", func(c *oracle.Case) { c.State.Mode = x86.Real }},
		{"cpl", func(c *oracle.Case) { c.State.CPL = 0 }},
		{"fpu", func(c *oracle.Case) { c.State.FPU = &x86.FPU{} }},
		{"steps", func(c *oracle.Case) { c.Steps = 2 }},
		{"rflags", func(c *oracle.Case) { c.State.RFLAGS = 2 }},
		{"rflags", func(c *oracle.Case) { c.State.RFLAGS |= 3 << 12 }},
		{"cs", func(c *oracle.Case) { c.State.Selector[x86.CS] = 8 }},
		{"ss", func(c *oracle.Case) { c.State.Selector[x86.SS] = 0 }},
		{"segments", func(c *oracle.Case) { c.State.Selector[x86.FS] = 0x1230 }},
		{"fsbase", func(c *oracle.Case) { c.FSBase = 1 << 63 }},
		{"rip", func(c *oracle.Case) { c.State.RIP = data }},
		{"rip", func(c *oracle.Case) { c.State.RIP = 0 }},
		{"layout", func(c *oracle.Case) { c.Layout = nil }},
		{"silicon: layout", func(c *oracle.Case) { c.Layout = &oracle.Layout{Pages: []oracle.Pages{{Address: 1, Count: 1}}} }},
		{"memory", func(c *oracle.Case) { c.Memory = c.Memory[1:] }},
		{"code", func(c *oracle.Case) { c.CodeLen = 17 }},
	} {
		cases := []oracle.Case{NewCase(fromHex(t, "90")), NewCase(fromHex(t, "90")), NewCase(fromHex(t, "90"))}
		u.change(&cases[1])
		results := make([]oracle.Result, 3)
		require.NoError(t, e.Run(cases, results), u.note)
		assert.Equal(t, oracle.Ended, results[0].Ending)
		assert.Equal(t, oracle.Unsupported, results[1].Ending, u.note)
		assert.Contains(t, results[1].Note, u.note)
		assert.Equal(t, oracle.Ended, results[2].Ending)
	}
}

// TestWindowsRestored: nothing of a case is left for the next.
func TestWindowsRestored(t *testing.T) {
	e := newExecutor(t)
	dirty := NewCase(fromHex(t, "f348ab")) // REP STOSQ over both pages
	dirty.State.GPR[x86.RDI], dirty.State.GPR[x86.RCX], dirty.State.GPR[x86.RAX] = data, 1024, ^uint64(0)
	for i := range dirty.Memory {
		dirty.Memory[i] = 0x5a
	}
	r := runOne(t, e, &dirty)
	require.Equal(t, 1024-640/8, r.NumStray)
	assert.Equal(t, oracle.StrayWord{Address: data + 64, Value: ^uint64(0)}, r.Stray[0])
	assert.Equal(t, uint64(data+64+15*8), r.Stray[15].Address)
	for at := uint64(data); at < data+2*page; at += 8 {
		c := NewCase(fromHex(t, "488b03"))
		c.State.GPR[x86.RBX] = at
		require.Zero(t, runOne(t, e, &c).State.GPR[x86.RAX], "%#x", at)
	}
}
