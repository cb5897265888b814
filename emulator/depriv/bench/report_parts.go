package bench

import (
	"fmt"
	"slices"

	"github.com/seed-4e121ece/ringfence/emulator/depriv"
)

// classNamesOf are the classes that were measured, in order.
func (r *Result) classNamesOf() (names []string) {
	for i := range r.Cells {
		if n := r.Cells[i].Class; !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return names
}

// sectionClasses is the cost by class of instruction.
func (r *Result) sectionClasses() (section, bool) {
	same, own := r.ends()
	if same == nil && own == nil {
		return section{}, false
	}
	protocols := r.protocolNames()
	series := append([]string{"in-process"}, protocols...)
	var rows []dotRow
	t := table{
		Caption: "Time that the wall adds to one instruction, and crossings, by class and protocol; batch 1.",
		Head:    []string{"class", "|transport/protocol", "in-process", "added", "crossings", "p99"},
	}
	for _, g := range []*Rung{same, own} {
		if g == nil {
			continue
		}
		rows = append(rows, dotRow{label: g.Transport + ", worker " + place(g), heading: true})
		for _, class := range r.classNamesOf() {
			row := dotRow{label: class}
			d := r.Cell(Direct, class, 1)
			if d == nil {
				continue
			}
			row.dots = append(row.dots, dot{0, d.Time.Median, d.Time.Low, d.Time.High})
			for i, p := range protocols {
				if c := r.Cell(g.Transport+"/"+p, class, 1); c != nil {
					row.dots = append(row.dots, dot{i + 1, c.Time.Median, c.Time.Low, c.Time.High})
					t.Rows = append(t.Rows, []string{class, c.Rung, nanos(d.Time.Median), interval(c.Added), crossText(c.Crossings), nanos(c.Tail.P99)})
					if i == 0 {
						row.right = nanos(c.Time.Median)
					}
				}
			}
			rows = append(rows, row)
		}
	}
	about := table{Caption: "The classes.", Head: []string{"class", "|what its instructions do", "encodings in turn"}, Fold: "What the classes are"}
	for _, c := range classes {
		about.Rows = append(about.Rows, []string{c.Name, c.About, fmt.Sprint(len(c.Codes))})
	}
	return section{
		Title:  "By class of instruction",
		Lead:   []string{"What the emulator asks for decides what the wall costs: registers cross with the request, one operand in memory may have to be asked for, and with hooks each question is a crossing."},
		Chart:  both("Dots: time of a step by class of instruction and protocol", dots(rows, series, "time of one step (logarithmic)", series[min(1, len(series)-1)])),
		Tables: []table{fold(t, "Figures by class"), about},
	}, true
}

func fold(t table, text string) table {
	t.Fold = text
	return t
}

// sectionExposure is the trade-off of the protocols, and what is trusted.
func (r *Result) sectionExposure() (section, bool) {
	t := table{Head: []string{"protocol", "|a worker sees", "|a worker that was taken over reaches", "|what is given up", "added, best transport", "crossings"}}
	for _, e := range exposure {
		row := []string{e.protocol.String(), e.sees, e.reaches, e.concedes, "-", "-"}
		if g := r.best(e.protocol, false); g != nil {
			row[4], row[5] = nanos(r.added(g).Median), crossText(r.Cell(g.Name, r.class(), 1).Crossings)
		}
		t.Rows = append(t.Rows, row)
	}
	s := section{
		Title:  "The trade-off: what each protocol shows, and what is trusted",
		Lead:   []string{"Every figure above buys the same containment: a worker without files, sockets or privilege, one for each guest. What differs is how much of that guest's own memory it sees, and how much code in the caller reads its answers. The worker is never believed: what a step may change follows from the privilege level before the step."},
		Tables: []table{t},
	}
	if len(r.Trusted) == 0 {
		return s, true
	}
	lines := table{Caption: "Lines of Go with code on them (comments, tests and generated tables left out), and rows of the instruction table.", Head: []string{"part", "|side", "lines", "rows"}}
	for _, side := range []string{SideReads, SideBuilds, SideBehind} {
		rows := 0
		for _, p := range r.Trusted {
			if p.Side == side {
				lines.Rows = append(lines.Rows, []string{p.Part, side, dash(p.Lines), dash(p.Rows)})
				rows += p.Rows
			}
		}
		lines.Rows = append(lines.Rows, []string{"together", side, dash(r.TrustedLines(side)), dash(rows)})
	}
	s.Tables = append(s.Tables, lines)
	s.Notes = append(s.Notes, "Under all of it, and not counted: the Go runtime, the kernel, and the CPU's isolation of processes.")
	return s, true
}

func dash(n int) string {
	if n == 0 {
		return "-"
	}
	return commas(n)
}

// sectionBatches is the cost of a request by how many cross at once.
func (r *Result) sectionBatches() (section, bool) {
	var all []curve
	var batches []float64
	for _, g := range []string{Direct, "call", "spin", "futex", "pipe", "stream"} {
		name := g
		if g != Direct {
			name += "/" + depriv.Message.String()
		}
		k := curve{name: name}
		for i := range r.Cells {
			if c := &r.Cells[i]; c.Rung == name && c.Class == r.class() {
				k.points = append(k.points, [2]float64{float64(c.Batch), c.Time.Median})
				if !slices.Contains(batches, float64(c.Batch)) {
					batches = append(batches, float64(c.Batch))
				}
			}
		}
		if len(k.points) > 1 {
			all = append(all, k)
		}
	}
	if len(all) < 2 {
		return section{}, false
	}
	t := table{Caption: "Time a request, all transports and protocols.", Head: []string{"transport/protocol"}}
	for _, b := range batches {
		t.Head = append(t.Head, fmt.Sprintf("batch %.0f", b))
	}
	for i := range r.Rungs {
		row := []string{r.Rungs[i].Name}
		n := 0
		for _, b := range batches {
			if c := r.Cell(r.Rungs[i].Name, r.class(), int(b)); c != nil {
				row = append(row, interval(c.Time))
				n++
			} else {
				row = append(row, "-")
			}
		}
		if n > 0 {
			t.Rows = append(t.Rows, row)
		}
	}
	e := table{Caption: "An empty request of 256 bytes there and back: the transport without the emulator.", Head: []string{"transport", "batch", "a request", "p99 of an exchange", "p99.9"}}
	for _, x := range r.Echoes {
		e.Rows = append(e.Rows, []string{x.Transport, fmt.Sprint(x.Batch), interval(x.Time), nanos(x.Tail.P99), nanos(x.Tail.P999)})
	}
	return section{
		Title:   "Batches, for virtual CPUs that do not wait for each other",
		Lead:    []string{"Requests of independent virtual CPUs can share a crossing; the exit of one cannot. In large batches the transport hardly matters: what is left is writing, reading and judging the message."},
		Chart:   both("Lines: time of a request by size of batch", curves(all, "requests that cross at once", "time of one request (logarithmic)", shortCount, shortNanos, 0, 0)),
		Tables:  []table{fold(t, "Figures by batch"), fold(e, "Empty requests")},
		Caption: fmt.Sprintf("Class %s. Hooks cannot cross in batches: each waits for its answer.", r.class()),
	}, true
}

// sectionContention is several virtual CPUs at once.
func (r *Result) sectionContention() (section, bool) {
	if len(r.Contention) == 0 {
		return section{}, false
	}
	var rows []dotRow
	t := table{Caption: "Each virtual CPU steps as fast as it can. A core-second is processor time of callers and workers.", Head: []string{"transport/protocol", "virtual CPUs", "|workers", "p50", "p99", "p99.9", "steps a second", "steps a core-second"}}
	last := ""
	for _, c := range r.Contention {
		workers := "one each"
		if c.Shared {
			workers = "one for all, in turn"
		}
		t.Rows = append(t.Rows, []string{c.Rung, fmt.Sprint(c.VCPUs), workers, nanos(c.Tail.P50), nanos(c.Tail.P99), nanos(c.Tail.P999), count(c.Throughput.Median), count(c.PerCore.Median)})
		if c.Shared || c.Rung != Direct && c.Rung != "spin/message" && c.Rung != "futex/message" {
			continue
		}
		if c.Rung != last {
			rows = append(rows, dotRow{label: c.Rung, heading: true})
			last = c.Rung
		}
		rows = append(rows, dotRow{label: fmt.Sprintf("%d virtual CPUs", c.VCPUs), right: nanos(c.Tail.P999), span: true, dots: []dot{{0, c.Tail.P50, 0, 0}, {1, c.Tail.P99, 0, 0}, {2, c.Tail.P999, 0, 0}}})
	}
	sp := table{Caption: "A virtual CPU that exits now and then and computes in between: the worker may have gone to sleep. Worker CPU: what a worker uses for each request, waiting included.", Head: []string{"transport/protocol", "gap", "p50", "p99", "p99.9", "worker CPU a request"}}
	for _, x := range r.Sparse {
		sp.Rows = append(sp.Rows, []string{x.Rung, shortNanos(x.Gap), nanos(x.Tail.P50), nanos(x.Tail.P99), nanos(x.Tail.P999), nanos(x.Worker.Median)})
	}
	return section{
		Title:  "Tails: several virtual CPUs at once, and quiet ones",
		Lead:   []string{fmt.Sprintf("%d CPUs for all callers and workers. More virtual CPUs than CPUs wait for the scheduler, with a wall or without; a worker that spins then spins away its neighbours' time.", r.Machine.CPUs)},
		Chart:  both("Dots: median, p99 and p99.9 of a step by number of virtual CPUs", dots(rows, []string{"median", "p99", "p99.9"}, "time of one step (logarithmic)", "p99.9")),
		Tables: []table{fold(t, "Figures of contention"), fold(sp, "Figures of virtual CPUs that step now and then")},
	}, len(rows) > 0
}

// sectionPlaces is where the worker runs, and who else wants that CPU.
func (r *Result) sectionPlaces() (section, bool) {
	if len(r.Places) == 0 {
		return section{}, false
	}
	t := table{Caption: "One " + r.class() + " at batch 1, message protocol.", Head: []string{"transport/protocol", "|worker on", "|neighbour", "a step", "p99", "p99.9"}}
	for _, p := range r.Places {
		neighbour := "none"
		if p.Neighbour {
			neighbour = "one that computes on the worker's CPU"
		}
		t.Rows = append(t.Rows, []string{p.Rung, p.Where, neighbour, interval(p.Time), nanos(p.Tail.P99), nanos(p.Tail.P999)})
	}
	return section{
		Title:  "Where the worker runs",
		Lead:   []string{"What sleeps belongs on the caller's CPU: waking a CPU that has gone to sleep costs more than everything else here. What spins belongs on another. Placed the wrong way round, each is many times slower."},
		Tables: []table{t},
	}, true
}
