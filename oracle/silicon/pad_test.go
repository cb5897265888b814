package silicon

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// testPads are trampolines for code that does not run.
var testPads = pads{0x200000, 0x200000}

// TestPads: what the landing pads jump to, and from where.
func TestPads(t *testing.T) {
	p := pads{low: 0x12345000, near: 0x7f0000001000}
	var b [maxPad]byte
	for _, k := range []struct {
		kind int
		at   uint64
		want []byte
	}{
		{padLong, 0x7f0000000ffb, []byte{0xe9, 0, 0, 0, 0}},
		{padLong, 0x7f0000002000, []byte{0xe9, 0xfb, 0xef, 0xff, 0xff}},
		{padCompat32, 0x1000, []byte{0xea, 0, 0x50, 0x34, 0x12, 0x33, 0}},
		{padCompat16, 0x1000, []byte{0x66, 0xea, 0, 0x50, 0x34, 0x12, 0x33, 0}},
	} {
		assert.True(t, p.reaches(k.kind, k.at))
		p.put(b[:], k.kind, k.at)
		assert.Equal(t, k.want, b[:padLength[k.kind]])
	}
	assert.False(t, p.reaches(padLong, 0x1000), "further than 2 GiB")
	assert.False(t, p.reaches(padLong, 0x7f0000001000+1<<32))
}
