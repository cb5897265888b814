package bench

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSummarize(t *testing.T) {
	one := Summary{N: 1, Min: 7, Q1: 7, Median: 7, Q3: 7, Max: 7, Low: 7, High: 7}
	for _, tt := range []struct {
		name   string
		values []float64
		want   Summary
	}{
		{"none", nil, Summary{}},
		{"one", []float64{7}, one},
		{"two", []float64{3, 1}, Summary{2, 1, 1.5, 2, 2.5, 3, 1, 3, 0.5}},
		{"five, too few for 95 %", []float64{5, 1, 4, 2, 3}, Summary{5, 1, 2, 3, 4, 5, 1, 5, 1 - 2./32}},
		{"six", []float64{6, 5, 4, 3, 2, 1}, Summary{6, 1, 2.25, 3.5, 4.75, 6, 1, 6, 1 - 2./64}},
		{"nine, an outlier", []float64{9, 8, 7, 1000, 5, 4, 3, 2, 1}, Summary{9, 1, 3, 5, 8, 1000, 2, 9, 1 - 2*(1.+9)/512}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, Summarize(tt.values))
		})
	}
}

// TestMedianRanks holds the ranks against tables of the sign test's interval.
func TestMedianRanks(t *testing.T) {
	for _, tt := range []struct {
		n, cut int
		level  float64
	}{{5, 0, 0.9375}, {6, 0, 0.9688}, {8, 0, 0.9922}, {9, 1, 0.9609}, {12, 2, 0.9614}, {16, 3, 0.9787}, {20, 5, 0.9586}, {30, 9, 0.9572}} {
		cut, level := medianRanks(tt.n)
		require.Equal(t, tt.cut, cut, "%d values", tt.n)
		require.InDelta(t, tt.level, level, 0.0001, "%d values", tt.n)
	}
}

// TestConfidence draws from a skewed distribution as times have it: the interval
// must hold the true median as often as it says.
func TestConfidence(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const runs, n = 4000, 12
	inside := 0
	for range runs {
		v := make([]float64, n)
		for i := range v {
			v[i] = math.Exp(rng.NormFloat64())
		}
		if s := Summarize(v); s.Low <= 1 && 1 <= s.High {
			inside++
		}
	}
	_, level := medianRanks(n)
	require.InDelta(t, level, float64(inside)/runs, 0.015)
}

func TestHistogram(t *testing.T) {
	for _, tt := range []struct {
		name           string
		add            []int64
		p50, p99, p999 float64
	}{
		{"none", nil, 0, 0, 0},
		{"below zero counts as zero", []int64{-5}, 0, 0, 0},
		{"exact below 32", []int64{1, 2, 3}, 2, 3, 3},
		{"one of many", append(repeated(100, 999), 1e6), 100, 100, 100},
		{"two of a thousand", append(repeated(100, 998), 1e6, 1e6), 100, 100, 1e6},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var h, other histogram
			for i, v := range tt.add {
				if i%2 == 0 {
					h.add(v)
				} else {
					other.add(v)
				}
			}
			h.merge(&other)
			got := h.tail()
			require.EqualValues(t, len(tt.add), got.N)
			require.InEpsilon(t, 1+tt.p50, 1+got.P50, 1./32)
			require.InEpsilon(t, 1+tt.p99, 1+got.P99, 1./32)
			require.InEpsilon(t, 1+tt.p999, 1+got.P999, 1./32)
		})
	}
}

func repeated(v int64, n int) []int64 {
	all := make([]int64, n)
	for i := range all {
		all[i] = v
	}
	return all
}

// TestBins: bins follow each other without a hole, and each value is in its own.
func TestBins(t *testing.T) {
	last := -1
	for ns := range uint64(1 << 14) {
		b := bin(ns)
		require.True(t, b == last || b == last+1, "%d ns in bin %d after %d", ns, b, last)
		last = b
		require.InDelta(t, float64(ns), binValue(b), float64(ns)/32+0.5, "%d ns", ns)
	}
	var h histogram
	h.add(math.MaxInt64) // fits
}

func TestText(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{nanos(0), "0.00 ns"},
		{nanos(59.96), "60.0 ns"},
		{nanos(2751.9), "2.75 µs"},
		{nanos(-1500), "−1.50 µs"},
		{nanos(2.876e6), "2.88 ms"},
		{nanos(3e9), "3.00 s"},
		{count(0), "0"},
		{count(999), "999"},
		{count(45612), "45,600"},
		{count(999600), "1.00 million"},
		{count(1.2e6), "1.20 million"},
		{percent(0.0123), "1.23 %"},
		{size(3 << 20), "3.00 MiB"},
		{list([]string{"a", "b", "c"}), "a, b and c"},
		{list(nil), ""},
		{spreadText(Summary{}, nanos), "no figure"},
	} {
		require.Equal(t, tt.want, tt.got)
	}
}
