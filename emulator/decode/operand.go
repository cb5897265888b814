package decode

import (
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// OperandKind tells the kinds of operand of a decoded instruction apart.
type OperandKind uint8

// The kinds of operand.
const (
	OperandNone OperandKind = iota
	OperandReg
	OperandMem
	OperandImm
	// OperandRel is a branch displacement, relative to the next instruction.
	OperandRel
	// OperandFar is a selector (Disp) and offset (Imm).
	OperandFar
)

// Operand is an explicit operand of a decoded instruction. It is comparable;
// fields that its kind does not use are zero, or RegNone for Base and Index
// of memory.
type Operand struct {
	Kind OperandKind
	// Class and Reg name the register of OperandReg.
	Class x86.Class
	Reg   uint8
	// Size is in bytes: of the register (a vector register by the part that is
	// named), of what is read or written in memory (0 when nothing is), or of
	// the value that an immediate is extended to.
	Size uint8
	// Memory is at Segment:(Base + Index*Scale + Disp); Base and Index are as
	// in Inst.
	Segment            x86.Segment
	Base, Index, Scale uint8
	Disp               uint64
	// Imm is the immediate or displacement as Inst.Imm holds it.
	Imm    uint64
	Access isa.Access
}

// Operands fills buf with the explicit operands, in the manual's order, and
// returns the part that is valid: none for an invalid instruction.
func (in *Inst) Operands(buf *[isa.MaxOperands]Operand) []Operand {
	n := int(isa.Get(in.Row).NumOperands)
	for i := range n {
		buf[i] = in.Operand(i)
	}
	return buf[:n]
}

// Operand returns the explicit operand i, counted from 0; one of
// OperandNone where there is none.
func (in *Inst) Operand(i int) Operand {
	row := isa.Get(in.Row)
	if i < 0 || i >= int(row.NumOperands) {
		return Operand{}
	}
	o := &row.Operands[i]
	switch o.Kind {
	case isa.KindImm, isa.KindRel, isa.KindOne, isa.KindFar, isa.KindM2Z:
		return in.constant(o)
	case isa.KindMem, isa.KindMoffs, isa.KindSource, isa.KindDest, isa.KindXlat:
		return in.memoryOperand(o)
	case isa.KindRM:
		if in.IsMem {
			return in.memoryOperand(o)
		}
	}
	return in.register(o)
}

func (in *Inst) constant(o *isa.Operand) Operand {
	switch o.Kind {
	case isa.KindOne:
		return Operand{Kind: OperandImm, Size: 1, Imm: 1, Access: o.Access}
	case isa.KindM2Z:
		return Operand{Kind: OperandImm, Size: o.Size, Imm: in.Imm & 15, Access: o.Access}
	case isa.KindRel:
		return Operand{Kind: OperandRel, Size: o.ImmSize, Imm: in.Imm, Access: o.Access}
	case isa.KindFar:
		return Operand{Kind: OperandFar, Size: o.Size, Imm: in.Imm, Disp: uint64(in.Imm2), Access: o.Access}
	}
	imm := in.Imm
	if in.secondImm(o) {
		imm = uint64(in.Imm2)
	}
	return Operand{Kind: OperandImm, Size: o.Size, Imm: imm, Access: o.Access}
}

// secondImm says whether o is the second of two immediates (ENTER, EXTRQ).
func (in *Inst) secondImm(o *isa.Operand) bool {
	row := isa.Get(in.Row)
	first := &row.Operands[0]
	for i := 1; first.Kind != isa.KindImm; i++ {
		first = &row.Operands[i]
	}
	return first != o
}

func (in *Inst) memoryOperand(o *isa.Operand) Operand {
	m := Operand{
		Kind: OperandMem, Size: o.Size, Access: o.Access,
		Segment: in.Segment, Base: x86.RegNone, Index: x86.RegNone, Scale: 1,
	}
	switch o.Kind {
	case isa.KindSource:
		m.Base = x86.RSI
	case isa.KindDest:
		m.Base, m.Segment = x86.RDI, x86.ES
	case isa.KindXlat:
		m.Base = x86.RBX
	case isa.KindMoffs:
		m.Disp = in.Disp
	default:
		m.Base, m.Index, m.Scale, m.Disp = in.Base, in.Index, in.Scale, in.Disp
		if in.EVEX&evexB != 0 && in.Map != isa.MapEVEX4 {
			m.Size = isa.Get(in.Row).EVEX.Broadcast
		}
	}
	return m
}

func (in *Inst) register(o *isa.Operand) Operand {
	r := Operand{Kind: OperandReg, Class: o.Class, Size: o.Size, Access: o.Access}
	switch o.Kind {
	case isa.KindFixed:
		r.Reg = o.Reg
		return r
	case isa.KindReg:
		r.Reg = in.Reg
	case isa.KindVVVV:
		r.Reg = in.VVVV
	case isa.KindIs4:
		r.Reg = uint8(in.Imm) >> 4
	default:
		r.Reg = in.RM
	}
	switch o.Class {
	case x86.ClassSegment, x86.ClassMMX, x86.ClassMask, x86.ClassX87:
		r.Reg &= 7 // REX.R and REX.B are ignored
	case x86.ClassGPR:
		r.Reg &= 31
		if o.Size == 1 && r.Reg >= 4 && r.Reg < 8 && in.REX == 0 && in.Map < isa.MapVEX1 {
			r.Class = x86.ClassHigh
		}
	}
	return r
}

// EffectiveAddress returns the offset of the memory operand of ModRM or
// moffs, wrapped to the address size: what LEA would compute. gpr holds the
// general-purpose registers and rip the address of this instruction.
func (in *Inst) EffectiveAddress(gpr *[x86.NumGPR]uint64, rip uint64) uint64 {
	a := in.Disp
	switch in.Base {
	case x86.RegNone:
	case x86.RegRIP:
		a += rip + uint64(in.Length)
	default:
		a += gpr[in.Base&15]
	}
	if in.Index != x86.RegNone {
		a += gpr[in.Index&15] * uint64(in.Scale)
	}
	switch in.AddrSize {
	case 2:
		return a & 0xffff
	case 4:
		return a & 0xffffffff
	}
	return a
}

// Target returns where a relative branch at rip goes, wrapped to the operand
// size. ok is false when the instruction has no displacement.
func (in *Inst) Target(rip uint64) (target uint64, ok bool) {
	row := isa.Get(in.Row)
	if row.NumOperands == 0 || row.Operands[0].Kind != isa.KindRel {
		return 0, false
	}
	t := rip + uint64(in.Length) + in.Imm
	if row.Attr&isa.AttrForce64 == 0 { // XBEGIN
		return t, true
	}
	switch in.OpSize {
	case 2:
		t &= 0xffff
	case 4:
		t &= 0xffffffff
	}
	return t, true
}
