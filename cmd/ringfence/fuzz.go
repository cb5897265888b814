package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/seed-4e121ece/ringfence/fuzz/campaign"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/seed-4e121ece/ringfence/oracle/silicon"
	"github.com/spf13/cobra"
)

// fuzzFlags are the flags of the fuzz command.
type fuzzFlags struct {
	subject, reference, mode, only, out string
	cases, seed                         uint64
	duration                            time.Duration
	jobs, states                        int
	strict, json, encodings             bool
}

// defaultDuration is how long a campaign runs that is given no end.
const defaultDuration = time.Minute

func newFuzz(std stdio) *cobra.Command {
	var f fuzzFlags
	cmd := &cobra.Command{
		Use:   "fuzz",
		Short: "the main job: a campaign of the model against the CPU and other decoders",
		Long: `fuzz runs a subject and its references on the same cases: first the seeds
(machine code of real programs and test data of assemblers), then cases generated
from the instruction table and variations of the seeds. Each divergence is made
small and written to a folder of its own. A case that reaches what none of its
encoding has reached before in that mode (an outcome, a pattern of flags, a bit of a
register or a flag that changes) is kept, and one case in 16 is a variation of a kept
one; --encodings lists what each encoding has reached. At the end it prints what was compared,
what each comparison rule masked, which encodings no case retired and why, and the
divergences with the commands that replay them.

With --states N it runs each general-purpose row of the table that this CPU has, in
each of the modes, in N states, and prints a table by family: cases, distinct
outcomes and patterns of flags, divergences by the default comparison and by the
strict one, and which faults of which rows no case has reached.

With no flags it compares the model with the CPU and with x86asm for one minute.
Ctrl-C ends a campaign early, with what it has. With --jobs 1 the same seed gives
the same cases.`,
		Example: `  ringfence fuzz
  ringfence fuzz --only ADC,SBB,'CMOV*' --for 10s
  ringfence fuzz --cases 1000000 --seed 7 --jobs 1 --json
  ringfence fuzz --states 10000 --strict --mode 64,32,16 --reference silicon`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("seed") {
				f.seed = rand.Uint64() >> 16 // short enough to be typed again
			}
			return f.run(cmd, std)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.subject, "subject", "model", "engine that is tested")
	flags.StringVar(&f.reference, "reference", "silicon,x86asm", "engines that it is held against: the first executor that this machine offers, and every decoder")
	flags.StringVar(&f.mode, "mode", "64", "widths of the code in bits, separated by commas: 64, 32, 16")
	flags.StringVar(&f.only, "only", "", "mnemonics to restrict the campaign to, separated by commas, with * as in ADC,CMOV*")
	flags.Uint64Var(&f.cases, "cases", 0, "end after so many cases")
	flags.DurationVar(&f.duration, "for", 0, "end after this time (default 1m without --cases and --states)")
	flags.IntVar(&f.states, "states", 0, "run each general-purpose row in each mode in so many states, and nothing else")
	flags.Uint64Var(&f.seed, "seed", 0, "seed of the generator (default: another each time; it is printed)")
	flags.IntVar(&f.jobs, "jobs", 0, "workers, each with engines of its own (default: one a CPU)")
	flags.StringVar(&f.out, "out", "divergences", "folder that divergences are written to")
	flags.BoolVar(&f.strict, "strict", false, "compare what the manuals leave undefined too, where this CPU's choices are known")
	flags.BoolVar(&f.encodings, "encodings", false, "list what the cases of each encoding have reached in each mode")
	flags.BoolVar(&f.json, "json", false, "one JSON object a line: each divergence, then the summary")
	cmd.MarkFlagsMutuallyExclusive("cases", "for")
	return cmd
}

// config checks the flags and returns the campaign that they ask for.
func (f *fuzzFlags) config(errs io.Writer) (campaign.Config, error) {
	cfg := campaign.Config{
		Profile: silicon.Profile(), Cases: f.cases, For: f.duration, Seed: f.seed, Jobs: f.jobs, Only: f.only, Out: f.out, States: f.states,
		Commit: revision(),
	}
	for _, name := range splitList(f.mode) {
		mode, err := parseWidth(name)
		if err != nil {
			return cfg, err
		}
		cfg.Modes = append(cfg.Modes, mode)
	}
	switch {
	case len(cfg.Modes) == 0:
		return cfg, badInput("--mode %q: want 64, 32, 16 or some of them", f.mode)
	case f.jobs < 0:
		return cfg, badInput("--jobs %d: want 1 or more, or 0 for one a CPU", f.jobs)
	case f.states < 0:
		return cfg, badInput("--states %d: want 1 or more", f.states)
	case f.duration < 0:
		return cfg, badInput("--for %v: want a time above 0", f.duration)
	}
	if f.jobs == 0 {
		cfg.Jobs = runtime.GOMAXPROCS(0)
	}
	if f.cases == 0 && f.duration == 0 && f.states == 0 {
		cfg.For = defaultDuration
	}
	if f.strict {
		if cfg.Strict = exactProfile(); !cfg.Strict {
			fmt.Fprintf(errs, "ringfence: --strict: no exact profile of this CPU (%s); what the manuals leave undefined stays masked\n", cfg.Profile.Name)
		}
	}
	return cfg, f.engines(&cfg)
}

// engines fills in the campaign's engines.
func (f *fuzzFlags) engines(cfg *campaign.Config) error {
	subject, err := lookup(f.subject)
	if err != nil {
		return err
	}
	if subject.executor == nil {
		return badInput("--subject %q does not execute; %s", f.subject, capable("executors", func(e *engine) bool { return e.executor != nil }))
	}
	cfg.Subject = campaign.Engine{Name: subject.name, New: subject.executor}
	cfg.SubjectDecoder = subject.decoderEngine()
	names := splitList(f.reference)
	if len(names) == 0 {
		return badInput("--reference %q: want the name of an engine", f.reference)
	}
	for _, name := range names {
		e, err := lookup(name)
		if err != nil {
			return err
		}
		if e.executor != nil {
			cfg.References = append(cfg.References, campaign.Engine{Name: e.name, New: e.executor})
		}
		if e.decoder != nil && subject.decoder != nil && e.name != "silicon" { // the CPU takes part by executing
			cfg.Decoders = append(cfg.Decoders, e.decoderEngine())
		}
	}
	return nil
}

// decoderEngine returns the engine as the campaign wants a decoder; the zero
// value if it is none.
func (e *engine) decoderEngine() campaign.DecoderEngine {
	if e.decoder == nil {
		return campaign.DecoderEngine{}
	}
	d := campaign.DecoderEngine{Name: e.name, Modes: campaign.AllModes, New: func() (oracle.Decoder, error) {
		d, err := e.decoder()
		return d.Decoder, err
	}}
	if e.quirks != nil {
		d.Quirks = e.quirks()
	}
	return d
}

// run runs the campaign and prints what came out.
func (f *fuzzFlags) run(cmd *cobra.Command, std stdio) error {
	cfg, err := f.config(std.err)
	if err != nil {
		return err
	}
	shown := newProgress(std.err)
	fmt.Fprintf(std.err, "ringfence: %s against %s, seed %d, %d jobs; divergences go to %s\n",
		f.subject, f.reference, cfg.Seed, cfg.Jobs, cfg.Out)
	cfg.Message = func(text string) { shown.say("ringfence: %s", text) }
	cfg.Progress = func(p campaign.Progress) {
		shown.report("%s  %s cases, %s/s, %d of %d encodings covered, %d divergences",
			p.Elapsed.Truncate(time.Second), commas(p.Cases), commas(uint64(p.PerSecond)), p.Covered, p.Table, p.Divergences)
	}
	summary, err := campaign.Run(cmd.Context(), cfg)
	shown.close()
	if summary == nil {
		return badInput("fuzz: %v", err)
	}
	write := printSummary
	if f.json {
		write = writeSummary
	}
	werr := write(std.out, summary, &cfg)
	if f.encodings && werr == nil {
		werr = writeReached(std.out, summary.Reach, cfg.Modes, f.json)
	}
	if werr != nil {
		return badInput("fuzz: writing the summary: %v", werr)
	}
	switch {
	case err != nil:
		return badInput("fuzz: %v", err)
	case len(summary.Divergences) > 0 || summary.Lost > 0:
		return found()
	}
	return nil
}
