package bench

import (
	"fmt"
	"strings"
)

// sectionPollution is what a crossing does to the caller's own work.
func (r *Result) sectionPollution() (section, bool) {
	if len(r.Pollution) == 0 {
		return section{}, false
	}
	t := table{Caption: "Time of the caller's own work right after a step, and how much of it is new with the wall.", Head: []string{"transport/protocol", "|work", "takes", "slower by"}}
	for _, p := range r.Pollution {
		slower := "-"
		if p.Rung != Direct {
			slower = interval(p.Added)
		}
		t.Rows = append(t.Rows, []string{p.Rung, p.Work, interval(p.Time), slower})
	}
	var notes []string
	for _, w := range newWorks() {
		notes = append(notes, fmt.Sprintf("%s: a walk through %s.", w.name, w.about))
	}
	return section{
		Title:  "What a crossing leaves behind",
		Lead:   []string{"A switch to another process throws lines out of caches and entries out of the TLB, and the caller pays for it afterwards. This time is not in the figures above."},
		Tables: []table{t},
		Notes:  notes,
	}, true
}

// sectionIntrospection is the price of watching a guest.
func (r *Result) sectionIntrospection() (section, bool) {
	all := r.Introspections()
	if len(all) < 2 {
		return section{}, false
	}
	columns := r.ExitColumns()
	t := table{Caption: "One exit and one emulation of a trapped access: times as long as without a wall, by what an exit costs.", Head: []string{"transport/protocol"}}
	for i, c := range columns {
		head := "exit " + shortNanos(c)
		if i == len(columns)-1 && i >= len(exitCosts) {
			head = "exit " + nanos(c) + ", this machine"
		}
		t.Head = append(t.Head, head)
	}
	every := table{Caption: "And apart from it, a guest whose every instruction is emulated, without exits.", Head: []string{"transport/protocol", "instructions a second"}}
	for _, in := range all {
		every.Rows = append(every.Rows, []string{in.Rung, count(in.Every)})
		if len(in.Trapped) == 0 {
			continue
		}
		row := []string{in.Rung}
		for _, x := range in.Trapped {
			row = append(row, times(ratio(x.With, x.Without)))
		}
		t.Rows = append(t.Rows, row)
	}
	source := "The columns but the last are a range to read your own machine from, not figures of any."
	if _, s := r.Exit(); s == "" {
		source = "The columns are a range to read your own machine from, not figures of any."
	}
	published := table{Caption: "What others have published of exits. On other machines: not set against anything here.", Head: []string{"|what", "|figure", "|source"}, Fold: "Published costs of exits"}
	for _, f := range publishedExits {
		published.Rows = append(published.Rows, []string{f.What, f.Value, f.Source})
	}
	return section{
		Title:  "Introspection: a trapped access, and every instruction",
		Lead:   []string{"Watching a page costs one exit and one emulation for each access. The cheaper the exit, the more the wall shows."},
		Tables: []table{t, every, published},
		Notes:  []string{source},
	}, true
}

// sectionLives is the life of a worker.
func (r *Result) sectionLives() (section, bool) {
	if len(r.Lives) == 0 {
		return section{}, false
	}
	t := table{Head: []string{"|what", "median", "95 % interval", "least", "most", "n"}}
	for _, l := range r.Lives {
		unit := nanos
		if l.Unit == unitBytes {
			unit = size
		}
		v := l.Value
		t.Rows = append(t.Rows, []string{l.About, unit(v.Median), unit(v.Low) + " to " + unit(v.High), unit(v.Min), unit(v.Max), fmt.Sprint(v.N)})
	}
	if f := r.Floor(FloorProcess); f != nil {
		t.Rows = append(t.Rows, []string{"floor: " + f.About, nanos(f.Time.Median), nanos(f.Time.Low) + " to " + nanos(f.Time.High), nanos(f.Time.Min), nanos(f.Time.Max), fmt.Sprint(f.Time.N)})
	}
	return section{
		Title:  "The life of a worker",
		Lead:   []string{"A worker that dies, hangs or answers nonsense is killed and replaced; one waits ready. A new build takes the place of the old one under load, which is how a fix would reach a host without a restart."},
		Tables: []table{t},
	}, true
}

// sectionGoals holds the goals against the run.
func (r *Result) sectionGoals() (section, bool) {
	goals := r.Goals()
	if len(goals) == 0 {
		return section{}, false
	}
	t := table{Head: []string{"|goal", "figure", "limit", "|verdict", "|made of"}}
	for _, g := range goals {
		t.Rows = append(t.Rows, []string{g.Name, strings.TrimSpace(digits(g.Value) + " " + g.Unit), digits(g.Limit), g.Verdict(), g.Basis})
	}
	return section{
		Title:  "Goals, and what came of them",
		Tables: []table{t},
		Notes:  []string{"A question mark: the machine was disturbed, or the figures spread by more than a factor of 2, so that the verdict tells little."},
	}, true
}

// sectionInside are estimates of a wall inside a hypervisor, and what others
// have measured of their emulator.
func (r *Result) sectionInside() (section, bool) {
	t := table{Caption: "ESTIMATES, of other machines: what a crossing there and back would be made of if the wall stood inside a hypervisor instead of around a process.", Head: []string{"|what", "|published", "|a crossing there and back", "|source"}}
	for _, f := range inside {
		t.Rows = append(t.Rows, []string{f.What, f.Value, f.Crossing, f.Source})
	}
	barrier := []string{"a predictor barrier (IBPB) at each switch, if the worker must not train the caller's predictors", "not known", "twice that", "give it with --barrier and a source"}
	if p := r.Parameters; p.Barrier > 0 {
		barrier = []string{barrier[0], nanos(p.Barrier), nanos(2 * p.Barrier), p.BarrierSource}
	}
	t.Rows = append(t.Rows, barrier)
	xen := table{
		Caption: "Xen's own emulator in C beside the model here. Xen: linked into a process with hooks that do next to nothing, gcc -O2, best of 8 runs (which spread by up to 2) on a virtual machine with AMD Zen 4. Here: this run. Not the same machine unless yours is.",
		Head:    []string{"|class", "|Xen's instruction", "Xen, whole step", "of it decoding", "|hook calls", "the model here, this class"},
	}
	for _, x := range xenEmulator {
		ours := "-"
		if c := r.Cell(Direct, x.class, 1); c != nil {
			ours = interval(c.Time)
		}
		xen.Rows = append(xen.Rows, []string{x.class, x.instruction, nanos(x.whole), nanos(x.decode), x.hooks, ours})
	}
	return section{
		Title:  "Beside published figures",
		Lead:   []string{"A wall inside a hypervisor needs no system call and no scheduler; it needs a switch of address space or of mode. Nobody has published one for an instruction emulator."},
		Tables: []table{t, xen},
	}, true
}

// sectionFloors are the floors.
func (r *Result) sectionFloors() (section, bool) {
	t := table{Head: []string{"floor", "|what it is", "median", "95 % interval", "least", "p99", "rounds"}}
	for _, f := range r.Floors {
		row := []string{f.Name, f.About, "-", "-", "-", "-", "0"}
		if f.Missing != "" {
			row[1] += " (no figure: " + f.Missing + ")"
		}
		if f.Time.N > 0 {
			row = []string{f.Name, f.About, nanos(f.Time.Median), nanos(f.Time.Low) + " to " + nanos(f.Time.High), nanos(f.Time.Min), tailText(f.Tail), fmt.Sprint(f.Time.N)}
		}
		t.Rows = append(t.Rows, row)
	}
	return section{
		Title:  "Floors of the same minutes",
		Lead:   []string{"What the parts of a crossing cost without an emulator, taken in every round of the same run. A figure above is judged against these, never against a floor of another day."},
		Tables: []table{t},
	}, len(t.Rows) > 0
}

// sectionMethod tells how it was measured, and on what.
func (r *Result) sectionMethod() (section, bool) {
	m, f := &r.Machine, &r.Run
	machine := table{Caption: "Machine.", Head: []string{"|what", "|value"}}
	add := func(what, value string) {
		if value != "" {
			machine.Rows = append(machine.Rows, []string{what, value})
		}
	}
	add("CPU", strings.TrimSuffix(m.CPU+", "+m.Signature, ", "))
	add("CPUs", fmt.Sprint(m.CPUs))
	add("hypervisor beneath", m.Hypervisor)
	add("system", m.OS+"/"+m.Arch+" "+m.Kernel)
	add("Go", m.Go)
	for _, x := range m.Mitigations {
		add("kernel", x)
	}
	for _, x := range m.Sandbox {
		add("sandbox of a worker", x)
	}
	add("load average", fmt.Sprintf("median %s, most %s", digits(f.Load.Median), digits(f.Load.Max)))
	if f.Others.N > 0 {
		add("used by other programs", fmt.Sprintf("median %s of the processors' time, most %s", percent(f.Others.Median), percent(f.Others.Max)))
		add("taken by the hypervisor", fmt.Sprintf("median %s, most %s", percent(f.Steal.Median), percent(f.Steal.Max)))
		add("disturbed rounds", fmt.Sprintf("%d of %d (more than %s of the two together)", f.Disturbed, f.Others.N, percent(Quiet)))
	}
	return section{
		Title: "Method and machine",
		Lead: []string{
			fmt.Sprintf("Everything is measured for a short slice in every one of %d rounds, each round in another random order and on another CPU, so that what drifts on the machine drifts for all. A round gives one value: the median of blocks of requests that last about 60 µs. The tables show the median of the rounds and an interval that holds the true median with 95 %% or more (sign test, no assumption about the distribution; with fewer than 6 rounds it is the whole range and holds less). Added time is a difference inside a round. Nothing is left out as an outlier.", f.Rounds),
			fmt.Sprintf("Tails (p99, p99.9) are of single exchanges of all rounds, less the %s that reading the clock takes. Instructions are distinct encodings in turn, nothing is cached by address, and each step must end as its class says. Caller and worker are bound to CPUs. The caller's garbage collector runs between measurements.", nanos(f.Timer)),
			"What this cannot tell: a worker here is a process on Linux, its hypervisor is Linux's scheduler; the bus behind the caller is a reference memory, not a hypervisor's page walk; and the model is written in Go, Xen's emulator in C.",
		},
		Tables: []table{machine, fold(r.allCells(), "Every figure of the run")},
	}, true
}

func (r *Result) allCells() table {
	t := table{Head: []string{"transport/protocol", "|class", "batch", "a request", "quartiles", "added", "crossings", "p99 of an exchange", "p99.9", "CPU a request"}}
	for i := range r.Cells {
		c := &r.Cells[i]
		t.Rows = append(t.Rows, []string{c.Rung, c.Class, fmt.Sprint(c.Batch), interval(c.Time), nanos(c.Time.Q1) + " to " + nanos(c.Time.Q3), addedText(c), crossText(c.Crossings), nanos(c.Tail.P99), nanos(c.Tail.P999), nanos(c.CPU.Median)})
	}
	return t
}
