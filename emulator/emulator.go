// Package emulator executes one x86 instruction at a time for a hypervisor:
// fetch, decode, check, execute, retire. A step asks questions of a Bus and
// stages its answer as Effects; it changes nothing. Effects.Apply then makes
// it happen.
//
//	out := e.Step(&state, bus, &fx)
//	if out == emulator.Okay {
//		out = fx.Apply(&state, bus)
//	}
//
// The interface and the coverage are those of Xen's x86_emulate, the meaning
// of instructions is the CPU's.
package emulator

import (
	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/exec"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// The vocabulary of a step; see package step.
type (
	Bus     = step.Bus
	Effects = step.Effects
	Outcome = step.Outcome
	Access  = step.Access
	Intent  = step.Intent
	Hooks   = step.Hooks
	Retire  = step.Retire
	Op      = step.Op
	Repeat  = step.Repeat
	Absent  = step.Absent
)

// The outcomes; see package step.
const (
	Okay          = step.Okay
	Unhandleable  = step.Unhandleable
	Exception     = step.Exception
	Retry         = step.Retry
	Unimplemented = step.Unimplemented
)

// Stepper emulates one instruction, or one iteration of a repeated one.
//
// Step is a function of the state and of the Bus's answers: the same answers
// give the same questions in the same order, and the same Effects. It reads
// no other field of fx than Resume (and with it Inst and Again) and leaves
// Resume clear. It returns fx.Outcome. A Stepper is used by one goroutine at
// a time.
type Stepper interface {
	Step(state *x86.State, bus Bus, fx *Effects) Outcome
}

// Emulator is the Stepper of this module.
type Emulator struct {
	context exec.Context
	profile *isa.Profile
	fetch   [decode.MaxLength]byte
}

var _ Stepper = (*Emulator)(nil)

// Option changes how an Emulator works.
type Option func(*Emulator)

// ForceWriteback makes a memory destination be written although the
// instruction leaves it as it was (a shift by 0, a failed CMPXCHG).
func ForceWriteback() Option {
	return func(e *Emulator) { e.context.ForceWriteback = true }
}

// New returns an emulator of the CPU that p describes, for a Bus that offers
// the hooks. A method of the Bus whose hook is not among them is never called.
func New(p *isa.Profile, hooks Hooks, options ...Option) *Emulator {
	e := &Emulator{profile: p}
	e.context.Profile = p
	e.context.Hooks = hooks
	for _, o := range options {
		o(e)
	}
	return e
}

// Reset forgets what earlier steps have left behind, and makes e an emulator for
// a Bus that offers the hooks: what is due before a step of another virtual CPU
// that must not learn of the one before.
func (e *Emulator) Reset(hooks Hooks) {
	force := e.context.ForceWriteback
	*e = Emulator{profile: e.profile}
	e.context.Profile, e.context.Hooks, e.context.ForceWriteback = e.profile, hooks, force
}

// Step emulates the instruction at state.RIP, or, with fx.Resume, goes on with
// the repeated instruction in fx.Inst.
func (e *Emulator) Step(state *x86.State, bus Bus, fx *Effects) Outcome {
	resume := fx.Resume
	reset(fx)
	bus.Begin()
	if !resume {
		if out := e.decode(state, bus, fx); out != Okay {
			return finish(fx, out)
		}
	}
	c := &e.context
	c.State, c.Bus, c.Fx = state, bus, fx
	out := c.Execute()
	if out == Okay {
		fx.Event = x86.Event{}
		fx.Outcome = Okay
		return Okay
	}
	return finish(fx, out)
}

// reset makes every count and mask say "nothing".
func reset(fx *Effects) {
	fx.Retire = 0
	fx.Event = x86.Event{}
	fx.GPRDirty = 0
	fx.FlagsDirty = false
	fx.FPUDirty = 0
	fx.NumOps, fx.NumAccesses, fx.NumWide = 0, 0, 0
	fx.Again, fx.Resume, fx.Partial = false, false, false
}

// decode fetches and decodes. A fault of the fetch counts only if decoding
// needs the byte that it is about.
func (e *Emulator) decode(state *x86.State, bus Bus, fx *Effects) Outcome {
	n, out := bus.Fetch(state.RIP, e.fetch[:], &fx.Event)
	n = max(0, min(n, len(e.fetch)))
	reason := decode.Decode(&fx.Inst, e.fetch[:n], state.Mode, e.profile)
	if reason == decode.Truncated {
		if out = step.Answer(out, &fx.Event); out == Okay {
			return Unhandleable
		}
		return out
	}
	fx.Event = x86.Event{}
	switch reason {
	case decode.Valid:
		return Okay
	case decode.TooLong:
		fx.Event = x86.FaultCode(x86.VectorGP, 0)
	default:
		fx.Event = x86.Fault(x86.VectorUD)
	}
	return Exception
}

// finish ends a step that does not retire: what was staged goes, but for what
// the row leaves behind after a fault (rule 5). What retirement alone stages
// (flags, events to report, another iteration) is as reset left it.
func finish(fx *Effects, out Outcome) Outcome {
	fx.Outcome = out
	partial := isa.PartialNone
	if out == Exception {
		partial = exec.PartialOf(fx.Inst.Row)
	}
	switch partial {
	case isa.PartialRegisters:
		fx.GPRDirty &^= 1 << x86.RSP
	case isa.PartialIteration:
	default:
		fx.GPRDirty = 0
	}
	if partial != isa.PartialStack {
		fx.NumOps = 0
	}
	fx.Partial = fx.NumOps > 0 || fx.GPRDirty != 0
	if out != Exception {
		fx.Event = x86.Event{}
	}
	return out
}
