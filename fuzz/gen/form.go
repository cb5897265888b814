package gen

import (
	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// instruction writes an instruction of the row in the generator's mode, in a form of
// its own choice: the prefixes that the row needs and some that it does not,
// in any order, any ModRM and SIB shape that the row allows, a displacement
// and immediates. It leaves the text empty where the mode cannot express the
// row.
func (g *Generator) instruction(t *text, id isa.ID) {
	row := isa.Get(id)
	r := &g.rand
	v := r.Uint64()
	f := decode.Form{
		Mod: byte(v & 3), Reg: byte(v >> 2 & 15), RM: byte(v >> 6 & 15), SIB: byte(v >> 10),
		VVVV: byte(v >> 18 & 15), VEX3: v>>22&1 != 0,
		Disp: r.Value(), Imm: r.Value(), Imm2: uint16(v >> 24),
	}
	switch {
	case v>>40&7 == 0:
		f.Mod = 3 // registers a little more often
	case f.Mod == 0 && f.RM&7 == 5 && v>>43&1 != 0:
		f.RM ^= 1 // RIP-relative half as often
	}
	if v>>44&1 != 0 && g.mode == x86.Long64 {
		f.REX = 0x40 | byte(v>>45&2) // forced, and with it SPL to DIL
		if v>>47&3 == 0 {
			f.REX |= 8
		}
	}
	p := &g.prefix
	p.n = 0
	if row.Map < isa.MapVEX1 {
		g.repeatAndLock(p, row, f.Mod, v>>49)
	}
	g.useless(p, row, r.Uint64())
	f.Prefixes = p.bytes()
	t.n = len(decode.Encode(t.b[:0], id, g.mode, f))
	if row.Map >= isa.MapVEX1 {
		reserved(t, p.n, v>>49)
	}
	g.disorder(t, r.Uint64())
}

// reserved changes, in one case of sixteen, a bit of what follows the first
// byte of VEX, EVEX or XOP at a place: vvvv where it names nothing, L, W, pp, a
// map, a bit that must be as it is.
func reserved(t *text, at int, v uint64) {
	if v&15 != 0 {
		return
	}
	payload := 2
	switch t.b[at] {
	case 0xc5:
		payload = 1
	case 0x62:
		payload = 3
	}
	if at+payload >= t.n {
		return
	}
	t.b[at+1+int(v>>4&7)%payload] ^= 1 << (v >> 7 & 7)
}

func (t *text) add(b byte) {
	if t.n < 8 {
		t.b[t.n] = b
		t.n++
	}
}

// repeatAndLock adds the prefixes that the row has a meaning for.
func (g *Generator) repeatAndLock(p *text, row *isa.Row, mod byte, v uint64) {
	if row.Attr&(isa.AttrRep|isa.AttrRepZ) != 0 && v&3 != 0 {
		p.add(0xf2 | byte(v>>2&1) | byte(v>>3&1))
	}
	if row.Attr&isa.AttrLock != 0 && (mod != 3 || row.Pattern.Mod == isa.ModMemory) && v>>4&3 == 0 {
		p.add(0xf0)
	}
}

// useless adds prefixes that change nothing, or the segment or the address
// size: one case in three has some. Seldom it adds any prefix at all, mostly
// where it is wrong.
func (g *Generator) useless(p *text, row *isa.Row, v uint64) {
	if v>>8&7 == 0 {
		p.add(0x64 | byte(v>>11&1)) // FS, GS
	}
	if v>>12&15 == 0 && row.Pattern.AddrSize == 0 {
		p.add(0x67)
	}
	if v>>16&7 == 0 {
		p.add([4]byte{0x26, 0x2e, 0x36, 0x3e}[v>>19&3])
	}
	if v&0xff == 0 {
		p.add(prefixes[v>>21%uint64(len(prefixes))])
	}
	if v>>25&31 == 0 && row.Pattern.Prefix == isa.PrefixAny && row.Map < isa.MapVEX1 {
		p.add(0xf2 | byte(v>>30&1))
	}
	if v>>38&255 == 0 { // where it is allowed and where it is not
		p.add(0xf0)
	}
	if v>>32&63 == 0 && p.n > 0 { // twice
		p.add(p.b[0])
	}
}

// disorder exchanges two prefixes in one instruction of four, and puts one
// behind REX, which then no longer counts, in one of sixty-four.
func (g *Generator) disorder(t *text, v uint64) {
	if t.n < 2 || v&3 != 0 && v>>2&63 != 0 {
		return
	}
	in := &g.inst
	decode.Decode(in, t.bytes(), g.mode, g.profile)
	n := int(in.PrefixLen)
	if n > t.n {
		return
	}
	if in.REX != 0 {
		n--
		if v>>2&63 == 0 {
			t.insert(n+1, [4]byte{0x2e, 0x3e, 0x26, 0x64}[v>>8&3])
			return
		}
	}
	if v&3 == 0 && n > 1 {
		i, j := int(v>>10&7)%n, int(v>>13&7)%n
		t.b[i], t.b[j] = t.b[j], t.b[i]
	}
}

// stretch puts useless prefixes before an instruction, so that it is about as
// long as an instruction may be.
func (g *Generator) stretch(t *text) {
	v := g.rand.Uint64()
	p := [4]byte{0x2e, 0x3e, 0x65, 0x66}[v&3]
	for want := decode.MaxLength - 1 + int(v>>8%3); t.n < want && t.n > 0; {
		t.insert(0, p)
	}
}

// Encode appends one instruction of the row as the generator would choose it.
// It is for tests of decoders.
func (g *Generator) Encode(dst []byte, row isa.ID) []byte {
	g.instruction(&g.text, row)
	return append(dst, g.text.b[:min(g.text.n, decode.MaxLength)]...)
}
