package walls

import (
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator/depriv"
)

// attacker ends workers at random times: three of four with SIGKILL, the others
// with SIGSTOP, which leaves them to the caller's patience.
type attacker struct {
	// pid is the worker in use while a batch runs, 0 in between; of a worker
	// that is gone already nothing is known, so that a finding clears it.
	pid            atomic.Int64
	killed, halted atomic.Int64
}

// run ends workers until quit is closed.
func (a *attacker) run(seed uint64, quit <-chan struct{}) {
	r := rand.New(rand.NewPCG(seed, 1))
	for {
		wait := time.NewTimer(time.Duration(r.ExpFloat64() * float64(*every)))
		select {
		case <-quit:
			wait.Stop()
			return
		case <-wait.C:
		}
		a.strike(r.IntN(4) == 0)
	}
}

func (a *attacker) strike(halt bool) {
	pid := a.pid.Swap(0)
	if pid == 0 {
		return
	}
	signal, count := syscall.SIGKILL, &a.killed
	if halt {
		signal, count = syscall.SIGSTOP, &a.halted
	}
	if syscall.Kill(int(pid), signal) == nil {
		count.Add(1)
	}
}

// TestEndurance works on all transports at the same time while their workers are
// killed and stopped in the middle of what they do: every case is answered as
// in-process, and nothing is done twice; descriptors and memory stay. Not
// where the worker writes the guest's memory itself: a step that it dies in
// fails by design, since what it has written cannot be told.
func TestEndurance(t *testing.T) {
	if *endurance == 0 {
		t.Skip("-walls.endurance says for how long")
	}
	before := usage(t)
	t.Run("all", func(t *testing.T) {
		for i, name := range names() {
			if strings.HasSuffix(name, "+"+depriv.WindowWrite.String()) {
				continue
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				endure(t, name, uint64(i))
			})
		}
	})
	after := usage(t)
	t.Logf("before %v, after %v", before, after)
	require.LessOrEqual(t, after.descriptors, before.descriptors+16)
}

func endure(t *testing.T, name string, seed uint64) {
	a := &attacker{}
	died, hung := 0, 0
	e := openWith(t, name, depriv.Config{Timeout: 4 * time.Second, Attempts: 8, Finding: func(f depriv.Finding) {
		a.pid.Store(0)
		switch f.Kind {
		case depriv.Died:
			died++
			require.ErrorContains(t, f.Err, "killed")
		case depriv.Hung:
			hung++
		default:
			require.Fail(t, "a worker was found wanting", "%v", f.Error())
		}
	}})
	if e.Client().Pid() == 0 {
		t.Skip("no process to kill")
	}
	quit := make(chan struct{})
	defer close(quit)
	go a.run(seed, quit)
	r := newRunner(seed)
	done := 0
	for from := time.Now(); time.Since(from) < *endurance; {
		a.pid.Store(int64(e.Client().Pid()))
		r.compare(t, e)
		a.pid.Store(0)
		done += batch
	}
	s := e.Client().Stats()
	require.Zero(t, s.Failed)
	t.Logf("%d cases, %d steps, each answered once and as in-process; %d workers killed and %d stopped, %d found dead and %d hung, %d replaced",
		done, s.Requests, a.killed.Load(), a.halted.Load(), died, hung, s.Replaced)
}
