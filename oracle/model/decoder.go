package model

import (
	"strings"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// Decoder is the emulator's decoder. It is used by one goroutine at a time.
type Decoder struct {
	profile *isa.Profile
	inst    decode.Inst
}

var _ oracle.Decoder = (*Decoder)(nil)

// NewDecoder returns the decoder of a CPU with that profile.
func NewDecoder(p *isa.Profile) *Decoder { return &Decoder{profile: p} }

// Name implements oracle.Decoder.
func (d *Decoder) Name() string { return Name }

// Inst is what the last Decode decoded; it is valid until the next.
func (d *Decoder) Inst() *decode.Inst { return &d.inst }

// Decode implements oracle.Decoder.
func (d *Decoder) Decode(code []byte, mode x86.Mode, out *oracle.Decoded) {
	decode.Decode(&d.inst, code, mode, d.profile)
	Canonical(&d.inst, code, out)
}

// Canonical fills out with the canonical form of an instruction decoded from
// code.
func Canonical(in *decode.Inst, code []byte, out *oracle.Decoded) {
	*out = oracle.Decoded{Covered: true, Length: in.Length}
	if !in.Valid() {
		out.Reason = in.Err.String()
		out.Group = in.Uncovered(code)
		out.Covered = out.Group == ""
		return
	}
	row := isa.Get(in.Row)
	out.Valid = true
	out.Mnemonic = row.Mnemonic.String()
	out.NumOperands = row.NumOperands
	for i := range int(row.NumOperands) {
		o := in.Operand(i)
		operand(in, &o, &out.Operands[i])
	}
}

// operand turns an operand of the decoder into canonical form.
func operand(in *decode.Inst, o *decode.Operand, c *oracle.Operand) {
	switch o.Kind {
	case decode.OperandReg:
		*c = oracle.Operand{Kind: oracle.OperandRegister, Class: o.Class, Register: o.Reg, Size: registerSize(in, o)}
	case decode.OperandMem:
		*c = oracle.Operand{
			Kind: oracle.OperandMemory, Size: o.Size, AddrSize: in.AddrSize,
			Segment: o.Segment, Base: o.Base, Index: o.Index, Scale: max(o.Scale, 1), Value: int64(o.Disp),
		}
		if o.Index == x86.RegNone {
			c.Scale = 1
		}
	case decode.OperandImm:
		*c = oracle.Operand{Kind: oracle.OperandImmediate, Size: o.Size, Value: int64(o.Imm)}
		if o.Size < 8 {
			c.Value &= 1<<(8*o.Size) - 1
		}
	case decode.OperandRel:
		*c = oracle.Operand{Kind: oracle.OperandRelative, Value: int64(o.Imm)}
	case decode.OperandFar:
		*c = oracle.Operand{Kind: oracle.OperandFar, Size: o.Size, Value: int64(o.Disp<<32 | o.Imm)}
	}
}

// registerSize is the width of the register itself: the decoder gives a vector
// register that is read in part the width of the part.
func registerSize(in *decode.Inst, o *decode.Operand) uint8 {
	switch o.Class {
	case x86.ClassVector:
		if wholeRegister[in.Row] {
			return 16 << in.VL
		}
		return max(o.Size, 16)
	case x86.ClassMMX, x86.ClassMask:
		return 8
	case x86.ClassBound:
		return 16
	}
	return o.Size
}

// wholeRegister says of each row that its registers are as wide as the
// operation, although memory is accessed by elements: compress and expand.
var wholeRegister = func() map[isa.ID]bool {
	m := map[isa.ID]bool{}
	rows := isa.Rows()
	for i := range rows {
		if n := rows[i].Mnemonic.String(); strings.Contains(n, "COMPRESS") || strings.Contains(n, "EXPAND") {
			m[rows[i].ID] = true
		}
	}
	return m
}()
