package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/seed-4e121ece/ringfence/emulator/depriv/bench"
	"github.com/spf13/cobra"
)

// benchFlags are the flags of the bench command.
type benchFlags struct {
	duration                              time.Duration
	transport, protocol, class, batch     string
	out, from                             string
	exit, hook, barrier                   time.Duration
	exitSource, hookSource, barrierSource string
	mixes                                 []string
	seed                                  uint64
	json                                  bool
}

// The files of a run.
const (
	benchReport = "report.html"
	benchLines  = "bench.txt"
	benchRun    = "run.jsonl"
)

func newBench(std stdio) *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "measure what a wall around the emulator costs, and write a report",
		Long: `bench steps the emulator in-process and behind a wall: over each transport and
each protocol, in batches, for classes of instruction. It does so in turn and
again and again, so that what drifts on a machine drifts for all of them, beside
floors of the same minutes (a call, a system call, a cache line's way to another
CPU and back, a pair of switches between processes, the start of a process, an
exit of this virtual machine). It measures contention, sparse callers, what a
crossing does to the caller's caches, and the life of a worker: start, recovery,
live replacement, memory.

It prints a summary, or with --json one object a line, and writes to --out:

  report.html  the page to read: charts, tables, method; it needs nothing else
  bench.txt    the rounds in the benchmark format of Go, for benchstat
  run.jsonl    everything, one JSON object a line; --from reads it again

Run it on a machine that does nothing else: the summary and the report say how
much of the processors' time others had. It takes 4 minutes; Ctrl-C ends it
early, with what it has.

What cannot be measured from user space is a parameter and needs a source: the
cost of an exit where this machine is no virtual one, of a hypervisor's real hook
(page walk and mapping), of a predictor barrier, and the mix of instructions that
a guest's exits need.`,
		Example: `  ringfence bench
  ringfence bench --for 30s --transport futex,spin --protocol message --class load,store
  ringfence bench --exit 700ns --exit-source 'kvm-unit-tests vmexit, this machine' --mix 'nic: load=30,store=70'
  ringfence bench --from bench/run.jsonl --out again
  benchstat -col /transport -row /class -filter '/protocol:message /batch:1' bench/bench.txt`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd, std) },
	}
	flags := cmd.Flags()
	flags.DurationVar(&f.duration, "for", bench.DefaultBudget, "end after about this time, with whole rounds; under 2m the figures spread more")
	flags.StringVar(&f.transport, "transport", "", "transports to measure, separated by commas (default: all)")
	flags.StringVar(&f.protocol, "protocol", "", "protocols to measure: message, hooks, window, window-rw (default: all)")
	flags.StringVar(&f.class, "class", "", "classes of instruction to measure, separated by commas (default: all)")
	flags.StringVar(&f.batch, "batch", "", "sizes of batches, separated by commas; 1 is measured always (default: 1,8,64,512)")
	flags.StringVar(&f.out, "out", "bench", "folder that the report is written to")
	flags.StringVar(&f.from, "from", "", "measure nothing: read a run.jsonl, and write its report and summary")
	flags.DurationVar(&f.exit, "exit", 0, "what an exit of a guest and its re-entry cost, as 700ns (default: measured, on a virtual machine)")
	flags.StringVar(&f.exitSource, "exit-source", "", "where that figure is from")
	flags.DurationVar(&f.hook, "hook", 0, "what a real hook costs for a memory operand: page walk and mapping")
	flags.StringVar(&f.hookSource, "hook-source", "", "where that figure is from")
	flags.DurationVar(&f.barrier, "barrier", 0, "what a predictor barrier (IBPB) costs")
	flags.StringVar(&f.barrierSource, "barrier-source", "", "where that figure is from")
	flags.StringArrayVar(&f.mixes, "mix", nil, "a mix of instructions instead of the built-in ones, as 'NAME: load=70,store=30', in percent; may be repeated")
	flags.Uint64Var(&f.seed, "seed", 0, "seed of the order in which things are measured (default: another each time)")
	flags.BoolVar(&f.json, "json", false, "print one JSON object a line instead of the summary")
	cmd.MarkFlagsMutuallyExclusive("from", "for")
	return cmd
}

// options checks the flags and returns what they ask for.
func (f *benchFlags) options() (bench.Options, error) {
	opt := bench.Options{
		Budget: f.duration, Transports: splitList(f.transport), Protocols: splitList(f.protocol), Classes: splitList(f.class),
		Seed: f.seed, Commit: revision(),
		Parameters: bench.Parameters{
			Exit: float64(f.exit), ExitSource: f.exitSource, Hook: float64(f.hook), HookSource: f.hookSource,
			Barrier: float64(f.barrier), BarrierSource: f.barrierSource,
		},
	}
	if f.duration <= 0 {
		return opt, badInput("bench: --for %v: want a time above 0", f.duration)
	}
	for _, p := range []struct {
		name, source string
		value        time.Duration
	}{{"exit", f.exitSource, f.exit}, {"hook", f.hookSource, f.hook}, {"barrier", f.barrierSource, f.barrier}} {
		switch {
		case p.value < 0:
			return opt, badInput("bench: --%s %v: want a time, as 700ns", p.name, p.value)
		case p.value > 0 && p.source == "":
			return opt, badInput("bench: --%s %v without --%s-source: a figure that was not measured here needs a source", p.name, p.value, p.name)
		}
	}
	for _, text := range splitList(f.batch) {
		n, err := strconv.Atoi(text)
		if err != nil {
			return opt, badInput("bench: --batch %q: want numbers, separated by commas", f.batch)
		}
		opt.Batches = append(opt.Batches, n)
	}
	for _, text := range f.mixes {
		m, err := parseMix(text)
		if err != nil {
			return opt, badInput("bench: --mix %q: %v", text, err)
		}
		opt.Parameters.Mixes = append(opt.Parameters.Mixes, m)
	}
	return opt, nil
}

// parseMix reads a mix like "nic: load=70,store=30".
func parseMix(text string) (bench.Mix, error) {
	m := bench.Mix{Source: "given on the command line"}
	name, shares, ok := strings.Cut(text, ":")
	m.Name = strings.TrimSpace(name)
	if !ok || m.Name == "" {
		return m, errors.New("want a name, a colon and shares, as 'nic: load=70,store=30'")
	}
	for _, s := range splitList(shares) {
		class, percent, ok := strings.Cut(s, "=")
		v, err := strconv.ParseFloat(percent, 64)
		if !ok || err != nil {
			return m, fmt.Errorf("share %q: want a class and its percent, as load=70", s)
		}
		m.Shares = append(m.Shares, bench.MixShare{Class: class, Share: v / 100})
	}
	return m, nil
}

// run measures, or reads a run, and writes what came out.
func (f *benchFlags) run(cmd *cobra.Command, std stdio) error {
	var res *bench.Result
	var err error
	if f.from != "" {
		res, err = f.read()
	} else {
		res, err = f.measure(cmd, std)
	}
	if err != nil {
		return err
	}
	failed := f.save(res)
	switch {
	case failed != nil && !f.json:
		// Minutes of measuring are not to be lost with a full disk.
		fmt.Fprintf(std.err, "ringfence: bench: the run was not saved and follows as JSON on standard output; --from reads it\n")
		fallthrough
	case f.json:
		err = res.WriteJSON(std.out)
	default:
		err = res.WriteSummary(std.out)
	}
	if failed != nil {
		return badInput("bench: %v", failed)
	}
	if err != nil {
		return badInput("%v", err)
	}
	fmt.Fprintf(std.err, "ringfence: the report is %s\n", filepath.Join(f.out, benchReport))
	return nil
}

func (f *benchFlags) read() (*bench.Result, error) {
	file, err := os.Open(f.from)
	if err != nil {
		return nil, badInput("bench: --from: %v", err)
	}
	defer file.Close()
	res, err := bench.ReadJSON(file)
	if err != nil {
		return nil, badInput("bench: --from %s: %v", f.from, err)
	}
	return res, nil
}

func (f *benchFlags) measure(cmd *cobra.Command, std stdio) (*bench.Result, error) {
	opt, err := f.options()
	if err != nil {
		return nil, err
	}
	if err := writable(f.out); err != nil { // before minutes are spent
		return nil, badInput("bench: --out: %v", err)
	}
	shown := newProgress(std.err)
	defer shown.close()
	begin := time.Now()
	opt.Progress = func(done float64, text string) {
		left := (f.duration - time.Since(begin)).Round(time.Second)
		shown.report("%3.0f %%  %s, about %v left  %s", 100*done, time.Since(begin).Truncate(time.Second), max(left, 0), text)
	}
	res, err := bench.Run(cmd.Context(), opt)
	if err != nil {
		return nil, badInput("%v", err)
	}
	if len(res.Cells) == 0 {
		return nil, badInput("bench: ended before anything was measured")
	}
	return res, nil
}

// writable says whether files can be made in a folder, which it makes.
func writable(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	file, err := os.CreateTemp(dir, ".bench-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	return file.Close()
}

// save writes the files of a run: all that can be written.
func (f *benchFlags) save(res *bench.Result) error {
	if err := os.MkdirAll(f.out, 0o755); err != nil {
		return err
	}
	return errors.Join(
		writeWhole(filepath.Join(f.out, benchRun), res.WriteJSON),
		writeWhole(filepath.Join(f.out, benchLines), res.WriteBenchmarks),
		writeWhole(filepath.Join(f.out, benchReport), res.WriteReport),
	)
}

// writeWhole writes a file that is whole or is not there: what stood there
// before stays if it fails.
func writeWhole(path string, write func(io.Writer) error) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), ".bench-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			file.Close()
			os.Remove(file.Name())
			err = fmt.Errorf("%s was not written: %w", path, err)
		}
	}()
	if err = write(file); err != nil {
		return err
	}
	if err = file.Chmod(0o644); err != nil {
		return err
	}
	if err = file.Close(); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}
