package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-4e121ece/ringfence/fuzz/sweep"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/seed-4e121ece/ringfence/oracle/external/clib"
	"github.com/seed-4e121ece/ringfence/oracle/silicon"
)

// sweepFlags are the flags of the sweep command.
type sweepFlags struct {
	subject, reference, mode, shard string
	checkpoint, resume              string
	limit                           uint64
	duration                        time.Duration
	jobs, sample                    int
	json, trophies                  bool
}

func newSweep(std stdio) *cobra.Command {
	var f sweepFlags
	cmd := &cobra.Command{
		Use:   "sweep",
		Short: "walk the encoding space and hold decoders against each other",
		Long: `sweep walks the whole encoding space in a fixed order: every opcode of every map
with prefixes, ModRM, SIB, edges of displacement and immediate, edges of the
payloads of VEX, EVEX, XOP and REX2, instructions cut by one byte, and tunnels
that follow changes of length. Every subject is held against every reference on
each string. The order is scattered, so that a part of the walk (--limit, --for,
--shard) is a sample of all of it. --sample thins all of it out instead: every
opcode with every prefix, but one string in N.

It ends with a table of the classes of disagreement: who says what, how many
strings, the shortest example, and the quirk that explains it with the share of
all disagreements that it absorbs. The exit status is 1 if nothing explains one.
Where the CPU is no part of the sweep and this machine offers it, it is asked
about the example of each class that nothing explains.

With --checkpoint the state is written to a file now and then and at the end;
--resume goes on from there, also after Ctrl-C, and ends with the table of an
uninterrupted sweep. A whole walk has some 300 million
strings in 64-bit code, 230 in 32-bit and 95 in 16-bit.`,
		Example: `  ringfence sweep --limit 1000000
  ringfence sweep --mode 32 --reference silicon --for 1m
  ringfence sweep --subject model,x86asm --reference silicon --shard 1/8 --json
  ringfence sweep --reference x86asm,zydis,capstone --sample 100
  ringfence sweep --checkpoint sweep.json; ringfence sweep --resume sweep.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.trophies {
				return printTrophies(std.out)
			}
			return f.run(cmd, std)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.subject, "subject", "model", "decoders that are held against the references")
	flags.StringVar(&f.reference, "reference", "x86asm", "decoders that they are held against; silicon is the CPU")
	flags.StringVar(&f.mode, "mode", "64", "width of the code in bits: 16, 32 or 64")
	flags.StringVar(&f.shard, "shard", "1/1", "I/N: the I-th of N disjoint parts of the walk")
	flags.IntVar(&f.sample, "sample", 1, "of the strings that each block begins with, keep one in so many")
	flags.Uint64Var(&f.limit, "limit", 0, "end after so many strings, rounded up to a whole block (some thousand)")
	flags.DurationVar(&f.duration, "for", 0, "end after this time")
	flags.StringVar(&f.checkpoint, "checkpoint", "", "file that the state is written to; it must not exist")
	flags.StringVar(&f.resume, "resume", "", "checkpoint to go on from, and to write to")
	flags.IntVar(&f.jobs, "jobs", 0, "workers, each with engines of its own (default: one a CPU)")
	flags.BoolVar(&f.json, "json", false, "one JSON object a line: each class, then the summary")
	flags.BoolVar(&f.trophies, "trophies", false, "print the page of known faults of other decoders (docs/TROPHIES.md) and do nothing else")
	cmd.MarkFlagsMutuallyExclusive("checkpoint", "resume")
	return cmd
}

// config checks the flags.
func (f *sweepFlags) config() (sweep.Config, error) {
	cfg := sweep.Config{All: decodeProfile, Sample: f.sample, Limit: f.limit, For: f.duration, Jobs: f.jobs, Checkpoint: f.checkpoint}
	var err error
	if cfg.Mode, err = parseWidth(f.mode); err != nil {
		return cfg, err
	}
	if cfg.Shard, cfg.Shards, err = parseShard(f.shard); err != nil {
		return cfg, err
	}
	switch {
	case f.jobs < 0:
		return cfg, badInput("--jobs %d: want 1 or more, or 0 for one a CPU", f.jobs)
	case f.sample < 1:
		return cfg, badInput("--sample %d: want 1 or more", f.sample)
	case f.duration < 0:
		return cfg, badInput("--for %v: want a time above 0", f.duration)
	case f.jobs == 0:
		cfg.Jobs = runtime.GOMAXPROCS(0)
	}
	if cfg.Subjects, err = sweepEngines("--subject", f.subject); err != nil {
		return cfg, err
	}
	if cfg.References, err = sweepEngines("--reference", f.reference); err != nil {
		return cfg, err
	}
	if f.checkpoint != "" {
		if _, err := os.Stat(f.checkpoint); err == nil {
			return cfg, badInput("--checkpoint %s: there is one; --resume goes on from it", f.checkpoint)
		}
	}
	if f.resume != "" {
		cfg.Checkpoint = f.resume
		if cfg.Resume, err = sweep.ReadState(f.resume); err != nil {
			return cfg, badInput("--resume: %v", err)
		}
	}
	return cfg, nil
}

// sweepEngines returns the decoders of a list of names.
func sweepEngines(flag, list string) ([]sweep.Engine, error) {
	var out []sweep.Engine
	for _, name := range splitList(list) {
		e, err := lookup(name)
		if err != nil {
			return nil, err
		}
		if e.decoder == nil {
			return nil, badInput("%s: engine %q is no decoder; %s", flag, name, capable("decoders", func(e *engine) bool { return e.decoder != nil }))
		}
		s := sweep.Engine{Name: e.name, CPU: e.name == "silicon", New: func() (oracle.Decoder, error) {
			d, err := e.decoder()
			return d.Decoder, err
		}}
		if e.quirks != nil {
			s.Quirks = e.quirks()
		}
		out = append(out, s)
	}
	if len(out) == 0 {
		return nil, badInput("%s %q: want the name of a decoder", flag, list)
	}
	return out, nil
}

// parseShard reads I/N.
func parseShard(s string) (shard, of int, err error) {
	i, n, ok := strings.Cut(s, "/")
	shard, err1 := strconv.Atoi(i)
	of, err2 := strconv.Atoi(n)
	if !ok || err1 != nil || err2 != nil || of < 1 || shard < 1 || shard > of {
		return 0, 0, badInput("--shard %q: want I/N with I from 1 to N, as 1/8", s)
	}
	return shard - 1, of, nil
}

// run sweeps and prints the table.
func (f *sweepFlags) run(cmd *cobra.Command, std stdio) error {
	cfg, err := f.config()
	if err != nil {
		return err
	}
	if usesCPU(&cfg) {
		cfg.Host = silicon.Profile()
	}
	shown := newProgress(std.err)
	cfg.Progress = func(p *sweep.Progress) {
		shown.report("%s  %s strings, %s/s, %d of %d blocks, %s disagreements, %s unexplained", p.Elapsed.Truncate(time.Second),
			commas(p.Strings), commas(uint64(p.PerSecond)), p.Done, p.Blocks, commas(p.Differ), commas(p.Unexplained))
	}
	t, err := sweep.Run(cmd.Context(), cfg)
	shown.close()
	if t == nil {
		return badInput("sweep: %v", err)
	}
	asked := askCPU(cmd.Context(), t, &cfg)
	write := printSweep
	if f.json {
		write = writeSweep
	}
	if werr := write(std.out, t, asked); werr != nil {
		return badInput("sweep: writing the table: %v", werr)
	}
	if t.Stopped && cfg.Checkpoint != "" {
		fmt.Fprintf(std.err, "ringfence: sweep: stopped; go on with --resume %s\n", cfg.Checkpoint)
	}
	switch {
	case err != nil:
		return badInput("sweep: %v", err)
	case t.Unexplained > 0:
		return found()
	}
	return nil
}

func usesCPU(cfg *sweep.Config) bool {
	for _, l := range [][]sweep.Engine{cfg.Subjects, cfg.References} {
		for i := range l {
			if l[i].CPU {
				return true
			}
		}
	}
	return false
}

// askCPU lets the CPU judge the table's examples, where this machine offers it,
// and returns what it makes of the quirks that absorb the most.
func askCPU(ctx context.Context, t *sweep.Table, cfg *sweep.Config) map[string]sweep.Confirmed {
	if ctx.Err() != nil || t.Differ == 0 {
		return nil
	}
	d, err := silicon.NewDecoder()
	if err != nil {
		return nil
	}
	defer d.Close() // it answered all that it was asked
	return t.Judge(d, cfg.Mode, cfg.All, silicon.Profile())
}

// printTrophies prints the page of known faults.
func printTrophies(w io.Writer) error {
	var all [][]oracle.Quirk
	for i := range registry {
		if e := &registry[i]; e.quirks != nil && e.name != "silicon" {
			all = append(all, e.quirks())
		}
	}
	return sweep.WriteTrophies(w, [][]oracle.Fault{clib.UnicornFaults()}, all...)
}
