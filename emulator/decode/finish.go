package decode

import (
	"encoding/binary"

	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// finish selects the row by what stands before pos and the ModRM byte there,
// and reads the rest. What cannot be foreseen of an instruction (whether there
// is ModRM, an immediate, of which size) is computed with, and not branched by:
// a branch that goes wrong costs more than the whole of this function.
func (c *cursor) finish(in *Inst, key, pos int, ctx uint8) Reason {
	e := entries[key]
	modrm := e.modRM()
	if pos < len(c.code) && pos < MaxLength {
		modrm &= c.code[pos]
	} else if modrm != 0 {
		c.pos = pos
		return in.fail(c, c.short())
	}
	pos += int(e >> entryMask & 1)
	in.ModRM, in.HasModRM = modrm, e>>entryMask&1 != 0
	in.Reg = (modrm>>3&7 | c.rex<<1&8) & e.modRM()
	h := slots[e.slot(modrm, ctx)]
	if h == 0 || h&hotFallback != 0 && h.lacking(c.p) {
		if h = h.fallback(); h == 0 {
			c.pos = pos
			return c.undefined(in)
		}
	}
	in.Row, in.OpSize = h.row(), h.opSize(ctx)
	if form := modrm | e.register(); form >= 0xc0 {
		in.RM = form&7 | c.rex<<3&8
	} else {
		var ok bool
		if pos, ok = c.memory(in, modrm, h, pos); !ok {
			c.pos = pos
			return in.fail(c, c.short())
		}
	}
	if c.segment != x86.SegNone {
		in.Segment = c.segment
	}
	if h&hotRare != 0 {
		pos = c.rareImmediates(in, h, pos)
	} else {
		f := h.form()
		in.Imm = f.extend(c.load(pos))
		in.ImmOff, in.ImmLen = uint8(pos)&uint8(f.mask), uint8(h.imm())
		pos += h.imm()
	}
	if h&c.checked != 0 || pos > len(c.code) || pos > MaxLength {
		return c.check(in, h, pos)
	}
	in.Length = uint8(pos)
	return Valid
}

// fallback is the row that the same bytes select on a CPU without the feature.
func (h hot) fallback() hot { return hots[isa.Get(h.row()).Fallback] }

// check applies what does not depend on the encoding's shape: length, mode,
// feature, LOCK, VEX.vvvv. pos is where the instruction ends.
func (c *cursor) check(in *Inst, h hot, pos int) Reason {
	c.pos = pos
	if in.HasREX2 {
		c.extendREX2(in)
	}
	if pos > len(c.code) || pos > MaxLength {
		return in.fail(c, c.short())
	}
	in.Length = uint8(pos)
	if c.forbidden {
		return in.fail(c, Undefined)
	}
	if in.Prefix&PrefixLock != 0 && (h&hotLock == 0 || !in.IsMem) && !in.alternateCR8(c.p) {
		return in.fail(c, BadLock)
	}
	if h&c.info.not != 0 {
		return in.fail(c, WrongMode)
	}
	if h&hotEVEX != 0 && !c.evexOperands(in, h, &evexForms[in.Row-firstEVEX]) {
		return in.fail(c, Undefined)
	}
	if (in.VVVV|c.spare)&h.noVVVV() != 0 || h&hotRegisters != 0 && !c.registersValid(in, h) {
		return in.fail(c, Undefined)
	}
	if h.missing(c.p) {
		return in.fail(c, MissingFeature)
	}
	return Valid
}

// alternateCR8 says whether LOCK is the one of AMD's LOCK MOV CR0, which
// means CR8 (APM vol. 3, MOV CRn), and then makes ModRM.reg CR8.
func (in *Inst) alternateCR8(p *isa.Profile) bool {
	if in.Map != isa.Map0F || in.Opcode&^2 != 0x20 || in.Reg != 0 || !p.Features.Has(isa.FeatureALTMOVCR8) {
		return false
	}
	in.Reg = 8
	return true
}

// registersValid checks what some rows ask of register fields: a vector index,
// and no extension of a register number where there
// are eight registers: only CR8 exists beyond. (That of ModRM.rm is ignored.)
func (c *cursor) registersValid(in *Inst, h hot) bool {
	if h&hotMask != 0 && (in.Reg >= 8 || in.Map < isa.MapEVEX1 && in.VVVV >= 8) {
		return false
	}
	if h&hotFew != 0 && !c.fewExist(in) {
		return false
	}
	if h&hotIs4 != 0 && c.info.long == 0 {
		in.Imm &= 0x7f // there are eight registers
	}
	switch {
	case h&hotDistinct != 0:
		return in.distinct()
	case h&hotVSIB != 0:
		// A gather's destination, index and mask must differ (SDM vol. 2,
		// VGATHERDPS).
		if in.Map >= isa.MapEVEX1 {
			return in.VVVV == 0 && (in.Reg != in.Index || c.storesMemory(in))
		}
		return in.HasSIB && in.Reg != in.Index && in.Reg != in.VVVV && in.Index != in.VVVV
	case h&hotControl != 0:
		return in.Reg <= 8
	case h&hotDebug != 0:
		return in.Reg < 8
	}
	return true
}

// distinct says whether the destination differs from the sources, and, with
// tiles, the sources from each other.
func (in *Inst) distinct() bool {
	if in.Reg == in.VVVV || !in.IsMem && in.Reg == in.RM {
		return false
	}
	return in.Map >= isa.MapEVEX1 || in.RM != in.VVVV
}

// immediateForm is how an immediate of some size is cut out of eight bytes: by
// mask, then with sign extended, or 0.
type immediateForm struct{ mask, sign uint64 }

// extend cuts the immediate out of v.
func (f *immediateForm) extend(v uint64) uint64 { return (v&f.mask ^ f.sign) - f.sign }

// maxImmediate is above the size of every immediate, and flags the sign.
const maxImmediate = 16

// immediateForms are the forms by size, and by size and maxImmediate with sign.
var immediateForms = func() (t [2 * maxImmediate]immediateForm) {
	for size := 1; size <= 8; size++ {
		mask := ^uint64(0) >> (64 - 8*size)
		t[size] = immediateForm{mask: mask}
		t[size|maxImmediate] = immediateForm{mask: mask, sign: mask ^ mask>>1}
	}
	return t
}()

// rareImmediates reads two immediates or the offset of moffs.
func (c *cursor) rareImmediates(in *Inst, h hot, pos int) int {
	if h.second() == 0 {
		in.DispOff, in.DispLen = uint8(pos), in.AddrSize
		in.Disp = immediateForms[in.AddrSize&15].extend(c.load(pos))
		return pos + int(in.AddrSize)
	}
	if h.lacking(c.p) {
		return pos // SSE4A's two immediates are of AMD's opcode alone
	}
	in.ImmOff, in.ImmLen = uint8(pos), uint8(h.imm()+h.second())
	in.Imm = h.form().extend(c.load(pos))
	in.Imm2 = uint16(immediateForms[h.second()].extend(c.load(pos + h.imm())))
	return pos + h.imm() + h.second()
}

// load reads the eight bytes at pos, little-endian. Past the end it reads
// zeros; check sees it by the position.
func (c *cursor) load(pos int) uint64 {
	last := len(c.code) - 8
	if last < 0 {
		return c.loadShort(pos)
	}
	at := min(pos, last)
	return binary.LittleEndian.Uint64(c.code[at:]) >> (8 * uint(pos-at))
}

// loadShort is load where there are fewer than eight bytes in all.
func (c *cursor) loadShort(pos int) uint64 {
	var v uint64
	for i := pos; i < len(c.code); i++ {
		v |= uint64(c.code[i]) << (8 * (i - pos))
	}
	return v
}
