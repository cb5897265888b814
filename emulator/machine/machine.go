// Package machine is the reference Bus: the memory, segments and scripted
// devices of one virtual CPU, with the checks that a CPU makes on each access
// (canonical form, segment limits, alignment, page protection) in the order in
// which a CPU makes them. Tests, exec's tables and campaigns run on it.
//
// A Machine is made once from a Config and loaded once a case; loading restores
// only what the case before it wrote.
package machine

import (
	"fmt"
	"slices"

	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// PageSize is the size of a page in bytes.
const PageSize = 4096

// Protection is what may be done with a page. A page that is mapped can be
// read by the supervisor.
type Protection uint8

// The protections.
const (
	// Write: the page can be written (R/W of the paging entry).
	Write Protection = 1 << iota
	// Exec: instructions can be fetched from it (XD clear).
	Exec
	// User: code at CPL 3 can reach it (U/S).
	User
)

// Pages is a run of mapped pages with a content that is one byte repeated.
type Pages struct {
	// Address is the linear address, a multiple of PageSize.
	Address uint64
	// Count is the number of pages.
	Count      int
	Protection Protection
	Fill       byte
}

// Window is a range of bytes, within one run of pages, whose content each case
// gives.
type Window struct {
	Address uint64
	Length  int
}

// Config describes a Machine.
type Config struct {
	Pages   []Pages
	Windows []Window
	// VirtualBits is the width of a canonical address: 48 or 57; 0 means 48.
	VirtualBits uint8
	// AlignmentMask is CR0.AM: accesses that ask for a check of alignment get
	// it.
	AlignmentMask bool
	// NoPaging makes an access outside the pages unhandleable instead of #PF.
	NoPaging bool
	// CPUID and MSR answer the hooks of those names; without them the hooks
	// are absent. ok false means #GP(0) for an MSR.
	CPUID func(leaf, subleaf uint32) [4]uint32
	MSR   func(n uint32) (value uint64, ok bool)
	// Random answers the hook of that name.
	Random func(size uint8, seed bool) (value uint64, ok bool)
	// ReadPort and WritePort answer the hooks of those names.
	ReadPort  func(port uint16, size uint8) uint32
	WritePort func(port uint16, size uint8, value uint32)
	// Repeat offers the Repeat hooks: move and store, and in and out where the
	// ports are. Without, each iteration of a REP is a step.
	Repeat bool
	// Control answers reads of control registers; XCR those of XCR0.
	Control func(n uint8) (value uint64, ok bool)
	XCR     func(n uint32) (value uint64, ok bool)
	// GDT is the global descriptor table; without it, no descriptor is within
	// its limit. It is no part of the memory.
	GDT []uint64
	// Without are hooks that are not offered although the machine has them.
	Without step.Hooks
	// Storage gives the memory that a run of pages is kept in, nil if there is
	// none left; without it the machine makes its own.
	Storage func(bytes int) []byte
	// Foreign says that others write to pages that allow it, so that the machine
	// cannot know what has changed: it restores all of them.
	Foreign bool
}

// Machine is a Bus. It is used by one goroutine at a time.
type Machine struct {
	step.Absent

	state *x86.State
	// cache is a direct-mapped cache of page lookups, absent pages included.
	cache [cacheSize]cacheEntry

	// What Begin derives from the state, once a step.
	need Protection // User at CPL 3
	user uint32     // PFUser at CPL 3
	flat bool       // 64-bit mode: no limits, base for FS and GS only

	canonicalShift uint8
	am             bool
	noPaging       bool
	hooks          step.Hooks

	numStaged int
	staged    [maxStaged]stagedWrite

	// segments holds the hidden parts, by x86.Segment, to IDTR.
	segments [x86.IDTR + 1]x86.SegmentRegister

	pages   []page // sorted by address
	runs    []run
	windows []window
	dirty   []*page // pages that were written since Load
	code    placed

	// gdt is what the case has made of cfg.GDT (accessed bits).
	gdt []uint64
	// ldt is the case's local descriptor table.
	ldt []uint64

	cfg Config
}

var _ step.Bus = (*Machine)(nil)

// run is the storage of a run of pages.
type run struct {
	base uint64
	data []byte
	fill byte
}

// page is one mapped page.
type page struct {
	number uint64 // linear address / PageSize
	data   *[PageSize]byte
	prot   Protection
	fill   byte
	// physical is the address of the page's first byte in the order of
	// storage; equal for two linear pages with one content.
	physical uint64
	// lo and hi bound the bytes that were written since Load; hi is 0 if none
	// were.
	lo, hi int
	// windows are the parts of windows on this page, sorted.
	windows []span
}

// span is a range of offsets in a page, [lo, hi).
type span struct{ lo, hi int }

// window is a window with its storage and its place in the case's memory.
type window struct {
	data   []byte
	offset int
}

// placed is the code that Load wrote: at an address, in up to two pages.
type placed struct {
	address uint64
	bytes   [16]byte
	n       int
}

const (
	cacheBits = 6
	cacheSize = 1 << cacheBits
)

type cacheEntry struct {
	number uint64
	page   *page
}

// New returns a machine, or an error that tells which pages or windows
// overlap, are not aligned or lie outside.
func New(cfg Config) (*Machine, error) {
	m := &Machine{cfg: cfg, am: cfg.AlignmentMask, noPaging: cfg.NoPaging, gdt: slices.Clone(cfg.GDT)}
	bits := cfg.VirtualBits
	if bits == 0 {
		bits = 48
	}
	if bits != 48 && bits != 57 {
		return nil, fmt.Errorf("machine: %d bits of virtual address: want 48 or 57", bits)
	}
	m.canonicalShift = 64 - bits
	if err := m.addPages(cfg.Pages); err != nil {
		return nil, err
	}
	if err := m.addWindows(cfg.Windows); err != nil {
		return nil, err
	}
	for i := range m.cache {
		m.cache[i].number = ^uint64(0)
	}
	m.hooks = offered(&cfg) &^ cfg.Without
	m.dirty = make([]*page, 0, len(m.pages))
	m.suspect()
	m.state = &x86.State{Mode: x86.Long64, StackWidth: 64, CPL: 3}
	m.flatSegments()
	m.Begin()
	return m, nil
}

func (m *Machine) addPages(list []Pages) error {
	for _, p := range list {
		if p.Address%PageSize != 0 || p.Count <= 0 {
			return fmt.Errorf("machine: %d pages at %#x: want a multiple of %#x and at least one page", p.Count, p.Address, PageSize)
		}
		r := run{p.Address, nil, p.Fill}
		if m.cfg.Storage == nil {
			r.data = make([]byte, p.Count*PageSize)
		} else if r.data = m.cfg.Storage(p.Count * PageSize); len(r.data) != p.Count*PageSize {
			return fmt.Errorf("machine: storage of %d bytes for %d pages at %#x", len(r.data), p.Count, p.Address)
		}
		fill(r.data, p.Fill)
		m.runs = append(m.runs, r)
		for i := range p.Count {
			m.pages = append(m.pages, page{
				number: p.Address/PageSize + uint64(i), data: (*[PageSize]byte)(r.data[i*PageSize:]), prot: p.Protection, fill: p.Fill,
			})
		}
	}
	slices.SortFunc(m.pages, func(a, b page) int {
		if a.number < b.number {
			return -1
		}
		return 1
	})
	for i := range m.pages {
		if i > 0 && m.pages[i].number == m.pages[i-1].number {
			return fmt.Errorf("machine: page at %#x is given twice", m.pages[i].number*PageSize)
		}
		m.pages[i].physical = uint64(i) * PageSize
	}
	return nil
}

func (m *Machine) addWindows(list []Window) error {
	offset := 0
	for _, w := range list {
		r := m.run(w.Address)
		if r == nil || w.Length <= 0 || w.Address-r.base+uint64(w.Length) > uint64(len(r.data)) {
			return fmt.Errorf("machine: window at %#x, %d bytes: not within one run of pages", w.Address, w.Length)
		}
		at := int(w.Address - r.base)
		m.windows = append(m.windows, window{r.data[at : at+w.Length], offset})
		offset += w.Length
		for a, n := w.Address, w.Length; n > 0; {
			p := m.find(a / PageSize)
			lo := int(a % PageSize)
			k := min(n, PageSize-lo)
			for _, s := range p.windows {
				if lo < s.hi && s.lo < lo+k {
					return fmt.Errorf("machine: window at %#x overlaps another", w.Address)
				}
			}
			p.windows = append(p.windows, span{lo, lo + k})
			slices.SortFunc(p.windows, func(a, b span) int { return a.lo - b.lo })
			a += uint64(k)
			n -= k
		}
	}
	return nil
}

func (m *Machine) run(address uint64) *run {
	for i := range m.runs {
		if r := &m.runs[i]; address >= r.base && address-r.base < uint64(len(r.data)) {
			return r
		}
	}
	return nil
}

func fill(b []byte, v byte) {
	if v == 0 {
		clear(b)
		return
	}
	for i := range b {
		b[i] = v
	}
}

// Load starts a case: undoes what the case before it wrote, copies memory (the
// content of the windows, in order) and then code to the linear address at,
// whatever the protection of the pages there. Code bytes outside the pages are
// dropped. The machine keeps state, which the caller steps; the hidden parts
// of the segments are flat with the given bases of FS and GS in 64-bit mode.
func (m *Machine) Load(state *x86.State, fsBase, gsBase uint64, memory, code []byte, at uint64) {
	m.restore()
	for i := range m.windows {
		w := &m.windows[i]
		copy(w.data, memory[w.offset:])
	}
	m.code.address, m.code.n = at, copy(m.code.bytes[:], code)
	m.place(m.code.bytes[:m.code.n])
	copy(m.gdt, m.cfg.GDT)
	m.state = state
	if state.Mode == x86.Long64 {
		m.flatSegments() // what the case before it has loaded
	}
	m.segments[x86.FS].Base = fsBase
	m.segments[x86.GS].Base = gsBase
	m.Begin()
}

// place copies code to where it belongs.
func (m *Machine) place(code []byte) {
	at := m.code.address
	for len(code) > 0 {
		off := int(at % PageSize)
		n := min(len(code), PageSize-off)
		if p := m.page(at); p != nil {
			copy(p.data[off:], code[:n])
		}
		code = code[n:]
		at += uint64(n)
	}
}

// restore fills what was written and where code was with the fill of its page.
func (m *Machine) restore() {
	for _, p := range m.dirty {
		fill(p.data[p.lo:p.hi], p.fill)
		p.lo, p.hi = 0, 0
	}
	m.dirty = m.dirty[:0]
	m.suspect()
	at, n := m.code.address, m.code.n
	for n > 0 {
		off := int(at % PageSize)
		k := min(n, PageSize-off)
		if p := m.page(at); p != nil {
			fill(p.data[off:off+k], p.fill)
		}
		n -= k
		at += uint64(k)
	}
	m.code.n = 0
}

// suspect takes all pages that others may write for written.
func (m *Machine) suspect() {
	if !m.cfg.Foreign {
		return
	}
	for i := range m.pages {
		if p := &m.pages[i]; p.prot&Write != 0 {
			p.lo, p.hi = 0, PageSize
			m.dirty = append(m.dirty, p)
		}
	}
}

// Pages are those that the machine was made with.
func (m *Machine) Pages() []Pages { return m.cfg.Pages }

// Storage returns what the pages of Config.Pages[i] are kept in.
func (m *Machine) Storage(i int) []byte { return m.runs[i].data }

// Save copies the content of the windows to memory.
func (m *Machine) Save(memory []byte) {
	for i := range m.windows {
		w := &m.windows[i]
		copy(memory[w.offset:], w.data)
	}
}

// Bases returns the bases of FS and GS.
func (m *Machine) Bases() (fs, gs uint64) { return m.segments[x86.FS].Base, m.segments[x86.GS].Base }

// SetSegment sets the hidden part of a segment register, for modes with
// segmentation; the caller sets the visible part in its State.
func (m *Machine) SetSegment(s x86.Segment, r x86.SegmentRegister) { m.segments[s] = r }

// Segment returns the hidden part of a segment register.
func (m *Machine) Segment(s x86.Segment) *x86.SegmentRegister { return &m.segments[s] }

// Begin implements step.Bus.
func (m *Machine) Begin() {
	m.numStaged = 0
	s := m.state
	m.flat = s.Mode == x86.Long64
	m.need, m.user = 0, 0
	if s.CPL == 3 {
		m.need, m.user = User, x86.PFUser
	}
}
