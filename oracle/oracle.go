// Package oracle is what a subject is compared with. It defines the engines
// (Decoder, Executor), the case that they answer, the result, and the
// comparison with its written rules. Engines live in the folders below.
package oracle

import (
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// Case is one instruction (or Steps of them) with the state before it.
type Case struct {
	// Code[:CodeLen] are the bytes at CodeAddress(); what follows them is the
	// layout's (the fill of the code pages). CodeLen is at most 15; a longer
	// or shorter string than the instruction is allowed.
	Code    [16]byte
	CodeLen uint8
	// State.FPU is nil if the case does not say the x87 and vector state: it is
	// then the initial one and not compared. Otherwise FPU.Loaded has at least
	// ComponentsBasic, and components that are not in it are initial.
	State x86.State
	// FSBase and GSBase are the bases of FS and GS. Where Segments is given,
	// they are the same as there.
	FSBase, GSBase uint64
	Layout         *Layout
	// Memory holds the content of the layout's windows, in order, each byte
	// once. Its length is Layout.WindowBytes().
	Memory []byte
	// Steps is the number of instructions to run; 0 means 1. A REP counts as
	// one.
	Steps int
	// Extra names the keys of the case schema that were given and that the
	// fields above cannot express (ports, msrs …). An executor answers a case
	// that has any with Unsupported and Note Extra[0].
	Extra []string
	// Given are the memory entries of a case that was read from JSON, in its
	// order: what its answer returns. They lie within the windows.
	Given []Window
	// Segments are ES to GS with their hidden parts, outside 64-bit mode; nil
	// means the segments that Segment describes. Selectors are those of State.
	Segments *[x86.NumSegment]x86.SegmentRegister
	// LDT holds further descriptors of the local descriptor table, by their
	// Selector, which the instruction may load or refer to. All others of the
	// table are empty, but for those of Segments.
	LDT []x86.SegmentRegister
}

// CodeBytes returns the bytes of the instruction.
func (c *Case) CodeBytes() []byte { return c.Code[:c.CodeLen] }

// Ending says how the run of a case ended.
type Ending uint8

// The endings. All but Ended mean that there is nothing to compare.
const (
	// Ended: Result.Outcome is valid.
	Ended Ending = iota
	// Unsupported: the engine cannot express the case; Note names the field,
	// and after ": " may tell why.
	Unsupported
	// SystemCall: the CPU entered the kernel through a system-call
	// instruction; what happens then is the kernel's.
	SystemCall
	// RanAway: the instruction (a branch to itself, a long REP) did not end
	// in the time allowed.
	RanAway
	// Died: the engine's process died or broke its protocol on this case.
	Died
	// Quarantined: the instruction's result depends on the machine (RDTSC,
	// CPUID …); Note names the reason.
	Quarantined
	NumEndings
)

var endingNames = [NumEndings]string{"ended", "unsupported", "system_call", "ran_away", "died", "quarantined"}

// String returns the name of the case schema, as "ran_away".
func (e Ending) String() string {
	if e < NumEndings {
		return endingNames[e]
	}
	return "?"
}

// StrayWord is an aligned quadword outside the windows that a case changed.
type StrayWord struct {
	Address uint64
	Value   uint64
}

// MaxStray is how many stray words a result lists.
const MaxStray = 16

// Field is a set of fields of a Result.
type Field uint32

// The fields, in the order in which differences are reported.
const (
	FieldEnding Field = 1 << iota
	FieldOutcome
	FieldEvent
	FieldErrorCode
	FieldAddress
	FieldRIP
	FieldFlags
	FieldGPR
	FieldSelectors
	FieldBases
	FieldMemory
	FieldStray
	FieldRetire
	FieldAccesses
	FieldPromise
	FieldFPU
	// FieldStackHigh is RSP above its low 16 bits. It is known with
	// FieldGPR, and never a difference of its own: an engine that cannot see
	// it says so.
	FieldStackHigh
	NumFields = iota
)

var fieldNames = [NumFields]string{
	"ending", "outcome", "event", "error_code", "address", "rip", "rflags", "registers", "selectors", "bases", "memory",
	"stray", "retire", "accesses", "promise", "fpu", "stack_high",
}

// Names returns the names of the fields in the set.
func (f Field) Names() []string {
	var s []string
	for i, n := range fieldNames {
		if f&(1<<i) != 0 {
			s = append(s, n)
		}
	}
	return s
}

// Result is what an engine says of a case. It belongs to the caller, who
// reuses it; Memory is allocated by the caller with the length of the case's.
type Result struct {
	Ending  Ending
	Outcome step.Outcome
	// Event is valid if Outcome is Exception.
	Event x86.Event
	// Steps is the number of instructions that retired.
	Steps int
	// State is the state after; for a fault, the state that the fault leaves.
	State          x86.State
	FSBase, GSBase uint64
	// Memory is the content of the windows after the run.
	Memory []byte
	// Stray[:min(NumStray, MaxStray)] are the words outside the windows that
	// changed, by address; NumStray is how many there were.
	Stray    [MaxStray]StrayWord
	NumStray int
	Retire   step.Retire
	// Accesses is the log of memory accesses of an engine that keeps one; it
	// may alias the engine's storage until its next Run.
	Accesses []step.Access
	// Partial says that a fault left effects behind.
	Partial bool
	// Unknown are the fields that the engine cannot see.
	Unknown Field
	// Promise is the promise that a subject broke, "" if none.
	Promise string
	// Note explains an ending other than Ended.
	Note string
	// Iterations is the number of iterations that an instruction with a REP
	// prefix has made, of an engine that can tell.
	Iterations uint64

	fpu *x86.FPU // storage of State.FPU
}

// Executor runs cases. It is used by one goroutine at a time.
type Executor interface {
	// Name is the engine's name, as "model".
	Name() string
	// Run answers cases[i] in results[i], for all i; the slices have one
	// length. A case that cannot be run is answered as such and the rest goes
	// on; an error means that the engine is gone.
	Run(cases []Case, results []Result) error
	Close() error
}

// Decoder decodes single instructions.
type Decoder interface {
	// Name is the engine's name, as "x86asm".
	Name() string
	// Decode decodes the first instruction of code and fills d.
	Decode(code []byte, mode x86.Mode, d *Decoded)
}

// OperandKind is the kind of a canonical operand.
type OperandKind uint8

// The kinds of operand.
const (
	OperandNone OperandKind = iota
	OperandRegister
	OperandMemory
	OperandImmediate
	OperandRelative
	OperandFar
)

// Operand is an operand in canonical form: two decoders that agree give equal
// values.
type Operand struct {
	Kind OperandKind
	// Class and Register name a register; Size is in bytes.
	Class    x86.Class
	Register uint8
	Size     uint8
	// Segment is the segment of a memory operand, default or overridden;
	// Base and Index are register numbers, RegRIP or RegNone; Scale is 1, 2, 4
	// or 8, and 1 without an index.
	Segment     x86.Segment
	Base, Index uint8
	Scale       uint8
	// AddrSize is the address size in bytes of a memory operand.
	AddrSize uint8
	// Value is the displacement, immediate (masked to the operand's Size) or
	// branch displacement, sign-extended to 64 bits where it is signed.
	Value int64
}

// MaxOperands is the largest number of operands of a Decoded.
const MaxOperands = 5

// Decoded is what a decoder says of a byte string, in canonical form.
type Decoded struct {
	Valid bool
	// Reason tells why it is not valid, as "truncated".
	Reason string
	// Covered is false if the decoder knows that it has no table for the
	// string (a group that it does not implement); then nothing else counts.
	Covered bool
	Group   string
	Length  uint8
	// Mnemonic is the manual's, in capitals.
	Mnemonic    string
	Operands    [MaxOperands]Operand
	NumOperands uint8
	// Unknown says which of length, mnemonic, operands this decoder cannot
	// tell.
	UnknownLength, UnknownMnemonic, UnknownOperands bool
	// Ending is Ended, or why there is no answer: Died or RanAway of a decoder
	// in a process of its own. Reason then tells more, and nothing else counts.
	Ending Ending
}

// BatchDecoder is a Decoder for which many strings at once are cheaper: one in
// another process.
type BatchDecoder interface {
	Decoder
	// DecodeBatch decodes the first instruction of each string and fills
	// out[i] for codes[i]; the slices have one length.
	DecodeBatch(codes [][]byte, mode x86.Mode, out []Decoded)
}
