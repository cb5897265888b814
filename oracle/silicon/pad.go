package silicon

import (
	"encoding/binary"
	"math"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// The landing pad is what stands behind the instruction: a jump to the
// trampoline, a page with MOV [abs RAX store], RAX; MOV RAX, runnerLand; JMP
// RAX. All of it touches no flag, no memory of the test and no register but
// RAX, which it has saved. 64-bit code jumps to a trampoline within 2 GiB of
// the code, by JMP rel32; 32- and 16-bit code to one below 4 GiB, by a far JMP
// to 64-bit code. Mostly that is the same page.
//
// It is short because a line of memory that has been executed is costly to
// write to, each time that it is written to.

// Kinds of pad.
const (
	padLong = iota
	padCompat32
	padCompat16
	numPads
)

// padLength is the length of each kind of pad.
var padLength = [numPads]int{5, 7, 8}

// maxPad is the longest of them.
const maxPad = 8

// pads tells where the trampolines of a child are.
type pads struct {
	low  uint64 // below 4 GiB
	near uint64 // within 2 GiB of the code, if the layout allows it
}

// of returns the trampoline of a kind of pad.
func (t *pads) of(kind int) uint64 {
	if kind == padLong {
		return t.near
	}
	return t.low
}

// reaches says that a pad of that kind at an address can jump to its
// trampoline.
func (t *pads) reaches(kind int, at uint64) bool {
	d := int64(t.near - (at + uint64(padLength[padLong])))
	return kind != padLong || d >= math.MinInt32 && d <= math.MaxInt32
}

// put writes the pad for an address.
func (t *pads) put(out []byte, kind int, at uint64) {
	switch kind {
	case padLong:
		out[0] = 0xe9 // JMP rel32
		binary.LittleEndian.PutUint32(out[1:], uint32(t.near-(at+5)))
	case padCompat32:
		t.far(out)
	case padCompat16:
		out[0] = 0x66
		t.far(out[1:])
	}
}

func (t *pads) far(out []byte) {
	out[0] = 0xea // JMP ptr16:32
	binary.LittleEndian.PutUint32(out[1:], uint32(t.low))
	binary.LittleEndian.PutUint16(out[5:], oracle.SelectorCS64)
}

// trampoline is the code of the trampoline: rax is where RAX is stored, land
// the runner's entry.
func trampoline(rax, land uint64) []byte {
	p := binary.LittleEndian.AppendUint64([]byte{0x48, 0xa3}, rax)    // MOV [moffs64], RAX
	p = binary.LittleEndian.AppendUint64(append(p, 0x48, 0xb8), land) // MOV RAX, imm64
	return append(p, 0xff, 0xe0)                                      // JMP RAX
}

// padOf returns the kind of pad for code of that width.
func padOf(m x86.Mode) int {
	switch m {
	case x86.Compat32:
		return padCompat32
	case x86.Compat16:
		return padCompat16
	}
	return padLong
}
