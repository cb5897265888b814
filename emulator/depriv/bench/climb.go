package bench

import (
	"errors"
	"runtime"
	"slices"

	"github.com/seed-4e121ece/ringfence/emulator/depriv/transport"
)

type cellKey struct {
	rung, class string
	batch       int
}

// cell collects what the rounds measure of a Cell.
type cell struct {
	times, added, cpu []float64
	requests          []uint64
	crossings         float64
	h                 histogram
	// last is the time of this round, 0 before it is measured.
	last float64
}

type echoKey struct {
	transport string
	batch     int
}

type echo struct {
	times []float64
	h     histogram
}

// of returns the value of a key, made at its first use.
func of[K comparable, V any](m map[K]*V, k K) *V {
	if m[k] == nil {
		m[k] = new(V)
	}
	return m[k]
}

// climb measures everything about a rung once.
func (r *runner) climb(g *rung) error {
	if g.Missing != "" {
		return nil
	}
	t, err := g.open(0, slices.Max(r.opt.Batches))
	if err != nil {
		g.failed(err)
		return nil
	}
	defer t.close()
	if err := t.settle(r.cpu()); err != nil {
		g.failed(err)
		return nil
	}
	r.noteSandbox(t)
	for _, task := range []func(*target) error{r.measureCells, r.measureEchoes, r.measureSparse, r.measurePollution} {
		if err := task(t); err != nil {
			if errors.Is(err, errStep) {
				return err
			}
			g.failed(err)
			return nil
		}
	}
	return nil
}

// noteSandbox keeps what holds the first worker.
func (r *runner) noteSandbox(t *target) {
	if r.sandbox != nil || !t.rung.Walled {
		return
	}
	for _, i := range t.client.Report() {
		text := i.Mechanism + ": " + i.Detail
		if !i.On {
			text = i.Mechanism + ": REFUSED: " + i.Detail
		}
		r.sandbox = append(r.sandbox, text)
	}
}

// measureCells measures each class in each batch.
func (r *runner) measureCells(t *target) error {
	for _, at := range r.rng.Perm(len(r.classes)) {
		c := r.classes[at]
		if err := t.load(c); err != nil {
			return err
		}
		for range len(c.Codes) { // each must do what its class does
			if err := t.exchange(len(t.list)); err != nil {
				return err
			}
		}
		for _, batch := range r.opt.Batches {
			if batch > len(t.list) {
				continue
			}
			if r.ctx.Err() != nil {
				return nil
			}
			k := of(r.cells, cellKey{t.rung.Name, c.Name, batch})
			before := t.stats()
			v, err := repeat(func() error { return t.exchange(batch) }, r.slice, t.pid(), r.timer, &k.h)
			if err != nil {
				return err
			}
			after := t.stats()
			k.last = v.ns / float64(batch)
			k.times = append(k.times, k.last)
			k.requests = append(k.requests, v.count*uint64(batch))
			if v.cpu > 0 {
				k.cpu = append(k.cpu, v.cpu/float64(batch))
			}
			if n := after.Requests - before.Requests; n > 0 {
				k.crossings = float64(after.Crossings-before.Crossings) / float64(n)
			}
		}
	}
	return r.countAllocations(t)
}

// countAllocations counts what a step allocates in this process; other
// goroutines may allocate meanwhile, so that the least of the rounds holds.
func (r *runner) countAllocations(t *target) error {
	const steps = 100
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range steps {
		if err := t.exchange(1); err != nil {
			return err
		}
	}
	runtime.ReadMemStats(&after)
	n := float64(after.Mallocs-before.Mallocs) / steps
	if r.round == 0 || n < t.rung.Allocations {
		t.rung.Allocations = n
	}
	return nil
}

// measureEchoes measures the transport without the emulator.
func (r *runner) measureEchoes(t *target) error {
	if !t.rung.main() || t.rung.direct {
		return nil
	}
	for _, batch := range r.opt.Batches {
		if batch > len(t.list) || r.ctx.Err() != nil {
			continue
		}
		e := of(r.echoes, echoKey{t.rung.Transport, batch})
		v, err := repeat(func() error { return t.client.Echo(batch) }, 2*r.slice, 0, r.timer, &e.h)
		if err != nil {
			return err
		}
		e.times = append(e.times, v.ns/float64(batch))
	}
	return nil
}

// addDifferences ends a round: what each cell and each work took above Direct in
// it.
func (r *runner) addDifferences() {
	for k, c := range r.cells {
		d := r.cells[cellKey{Direct, k.class, k.batch}]
		if d != nil && d.last > 0 && c.last > 0 {
			c.added = append(c.added, c.last-d.last)
		}
	}
	for k, p := range r.pollution {
		d := r.pollution[pollutionKey{Direct, k.work}]
		if d != nil && d.last > 0 && p.last > 0 {
			p.added = append(p.added, p.last-d.last)
		}
	}
	for _, c := range r.cells {
		c.last = 0
	}
	for _, p := range r.pollution {
		p.last = 0
	}
}

// bestWall is the transport that lives are measured with: the one that needs no
// CPU of its own.
const bestWall = transport.Futex
