package ptrace

import (
	"fmt"
	"testing"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/seed-4e121ece/ringfence/oracle/silicon"
)

// mixes are the streams of the benchmark; each repeats over a batch.
var mixes = map[string][]string{
	"retired": {"\x48\x01\xd8", "\x8b\x43\x08", "\x48\x89\x53\x10", "\x50", "\x5a", "\x48\x0f\xaf\xc3", "\x48\x8d\x44\x8b\x10", "\x74\x10"},
	"fault":   {"\x48\x8b\x01", "\x48\x89\x01", "\xff\x31"},
	"ud":      {"\x0f\x0b"},
}

// BenchmarkPtrace has the runner's cost of the same stream beside its own.
func BenchmarkPtrace(b *testing.B) {
	slow, fast := newExecutor(b), newRunner(b)
	for _, mix := range []string{"retired", "fault", "ud"} {
		for _, e := range []oracle.Executor{slow, fast} {
			b.Run(fmt.Sprintf("engine=%s/batch=64/mix=%s", e.Name(), mix), func(b *testing.B) {
				const batch = 64
				cases := make([]oracle.Case, batch)
				results := make([]oracle.Result, batch)
				for i := range cases {
					codes := mixes[mix]
					cases[i] = silicon.NewCase([]byte(codes[i%len(codes)]))
					cases[i].State.GPR[x86.RBX] = middle - 64
				}
				if err := e.Run(cases, results); err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				n := 0
				for b.Loop() {
					if err := e.Run(cases, results); err != nil {
						b.Fatal(err)
					}
					n += batch
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/case")
			})
		}
	}
}
