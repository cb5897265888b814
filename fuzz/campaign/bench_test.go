package campaign

import (
	"testing"

	"github.com/seed-4e121ece/ringfence/fuzz/diff"
	"github.com/seed-4e121ece/ringfence/fuzz/gen"
	"github.com/seed-4e121ece/ringfence/internal/hostcpu"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/seed-4e121ece/ringfence/oracle/model"
	"github.com/seed-4e121ece/ringfence/oracle/silicon"
	"github.com/seed-4e121ece/ringfence/oracle/x86asm"
)

// BenchmarkDifferential is the loop of a campaign on one core: a case is
// generated, run on subject and reference, and compared. It prints the mix.
func BenchmarkDifferential(b *testing.B) {
	for _, bb := range []struct {
		name                        string
		silicon, decoders, feedback bool
	}{
		{"reference=silicon/decoders=no", true, false, true},
		{"reference=silicon/decoders=no/feedback=no", true, false, false},
		{"reference=silicon/decoders=x86asm", true, true, true},
		{"reference=none/decoders=no", false, false, false},
	} {
		b.Run(bb.name, func(b *testing.B) {
			w := benchWorker(b, bb.silicon, bb.decoders, bb.feedback)
			b.ReportAllocs()
			for b.Loop() {
				for i := range w.cases {
					w.fill(&w.cases[i])
				}
				if err := w.batch(w.cases); err != nil {
					b.Fatal(err)
				}
			}
			k := &w.differ.Counts
			b.ReportMetric(float64(k.Cases)/b.Elapsed().Seconds(), "cases/s")
			if k.Compared > 0 {
				b.ReportMetric(float64(k.Retired)*100/float64(k.Compared), "%retired")
				b.ReportMetric(float64(k.Compared-k.Retired)*100/float64(k.Compared), "%faulted")
			}
		})
	}
}

func benchWorker(b *testing.B, cpu, decoders, feedback bool) *worker {
	b.Helper()
	p := hostcpu.Profile()
	cfg := config(sound(), 0)
	cfg.SeedStates = -1
	c := &campaign{cfg: &cfg}
	w := &worker{c: c, cases: gen.NewCases(defaultBatch), scratch: gen.NewCases(1)[0]}
	w.makeSources(gen.DefaultWeight)
	var reference oracle.Executor
	if cpu {
		s, err := silicon.New()
		if err != nil {
			b.Skip(err)
		}
		b.Cleanup(func() { _ = s.Close() })
		reference = s
	}
	w.differ = diff.New(model.New(p), reference, p, defaultBatch, len(w.cases[0].Memory))
	if decoders {
		w.decoders = append(w.decoders, diff.NewDecoders(model.NewDecoder(p), x86asm.New(), x86asm.Quirks()))
	}
	w.differ.Found = func(*diff.Found) {}
	if feedback {
		w.differ.Fresh = w.keep
	}
	w.seen = map[seenKey]string{}
	return w
}
