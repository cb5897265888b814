package silicon

import (
	"fmt"
	"slices"

	"github.com/seed-4e121ece/ringfence/oracle"
)

// blockSize is the unit in which the runner copies windows.
const blockSize = 64

// geometry is a layout as the runner needs it. All runs of pages lie one after
// the other, by address, in one file in memory; windows are widened to whole
// blocks and follow the fixed part of a slot.
type geometry struct {
	layout  *oracle.Layout
	runs    []run
	bytes   int // total size of the runs
	windows []block
	winSize int    // bytes of all windows, widened
	memSize int    // bytes of all windows as the layout has them
	pieces  []part // the layout's windows, in its order
	margins []part // bytes of the widened windows that are in no window
	// writableCode says that some executable page is writable, so that the
	// code of a case may change.
	writableCode bool
	// codeWindow says that a window lies in an executable page, so that code
	// of a case before may lie where a window comes.
	codeWindow bool
	// narrow keeps the runner from registers that the CPU has: those of
	// AVX-512 (1), of AVX too (2).
	narrow int
	// branches is the rule of the CPU that runs the cases.
	branches branchRule
}

// run is a run of pages.
type run struct {
	addr, end uint64
	file      uint64 // offset in the file of pages
	prot      oracle.Protection
	fill      byte
	// near and nearLen bound what lies less than 1 MiB away from this run and
	// the mapped pages that adjoin it.
	near, nearLen uint64
}

// block is a widened window: whole blocks within one run.
type block struct {
	addr, length uint64
	offset       int // among the windows of a slot
	run          int
}

// part is a range of bytes of a widened window.
type part struct {
	addr   uint64
	offset int // among the windows of a slot
	length int
	fill   byte
}

// nearBytes is how close to the code an address may come before the stop that
// leaves bytes of its own in the code pages is avoided.
const nearBytes = 1 << 20

func newGeometry(l *oracle.Layout) (*geometry, error) {
	if err := l.Validate(); err != nil {
		return nil, fmt.Errorf("silicon: layout: %w", err)
	}
	g := &geometry{layout: l, memSize: l.WindowBytes()}
	for _, p := range l.Pages {
		g.runs = append(g.runs, run{addr: p.Address, end: p.End(), prot: p.Prot, fill: p.Fill})
		if p.Prot&oracle.ProtExec != 0 && p.Prot&oracle.ProtWrite != 0 {
			g.writableCode = true
		}
	}
	slices.SortFunc(g.runs, func(a, b run) int {
		if a.addr < b.addr {
			return -1
		}
		return 1
	})
	for i := range g.runs {
		g.runs[i].file = uint64(g.bytes)
		g.bytes += int(g.runs[i].end - g.runs[i].addr)
		if g.runs[i].prot&oracle.ProtExec != 0 {
			// Code that ends with its page is written as a whole block.
			g.bytes += oracle.PageSize
		}
	}
	g.bound()
	g.widen()
	return g, nil
}

// bound computes near and nearLen of each run.
func (g *geometry) bound() {
	for i := 0; i < len(g.runs); {
		j := i + 1
		for j < len(g.runs) && g.runs[j].addr == g.runs[j-1].end {
			j++
		}
		low, high := g.runs[i].addr, g.runs[j-1].end
		for k := i; k < j; k++ {
			g.runs[k].near = low - nearBytes // may wrap, as addresses do
			g.runs[k].nearLen = high - low + 2*nearBytes
		}
		i = j
	}
}

// widen rounds the windows to blocks and joins those that meet.
func (g *geometry) widen() {
	type span struct {
		lo, hi uint64
		run    int
	}
	var spans []span
	for _, w := range g.layout.Windows {
		spans = append(spans, span{w.Address &^ (blockSize - 1), (w.Address + uint64(w.Length) + blockSize - 1) &^ (blockSize - 1), g.find(w.Address)})
	}
	slices.SortFunc(spans, func(a, b span) int {
		if a.lo < b.lo || a.lo == b.lo && a.hi < b.hi {
			return -1
		}
		return 1
	})
	for _, s := range spans {
		if n := len(g.windows); n > 0 {
			if last := &g.windows[n-1]; s.run == last.run && s.lo <= last.addr+last.length {
				last.length = max(last.length, s.hi-last.addr)
				continue
			}
		}
		g.windows = append(g.windows, block{addr: s.lo, length: s.hi - s.lo, run: s.run})
	}
	for i := range g.windows {
		g.windows[i].offset = g.winSize
		g.winSize += int(g.windows[i].length)
	}
	for _, w := range g.layout.Windows {
		b := g.inBlock(w.Address)
		g.codeWindow = g.codeWindow || g.runs[b.run].prot&oracle.ProtExec != 0
		g.pieces = append(g.pieces, part{w.Address, b.offset + int(w.Address-b.addr), w.Length, g.runs[b.run].fill})
	}
	g.findMargins()
}

func (g *geometry) findMargins() {
	sorted := slices.Clone(g.pieces)
	slices.SortFunc(sorted, func(a, b part) int { return a.offset - b.offset })
	for _, b := range g.windows {
		at := b.addr
		gap := func(to uint64) {
			if to > at {
				g.margins = append(g.margins, part{at, b.offset + int(at-b.addr), int(to - at), g.runs[b.run].fill})
			}
		}
		for _, p := range sorted {
			if p.addr >= b.addr && p.addr < b.addr+b.length {
				gap(p.addr)
				at = p.addr + uint64(p.length)
			}
		}
		gap(b.addr + b.length)
	}
}

// find returns the index of the run that holds the address, or -1.
func (g *geometry) find(addr uint64) int {
	for i := range g.runs {
		if r := &g.runs[i]; addr >= r.addr && addr < r.end {
			return i
		}
	}
	return -1
}

func (g *geometry) inBlock(addr uint64) *block {
	for i := range g.windows {
		if b := &g.windows[i]; addr >= b.addr && addr < b.addr+b.length {
			return b
		}
	}
	return nil
}

// memory is the content of the pages before a case: its code over its windows
// over the fill.
type memory struct {
	g    *geometry
	c    *oracle.Case
	code []byte // what of the code lies in mapped pages
	rip  uint64
}

// at returns the byte at an address and whether the page is there.
func (m *memory) at(addr uint64) (byte, bool) {
	if d := addr - m.rip; d < uint64(len(m.code)) {
		return m.code[d], true
	}
	i := m.g.find(addr)
	if i < 0 {
		return 0, false
	}
	memOff := 0
	for _, w := range m.g.layout.Windows {
		if d := addr - w.Address; d < uint64(w.Length) {
			return m.c.Memory[memOff+int(d)], true
		}
		memOff += w.Length
	}
	return m.g.runs[i].fill, true
}

// read64 returns the quadword at an address and whether all of it is there.
func (m *memory) read64(addr uint64) (uint64, bool) {
	v := uint64(0)
	for i := range uint64(8) {
		b, ok := m.at(addr + i)
		if !ok {
			return 0, false
		}
		v |= uint64(b) << (8 * i)
	}
	return v, true
}

// executable says whether the address lies in an executable page.
func (m *memory) executable(addr uint64) bool {
	i := m.g.find(addr)
	return i >= 0 && m.g.runs[i].prot&oracle.ProtExec != 0
}
