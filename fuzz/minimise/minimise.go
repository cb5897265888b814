// Package minimise makes a divergent case small: first the shortest bytes,
// then the fewest fields of the state that are not at their defaults, then
// the simplest values in those that are left. What must stay the same is the
// caller's to say.
package minimise

import (
	"math/bits"
	"slices"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// Defaults are the values that a state has where nothing is said.
var Defaults = struct {
	GPR    [x86.NumGPR]uint64
	RIP    uint64
	RFLAGS uint64
}{
	GPR:    [x86.NumGPR]uint64{x86.RSP: oracle.StackBase + oracle.PageSize},
	RIP:    oracle.CodeBase,
	RFLAGS: uint64(x86.IF | x86.FlagsFixed),
}

// defaultsOf returns the values of a mode.
func defaultsOf(c *oracle.Case) *x86.State {
	s := &x86.State{GPR: Defaults.GPR, RIP: Defaults.RIP, RFLAGS: Defaults.RFLAGS}
	if c.State.Mode != x86.Long64 {
		*s = oracle.DefaultStateOf(c.State.Mode)
	}
	return s
}

// Limit is how many runs Case takes at most when the caller sets no limit of
// its own. A case needs some hundreds.
const Limit = 20000

// Test says whether a case still diverges in the way that matters. It must
// not change the case.
type Test func(c *oracle.Case) bool

// Case makes c small in place, as long as test holds, and returns how many
// times it called test. c itself must hold. limit 0 means Limit.
func Case(c *oracle.Case, profile *isa.Profile, limit int, test Test) int {
	if limit <= 0 {
		limit = Limit
	}
	m := &minimiser{c: c, profile: profile, test: test, left: limit, saved: make([]byte, len(c.Memory))}
	for m.left > 0 {
		before := m.accepted
		m.bytes()
		m.state()
		m.memory()
		m.values()
		if m.accepted == before {
			break
		}
	}
	return limit - m.left
}

type minimiser struct {
	c        *oracle.Case
	profile  *isa.Profile
	test     Test
	left     int
	accepted int
	// saved is the memory of the case that holds.
	saved []byte
}

// try keeps a change if the case still diverges and undoes it otherwise.
func (m *minimiser) try(change func(c *oracle.Case)) bool {
	if m.left <= 0 {
		return false
	}
	before := *m.c
	change(m.c)
	if m.c.Code == before.Code && m.c.CodeLen == before.CodeLen && m.c.State == before.State &&
		m.c.Segments == before.Segments && len(m.c.LDT) == len(before.LDT) && m.c.FSBase == before.FSBase && m.c.GSBase == before.GSBase && m.c.Steps == before.Steps {
		return false
	}
	m.left--
	if m.test(m.c) {
		m.accepted++
		return true
	}
	*m.c = before
	return false
}

// bytes drops prefixes, what follows the instruction, the displacement and
// the immediate.
func (m *minimiser) bytes() {
	var in decode.Inst
	look := func() { decode.Decode(&in, m.c.CodeBytes(), m.c.State.Mode, m.profile) }
	look()
	if in.Valid() && in.Length < m.c.CodeLen {
		m.try(func(c *oracle.Case) { cut(c, int(in.Length), int(c.CodeLen)) })
	}
	for !in.Valid() && m.c.CodeLen > 1 { // invalid: the length is a guess
		if !m.try(func(c *oracle.Case) { cut(c, int(c.CodeLen)-1, int(c.CodeLen)) }) {
			break
		}
	}
	look()
	for i := 0; i < int(in.PrefixLen) && m.c.CodeLen > 1; {
		if m.try(func(c *oracle.Case) { cut(c, i, i+1) }) {
			look()
		} else {
			i++
		}
	}
	if in.REX != 0 && in.PrefixLen > 0 && in.PrefixLen <= m.c.CodeLen {
		for bit := range 4 {
			m.try(func(c *oracle.Case) { c.Code[in.PrefixLen-1] &^= 1 << bit })
		}
	}
	look()
	m.plainOperand(&in)
	look()
	m.shorterDisplacement(&in)
	look()
	for i := 0; i < int(m.c.CodeLen) && m.c.CodeLen > 1; i++ { // any byte
		if m.try(func(c *oracle.Case) { cut(c, i, i+1) }) {
			i--
		}
	}
	look()
	if in.Valid() {
		m.number(in.DispOff, in.DispLen)
		m.number(in.ImmOff, in.ImmLen)
	}
}

// plainOperand tries a register, then [rAX], instead of a memory operand with
// SIB or displacement.
func (m *minimiser) plainOperand(in *decode.Inst) {
	if !in.Valid() || in.Length > m.c.CodeLen || !in.IsMem || !in.HasModRM {
		return
	}
	modrm := int(in.OpcodeOff) + 1
	end := modrm + 1 + int(in.DispLen)
	if in.HasSIB {
		end++
	}
	for _, form := range [...]byte{0xc0, 0x00} {
		if m.try(func(c *oracle.Case) {
			c.Code[modrm] = c.Code[modrm]&0x38 | form
			cut(c, modrm+1, end)
		}) {
			return
		}
	}
}

// shorterDisplacement tries ModRM.mod 1 and 0 instead of 2, the displacement
// going into the base register where there is one.
func (m *minimiser) shorterDisplacement(in *decode.Inst) {
	if !in.Valid() || in.Length > m.c.CodeLen || !in.IsMem || !in.HasModRM || in.DispLen == 0 || in.ModRM>>6 == 0 {
		return
	}
	at, n := int(in.DispOff), int(in.DispLen)
	modrm := int(in.OpcodeOff) + 1
	drop := func(c *oracle.Case) {
		c.Code[modrm] &= 0x3f
		cut(c, at, at+n)
	}
	if m.try(drop) {
		return
	}
	if in.Base < x86.NumGPR && m.try(func(c *oracle.Case) { drop(c); c.State.GPR[in.Base] += in.Disp }) {
		return
	}
	if n == 4 {
		m.try(func(c *oracle.Case) {
			c.Code[modrm] = c.Code[modrm]&0x3f | 0x40
			cut(c, at+1, at+4)
		})
	}
}

// number tries 0 and 1, then fewer bytes and fewer bits, for a number in the
// code.
func (m *minimiser) number(at, n uint8) {
	if n == 0 || at+n > m.c.CodeLen {
		return
	}
	set := func(v uint64) bool {
		return m.try(func(c *oracle.Case) {
			for i := range n {
				c.Code[at+i] = byte(v >> (8 * i))
			}
		})
	}
	v := uint64(0)
	for i := range n {
		v |= uint64(m.c.Code[at+i]) << (8 * i)
	}
	if v != 0 {
		simpler(v, set)
	}
}

// cut removes Code[from:to].
func cut(c *oracle.Case, from, to int) {
	n := copy(c.Code[from:c.CodeLen], c.Code[to:c.CodeLen])
	for i := from + n; i < len(c.Code); i++ {
		c.Code[i] = 0
	}
	c.CodeLen = uint8(from + n)
}

// segments tries the default segments, and fewer descriptors.
func (m *minimiser) segments() {
	if m.c.State.Mode == x86.Long64 {
		return
	}
	m.try(func(c *oracle.Case) {
		d := defaultsOf(c)
		c.Segments, c.LDT, c.FSBase, c.GSBase = nil, nil, 0, 0
		c.State.Selector, c.State.StackWidth = d.Selector, d.StackWidth
		c.State.RIP, c.State.GPR = d.RIP, d.GPR
	})
	m.try(func(c *oracle.Case) { c.LDT = nil })
	for i := len(m.c.LDT) - 1; i >= 0; i-- {
		m.try(func(c *oracle.Case) { c.LDT = slices.Delete(slices.Clone(c.LDT), i, i+1) })
	}
}

// state sets whole fields to their defaults.
func (m *minimiser) state() {
	m.segments()
	d := defaultsOf(m.c)
	m.try(func(c *oracle.Case) {
		c.State.GPR, c.State.RIP, c.State.RFLAGS, c.FSBase, c.GSBase = d.GPR, d.RIP, d.RFLAGS, 0, 0
	})
	m.try(func(c *oracle.Case) { c.State.GPR = d.GPR })
	for i := range d.GPR {
		m.try(func(c *oracle.Case) { c.State.GPR[i] = d.GPR[i] })
	}
	m.try(func(c *oracle.Case) { c.State.RIP = d.RIP })
	m.try(func(c *oracle.Case) { c.State.RFLAGS = d.RFLAGS })
	for bit := range 64 {
		if b := uint64(1) << bit; (m.c.State.RFLAGS^d.RFLAGS)&b != 0 {
			m.try(func(c *oracle.Case) { c.State.RFLAGS ^= b })
		}
	}
	m.try(func(c *oracle.Case) { c.FSBase = 0 })
	m.try(func(c *oracle.Case) { c.GSBase = 0 })
}

// memory clears what it can, halving what it cannot clear at once.
func (m *minimiser) memory() {
	copy(m.saved, m.c.Memory)
	m.clear(0, len(m.c.Memory))
}

func (m *minimiser) clear(from, to int) {
	part := m.c.Memory[from:to]
	zero := true
	for _, b := range part {
		zero = zero && b == 0
	}
	if zero || m.left <= 0 {
		return
	}
	clear(part)
	m.left--
	if m.test(m.c) {
		m.accepted++
		copy(m.saved[from:to], part)
		return
	}
	copy(part, m.saved[from:to])
	if to-from > 1 {
		middle := (from + to) / 2
		m.clear(from, middle)
		m.clear(middle, to)
	}
}

// values makes the registers that are left simple numbers.
func (m *minimiser) values() {
	d := defaultsOf(m.c)
	for i := range m.c.State.GPR {
		if v := m.c.State.GPR[i]; v != d.GPR[i] {
			simpler(v, func(w uint64) bool {
				return m.try(func(c *oracle.Case) { c.State.GPR[i] = w })
			})
		}
	}
	for _, p := range []*uint64{&m.c.FSBase, &m.c.GSBase} {
		if *p != 0 && m.c.Segments == nil {
			simpler(*p, func(w uint64) bool {
				return m.try(func(*oracle.Case) { *p = w })
			})
		}
	}
}

// simpler offers numbers simpler than v (0, 1, the low parts of v, then v with
// one more bit cleared), each to the last one that was taken.
func simpler(v uint64, take func(uint64) bool) {
	for _, w := range [...]uint64{0, 1, v & 0xff, v & 0xffff, v & 0xffffffff} {
		if w == v {
			return
		}
		if take(w) {
			v = w
			break
		}
	}
	for b := uint64(1) << 63; b != 0; b >>= 1 {
		if v&b != 0 && bits.OnesCount64(v) > 1 && take(v&^b) {
			v &^= b
		}
	}
}

// Size is how large a case is: the bytes of its instruction and the fields of
// its state that are not at their defaults, a byte of memory counting as one.
func Size(c *oracle.Case) (code, fields int) {
	d := defaultsOf(c)
	for i, v := range c.State.GPR {
		fields += count(v != d.GPR[i])
	}
	fields += count(c.State.RIP != d.RIP) + count(c.State.RFLAGS != d.RFLAGS) + count(c.FSBase != 0) + count(c.GSBase != 0)
	for _, b := range c.Memory {
		fields += count(b != 0)
	}
	return int(c.CodeLen), fields
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}
