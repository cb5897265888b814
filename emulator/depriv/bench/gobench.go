package bench

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// WriteBenchmarks writes the run in the benchmark format of Go, for benchstat: a
// line a round. ns/op is the time of one request.
func (r *Result) WriteBenchmarks(w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "goos: %s\ngoarch: %s\npkg: github.com/seed-4e121ece/ringfence/emulator/depriv/bench\n", r.Machine.OS, r.Machine.Arch)
	if r.Machine.CPU != "" {
		fmt.Fprintf(out, "cpu: %s\n", r.Machine.CPU)
	}
	for i := range r.Cells {
		c := &r.Cells[i]
		name := "BenchmarkStep/" + rungKeys(c.Rung) + fmt.Sprintf("/batch=%d/class=%s-%d", c.Batch, c.Class, r.Machine.CPUs)
		for n, v := range c.Values {
			fmt.Fprintf(out, "%s %d %.4g ns/op %g crossings/op", name, c.Requests[n], v, c.Crossings)
			if n == 0 {
				fmt.Fprintf(out, " %.4g p99-ns/exchange %.4g p99.9-ns/exchange", c.Tail.P99, c.Tail.P999)
				if c.CPU.N > 0 {
					fmt.Fprintf(out, " %.4g cpu-ns/op", c.CPU.Median)
				}
			}
			fmt.Fprintln(out)
		}
	}
	for i := range r.Floors {
		f := &r.Floors[i]
		for _, v := range f.Values {
			fmt.Fprintf(out, "BenchmarkFloor/floor=%s-%d 1 %.4g ns/op\n", f.Name, r.Machine.CPUs, v)
		}
	}
	for i := range r.Lives {
		l := &r.Lives[i]
		unit := "ns/op"
		if l.Unit == unitBytes {
			unit = "B/worker"
		}
		for _, v := range l.Values {
			fmt.Fprintf(out, "BenchmarkWorker/what=%s-%d 1 %.4g %s\n", l.Name, r.Machine.CPUs, v, unit)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	return nil
}

// rungKeys writes the name of a rung as keys and values, which benchstat pivots.
func rungKeys(name string) string {
	t, p, ok := strings.Cut(name, "/")
	if !ok {
		p = "none"
	}
	return "transport=" + t + "/protocol=" + p
}
