package bench

import "time"

// gaps are the times between the requests of a virtual CPU that exits now and
// then.
var gaps = []time.Duration{20 * time.Microsecond, 200 * time.Microsecond, 2 * time.Millisecond}

type sparseKey struct {
	rung string
	gap  time.Duration
}

type sparse struct {
	worker []float64
	h      histogram
}

// measureSparse has a virtual CPU step now and then. Meanwhile it computes, as a
// guest does, so that the CPU does not fall asleep.
func (r *runner) measureSparse(t *target) error {
	if !t.rung.main() {
		return nil
	}
	if err := t.load(&classes[1]); err != nil {
		return err
	}
	for _, gap := range gaps {
		if r.ctx.Err() != nil {
			return nil
		}
		s := of(r.sparse, sparseKey{t.rung.Name, gap})
		count, before := 0, int64(0)
		if pid := t.pid(); pid != 0 {
			before = workerTime(pid)
		}
		for begin := clock(); clock()-begin < int64(4*r.slice) || count < 3; count++ {
			for a := clock(); clock()-a < int64(gap); {
				sink++
			}
			a := clock()
			if err := t.exchange(1); err != nil {
				return err
			}
			s.h.add(clock() - a - r.timer)
		}
		if before > 0 {
			s.worker = append(s.worker, float64(workerTime(t.pid())-before)/float64(count))
		}
	}
	return nil
}
