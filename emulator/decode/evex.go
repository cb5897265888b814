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
var evexMaps = [8]isa.Map{1: isa.MapEVEX1, 2: isa.MapEVEX2, 3: isa.MapEVEX3, 5: isa.MapEVEX5, 6: isa.MapEVEX6}

// evexPrefix reads the rest of an EVEX prefix and the opcode. The key
// returned is map and opcode.
func (c *cursor) evexPrefix(in *Inst) (int, Reason) {
	var p [4]byte // the payload and the opcode
	for i := range p {
		var ok bool
		if p[i], ok = c.next(); !ok {
			return 0, c.shortVEX()
		}
		if i == 0 && p[0]&3 == 0 { // no map; no byte more is looked at
			return 0, Undefined
		}
	}
	in.OpcodeOff = uint8(c.pos - 1)
	m := evexMaps[p[0]&7]
	if p[0]&8 != 0 || p[1]&4 == 0 || m == 0 {
		return 0, c.reservedMap(in, p[0], p[3])
	}
	in.Map, in.Opcode, in.EVEX = m, p[3], p[2]
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
func (c *cursor) evexOperands(in *Inst, h *hot, form *isa.EVEXForm) bool {
	in.Reg |= c.high
	if c.high != 0 && fewRegisters(in.Row) {
		return false
	}
	if !in.IsMem {
		in.RM |= c.rex & rexX << 3
	}
	if h.flags&hotVSIB != 0 {
		if !in.HasSIB {
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

// fewRegisters says whether ModRM.reg is a register of a file of 16 or fewer.
func fewRegisters(id isa.ID) bool {
	row := isa.Get(id)
	for i := range row.Operands[:row.NumOperands] {
		if o := &row.Operands[i]; o.Kind == isa.KindReg {
			return o.Class != x86.ClassVector
		}
	}
	return false
}

// storesMemory says whether the destination is memory.
func (c *cursor) storesMemory(in *Inst) bool {
	o := &isa.Get(in.Row).Operands[0]
	return in.IsMem && (o.Kind == isa.KindRM || o.Kind == isa.KindMem)
}
