// The probe runs the default campaign on the model that it was built with,
// which an overlay may have damaged, and stops at the first divergence that is
// not known. It prints one line of JSON; see mutants.Answer.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/seed-4e121ece/ringfence/fuzz/campaign"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/seed-4e121ece/ringfence/oracle/model"
	"github.com/seed-4e121ece/ringfence/oracle/silicon"
	"github.com/seed-4e121ece/ringfence/oracle/x86asm"
)

// answer is mutants.Answer, which a lean program does not import.
type answer struct {
	Found       bool    `json:"found"`
	Unavailable string  `json:"unavailable,omitempty"`
	Hung        bool    `json:"hung,omitempty"`
	Cases       uint64  `json:"cases"`
	Seconds     float64 `json:"seconds"`
	What        string  `json:"what,omitempty"`
}

func main() {
	limit := flag.Duration("limit", time.Minute, "time for the campaign")
	seed := flag.Uint64("seed", 1, "seed of the campaign")
	jobs := flag.Int("jobs", 1, "workers")
	flag.Parse()
	a, err := run(*limit, *seed, *jobs)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(a); err != nil {
		os.Exit(1)
	}
}

func run(limit time.Duration, seed uint64, jobs int) (*answer, error) {
	x, err := silicon.New()
	if err != nil {
		return &answer{Unavailable: err.Error()}, nil
	}
	if err := x.Close(); err != nil {
		return nil, err
	}
	start := time.Now()
	s, err := campaign.Run(context.Background(), config(limit, seed, jobs))
	if s == nil {
		return nil, err
	}
	a := &answer{Cases: s.Counts.Cases, Seconds: time.Since(start).Seconds()}
	for _, d := range s.Divergences {
		if d.New {
			a.Found = true
			a.Cases, a.Seconds = d.After, d.At.Seconds()
			a.What = fmt.Sprintf("%s %s %s: %s", d.Kind, d.Code, d.Text, strings.Join(d.Fields, ", "))
			return a, nil
		}
	}
	return a, err
}

// config is the default campaign, what `ringfence fuzz` does without flags, but
// for its end, the folder of divergences, and that it is in all three modes: the
// model is one, and so are its mutants.
func config(limit time.Duration, seed uint64, jobs int) campaign.Config {
	p := silicon.Profile()
	return campaign.Config{
		Subject:        campaign.Engine{Name: "model", New: func() (oracle.Executor, error) { return model.New(p), nil }},
		References:     []campaign.Engine{{Name: "silicon", New: func() (oracle.Executor, error) { return silicon.New() }}},
		SubjectDecoder: campaign.DecoderEngine{Name: "model", New: func() (oracle.Decoder, error) { return model.NewDecoder(x86asm.Profile()), nil }},
		Decoders: []campaign.DecoderEngine{{
			Name: "x86asm", New: func() (oracle.Decoder, error) { return x86asm.New(), nil }, Quirks: x86asm.Quirks(), Modes: campaign.AllModes,
		}},
		Profile:     p,
		Modes:       campaign.AllModes,
		For:         limit,
		Seed:        seed,
		Jobs:        jobs,
		StopAtFirst: true,
		KeepLarge:   true,
		Message:     func(text string) { fmt.Fprintln(os.Stderr, text) },
	}
}
