package bench

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/seed-4e121ece/ringfence/internal/spawn"
)

type placeKey struct {
	rung, where string
	neighbour   bool
}

type placed struct {
	times []float64
	h     histogram
}

func placeKeys(rung string) (all []placeKey) {
	for _, where := range []string{PlaceSame, PlaceOther} {
		for _, neighbour := range []bool{false, true} {
			all = append(all, placeKey{rung, where, neighbour})
		}
	}
	return all
}

// measurePlaces measures a walled rung with its worker on the caller's CPU and
// on another, each with and without a neighbour who wants the worker's CPU for
// itself.
func (r *runner) measurePlaces(g *rung) error {
	if !g.Walled || g.Missing != "" || len(r.cpus) < 2 {
		return nil
	}
	for _, k := range placeKeys(g.Name) {
		if r.ctx.Err() != nil {
			return nil
		}
		if err := r.measurePlace(g, k); err != nil {
			if errors.Is(err, errStep) {
				return err
			}
			g.failed(err)
			return nil
		}
	}
	return nil
}

func (r *runner) measurePlace(g *rung, k placeKey) error {
	t, err := r.alone(g, false)
	if err != nil {
		return err
	}
	defer t.close()
	there := r.cpu()
	if k.where == PlaceOther {
		there = r.cpus[(r.round+1)%len(r.cpus)]
	}
	if err := spawn.Pin(t.pid(), there); err != nil {
		return err
	}
	if k.neighbour {
		defer occupy(there)()
	}
	p := of(r.places, k)
	v, err := repeat(func() error { return t.exchange(1) }, 4*r.slice, 0, r.timer, &p.h)
	if err != nil {
		return err
	}
	p.times = append(p.times, v.ns)
	return nil
}

// occupy has a thread compute on a CPU until release.
func occupy(cpu int) (release func()) {
	var stop atomic.Bool
	var done, ready sync.WaitGroup
	ready.Add(1)
	done.Go(func() {
		defer stay(cpu)()
		ready.Done()
		for !stop.Load() {
			for range 1000 {
				sunk = nothing(sunk)
			}
		}
	})
	ready.Wait()
	return func() {
		stop.Store(true)
		done.Wait()
	}
}

// sunk is where the thread of occupy puts what it computes.
var sunk uint64
