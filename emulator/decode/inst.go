// Package decode turns bytes into an Inst by an index generated from the
// instruction table. It never sees register values.
package decode

import (
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// MaxLength is the longest valid instruction in bytes (SDM vol. 2, 2.3.11).
const MaxLength = 15

// Reason tells why bytes are not a valid instruction.
type Reason uint8

// The reasons. Valid is 0.
const (
	Valid Reason = iota
	// Truncated: the bytes end before the instruction does.
	Truncated
	// TooLong: a 16th byte would be needed (#GP(0)).
	TooLong
	// Undefined: no such encoding (#UD).
	Undefined
	// BadLock: LOCK where it is not allowed (#UD).
	BadLock
	// WrongMode: valid in another mode only (#UD).
	WrongMode
	// MissingFeature: valid on a CPU that has the row's feature (#UD).
	MissingFeature
)

var reasonNames = [...]string{"valid", "truncated", "too long", "undefined", "bad lock", "wrong mode", "missing feature"}

// String returns the reason in words, as "truncated".
func (r Reason) String() string {
	if int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return "?"
}

// Prefix is the set of legacy prefixes that an instruction carries.
type Prefix uint16

// The prefixes. PrefixRepne and PrefixRep are exclusive: the last one wins.
const (
	PrefixLock Prefix = 1 << iota
	PrefixRepne
	PrefixRep
	PrefixOpSize
	PrefixAddrSize
	// PrefixSegment: an override that counts (Segment tells which).
	PrefixSegment
)

// Inst is a decoded instruction. It holds no pointers, so that it can cross a
// wall, and is comparable.
type Inst struct {
	// Row is the table's row, 0 when the bytes are invalid.
	Row isa.ID
	Err Reason
	// Length is the number of bytes, prefixes included; for an invalid string
	// the number of bytes that were looked at.
	Length uint8
	// OpSize is the effective operand size in bytes: 2, 4 or 8.
	OpSize uint8
	// AddrSize is the effective address size in bytes: 2, 4 or 8.
	AddrSize uint8
	Prefix   Prefix
	// REX is the REX prefix byte, or 0 if there is none that counts.
	REX    uint8
	Map    isa.Map
	Opcode uint8
	// ModRM and SIB are the raw bytes, valid if HasModRM, HasSIB.
	ModRM, SIB       uint8
	HasModRM, HasSIB bool
	// Reg and RM are ModRM.reg and ModRM.rm with their REX extensions, or RM
	// is the opcode's register with REX.B.
	Reg, RM uint8
	// IsMem says that ModRM.rm is a memory operand, at
	// Segment:(Base + Index*Scale + Disp).
	IsMem   bool
	Segment x86.Segment
	// Base and Index are register numbers, x86.RegRIP or x86.RegNone.
	Base, Index uint8
	// Scale is 1, 2, 4 or 8.
	Scale uint8
	// Disp is the displacement, sign-extended, or the absolute offset of
	// KindMoffs.
	Disp uint64
	// Imm is the immediate (or branch displacement), sign-extended to 64 bits
	// where the row says so, zero-extended otherwise; Imm2 is the second one
	// (ENTER, ptr16:xx selector).
	Imm  uint64
	Imm2 uint16
	// Where the parts are, in bytes from the start.
	PrefixLen, OpcodeOff, DispOff, DispLen, ImmOff, ImmLen uint8
	// VVVV is the register of VEX.vvvv or EVEX.V'vvvv, already inverted.
	VVVV uint8
	// VL is VEX.L or EVEX.L'L: 0 for 128 bits, 1 for 256, 2 for 512.
	VL uint8
	// EVEX is the third payload byte of EVEX: mask in bits 0 to 2, broadcast
	// or rounding in bit 4, zeroing in bit 7; 0 without EVEX. With map 4 bit 2
	// is NF and bit 4 ND, or the lowest four bits are a condition.
	EVEX uint8
	// REX2 is the payload of a REX2 prefix, valid if HasREX2. REX is then what
	// a REX prefix with the same lower half would be.
	REX2    uint8
	HasREX2 bool
}

// Valid says whether the bytes are a valid instruction.
func (in *Inst) Valid() bool { return in.Err == Valid }
