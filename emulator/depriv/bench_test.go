package depriv

import (
	"fmt"
	"testing"

	"github.com/seed-4e121ece/ringfence/emulator"
	"github.com/seed-4e121ece/ringfence/emulator/depriv/transport"
	"github.com/seed-4e121ece/ringfence/internal/hostcpu"
)

// classes are the instructions of the benchmarks.
var classes = []struct{ name, code string }{
	{"register", "\x48\x01\xd8"},
	{"load", "\x48\x8b\x03"},
	{"store", "\x48\x89\x03"},
	{"rmw", "\x48\x01\x03"},
	{"string", "\xa4"},
	{"fault", "\x48\x8b\x00"},
}

// BenchmarkInProcess is the floor: the same step without a wall.
func BenchmarkInProcess(b *testing.B) {
	for _, class := range classes {
		b.Run("class="+class.name, func(b *testing.B) {
			x := newBed(b)
			e := emulator.New(hostcpu.Profile(), x.m.Hooks())
			x.load(class.code)
			b.ReportAllocs()
			for b.Loop() {
				e.Step(&x.state, x.m, &x.fx)
			}
		})
	}
}

// BenchmarkStep is a step of each class over each transport and protocol, in
// batches of virtual CPUs that do not depend on one another. ns/op is a batch.
func BenchmarkStep(b *testing.B) {
	for _, k := range transport.Kinds() {
		for _, p := range []Protocol{Message, Hooks} {
			for _, batch := range []int{1, 8, 64} {
				if p == Hooks && (k == transport.Call || batch > 1) {
					continue
				}
				for _, class := range classes {
					b.Run(fmt.Sprintf("transport=%v/protocol=%v/batch=%d/class=%s", k, p, batch, class.name), func(b *testing.B) {
						benchmarkStep(b, Config{Transport: k, Protocol: p, Batch: batch, NoSpare: true}, class.code)
					})
				}
			}
		}
	}
}

func benchmarkStep(b *testing.B, cfg Config, code string) {
	c := newClient(b, cfg)
	release, err := c.Settle()
	if err != nil {
		b.Fatal(err)
	}
	defer release()
	requests := make([]Request, cfg.Batch)
	for i := range requests {
		x := newBed(b)
		x.load(code)
		requests[i] = Request{State: &x.state, Bus: x.m, Fx: &x.fx}
	}
	before := c.Stats()
	b.ReportAllocs()
	for b.Loop() {
		c.StepBatch(requests)
	}
	after := c.Stats()
	if after.Failed > 0 {
		b.Fatalf("%d requests failed", after.Failed)
	}
	steps := float64(after.Requests - before.Requests)
	b.ReportMetric(b.Elapsed().Seconds()*1e9/steps, "ns/step")
	b.ReportMetric(float64(after.Crossings-before.Crossings)/steps, "crossings/step")
}
