package bench

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
)

//go:embed report.html
var reportText string

var reportPage = template.Must(template.New("report").Parse(reportText))

// page is what the template shows.
type page struct {
	Title, Subtitle, Intro, Footer string
	Warnings                       []string
	Answers                        []Answer
	// First is the chart that says most.
	First    *section
	Sections []section
}

// section is a question with its chart and its tables.
type section struct {
	Title   string
	Lead    []string
	Chart   template.HTML
	Caption string
	Tables  []table
	Notes   []string
}

// table is a table of texts. A column whose head begins with "|" holds words.
type table struct {
	Caption string
	// Fold is the line under which the table is folded away; "" shows it.
	Fold string
	Head []string
	Rows [][]string
}

// cellText is a text of a table, and whether it is words.
type cellText struct {
	Text  string
	Words bool
}

// Heads are the heads of the columns.
func (t table) Heads() (all []cellText) {
	for _, h := range t.Head {
		text, words := strings.CutPrefix(h, "|")
		all = append(all, cellText{text, words})
	}
	return all
}

// Body are the rows.
func (t table) Body() (all [][]cellText) {
	for _, r := range t.Rows {
		var row []cellText
		for i, text := range r {
			row = append(row, cellText{text, i < len(t.Head) && strings.HasPrefix(t.Head[i], "|")})
		}
		all = append(all, row)
	}
	return all
}

// WriteReport writes the run as a page of HTML that needs nothing else: no
// script, no font, no picture from elsewhere.
func (r *Result) WriteReport(w io.Writer) error {
	p := page{
		Title:    "What a wall around the emulator costs",
		Subtitle: fmt.Sprintf("ringfence bench, %s, on %s", r.Run.Started.Format("2 January 2006"), r.machineLine()),
		Intro: "The x86 instruction emulator of a hypervisor is reached by untrusted guests. It can run as it does, inside; or behind a wall, in a process that holds no privilege. " +
			"This page measures the second: what each emulated instruction pays, by the way it crosses and by what crosses. The same emulator runs in every row.",
		Warnings: append(r.disturbance(), r.Run.Notes...),
		Answers:  r.Answers(),
		Footer:   r.footer(),
	}
	if s, ok := r.sectionExit(); ok {
		p.First = &s
	}
	for _, f := range []func() (section, bool){
		r.sectionLadder, r.sectionRates, r.sectionClasses, r.sectionExposure, r.sectionBatches, r.sectionContention,
		r.sectionPlaces, r.sectionPollution, r.sectionIntrospection, r.sectionLives, r.sectionGoals, r.sectionInside, r.sectionFloors, r.sectionMethod,
	} {
		if s, ok := f(); ok {
			p.Sections = append(p.Sections, s)
		}
	}
	if err := reportPage.Execute(w, p); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	return nil
}

func (r *Result) machineLine() string {
	m := &r.Machine
	text := fmt.Sprintf("%d CPUs", m.CPUs)
	if m.CPU != "" {
		text += " of " + m.CPU
	}
	if m.Hypervisor != "" {
		text += ", a virtual machine (" + m.Hypervisor + ")"
	}
	return text
}

func (r *Result) footer() string {
	text := fmt.Sprintf("%d rounds in %.0f s, seed %d", r.Run.Rounds, r.Run.Seconds, r.Run.Seed)
	if r.Run.Commit != "" {
		text += ", commit " + r.Run.Commit
	}
	return text + ". To make this page again: ringfence bench. From the measurements of a run: ringfence bench --from run.jsonl."
}

// sectionExit sets the wall beside the exit that comes before any emulation.
func (r *Result) sectionExit() (section, bool) {
	d := r.Cell(Direct, r.class(), 1)
	exit, source := r.Exit()
	if d == nil || len(r.leading()) == 0 {
		return section{}, false
	}
	emulation := d.Time.Median + r.Parameters.Hook
	all := []bar{{"no wall", nanos(exit + emulation), []float64{exit, emulation}}}
	for _, g := range r.leading() {
		added := r.added(g).Median
		all = append(all, bar{g.Name, nanos(exit + emulation + added), []float64{exit, emulation, max(added, 0)}})
	}
	s := section{
		Title:   "One access that exits: exit, emulation, wall",
		Lead:    []string{fmt.Sprintf("What a guest waits for one access that its hypervisor emulates (a %s), with the fastest transport of each protocol, on the caller's CPU and (%s) with a CPU for the worker alone. A blocked virtual CPU cannot batch, so this is batch 1.", r.class(), "spin")},
		Chart:   both("Stacked bars: exit, emulation and wall by way of crossing", bars(all, []string{"exit and re-entry", "emulation", "added by the wall"}, "time until the guest goes on")),
		Caption: "Exit: " + nanos(exit) + ", " + source + ". The hypervisor's own handling and its real hooks (page walk, mapping) are not in it: give them with --hook.",
	}
	if exit == 0 {
		s.Caption = "The cost of an exit is not known on this machine and is left out; give it with --exit. No figure published elsewhere is set against what was measured here."
	}
	return s, true
}

// protocolNames are the protocols of the rungs that there are, in order.
func (r *Result) protocolNames() (names []string) {
	for i := range r.Rungs {
		if p := r.Rungs[i].Protocol; p != "" && !slices.Contains(names, p) {
			names = append(names, p)
		}
	}
	return names
}

// transportNames are the transports of the rungs that there are, in order.
func (r *Result) transportNames() (names []string) {
	for i := range r.Rungs {
		if t := r.Rungs[i].Transport; t != Direct && !slices.Contains(names, t) {
			names = append(names, t)
		}
	}
	return names
}

// sectionLadder is every transport with every protocol at batch 1.
func (r *Result) sectionLadder() (section, bool) {
	protocols := r.protocolNames()
	series := append([]string{"in-process, and floors without an emulator"}, protocols...)
	var rows []dotRow
	if d := r.Cell(Direct, r.class(), 1); d != nil {
		rows = append(rows, dotRow{label: "direct call", right: nanos(d.Time.Median), dots: []dot{{0, d.Time.Median, d.Time.Low, d.Time.High}}})
	}
	for _, t := range r.transportNames() {
		row := dotRow{label: t}
		for i, p := range protocols {
			if c := r.Cell(t+"/"+p, r.class(), 1); c != nil {
				row.dots = append(row.dots, dot{i + 1, c.Time.Median, c.Time.Low, c.Time.High})
				if i == 0 {
					row.right = nanos(c.Time.Median)
				}
			}
		}
		rows = append(rows, row)
	}
	if len(rows) < 2 {
		return section{}, false
	}
	rows = append(rows, dotRow{label: "floors of the same minutes", heading: true})
	for _, f := range r.Floors {
		if f.Time.N > 0 && f.Name != FloorProcess && f.Name != FloorPause {
			rows = append(rows, dotRow{label: f.Name, right: nanos(f.Time.Median), dots: []dot{{0, f.Time.Median, f.Time.Low, f.Time.High}}})
		}
	}
	t := table{
		Caption: fmt.Sprintf("One %s at batch 1. Added: above the same step in-process, in the same round. In brackets: 95 %% interval of the median. CPU: of caller and worker together.", r.class()),
		Head:    []string{"transport/protocol", "a step", "added", "crossings", "p99", "p99.9", "CPU a step", "steps a second and core"},
	}
	var missing []string
	for i := range r.Rungs {
		g := &r.Rungs[i]
		if g.Missing != "" {
			missing = append(missing, g.Name+": "+g.Missing)
		}
		if c := r.Cell(g.Name, r.class(), 1); c != nil {
			t.Rows = append(t.Rows, []string{g.Name, interval(c.Time), addedText(c), crossText(c.Crossings), nanos(c.Tail.P99), nanos(c.Tail.P999), nanos(c.CPU.Median), count(ratio(1e9, c.CPU.Median))})
		}
	}
	return section{
		Title:   "The ladder: every transport, every protocol",
		Lead:    []string{fmt.Sprintf("A step of one %s. call, chan (and wasm) have no process of their own; every rung below does. Lower rungs cost what waking a sleeping process costs, times the crossings that the protocol needs.", r.class())},
		Chart:   both("Dots: time of a step by transport and protocol, and floors", dots(rows, series, "time of one step (logarithmic)", series[min(1, len(series)-1)])),
		Caption: "Bars through the signs: 95 % intervals of the medians of the rounds. call/chan/line/switches and the like are explained below.",
		Tables:  []table{t},
		Notes:   missing,
	}, true
}

// chosenRates are emulations a second for which overhead is told.
var chosenRates = []float64{100, 1000, 10000, 100000, 1e6, 1e7}

// sectionRates is overhead by rate, and break-even.
func (r *Result) sectionRates() (section, bool) {
	even := r.BreakEvens()
	if len(even) == 0 {
		return section{}, false
	}
	var all []curve
	head := []string{"transport/protocol", "added"}
	for _, s := range Shares {
		head = append(head, percent0(s)+" of a CPU at")
	}
	t := table{Caption: "Emulations a second at which the wall takes that share of the time of one CPU.", Head: head}
	for _, b := range even {
		k := curve{name: b.Rung}
		for _, rate := range chosenRates {
			k.points = append(k.points, [2]float64{rate, rate * b.Added.Median / 1e9})
		}
		if len(all) < numStyles {
			all = append(all, k)
		}
		row := []string{b.Rung, interval(b.Added)}
		for _, v := range b.Rates {
			row = append(row, count(v))
		}
		t.Rows = append(t.Rows, row)
	}
	return section{
		Title:  "How many emulations a second can pay for it",
		Lead:   []string{"Overhead is emulations a second times the time that the wall adds to each. Read your guest's rate of emulated exits at the bottom, and what of a CPU the wall takes at the left."},
		Chart:  both("Lines: share of a CPU that the wall takes, by emulations a second", curves(all, "emulations a second of one virtual CPU (logarithmic)", "share of one CPU that the wall takes (logarithmic)", shortCount, shortPercent, 1e-5, 1)),
		Tables: []table{t, r.mixTable()},
		Notes:  r.mixNotes(),
	}, true
}

func percent0(v float64) string { return shortPercent(v) }

// mixTable is what the mixes cost.
func (r *Result) mixTable() table {
	t := table{
		Caption: "An average step of a mix of instructions, batch 1.",
		Head:    []string{"mix", "|transport/protocol", "a step", "added", "crossings", "CPU a step", "of a CPU at 10 k/s", "1 % of a CPU at"},
	}
	for _, m := range r.Mixeds() {
		row := []string{m.Mix, m.Rung, interval(m.Time), "", "", nanos(m.CPU), "", ""}
		if m.Rung != Direct {
			row[3], row[4], row[6], row[7] = interval(m.Added), crossText(m.Crossings), percent(typicalRate*m.Added.Median/1e9), count(rate(0.01, m.Added.Median))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func (r *Result) mixNotes() (notes []string) {
	for _, m := range r.Parameters.Mixes {
		var shares []string
		for _, s := range m.Shares {
			shares = append(shares, fmt.Sprintf("%s %s", s.Class, percent0(s.Share)))
		}
		text := "Mix " + m.Name
		if m.About != "" {
			text += " (" + m.About + ")"
		}
		notes = append(notes, fmt.Sprintf("%s: %s; %s.", text, strings.Join(shares, ", "), m.Source))
	}
	return notes
}
