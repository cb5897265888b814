package silicon

import (
	"encoding/binary"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// The landing pad of 64-bit code: MOV [abs RAX store], RAX; MOV RAX,
// runnerLand; JMP RAX. It touches no flag, no memory of the test and no
// register but RAX, which it has saved. 32- and 16-bit code gets there by a far
// JMP to the trampoline, a page below 4 GiB that holds the 64-bit pad.
const (
	padSize = 10 + 10 + 2
	// padFirst is the length of the 64-bit pad's first instruction: where a
	// trap comes if the instruction under test has set TF.
	padFirst = 10
)

// Kinds of pad, an index in pads.
const (
	padLong = iota
	padCompat32
	padCompat16
	numPads
)

// pads are the landing pads by kind.
type pads [numPads][]byte

// makePads returns the pads: rax is where RAX is stored, land the runner's
// entry, tramp the page below 4 GiB.
func makePads(rax, land uint64, tramp uint32) pads {
	p := binary.LittleEndian.AppendUint64([]byte{0x48, 0xa3}, rax)           // MOV [moffs64], RAX
	p = binary.LittleEndian.AppendUint64(append(p, 0x48, 0xb8), land)        // MOV RAX, imm64
	p = append(p, 0xff, 0xe0)                                                // JMP RAX
	far := binary.LittleEndian.AppendUint32([]byte{0x66, 0xea}, tramp)       // JMP ptr16:32
	far = binary.LittleEndian.AppendUint16(far, uint16(oracle.SelectorCS64)) // to 64-bit code
	return pads{padLong: p, padCompat32: far[1:], padCompat16: far}
}

// padLength is the length of each pad.
var padLength = [numPads]int{padSize, 7, 8}

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
