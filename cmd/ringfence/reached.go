package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/bits"
	"text/tabwriter"

	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/fuzz/reach"
)

// reachedLine is what the cases of one row have reached in one mode: a line of
// `fuzz --encodings --json`.
type reachedLine struct {
	Type     string `json:"type"`
	Syntax   string `json:"syntax"`
	Encoding string `json:"encoding"`
	Mode     int    `json:"mode"`
	Cases    uint64 `json:"cases"`
	Compared uint64 `json:"compared"`
	Retired  uint64 `json:"retired"`
	Diverged uint64 `json:"divergent"`
	// Outcomes are named as in the tables of a campaign of states.
	Outcomes []string `json:"outcomes"`
	// Patterns is how many of the 64 patterns of status flags stood after a
	// case; Toggled has the bits that changed in some general register, Set
	// and Cleared the flags that changed.
	Patterns int    `json:"flag_patterns"`
	Toggled  string `json:"bits_toggled"`
	Set      string `json:"flags_set"`
	Cleared  string `json:"flags_cleared"`
}

// reachedLines lists the rows that had cases, in the order of the table.
func reachedLines(t *reach.Table, modes []x86.Mode) []reachedLine {
	var lines []reachedLine
	rows := isa.Rows()
	for _, m := range modes {
		for i := range rows {
			row := &rows[i]
			l := t.Cell(m, row.ID)
			if l.Cases == 0 {
				continue
			}
			line := reachedLine{
				Type: "encoding", Syntax: row.Syntax, Encoding: row.Encoding, Mode: m.Width(),
				Cases: l.Cases, Compared: l.Compared, Retired: l.Retired, Diverged: l.Diverged + l.Strict,
				Outcomes: []string{}, Patterns: bits.OnesCount64(l.Patterns), Toggled: fmt.Sprintf("%#x", l.Toggled),
				Set: l.Set.String(), Cleared: l.Cleared.String(),
			}
			for k := range reach.NumKinds {
				if l.Kinds.Has(k) {
					line.Outcomes = append(line.Outcomes, k.String())
				}
			}
			lines = append(lines, line)
		}
	}
	return lines
}

// writeReached lists what each encoding has reached, for a person or for a
// program.
func writeReached(w io.Writer, t *reach.Table, modes []x86.Mode, asJSON bool) error {
	out := bufio.NewWriter(w)
	lines := reachedLines(t, modes)
	if asJSON {
		enc := json.NewEncoder(out)
		enc.SetEscapeHTML(false)
		for i := range lines {
			if err := enc.Encode(&lines[i]); err != nil {
				return err
			}
		}
		return out.Flush()
	}
	fmt.Fprintf(out, "\nwhat each encoding has reached; bits are those that changed in some general register\n")
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "  mode\tencoding\tcases\tretired\tflag patterns\tbits\tset\tcleared\toutcomes")
	for i := range lines {
		l := &lines[i]
		fmt.Fprintf(table, "  %d\t%s [%s]\t%s\t%s\t%d\t%s\t%s\t%s\t%s\n", l.Mode, l.Syntax, l.Encoding, commas(l.Cases), commas(l.Retired),
			l.Patterns, l.Toggled, l.Set, l.Cleared, l.Outcomes)
	}
	_ = table.Flush() // the buffer below keeps its error
	return out.Flush()
}
