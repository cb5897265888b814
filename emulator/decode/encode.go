package decode

import (
	"encoding/binary"
	"slices"

	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// Form is the choices that a row leaves to whoever encodes it. Fields that
// the row fixes or has no use for are ignored, so that any Form gives an
// encoding of the row.
type Form struct {
	// Prefixes stand first, as they are. They may turn the encoding into that
	// of another row (66h where the row has a sibling of another size).
	Prefixes []byte
	// REX holds bits to be set beyond those that are needed: 40h forces a REX
	// prefix, 2 extends the index, 8 is W where VEX
	// leaves it open. It is ignored outside 64-bit mode.
	REX uint8
	// Mod is ModRM.mod, 0 to 3.
	Mod uint8
	// Reg and RM are registers 0 to 15 (0 to 7 outside 64-bit mode): ModRM.reg
	// and ModRM.rm, or the register in the opcode. With a memory form, RM is
	// the raw field with the base's extension.
	Reg, RM uint8
	// SIB is used when the form asks for it; its base is extended by RM.
	SIB uint8
	// VVVV is the register of VEX.vvvv, 0 to 15.
	VVVV uint8
	// VEX3 asks for the three-byte prefix where the two-byte one would do.
	VEX3 bool
	// EVEX holds the bits of EVEX.aaa (0 to 2), z (7) and b (4) that are
	// wanted; what the row refuses is dropped.
	EVEX uint8
	Disp uint64
	Imm  uint64
	Imm2 uint16
}

// Encode appends an encoding of the row to dst. It returns dst as it was when
// the row has none in this mode. Where all encodings are another row's on a CPU
// with that one's feature (Fallback), it is one of these.
func Encode(dst []byte, id isa.ID, mode x86.Mode, f Form) []byte {
	row := isa.Get(id)
	e := encoder{row: row, f: f, mode: mode, width: mode.Width(), out: dst}
	if id == 0 || row.Modes&e.set() == 0 || !e.choose() {
		return dst
	}
	e.out = append(e.out, f.Prefixes...)
	e.prefixes()
	switch {
	case row.Map == isa.MapREX2:
		e.out = append(e.out, 0xd5, 0, row.Opcode)
	case row.Map >= isa.MapEVEX1:
		e.evex()
	case row.Map >= isa.MapVEX1:
		e.vex()
	default:
		e.legacy()
	}
	e.rest()
	return e.out
}

type encoder struct {
	row   *isa.Row
	f     Form
	mode  x86.Mode
	width int // of code, in bits
	out   []byte
	// What was chosen: ModRM fields with their extensions, W, sizes in bytes.
	mod, reg, rm uint8
	rex          uint8
	opSize66     bool
	addrSize     uint8
}

func (e *encoder) set() isa.ModeSet {
	switch e.width {
	case 16:
		return isa.Mode16
	case 32:
		return isa.Mode32
	}
	return isa.Mode64
}

// choose settles every field; false means that the mode cannot express the
// row.
func (e *encoder) choose() bool {
	p := &e.row.Pattern
	e.mod, e.reg, e.rm = e.f.Mod&3, e.f.Reg&15, e.f.RM&15
	if e.width != 64 {
		e.reg, e.rm = e.reg&7, e.rm&7
	}
	switch p.Mod {
	case isa.ModRegister:
		e.mod = 3
	case isa.ModMemory:
		e.mod %= 3
	}
	if p.Reg != 0 {
		e.reg = p.Reg - 1
	}
	if p.RM != 0 {
		e.rm = p.RM - 1
	}
	if p.OpcodeReg && e.row.Opcode == 0x90 && e.rm == 0 {
		e.rm = 1 // 90 is NOP
	}
	e.existingRegister()
	e.existingBound()
	if e.row.Attr&isa.AttrDistinct != 0 {
		e.makeDistinct()
	}
	e.extensions(p)
	return e.sizes(p)
}

// makeDistinct makes the low three bits of the register numbers differ.
func (e *encoder) makeDistinct() {
	for e.rm&7 == e.reg&7 {
		e.rm = e.rm&8 | (e.rm+1)&7
	}
	for v := e.f.VVVV & 7; v == e.reg&7 || v == e.rm&7; v = e.f.VVVV & 7 {
		e.f.VVVV = e.f.VVVV&8 | (v+1)&7
	}
}

// existingRegister replaces a segment or control register that there is not.
func (e *encoder) existingRegister() {
	for i := range e.row.Operands[:e.row.NumOperands] {
		o := &e.row.Operands[i]
		if o.Kind != isa.KindReg {
			continue
		}
		switch o.Class {
		case x86.ClassSegment:
			e.reg = e.reg & 7 % 6
			if o.Access&isa.Write != 0 && e.reg == uint8(x86.CS) {
				e.reg = uint8(x86.ES)
			}
		case x86.ClassControl:
			e.reg = [4]uint8{0, 2, 3, 4}[e.reg&3]
		case x86.ClassDebug, x86.ClassMask, x86.ClassTile:
			e.reg &= 7
		}
	}
	for i := range e.row.Operands[:e.row.NumOperands] {
		if o := &e.row.Operands[i]; o.Class == x86.ClassTile && o.Kind == isa.KindRMReg {
			e.rm &= 7
		}
	}
}

func (e *encoder) extensions(p *isa.Pattern) {
	if e.width != 64 {
		return
	}
	e.rex = e.f.REX & (0x40 | rexX | rexW)
	if e.reg >= 8 {
		e.rex |= rexR
	}
	if e.rm >= 8 {
		e.rex |= rexB
	}
	switch p.REXB {
	case 1:
		e.rex &^= rexB
	case 2:
		e.rex |= rexB
	}
	if !p.HasModRM && !p.OpcodeReg && p.REXB != 2 {
		e.rex &^= rexB
	}
}

// sizes chooses 66h, 67h and W so that the index selects the row.
func (e *encoder) sizes(p *isa.Pattern) bool {
	plain := uint8(e.width / 8)
	other := [...]uint8{2: 4, 4: 2, 8: 4}[plain]
	e.addrSize = plain
	for _, b := range e.f.Prefixes {
		if b == 0x67 {
			e.addrSize = other
		}
	}
	want := p.AddrSize
	if (e.row.Attr&isa.AttrVSIB != 0 || e.row.Feature == isa.FeatureMPX) && e.addrSize == 2 {
		want = 4 // 16-bit addresses have no SIB, and MPX has none of them
	}
	if want != 0 && want != e.addrSize {
		if want != other {
			return false
		}
		e.out = append(e.out, 0x67)
		e.addrSize = other
	}
	if e.row.Map == isa.MapREX2 {
		e.rex = 0
		return true
	}
	if e.row.Map >= isa.MapVEX1 {
		switch p.W {
		case 1:
			e.rex &^= rexW
		case 2:
			e.rex |= rexW
		}
		return true
	}
	return e.selectRow()
}

// selectRow tries the operand sizes that prefixes can give, the one that the
// form asks for first, on either vendor's CPUs.
func (e *encoder) selectRow() bool {
	return e.selectBy(func(id isa.ID) bool { return id == e.row.ID }) ||
		e.selectBy(func(id isa.ID) bool { return isa.Get(id).Fallback == e.row.ID })
}

func (e *encoder) selectBy(wanted func(id isa.ID) bool) bool {
	first := e.rex & rexW
	for _, vendor := range []isa.Vendor{isa.Intel, isa.AMD} {
		ctx := infoOf(e.mode, vendor).ctx
		for n := range uint8(4) {
			w := first ^ (n >> 1 * rexW)
			if w != 0 && e.width != 64 {
				continue
			}
			e.rex = e.rex&^rexW | w
			e.opSize66 = n&1 != 0
			if id, ok := e.selected(ctx); ok && wanted(id) {
				return true
			}
		}
	}
	return false
}

// selected is the row that the choices so far select; not ok where they
// contradict each other.
func (e *encoder) selected(ctx uint8) (id isa.ID, ok bool) {
	ctx |= (e.rex&rexW)<<1 | (e.rex&rexB)<<5
	if e.addrSize != uint8(e.width/8) {
		ctx |= ctxAddrSize
	}
	switch e.row.Pattern.Prefix {
	case isa.Prefix66:
		if e.opSize66 {
			return 0, false
		}
		ctx |= ctxOpSize
	case isa.PrefixF3:
		ctx |= ctxRep
	case isa.PrefixF2:
		ctx |= ctxRepne
	}
	if e.opSize66 {
		ctx |= ctxOpSize
	}
	op := int(e.row.Opcode)
	if e.row.Pattern.OpcodeReg {
		op += int(e.rm & 7)
	}
	entry := entries[int(e.row.Map)<<8|op]
	modrm := uint8(0)
	if e.row.Pattern.HasModRM {
		modrm = e.mod<<6 | e.reg&7<<3 | e.rm&7
	}
	return slots[entry.slot(modrm, ctx)].row(), true
}

func (e *encoder) prefixes() {
	if e.opSize66 {
		e.out = append(e.out, 0x66)
	}
	if e.row.Map >= isa.MapVEX1 {
		return
	}
	switch e.row.Pattern.Prefix {
	case isa.Prefix66:
		e.out = append(e.out, 0x66)
	case isa.PrefixF2:
		e.out = append(e.out, 0xf2)
	case isa.PrefixF3:
		e.out = append(e.out, 0xf3)
	}
}

func (e *encoder) legacy() {
	if e.rex != 0 {
		e.out = append(e.out, 0x40|e.rex)
	}
	switch e.row.Map {
	case isa.Map0F:
		e.out = append(e.out, 0x0f)
	case isa.Map0F38:
		e.out = append(e.out, 0x0f, 0x38)
	case isa.Map0F3A:
		e.out = append(e.out, 0x0f, 0x3a)
	case isa.Map0F0F:
		e.out = append(e.out, 0x0f, 0x0f)
		return // the opcode comes last
	}
	e.opcode()
}

func (e *encoder) opcode() {
	op := e.row.Opcode
	if e.row.Pattern.OpcodeReg {
		op += e.rm & 7
	}
	e.out = append(e.out, op)
}

func (e *encoder) vex() {
	p := &e.row.Pattern
	pp, vvvv := vexPrefix(p.Prefix), e.vvvv()
	if e.width != 64 {
		e.rex &= rexW
		if p.W == 2 {
			e.rex |= rexW
		}
		vvvv &= 7
	}
	last := (^vvvv&15)<<3 | pp
	if p.L > 1 {
		last |= 1 << 2
	}
	if m, escape := vexField(e.row.Map); m != 1 || e.f.VEX3 || e.rex&(rexX|rexB|rexW) != 0 {
		e.out = append(e.out, escape, ^e.rex<<5|m, last|e.rex&rexW<<4)
	} else {
		e.out = append(e.out, 0xc5, ^e.rex<<5&0x80|last)
	}
	e.opcode()
}

// vexField is the field of the map, and the prefix that it stands behind.
func vexField(m isa.Map) (field, escape uint8) {
	switch {
	case m >= isa.MapXOP8:
		return uint8(m-isa.MapXOP8) + 8, 0x8f
	case m == isa.MapVEX5:
		return 5, 0xc4
	case m == isa.MapVEX7:
		return 7, 0xc4
	}
	return uint8(m-isa.MapVEX1) + 1, 0xc4
}

// vexPrefix is the field pp.
func vexPrefix(p isa.PrefixRule) uint8 {
	switch p {
	case isa.Prefix66:
		return 1
	case isa.PrefixF3:
		return 2
	case isa.PrefixF2:
		return 3
	}
	return 0
}

// evex writes an EVEX prefix for the registers 0 to 15; REX.X gives a
// register in ModRM.rm 16 more.
func (e *encoder) evex() {
	p := &e.row.Pattern
	vvvv := e.vvvv()
	if e.width != 64 {
		e.rex &= rexW
		vvvv &= 7
	}
	mmm := uint8(slices.Index(evexMaps[:], e.row.Map))
	length := max(p.L, 1) - 1
	if e.row.Map == isa.MapEVEX4 {
		e.map4(mmm, vvvv)
		return
	}
	e.out = append(e.out, 0x62, ^e.rex<<5|0x10|mmm, e.rex&rexW<<4|(^vvvv&15)<<3|4|vexPrefix(p.Prefix), e.evexBits()|length<<5|evexV)
	e.opcode()
}

// map4 writes an EVEX prefix of map 4 and the opcode.
func (e *encoder) map4(mmm, vvvv uint8) {
	p, want := &e.row.Pattern, e.f.EVEX
	bits := uint8(evexV)
	if e.row.EVEX.Mask == isa.MaskCondition {
		bits, vvvv = want&15, e.f.VVVV&15
	} else {
		if p.NF == 2 || p.NF == 0 && e.row.EVEX.Mask == isa.MaskNF && want&4 != 0 {
			bits |= 4
		}
		if p.ND == 2 || p.ND == 0 && want&evexB != 0 {
			bits |= evexB
		}
	}
	e.out = append(e.out, 0x62, ^e.rex<<5|0x10|mmm, e.rex&rexW<<4|(^vvvv&15)<<3|4|vexPrefix(p.Prefix), bits)
	e.opcode()
}

// evexBits is what the row takes of the aaa, z and b that the form asks for.
func (e *encoder) evexBits() uint8 {
	form, want := &e.row.EVEX, e.f.EVEX
	var bits uint8
	switch form.Mask {
	case isa.MaskOptional:
		bits = want & evexMask
	case isa.MaskRequired:
		bits = max(want&evexMask, 1)
	case isa.MaskNF:
		return want & 4
	}
	memory := e.mod != 3
	dest := e.row.Operands[0].Kind
	stores := memory && (dest == isa.KindRM || dest == isa.KindMem)
	if form.Zeroing && bits != 0 && !stores {
		bits |= want & evexZ
	}
	if memory && form.Broadcast != 0 || !memory && form.Rounding != isa.RoundingNone {
		bits |= want & evexB
	}
	return bits
}

// gatherIndex is the SIB byte with an index that is neither the destination
// nor the mask.
func (e *encoder) gatherIndex() uint8 {
	index := e.f.SIB >> 3 & 7
	for index == e.reg&7 || index == e.vvvv()&7 {
		index = (index + 1) & 7
	}
	return e.f.SIB&^(7<<3) | index<<3
}

// vvvv is the field's register, 0 (which is encoded as 1111b) if the row does
// not use it.
func (e *encoder) vvvv() uint8 {
	for i := range e.row.Operands[:e.row.NumOperands] {
		if e.row.Operands[i].Kind != isa.KindVVVV {
			continue
		}
		v := e.f.VVVV & 15
		if c := e.row.Operands[i].Class; c == x86.ClassMask || c == x86.ClassTile {
			return v & 7
		}
		if e.row.Attr&isa.AttrVSIB != 0 && v&7 == e.reg&7 {
			return v ^ 1
		}
		return v
	}
	return 0
}

// rest appends ModRM, SIB, displacement and immediates.
func (e *encoder) rest() {
	if e.row.Pattern.HasModRM {
		e.modRM()
	}
	var tail [8]byte
	for i := range e.row.Operands[:e.row.NumOperands] {
		o := &e.row.Operands[i]
		if o.Kind == isa.KindMoffs {
			binary.LittleEndian.PutUint64(tail[:], e.f.Disp)
			e.out = append(e.out, tail[:e.addrSize]...)
		}
	}
	h := hots[e.row.ID]
	binary.LittleEndian.PutUint64(tail[:], e.f.Imm)
	e.out = append(e.out, tail[:h.imm()]...)
	binary.LittleEndian.PutUint64(tail[:], uint64(e.f.Imm2))
	e.out = append(e.out, tail[:h.second()]...)
	if e.row.Map == isa.Map0F0F {
		e.out = append(e.out, e.row.Opcode)
	}
}

func (e *encoder) modRM() {
	mod, rm := e.mod, e.rm&7
	if e.row.Attr&isa.AttrVSIB != 0 && mod != 3 {
		rm = 4
		e.f.SIB = e.gatherIndex()
	}
	e.out = append(e.out, mod<<6|e.reg&7<<3|rm)
	if mod == 3 || entries[int(e.row.Map)<<8|int(e.row.Opcode)].register() != 0 {
		return
	}
	n := int(dispLens[mod])
	switch {
	case e.addrSize == 2:
		n = int(mod)
		if mod == 0 && rm == 6 {
			n = 2
		}
	case rm == 4:
		e.out = append(e.out, e.f.SIB)
		if mod == 0 && e.f.SIB&7 == 5 {
			n = 4
		}
	case rm == 5 && mod == 0:
		n = 4
	}
	var disp [8]byte
	binary.LittleEndian.PutUint64(disp[:], e.f.Disp)
	e.out = append(e.out, disp[:n]...)
}
