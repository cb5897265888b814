package machine

import (
	"encoding/binary"
	"sort"

	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// maxStaged is how many pieces of at most eight bytes on one page the writes
// of one step may come to: ENTER with nesting level 31 pushes 33 times, each
// perhaps over a page end, or two wide operands.
const maxStaged = 2*step.MaxOps + step.MaxWide*(64/8+1)

// stagedWrite is a piece of a write that ProbeWrite announced.
type stagedWrite struct {
	physical uint64
	n        uint8
	data     [8]byte
}

// page returns the page of a linear address, or nil.
func (m *Machine) page(linear uint64) *page {
	number := linear / PageSize
	e := &m.cache[number*0x9e3779b97f4a7c15>>(64-cacheBits)]
	if e.number != number {
		e.number, e.page = number, m.find(number)
	}
	return e.page
}

// find searches the sorted pages.
func (m *Machine) find(number uint64) *page {
	i := sort.Search(len(m.pages), func(i int) bool { return m.pages[i].number >= number })
	if i < len(m.pages) && m.pages[i].number == number {
		return &m.pages[i]
	}
	return nil
}

// place of an access: size bytes from off in p, those that do not fit from the
// start of next.
type target struct {
	p, next *page
	off     uint32
}

// translate makes every check that a CPU makes on an access, in its order
// (SDM vol. 3, 6.9 and the notes there): canonical form or limits, then
// alignment, then the pages, both before anything happens.
func (m *Machine) translate(a *step.Access, t *target, ev *x86.Event) step.Outcome {
	linear := a.Offset
	if m.flat {
		switch a.Segment {
		case x86.FS, x86.GS:
			linear += m.segments[a.Segment].Base
		case x86.LDTR, x86.TR, x86.GDTR, x86.IDTR:
			var ok bool
			if linear, ok = m.descriptorTable(a); !ok {
				*ev = x86.Event{}
				return step.Exception
			}
		}
		sh := m.canonicalShift
		if uint64(int64(linear<<sh)>>sh) != linear {
			*ev = segmentFault(a.Segment)
			if a.Align != 0 && linear&uint64(a.Align-1) != 0 {
				// The alignment that an operand demands comes first, with
				// the stack segment too (seen on Intel's CPUs).
				*ev = x86.FaultCode(x86.VectorGP, 0)
			}
			return step.Exception
		}
	} else {
		var ok bool
		if linear, ok = m.segmented(a, ev); !ok {
			return step.Exception
		}
	}
	if a.Align|a.Check != 0 && !m.aligned(linear, a, ev) {
		return step.Exception
	}
	// An operand that only ends beyond the canonical addresses is checked for
	// alignment first (seen on Intel's CPUs).
	if last := linear + uint64(a.Size) - 1; m.flat && uint64(int64(last<<m.canonicalShift)>>m.canonicalShift) != last {
		*ev = segmentFault(a.Segment)
		return step.Exception
	}
	need := m.need
	if a.Intent == step.IntentModify || a.Intent == step.IntentWrite {
		need |= Write
	}
	if a.Intent == step.IntentSystem {
		need &^= User
	}
	t.off = uint32(linear % PageSize)
	t.p = m.page(linear)
	t.next = nil
	if t.p == nil || need&^t.p.prot != 0 {
		return m.pageFault(t.p, need, 0, linear, ev)
	}
	if t.off+uint32(a.Size) > PageSize {
		linear = m.wrap(linear + PageSize - uint64(t.off))
		t.next = m.page(linear)
		if t.next == nil || need&^t.next.prot != 0 {
			return m.pageFault(t.next, need, 0, linear, ev)
		}
	}
	return step.Okay
}

// wrap cuts the address of the next page to the 32 bits that a linear address
// has outside 64-bit mode. Beyond them are system accesses of compatibility
// mode alone.
func (m *Machine) wrap(linear uint64) uint64 {
	if m.flat || linear > 1<<32 {
		return linear
	}
	return uint64(uint32(linear))
}

// pageFault fills ev with the #PF of an access that needed more than the page
// allows; p is nil if there is none.
func (m *Machine) pageFault(p *page, need Protection, fetch uint32, address uint64, ev *x86.Event) step.Outcome {
	if p == nil && m.noPaging {
		return step.Unhandleable
	}
	code := fetch
	if p != nil {
		code |= x86.PFPresent
	}
	if need&Write != 0 {
		code |= x86.PFWrite
	}
	if need&User != 0 {
		code |= m.user
	}
	*ev = x86.PageFault(code, address)
	return step.Exception
}

// aligned makes the checks of alignment that the access asks for.
func (m *Machine) aligned(linear uint64, a *step.Access, ev *x86.Event) bool {
	if a.Align != 0 && linear&uint64(a.Align-1) != 0 {
		*ev = x86.FaultCode(x86.VectorGP, 0)
		return false
	}
	if m.am && a.Check != 0 && linear&uint64(a.Check-1) != 0 {
		*ev = x86.FaultCode(x86.VectorAC, 0)
		return false
	}
	return true
}

// segmentFault is the fault of an address that is not canonical or beyond a
// limit: #SS(0) through SS, else #GP(0).
func segmentFault(s x86.Segment) x86.Event {
	if s == x86.SS {
		return x86.FaultCode(x86.VectorSS, 0)
	}
	return x86.FaultCode(x86.VectorGP, 0)
}

// load reads n bytes (1 to 8) at off of the page, which holds them all.
func (p *page) load(off uint32, n uint8) uint64 {
	switch n {
	case 1:
		return uint64(p.data[off])
	case 2:
		return uint64(binary.LittleEndian.Uint16(p.data[off:]))
	case 4:
		return uint64(binary.LittleEndian.Uint32(p.data[off:]))
	case 8:
		return binary.LittleEndian.Uint64(p.data[off:])
	}
	var b [8]byte
	copy(b[:n], p.data[off:])
	return binary.LittleEndian.Uint64(b[:])
}

// store writes the low n bytes (1 to 8) of v and marks them dirty.
func (m *Machine) store(p *page, off uint32, n uint8, v uint64) {
	switch n {
	case 1:
		p.data[off] = byte(v)
	case 2:
		binary.LittleEndian.PutUint16(p.data[off:], uint16(v))
	case 4:
		binary.LittleEndian.PutUint32(p.data[off:], uint32(v))
	case 8:
		binary.LittleEndian.PutUint64(p.data[off:], v)
	default:
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], v)
		copy(p.data[off:], b[:n])
	}
	m.touch(p, int(off), int(off)+int(n))
}

// touch widens the range of bytes of the page that were written.
func (m *Machine) touch(p *page, lo, hi int) {
	if p.hi == 0 {
		p.lo, p.hi = lo, hi
		m.dirty = append(m.dirty, p)
		return
	}
	p.lo, p.hi = min(p.lo, lo), max(p.hi, hi)
}

// Read implements step.Bus.
func (m *Machine) Read(a step.Access, ev *x86.Event) (uint64, step.Outcome) {
	if table := m.table(a.Segment); table != nil {
		p, out := m.descriptor(table, &a, ev)
		if out != step.Okay {
			return 0, out
		}
		return *p, out
	}
	var t target
	if out := m.translate(&a, &t, ev); out != step.Okay {
		return 0, out
	}
	var v uint64
	if t.next == nil {
		v = t.p.load(t.off, a.Size)
	} else {
		first := uint8(PageSize - t.off)
		v = t.p.load(t.off, first) | t.next.load(0, a.Size-first)<<(8*first)
	}
	if m.numStaged != 0 {
		v = m.forward(&t, a.Size, v)
	}
	return v, step.Okay
}

// forward puts the step's own staged writes over the value that memory gave.
func (m *Machine) forward(t *target, size uint8, v uint64) uint64 {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], v)
	m.overlay(t, b[:size])
	return binary.LittleEndian.Uint64(b[:])
}

func (m *Machine) overlay(t *target, b []byte) {
	first := min(len(b), PageSize-int(t.off))
	m.overlayPart(t.p.physical+uint64(t.off), b[:first])
	if t.next != nil {
		m.overlayPart(t.next.physical, b[first:])
	}
}

func (m *Machine) overlayPart(physical uint64, b []byte) {
	for i := range m.numStaged {
		s := &m.staged[i]
		for j := range uint64(s.n) {
			if k := s.physical + j - physical; k < uint64(len(b)) {
				b[k] = s.data[j]
			}
		}
	}
}

// ReadBytes implements step.Bus.
func (m *Machine) ReadBytes(a step.Access, buf []byte, ev *x86.Event) step.Outcome {
	if len(buf) != int(a.Size) {
		return step.Unhandleable // no question of an honest emulator
	}
	var t target
	if out := m.translate(&a, &t, ev); out != step.Okay {
		return out
	}
	n := copy(buf, t.p.data[t.off:])
	if t.next != nil {
		copy(buf[n:], t.next.data[:])
	}
	if m.numStaged != 0 {
		m.overlay(&t, buf)
	}
	return step.Okay
}

// stage holds a piece of a write for later reads of the step.
func (m *Machine) stage(physical uint64, n uint8, v uint64) bool {
	if m.numStaged == maxStaged {
		return false
	}
	s := &m.staged[m.numStaged]
	m.numStaged++
	s.physical, s.n = physical, n
	binary.LittleEndian.PutUint64(s.data[:], v)
	return true
}

// ProbeWrite implements step.Bus.
func (m *Machine) ProbeWrite(a step.Access, value uint64, ev *x86.Event) step.Outcome {
	var t target
	if out := m.translate(&a, &t, ev); out != step.Okay {
		return out
	}
	ok := false
	if t.next == nil {
		ok = m.stage(t.p.physical+uint64(t.off), a.Size, value)
	} else {
		first := uint8(PageSize - t.off)
		ok = m.stage(t.p.physical+uint64(t.off), first, value) && m.stage(t.next.physical, a.Size-first, value>>(8*first))
	}
	if !ok {
		return step.Unhandleable
	}
	return step.Okay
}

// ProbeWriteBytes implements step.Bus.
func (m *Machine) ProbeWriteBytes(a step.Access, data []byte, ev *x86.Event) step.Outcome {
	if len(data) != int(a.Size) {
		return step.Unhandleable // no question of an honest emulator
	}
	var t target
	if out := m.translate(&a, &t, ev); out != step.Okay {
		return out
	}
	first := min(len(data), PageSize-int(t.off))
	if !m.stageBytes(t.p.physical+uint64(t.off), data[:first]) {
		return step.Unhandleable
	}
	if t.next != nil && !m.stageBytes(t.next.physical, data[first:]) {
		return step.Unhandleable
	}
	return step.Okay
}

func (m *Machine) stageBytes(physical uint64, b []byte) bool {
	for len(b) > 0 {
		var v [8]byte
		n := copy(v[:], b)
		if !m.stage(physical, uint8(n), binary.LittleEndian.Uint64(v[:])) {
			return false
		}
		physical += uint64(n)
		b = b[n:]
	}
	return true
}

// Write implements step.Bus.
func (m *Machine) Write(a step.Access, value uint64, ev *x86.Event) step.Outcome {
	var t target
	if out := m.translate(&a, &t, ev); out != step.Okay {
		return out
	}
	m.storeAt(&t, a.Size, value)
	return step.Okay
}

func (m *Machine) storeAt(t *target, size uint8, value uint64) {
	if t.next == nil {
		m.store(t.p, t.off, size, value)
		return
	}
	first := uint8(PageSize - t.off)
	if first >= size {
		m.store(t.p, t.off, size, value)
		return
	}
	m.store(t.p, t.off, first, value)
	m.store(t.next, 0, size-first, value>>(8*first))
}

// WriteBytes implements step.Bus.
func (m *Machine) WriteBytes(a step.Access, data []byte, ev *x86.Event) step.Outcome {
	if len(data) != int(a.Size) {
		return step.Unhandleable // no question of an honest emulator
	}
	var t target
	if out := m.translate(&a, &t, ev); out != step.Okay {
		return out
	}
	n := copy(t.p.data[t.off:], data)
	m.touch(t.p, int(t.off), int(t.off)+n)
	if t.next != nil {
		k := copy(t.next.data[:], data[n:])
		m.touch(t.next, 0, k)
	}
	return step.Okay
}

// CompareExchange implements step.Bus. The machine has one CPU, so that
// nothing can come between the read and the write.
func (m *Machine) CompareExchange(a step.Access, old, new [2]uint64, ev *x86.Event) step.Outcome {
	if table := m.table(a.Segment); table != nil {
		p, out := m.descriptor(table, &a, ev)
		if out == step.Okay && *p != old[0] {
			return step.CmpxchgFailed
		}
		if out == step.Okay {
			*p = new[0]
		}
		return out
	}
	var t target
	if out := m.translate(&a, &t, ev); out != step.Okay {
		return out
	}
	if a.Size == 16 {
		return m.compareExchange16(&t, old, new)
	}
	var v uint64
	if t.next == nil {
		v = t.p.load(t.off, a.Size)
	} else {
		first := uint8(PageSize - t.off)
		v = t.p.load(t.off, first) | t.next.load(0, a.Size-first)<<(8*first)
	}
	if mask := ^uint64(0) >> (64 - 8*a.Size); (v^old[0])&mask != 0 {
		return step.CmpxchgFailed
	}
	m.storeAt(&t, a.Size, new[0])
	return step.Okay
}

func (m *Machine) compareExchange16(t *target, old, new [2]uint64) step.Outcome {
	var b, want, repl [16]byte
	n := copy(b[:], t.p.data[t.off:])
	if t.next != nil {
		copy(b[n:], t.next.data[:])
	}
	for i := range 2 {
		binary.LittleEndian.PutUint64(want[8*i:], old[i])
		binary.LittleEndian.PutUint64(repl[8*i:], new[i])
	}
	if b != want {
		return step.CmpxchgFailed
	}
	copy(t.p.data[t.off:], repl[:n])
	m.touch(t.p, int(t.off), int(t.off)+n)
	if n < 16 {
		copy(t.next.data[:], repl[n:])
		m.touch(t.next, 0, 16-n)
	}
	return step.Okay
}
