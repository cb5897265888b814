// Package isa is the instruction table: one row an encoding, in the notation
// of the Intel manual. Everything about an instruction that is data stands
// here and nowhere else; the decoder's index, the executor's dispatch, the
// generator, the masks of the comparison and the coverage report are derived
// from it.
//
// The rows are written in the text files of this folder (gp.txt …) and turned
// into Go by `go generate`.
package isa

import "github.com/seed-4e121ece/ringfence/emulator/x86"

// ID numbers a row; 0 is no row. IDs are not stable between builds: what is
// recorded names a row by its encoding text.
type ID uint16

// Row is one encoding of one instruction, as a line of the manual's opcode
// table.
type Row struct {
	ID ID
	// Encoding is the opcode column, as "REX.W + 81 /0 id".
	Encoding string
	// Syntax is the instruction column, as "ADD r/m64, imm32".
	Syntax   string
	Mnemonic Mnemonic
	// Modes are the code widths in which the encoding is valid.
	Modes ModeSet
	// Operands are the explicit operands, in the manual's order;
	// Operands[:NumOperands] are valid.
	Operands    [MaxOperands]Operand
	NumOperands uint8
	// Implicit are the registers and memory that the syntax does not name
	// (RDX:RAX of MUL, the stack of PUSH).
	Implicit []Operand
	Attr     Attr
	// Feature and Also are the features that the row needs: Also is
	// FeatureNone where one is enough.
	Feature, Also Feature
	Flags         FlagEffects
	// Partial tells what a fault may leave behind (rule 5).
	Partial Partial

	// What the decoder needs.
	Map    Map
	Opcode uint8
	// Pattern restricts prefixes and ModRM; see its fields.
	Pattern Pattern
	// Fallback is the row that the same bytes select on a CPU without Feature
	// (BSF for TZCNT); 0 where they are undefined then.
	Fallback ID
	// EVEX is what an EVEX prefix may say beyond VEX; zero for other rows.
	EVEX EVEXForm
}

// Missing returns a feature that the row needs and the set has not, or
// FeatureNone.
func (r *Row) Missing(s *FeatureSet) Feature {
	if !s.Has(r.Feature) {
		return r.Feature
	}
	if !s.Has(r.Also) {
		return r.Also
	}
	return FeatureNone
}

// MaxOperands is the largest number of explicit operands of any row.
const MaxOperands = 5

// Map is an opcode map.
type Map uint8

// The opcode maps.
const (
	MapOne  Map = iota // one-byte opcodes
	Map0F              // 0F xx
	Map0F38            // 0F 38 xx
	Map0F3A            // 0F 3A xx
	Map0F0F            // 0F 0F … xx (3DNow!)
	MapVEX1            // VEX, map 1 (0F)
	MapVEX2
	MapVEX3
	MapVEX5
	MapVEX7
	MapXOP8 // XOP, map 8
	MapXOP9
	MapXOPA
	MapEVEX1 // EVEX, map 1 (0F)
	MapEVEX2
	MapEVEX3
	MapEVEX4
	MapEVEX5
	MapEVEX6
	MapEVEX7
	MapREX2 // what REX2 makes of an opcode of the one-byte map (JMPABS)
	NumMaps
)

// ModeSet is a set of code widths.
type ModeSet uint8

// The members of a ModeSet.
const (
	Mode16 ModeSet = 1 << iota
	Mode32
	Mode64
	ModeAll = Mode16 | Mode32 | Mode64
)

// Kind tells where an operand comes from.
type Kind uint8

// The kinds of operand.
const (
	KindNone   Kind = iota
	KindReg         // ModRM.reg (with REX.R)
	KindRM          // ModRM.rm: register or memory
	KindMem         // ModRM.rm, memory only
	KindRMReg       // ModRM.rm, register only
	KindOpcode      // low three bits of the opcode (with REX.B)
	KindFixed       // the register in Reg
	KindVVVV        // VEX.vvvv
	KindIs4         // register in the upper half of an immediate
	KindM2Z         // the lower half of that immediate (VPERMIL2PS)
	KindImm         // immediate of ImmSize bytes, sign-extended to Size if SignExtend
	KindOne         // the constant 1 (D0, D1)
	KindRel         // branch displacement of ImmSize bytes
	KindMoffs       // memory at an absolute offset (A0 to A3)
	KindFar         // ptr16:16, ptr16:32
	KindSource      // memory at DS:rSI (segment can be overridden)
	KindDest        // memory at ES:rDI
	KindXlat        // memory at DS:rBX+AL
	KindStack       // memory at SS:rSP (implicit only)
)

// Access says what an instruction does to an operand.
type Access uint8

// The members of an Access.
const (
	Read Access = 1 << iota
	Write
	// Conditional qualifies Write: the operand may be left as it is (CMOVcc to
	// memory never, CMPXCHG).
	Conditional
	ReadWrite = Read | Write
)

// Operand describes one operand of a row.
type Operand struct {
	Kind  Kind
	Class x86.Class
	// Reg is the register of KindFixed (AH is ClassHigh 4).
	Reg uint8
	// Size is the width in bytes of what is read or written; 0 for LEA's
	// memory operand, which is not accessed, and the like.
	Size uint8
	// ImmSize is the number of bytes in the encoding, for KindImm, KindRel.
	ImmSize    uint8
	SignExtend bool
	Access     Access
}

// Attr is a set of attributes of a row.
type Attr uint32

// The attributes.
const (
	// AttrLock: LOCK is allowed when the destination is memory.
	AttrLock Attr = 1 << iota
	// AttrImplicitLock: locked with or without the prefix (XCHG with memory).
	AttrImplicitLock
	// AttrRep: REP repeats (MOVS, STOS, LODS, INS, OUTS).
	AttrRep
	// AttrRepZ: REPE and REPNE repeat while ZF says so (CMPS, SCAS).
	AttrRepZ
	// AttrDefault64: operand size is 64 in 64-bit mode, 16 with 66h.
	AttrDefault64
	// AttrForce64: operand size is 64 in 64-bit mode; 66h is ignored (Intel)
	// or means 16 (AMD) by Profile.
	AttrForce64
	// AttrBranch: may change RIP other than to the next instruction.
	AttrBranch
	// AttrConditional: a conditional branch.
	AttrConditional
	// AttrFar: changes CS.
	AttrFar
	// AttrCPL0: #GP(0) above CPL 0.
	AttrCPL0
	// AttrIOPL: #GP(0) above IOPL.
	AttrIOPL
	// AttrNop: no operation; memory operands are not accessed.
	AttrNop
	// AttrUndefinedResult: some cases leave the destination undefined; see
	// FlagEffects.Rules.
	AttrUndefinedResult
	// AttrSystem: a system instruction.
	AttrSystem
	// AttrX87, AttrVector: needs FPU or vector state.
	AttrX87
	AttrVector
	// AttrVSIB: the index register of the memory operand is a vector.
	AttrVSIB
	// AttrCPL0Undefined: #UD above CPL 0 (CLAC, STAC).
	AttrCPL0Undefined
	// AttrDistinct: #UD where the destination is one of the sources, or, of
	// tiles, where any two are the same.
	AttrDistinct
)

// Partial says which effects may stand after a fault (rule 5).
type Partial uint8

// The values of Partial.
const (
	PartialNone Partial = iota
	PartialRegisters
	PartialStack
	PartialIteration
	PartialElements
)

// FlagEffects is what an instruction does to RFLAGS.
type FlagEffects struct {
	Tested, Modified, Set, Cleared x86.Flags
	// Undefined are undefined after every execution.
	Undefined x86.Flags
	// Rules are what is undefined under a condition.
	Rules []UndefinedRule
}

// UndefinedRule makes flags, or the destination, undefined when a condition
// on the inputs holds.
type UndefinedRule struct {
	When  Condition
	Flags x86.Flags
	// Result says that the destination operand is undefined too.
	Result bool
}

// Condition is a condition on the inputs of an instruction. The count is the
// shift or rotate count after masking (to 5 bits, 6 with a 64-bit operand).
type Condition uint8

// The conditions.
const (
	Always Condition = iota
	CountZero
	CountNonZero
	// CountNotOne: the masked count is neither 0 nor 1.
	CountNotOne
	// CountAtLeastSize: the masked count is the operand's width or more.
	CountAtLeastSize
	// CountAboveSize: the masked count is above the operand's width.
	CountAboveSize
	// SourceZero: the source operand is 0 (BSF, BSR).
	SourceZero
	// Size16: the operand size is 16 (BSWAP).
	Size16
)

// Pattern restricts which prefixes and ModRM bytes select a row. A zero field
// does not restrict.
type Pattern struct {
	HasModRM bool
	// Reg is the /digit plus one, or 0.
	Reg uint8
	// RM is the required ModRM.rm plus one, or 0 (0F 01 D0 and the like).
	RM uint8
	// Mod restricts ModRM.mod.
	Mod ModRule
	// Prefix is the mandatory prefix.
	Prefix PrefixRule
	// OpSize restricts the operand size: 2, 4, 8, or 0 for any.
	OpSize uint8
	// AddrSize restricts the address size: 2, 4, 8 or 0.
	AddrSize uint8
	// OpcodeReg says that the low three bits of the opcode are a register.
	OpcodeReg bool
	// REXB restricts REX.B: 0 any, 1 must be clear, 2 must be set (90 against
	// XCHG r8, rAX).
	REXB uint8
	// ND and NF restrict the bits of an EVEX prefix of map 4: 0 any, 1 must be
	// clear, 2 must be set.
	ND, NF uint8
	// VEX fields: L is 0 any, 1 L0 (128), 2 L1 (256), 3 512; W is 0 any, 1 W0,
	// 2 W1 (REX.W too).
	L, W uint8
}

// ModRule restricts ModRM.mod.
type ModRule uint8

// The values of ModRule.
const (
	ModAny ModRule = iota
	ModMemory
	ModRegister
)

// PrefixRule is the mandatory prefix of a row.
type PrefixRule uint8

// The values of PrefixRule.
const (
	// PrefixAny: 66, F2, F3 do not select the row.
	PrefixAny PrefixRule = iota
	PrefixNP
	Prefix66
	PrefixF3
	PrefixF2
	// PrefixNotF: no F2 or F3; 66 is operand size (TZCNT against BSF is F3).
	PrefixNotF
)

// Profile is what differs between CPUs: vendor, features and choices that the
// manuals leave open.
type Profile struct {
	// Name is "intel", "zen4", …
	Name     string
	Vendor   Vendor
	Features FeatureSet
	// VirtualBits is the width of a canonical address: 48 or 57 (CR4.LA57).
	VirtualBits uint8
}

// Vendor is a maker of CPUs whose instructions differ.
type Vendor uint8

// The vendors.
const (
	Intel Vendor = iota
	AMD
)

// EVEXForm is what EVEX offers a row: mask, broadcast, rounding (SDM vol. 2,
// 2.7).
type EVEXForm struct {
	Mask MaskRule
	// Zeroing: EVEX.z is allowed (with a destination in a register).
	Zeroing bool
	// Broadcast is the size in bytes of the element that EVEX.b broadcasts
	// from memory, or 0.
	Broadcast uint8
	// Rounding is what EVEX.b means with registers.
	Rounding RoundingRule
	// Scale is what an 8-bit displacement is multiplied by, in bytes.
	Scale uint8
}

// MaskRule says which opmask a row takes.
type MaskRule uint8

// The values of MaskRule.
const (
	MaskNone MaskRule = iota
	MaskOptional
	// MaskRequired: k0 is #UD (gather, scatter).
	MaskRequired
	// MaskNF: there is no mask; bit 2 of its field is NF, which keeps the flags
	// (APX).
	MaskNF
	// MaskCondition: there is no mask; the lowest four bits of the byte are the
	// condition, and vvvv the flags where it does not hold (CCMP, CTEST).
	MaskCondition
)

// RoundingRule says what EVEX.b means with registers.
type RoundingRule uint8

// The values of RoundingRule.
const (
	RoundingNone RoundingRule = iota
	RoundingSAE
	RoundingControl
)
