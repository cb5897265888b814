package decode

import (
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// Bits of the third payload byte of EVEX, which Inst.EVEX holds (SDM vol. 2,
// figure 2-11).
const (
	evexMask = 7 // aaa
	evexNF   = 4
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
	// reg and mem are the bits of the last payload byte that may be set, with a
	// register and with memory as ModRM.rm.
	reg, mem uint8
	// scales has what an 8-bit displacement is multiplied by, and above it what
	// it is multiplied by with EVEX.b.
	scales uint16
	flags  uint8
}

// Flags of an EVEX row.
const (
	evexGPR     = 1 << 1 // ModRM.rm is a general-purpose register or memory
	evexFewReg  = 1 << 2 // ModRM.reg names a register of a file of 16 or fewer
	evexFewVVVV = 1 << 3 // vvvv does
	evexMasked  = evexZ  // the mask must not be k0, as with zeroing
)

// evexPrefix reads the rest of an EVEX prefix and the opcode. The key
// returned is map and opcode.
func (c *cursor) evexPrefix(in *Inst) (key int, _ Reason) {
	if first := c.code[c.pos]; first&3 == 0 && (first&4 == 0 || !c.hasAPX()) {
		c.pos++
		return key, c.noMap(in, first)
	}
	p := c.code[c.pos:min(len(c.code), MaxLength)] // the payload and the opcode
	if len(p) < 4 {
		c.pos += len(p) + 1
		return key, c.shortVEX()
	}
	p = p[:4:4]
	c.pos += 4
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
	if c.pos < len(c.code) {
		// With a register and EVEX.b L'L is the rounding mode; the length is 512
		// bits, or a scalar's.
		rounding := (c.code[c.pos] >> 7 & (c.code[c.pos] >> 6) & (p[2] >> 4) & 1) << vexL
		c.ctx = (c.ctx | 3*rounding) ^ rounding
	}
	if m == isa.MapEVEX4 {
		// ND and NF select in place of L'L, which is 0.
		c.ctx = c.info.ctx | p[1]&3 | (p[2]>>4&1)<<vexL | (p[2]>>2&1)<<(vexL+1)
		c.forbidden = c.forbidden || p[2]&0xe0 != 0
	}
	c.ctx |= p[1]>>7*vexW | uint8(in.Prefix/PrefixAddrSize&1)*vexAddrSize
	return int(m)<<8 | int(p[3]), Valid
}

// evexOperands applies what EVEX adds to registers and displacement, and says
// whether mask, broadcast and rounding are what the row takes.
func (c *cursor) evexOperands(in *Inst, h hot, form *evexForm) bool {
	in.Reg |= c.high
	if beyond := c.high>>2 | in.VVVV>>4<<3; beyond&form.flags != 0 && c.fewRegisters(in) {
		return false
	}
	if !in.IsMem {
		if c.index != 0 {
			return false
		}
		high := c.rex & rexX << 3
		if form.flags&evexGPR != 0 {
			high = c.base
		}
		in.RM |= high
	}
	if h&hotVSIB != 0 {
		if !in.HasSIB || c.index != 0 {
			return false
		}
		in.Index |= in.VVVV & 16
		in.VVVV &= 15
	}
	allowed, scale := form.reg, form.scales>>(in.EVEX&evexB/evexB*8)
	if in.IsMem {
		allowed = form.mem
	}
	if in.DispLen != 1 {
		scale = 1
	}
	in.Disp *= uint64(uint8(scale))
	// Zeroing and a row that needs a mask do not go with k0.
	masked := evexZ & (in.EVEX | form.flags)
	if in.EVEX&evexMask != 0 {
		masked = 0
	}
	return in.EVEX&(evexZ|evexB|evexMask)&^allowed|masked == 0
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
