package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"sort"

	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/fuzz/campaign"
	"github.com/seed-4e121ece/ringfence/fuzz/gen"
	"github.com/seed-4e121ece/ringfence/fuzz/reach"
)

// statesReport sums up a campaign of states.
func statesReport(s *campaign.Summary, cfg *campaign.Config) *reach.Report {
	wanted, err := cfg.Filter()
	return s.Reach.Report(cfg.Profile.Vendor, cfg.Modes, func(row *isa.Row, m x86.Mode) bool {
		return err == nil && campaign.HasStates(row, m, cfg.Profile) && (wanted == nil || wanted(row.Mnemonic))
	})
}

// states prints what a campaign of states reached, by family, and what not.
func (p *printer) states() {
	r := statesReport(p.s, p.cfg)
	fmt.Fprintf(p.out, "\ngeneral-purpose rows, each in %s states in each mode; rows count once a mode\n", commas(uint64(p.cfg.States)))
	p.table(func(w io.Writer) {
		fmt.Fprintln(w, "  family\trows\tretired\tall faults\tcases\tcompared\tretired\toutcomes\tflag patterns\tdivergent\tstrict")
		for i := range r.Families {
			familyLine(w, &r.Families[i])
		}
		familyLine(w, &r.Total)
	})
	if !p.cfg.Strict {
		fmt.Fprintf(p.out, "  what the manuals leave undefined was not compared (--strict)\n")
	}
	p.lacking()
	gaps(p, "outcomes that the table of faults does not have", r.Unexpected)
	gaps(p, "rows and modes that cannot be compared here", r.Outside)
	gaps(p, "outcomes that no case has reached", r.Missing)
}

// lacking lists the general-purpose rows that did not run, as this CPU does not
// have them, by feature.
func (p *printer) lacking() {
	byFeature := lackingRows(p.cfg)
	n := 0
	for _, rows := range byFeature {
		n += len(rows)
	}
	fmt.Fprintf(p.out, "\ngeneral-purpose rows that this CPU lacks: %d\n", n)
	for _, f := range slices.Sorted(maps.Keys(byFeature)) {
		counts := map[string]uint64{}
		for _, row := range byFeature[f] {
			counts[row.Mnemonic.String()]++
		}
		var names []string
		for _, m := range sortedKeys(counts) {
			names = append(names, fmt.Sprintf("%s (%d)", m, counts[m]))
		}
		fmt.Fprintf(p.out, "  %s (%d)\n", f, len(byFeature[f]))
		p.list("    ", names)
	}
}

// lackingRows returns the general-purpose rows of the modes and the family that
// the CPU lacks, by the feature that is missing.
func lackingRows(cfg *campaign.Config) map[string][]*isa.Row {
	wanted, err := cfg.Filter()
	lacking := map[string][]*isa.Row{}
	rows := isa.Rows()
	for i := range rows {
		row := &rows[i]
		f := row.Missing(&cfg.Profile.Features)
		if f == isa.FeatureNone || row.Attr&(isa.AttrX87|isa.AttrVector) != 0 || err != nil || wanted != nil && !wanted(row.Mnemonic) {
			continue
		}
		if slices.ContainsFunc(cfg.Modes, func(m x86.Mode) bool { return row.Modes&gen.Modes(m) != 0 }) {
			lacking[f.String()] = append(lacking[f.String()], row)
		}
	}
	return lacking
}

func familyLine(w io.Writer, f *reach.FamilySum) {
	l := &f.Cell
	fmt.Fprintf(w, "  %s\t%d\t%d\t%d\t%s\t%s\t%s\t%d\t%d\t%d\t%d\n", f.Name, f.Rows, f.Retired, f.Full, commas(l.Cases), commas(l.Compared),
		commas(l.Retired), f.Outcomes, f.Patterns, l.Diverged, l.Strict)
}

// gaps lists outcomes by reason and by what is missing.
func gaps(p *printer, heading string, all []reach.Gap) {
	if len(all) == 0 {
		fmt.Fprintf(p.out, "\n%s: none\n", heading)
		return
	}
	fmt.Fprintf(p.out, "\n%s: %d\n", heading, len(all))
	type group struct {
		reason string
		kind   reach.Kind
	}
	groups := map[group][]reach.Gap{}
	var order []group
	for _, g := range all {
		k := group{g.Reason, g.Kind}
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k] = append(groups[k], g)
	}
	sort.SliceStable(order, func(i, j int) bool {
		if order[i].reason != order[j].reason {
			return order[i].reason < order[j].reason
		}
		return order[i].kind < order[j].kind
	})
	for _, k := range order {
		heading := "  " + k.kind.String()
		if k.reason != "" {
			heading += ", " + k.reason
		}
		fmt.Fprintf(p.out, "%s (%d)\n", heading, len(groups[k]))
		p.list("    ", gapNames(groups[k]))
	}
}

// gapNames lists the rows of a group, or its mnemonics where there are many.
func gapNames(group []reach.Gap) []string {
	var names []string
	counts := map[string]uint64{}
	for _, g := range group {
		counts[g.Row.Mnemonic.String()]++
		names = append(names, fmt.Sprintf("%s [%s] %d", g.Row.Syntax, g.Row.Encoding, g.Mode.Width()))
	}
	if len(group) <= longGroup {
		return names
	}
	names = nil
	for _, m := range sortedKeys(counts) {
		names = append(names, fmt.Sprintf("%s (%d)", m, counts[m]))
	}
	return names
}

// statesLine is the table of a campaign of states, for a program.
type statesLine struct {
	States     int           `json:"states"`
	Families   []familyEntry `json:"families"`
	Outside    []gapEntry    `json:"not_comparable"`
	Missing    []gapEntry    `json:"not_reached"`
	Unexpected []gapEntry    `json:"unexpected"`
}

type familyEntry struct {
	Name        string `json:"family"`
	Rows        int    `json:"rows"`
	RowsRetired int    `json:"rows_retired"`
	RowsFull    int    `json:"rows_with_all_outcomes"`
	Cases       uint64 `json:"cases"`
	Compared    uint64 `json:"compared"`
	Retired     uint64 `json:"retired"`
	Outcomes    int    `json:"outcomes"`
	Patterns    int    `json:"flag_patterns"`
	Diverged    uint64 `json:"divergent"`
	Strict      uint64 `json:"divergent_strict"`
}

type gapEntry struct {
	Syntax   string `json:"syntax"`
	Encoding string `json:"encoding"`
	Mode     int    `json:"mode"`
	Outcome  string `json:"outcome"`
	Reason   string `json:"reason,omitempty"`
}

func statesOf(s *campaign.Summary, cfg *campaign.Config) *statesLine {
	r := statesReport(s, cfg)
	line := &statesLine{States: cfg.States, Outside: gapEntries(r.Outside), Missing: gapEntries(r.Missing), Unexpected: gapEntries(r.Unexpected)}
	for i := range r.Families {
		f := &r.Families[i]
		l := &f.Cell
		line.Families = append(line.Families, familyEntry{
			f.Name, f.Rows, f.Retired, f.Full, l.Cases, l.Compared, l.Retired, f.Outcomes, f.Patterns, l.Diverged, l.Strict,
		})
	}
	return line
}

func gapEntries(all []reach.Gap) []gapEntry {
	out := []gapEntry{}
	for _, g := range all {
		out = append(out, gapEntry{g.Row.Syntax, g.Row.Encoding, g.Mode.Width(), g.Kind.String(), g.Reason})
	}
	return out
}
