// Package alu is a stand-in for an emulator: small enough to be mutated whole
// in a test.
package alu

import "github.com/seed-4e121ece/ringfence/fuzz/mutants/testdata/tiny/base"

var masks = [...]uint32{0xff, 0xffff}

var ops = map[string]func(a, b uint32) uint32{
	"add": add,
	"shl": func(a, b uint32) uint32 { return a << (b & 0x1f) },
}

func mask(w base.Width) uint32 {
	if w == base.W16 {
		return masks[1]
	}
	return masks[0]
}

func add(a, b uint32) uint32 { return a + b }

// Do runs an operation.
func Do(op string, w base.Width, a, b uint32) (r uint32, carry bool) {
	f := ops[op]
	r = f(a, b)
	if op == "add" && r > mask(w) {
		carry = true
	}
	r &= mask(w)
	return r, carry
}

// Ones counts the bits that are set, with a label and a goto.
func Ones(v uint32) (n int) {
loop:
	for {
		if v == 0 {
			break loop
		}
		n += int(v & 1)
		v >>= 1
	}
	return n
}

// Fill fills a slice; it has no result.
func Fill(s []byte, with byte) {
	if len(s) == 0 {
		return
	}
	for i := range s {
		s[i] = with
	}
}

// Last returns the last byte, sign-extended.
func Last(s []byte) int64 { return int64(int8(s[len(s)-1])) }

// String is left out of the draw.
func String(w base.Width) string {
	if w == base.W8 {
		return "8"
	}
	return "16"
}
