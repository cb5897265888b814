package mutants

import (
	"math/rand/v2"
	"sort"
)

// Weights say how often a package is drawn from, by its path below the
// module's folder. Packages without candidates are passed over.
type Weights map[string]int

// drawer draws candidates, each once, in an order that depends on the seed
// alone: a package by its weight, then any of its sites.
type drawer struct {
	rnd   *rand.Rand
	pools []pool
}

type pool struct {
	weight int
	left   []*Mutant
}

func newDrawer(candidates []*Mutant, weights Weights, seed uint64) *drawer {
	d := &drawer{rnd: rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15))}
	byPackage := map[string][]*Mutant{}
	for _, m := range candidates {
		byPackage[m.Package] = append(byPackage[m.Package], m)
	}
	for _, name := range sorted(byPackage) {
		d.pools = append(d.pools, pool{max(1, weights[name]), byPackage[name]})
	}
	return d
}

func sorted[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// draw returns the next candidate, or nil when there is none left.
func (d *drawer) draw() *Mutant {
	total := 0
	for _, p := range d.pools {
		if len(p.left) > 0 {
			total += p.weight
		}
	}
	if total == 0 {
		return nil
	}
	at := d.rnd.IntN(total)
	for i := range d.pools {
		p := &d.pools[i]
		if len(p.left) == 0 {
			continue
		}
		if at -= p.weight; at < 0 {
			return p.draw(d.rnd)
		}
	}
	return nil
}

func (p *pool) draw(rnd *rand.Rand) *Mutant {
	j := rnd.IntN(len(p.left))
	m := p.left[j]
	p.left[j] = p.left[len(p.left)-1]
	p.left = p.left[:len(p.left)-1]
	return m
}

// Draw draws n mutants that compile and weaves them with the fixed ones (named
// flaws). Mutants get IDs from 1 in the order of the draw; a candidate that
// does not compile is replaced and not counted, rejected says how many there
// were.
func (s *Source) Draw(base string, fixed, candidates []*Mutant, weights Weights, n int, seed uint64) (w *Woven, drawn []*Mutant, rejected int, err error) {
	d := newDrawer(append([]*Mutant(nil), candidates...), weights, seed)
	next := 1
	for _, m := range fixed {
		m.ID = next
		next++
		if msg, err := m.prepare(); err != nil {
			return nil, nil, 0, err
		} else if msg != "" {
			return nil, nil, 0, &FlawError{m, msg}
		}
	}
	for {
		for len(drawn) < n {
			m := d.draw()
			if m == nil {
				break
			}
			msg, err := m.prepare()
			if err != nil {
				return nil, nil, rejected, err
			}
			if msg != "" {
				rejected++
				continue
			}
			m.ID = next
			next++
			drawn = append(drawn, m)
		}
		w, bad, err := s.Weave(base, append(append([]*Mutant(nil), fixed...), drawn...))
		if err != nil {
			return nil, nil, rejected, err
		}
		if len(bad) == 0 {
			return w, drawn, rejected, nil
		}
		for _, m := range fixed {
			if msg, ok := bad[m]; ok {
				return nil, nil, rejected, &FlawError{m, msg}
			}
		}
		rejected += len(bad)
		kept := drawn[:0]
		for _, m := range drawn {
			if _, ok := bad[m]; !ok {
				kept = append(kept, m)
			}
		}
		drawn = kept
	}
}

// prepare generates what a mutant of the table leads to, once. It returns why
// the table is in error, "" if it is not.
func (m *Mutant) prepare() (string, error) {
	if m.tables == nil || m.patch != "" || m.own != nil {
		return "", nil
	}
	msg, err := m.tables.regenerate(m)
	if p, ok := m.tables.patch(m); ok {
		m.patch, m.own = p, nil
	}
	return msg, err
}

// FlawError says that a named flaw does not compile.
type FlawError struct {
	Flaw *Mutant
	Msg  string
}

func (e *FlawError) Error() string {
	return "flaw " + e.Flaw.Name + " at " + e.Flaw.Where() + " does not compile: " + e.Msg
}
