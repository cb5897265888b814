package campaign

import (
	"fmt"
	"time"

	"github.com/seed-4e121ece/ringfence/fuzz/diff"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// hangAfter is how long a batch may take. The references bound what they run;
// a subject in this process cannot be stopped from outside.
var hangAfter = 20 * time.Second

// A subject that hangs uses the CPU all the time, or waits for what never comes.
// On a machine that has no time for this process, an innocent one takes long and
// uses little: it is given this many times as long.
const starvedFactor = 15

var processStart = time.Now()

// ends waits for a run and says whether it comes to an end: false after hangAfter
// of CPU time, or many times as long without it.
func ends(done <-chan struct{}) bool {
	start, cpu := time.Now(), cpuTime()
	for {
		select {
		case <-done:
			return true
		case <-time.After(hangAfter / 10):
		}
		if cpuTime()-cpu > hangAfter*9/10 || time.Since(start) > hangAfter*starvedFactor {
			return false
		}
	}
}

// watchdog sees workers that no longer move.
type watchdog struct {
	workers []*worker
	busy    []uint64
	since   []time.Time
}

func newWatchdog(workers []*worker) *watchdog {
	d := &watchdog{workers: workers, busy: make([]uint64, len(workers)), since: make([]time.Time, len(workers))}
	for i := range d.since {
		d.since[i] = time.Now()
	}
	return d
}

// hung returns a worker whose batch has taken too long, or nil. Between
// batches (an even count) the worker makes cases small, which is bounded.
func (d *watchdog) hung() *worker {
	for i, w := range d.workers {
		if n := w.busy.Load(); n != d.busy[i] || n%2 == 0 {
			d.busy[i], d.since[i] = n, time.Now()
		} else if time.Since(d.since[i]) > hangAfter {
			return w
		}
	}
	return nil
}

// again begins to wait anew for a worker that is slow and does not hang.
func (d *watchdog) again(w *worker) {
	for i := range d.workers {
		if d.workers[i] == w {
			d.since[i] = time.Now()
		}
	}
}

// hang finds the case on which a worker's subject hangs, on a subject of its
// own, records it and returns it as an error: the worker's goroutine is lost.
// It returns nil if none of the cases hangs alone, as where the machine has no
// time for this process.
func (c *campaign) hang(w *worker) error {
	for i := range w.cases {
		kase := w.cases[i]
		kase.Memory = append([]byte(nil), kase.Memory...)
		subject, err := c.cfg.Subject.New()
		if err != nil {
			return fmt.Errorf("subject %s hangs, and cannot be started again: %w", c.cfg.Subject.Name, err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			d := diff.New(subject, nil, c.cfg.Profile, 1, len(kase.Memory))
			_ = d.Run([]oracle.Case{kase})
		}()
		if ends(done) {
			continue
		}
		sig, err := c.recordHang(w, &kase)
		if err != nil {
			return err
		}
		return fmt.Errorf("subject %s hangs on % x: divergence %s", c.cfg.Subject.Name, kase.CodeBytes(), sig)
	}
	return nil
}
