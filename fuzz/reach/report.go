package reach

import (
	"math/bits"
	"sort"

	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// Report sums up a table by family, and lists what the rows can reach and did
// not.
type Report struct {
	Families []FamilySum
	// Total is the sum over the families.
	Total FamilySum
	// Missing is what no case has reached, Unexpected what was reached and is
	// not in the table of faults.
	Missing, Unexpected []Gap
	// Outside are the rows of which nothing could be compared, once each.
	Outside []Gap

	vendor isa.Vendor
}

// FamilySum is a line of the table.
type FamilySum struct {
	Name string
	// Rows counts each row once in each mode; Retired those of them with a
	// case that retired, Full those that reached all that Possible says.
	Rows, Retired, Full int
	// Cell is the sum of the cells: its sets are the unions.
	Cell Cell
	// Outcomes and Patterns are the distinct outcomes, and the patterns of
	// flags after a case that retired, counted for each row and mode.
	Outcomes, Patterns int
}

// Gap is a way in which a row ends in one mode, with the reason why it was not
// reached.
type Gap struct {
	Row    *isa.Row
	Mode   x86.Mode
	Kind   Kind
	Reason string
}

// Report sums up the rows for which keep holds, in the given modes, as they
// are on a vendor's CPUs.
func (t *Table) Report(vendor isa.Vendor, modes []x86.Mode, keep func(row *isa.Row, m x86.Mode) bool) *Report {
	r := &Report{vendor: vendor}
	sums := map[string]*FamilySum{}
	for _, m := range modes {
		rows := isa.Rows()
		for i := range rows {
			if row := &rows[i]; keep(row, m) {
				name := Family(row)
				if sums[name] == nil {
					sums[name] = &FamilySum{Name: name}
				}
				r.row(sums[name], row, m, t.Cell(m, row.ID))
			}
		}
	}
	for _, f := range sums {
		r.Families = append(r.Families, *f)
	}
	sort.Slice(r.Families, func(i, j int) bool { return r.Families[i].Name < r.Families[j].Name })
	r.Total.Name = "all"
	for i := range r.Families {
		r.Total.add(&r.Families[i])
	}
	return r
}

func (f *FamilySum) add(o *FamilySum) {
	f.Rows += o.Rows
	f.Retired += o.Retired
	f.Full += o.Full
	f.Outcomes += o.Outcomes
	f.Patterns += o.Patterns
	f.Cell.Add(&o.Cell)
}

// row takes a row in one mode into its family and lists its gaps.
func (r *Report) row(f *FamilySum, row *isa.Row, m x86.Mode, l *Cell) {
	f.Rows++
	f.Outcomes += bits.OnesCount32(uint32(l.Kinds))
	f.Patterns += bits.OnesCount64(l.Patterns)
	f.Cell.Add(l)
	if l.Retired > 0 {
		f.Retired++
	}
	if reason := outOfReach(l); reason != "" {
		r.Outside = append(r.Outside, Gap{row, m, Retired, reason})
		return
	}
	possible := Possible(row, m, r.vendor)
	full := true
	for k := range NumKinds {
		if k == Encoding {
			continue // not a thing that every row has
		}
		switch {
		case possible.Has(k) && !l.Kinds.Has(k):
			r.Missing = append(r.Missing, Gap{row, m, k, why(row, m, k)})
			full = false
		case !possible.Has(k) && l.Kinds.Has(k):
			r.Unexpected = append(r.Unexpected, Gap{row, m, k, ""})
		}
	}
	if full {
		f.Full++
	}
}

// outOfReach tells why none of a row's cases says what the row does: what was
// compared of it had a prefix or a fetch at fault.
func outOfReach(l *Cell) string {
	if l.Compared > l.Cases/2 {
		return ""
	}
	for r := oracle.RuleNone + 1; r < oracle.NumRules; r++ {
		if l.Skipped>>r&1 == 0 {
			continue
		}
		if l.Note == "" {
			return r.String()
		}
		return r.String() + ": " + l.Note
	}
	return "no case"
}

// reasons are why a row cannot be seen to end in a way that the manual gives,
// on a CPU at CPL 3.
var reasons = []struct {
	kind   Kind
	holds  func(row *isa.Row, m x86.Mode) bool
	reason string
}{
	{
		SS, func(row *isa.Row, m x86.Mode) bool {
			return m == x86.Long64 && row.Pattern.AddrSize == 4
		}, "its addresses have 32 bits, which are canonical, and what FS and GS add to them is #GP",
	},
}

// why tells why a row did not end in a way in which it can; "" if nothing does.
func why(row *isa.Row, m x86.Mode, k Kind) string {
	for i := range reasons {
		if r := &reasons[i]; r.kind == k && r.holds(row, m) {
			return r.reason
		}
	}
	return ""
}
