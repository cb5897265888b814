// Package campaign runs a subject against references for a number of cases or
// a time: seeds first, then generated and varied instructions, on as many
// workers as wanted. What differs is made small, recorded and counted; what
// was covered, masked and left out is summed up.
package campaign

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/seed-4e121ece/ringfence/corpus"
	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// Engine is a named executor. New is called once a worker, and again when the
// engine has died.
type Engine struct {
	Name string
	New  func() (oracle.Executor, error)
}

// DecoderEngine is a named decoder with its known faults.
type DecoderEngine struct {
	Name   string
	New    func() (oracle.Decoder, error)
	Quirks []oracle.Quirk
	// Modes are those that its quirks are known for, in which alone it is
	// compared; none means Long64.
	Modes []x86.Mode
}

// compares says whether the decoder is compared in a mode.
func (e *DecoderEngine) compares(m x86.Mode) bool {
	return len(e.Modes) == 0 && m == x86.Long64 || slices.Contains(e.Modes, m)
}

// Config says what a campaign does. Subject and Profile are mandatory.
type Config struct {
	Subject Engine
	// References are executors in order of preference: the first that can be
	// had is used, and a message tells why not the ones before it. With none
	// left, only the decoders are compared.
	References []Engine
	// SubjectDecoder is compared with each of Decoders; without it none are.
	SubjectDecoder DecoderEngine
	Decoders       []DecoderEngine
	// Modes are Long64, Compat32 and Compat16, those that are wanted; the
	// batches take turns. None means Long64.
	Modes []x86.Mode
	// Profile is that of the CPU that answers.
	Profile *isa.Profile

	// Cases ends the campaign after so many cases, For after that time. With
	// neither it runs until the context ends.
	Cases uint64
	For   time.Duration
	// States runs each general-purpose row that the CPU has, in each mode in
	// which it is valid, in that many states, and nothing else; 0 runs seeds
	// and whatever the generator deals. Cases and For end it early.
	States int
	// Seed makes the campaign repeatable: with one job, the same seed gives
	// the same cases.
	Seed uint64
	// Jobs is the number of workers, each with engines of its own; 0 means 1.
	Jobs int
	// Only restricts the instructions to mnemonics: a list separated by
	// commas, each a pattern of path.Match, in any case ("ADC,SBB", "CMOV*").
	Only string
	// Strict compares what the manuals leave undefined too.
	Strict bool
	// Seeds are whole instructions; nil means those of package corpus.
	Seeds [][]byte
	// SeedStates is the number of states in which each seed runs before
	// anything else; 0 means 2, -1 none.
	SeedStates int
	// Out is the folder of divergences; "" records none on disk.
	Out string
	// Known are signatures that are not new, besides those in Out.
	Known map[string]bool
	// StopAtFirst ends the campaign at the first new divergence.
	StopAtFirst bool
	// KeepLarge leaves divergent cases as they were found.
	KeepLarge bool
	// Commit is the revision of the subject, "" if not known.
	Commit string
	// NoFeedback leaves out variations of the cases that reached something new.
	NoFeedback bool
	// Batch is the number of cases that cross to an engine at once; 0 means
	// 128.
	Batch int
	// Progress is called once a second and at the end, Message for what a
	// person should know at once. Neither is called by two goroutines at a
	// time. Both may be nil.
	Progress func(Progress)
	Message  func(string)
}

// Progress is the state of a running campaign.
type Progress struct {
	Elapsed time.Duration
	Cases   uint64
	// PerSecond is the speed since the last call.
	PerSecond float64
	// Covered is the number of encodings with a case that retired, of Table in
	// the table for this mode.
	Covered, Table int
	// Divergences is the number of distinct ones, New of those that were not
	// known before.
	Divergences, New int
}

func (cfg *Config) check() error {
	switch {
	case cfg.Subject.New == nil:
		return errors.New("campaign: no subject")
	case cfg.Profile == nil:
		return errors.New("campaign: no profile")
	case slices.ContainsFunc(cfg.Modes, func(m x86.Mode) bool { return !slices.Contains(AllModes, m) }):
		return fmt.Errorf("campaign: modes %v: want of %v", cfg.Modes, AllModes)
	case cfg.Jobs < 0:
		return fmt.Errorf("campaign: %d jobs: want at least 1", cfg.Jobs)
	case cfg.States < 0:
		return fmt.Errorf("campaign: %d states: want 1 or more, or 0", cfg.States)
	case cfg.For < 0:
		return fmt.Errorf("campaign: a time of %v: want 0 or more", cfg.For)
	case cfg.Batch < 0 || cfg.Batch > maxBatch:
		return fmt.Errorf("campaign: batches of %d: want 1 to %d", cfg.Batch, maxBatch)
	}
	return nil
}

// AllModes are the modes that cases can be made for.
var AllModes = []x86.Mode{x86.Long64, x86.Compat32, x86.Compat16}

func (cfg *Config) modes() []x86.Mode {
	if len(cfg.Modes) == 0 {
		return AllModes[:1]
	}
	return cfg.Modes
}

const (
	defaultBatch = 128
	maxBatch     = 4096
)

func (cfg *Config) jobs() int { return max(cfg.Jobs, 1) }

func (cfg *Config) batch() int {
	if cfg.Batch == 0 {
		return defaultBatch
	}
	return cfg.Batch
}

func (cfg *Config) seedStates() int {
	switch {
	case cfg.SeedStates < 0:
		return 0
	case cfg.SeedStates == 0:
		return 2
	}
	return cfg.SeedStates
}

// Filter returns which mnemonics a campaign is restricted to; nil means all.
// A pattern that names no row of the table is an error.
func (cfg *Config) Filter() (func(m isa.Mnemonic) bool, error) {
	if cfg.Only == "" {
		return nil, nil
	}
	wanted := map[isa.Mnemonic]bool{}
	for pattern := range strings.SplitSeq(cfg.Only, ",") {
		pattern = strings.ToUpper(strings.TrimSpace(pattern))
		found := false
		for _, row := range isa.Rows() {
			ok, err := path.Match(pattern, row.Mnemonic.String())
			if err != nil {
				return nil, fmt.Errorf("family %q: not a pattern: %w", pattern, err)
			}
			if ok {
				wanted[row.Mnemonic] = true
				found = true
			}
		}
		if !found {
			return nil, fmt.Errorf("family %q: no such mnemonic in the table", pattern)
		}
	}
	return func(m isa.Mnemonic) bool { return wanted[m] }, nil
}

// seeds returns a mode's instructions to start with: those whose row the
// generator deals, and the rest, which only decoders are given.
func (cfg *Config) seeds(m x86.Mode, wanted func(isa.Mnemonic) bool, weight func(*isa.Row) int) (run, decoded [][]byte) {
	var in decode.Inst
	take := func(b []byte) {
		valid := decode.Decode(&in, b, m, cfg.Profile) == decode.Valid
		row := isa.Get(in.Row)
		switch {
		case wanted != nil && (!valid || !wanted(row.Mnemonic)):
		case valid && weight(row) > 0:
			run = append(run, b)
		default:
			decoded = append(decoded, b)
		}
	}
	if cfg.Seeds != nil {
		for _, b := range cfg.Seeds {
			take(b)
		}
		return run, decoded
	}
	for s := range corpus.Seeds() {
		if s.Mode == m.Width() {
			take(s.Bytes)
		}
	}
	return run, decoded
}
