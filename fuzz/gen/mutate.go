package gen

import (
	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// prefixes are the legacy prefixes, those that mean least first.
var prefixes = [...]byte{0x2e, 0x3e, 0x26, 0x36, 0x64, 0x65, 0x67, 0x66, 0xf2, 0xf3, 0xf0}

const prefixRepeat = decode.PrefixRep | decode.PrefixRepne

// text is an instruction that is being put together. Bytes over 15 are cut
// when it is done.
type text struct {
	b [32]byte
	n int
}

func (t *text) set(code []byte) { t.n = copy(t.b[:24], code) }

func (t *text) bytes() []byte { return t.b[:t.n] }

// insert puts one byte at a place.
func (t *text) insert(at int, v byte) {
	if t.n >= len(t.b) || at > t.n {
		return
	}
	copy(t.b[at+1:t.n+1], t.b[at:t.n])
	t.b[at] = v
	t.n++
}

func (t *text) remove(at int) {
	if at >= t.n || t.n == 1 {
		return
	}
	copy(t.b[at:], t.b[at+1:t.n])
	t.n--
}

// Mutate fills c with a variation of the instruction in seed: a prefix more,
// less or other, a neighbouring opcode, another ModRM or SIB byte, operand
// size, displacement or immediate, or the end of other after the beginning of
// seed. About one case in four leaves the bytes as they are and only varies
// the state, and so do most of those that would be no instruction.
func (g *Generator) Mutate(c *oracle.Case, seed, other []byte) {
	t := &g.text
	t.set(seed)
	for n := g.rand.N(4) + g.rand.N(2)*g.rand.N(2); n > 0; n-- {
		g.mutate(t, other)
	}
	g.take(c, t.bytes())
	if in := &g.inst; !rare(decode.Decode(in, c.CodeBytes(), g.mode, g.profile)) || g.rand.Chance(keepRare) {
		g.fill(c, true)
		return
	}
	g.Seed(c, seed)
}

// keepRare is how many in 256 of the mutated instructions are kept that the CPU
// does not know.
const keepRare = 24

// rare is true of bytes that are #UD whatever follows them. There are many,
// and none says more than another; the fault costs as much as ten cases that
// retire, as hypervisors take it for themselves first.
func rare(r decode.Reason) bool {
	return r != decode.Valid && r != decode.Truncated && r != decode.TooLong
}

// The mutations and their weights.
const (
	mutPrefixAdd = iota
	mutPrefixDrop
	mutREX
	mutOpcode
	mutModRM
	mutSIB
	mutDisp
	mutImm
	mutSize
	mutSplice
	mutBit
	numMutations
)

var (
	mutationWeights = [numMutations]uint16{10, 4, 8, 10, 16, 6, 6, 10, 8, 3, 3}
	mutationTotal   = sum(mutationWeights[:])
)

func (g *Generator) mutate(t *text, other []byte) {
	r := &g.rand
	in := &g.inst
	decode.Decode(in, t.bytes(), g.mode, g.profile)
	v := r.Uint64()
	opcode := int(in.OpcodeOff)
	switch m := r.pick(mutationWeights[:], mutationTotal); {
	case m == mutPrefixAdd:
		t.insert(int(v>>8)%(int(in.PrefixLen)+1), prefixes[v>>32%uint64(len(prefixes))])
	case m == mutPrefixDrop && in.PrefixLen > 0:
		t.remove(int(v>>8&0xff) % int(in.PrefixLen))
	case m == mutREX:
		g.mutateREX(t, v)
	case m == mutOpcode && opcode < t.n:
		t.b[opcode] = neighbour(t.b[opcode], v)
	case m == mutModRM && in.HasModRM && opcode+1 < t.n:
		t.b[opcode+1] = alter(t.b[opcode+1], v)
	case m == mutSIB && in.HasSIB && opcode+2 < t.n:
		t.b[opcode+2] = alter(t.b[opcode+2], v)
	case m == mutDisp && in.DispLen > 0:
		g.number(t, int(in.DispOff), int(in.DispLen))
	case m == mutImm && in.ImmLen > 0:
		g.number(t, int(in.ImmOff), int(in.ImmLen))
	case m == mutSize:
		g.toggle(t, 0x66, int(in.PrefixLen))
	case m == mutSplice && len(other) > 0:
		keep := int(v>>8&0xff) % t.n
		from := int(v>>16&0xff) % len(other)
		t.n = keep + copy(t.b[keep:24], other[from:])
	case m == mutBit:
		t.b[int(v>>8&0xff)%t.n] ^= 1 << (v >> 16 & 7)
	}
	if t.n == 0 {
		t.set([]byte{byte(v)})
	}
}

// mutateREX changes, adds or moves the REX prefix.
func (g *Generator) mutateREX(t *text, v uint64) {
	at := int(g.inst.PrefixLen)
	if g.inst.REX != 0 && at > 0 {
		switch v & 7 {
		case 0:
			t.remove(at - 1)
		case 1: // not last: it no longer counts
			t.insert(at, prefixes[v>>8%8])
		default:
			t.b[at-1] ^= 1 << (v >> 8 & 3)
		}
		return
	}
	if g.mode == x86.Long64 {
		t.insert(at, 0x40|byte(v>>8)&0xf)
	}
}

// toggle adds a prefix, or removes it if it is there.
func (g *Generator) toggle(t *text, prefix byte, n int) {
	for i := range n {
		if t.b[i] == prefix {
			t.remove(i)
			return
		}
	}
	t.insert(0, prefix)
}

// number replaces a displacement or immediate by a value at an edge.
func (g *Generator) number(t *text, at, size int) {
	if at+size <= len(t.b) {
		put(t.b[at:], g.rand.Value(), size)
		t.n = max(t.n, at+size)
	}
}

// neighbour returns an opcode nearby, or in another row of the map.
func neighbour(b byte, v uint64) byte {
	switch v >> 8 & 7 {
	case 0:
		return b + 1
	case 1:
		return b - 1
	case 2, 3:
		return b ^ 1
	case 4:
		return b ^ 2
	case 5:
		return b ^ 8
	case 6:
		return b ^ 0x10<<(v>>16&3)
	}
	return byte(v >> 16)
}

// alter changes one field of a ModRM or SIB byte.
func alter(b byte, v uint64) byte {
	n := byte(v >> 16)
	switch v >> 8 & 3 {
	case 0:
		return b&^0xc0 | n&0xc0
	case 1:
		return b&^0x38 | n&0x38
	case 2:
		return b&^0x07 | n&0x07
	}
	return n
}
