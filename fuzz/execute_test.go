package fuzz

import (
	"testing"

	"github.com/seed-4e121ece/ringfence/fuzz/diff"
	"github.com/seed-4e121ece/ringfence/fuzz/gen"
	"github.com/seed-4e121ece/ringfence/internal/hostcpu"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// reduceRuns bounds the runs by which a finding is made small: an input that
// takes ten seconds kills the worker.
const reduceRuns = 3000

// FuzzExecute runs the input's bytes in many states, half of them of 64-bit code,
// the rest of 32- and of 16-bit code, on the model and on the CPU. The input is
// that of gen.Generator.FromBytes.
func FuzzExecute(f *testing.F) {
	addSeeds(f, gen.BytesHeader, 61)
	b := setUp(f, true)
	f.Fuzz(func(t *testing.T, data []byte) {
		b.mu.Lock()
		defer b.mu.Unlock()
		for i := range b.cases {
			b.modes[modeOf(i)].FromBytes(data, i, &b.cases[i])
		}
		b.compare(t, b.cases)
	})
}

// modeOf is the index of the mode of a state.
func modeOf(state int) int {
	switch {
	case state < states/2:
		return 0
	case state < states*3/4:
		return 1
	}
	return 2
}

// compare runs the cases on both engines and reports the first difference of
// each kind.
func (b *bench) compare(t *testing.T, cases []oracle.Case) {
	t.Helper()
	found := b.run(t, cases)
	for k, c := range found {
		f, ok := b.differ.Reduce(&c, k, reduceRuns)
		if !ok {
			// What was there before the case matters, or an engine
			// contradicts itself: a timer's signal in the CPU's child may
			// cost a flag.
			if _, again := b.run(t, cases)[k]; again {
				t.Errorf("% x: differs after the cases before it, and not alone", c.CodeBytes())
			} else {
				t.Logf("% x: differed once and no more", c.CodeBytes())
			}
			continue
		}
		d := oracle.NewDivergence(b.differ.Subject.Name(), b.referenceName(), f.Case, f.Inst, &f.Diff, f.Subject, f.Reference)
		d.CPU = hostcpu.Brand()
		b.report(t, d)
	}
}

// run runs the cases and returns the first that differs in each way.
func (b *bench) run(t *testing.T, cases []oracle.Case) map[diff.Key]oracle.Case {
	t.Helper()
	found := map[diff.Key]oracle.Case{}
	b.differ.Found = func(f *diff.Found) {
		k := diff.KeyOf(f)
		if _, ok := found[k]; !ok {
			c := *f.Case
			c.Memory = append([]byte(nil), c.Memory...)
			found[k] = c
		}
	}
	if err := b.differ.Run(cases); err != nil {
		t.Fatal(err)
	}
	return found
}

func (b *bench) referenceName() string {
	if b.differ.Reference == nil {
		return "none"
	}
	return b.differ.Reference.Name()
}
