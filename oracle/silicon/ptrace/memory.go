package ptrace

import (
	"bytes"
	"encoding/binary"

	"github.com/seed-4e121ece/ringfence/oracle"
)

// memory is the pages of a layout, run after run in the layout's order, as the
// child sees them at this moment. It belongs to the tracer while the child is
// stopped.
type memory struct {
	layout *oracle.Layout
	at     []int  // where each run of pages begins in data
	data   []byte // shared with the child
	clean  []byte // what is in data between cases
	// code[:codeLen] is where the bytes of the case's instruction went: offsets
	// in data, or -1 for what lies in a window.
	code    [16]int
	codeLen int
	changed uint16 // a bit for each of code that the case has overwritten
}

// pageBytes is the size of all pages of a layout.
func pageBytes(l *oracle.Layout) int {
	n := 0
	for _, p := range l.Pages {
		n += p.Count * oracle.PageSize
	}
	return n
}

// newMemory fills data, of pageBytes(l) bytes, with what each page has between
// cases.
func newMemory(l *oracle.Layout, data []byte) *memory {
	m := &memory{layout: l, data: data, clean: make([]byte, len(data))}
	at := 0
	for _, p := range l.Pages {
		m.at = append(m.at, at)
		end := at + p.Count*oracle.PageSize
		for i := at; i < end; i++ {
			m.clean[i] = p.Fill
		}
		at = end
	}
	copy(data, m.clean)
	return m
}

// offset returns where an address lies in data, or -1.
func (m *memory) offset(addr uint64) int {
	for i := range m.layout.Pages {
		p := &m.layout.Pages[i]
		if d := addr - p.Address; d < uint64(p.Count)*oracle.PageSize {
			return m.at[i] + int(d)
		}
	}
	return -1
}

// load writes the windows of a case, then its code. Bytes of the code beyond
// the mapped pages do not exist.
func (m *memory) load(c *oracle.Case, linear uint64) {
	from := 0
	for _, w := range m.layout.Windows {
		at := m.offset(w.Address)
		from += copy(m.data[at:at+w.Length], c.Memory[from:])
	}
	m.codeLen = 0
	for i, b := range c.CodeBytes() {
		at := m.offset(linear + uint64(i))
		if at < 0 {
			break
		}
		m.data[at] = b
		m.code[i] = at
		if m.inWindow(linear + uint64(i)) {
			m.code[i] = -1
		}
		m.codeLen++
	}
}

func (m *memory) inWindow(addr uint64) bool {
	for _, w := range m.layout.Windows {
		if addr-w.Address < uint64(w.Length) {
			return true
		}
	}
	return false
}

// collect copies the windows into r, lists what else has changed, and puts
// everything back.
func (m *memory) collect(c *oracle.Case, r *oracle.Result) {
	to := 0
	for _, w := range m.layout.Windows {
		at := m.offset(w.Address)
		to += copy(r.Memory[to:], m.data[at:at+w.Length])
		copy(m.data[at:at+w.Length], m.clean[at:])
	}
	m.changed = 0
	for i, at := range m.code[:m.codeLen] {
		switch {
		case at < 0:
		case m.data[at] == c.Code[i]:
			m.data[at] = m.clean[at]
		default:
			m.changed |= 1 << i
		}
	}
	r.NumStray = 0
	if m.changed == 0 && bytes.Equal(m.data, m.clean) {
		return
	}
	m.strays(c, r)
	copy(m.data, m.clean)
}

// strays lists the changed quadwords by address. A word is reported as it is in
// memory: with the bytes of the code and of a window that are in it.
func (m *memory) strays(c *oracle.Case, r *oracle.Result) {
	for run := range m.byAddress {
		p := &m.layout.Pages[run]
		at := m.at[run]
		for i := 0; i < p.Count*oracle.PageSize; i += 8 {
			if binary.LittleEndian.Uint64(m.data[at+i:]) == binary.LittleEndian.Uint64(m.clean[at+i:]) && !m.overwritten(at+i) {
				continue
			}
			if r.NumStray < oracle.MaxStray {
				addr := p.Address + uint64(i)
				r.Stray[r.NumStray] = oracle.StrayWord{Address: addr, Value: m.word(at+i, addr, c, r)}
			}
			r.NumStray++
		}
	}
}

// overwritten says whether the case changed its own code within a quadword.
func (m *memory) overwritten(at int) bool {
	for i, off := range m.code[:m.codeLen] {
		if m.changed>>i&1 != 0 && off-at >= 0 && off-at < 8 {
			return true
		}
	}
	return false
}

// byAddress yields the indexes of the runs of pages from the lowest up.
func (m *memory) byAddress(yield func(int) bool) {
	for last, n := uint64(0), 0; n < len(m.layout.Pages); n++ {
		best := -1
		for i, p := range m.layout.Pages {
			if (n == 0 || p.Address > last) && (best < 0 || p.Address < m.layout.Pages[best].Address) {
				best = i
			}
		}
		last = m.layout.Pages[best].Address
		if !yield(best) {
			return
		}
	}
}

// word returns the quadword at offset at as the case left it, although collect
// has already put parts of it back.
func (m *memory) word(at int, addr uint64, c *oracle.Case, r *oracle.Result) uint64 {
	var b [8]byte
	copy(b[:], m.data[at:])
	for i, off := range m.code[:m.codeLen] {
		if d := off - at; d >= 0 && d < 8 && m.changed>>i&1 == 0 {
			b[d] = c.Code[i]
		}
	}
	from := 0
	for _, w := range m.layout.Windows {
		for d := range uint64(8) {
			if i := addr + d - w.Address; i < uint64(w.Length) {
				b[d] = r.Memory[from+int(i)]
			}
		}
		from += w.Length
	}
	return binary.LittleEndian.Uint64(b[:])
}
