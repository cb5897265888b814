package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/seed-4e121ece/ringfence/fuzz/sweep"
)

// sweepClass is a line of `sweep --json` about a class of disagreements.
type sweepClass struct {
	Type string `json:"type"`
	*sweep.Class
	// Share is the part of all disagreements, from 0 to 1.
	Share float64 `json:"share"`
	// Confirmed tells what the CPU makes of the opcodes of an explained class.
	Confirmed *sweep.Confirmed `json:"confirmed,omitempty"`
}

// sweepSummary is the last line of `sweep --json`.
type sweepSummary struct {
	Type        string            `json:"type"`
	Mode        int               `json:"mode"`
	Subjects    []string          `json:"subjects"`
	References  []string          `json:"references"`
	Shard       int               `json:"shard"`
	Shards      int               `json:"shards"`
	Sample      int               `json:"sample"`
	Done        int               `json:"done"`
	Blocks      int               `json:"blocks"`
	Strings     uint64            `json:"strings"`
	Valid       uint64            `json:"valid"`
	Compared    uint64            `json:"compared"`
	Uncovered   uint64            `json:"uncovered"`
	Groups      map[string]uint64 `json:"groups,omitempty"`
	Differ      uint64            `json:"differ"`
	Unexplained uint64            `json:"unexplained"`
	Seconds     float64           `json:"seconds"`
}

// writeSweep writes the table for a program.
func writeSweep(w io.Writer, t *sweep.Table, asked map[string]sweep.Confirmed) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for _, c := range t.List() {
		line := sweepClass{Type: "class", Class: c, Share: float64(c.Count) / float64(t.Differ)}
		if k, ok := asked[c.Quirk]; ok && c.Quirk != "" {
			line.Confirmed = &k
		}
		if err := enc.Encode(&line); err != nil {
			return err
		}
	}
	return enc.Encode(&sweepSummary{
		"summary", t.Mode, t.Subjects, t.References, t.Shard + 1, t.Shards, max(t.Sample, 1), t.Done, t.Blocks, t.Strings, t.Valid,
		t.Compared, t.Uncovered, t.Groups, t.Differ, t.Unexplained, t.Elapsed.Seconds(),
	})
}

// printedClasses is how many unexplained classes are printed for a person.
const printedClasses = 200

// printSweep prints the table for a person.
func printSweep(w io.Writer, t *sweep.Table, asked map[string]sweep.Confirmed) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "%d-bit code: %s against %s\n\n", t.Mode, strings.Join(t.Subjects, ", "), strings.Join(t.References, ", "))
	fmt.Fprintf(out, "  distinct strings  %s, %s of them instructions of the table\n", commas(t.Strings), commas(t.Valid))
	fmt.Fprintf(out, "  walk              %d of %d blocks", t.Done, t.Blocks)
	if t.Shards > 1 {
		fmt.Fprintf(out, " of shard %d/%d", t.Shard+1, t.Shards)
	}
	if t.Sample > 1 {
		fmt.Fprintf(out, ", a sample of one string in %d", t.Sample)
	}
	fmt.Fprintf(out, ", %s\n", t.Elapsed.Round(time.Second/10))
	fmt.Fprintf(out, "  compared          %s pairs of answers; %s more not in both tables\n", commas(t.Compared), commas(t.Uncovered))
	for _, g := range slices.Sorted(maps.Keys(t.Groups)) {
		fmt.Fprintf(out, "                    %s of them %s\n", commas(t.Groups[g]), g)
	}
	fmt.Fprintf(out, "  disagreements     %s, %s of them unexplained\n", commas(t.Differ), commas(t.Unexplained))
	known, open := splitClasses(t)
	if len(known) > 0 {
		fmt.Fprintf(out, "\nexplained, by quirk\n")
		tw := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		for _, c := range known {
			fmt.Fprintf(tw, "  %s\t%s\t%.2f %%\t%s\t%s\t%s: %s\t%s: %s\t%s\n", c.Quirk, commas(c.Count), 100*float64(c.Count)/float64(t.Differ),
				c.Fields, c.Example, c.Subject, c.Says, c.Reference, c.Against, confirmedText(asked, c))
		}
		if err := tw.Flush(); err != nil {
			return err
		}
	}
	if len(open) > 0 {
		fmt.Fprintf(out, "\nunexplained: %d classes\n", len(open))
		tw := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		for _, c := range open[:min(len(open), printedClasses)] {
			cpu := ""
			if c.CPU != "" {
				cpu = "CPU: " + c.CPU
			}
			fmt.Fprintf(tw, "  %s\t%s\t%s\t%s\t%s: %s\t%s: %s\t%s\n", c.Opcode, commas(c.Count), c.Fields, c.Example, c.Subject, c.Says, c.Reference, c.Against, cpu)
		}
		if err := tw.Flush(); err != nil {
			return err
		}
		if len(open) > printedClasses {
			fmt.Fprintf(out, "  … and %d more (--json lists all)\n", len(open)-printedClasses)
		}
	} else {
		fmt.Fprintf(out, "\nno disagreement without a reason\n")
	}
	return out.Flush()
}

func splitClasses(t *sweep.Table) (known, open []*sweep.Class) {
	for _, c := range t.List() {
		if c.Quirk == "" {
			open = append(open, c)
		} else {
			known = append(known, c)
		}
	}
	return known, open
}

// confirmedText tells on how many opcodes the CPU agrees with a quirk that
// absorbs much.
func confirmedText(asked map[string]sweep.Confirmed, c *sweep.Class) string {
	k, ok := asked[c.Quirk]
	if !ok {
		return ""
	}
	s := fmt.Sprintf("CPU: %d of %d opcodes confirmed", k.Yes, k.Yes+k.No+k.Silent)
	if k.No > 0 {
		s += fmt.Sprintf(", %d CONTRADICTED (%s)", k.No, k.Against)
	}
	if k.Silent > 0 {
		s += fmt.Sprintf(", %d it cannot judge", k.Silent)
	}
	return s
}
