package campaign

import "github.com/seed-4e121ece/ringfence/oracle"

// Feedback: a case that reached what none of its encoding had reached in that
// mode, an outcome, a pattern of flags, a bit of a register or a flag that
// toggled, is kept, and some of those to come are variations of it.

const (
	// maxKept is how many cases of a mode are kept; later ones replace earlier.
	maxKept = 1024
	// One case in so many is a variation of a kept one.
	varyEvery = 16
)

// kept are the cases of one mode that reached something new.
type kept struct {
	cases []oracle.Case
	// count is the number of cases that were ever kept, turn that of cases made.
	count, turn uint64
}

// keep keeps a case of the batch in hand.
func (w *worker) keep(index int) {
	k, c := &w.source.kept, &w.cases[index]
	i := int(k.count % maxKept)
	k.count++
	if i == len(k.cases) {
		k.cases = append(k.cases, oracle.Case{Memory: make([]byte, len(c.Memory))})
	}
	memory := k.cases[i].Memory
	k.cases[i] = *c
	k.cases[i].Memory = append(memory[:0], c.Memory...)
}

// vary fills c with a variation of a kept case, if it is its turn.
func (w *worker) vary(c *oracle.Case) bool {
	k := &w.source.kept
	k.turn++
	if k.turn%varyEvery != 0 || len(k.cases) == 0 {
		return false
	}
	return w.gen.Vary(c, &k.cases[k.turn/varyEvery*0x9e3779b1%uint64(len(k.cases))])
}
