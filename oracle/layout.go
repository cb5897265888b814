package oracle

import (
	"fmt"
)

// PageSize is the size of a page in bytes.
const PageSize = 4096

// Protection is what user code may do with a page.
type Protection uint8

// The protections. A page that is mapped is readable.
const (
	ProtRead  Protection = 1 << 0
	ProtWrite Protection = 1 << 1
	ProtExec  Protection = 1 << 2
)

// String returns the letters of the case schema, as "rw".
func (p Protection) String() string {
	s := ""
	for i, c := range "rwx" {
		if p&(1<<i) != 0 {
			s += string(c)
		}
	}
	return s
}

// Pages is a run of mapped pages. All bytes outside the windows are Fill.
type Pages struct {
	// Address is the linear address of the first page, a multiple of PageSize.
	Address uint64
	// Count is the number of pages.
	Count int
	Prot  Protection
	Fill  byte
}

// End returns the address after the last byte.
func (p Pages) End() uint64 { return p.Address + uint64(p.Count)*PageSize }

// Window is a range of bytes within one run of pages whose content each case
// gives and each result returns.
type Window struct {
	Address uint64
	Length  int
}

// Layout is the memory of a family of cases: which pages are mapped and which
// bytes of them a case says. Layouts are compared by pointer and never change
// once in use. All that is not mapped faults.
type Layout struct {
	Pages   []Pages
	Windows []Window
	// Code is the run of pages, an index in Pages, that instructions are
	// placed in; the bytes of the instruction are there in addition to the
	// windows.
	Code int
}

// WindowBytes is the sum of the lengths of the windows: the length of
// Case.Memory.
func (l *Layout) WindowBytes() int {
	n := 0
	for _, w := range l.Windows {
		n += w.Length
	}
	return n
}

// Find returns the run of pages that holds the address, or nil.
func (l *Layout) Find(address uint64) *Pages {
	for i := range l.Pages {
		if p := &l.Pages[i]; address >= p.Address && address < p.End() {
			return p
		}
	}
	return nil
}

// Validate tells what is wrong with a layout: pages that overlap or are not
// aligned, windows that overlap or lie outside the pages.
func (l *Layout) Validate() error {
	for i, p := range l.Pages {
		if p.Address%PageSize != 0 || p.Count <= 0 {
			return fmt.Errorf("pages at %#x: want a multiple of %#x and at least one page", p.Address, PageSize)
		}
		for _, q := range l.Pages[:i] {
			if p.Address < q.End() && q.Address < p.End() {
				return fmt.Errorf("pages at %#x overlap pages at %#x", p.Address, q.Address)
			}
		}
	}
	for i, w := range l.Windows {
		p := l.Find(w.Address)
		if p == nil || w.Length <= 0 || w.Address+uint64(w.Length) > p.End() {
			return fmt.Errorf("window at %#x, %d bytes: not within mapped pages", w.Address, w.Length)
		}
		for _, v := range l.Windows[:i] {
			if w.Address < v.Address+uint64(v.Length) && v.Address < w.Address+uint64(w.Length) {
				return fmt.Errorf("window at %#x overlaps window at %#x", w.Address, v.Address)
			}
		}
	}
	if l.Code < 0 || l.Code >= len(l.Pages) || l.Pages[l.Code].Prot&ProtExec == 0 {
		return fmt.Errorf("code pages: want an executable run of pages")
	}
	return nil
}

// The addresses of the default layout.
const (
	CodeBase     = 0x10000000
	DataBase     = 0x20000000
	StackBase    = 0x30000000
	ReadOnlyBase = 0x40000000
	// HighCodeBase is code that only 64-bit mode reaches: an instruction pointer
	// that is cut to 32 bits shows there.
	HighCodeBase = 0x100000000
)

// DefaultLayout is the layout of campaigns: two pages of code, and two more
// above 4 GiB, filled with INT3, so that a branch stops where it lands; two pages each of data and
// stack with windows around the boundary between them and at the far ends,
// where the next page is not mapped; one read-only page.
var DefaultLayout = &Layout{
	Pages: []Pages{
		{CodeBase, 2, ProtRead | ProtExec, 0xcc},
		{DataBase, 2, ProtRead | ProtWrite, 0},
		{StackBase, 2, ProtRead | ProtWrite, 0},
		{ReadOnlyBase, 1, ProtRead, 0},
		{HighCodeBase, 2, ProtRead | ProtExec, 0xcc},
	},
	Windows: []Window{
		{DataBase + PageSize - 256, 512},
		{StackBase + PageSize - 128, 256},
		{DataBase, 64},
		{DataBase + 2*PageSize - 64, 64},
		{StackBase + 2*PageSize - 64, 64},
		{ReadOnlyBase, 64},
	},
}
