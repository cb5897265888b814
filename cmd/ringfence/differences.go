package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// differences lists what differs between two results by name, with what the
// subject and what the reference says.
func differences(c *oracle.Case, d *oracle.Diff, subject, reference *oracle.Result) [][3]string {
	rows := [][3]string{{"ended with", endingText(subject), endingText(reference)}}
	add := func(name, s, r string) {
		if s != r {
			rows = append(rows, [3]string{name, s, r})
		}
	}
	number := func(name string, s, r uint64) { add(name, fmt.Sprintf("%#x", s), fmt.Sprintf("%#x", r)) }
	if d.Fields&oracle.FieldPromise != 0 {
		add("promise", subject.Promise, "")
	}
	if d.Fields&oracle.FieldRIP != 0 {
		number("rip", subject.State.RIP, reference.State.RIP)
	}
	if d.Fields&oracle.FieldFlags != 0 {
		number("rflags", subject.State.RFLAGS, reference.State.RFLAGS)
		set := func(r *oracle.Result) string { return (x86.Flags(r.State.RFLAGS) & d.Flags).String() }
		rows = append(rows, [3]string{"  of " + d.Flags.String(), orNone(set(subject)), orNone(set(reference))})
	}
	if d.Fields&oracle.FieldGPR != 0 {
		for n := range uint8(x86.NumGPR) {
			if d.GPR>>n&1 != 0 {
				number(x86.GPRName(n, 8), subject.State.GPR[n], reference.State.GPR[n])
			}
		}
	}
	if d.Fields&oracle.FieldSelectors != 0 {
		for s := range x86.Segment(x86.NumSegment) {
			number(s.String(), uint64(subject.State.Selector[s]), uint64(reference.State.Selector[s]))
		}
	}
	if d.Fields&oracle.FieldBases != 0 {
		number("fsbase", subject.FSBase, reference.FSBase)
		number("gsbase", subject.GSBase, reference.GSBase)
	}
	if d.Fields&oracle.FieldRetire != 0 {
		add("retire", subject.Retire.String(), reference.Retire.String())
	}
	if d.Fields&oracle.FieldMemory != 0 {
		rows = append(rows, memoryDifferences(c, subject, reference)...)
	}
	if d.Fields&oracle.FieldStray != 0 {
		add("stray writes", strays(subject), strays(reference))
	}
	return rows
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// memoryDifferences lists the runs of bytes that differ, of at most 16 bytes a
// row.
func memoryDifferences(c *oracle.Case, subject, reference *oracle.Result) [][3]string {
	var rows [][3]string
	at := 0
	for _, w := range c.Layout.Windows {
		s, r := subject.Memory[at:at+w.Length], reference.Memory[at:at+w.Length]
		for i := 0; i < w.Length; i++ {
			j := i
			for j < w.Length && j-i < 16 && s[j] != r[j] {
				j++
			}
			if j > i {
				rows = append(rows, [3]string{fmt.Sprintf("[%#x]", w.Address+uint64(i)), fmt.Sprintf("%x", s[i:j]), fmt.Sprintf("%x", r[i:j])})
				i = j - 1
			}
		}
		at += w.Length
	}
	return rows
}

func strays(r *oracle.Result) string {
	if r.NumStray == 0 {
		return "none"
	}
	var words []string
	for _, s := range r.Stray[:min(r.NumStray, oracle.MaxStray)] {
		words = append(words, fmt.Sprintf("[%#x]=%#x", s.Address, s.Value))
	}
	return fmt.Sprintf("%d: %s", r.NumStray, strings.Join(words, " "))
}

// printDifferences writes the rows aligned.
func printDifferences(w io.Writer, rows [][3]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintf(t, "    %s\tsubject %s\treference %s\n", row[0], row[1], row[2])
	}
	return t.Flush()
}
