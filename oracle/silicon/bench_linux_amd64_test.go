package silicon

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/internal/spawn"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// mixes are the streams of the benchmark; each repeats over a batch.
var mixes = map[string][]string{
	"registers": {
		"\x48\x01\xd8", "\x31\xd2", "\x48\x0f\xaf\xc3", "\xd3\xe0", "\x48\x8d\x44\x8b\x10", "\x48\xc7\xc1\x05\x00\x00\x00", "\xf7\xd8", "\x0f\x94\xc0",
		"\x48\x63\xc2", "\x66\x83\xc0\x07", "\x48\x87\xda", "\x0f\xba\xe0\x03", "\x48\x0f\xc8", "\x99", "\xf8", "\x0f\xb6\xc3",
	},
	"retired": {
		"\x48\x01\xd8", "\x8b\x43\x08", "\x48\x89\x53\x10", "\x01\x4b\x20", "\x50", "\x5a", "\x48\x0f\xaf\xc3", "\xd3\xe0",
		"\x48\x8d\x44\x8b\x10", "\x0f\xb6\x03", "\x48\xc7\xc1\x05\x00\x00\x00", "\xf7\xd8", "\x0f\x94\xc0", "\x48\x63\xc2", "\x87\x03", "\x66\x83\xc0\x07",
	},
	"retired32": {"\x01\xd8", "\x8b\x43\x08", "\x89\x53\x10", "\x01\x4b\x20", "\x50", "\x5a", "\x0f\xaf\xc3", "\xd3\xe0"},
	"retired16": {"\x01\xd8", "\x8b\x47\x08", "\x89\x57\x10", "\x01\x4f\x20", "\x50", "\x5a", "\x0f\xaf\xc3", "\xd3\xe0"},
	"vector":    {"\x0f\x58\xc1", "\x66\x0f\xfe\x03", "\xf2\x0f\x59\xc2", "\x0f\x29\x03", "\xd9\xe8", "\x66\x0f\x38\x00\xc1", "\x0f\xc6\xc1\x1b", "\x66\x0f\xef\xc0"},
	"branch":    {"\x74\x10", "\xeb\x20", "\xe8\x00\x01\x00\x00", "\xc3", "\xff\xe3"},
	"fault":     {"\x48\x8b\x01", "\x48\x89\x01", "\xf7\xf1", "\xff\x31"},
	"ud":        {"\x0f\x0b"},
	"trap":      {"\x66\xeb\x10"},
	"unknown":   {"\x0f\x0f\xc1\x90"},
}

// windowless is the default layout without windows: registers alone go in and
// out; stray writes are looked for all the same.
var windowless = &oracle.Layout{Pages: oracle.DefaultLayout.Pages}

// benchmarkCase makes the i-th case of a stream.
func benchmarkCase(mix string, m x86.Mode, l *oracle.Layout, vector bool, i int) oracle.Case {
	codes := mixes[mix]
	c := NewCaseIn(m, []byte(codes[i%len(codes)]))
	c.State.GPR[x86.RBX] = oracle.DataBase + oracle.PageSize - 64
	if m == x86.Compat16 {
		c.State.GPR[x86.RBX] = oracle.PageSize - 64
	}
	if mix != "fault" {
		c.State.GPR[x86.RCX] = 3
	}
	c.Layout = l
	c.Memory = make([]byte, l.WindowBytes())
	if vector {
		c.State.FPU = randomFPU(rand.New(rand.NewPCG(1, uint64(i))), AllComponents())
		c.State.FPU.FTW, c.State.FPU.FSW = 0, 0
	}
	return c
}

// BenchmarkRun is a case's way there and back, parent and child on one CPU. The
// metric best-ns/case is that of the best batch: what a machine does that has
// nothing else to do. The runner's goals, and ptrace beside it, are in the
// benchmarks of package ptrace.
func BenchmarkRun(b *testing.B) {
	cpu, err := spawn.CurrentCPU()
	if err != nil {
		b.Fatal(err)
	}
	e := newExecutor(b, WithCPU(cpu))
	for _, k := range []struct {
		state  string
		mix    string
		mode   x86.Mode
		layout *oracle.Layout
		batch  int
	}{
		{"gpr", "registers", x86.Long64, windowless, 64},
		{"gpr", "registers", x86.Long64, windowless, 128},
		{"gpr", "registers", x86.Long64, windowless, 256},
		{"gpr+memory", "retired", x86.Long64, oracle.DefaultLayout, 1},
		{"gpr+memory", "retired", x86.Long64, oracle.DefaultLayout, 64},
		{"gpr+memory", "retired", x86.Long64, oracle.DefaultLayout, 256},
		{"gpr+memory", "retired32", x86.Compat32, oracle.DefaultLayout, 64},
		{"gpr+memory", "retired16", x86.Compat16, oracle.DefaultLayout, 64},
		{"vector+memory", "vector", x86.Long64, oracle.DefaultLayout, 64},
		{"vector+memory", "vector", x86.Long64, oracle.DefaultLayout, 256},
		{"vector+memory", "fault", x86.Long64, oracle.DefaultLayout, 64},
		{"gpr+memory", "branch", x86.Long64, oracle.DefaultLayout, 64},
		{"gpr+memory", "fault", x86.Long64, oracle.DefaultLayout, 64},
		{"gpr+memory", "ud", x86.Long64, oracle.DefaultLayout, 64},
		{"gpr+memory", "trap", x86.Long64, oracle.DefaultLayout, 64},
		{"gpr+memory", "unknown", x86.Long64, oracle.DefaultLayout, 64},
	} {
		b.Run(fmt.Sprintf("state=%s/mix=%s/mode=%v/batch=%d", k.state, k.mix, k.mode, k.batch), func(b *testing.B) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			defer unix.SchedSetaffinity(0, &e.mask) // the thread goes back to the others
			e.pinned = 0
			cases := make([]oracle.Case, k.batch)
			results := make([]oracle.Result, k.batch)
			for i := range cases {
				cases[i] = benchmarkCase(k.mix, k.mode, k.layout, k.state == "vector+memory", i)
			}
			if err := e.Run(cases, results); err != nil {
				b.Fatal(err)
			}
			for i := range results {
				if results[i].Ending != oracle.Ended {
					b.Fatalf("% x: %v: %s", cases[i].CodeBytes(), results[i].Ending, results[i].Note)
				}
			}
			b.ReportAllocs()
			n, best := 0, time.Hour
			for b.Loop() {
				from := time.Now()
				if err := e.Run(cases, results); err != nil {
					b.Fatal(err)
				}
				best = min(best, time.Since(from))
				n += k.batch
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/case")
			b.ReportMetric(float64(best.Nanoseconds())/float64(k.batch), "best-ns/case")
		})
	}
}
