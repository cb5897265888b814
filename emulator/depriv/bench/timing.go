package bench

import "time"

// epoch is what the clock counts from: reading a difference of the monotonic
// clock alone is cheaper than reading both clocks.
var epoch = time.Now()

// clock is the time in nanoseconds.
func clock() int64 { return int64(time.Since(epoch)) }

// timerCost is what two readings of the clock differ by at least, nearly always.
func timerCost() int64 {
	v := make([]float64, 2000)
	for i := range v {
		a := clock()
		v[i] = float64(clock() - a)
	}
	return int64(median(v))
}

// timed is what came of timing an operation for a slice.
type timed struct {
	// ns is the time of an operation: the median of blocks of them.
	ns float64
	// cpu is the processor time of an operation, of this process and of the
	// worker; 0 where there is no such clock.
	cpu float64
	// count is how many operations there were.
	count uint64
}

// block is how long the operations that are timed together take.
const block = 60 * time.Microsecond

// repeat runs an operation for a slice: first to warm up, then in blocks, then
// one by one into h. pid is the worker whose processor time counts.
func repeat(op func() error, slice time.Duration, pid int, timer int64, h *histogram) (timed, error) {
	var t timed
	start := clock()
	for clock()-start < int64(slice)/8 || t.count < 4 {
		if err := op(); err != nil {
			return t, err
		}
		t.count++
	}
	each := (clock() - start) / int64(t.count)
	size := max(1, int(int64(block)/max(each, 1)))
	t.count = 0
	var blocks []float64
	cpu := processorTime(pid)
	for begin := clock(); len(blocks) < 3 || clock()-begin < int64(slice)/2; {
		a := clock()
		for range size {
			if err := op(); err != nil {
				return t, err
			}
		}
		blocks = append(blocks, float64(clock()-a-timer)/float64(size))
		t.count += uint64(size)
	}
	if cpu > 0 {
		t.cpu = float64(processorTime(pid)-cpu) / float64(t.count)
	}
	t.ns = median(blocks)
	if h == nil {
		return t, nil
	}
	for begin := clock(); clock()-begin < int64(slice)*3/8; {
		a := clock()
		if err := op(); err != nil {
			return t, err
		}
		h.add(clock() - a - timer)
	}
	return t, nil
}
