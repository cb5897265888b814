package decode

import (
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// hasAPX says whether D5 is REX2 and EVEX has the fields of APX (Intel APX
// specification, 3.1.1 to 3.1.3).
func (c *cursor) hasAPX() bool { return c.info.long != 0 && c.p.Features.Has(isa.FeatureAPXF) }

// rex2 reads the payload of REX2 and the opcode. The key returned is map and
// opcode.
func (c *cursor) rex2(in *Inst) (key int, _ Reason) {
	c.forbidden, c.checked = in.REX != 0, everything
	b, ok := c.next()
	if !ok {
		return key, c.short()
	}
	op, ok := c.next()
	if !ok {
		return key, c.short()
	}
	in.REX2, in.HasREX2, in.REX = b, true, 0x40|b&15
	in.OpcodeOff = uint8(c.pos - 1)
	c.rex = b & 15
	c.high, c.index, c.base = b>>2&16, b>>1&16, b&16
	m := isa.MapOne
	switch {
	case b&0x80 != 0:
		m = isa.Map0F
	case op == 0xa1:
		m = isa.MapREX2
	}
	if m != isa.MapREX2 && !rex2Opcode(m, op) {
		in.Map, in.Opcode = m, op
		return key, Undefined
	}
	return int(m)<<8 | int(op), Valid
}

// rex2Opcode says whether REX2 may stand before the opcode: not before a
// prefix or an escape, and not in the rows that have no registers to extend
// (Intel APX specification, 3.1.2.1).
func rex2Opcode(m isa.Map, op uint8) bool {
	if m == isa.Map0F {
		return op&0xf0 != 0x30 && op&0xf0 != 0x80 && op != 0x38 && op != 0x3a
	}
	switch op & 0xf0 {
	case 0x40, 0x70, 0xa0, 0xe0:
		return false
	}
	switch op {
	case 0x0f, 0x26, 0x2e, 0x36, 0x3e, 0x62, 0x64, 0x65, 0x66, 0x67, 0xc4, 0xc5, 0xd5, 0xf0, 0xf2, 0xf3:
		return false
	}
	return true
}

// extendREX2 extends registers by the high bits of REX2, which are those of
// general-purpose registers alone.
func (c *cursor) extendREX2(in *Inst) {
	row := isa.Get(in.Row)
	for i := range row.Operands[:row.NumOperands] {
		o := &row.Operands[i]
		if o.Class != x86.ClassGPR {
			continue
		}
		switch o.Kind {
		case isa.KindReg:
			in.Reg |= c.high
		case isa.KindRM, isa.KindRMReg, isa.KindOpcode:
			if !in.IsMem {
				in.RM |= c.base
			}
		}
	}
	if in.Map == isa.Map0F && in.IsMem && savesState(in) {
		c.forbidden = true
	}
}

// savesState says whether the instruction is one of the XSAVE and XRSTOR
// family, which REX2 makes undefined.
func savesState(in *Inst) bool {
	d := in.ModRM >> 3 & 7
	return in.Opcode == 0xae && d >= 4 && d <= 6 && in.Prefix&(PrefixRep|PrefixOpSize) == 0 || in.Opcode == 0xc7 && d >= 3 && d <= 5
}
