package decode

import (
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// Bits of the third payload byte of EVEX, which Inst.EVEX holds (SDM vol. 2,
// figure 2-11).
const (
	evexMask = 7 // aaa
	evexV    = 1 << 3
	evexB    = 1 << 4
	evexZ    = 1 << 7
)

// evexMaps gives the map by EVEX.mmm; 0 where there is none.
var evexMaps = [8]isa.Map{
	1: isa.MapEVEX1, 2: isa.MapEVEX2, 3: isa.MapEVEX3, 4: isa.MapEVEX4, 5: isa.MapEVEX5, 6: isa.MapEVEX6, 7: isa.MapEVEX7,
}

// evexForm is what the decoder needs of an EVEX row.
type evexForm struct {
	isa.EVEXForm
	// gpr: ModRM.rm is a general-purpose register or memory.
	gpr bool
}

// evexPrefix reads the rest of an EVEX prefix and the opcode. The key
// returned is map and opcode.
func (c *cursor) evexPrefix(in *Inst) (key int, _ Reason) {
	var p [4]byte // the payload and the opcode
	for i := range p {
		var ok bool
		if p[i], ok = c.next(); !ok {
			return key, c.shortVEX()
		}
		if i == 0 && p[0]&3 == 0 && (p[0]&4 == 0 || !c.hasAPX()) {
			return key, c.noMap(in, p[0])
		}
	}
	in.OpcodeOff = uint8(c.pos - 1)
	m := evexMaps[p[0]&7]
	if p[0]&8 != 0 || p[1]&4 == 0 || m == 0 || p[0]&7 == 4 || p[0]&7 == 7 {
		if m == 0 || !c.hasAPX() {
			return key, c.reservedMap(in, p[0], p[3])
		}
		c.base, c.index = p[0]&8<<1, ^p[1]&4<<2
	}
	in.EVEX = p[2]
	c.rex = ^p[0]>>5&7 | p[1]>>4&rexW
	c.high = ^p[0] & 0x10
	in.VVVV = ^p[1]>>3&15 | (^p[2]&evexV)<<1
	if c.info.long == 0 {
		c.rex &= rexW
		c.high = 0
		c.forbidden = c.forbidden || in.VVVV&16 != 0 // V' must be set; seen on Intel's CPUs
		c.spare = in.VVVV & 8
		in.VVVV &= 7
	}
	in.VL = p[2] >> 5 & 3
	c.ctx = c.info.ctx | p[1]&3 | in.VL<<vexL
	if c.pos < len(c.code) && c.code[c.pos] >= 0xc0 && p[2]&evexB != 0 {
		// L'L is the rounding mode; the length is 512 bits, or a scalar's.
		c.ctx |= 3 << vexL
		c.ctx ^= 1 << vexL
	}
	if m == isa.MapEVEX4 {
		// ND and NF select in place of L'L, which is 0.
		c.ctx = c.info.ctx | p[1]&3 | (p[2]>>4&1)<<vexL | (p[2]>>2&1)<<(vexL+1)
		c.forbidden = c.forbidden || p[2]&0xe0 != 0
	}
	if c.rex&rexW != 0 {
		c.ctx |= vexW
	}
	if in.Prefix&PrefixAddrSize != 0 {
		c.ctx |= vexAddrSize
	}
	return int(m)<<8 | int(p[3]), Valid
}

// evexOperands applies what EVEX adds to registers and displacement, and says
// whether mask, broadcast and rounding are what the row takes.
func (c *cursor) evexOperands(in *Inst, h *hot, form *evexForm) bool {
	in.Reg |= c.high
	if (c.high != 0 || in.VVVV >= 16) && c.fewRegisters(in) {
		return false
	}
	if !in.IsMem {
		if c.index != 0 {
			return false
		}
		if form.gpr {
			in.RM |= c.base
		} else {
			in.RM |= c.rex & rexX << 3
		}
	}
	if form.Mask >= isa.MaskNF || in.Map == isa.MapEVEX4 {
		return c.promoted(in, form)
	}
	if h.flags&hotVSIB != 0 {
		if !in.HasSIB || c.index != 0 {
			return false
		}
		in.Index |= in.VVVV & 16
		in.VVVV &= 15
	}
	if in.DispLen == 1 {
		scale := form.Scale
		if in.EVEX&evexB != 0 {
			scale = form.Broadcast
		}
		in.Disp *= uint64(scale)
	}
	mask := in.EVEX & evexMask
	switch {
	case mask != 0 && form.Mask == isa.MaskNone, mask == 0 && form.Mask == isa.MaskRequired:
		return false
	case in.EVEX&evexZ != 0 && (!form.Zeroing || mask == 0 || c.storesMemory(in)):
		return false
	case in.EVEX&evexB == 0:
		return true
	case in.IsMem:
		return form.Broadcast != 0
	}
	return form.Rounding != isa.RoundingNone
}

// promoted checks the last payload byte of an instruction that APX has
// promoted to EVEX. Displacements are as they are.
func (c *cursor) promoted(in *Inst, form *evexForm) bool {
	switch {
	case form.Mask == isa.MaskCondition:
		return true
	case in.Map == isa.MapEVEX4:
		return in.EVEX&3 == 0
	}
	return in.EVEX&(evexZ|evexB|evexMask&^form.nf()) == 0
}

// nf is the bit of the mask field that is NF, if the row has it. Rows of map 4
// are selected by it.
func (f *evexForm) nf() uint8 {
	if f.Mask == isa.MaskNF {
		return 4
	}
	return 0
}

// fewRegisters says whether ModRM.reg or vvvv names a register that there is
// not: of a file of 16 or fewer, which the general-purpose registers are
// without APX.
func (c *cursor) fewRegisters(in *Inst) bool {
	row := isa.Get(in.Row)
	for i := range row.Operands[:row.NumOperands] {
		o := &row.Operands[i]
		high := o.Kind == isa.KindReg && c.high != 0 || o.Kind == isa.KindVVVV && in.VVVV >= 16
		if high && o.Class != x86.ClassVector && (o.Class != x86.ClassGPR || !c.hasAPX()) {
			return true
		}
	}
	return false
}

// storesMemory says whether the destination is memory.
func (c *cursor) storesMemory(in *Inst) bool {
	o := &isa.Get(in.Row).Operands[0]
	return in.IsMem && (o.Kind == isa.KindRM || o.Kind == isa.KindMem)
}
