package sweep

import (
	"fmt"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// WalkVersion changes when the walk does: a checkpoint of another version
// cannot be resumed.
const WalkVersion = 1

// Walk is the encoding space of one code width, cut into blocks. A block holds
// all strings with the same prefixes, map and opcode; so no string is in two
// blocks. The order of the blocks is fixed and scattered, so that the first
// part of a walk is a sample of all of it.
type Walk struct {
	mode     x86.Mode
	prefixes [][]byte
	blocks   []block
	stride   int
}

// space is a form of the escape before the opcode.
type space uint8

const (
	spaceLegacy space = iota
	spaceVEX2         // C5
	spaceVEX3         // C4
	spaceEVEX         // 62
	spaceXOP          // 8F with a map of 8 or more
	spaceREX2         // D5, in 64-bit mode
)

// block names the strings that a block holds.
type block struct {
	space  space
	prefix uint8 // index into Walk.prefixes
	// opmap is the map: of legacy encodings 0 (one byte), 1 (0F), 2 (0F38), 3
	// (0F3A); else the field of the payload.
	opmap  uint8
	opcode uint8
	// pp holds the embedded prefix in bits 0 and 1 and W in bit 2.
	pp uint8
	// full asks for every ModRM and every payload edge.
	full bool
}

// NewWalk returns the walk of 16-, 32- or 64-bit code.
func NewWalk(mode x86.Mode) (*Walk, error) {
	w := &Walk{}
	switch mode.Width() {
	case 64:
		w.mode = x86.Long64
	case 32:
		w.mode = x86.Compat32
	default:
		w.mode = x86.Compat16
	}
	full := w.legacyPrefixes()
	if len(w.prefixes) > 256 {
		return nil, fmt.Errorf("walk: %d sets of prefixes, want at most 256", len(w.prefixes))
	}
	for p := range w.prefixes {
		w.legacy(uint8(p), p < full)
		w.payloads(uint8(p))
	}
	w.stride = coprime(len(w.blocks))
	return w, nil
}

// Mode is the mode in which the strings are meant.
func (w *Walk) Mode() x86.Mode { return w.mode }

// Blocks is the number of blocks.
func (w *Walk) Blocks() int { return len(w.blocks) }

// at returns the i-th block of the walk.
func (w *Walk) at(i int) *block {
	return &w.blocks[int(uint64(i)*uint64(w.stride)%uint64(len(w.blocks)))]
}

// coprime returns a number near 0.618 n that has no factor in common with n,
// so that its multiples visit everything below n once.
func coprime(n int) int {
	gcd := func(a, b int) int {
		for b != 0 {
			a, b = b, a%b
		}
		return a
	}
	for s := n*618/1000 | 1; ; s++ {
		if gcd(s, n) == 1 {
			return s
		}
	}
}

// legacyPrefixes fills in the sets of prefixes, those first that are walked in
// full, and returns how many these are. Their order within an instruction
// matters (the last of a group wins, and REX counts only at the end), so that
// both orders of some pairs are sets.
func (w *Walk) legacyPrefixes() int {
	full := [][]byte{{}, {0x66}, {0xf3}, {0xf2}, {0x67}, {0xf0}}
	thin := [][]byte{
		{0x66, 0xf3},
		{0x66, 0xf2},
		{0xf3, 0x66},
		{0xf2, 0x66},
		{0xf2, 0xf3},
		{0xf3, 0xf2},
		{0x66, 0x67},
		{0x67, 0x66},
		{0xf0, 0x66},
		{0xf0, 0xf2},
		{0xf3, 0xf0},
		{0xf0, 0x67},
		{0x26},
		{0x2e},
		{0x36},
		{0x3e},
		{0x64},
		{0x65},
		{0x64, 0x2e},
		{0x26, 0x65},
		{0x66, 0x66},
		{0xf0, 0xf0},
		repeat(0x66, 9), repeat(0x66, 12), repeat(0x2e, 13), repeat(0x67, 14),
	}
	if w.mode == x86.Long64 {
		full = append(full, []byte{0x48}, []byte{0x66, 0x48}, []byte{0x45})
		thin = append(
			thin, []byte{0x40}, []byte{0x41}, []byte{0x42}, []byte{0x44}, []byte{0x4f}, []byte{0xf3, 0x48}, []byte{0xf2, 0x48},
			[]byte{0x66, 0x41}, []byte{0xf3, 0x45}, []byte{0xf2, 0x44}, []byte{0x67, 0x48}, []byte{0xf0, 0x48}, []byte{0x66, 0xf2, 0x48},
			[]byte{0x48, 0x66}, []byte{0x48, 0xf3}, []byte{0x48, 0x48}, []byte{0x48, 0x40}, []byte{0x41, 0x67}, []byte{0x4f, 0x2e, 0x44},
		)
	}
	w.prefixes = append(full, thin...)
	return len(full)
}

func repeat(b byte, n int) []byte {
	s := make([]byte, n)
	for i := range s {
		s[i] = b
	}
	return s
}

// legacy adds the blocks of the four legacy maps behind a set of prefixes.
func (w *Walk) legacy(prefix uint8, full bool) {
	escapes := [4]int{0, 1, 2, 2}
	for m := range uint8(4) {
		if len(w.prefixes[prefix])+escapes[m] >= maxString {
			continue // no room for the opcode
		}
		for op := range 256 {
			if !w.elsewhere(m, byte(op)) {
				w.blocks = append(w.blocks, block{space: spaceLegacy, prefix: prefix, opmap: m, opcode: byte(op), full: full})
			}
		}
	}
}

// elsewhere says that the byte is no opcode of a legacy map: a prefix, an
// escape, or the first byte of another space.
func (w *Walk) elsewhere(m, op byte) bool {
	switch m {
	case 1:
		return op == 0x38 || op == 0x3a
	case 2, 3:
		return false
	}
	switch op {
	case 0x0f, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3:
		return true
	case 0x62, 0xc4, 0xc5, 0xd5:
		return w.mode == x86.Long64
	}
	return w.mode == x86.Long64 && op&0xf0 == 0x40
}

// payloads adds the blocks of the spaces with a payload. Behind a prefix they
// are walked thinly: most prefixes make them #UD.
func (w *Walk) payloads(prefix uint8) {
	p := w.prefixes[prefix]
	if len(p) > 1 {
		return
	}
	bare := len(p) == 0
	for op := range 256 {
		add := func(s space, m, pp uint8, full bool) {
			w.blocks = append(w.blocks, block{space: s, prefix: prefix, opmap: m, opcode: byte(op), pp: pp, full: full})
		}
		add(spaceVEX2, 1, 0, bare)
		if w.mode == x86.Long64 {
			add(spaceREX2, 0, 0, bare)
		}
		for m := range uint8(32) {
			known := m >= 1 && m <= 3
			if known && bare {
				for pp := range uint8(8) {
					add(spaceVEX3, m, pp, true)
				}
			} else if known || bare {
				add(spaceVEX3, m, 0, false)
			}
		}
		for m := range uint8(8) {
			for pp := range uint8(8) {
				if bare && m != 0 && m != 7 {
					add(spaceEVEX, m, pp, true)
				}
			}
			if bare && (m == 0 || m == 7) || !bare && m >= 1 && m <= 3 {
				add(spaceEVEX, m, 0, false)
			}
		}
		for m := uint8(8); m < 32; m++ {
			if m <= 10 || bare {
				add(spaceXOP, m, 0, bare && m <= 10)
			}
		}
	}
}
