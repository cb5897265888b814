package bench

import (
	"fmt"
	"math"
	"slices"
)

// Mix says of what instructions the emulated exits of a guest are made.
type Mix struct {
	Name  string `json:"name"`
	About string `json:"about"`
	// Source tells where the shares are from.
	Source string     `json:"source"`
	Shares []MixShare `json:"shares"`
}

// MixShare is the share of one class; all shares of a Mix are 1 together.
type MixShare struct {
	Class string  `json:"class"`
	Share float64 `json:"share"`
}

// assumed is the source of the mixes that are part of the program.
const assumed = "assumed: no measured distribution has been found; give your own"

// DefaultMixes are mixes for the two uses that the debate is about.
func DefaultMixes() []Mix {
	return []Mix{
		{"device", "registers of an emulated device: mostly plain loads and stores", assumed, []MixShare{{"load", 0.45}, {"store", 0.45}, {"rmw", 0.05}, {"string", 0.05}}},
		{
			"trapped page", "whatever touches a page that is watched or shared: all kinds of operand, now and then a fault", assumed,
			[]MixShare{{"load", 0.5}, {"store", 0.25}, {"rmw", 0.1}, {"string", 0.08}, {"block64", 0.05}, {"fault", 0.02}},
		},
	}
}

// checkMixes says what is wrong with mixes.
func checkMixes(mixes []Mix) error {
	for _, m := range mixes {
		sum := 0.0
		for _, s := range m.Shares {
			if !slices.ContainsFunc(classes, func(c Class) bool { return c.Name == s.Class }) {
				return fmt.Errorf("mix %q: class %q: want one of %s", m.Name, s.Class, classNames())
			}
			if !(s.Share >= 0 && s.Share <= 1) {
				return fmt.Errorf("mix %q: share %v of class %s: want 0 to 1", m.Name, s.Share, s.Class)
			}
			sum += s.Share
		}
		if math.Abs(sum-1) > 1e-6 {
			return fmt.Errorf("mix %q: the shares come to %.4g: want 1", m.Name, sum)
		}
	}
	return nil
}

// Mixed is what a step of a mix costs on average, at batch 1.
type Mixed struct {
	Mix  string `json:"mix"`
	Rung string `json:"rung"`
	// Time is the step, Added what of it the wall adds: a value a round. CPU is
	// the processor time of caller and worker, in nanoseconds; Crossings is how
	// often it crosses.
	Time      Summary `json:"ns"`
	Added     Summary `json:"added_ns"`
	CPU       float64 `json:"cpu_ns"`
	Crossings float64 `json:"crossings"`
}

// Mixeds are the costs of each mix on Direct and the leading rungs; a mix with a
// class that was not measured is left out.
func (r *Result) Mixeds() []Mixed {
	rungs := r.leading()
	if d := r.Rung(Direct); d != nil {
		rungs = append([]*Rung{d}, rungs...)
	}
	var all []Mixed
	for i := range r.Parameters.Mixes {
		for _, g := range rungs {
			if m, ok := r.mixed(&r.Parameters.Mixes[i], g.Name); ok {
				all = append(all, m)
			}
		}
	}
	return all
}

// mixed is the average of a mix's classes on a rung. It is taken round by round:
// what disturbs a round disturbs all of its classes, so that their intervals do
// not add like those of independent figures.
func (r *Result) mixed(m *Mix, rung string) (Mixed, bool) {
	out := Mixed{Mix: m.Name, Rung: rung}
	rounds := -1
	var times, added []float64
	for _, s := range m.Shares {
		if s.Share == 0 {
			continue
		}
		c, d := r.Cell(rung, s.Class, 1), r.Cell(Direct, s.Class, 1)
		if c == nil || d == nil {
			return out, false
		}
		n := min(len(c.Values), len(d.Values))
		if rounds < 0 {
			rounds, times, added = n, make([]float64, n), make([]float64, n)
		}
		rounds = min(rounds, n)
		for i := range rounds {
			times[i] += s.Share * c.Values[i]
			added[i] += s.Share * (c.Values[i] - d.Values[i])
		}
		out.CPU += s.Share * c.CPU.Median
		out.Crossings += s.Share * c.Crossings
	}
	if rounds <= 0 {
		return out, false
	}
	out.Time, out.Added = Summarize(times[:rounds]), Summarize(added[:rounds])
	return out, true
}
