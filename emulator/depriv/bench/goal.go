package bench

import (
	"fmt"
	"math"

	"github.com/seed-4e121ece/ringfence/emulator/depriv"
	"github.com/seed-4e121ece/ringfence/emulator/depriv/transport"
)

// Goal is a speed that the wall is meant to have, held against a figure and a
// floor of one run.
type Goal struct {
	Name string `json:"name"`
	// Value is the figure, Limit the most that it may be; Unit is of both.
	Value float64 `json:"value"`
	Limit float64 `json:"limit"`
	Unit  string  `json:"unit"`
	// Basis tells what value and limit are made of.
	Basis string `json:"basis"`
	Met   bool   `json:"met"`
	// Unsure says that the time, or the floor under it, was disturbed so much
	// that Met tells little.
	Unsure bool `json:"unsure"`
}

func goal(name string, value, limit float64, unit, basis string, args ...any) Goal {
	return Goal{Name: name, Value: value, Limit: limit, Unit: unit, Basis: fmt.Sprintf(basis, args...), Met: value <= limit}
}

// timed marks a goal of time by how steady its figures were.
func (r *Result) timed(g Goal, figures ...Summary) Goal {
	g.Unsure = r.Run.Noisy()
	for _, s := range figures {
		g.Unsure = g.Unsure || s.N > 1 && s.High > 2*s.Low
	}
	return g
}

// Verdict is "met", "missed", or either with a question mark.
func (g *Goal) Verdict() string {
	v := "missed"
	if g.Met {
		v = "met"
	}
	if g.Unsure {
		v += "?"
	}
	return v
}

// Goals are those that the run has figures for.
func (r *Result) Goals() []Goal {
	var all []Goal
	spin, futex := r.echo(transport.Spin), r.echo(transport.Futex)
	if f := r.Floor(FloorLine); f != nil && spin != nil {
		all = append(all, r.timed(goal("empty request, two CPUs, at most twice the 8-byte trip", ratio(spin.Time.Median, f.Time.Median), 2, "×",
			"%s over spin, %s for 8 bytes (with a PAUSE between looks: %s)", nanos(spin.Time.Median), nanos(f.Time.Median), r.floorText(FloorPause)), spin.Time, f.Time))
	}
	if spin != nil {
		all = append(all, r.timed(goal("the same, p99 at most twice the median", ratio(spin.Tail.P99, spin.Tail.P50), 2, "×",
			"p99 %s, median %s of %d single requests", nanos(spin.Tail.P99), nanos(spin.Tail.P50), spin.Tail.N), spin.Time))
	}
	if f := r.Floor(FloorSwitches); f != nil && futex != nil {
		all = append(all, r.timed(goal("empty request, one CPU, at most 1.2 times a pair of switches", ratio(futex.Time.Median, f.Time.Median), 1.2, "×",
			"%s over futex, %s for the switches", nanos(futex.Time.Median), nanos(f.Time.Median)), futex.Time, f.Time))
	}
	for _, class := range []string{classRegister, classLoad} {
		if c := r.Cell(transport.Futex.String()+"/"+depriv.Message.String(), class, 64); c != nil {
			all = append(all, r.timed(goal("batch of 64 on one CPU, above the emulation: "+class, c.Added.Median, 120, "ns", "a request, over futex, 64 virtual CPUs"), c.Added))
		}
	}
	if l := r.life(LifeStart); l != nil {
		all = append(all, r.timed(goal("start of a worker with everything on", l.Value.Median/1e6, 3, "ms", "%s", spreadText(l.Value, nanos)), l.Value))
	}
	if l := r.life(LifeSpare); l != nil {
		all = append(all, r.timed(goal("first answer after a SIGKILL, from the spare", l.Value.Median/1e6, 0.5, "ms", "%s", spreadText(l.Value, nanos)), l.Value))
	}
	return append(all, r.countGoals()...)
}

// countGoals are the goals that are no times.
func (r *Result) countGoals() []Goal {
	var all []Goal
	for _, x := range []struct {
		class string
		limit float64
	}{{classRegister, 1}, {classLoad, 2}, {"store", 2}, {"rmw", 2}} {
		if c := r.crossings(depriv.Message, x.class); c > 0 {
			all = append(all, goal("crossings of the message protocol: "+x.class, c, x.limit, "", "counted"))
		}
	}
	most := math.Inf(-1)
	for i := range r.Rungs {
		if g := &r.Rungs[i]; g.Missing == "" && g.Protocol != "" {
			most = max(most, g.Allocations)
		}
	}
	if !math.IsInf(most, -1) {
		all = append(all, goal("allocations of the caller, a step", most, 0, "", "the most of all transports and protocols"))
	}
	return all
}

// crossings is how often a step of a class crosses, 0 if it is not known.
func (r *Result) crossings(p depriv.Protocol, class string) float64 {
	for i := range r.Rungs {
		if g := &r.Rungs[i]; g.Protocol == p.String() {
			if c := r.Cell(g.Name, class, 1); c != nil {
				return c.Crossings
			}
		}
	}
	return 0
}

func (r *Result) echo(k transport.Kind) *Echo {
	for i := range r.Echoes {
		if e := &r.Echoes[i]; e.Transport == k.String() && e.Batch == 1 {
			return e
		}
	}
	return nil
}

func (r *Result) floorText(name string) string {
	if f := r.Floor(name); f != nil {
		return nanos(f.Time.Median)
	}
	return "no figure"
}
