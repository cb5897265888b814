package machine

import (
	"encoding/binary"
	"slices"
)

// Stray is an aligned quadword outside the windows that the case changed.
type Stray struct {
	Address, Value uint64
}

// Strays fills dst with the quadwords outside the windows that differ from
// what Load put there, by address, and returns how many there are, which may
// be more than dst holds. Only what was written is looked at.
func (m *Machine) Strays(dst []Stray) int {
	if len(m.dirty) == 0 {
		return 0
	}
	if len(m.dirty) > 1 {
		slices.SortFunc(m.dirty, func(a, b *page) int {
			if a.number < b.number {
				return -1
			}
			return 1
		})
	}
	n := 0
	for _, p := range m.dirty {
		if !p.inWindow(p.lo, p.hi) {
			n = m.straysOf(p, dst, n)
		}
	}
	return n
}

// inWindow says whether the bytes from lo to hi lie in one window.
func (p *page) inWindow(lo, hi int) bool {
	for _, s := range p.windows {
		if lo >= s.lo && hi <= s.hi {
			return true
		}
	}
	return false
}

// straysOf adds a page's stray quadwords to the n that are known.
func (m *Machine) straysOf(p *page, dst []Stray, n int) int {
	word := 0x0101010101010101 * uint64(p.fill)
	for off := p.lo &^ 7; off < p.hi; off += 8 {
		v := binary.LittleEndian.Uint64(p.data[off:])
		if v == word && !m.hasCode(p, off) || p.inWindow(off, off+8) {
			continue
		}
		if v == m.initial(p, off, word, v) {
			continue
		}
		if n < len(dst) {
			dst[n] = Stray{p.number*PageSize + uint64(off), v}
		}
		n++
	}
	return n
}

// hasCode says whether Load put code into the quadword.
func (m *Machine) hasCode(p *page, off int) bool {
	at := p.number*PageSize + uint64(off)
	return m.code.n > 0 && at+8 > m.code.address && at < m.code.address+uint64(m.code.n)
}

// initial returns the quadword as Load left it; bytes in a window are taken
// from now, so that they never differ.
func (m *Machine) initial(p *page, off int, word, now uint64) uint64 {
	at := p.number*PageSize + uint64(off)
	for i := range 8 {
		shift := 8 * i
		b := word >> shift & 0xff
		if k := at + uint64(i) - m.code.address; k < uint64(m.code.n) {
			b = uint64(m.code.bytes[k])
		}
		if p.inWindow(off+i, off+i+1) {
			b = now >> shift & 0xff
		}
		word = word&^(0xff<<shift) | b<<shift
	}
	return word
}
