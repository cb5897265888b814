package gen

import (
	"github.com/seed-4e121ece/ringfence/emulator/isa"
)

// instruction writes an instruction of the row in 64-bit mode, in a form of
// its own choice: the prefixes that the row needs and some that it does not,
// any ModRM and SIB shape that the row allows, a displacement and immediates.
func (g *Generator) instruction(t *text, id isa.ID) {
	row := isa.Get(id)
	r := &g.rand
	v := r.Uint64()
	t.n = 0
	p := &row.Pattern
	modrm := g.modRM(row, v)
	lock := row.Attr&isa.AttrLock != 0 && modrm>>6 != 3 && p.HasModRM && v>>60&3 == 0
	if row.Map >= isa.MapVEX1 {
		g.uselessPrefixes(t, row, r.Uint64()&^0xff) // 66, F2, F3, F0 make it #UD
		g.vex(t, row, r.Uint64())
	} else {
		g.prefixes(t, row, lock)
		g.opcode(t, row, v>>32)
	}
	if p.HasModRM {
		t.add(modrm)
		g.tail(t, modrm)
	}
	g.immediates(t, row)
}

func (t *text) add(b byte) {
	if t.n < len(t.b) {
		t.b[t.n] = b
		t.n++
	}
}

// modRM returns a ModRM byte that the pattern allows.
func (g *Generator) modRM(row *isa.Row, v uint64) byte {
	p := &row.Pattern
	b := byte(v)
	switch {
	case p.Mod == isa.ModRegister:
		b |= 0xc0
	case p.Mod == isa.ModMemory && b>>6 == 3:
		b &= 0x3f | byte(v>>8)&0x80
	case p.Mod == isa.ModAny && v>>16&7 == 0: // registers a little more often
		b |= 0xc0
	}
	if b>>6 != 3 && b&7 == 5 && b>>6 == 0 && v>>20&1 != 0 {
		b ^= 1 // RIP-relative half as often
	}
	if p.Reg != 0 {
		b = b&^0x38 | (p.Reg-1)<<3
	}
	if p.RM != 0 {
		b = b&^7 | p.RM - 1
	}
	return b
}

// prefixes writes legacy prefixes and REX: those that select the row, LOCK if
// wanted, and useless ones, in random order, REX last but for a few.
func (g *Generator) prefixes(t *text, row *isa.Row, lock bool) {
	v := g.rand.Uint64()
	p := &row.Pattern
	rexW := false
	switch p.OpSize {
	case 2:
		t.add(0x66)
	case 8:
		rexW = row.Attr&(isa.AttrDefault64|isa.AttrForce64) == 0
	}
	switch p.Prefix {
	case isa.Prefix66:
		if p.OpSize != 2 {
			t.add(0x66)
		}
	case isa.PrefixF3:
		t.add(0xf3)
	case isa.PrefixF2:
		t.add(0xf2)
	}
	repeat := row.Attr&(isa.AttrRep|isa.AttrRepZ) != 0 && v&3 != 0
	if repeat {
		t.add(0xf2 | byte(v>>2&1) | byte(v>>3&1))
	}
	if lock {
		t.add(0xf0)
	}
	if p.AddrSize == 4 {
		t.add(0x67)
	}
	g.uselessPrefixes(t, row, v)
	if t.n > 1 && v>>40&3 == 0 {
		i, j := int(v>>44&7)%t.n, int(v>>48&7)%t.n
		t.b[i], t.b[j] = t.b[j], t.b[i]
	}
	g.rex(t, row, rexW, v>>52)
}

// uselessPrefixes adds prefixes that change nothing, or the segment or the
// address size: one case in three has some.
func (g *Generator) uselessPrefixes(t *text, row *isa.Row, v uint64) {
	if v>>8&7 == 0 {
		t.add(0x64 | byte(v>>11&1)) // FS, GS
	}
	if v>>12&15 == 0 && row.Pattern.AddrSize == 0 {
		t.add(0x67)
	}
	if v>>16&7 == 0 {
		t.add([4]byte{0x26, 0x2e, 0x36, 0x3e}[v>>19&3])
	}
	if v&0xff == 0 { // LOCK or a mandatory prefix, mostly where it is wrong
		t.add(prefixes[v>>21%uint64(len(prefixes))])
	}
	if v>>25&31 == 0 && row.Pattern.Prefix == isa.PrefixAny && v&0xff != 0 {
		t.add(0xf2 | byte(v>>30&1))
	}
	if v>>32&63 == 0 && t.n > 0 { // twice
		t.add(t.b[0])
	}
}

// rex writes a REX prefix where the row needs one, and half the time where it
// does not; one in thirty-two has a legacy prefix behind it and does not
// count.
func (g *Generator) rex(t *text, row *isa.Row, w bool, v uint64) {
	p := &row.Pattern
	b := byte(0x40 | v&7)
	if w {
		b |= 8
	}
	if v>>3&1 != 0 && !w && p.REXB != 2 {
		return
	}
	// W selects another row where the operand size does.
	if !w && (p.OpSize == 0 || p.OpSize == 8) && v>>4&3 == 0 {
		b |= 8
	}
	switch p.REXB {
	case 1:
		b &^= 1
	case 2:
		b |= 1
	}
	t.add(b)
	if v>>6&31 == 0 && !w {
		t.add([4]byte{0x2e, 0x3e, 0x26, 0x64}[v>>11&3])
	}
}

func (g *Generator) opcode(t *text, row *isa.Row, v uint64) {
	switch row.Map {
	case isa.Map0F:
		t.add(0x0f)
	case isa.Map0F38:
		t.add(0x0f)
		t.add(0x38)
	case isa.Map0F3A:
		t.add(0x0f)
		t.add(0x3a)
	case isa.Map0F0F:
		t.add(0x0f)
		t.add(0x0f)
	}
	b := row.Opcode
	if row.Pattern.OpcodeReg {
		b = b&^7 | byte(v&7)
	}
	if row.Map != isa.Map0F0F {
		t.add(b)
	}
}

// vex writes a VEX prefix, in two bytes where that can say it, and the
// opcode.
func (g *Generator) vex(t *text, row *isa.Row, v uint64) {
	p := &row.Pattern
	l, w := byte(v>>8&1), byte(v>>9&1)
	if p.L != 0 {
		l = p.L - 1
	}
	if p.W != 0 {
		w = p.W - 1
	}
	pp := byte(0)
	switch p.Prefix {
	case isa.Prefix66:
		pp = 1
	case isa.PrefixF3:
		pp = 2
	case isa.PrefixF2:
		pp = 3
	}
	vvvv := byte(0xf)
	if hasOperand(row, isa.KindVVVV) || v>>10&63 == 0 {
		vvvv = byte(v >> 16 & 0xf)
	}
	last := w<<7 | vvvv<<3 | l<<2 | pp
	if row.Map == isa.MapVEX1 && w == 0 && v>>20&1 != 0 {
		t.add(0xc5)
		t.add(last | byte(v>>21&1)<<7)
	} else {
		t.add(0xc4)
		t.add(byte(v>>24)&0xe0 | byte(row.Map-isa.MapVEX1) + 1)
		t.add(last)
	}
	t.add(row.Opcode)
}

// tail writes SIB and displacement.
func (g *Generator) tail(t *text, modrm byte) {
	mod, rm := modrm>>6, modrm&7
	if mod == 3 {
		return
	}
	n := [3]int{0, 1, 4}[mod]
	if rm == 4 {
		sib := byte(g.rand.Uint64() >> 20)
		t.add(sib)
		if mod == 0 && sib&7 == 5 {
			n = 4
		}
	} else if mod == 0 && rm == 5 {
		n = 4
	}
	g.value(t, n)
}

func (g *Generator) value(t *text, n int) {
	if n > 0 && t.n+n <= len(t.b) {
		put(t.b[t.n:], g.rand.Value(), n)
		t.n += n
	}
}

// immediates writes what follows ModRM, SIB and displacement.
func (g *Generator) immediates(t *text, row *isa.Row) {
	for i := range row.NumOperands {
		op := &row.Operands[i]
		switch op.Kind {
		case isa.KindImm, isa.KindRel:
			g.value(t, int(op.ImmSize))
		case isa.KindMoffs:
			n := 8
			for k := range t.n {
				if t.b[k] == 0x67 { // good enough: the opcode is A0 to A3
					n = 4
				}
			}
			g.value(t, n)
		case isa.KindFar:
			g.value(t, int(op.Size))
		case isa.KindIs4:
			g.value(t, 1)
		}
	}
	if row.Map == isa.Map0F0F {
		t.add(row.Opcode)
	}
}

// Encode writes one instruction of the row as the generator would, into dst,
// and returns it. It is for tests of decoders.
func (g *Generator) Encode(dst []byte, row isa.ID) []byte {
	g.instruction(&g.text, row)
	n := min(g.text.n, 15)
	return append(dst, g.text.b[:n]...)
}
