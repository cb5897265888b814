// Package step holds the vocabulary of one emulated instruction: what may be
// asked of the hypervisor (Bus), what comes out (Effects) and how it ended
// (Outcome). Package emulator offers these names to callers; they stand here
// so that exec can use them without importing the emulator that calls it.
package step

import (
	"fmt"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// Outcome is how a step, or a hook, ended. The names are Xen's
// (X86EMUL_OKAY …).
type Outcome uint8

// The outcomes. Done and CmpxchgFailed are inside outcomes: they never leave
// Step or Apply.
const (
	Okay Outcome = iota
	Unhandleable
	Exception
	Retry
	Done
	Unimplemented
	CmpxchgFailed
)

var outcomeNames = [...]string{"okay", "unhandleable", "exception", "retry", "done", "unimplemented", "cmpxchg_failed"}

// String returns the name of the case schema, as "okay".
func (o Outcome) String() string {
	if int(o) < len(outcomeNames) {
		return outcomeNames[o]
	}
	return fmt.Sprintf("Outcome(%d)", uint8(o))
}

// ParseOutcome returns the outcome of that name.
func ParseOutcome(name string) (Outcome, error) {
	for i, n := range outcomeNames {
		if n == name {
			return Outcome(i), nil
		}
	}
	return 0, fmt.Errorf("outcome %q: want one of %v", name, outcomeNames)
}

// Retire is a set of things that the caller must know of a retired
// instruction (Xen: struct x86_emulate_ctxt.retire).
type Retire uint8

// The retire flags.
const (
	RetireHLT Retire = 1 << iota
	RetireMovSS
	RetireSTI
	RetireUnblockNMI
	RetireSingleStep
)

// String returns the names of the flags that are set, as "hlt sti".
func (r Retire) String() string {
	s := ""
	for i, n := range [...]string{"hlt", "mov_ss", "sti", "unblock_nmi", "singlestep"} {
		if r&(1<<i) != 0 {
			if s != "" {
				s += " "
			}
			s += n
		}
	}
	return s
}

// Answer turns what a hook answered into an outcome that may leave a step. An
// inside outcome, or an exception without an event, is a broken hook: the
// instruction cannot be handled.
func Answer(out Outcome, ev *x86.Event) Outcome {
	switch {
	case out == Okay, out == Retry, out == Exception && ev.Type != x86.EventNone:
		return out
	}
	return Unhandleable
}
