package reach

import (
	"math/bits"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// Cell is what the cases of one row in one mode have reached, as the reference
// has it.
type Cell struct {
	// Cases is the number of cases that ran; Compared those of which both
	// answers could be compared.
	Cases, Compared, Retired uint64
	// Diverged is the number of cases whose results differ, Strict of those
	// that do so in what the manuals leave undefined alone.
	Diverged, Strict uint64
	Kinds            Kinds
	// Patterns has a bit for each pattern of the six status flags that stood
	// after a case that retired.
	Patterns uint64
	// Toggled are the bits that changed in some general register; Set and
	// Cleared the flags that changed.
	Toggled      uint64
	Set, Cleared x86.Flags
	// Skipped are the rules by which cases were not compared, as a set by
	// number; Note is what the reference said of the last of them.
	Skipped uint32
	Note    string
}

// Take takes a case into the cell and says whether it reached what none
// before it had. skipped is the rule by which nothing of it was compared, or
// RuleNone.
func (l *Cell) Take(c *oracle.Case, in *decode.Inst, r *oracle.Result, skipped oracle.RuleID) (fresh bool) {
	l.Cases++
	if skipped != oracle.RuleNone {
		l.Skipped |= 1 << skipped
		if r.Ending != oracle.Ended && in.Valid() {
			l.Note = r.Note
		}
		return false
	}
	l.Compared++
	if r.Ending != oracle.Ended { // the subject ended otherwise
		return false
	}
	before := *l
	k := KindOf(in, r)
	l.Kinds |= 1 << k
	if k == Retired {
		l.Retired++
		l.Patterns |= 1 << Pattern(x86.Flags(r.State.RFLAGS))
		var toggled uint64
		for i := range c.State.GPR {
			toggled |= c.State.GPR[i] ^ r.State.GPR[i]
		}
		l.Toggled |= toggled
		x := x86.Flags(c.State.RFLAGS ^ r.State.RFLAGS)
		l.Set |= x & x86.Flags(r.State.RFLAGS)
		l.Cleared |= x & x86.Flags(c.State.RFLAGS)
	}
	return l.Kinds != before.Kinds || l.Patterns != before.Patterns || l.Toggled != before.Toggled ||
		l.Set != before.Set || l.Cleared != before.Cleared
}

// Pattern packs the six status flags into a number below 64.
func Pattern(f x86.Flags) uint {
	return uint(f&1 | f>>1&2 | f>>2&4 | f>>3&8 | f>>3&16 | f>>6&32)
}

// Reached is the number of distinct things that the cell's cases have reached:
// outcomes, patterns of flags, bits and flags that toggled.
func (l *Cell) Reached() int {
	return bits.OnesCount32(uint32(l.Kinds)) + bits.OnesCount64(l.Patterns) + bits.OnesCount64(l.Toggled) +
		bits.OnesCount64(uint64(l.Set)) + bits.OnesCount64(uint64(l.Cleared))
}

// Add adds another cell of the same row and mode, or, for a sum over many, of
// another.
func (l *Cell) Add(o *Cell) {
	l.Cases += o.Cases
	l.Compared += o.Compared
	l.Retired += o.Retired
	l.Diverged += o.Diverged
	l.Strict += o.Strict
	l.Kinds |= o.Kinds
	l.Patterns |= o.Patterns
	l.Toggled |= o.Toggled
	l.Set |= o.Set
	l.Cleared |= o.Cleared
	l.Skipped |= o.Skipped
	if o.Note != "" {
		l.Note = o.Note
	}
}

// Table has a cell for each row in each mode. It is used by one goroutine at a
// time.
type Table struct {
	cells [NumModes][]Cell
}

// NumModes is the number of modes that cases are made for: 64-, 32- and 16-bit
// code.
const NumModes = 3

// Modes are the modes in the table's order.
var Modes = [NumModes]x86.Mode{x86.Long64, x86.Compat32, x86.Compat16}

// index is the place of a mode in Modes.
func index(m x86.Mode) int {
	switch m.Width() {
	case 64:
		return 0
	case 32:
		return 1
	}
	return 2
}

// NewTable returns an empty table.
func NewTable() *Table {
	t := new(Table)
	for i := range t.cells {
		t.cells[i] = make([]Cell, len(isa.Rows())+1)
	}
	return t
}

// Cell returns the cell of a row, 0 for what is no instruction, in a mode.
func (t *Table) Cell(m x86.Mode, row isa.ID) *Cell { return &t.cells[index(m)][row] }

// Add adds another table.
func (t *Table) Add(o *Table) {
	for m := range t.cells {
		for i := range t.cells[m] {
			t.cells[m][i].Add(&o.cells[m][i])
		}
	}
}

// Reached is the number of distinct things that all cells have reached.
func (t *Table) Reached() int {
	n := 0
	for m := range t.cells {
		for i := 1; i < len(t.cells[m]); i++ {
			n += t.cells[m][i].Reached()
		}
	}
	return n
}
