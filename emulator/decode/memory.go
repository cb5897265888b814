package decode

import "github.com/seed-4e121ece/ringfence/emulator/x86"

// memory reads SIB and displacement of a memory operand at pos (SDM vol. 2,
// 2.1.5), and returns the position behind them; ok is false when the SIB byte
// is not there. h is the row's.
func (c *cursor) memory(in *Inst, modrm uint8, h hot, pos int) (_ int, ok bool) {
	in.IsMem = true
	in.Scale = 1
	if in.AddrSize == 2 {
		return c.memory16(in, modrm, pos), true
	}
	mod, rm := modrm>>6, modrm&7
	in.RM = rm
	// Without a SIB byte the operand is as with one that has no index.
	sib, index, noIndex, noBase := 4<<3|rm, uint8(0), uint8(4), c.info.noBase
	if rm == 4 {
		if pos >= len(c.code) || pos >= MaxLength {
			return pos, false
		}
		sib, noBase = c.code[pos], x86.RegNone
		pos++
		in.SIB, in.HasSIB = sib, true
		index = c.rex<<2&8 | c.index
		if h&hotVSIB != 0 {
			noIndex = x86.RegNone
		}
		in.Scale = 1 << (sib >> 6)
	}
	index |= sib >> 3 & 7
	if index == noIndex {
		index = x86.RegNone
		in.Scale = 1
	}
	in.Index = index
	base, dispLen := sib&7|c.rex<<3&8|c.base, dispLens[mod]
	if sib&7 == 5 && mod == 0 {
		base, dispLen = noBase, 4
	}
	in.Base = base
	in.Segment = baseSegments[base&0x3f]
	return c.displacement(in, dispLen, pos), true
}

// displacement reads the displacement of that many bytes at pos and returns
// the position behind it.
func (c *cursor) displacement(in *Inst, size uint8, pos int) int {
	f := &immediateForms[size&15|maxImmediate]
	in.Disp = f.extend(c.load(pos))
	in.DispOff, in.DispLen = uint8(pos)&uint8(f.mask), size
	return pos + int(size)
}

// baseSegments are the segments without an override by base, of which there
// are 32 besides x86.RegRIP and x86.RegNone.
var baseSegments = func() (t [64]x86.Segment) {
	for i := range t {
		t[i] = x86.DS
	}
	t[x86.RSP], t[x86.RBP] = x86.SS, x86.SS
	return t
}()

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

// memory16 reads the displacement of a memory operand with 16-bit addresses at
// pos and returns the position behind it.
func (c *cursor) memory16(in *Inst, modrm uint8, pos int) int {
	mod, rm := modrm>>6, modrm&7
	in.Base, in.Index = bases16[rm][0], bases16[rm][1]
	dispLen := mod // 0, 1 or 2 bytes
	if mod == 0 && rm == 6 {
		in.Base, dispLen = x86.RegNone, 2
	}
	if in.Base == x86.RBP {
		in.Segment = x86.SS
	}
	return c.displacement(in, dispLen, pos)
}
