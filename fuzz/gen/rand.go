package gen

import "math/bits"

// Rand is a small deterministic generator of random numbers (wyrand): one
// multiplication a number, so that making a case costs less than running it.
// The zero value is a valid seed.
type Rand struct{ state uint64 }

// NewRand returns a generator with the given seed.
func NewRand(seed uint64) Rand { return Rand{seed} }

// Uint64 returns 64 random bits.
func (r *Rand) Uint64() uint64 {
	r.state += 0xa0761d6478bd642f
	hi, lo := bits.Mul64(r.state, r.state^0xe7037ed1a0b428db)
	return hi ^ lo
}

// N returns a number from 0 to n-1. n is below 2^32.
func (r *Rand) N(n int) int {
	return int(uint64(uint32(r.Uint64())) * uint64(n) >> 32)
}

// Chance is true n times in 256.
func (r *Rand) Chance(n int) bool { return int(r.Uint64()>>56) < n }

// Pick returns the index of a weight, as often as its share of total, the sum
// of the weights.
func (r *Rand) pick(weights []uint16, total int) int {
	n := r.N(total)
	for i, w := range weights {
		if n -= int(w); n < 0 {
			return i
		}
	}
	return len(weights) - 1
}

func sum(weights []uint16) int {
	n := 0
	for _, w := range weights {
		n += int(w)
	}
	return n
}
