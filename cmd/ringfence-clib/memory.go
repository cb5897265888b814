package main

import (
	"encoding/binary"
	"unsafe"
)

// block is memory that a C library writes: a struct of C by its offsets.
type block []byte

func (b block) u8(at int) uint8   { return b[at] }
func (b block) u16(at int) uint16 { return binary.NativeEndian.Uint16(b[at:]) }
func (b block) u32(at int) uint32 { return binary.NativeEndian.Uint32(b[at:]) }
func (b block) u64(at int) uint64 { return binary.NativeEndian.Uint64(b[at:]) }

// address is what C is given. The block must be reachable during the call.
func (b block) address() uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }

// newBlock returns memory aligned for any struct.
func newBlock(size int) block {
	words := make([]uint64, (size+7)/8)
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), size)
}

// cString returns the text at a C pointer, at most most bytes of it; "" for a
// null pointer.
func cString(p uintptr, most int) string {
	if p == 0 {
		return ""
	}
	// The memory is C's, which the garbage collector does not move.
	first := *(**byte)(unsafe.Pointer(&p))
	return text(unsafe.Slice(first, most))
}

// text returns b up to its first zero.
func text(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}

// putU64 stores a number.
func (b block) putU64(at int, v uint64) { binary.NativeEndian.PutUint64(b[at:], v) }
