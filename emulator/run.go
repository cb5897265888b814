package emulator

import (
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// MaxRetries is how often Run steps again after RETRY before it gives up.
const MaxRetries = 8

// Run carries out one instruction: it steps and applies until the instruction
// has retired, a REP to its end or its fault, but at most limit iterations
// (0 means one), or what a Repeat hook adds to that at once. It returns the
// outcome and how many iterations were applied.
//
// With Okay and fx.Again set, the limit was reached first. With Retry, every
// attempt ended so. In every case fx describes the last iteration, and state
// and memory are as it left them.
func Run(s Stepper, state *x86.State, bus Bus, fx *Effects, limit int) (Outcome, int) {
	fx.Resume = false
	retries := 0
	for n := 0; ; {
		out := s.Step(state, bus, fx)
		if out == Okay || fx.Partial {
			out = fx.Apply(state, bus)
		}
		switch out {
		case Okay:
			n += fx.Iterations()
			if !fx.Again || n >= limit {
				return out, n
			}
			fx.Resume = true
		case Retry:
			if retries++; retries > MaxRetries {
				return out, n
			}
			fx.Resume = false
		default:
			return out, n
		}
	}
}

// Equal says whether two Effects stage the same, as far as counts and masks
// say that they are valid, and tells the first field that differs.
func Equal(a, b *Effects) (bool, string) { return step.Equal(a, b) }
