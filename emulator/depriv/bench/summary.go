package bench

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// WriteSummary writes what matters most, for a person at a terminal.
func (r *Result) WriteSummary(w io.Writer) error {
	out := bufio.NewWriter(w)
	for _, a := range r.Answers() {
		fmt.Fprintf(out, "%s\n", a.Question)
		wrap(out, a.Text, 78)
	}
	r.writeLadder(out)
	r.writeGoals(out)
	for _, n := range append(r.disturbance(), r.Run.Notes...) {
		fmt.Fprintf(out, "note: %s\n", n)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	return nil
}

// wrap writes a text in lines of at most that many columns, indented.
func wrap(w io.Writer, text string, columns int) {
	line := " "
	used := 1
	flush := func() { fmt.Fprintln(w, line) }
	for _, word := range strings.Fields(text) {
		n := len([]rune(word))
		if used+1+n > columns {
			flush()
			line, used = " ", 1
		}
		line += " " + word
		used += 1 + n
	}
	flush()
	fmt.Fprintln(w)
}

func (r *Result) writeLadder(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "one %s, batch 1\tmedian\t95 %% interval\tadded\tcrossings\tp99\tCPU time\t\n", r.class())
	for i := range r.Rungs {
		c := r.Cell(r.Rungs[i].Name, r.class(), 1)
		if c == nil {
			if r.Rungs[i].Missing != "" {
				fmt.Fprintf(t, "%s\t-\t-\t-\t-\t-\t-\t\n", r.Rungs[i].Name)
			}
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%s to %s\t%s\t%s\t%s\t%s\t\n", c.Rung, nanos(c.Time.Median), nanos(c.Time.Low), nanos(c.Time.High), addedShort(c), crossText(c.Crossings), nanos(c.Tail.P99), nanos(c.CPU.Median))
	}
	for i := range r.Floors {
		if f := &r.Floors[i]; f.Time.N > 0 {
			fmt.Fprintf(t, "floor: %s\t%s\t%s to %s\t\t\t%s\t\t\n", f.Name, nanos(f.Time.Median), nanos(f.Time.Low), nanos(f.Time.High), tailText(f.Tail))
		}
	}
	t.Flush()
	fmt.Fprintln(w)
}

func tailText(t Tail) string {
	if t.N == 0 {
		return "-"
	}
	return nanos(t.P99)
}

func (r *Result) writeGoals(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, g := range r.Goals() {
		fmt.Fprintf(t, "%s\t%s\t%s %s, limit %s\t%s\n", g.Verdict(), g.Name, digits(g.Value), g.Unit, digits(g.Limit), g.Basis)
	}
	t.Flush()
	fmt.Fprintln(w)
}

// disturbance says what else the machine did, if it did much.
func (r *Result) disturbance() []string {
	f := &r.Run
	var all []string
	if f.Disturbed > 0 {
		text := fmt.Sprintf("in %d of %d rounds other programs or other machines used more than %s of the processors' time (others: median %s, most %s; steal: median %s, most %s)",
			f.Disturbed, f.Others.N, percent(Quiet), percent(f.Others.Median), percent(f.Others.Max), percent(f.Steal.Median), percent(f.Steal.Max))
		if f.Noisy() {
			text = "DISTURBED: " + text + "; take the figures as upper bounds and run again on a quiet machine"
		}
		all = append(all, text)
	}
	if f.Interrupted {
		all = append(all, fmt.Sprintf("the run was ended early, after %d whole rounds", f.Rounds))
	}
	return all
}
