package oracle

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// maxPages bounds the memory of a case that is read.
const maxPages = 1024

// entry is a memory entry of a case.
type entry struct {
	address uint64
	bytes   []byte
	prot    Protection
	// fill says that the entry is whole pages of one byte, given by a pattern:
	// it becomes the fill of its pages rather than a window.
	fill bool
	// at is where the entry stands in the input.
	at int64
}

func (e *entry) last() uint64 { return e.address + uint64(len(e.bytes)) - 1 }

// repeat extends the bytes to the length that was given, -1 for none.
func (e *entry) repeat(length int64) error {
	if length >= 0 && len(e.bytes) == 0 {
		e.bytes = []byte{0}
	}
	switch {
	case len(e.bytes) == 0:
		return fmt.Errorf("no bytes: want bytes, length, or both")
	case length >= 0 && length < int64(len(e.bytes)):
		return fmt.Errorf("%d bytes with length %d: want no more bytes than the length", len(e.bytes), length)
	}
	if length >= 0 {
		e.fill = len(e.bytes) == 1 && e.address%PageSize == 0 && length%PageSize == 0
		e.bytes = bytes.Repeat(e.bytes, int(length)/len(e.bytes)+1)[:length]
	}
	switch {
	case e.last() < e.address:
		return fmt.Errorf("%d bytes at %#x: run past the last address", len(e.bytes), e.address)
	case !canonical57(e.address) || !canonical57(e.last()):
		return fmt.Errorf("%d bytes at %#x: not canonical addresses", len(e.bytes), e.address)
	}
	return nil
}

func canonical57(v uint64) bool { return uint64(int64(v<<7)>>7) == v }

// image is a page of a case that is being read.
type image struct {
	number uint64
	data   [PageSize]byte
	prot   Protection
	fill   byte
	// window has a bit for each quadword that is in a window.
	window [PageSize / 8]bool
}

// layOut makes layout and memory of the case from its entries.
func (p *caseParser) layOut() error {
	p.path = []string{"memory"}
	slices.SortStableFunc(p.entries, func(a, b entry) int {
		if a.address < b.address {
			return -1
		}
		return 1
	})
	pages, err := p.images()
	if err != nil {
		return err
	}
	c := p.c
	if fits(pages, DefaultLayout) {
		c.Layout = DefaultLayout
	} else if c.Layout, err = makeLayout(pages, c.CodeAddress()); err != nil {
		return p.errorf(p.memAt, "%v", err)
	}
	c.Memory = make([]byte, 0, c.Layout.WindowBytes())
	for _, w := range c.Layout.Windows {
		for i := range uint64(w.Length) {
			a := w.Address + i
			b := find(pages, a/PageSize).data[a%PageSize]
			if k := a - c.CodeAddress(); k < uint64(c.CodeLen) {
				b = c.Code[k]
			}
			c.Memory = append(c.Memory, b)
		}
	}
	for _, e := range p.entries {
		c.Given = append(c.Given, Window{Address: e.address, Length: len(e.bytes)})
	}
	return nil
}

// images checks the entries and makes the pages, sorted.
func (p *caseParser) images() ([]*image, error) {
	var pages []*image
	executable := false
	for i := range p.entries {
		e := &p.entries[i]
		if i > 0 {
			if q := &p.entries[i-1]; q.last() >= e.address {
				return nil, p.errorf(e.at, "%d bytes at %#x overlap %d bytes at %#x", len(e.bytes), e.address, len(q.bytes), q.address)
			}
		}
		executable = executable || e.prot&ProtExec != 0
		for n := e.address / PageSize; ; n++ {
			im := find(pages, n)
			if im == nil {
				im = &image{number: n, prot: e.prot}
				pages = append(pages, im) // in order, as the entries are
			}
			if im.prot != e.prot {
				return nil, p.errorf(e.at, "the page at %#x is given with access %s and %s: want one access a page", n*PageSize, im.prot, e.prot)
			}
			im.put(e)
			if n == e.last()/PageSize {
				break
			}
			if len(pages) > maxPages {
				return nil, p.errorf(e.at, "over %d pages", maxPages)
			}
		}
	}
	if !executable {
		return p.codePages(pages)
	}
	return pages, nil
}

// codePages adds the pages of the code, when no entry is executable.
func (p *caseParser) codePages(pages []*image) ([]*image, error) {
	rip := p.c.CodeAddress()
	last := rip + uint64(max(p.c.CodeLen, 1)) - 1
	if !canonical57(rip) || !canonical57(last) {
		return nil, p.errorf(p.regAt, "rip %#x: code can be placed at canonical addresses only", rip)
	}
	for n := rip / PageSize; ; n++ {
		if find(pages, n) != nil {
			return nil, p.errorf(p.memAt, "the code at %#x is in a page without x: want x in its access", rip)
		}
		pages = append(pages, &image{number: n, prot: ProtRead | ProtExec})
		if n == last/PageSize {
			break
		}
	}
	slices.SortFunc(pages, func(a, b *image) int {
		if a.number < b.number {
			return -1
		}
		return 1
	})
	return pages, nil
}

func find(pages []*image, number uint64) *image {
	i, ok := slices.BinarySearchFunc(pages, number, func(im *image, n uint64) int {
		switch {
		case im.number < n:
			return -1
		case im.number > n:
			return 1
		}
		return 0
	})
	if !ok {
		return nil
	}
	return pages[i]
}

// put copies the part of the entry that is on the page.
func (im *image) put(e *entry) {
	base := im.number * PageSize
	from, to := 0, PageSize
	if e.address > base {
		from = int(e.address - base)
	}
	if end := e.last() - base + 1; end < PageSize {
		to = int(end)
	}
	if e.fill {
		im.fill = e.bytes[0]
	}
	for i := from; i < to; i++ {
		im.data[i] = e.bytes[base+uint64(i)-e.address]
		if !e.fill {
			im.window[i/8] = true
		}
	}
}

// fits says whether the pages are those of the layout, with its fill wherever
// it has no window.
func fits(pages []*image, l *Layout) bool {
	n := 0
	for i := range l.Pages {
		n += l.Pages[i].Count
	}
	if n != len(pages) {
		return false
	}
	for _, im := range pages {
		base := im.number * PageSize
		run := l.Find(base)
		if run == nil || run.Prot != im.prot {
			return false
		}
		in := [PageSize]bool{}
		for _, w := range l.Windows {
			for i := range uint64(w.Length) {
				if k := w.Address + i - base; k < PageSize {
					in[k] = true
				}
			}
		}
		for i, b := range im.data {
			if !in[i] && b != run.Fill {
				return false
			}
		}
	}
	return true
}

// makeLayout makes a layout of the pages: a run for each row of pages of one
// access and fill, windows of whole quadwords.
func makeLayout(pages []*image, rip uint64) (*Layout, error) {
	l := &Layout{Code: -1}
	for i, im := range pages {
		base := im.number * PageSize
		if i == 0 || pages[i-1].number+1 != im.number || pages[i-1].prot != im.prot || pages[i-1].fill != im.fill {
			l.Pages = append(l.Pages, Pages{Address: base, Prot: im.prot, Fill: im.fill})
		}
		run := &l.Pages[len(l.Pages)-1]
		run.Count++
		if im.prot&ProtExec != 0 && (l.Code < 0 || rip-base < PageSize) {
			l.Code = len(l.Pages) - 1
		}
		for q, set := range im.window {
			if !set {
				continue
			}
			a := base + uint64(q)*8
			if n := len(l.Windows); n > 0 && a > run.Address && l.Windows[n-1].Address+uint64(l.Windows[n-1].Length) == a {
				l.Windows[n-1].Length += 8
				continue
			}
			l.Windows = append(l.Windows, Window{Address: a, Length: 8})
		}
	}
	if err := l.Validate(); err != nil {
		return nil, err
	}
	return intern(l), nil
}

// layouts are those that were made, so that equal ones are one: an engine
// keeps a machine, or a process, for each.
var layouts = struct {
	sync.Mutex
	known map[string]*Layout
}{known: map[string]*Layout{}}

// maxLayouts bounds how many layouts are remembered.
const maxLayouts = 4096

func intern(l *Layout) *Layout {
	var b strings.Builder
	fmt.Fprint(&b, l.Code, l.Pages, l.Windows)
	layouts.Lock()
	defer layouts.Unlock()
	if k := layouts.known[b.String()]; k != nil {
		return k
	}
	if len(layouts.known) < maxLayouts {
		layouts.known[b.String()] = l
	}
	return l
}
