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

// hang finds the case on which a worker's subject hangs, on a subject of its
// own, records it and returns it as an error. The worker's goroutine is lost.
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
		select {
		case <-done:
			continue
		case <-time.After(2 * time.Second):
		}
		sig, err := c.recordHang(w, &kase)
		if err != nil {
			return err
		}
		return fmt.Errorf("subject %s hangs on % x: divergence %s", c.cfg.Subject.Name, kase.CodeBytes(), sig)
	}
	return fmt.Errorf("a batch of %d cases took more than %v, but none of them hangs alone", len(w.cases), hangAfter)
}
