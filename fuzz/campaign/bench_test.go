package campaign

import (
	"fmt"
	"os"
	"testing"
	"time"

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
			subject, reference := timeRuns(&w.differ.Subject), timeRuns(&w.differ.Reference)
			for range 50 { // what is new, and kept, is mostly in the first cases
				benchBatch(b, w)
			}
			w.differ.Counts = diff.NewCounts()
			subject.spent, reference.spent = 0, 0
			var generated time.Duration
			parent, child := cpuTime(), childTime(reference)
			b.ReportAllocs()
			for b.Loop() {
				generated += benchBatch(b, w)
			}
			k := &w.differ.Counts
			b.ReportMetric(float64(k.Cases)/b.Elapsed().Seconds(), "cases/s")
			// Where the time of a case goes, and how much of it the two processes
			// were running: on a machine with other work, the CPU's time is the
			// better measure.
			per := func(d time.Duration, what string) {
				b.ReportMetric(float64(d.Nanoseconds())/float64(k.Cases), "ns/"+what)
			}
			per(generated, "generate")
			per(subject.spent, "subject")
			per(reference.spent, "reference")
			per(b.Elapsed()-generated-subject.spent-reference.spent, "compare")
			per(childTime(reference)-child, "cpu-of-child")
			per(cpuTime()-parent+childTime(reference)-child, "cpu")
			if k.Compared > 0 {
				b.ReportMetric(float64(k.Retired)*100/float64(k.Compared), "%retired")
				b.ReportMetric(float64(k.Compared-k.Retired)*100/float64(k.Compared), "%faulted")
			}
		})
	}
}

// benchBatch makes a batch of cases and runs it, and returns how long making it
// took.
func benchBatch(b *testing.B, w *worker) time.Duration {
	start := time.Now()
	w.fillBatch(len(w.cases))
	took := time.Since(start)
	if err := w.batch(w.cases); err != nil {
		b.Fatal(err)
	}
	return took
}

// timed measures how long an executor runs.
type timed struct {
	oracle.Executor
	spent time.Duration
}

// timeRuns puts a timed executor into the place of one, if there is one.
func timeRuns(e *oracle.Executor) *timed {
	t := &timed{Executor: *e}
	if *e != nil {
		*e = t
	}
	return t
}

func (t *timed) Run(cases []oracle.Case, results []oracle.Result) error {
	start := time.Now()
	defer func() { t.spent += time.Since(start) }()
	return t.Executor.Run(cases, results)
}

// childTime is the CPU time of the process behind an executor, as far as it has
// one and the system tells.
func childTime(t *timed) time.Duration {
	e, ok := t.Executor.(interface{ Pid() int })
	if !ok {
		return 0
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", e.Pid()))
	if err != nil {
		return 0
	}
	var ns int64
	_, _ = fmt.Sscan(string(text), &ns)
	return time.Duration(ns)
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
