package silicon

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
)

// TestSharedLayout holds what the runner's machine code takes for granted.
func TestSharedLayout(t *testing.T) {
	var s slot
	assert.Zero(t, unsafe.Offsetof(s.gpr), "the runner loads RBP with an 8-bit displacement")
	for name, off := range map[string]uintptr{
		"rflags": unsafe.Offsetof(s.rflags), "outRFLAGS": unsafe.Offsetof(s.outRFLAGS), "code": unsafe.Offsetof(s.code),
		"cell": unsafe.Offsetof(private{}.cell), "rax": unsafe.Offsetof(private{}.rax), "stackTop": unsafe.Offsetof(private{}.stackTop),
	} {
		assert.Zero(t, off%8, "%s must be aligned: RFLAGS.AC may be set", name)
	}
	assert.Zero(t, windowsIn%blockBytes)
	assert.Equal(t, blockSize, blockBytes)
	assert.LessOrEqual(t, unsafe.Sizeof(private{}), uintptr(4096))
	assert.LessOrEqual(t, unsafe.Sizeof(config{}), uintptr(offInit-offConfig))
	assert.Equal(t, uintptr(72), unsafe.Sizeof(call{}), "maxCalls is counted in calls of this size")
	assert.Zero(t, (offPrivate>>16)&0xffff, "bits 16 to 31 of the IRET frame's address are 0, for 16-bit stacks")
	assert.NotEqual(t, unsafe.Offsetof(header{}.req)/64, unsafe.Offsetof(header{}.ack)/64, "words of two writers share a cache line")
}

// TestImage: the image builds at any base, and the runner keeps to its text.
func TestImage(t *testing.T) {
	g, err := newGeometry(oddLayout)
	assert.NoError(t, err)
	for _, base := range []uint64{0x100 << 32, 0x7dff << 32, 0x1234 << 32} {
		img, err := buildImage(g, base, testPads, 1, 4, windowsIn+2*g.winSize)
		assert.NoError(t, err)
		assert.Len(t, img.elf, 4096+imageSize)
		assert.NotContains(t, string(img.elf), "\xde\xc0\xfe\x5a", "an address was not patched")
	}
}
