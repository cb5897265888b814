package bench

import (
	"math"
	"math/bits"
	"slices"
)

// Summary is what repeated measurements came to. The unit is that of the
// measurements.
type Summary struct {
	// N is how many there were.
	N int `json:"n"`
	// Min, Q1, Median, Q3 and Max are the least, the quartiles and the most.
	Min    float64 `json:"min"`
	Q1     float64 `json:"q1"`
	Median float64 `json:"median"`
	Q3     float64 `json:"q3"`
	Max    float64 `json:"max"`
	// Low and High hold the true median with probability Level, whatever the
	// distribution: at least Confidence, or what the least and the most come to
	// where there are too few for that.
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
	Level float64 `json:"level"`
}

// Confidence is the level of the intervals of a Summary.
const Confidence = 0.95

// Summarize returns the summary of values, which it leaves as they are. Of none
// it is zero.
func Summarize(values []float64) Summary {
	if len(values) == 0 {
		return Summary{}
	}
	v := slices.Clone(values)
	slices.Sort(v)
	s := Summary{N: len(v), Min: v[0], Q1: quantile(v, 0.25), Median: quantile(v, 0.5), Q3: quantile(v, 0.75), Max: v[len(v)-1]}
	cut, level := medianRanks(len(v))
	s.Low, s.High, s.Level = v[cut], v[len(v)-1-cut], level
	return s
}

// medianRanks says how many of n sorted values to leave out at each end, so that
// what is left spans the true median with the probability level: at least
// Confidence, or as much as n values can give. It is the interval of the sign
// test, which assumes nothing about the distribution but that the values are
// independent of each other.
func medianRanks(n int) (cut int, level float64) {
	outside, term := 0.0, math.Ldexp(1, -n) // term: chance that exactly cut values are below
	for k := 0; ; k++ {
		// With k values left out at each end, the median is outside if at most k
		// values are below it, or above it.
		outside += 2 * term
		if k == 0 {
			level = 1 - outside
		}
		if 1-outside < Confidence || 2*k+1 > n {
			return max(k-1, 0), level
		}
		cut, level = k, 1-outside
		term *= float64(n-k) / float64(k+1)
	}
}

// quantile returns the quantile q of sorted values, between two of them in
// proportion (type 7 of Hyndman and Fan).
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}

// median returns the median of values, which it sorts; 0 of none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return quantile(values, 0.5)
}

// IQR is the distance between the quartiles.
func (s Summary) IQR() float64 { return s.Q3 - s.Q1 }

// histogram counts durations in nanoseconds in bins that are at most a 32nd of
// their value wide.
type histogram struct {
	counts [(64 - subBits + 1) << subBits]uint32
	n      uint64
}

const subBits = 5

func bin(ns uint64) int {
	if ns < 1<<subBits {
		return int(ns)
	}
	shift := bits.Len64(ns) - subBits - 1
	return (shift+1)<<subBits + int(ns>>shift)&(1<<subBits-1)
}

// binValue is the middle of a bin.
func binValue(i int) float64 {
	if i < 1<<subBits {
		return float64(i)
	}
	shift := i>>subBits - 1
	low := float64(uint64(1)<<subBits + uint64(i&(1<<subBits-1)))
	return math.Ldexp(low+0.5, shift) - 0.5
}

func (h *histogram) add(ns int64) {
	h.counts[bin(uint64(max(ns, 0)))]++
	h.n++
}

// merge adds the counts of another.
func (h *histogram) merge(o *histogram) {
	for i, c := range o.counts {
		h.counts[i] += c
	}
	h.n += o.n
}

// quantile returns the least value that a share q of all does not exceed; 0 of
// none.
func (h *histogram) quantile(q float64) float64 {
	if h.n == 0 {
		return 0
	}
	rank := max(uint64(math.Ceil(q*float64(h.n))), 1)
	for i, c := range h.counts {
		if uint64(c) >= rank {
			return binValue(i)
		}
		rank -= uint64(c)
	}
	return 0
}

// Tail is the distribution of single requests, in nanoseconds.
type Tail struct {
	N    uint64  `json:"n"`
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
}

func (h *histogram) tail() Tail {
	return Tail{h.n, h.quantile(0.5), h.quantile(0.99), h.quantile(0.999)}
}
