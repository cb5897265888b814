package bench

import (
	"cmp"
	"slices"

	"github.com/seed-4e121ece/ringfence/emulator/depriv"
	"github.com/seed-4e121ece/ringfence/emulator/depriv/transport"
)

// The classes that answers are given for: the exit path meets memory operands.
const (
	classLoad     = "load"
	classRegister = "register"
)

// Cell returns the cell of those names, or nil.
func (r *Result) Cell(rung, class string, batch int) *Cell {
	for i := range r.Cells {
		if c := &r.Cells[i]; c.Rung == rung && c.Class == class && c.Batch == batch {
			return c
		}
	}
	return nil
}

// Floor returns the floor of that name, or nil if it has no figure.
func (r *Result) Floor(name string) *Floor {
	for i := range r.Floors {
		if f := &r.Floors[i]; f.Name == name && f.Time.N > 0 {
			return f
		}
	}
	return nil
}

// Rung returns the rung of that name, or nil.
func (r *Result) Rung(name string) *Rung {
	for i := range r.Rungs {
		if r.Rungs[i].Name == name {
			return &r.Rungs[i]
		}
	}
	return nil
}

func (r *Result) life(name string) *Life {
	for i := range r.Lives {
		if r.Lives[i].Name == name {
			return &r.Lives[i]
		}
	}
	return nil
}

// class is the class that answers are given for: load, or what there is.
func (r *Result) class() string {
	if len(r.Cells) == 0 || r.Cell(Direct, classLoad, 1) != nil {
		return classLoad
	}
	return r.Cells[0].Class
}

// place tells where the worker of a rung runs.
func place(g *Rung) string {
	switch {
	case !g.Walled:
		return "in the caller's process"
	case g.Transport == transport.Spin.String():
		return "on a CPU of its own, which it keeps busy"
	}
	return "on the caller's CPU"
}

// best returns the walled rung with the protocol that takes the least time for
// the class of the answers at batch 1; ownCPU says whether its worker has a CPU
// of its own. nil if there is none.
func (r *Result) best(p depriv.Protocol, ownCPU bool) *Rung {
	var found []*Rung
	for i := range r.Rungs {
		g := &r.Rungs[i]
		if g.Walled && g.Protocol == p.String() && (g.Transport == transport.Spin.String()) == ownCPU && r.Cell(g.Name, r.class(), 1) != nil {
			found = append(found, g)
		}
	}
	if len(found) == 0 {
		return nil
	}
	return slices.MinFunc(found, func(a, b *Rung) int {
		return cmp.Compare(r.Cell(a.Name, r.class(), 1).Time.Median, r.Cell(b.Name, r.class(), 1).Time.Median)
	})
}

// leading are the rungs that answers are given for: for each protocol the best
// with a CPU of its own, and the best without.
func (r *Result) leading() []*Rung {
	var all []*Rung
	for _, p := range depriv.Protocols() {
		for _, own := range []bool{false, true} {
			if g := r.best(p, own); g != nil {
				all = append(all, g)
			}
		}
	}
	return all
}

// added is what a rung adds to a step of the class of the answers, at batch 1.
func (r *Result) added(g *Rung) Summary { return r.Cell(g.Name, r.class(), 1).Added }

// BreakEven is how many emulations a second cost a share of a CPU.
type BreakEven struct {
	Rung string `json:"rung"`
	// Added is the time that a wall adds to an emulation at batch 1.
	Added Summary `json:"added_ns"`
	// Rates are the emulations a second at which that comes to Shares of the
	// time of one CPU.
	Rates []float64 `json:"rates"`
}

// Shares are the shares of a CPU that a BreakEven is given for.
var Shares = []float64{0.001, 0.01, 0.05, 0.1, 0.5}

// BreakEvens are the rates of the leading rungs: overhead is emulations a second
// times added time.
func (r *Result) BreakEvens() []BreakEven {
	var all []BreakEven
	for _, g := range r.leading() {
		b := BreakEven{Rung: g.Name, Added: r.added(g)}
		for _, s := range Shares {
			b.Rates = append(b.Rates, rate(s, b.Added.Median))
		}
		all = append(all, b)
	}
	return all
}

// rate is how often a second something of that many nanoseconds happens when it
// takes that share of the time.
func rate(share, ns float64) float64 {
	if ns <= 0 {
		return 0
	}
	return share / ns * 1e9
}

// Exit is what an exit costs on the machine of the run: measured in the same
// minute, or given. Nothing that was published elsewhere is taken for it.
func (r *Result) Exit() (ns float64, source string) {
	if r.Parameters.Exit > 0 {
		return r.Parameters.Exit, "given: " + cmp.Or(r.Parameters.ExitSource, "no source named")
	}
	if f := r.Floor(FloorExit); f != nil {
		return f.Time.Median, "measured in this run: CPUID, which exits to the hypervisor that this machine runs under"
	}
	return 0, ""
}

// Introspection is the price of watching a guest with a wall around the emulator.
type Introspection struct {
	Rung string `json:"rung"`
	// Trapped is an access to a page that is watched: one exit and one
	// emulation, without and with the wall, by the cost of an exit.
	Trapped []Trapped `json:"trapped"`
	// Every is what emulating every instruction comes to, in instructions a
	// second.
	Every float64 `json:"instructions_per_second"`
}

// Trapped is one exit and one emulation, in nanoseconds.
type Trapped struct {
	Exit    float64 `json:"exit_ns"`
	Without float64 `json:"without_ns"`
	With    float64 `json:"with_ns"`
}

// exitCosts are the costs of an exit that answers are given for, in nanoseconds:
// a reader takes the column of their machine.
var exitCosts = []float64{500, 1000, 2000, 5000, 10000}

// ExitColumns are the costs of an exit of Introspection.Trapped: a range, and
// last the machine's own if it is known.
func (r *Result) ExitColumns() []float64 {
	all := slices.Clone(exitCosts)
	if ns, _ := r.Exit(); ns > 0 {
		all = append(all, ns)
	}
	return all
}

// Introspections are the prices of the leading rungs, Direct first.
func (r *Result) Introspections() []Introspection {
	d := r.Cell(Direct, r.class(), 1)
	if d == nil {
		return nil
	}
	emulation := d.Time.Median + r.Parameters.Hook
	all := []Introspection{{Rung: Direct, Every: 1e9 / emulation}}
	for _, g := range r.leading() {
		in := Introspection{Rung: g.Name}
		added := r.added(g).Median
		in.Every = 1e9 / (emulation + added)
		for _, exit := range r.ExitColumns() {
			in.Trapped = append(in.Trapped, Trapped{exit, exit + emulation, exit + emulation + added})
		}
		all = append(all, in)
	}
	return all
}

// ratio is a over b, 0 if b is 0.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}
