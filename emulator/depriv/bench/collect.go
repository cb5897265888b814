package bench

import (
	"slices"
	"time"
)

// result returns what has been measured so far.
func (r *runner) result() *Result {
	res := &Result{
		Machine:    describe(),
		Parameters: r.opt.Parameters,
		Run: RunFacts{
			Started: r.start.UTC().Truncate(time.Second), Seconds: time.Since(r.start).Seconds(), Rounds: r.round,
			Interrupted: r.ctx.Err() != nil, Seed: r.opt.Seed, Commit: r.opt.Commit, Timer: float64(r.timer),
			Load: Summarize(r.load), Others: Summarize(r.others), Steal: Summarize(r.steal), Disturbed: r.disturbed(), Notes: r.notes,
		},
	}
	res.Machine.Sandbox = r.sandbox
	for _, f := range r.floors {
		f.Time, f.Tail, f.Values = Summarize(f.values), f.h.tail(), f.values
		res.Floors = append(res.Floors, f.Floor)
	}
	trusted, err := CountTrusted()
	if err != nil {
		res.Run.Notes = append(res.Run.Notes, err.Error())
	}
	res.Trusted = trusted
	walls := false
	for _, g := range r.rungs {
		res.Rungs = append(res.Rungs, g.Rung)
		walls = walls || g.Walled && g.Missing == ""
		r.addRung(res, g)
	}
	if !walls {
		res.Run.Notes = append(res.Run.Notes, "no wall runs here: a worker in a process of its own needs Linux on x86-64; only what stays in this process was measured")
	}
	for _, n := range lifeNames {
		if l := r.lives[n.name]; l != nil {
			res.Lives = append(res.Lives, Life{n.name, n.about, n.unit, Summarize(l.values), l.values})
		}
	}
	return res
}

// addRung adds what has been measured of one rung, in the order of the tables.
func (r *runner) addRung(res *Result, g *rung) {
	for _, c := range r.classes {
		for _, batch := range r.opt.Batches {
			if k := r.cells[cellKey{g.Name, c.Name, batch}]; k != nil && len(k.times) > 0 {
				res.Cells = append(res.Cells, Cell{
					Rung: g.Name, Class: c.Name, Batch: batch, Time: Summarize(k.times), Added: Summarize(k.added), CPU: Summarize(k.cpu),
					Crossings: k.crossings, Tail: k.h.tail(), Values: slices.Clone(k.times), Requests: slices.Clone(k.requests),
				})
			}
		}
	}
	if !g.main() {
		return
	}
	for _, batch := range r.opt.Batches {
		if e := r.echoes[echoKey{g.Transport, batch}]; e != nil && len(e.times) > 0 {
			res.Echoes = append(res.Echoes, Echo{g.Transport, batch, Summarize(e.times), e.h.tail()})
		}
	}
	for _, shared := range []bool{false, true} {
		for _, n := range vcpuCounts {
			if k := r.contention[contentionKey{g.Name, n, shared}]; k != nil {
				res.Contention = append(res.Contention, Contention{g.Name, n, shared, k.h.tail(), Summarize(k.throughput), Summarize(k.perCore)})
			}
		}
	}
	for _, k := range placeKeys(g.Name) {
		if p := r.places[k]; p != nil {
			res.Places = append(res.Places, Place{k.rung, k.where, k.neighbour, Summarize(p.times), p.h.tail()})
		}
	}
	for _, gap := range gaps {
		if k := r.sparse[sparseKey{g.Name, gap}]; k != nil {
			res.Sparse = append(res.Sparse, Sparse{g.Name, float64(gap), k.h.tail(), Summarize(k.worker)})
		}
	}
	for _, w := range r.works {
		if k := r.pollution[pollutionKey{g.Name, w.name}]; k != nil {
			res.Pollution = append(res.Pollution, Pollution{g.Name, w.name, Summarize(k.times), Summarize(k.added)})
		}
	}
}
