package silicon

import (
	"fmt"
	"testing"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// mixes are the streams of the benchmark; each repeats over a batch.
var mixes = map[string][]string{
	"retired": {
		"\x48\x01\xd8", "\x8b\x43\x08", "\x48\x89\x53\x10", "\x01\x4b\x20", "\x50", "\x5a", "\x48\x0f\xaf\xc3", "\xd3\xe0",
		"\x48\x8d\x44\x8b\x10", "\x0f\xb6\x03", "\x48\xc7\xc1\x05\x00\x00\x00", "\xf7\xd8", "\x0f\x94\xc0", "\x48\x63\xc2", "\x87\x03", "\x66\x83\xc0\x07",
	},
	"branch": {"\x74\x10", "\xeb\x20", "\xe8\x00\x01\x00\x00", "\xc3", "\xff\xe3"},
	"fault":  {"\x48\x8b\x01", "\x48\x89\x01", "\xf7\xf1", "\xff\x31"},
	"ud":     {"\x0f\x0b"},
	"trap":   {"\x66\xeb\x10"},
}

func BenchmarkRun(b *testing.B) {
	e, err := New()
	if err != nil {
		b.Skip(err)
	}
	defer e.Close()
	for _, batch := range []int{1, 64, 256} {
		for _, mix := range []string{"retired", "branch", "fault", "ud", "trap"} {
			if batch != 64 && mix != "retired" {
				continue
			}
			b.Run(fmt.Sprintf("batch=%d/mix=%s", batch, mix), func(b *testing.B) {
				cases := make([]oracle.Case, batch)
				results := make([]oracle.Result, batch)
				for i := range cases {
					codes := mixes[mix]
					cases[i] = NewCase([]byte(codes[i%len(codes)]))
					cases[i].State.GPR[x86.RBX] = oracle.DataBase + oracle.PageSize - 64
					if mix == "retired" {
						cases[i].State.GPR[x86.RCX] = 3
					}
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
