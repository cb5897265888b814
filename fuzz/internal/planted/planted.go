// Package planted wraps an executor and makes it wrong in a known way, so that
// tests can show that what finds, shrinks and records divergences does so.
package planted

import (
	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// Flaw changes the result of a case whose instruction is in. It may panic.
type Flaw func(c *oracle.Case, in *decode.Inst, r *oracle.Result)

// Executor is an executor with a flaw.
type Executor struct {
	oracle.Executor
	profile *isa.Profile
	flaw    Flaw
	in      decode.Inst
}

// New wraps an executor.
func New(e oracle.Executor, p *isa.Profile, flaw Flaw) *Executor {
	return &Executor{Executor: e, profile: p, flaw: flaw}
}

// Run implements oracle.Executor.
func (e *Executor) Run(cases []oracle.Case, results []oracle.Result) error {
	if err := e.Executor.Run(cases, results); err != nil {
		return err
	}
	for i := range cases {
		c := &cases[i]
		if decode.Decode(&e.in, c.CodeBytes(), c.State.Mode, e.profile) == decode.Valid {
			e.flaw(c, &e.in, &results[i])
		}
	}
	return nil
}

// FlipAF flips AF after an instruction that retired.
func FlipAF(m isa.Mnemonic) Flaw {
	return func(_ *oracle.Case, in *decode.Inst, r *oracle.Result) {
		if isa.Get(in.Row).Mnemonic == m && r.Outcome == step.Okay {
			r.State.RFLAGS ^= uint64(x86.AF)
		}
	}
}

// CarryLost makes an instruction of 64 bits with carry in and RAX above 2^32
// lose a bit of its result: it needs a prefix, a flag and a value.
func CarryLost(m isa.Mnemonic) Flaw {
	return func(c *oracle.Case, in *decode.Inst, r *oracle.Result) {
		if isa.Get(in.Row).Mnemonic == m && in.OpSize == 8 && r.Outcome == step.Okay &&
			c.State.RFLAGS&uint64(x86.CF) != 0 && c.State.GPR[x86.RAX]>>32 != 0 {
			r.State.RFLAGS ^= uint64(x86.CF)
		}
	}
}

// Panic panics on the instruction.
func Panic(m isa.Mnemonic) Flaw {
	return func(_ *oracle.Case, in *decode.Inst, _ *oracle.Result) {
		if isa.Get(in.Row).Mnemonic == m {
			panic("planted")
		}
	}
}

// Hang never returns from the instruction.
func Hang(m isa.Mnemonic) Flaw {
	return func(_ *oracle.Case, in *decode.Inst, _ *oracle.Result) {
		if isa.Get(in.Row).Mnemonic == m {
			select {}
		}
	}
}
