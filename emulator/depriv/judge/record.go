// Package judge decides what a worker behind the wall may ask and may do. It
// treats every reply as hostile and never decodes an instruction: authority
// follows the privilege level before the step. At CPL 3 that is what user code
// could do to its own virtual CPU by itself; more needs CPL 0.
//
// A reply is judged against the Record of the step, which the caller wrote: the
// state before, what was asked of the Bus and what the Bus answered. So a write
// counts only where the Bus has allowed one at that address in this step, a
// page fault only if the Bus has raised it, a segment only as its descriptor
// says.
//
// What the judge cannot see is a wrong result within that authority: a worker
// can compute 1 + 1 = 3, or hand one register's value to another.
package judge

import (
	"errors"
	"fmt"

	"github.com/seed-4e121ece/ringfence/emulator/depriv/wire"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// ErrRefused is wrapped by every error about the content of a reply.
var ErrRefused = errors.New("refused")

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrRefused, fmt.Sprintf(format, args...))
}

// Record is what the caller knows of a step in progress.
type Record struct {
	// State is the state before the step.
	State *x86.State
	// Hooks are those that the Bus offers.
	Hooks step.Hooks
	// VirtualBits is the width of a canonical address.
	VirtualBits uint8
	// Questions[:N] have been asked, and answered by Answers[:N].
	N         int
	Questions [wire.MaxAnswers]wire.Question
	Answers   [wire.MaxAnswers]wire.Answer
	// Wide[:NumWide] are the operands over eight bytes that were answered.
	NumWide int
	Wide    [wire.MaxWide][wire.WideSize]byte
}

// Start makes the record one of a step that has asked nothing yet.
func (r *Record) Start(state *x86.State, hooks step.Hooks, virtualBits uint8) {
	r.State, r.Hooks, r.VirtualBits = state, hooks, virtualBits
	r.N, r.NumWide = 0, 0
}

// canonical says whether the bits above those that are translated repeat the
// highest of them.
func (r *Record) canonical(v uint64) bool {
	n := 64 - r.VirtualBits
	return uint64(int64(v<<n)>>n) == v
}

// find returns the last answered question that the condition holds for, or -1.
func (r *Record) find(is func(q *wire.Question, a *wire.Answer) bool) int {
	for i := r.N - 1; i >= 0; i-- {
		if is(&r.Questions[i], &r.Answers[i]) {
			return i
		}
	}
	return -1
}

// okay says that the Bus answered without objection.
func okay(a *wire.Answer) bool { return step.Outcome(a.Outcome) == step.Okay }

// readSegment returns what the Bus answered about a segment register.
func (r *Record) readSegment(s x86.Segment) (x86.SegmentRegister, bool) {
	i := r.find(func(q *wire.Question, a *wire.Answer) bool {
		return q.Kind == wire.AskReadSegment && q.Offset == uint64(s) && okay(a)
	})
	if i < 0 {
		return x86.SegmentRegister{}, false
	}
	v := &r.Answers[i].V
	return wire.GetSegment(v[0], v[1], v[2]), true
}

// systemRead returns what the Bus answered about a descriptor table or the TSS.
func (r *Record) systemRead(s x86.Segment, offset uint64, size uint8) (uint64, bool) {
	i := r.find(func(q *wire.Question, a *wire.Answer) bool {
		return q.Kind == wire.AskRead && step.Intent(q.Intent) == step.IntentSystem && x86.Segment(q.Segment) == s &&
			q.Offset == offset && q.Size == size && okay(a)
	})
	if i < 0 {
		return 0, false
	}
	return r.Answers[i].V[0], true
}

// ioplAllows says that the privilege level is at most IOPL.
func (r *Record) ioplAllows() bool {
	return r.State.CPL <= uint8(x86.Flags(r.State.RFLAGS)&x86.IOPL>>12)
}

// portAllowed says whether the guest may use a port: by IOPL, or by the I/O
// permission bitmap as the Bus has shown it in this step (SDM vol. 1, 19.5.2).
func (r *Record) portAllowed(port uint64, size uint8) bool {
	if port > 0xffff || size != 1 && size != 2 && size != 4 {
		return false
	}
	if r.State.Mode == x86.Real || r.State.Mode != x86.VM86 && r.ioplAllows() {
		return true
	}
	task, ok := r.readSegment(x86.TR)
	if !ok || task.Attributes&(x86.AttrUnusable|x86.AttrS) != 0 || task.Attributes&x86.AttrPresent == 0 {
		return false
	}
	base, ok := r.systemRead(x86.TR, 0x66, 2)
	if !ok {
		return false
	}
	bitmap, ok := r.systemRead(x86.TR, base&0xffff+port>>3, 2)
	return ok && bitmap>>(port&7)&(1<<size-1) == 0
}
