package ptrace

import (
	"fmt"
	"testing"
	"time"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/internal/spawn"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/seed-4e121ece/ringfence/oracle/silicon"
)

// speeds are what a case may cost the runner: the kinds of case for which it has
// a goal, in ns a case; 0 where hypervisors take the event first.
var speeds = []struct {
	kind   string
	goal   float64
	vector bool
	layout *oracle.Layout
	codes  []string // repeats over a batch
}{
	{"registers", 500, false, &oracle.Layout{Pages: oracle.DefaultLayout.Pages}, []string{
		"\x48\x01\xd8", "\x31\xd2", "\x48\x0f\xaf\xc3", "\x48\x8d\x44\x8b\x10", "\x66\x83\xc0\x07", "\x0f\xba\xe0\x03", "\x48\x0f\xc8", "\xf8",
	}},
	{"memory", 0, false, oracle.DefaultLayout, []string{
		"\x48\x01\xd8", "\x8b\x43\x08", "\x48\x89\x53\x10", "\x50", "\x5a", "\x48\x0f\xaf\xc3", "\x48\x8d\x44\x8b\x10", "\x87\x03",
	}},
	{"vector+memory", 1250, true, oracle.DefaultLayout, []string{
		"\x0f\x58\xc1", "\x66\x0f\xfe\x03", "\xf2\x0f\x59\xc2", "\x0f\x29\x03", "\xd9\xe8", "\x66\x0f\x38\x00\xc1", "\x0f\xc6\xc1\x1b", "\x66\x0f\xef\xc0",
	}},
	{"fault", 2500, false, oracle.DefaultLayout, []string{"\x48\x8b\x01", "\x48\x89\x01", "\xf7\xf1", "\xff\x31"}},
	{"ud", 0, false, oracle.DefaultLayout, []string{"\x0f\x0b"}},
	{"branch", 0, false, oracle.DefaultLayout, []string{"\x74\x10", "\xeb\x20", "\xe8\x00\x01\x00\x00", "\xc3"}},
}

// BenchmarkPtrace has the runner's cost of the same cases beside its own, and
// the goal that the runner has. best-ns/case is that of the best batch: what a
// machine does that has nothing else to do.
func BenchmarkPtrace(b *testing.B) {
	const batch = 64
	for _, k := range speeds {
		cases := make([]oracle.Case, batch)
		results := make([]oracle.Result, batch)
		for i := range cases {
			c := &cases[i]
			*c = silicon.NewCase([]byte(k.codes[i%len(k.codes)]))
			c.Layout, c.Memory = k.layout, make([]byte, k.layout.WindowBytes())
			c.State.GPR[x86.RBX] = middle - 64
			if k.vector {
				c.State.FPU = new(x86.FPU)
				oracle.InitFPU(c.State.FPU, silicon.AllComponents())
			}
		}
		for _, engine := range []string{"silicon", "ptrace"} {
			b.Run(fmt.Sprintf("kind=%s/batch=%d/engine=%s", k.kind, batch, engine), func(b *testing.B) {
				e := started(b, engine)
				if err := e.Run(cases, results); err != nil {
					b.Fatal(err)
				}
				if r := &results[0]; r.Ending != oracle.Ended {
					b.Fatalf("% x: %v: %s", cases[0].CodeBytes(), r.Ending, r.Note)
				}
				b.ReportAllocs()
				n, best := 0, time.Hour
				for b.Loop() {
					from := time.Now()
					if err := e.Run(cases, results); err != nil {
						b.Fatal(err)
					}
					best = min(best, time.Since(from))
					n += batch
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/case")
				b.ReportMetric(float64(best.Nanoseconds())/batch, "best-ns/case")
				if engine == "silicon" && k.goal != 0 {
					b.ReportMetric(k.goal, "goal-ns/case")
				}
			})
		}
	}
}

// BenchmarkStart is the time from nothing to the first answer; the runner's goal
// is 10 ms.
func BenchmarkStart(b *testing.B) {
	cases := []oracle.Case{newCase(x86.Long64, []byte{0x48, 0x01, 0xd8})}
	results := make([]oracle.Result, 1)
	for _, engine := range []string{"silicon", "ptrace"} {
		b.Run("engine="+engine, func(b *testing.B) {
			best := time.Hour
			for b.Loop() {
				from := time.Now()
				e := started(b, engine)
				if err := e.Run(cases, results); err != nil {
					b.Fatal(err)
				}
				best = min(best, time.Since(from))
				if err := e.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(best.Nanoseconds())/1e6, "best-ms")
		})
	}
}

// started starts an engine by name; the runner shares its CPU with the caller,
// as ptrace always does.
func started(b *testing.B, engine string) oracle.Executor {
	if engine == "ptrace" {
		return newExecutor(b)
	}
	cpu, err := spawn.CurrentCPU()
	if err != nil {
		b.Fatal(err)
	}
	return newRunner(b, silicon.WithCPU(cpu))
}
