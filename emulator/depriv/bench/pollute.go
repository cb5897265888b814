package bench

import (
	"math/rand/v2"
	"time"
)

// work is something that the caller does between two steps: it walks through
// memory, each step depending on the last.
type work struct {
	name, about string
	next        []uint32
	at          uint32
	steps       int
}

// newWorks makes the works.
func newWorks() []*work {
	const line, page = 64 / 4, 4096 / 4
	return []*work{
		newWork("L1", "512 cache lines (32 KiB), each once", 512, line, 0),
		newWork("L2", "8,192 cache lines (512 KiB), each once", 8192, line, 0),
		newWork("TLB", "a cache line on each of 512 pages", 512, page, line),
	}
}

// newWork makes a walk through places that are so many words apart, in random
// order; skew moves each page's place, so that they share no set of a cache.
func newWork(name, about string, places, stride, skew int) *work {
	w := &work{name: name, about: about, next: make([]uint32, places*stride+stride), steps: places}
	at := func(i int) uint32 { return uint32(i*stride + (i*skew)%stride) }
	order := rand.New(rand.NewPCG(1, 2)).Perm(places) // the same in each run
	for i, from := range order {
		w.next[at(from)] = at(order[(i+1)%places])
	}
	w.at = at(order[0])
	return w
}

func (w *work) do() {
	at := w.at
	for range w.steps {
		at = w.next[at]
	}
	w.at = at
}

type pollutionKey struct{ rung, work string }

type pollution struct {
	times, added []float64
	last         float64
}

// measurePollution measures what the caller's own work costs after a step.
func (r *runner) measurePollution(t *target) error {
	if !t.rung.main() {
		return nil
	}
	if err := t.load(&classes[1]); err != nil {
		return err
	}
	for _, at := range r.rng.Perm(len(r.works)) {
		if r.ctx.Err() != nil {
			return nil
		}
		w := r.works[at]
		ns, err := after(t, w, 2*r.slice, r.timer)
		if err != nil {
			return err
		}
		p := of(r.pollution, pollutionKey{t.rung.Name, w.name})
		p.last = ns
		p.times = append(p.times, ns)
	}
	return nil
}

// after returns the median time of a work after a step.
func after(t *target, w *work, slice time.Duration, timer int64) (float64, error) {
	var all []float64
	for begin, n := clock(), 0; clock()-begin < int64(slice) || n < 5; n++ {
		if err := t.exchange(1); err != nil {
			return 0, err
		}
		a := clock()
		w.do()
		if ns := clock() - a - timer; n > 1 { // the first ones warm up
			all = append(all, float64(ns))
		}
	}
	return median(all), nil
}
