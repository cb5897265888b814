package campaign

import (
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/fuzz/gen"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// A campaign of states runs each row so many times, rather than what a
// generator deals.

// rowsOf returns this worker's share of the rows that run in a mode: those that
// the generator deals, of features that the CPU has.
func (w *worker) rowsOf(m x86.Mode, weight func(*isa.Row) int) []isa.ID {
	var rows []isa.ID
	n := 0
	for _, row := range isa.Rows() {
		if weight(&row) == 0 || !HasStates(&row, m, w.c.cfg.Profile) {
			continue
		}
		if n%w.c.cfg.jobs() == w.index {
			rows = append(rows, row.ID)
		}
		n++
	}
	return rows
}

// HasStates says whether a campaign of states runs a row in a mode: a
// general-purpose one that the mode and the CPU have. Near branches with 66h in
// 64-bit mode are one vendor's.
func HasStates(row *isa.Row, m x86.Mode, p *isa.Profile) bool {
	if p.Vendor == isa.Intel && m == x86.Long64 && row.Attr&isa.AttrForce64 != 0 && row.Pattern.OpSize == 2 {
		return false
	}
	return row.Attr&(isa.AttrX87|isa.AttrVector) == 0 && row.Modes&gen.Modes(m) != 0 && row.Missing(&p.Features) == isa.FeatureNone
}

// One state in so many has a LOCK prefix, and one is too long.
const flawEvery = 64

// fill makes a case of the row, or of what a prefix that is wrong makes of it.
func (s *source) fill(c *oracle.Case, row isa.ID) {
	for range sameRow {
		s.gen.FromRow(c, row)
		if r := s.gen.Row(); r == row || r == 0 {
			return
		}
	}
}

// sameRow is how often an instruction that turned into another row is made
// anew.
const sameRow = 8

// fillStates makes at most n cases of the rows, one of each in turn, and
// returns how many it made.
func (w *worker) fillStates(n int) int {
	if w.dealt == nil {
		w.dealt = make([]isa.ID, len(w.cases))
	}
	s := w.source
	i := 0
	for ; i < n && len(s.rows) > 0 && s.state < w.c.cfg.States; i++ {
		row := s.rows[s.row]
		w.dealt[i] = row
		switch c := &w.cases[i]; s.state % flawEvery {
		case 1:
			s.gen.Flawed(c, row, gen.FlawLock)
		case 2:
			s.gen.Flawed(c, row, gen.FlawLength)
		default:
			s.fill(c, row)
		}
		if s.row++; s.row == len(s.rows) {
			s.row = 0
			s.state++
		}
	}
	w.differ.Dealt = w.dealt[:i]
	return i
}

// drop leaves out the source in hand, which has made all its cases, and says
// whether others are left.
func (w *worker) drop() bool {
	if w.c.cfg.States == 0 {
		return false
	}
	for i, s := range w.sources {
		if s == w.source {
			w.sources = append(w.sources[:i:i], w.sources[i+1:]...)
			return len(w.sources) > 0
		}
	}
	return false
}
