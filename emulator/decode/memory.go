package decode

import "github.com/seed-4e121ece/ringfence/emulator/x86"

// memory reads SIB and displacement of a memory operand (SDM vol. 2, 2.1.5).
func (c *cursor) memory(in *Inst, modrm uint8, h *hot) Reason {
	in.IsMem = true
	if in.AddrSize == 2 {
		return c.memory16(in, modrm)
	}
	mod, rm := modrm>>6, modrm&7
	in.RM = rm
	in.Scale = 1
	base := rm | c.rex<<3&8 | c.base
	dispLen := dispLens[mod]
	switch {
	case rm == 4:
		sib, ok := c.next()
		if !ok {
			return c.short()
		}
		in.SIB, in.HasSIB = sib, true
		base = sib&7 | c.rex<<3&8 | c.base
		if index := sib>>3&7 | c.rex<<2&8 | c.index; index != 4 || h.flags&hotVSIB != 0 {
			in.Index = index
			in.Scale = 1 << (sib >> 6)
		}
		if sib&7 == 5 && mod == 0 {
			base, dispLen = x86.RegNone, 4
		}
	case rm == 5 && mod == 0:
		base, dispLen = x86.RegNone, 4
		if c.info.long != 0 {
			base = x86.RegRIP
		}
	}
	in.Base = base
	if base == x86.RSP || base == x86.RBP {
		in.Segment = x86.SS
	}
	if dispLen != 0 {
		in.DispOff, in.DispLen = uint8(c.pos), dispLen
		shift := 64 - 8*uint(dispLen)
		in.Disp = uint64(int64(c.load(int(dispLen))<<(shift&63)) >> (shift & 63))
	}
	return Valid
}

// dispLens is the length of the displacement by mod, with 32 or 64-bit
// addresses.
var dispLens = [4]uint8{0, 1, 4}

// bases16 are base and index by ModRM.rm with 16-bit addresses (SDM vol. 2,
// table 2-1).
var bases16 = [8][2]uint8{
	{x86.RBX, x86.RSI},
	{x86.RBX, x86.RDI},
	{x86.RBP, x86.RSI},
	{x86.RBP, x86.RDI},
	{x86.RSI, x86.RegNone},
	{x86.RDI, x86.RegNone},
	{x86.RBP, x86.RegNone},
	{x86.RBX, x86.RegNone},
}

func (c *cursor) memory16(in *Inst, modrm uint8) Reason {
	mod, rm := modrm>>6, modrm&7
	in.Scale = 1
	in.Base, in.Index = bases16[rm][0], bases16[rm][1]
	dispLen := mod // 0, 1 or 2 bytes
	if mod == 0 && rm == 6 {
		in.Base, dispLen = x86.RegNone, 2
	}
	if in.Base == x86.RBP {
		in.Segment = x86.SS
	}
	if dispLen != 0 {
		in.DispOff, in.DispLen = uint8(c.pos), dispLen
		shift := 64 - 8*uint(dispLen)
		in.Disp = uint64(int64(c.load(int(dispLen))<<(shift&63)) >> (shift & 63))
	}
	return Valid
}
