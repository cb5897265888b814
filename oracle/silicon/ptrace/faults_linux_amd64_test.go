package ptrace

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/seed-4e121ece/ringfence/oracle/silicon"
)

// engine is what both executors offer to a test that disturbs the child.
type engine interface {
	oracle.Executor
	Pid() int
	Respawns() int
}

// bothEngines runs a test on the runner and on ptrace.
func bothEngines(t *testing.T, f func(t *testing.T, e engine, cases int)) {
	t.Run("engine=silicon", func(t *testing.T) { f(t, newRunner(t), 2000) })
	t.Run("engine=ptrace", func(t *testing.T) { f(t, newExecutor(t), 200) })
}

// someCases are random cases of 64-bit mode.
func someCases(seed uint64, n int) []oracle.Case {
	r := rand.New(rand.NewPCG(seed, 3))
	cases := make([]oracle.Case, n)
	for i := range cases {
		cases[i] = newCase(x86.Long64, randomString(r))
		states(r, &cases[i])
	}
	return cases
}

// longCases spend most of the time within the instruction under test.
func longCases(n int) []oracle.Case {
	cases := make([]oracle.Case, n)
	for i := range cases {
		c := newCase(x86.Long64, []byte{0xf3, 0xae}) // REPE SCASB
		c.State.GPR[x86.RDI], c.State.GPR[x86.RCX] = data+64+uint64(i%8), 3000
		cases[i] = c
	}
	return cases
}

// disturbed runs cases in peace, then several times while disturb is called over
// and over from another goroutine: no case goes unanswered, and an answer is the
// same as in peace. Cases may be given up, as their Ending says, but no more
// than allowed.
func disturbed(t *testing.T, e engine, cases []oracle.Case, rounds int, allowed func() int, disturb func(r *rand.Rand)) {
	t.Helper()
	n := len(cases)
	quiet := run(t, e, cases)
	var stop atomic.Bool
	var times atomic.Int64
	var group sync.WaitGroup
	group.Go(func() {
		r := rand.New(rand.NewPCG(1, 2))
		for !stop.Load() {
			disturb(r)
			times.Add(1)
		}
	})
	defer group.Wait()
	defer stop.Store(true)
	given := 0
	loud := make([]oracle.Result, n)
	for round := range rounds {
		for i := range loud {
			loud[i].Ending = oracle.NumEndings
		}
		require.NoError(t, e.Run(cases, loud))
		for i := range loud {
			require.NotEqual(t, oracle.NumEndings, loud[i].Ending, "case %d was not answered", i)
			if loud[i].Ending != quiet[i].Ending && (loud[i].Ending == oracle.Died || loud[i].Ending == oracle.RanAway) {
				given++
				continue
			}
			if loud[i].Ending == oracle.SystemCall && quiet[i].Ending == oracle.SystemCall {
				continue // what SYSENTER leaves behind depends on the process
			}
			require.Equal(t, describe(&quiet[i]), describe(&loud[i]), "round %d, case %d: % x", round, i, cases[i].CodeBytes())
		}
	}
	t.Logf("%d times disturbed, %d children replaced, %d of %d cases given up", times.Load(), e.Respawns(), given, n*rounds)
	assert.Positive(t, times.Load())
	assert.LessOrEqual(t, given, allowed())
}

// TestKilled kills the child at random moments.
func TestKilled(t *testing.T) {
	bothEngines(t, func(t *testing.T, e engine, n int) {
		disturbed(t, e, someCases(5, n), 4, e.Respawns, func(r *rand.Rand) {
			time.Sleep(time.Duration(r.IntN(20_000)) * time.Microsecond)
			_ = syscall.Kill(e.Pid(), syscall.SIGKILL)
		})
		assert.Positive(t, e.Respawns())
	})
}

// TestStopped stops the child by SIGSTOP for a moment, over and over. Nothing is
// lost by it.
func TestStopped(t *testing.T) {
	bothEngines(t, func(t *testing.T, e engine, n int) {
		disturbed(t, e, someCases(5, n), 3, func() int { return 0 }, func(r *rand.Rand) {
			time.Sleep(time.Duration(r.IntN(3_000)) * time.Microsecond)
			_ = syscall.Kill(e.Pid(), syscall.SIGSTOP)
			time.Sleep(time.Duration(r.IntN(3_000)) * time.Microsecond)
			_ = syscall.Kill(e.Pid(), syscall.SIGCONT)
		})
		assert.Zero(t, e.Respawns())
	})
}

// TestStoppedForGood stops the child and leaves it so: after a while it counts as
// stuck, and the rest is answered.
func TestStoppedForGood(t *testing.T) {
	if testing.Short() {
		t.Skip("takes the seconds that a child may be stuck")
	}
	bothEngines(t, func(t *testing.T, e engine, n int) {
		cases := someCases(6, n)
		quiet := run(t, e, cases)
		require.NoError(t, syscall.Kill(e.Pid(), syscall.SIGSTOP))
		given := 0
		for i, r := range run(t, e, cases) {
			if r.Ending != quiet[i].Ending && r.Ending == oracle.RanAway {
				given++
				continue
			}
			if r.Ending != oracle.SystemCall {
				require.Equal(t, describe(&quiet[i]), describe(&r), "case %d", i)
			}
		}
		t.Logf("%d children replaced, %d cases given up", e.Respawns(), given)
		assert.LessOrEqual(t, given, 1)
	})
}

// TestFlooded sends the child signals that it never asked for, those among them
// that exceptions make. They change no answer: ptrace discards them; the runner
// dies of some and its cases are run again.
func TestFlooded(t *testing.T) {
	flood := []syscall.Signal{
		syscall.SIGSEGV, syscall.SIGTRAP, syscall.SIGILL, syscall.SIGFPE, syscall.SIGBUS, syscall.SIGSYS, syscall.SIGALRM,
		syscall.SIGWINCH, syscall.SIGCHLD, syscall.SIGURG, syscall.SIGPROF, syscall.SIGUSR1, syscall.SIGTERM, syscall.Signal(40),
	}
	bothEngines(t, func(t *testing.T, e engine, n int) {
		disturbed(t, e, append(someCases(5, n), longCases(n)...), 3, e.Respawns, func(r *rand.Rand) {
			time.Sleep(time.Duration(r.IntN(300)) * time.Microsecond)
			_ = syscall.Kill(e.Pid(), flood[r.IntN(len(flood))])
		})
	})
}

// TestBusy runs cases while every CPU is wanted by others: the clocks that find
// runaways count the child's own time, and nothing is given up.
func TestBusy(t *testing.T) {
	bothEngines(t, func(t *testing.T, e engine, n int) {
		var stop atomic.Bool
		var group sync.WaitGroup
		for range 2 * runtime.NumCPU() {
			group.Go(func() {
				runtime.LockOSThread()
				for x := uint64(1); !stop.Load(); {
					for range 1000 {
						x = x*6364136223846793005 + 1
					}
				}
			})
		}
		defer group.Wait()
		defer stop.Store(true)
		disturbed(t, e, someCases(5, n), 2, func() int { return 0 }, func(*rand.Rand) { time.Sleep(time.Millisecond) })
		assert.Zero(t, e.Respawns())
	})
}

// TestRunsAway: what does not end is given up after a few ticks of the child's
// own clock, in each mode, and the rest goes on.
func TestRunsAway(t *testing.T) {
	for _, mode := range modes {
		nop, jump := newCase(mode, fromHex(t, "90")), newCase(mode, fromHex(t, "ebfe"))
		cases := []oracle.Case{nop, jump, nop, jump, nop}
		for _, e := range []engine{
			newExecutor(t, func(e *Executor) { e.neverStep = true }),
			newRunner(t, silicon.WithStop(silicon.StopBreakpoint)),
		} {
			for i, r := range run(t, e, cases) {
				want := oracle.Ended
				if i%2 == 1 {
					want = oracle.RanAway
				}
				if i%2 == 1 || e.Name() == "silicon" { // a NOP that is not stepped runs into INT3
					assert.Equal(t, want, r.Ending, "%s, %v, case %d: %s", e.Name(), mode, i, describe(&r))
				}
			}
			assert.Zero(t, e.Respawns())
		}
	}
}

// TestLongRepeat: a REP ends where its pages do, however large its count is.
func TestLongRepeat(t *testing.T) {
	e := newExecutor(t)
	for _, code := range []string{"f3ac", "f3ac90"} { // run up to an INT3, and stepped
		c := newCase(x86.Long64, fromHex(t, code))
		c.State.GPR[x86.RSI], c.State.GPR[x86.RCX] = data, ^uint64(0)
		assert.Equal(t, "#PF(0x0) at 0x20002000", one(t, e, &c).Event.String(), code)
	}
	assert.Zero(t, e.Respawns())
}
