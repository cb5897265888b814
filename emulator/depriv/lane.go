package depriv

import (
	"errors"
	"fmt"

	"github.com/seed-4e121ece/ringfence/emulator/depriv/judge"
	"github.com/seed-4e121ece/ringfence/emulator/depriv/wire"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// lane is one request in hand: the step of one virtual CPU, from its first
// crossing until its effects are there.
type lane struct {
	record judge.Record
	bus    step.Bus
	fx     *step.Effects
	vcpu   uint32
	// space is the address space of the window.
	space uint32
	// inst is the instruction to go on with, valid if resume is set.
	inst   wire.Inst
	resume bool
	// sequence is that of the last request.
	sequence uint32
	// waiting says that the worker is in the middle of the step and has only to
	// be given the last answer (hooks).
	waiting bool
	done    bool
	lost    int // workers that this request has cost
	err     error
	// event and code are what the Bus fills.
	event x86.Event
	code  [16]byte
}

// errMalformed is a reply that does not fit its request.
var errMalformed = errors.New("reply that does not fit the request")

// repeats are the hooks that do not cross: each iteration of a string
// instruction is a step.
const repeats = step.HookRepeatIn | step.HookRepeatOut | step.HookRepeatMove | step.HookRepeatStore

// start begins a step.
func (l *lane) start(r *Request, bits uint8, p Protocol) {
	l.bus, l.fx, l.vcpu, l.space = r.Bus, r.Fx, r.VCPU, r.Space
	l.waiting, l.done, l.lost, l.err = false, false, 0, nil
	l.record.Start(r.State, r.Bus.Hooks()&^repeats, bits)
	l.resume = r.Fx.Resume
	if l.resume {
		wire.PutInst(&l.inst, &r.Fx.Inst)
	}
	l.begin(p)
}

// begin asks what every step asks first.
func (l *lane) begin(p Protocol) {
	l.record.N, l.record.NumWide = 0, 0
	l.bus.Begin()
	if p != Hooks && !l.resume {
		l.ask(&wire.Question{Kind: wire.AskFetch, Offset: l.record.State.RIP, A: 15}, nil)
	}
}

// again prepares a request that its worker has not answered for another. What
// the Bus has answered stays, so that no device is asked twice, unless the worker
// may have asked it out of malice and no harm is done by asking otherwise.
func (l *lane) again(p Protocol, malice bool) {
	l.waiting = false
	l.lost++
	if !malice {
		return
	}
	for i := range l.record.Questions[:l.record.N] {
		switch l.record.Questions[i].Kind {
		case wire.AskFetch, wire.AskProbe, wire.AskProbeBytes, wire.AskReadSegment, wire.AskReadControl, wire.AskValidate:
		default:
			return
		}
	}
	l.begin(p)
}

// write writes the request and returns whether it fits.
func (l *lane) write(b []byte, p Protocol) {
	r := wire.NewRequest(b)
	*r = wire.Request{Sequence: l.sequence, Kind: wire.RequestStep, Protocol: uint8(p), VCPU: l.vcpu, Space: l.space, Hooks: uint32(l.record.Hooks)}
	rec := &l.record
	if l.waiting {
		last := rec.Answers[rec.N-1 : rec.N]
		r.Kind = wire.RequestAnswer
		if last[0].N != 0 && last[0].Kind != wire.AskFetch { // its operand is the only one of the message
			one := last[0]
			one.N = 1
			wire.FinishRequest(b, nil, []wire.Answer{one}, rec.Wide[rec.NumWide-1:rec.NumWide])
			return
		}
		wire.FinishRequest(b, nil, last, nil)
		return
	}
	r.PutState(rec.State)
	var inst *wire.Inst
	if l.resume {
		r.Flags = wire.FlagResume
		inst = &l.inst
	}
	wire.FinishRequest(b, inst, rec.Answers[:rec.N], rec.Wide[:rec.NumWide])
}

// read takes a reply in. The lane is done after it, or is to cross again. An
// error means that the worker is not to be trusted any more; the lane is as it
// was, but that more may have been asked.
func (l *lane) read(v *wire.ReplyView, p Protocol) error {
	switch {
	case v.Sequence != l.sequence:
		return fmt.Errorf("%w: sequence number %d, want %d", errMalformed, v.Sequence, l.sequence)
	case v.Kind == wire.ReplyNeed && (len(v.Questions) == 0 || len(v.Ops) != 0 || v.GPRDirty != 0):
		return fmt.Errorf("%w: it asks %d questions and has effects", errMalformed, len(v.Questions))
	case v.Kind != wire.ReplyNeed && v.Kind != wire.ReplyEffects:
		return fmt.Errorf("%w: kind %d", errMalformed, v.Kind)
	case p == Hooks && (v.Kind == wire.ReplyNeed) != (len(v.Questions) == 1):
		return fmt.Errorf("%w: kind %d with %d questions", errMalformed, v.Kind, len(v.Questions))
	}
	for i := range v.Questions {
		q := &v.Questions[i]
		if l.record.N == wire.MaxAnswers {
			return fmt.Errorf("%w: more than %d questions", errMalformed, wire.MaxAnswers)
		}
		if q.Kind&wire.Done != 0 && p == WindowWrite && v.Kind == wire.ReplyEffects {
			if err := l.noted(q, len(v.Wide)); err != nil {
				return err
			}
			continue
		}
		open := v.Kind == wire.ReplyNeed && i == len(v.Questions)-1
		if !open && !judge.MayAssume(q.Kind) {
			return fmt.Errorf("%w: question of kind %d with an assumed answer", errMalformed, q.Kind)
		}
		if err := l.record.Question(q, len(v.Wide)); err != nil {
			return err
		}
		a := l.ask(q, v.Wide)
		if a == nil {
			return fmt.Errorf("%w: more than %d operands over eight bytes", errMalformed, wire.MaxWide)
		}
		if open {
			l.waiting = p == Hooks
			return nil
		}
		if !l.asAssumed(q, a, v.Wide) {
			l.waiting = false
			return nil
		}
	}
	if err := l.record.Effects(v); err != nil {
		return err
	}
	l.fill(v)
	l.done = true
	return nil
}

// noted takes down an access that the worker has carried out in its window: for
// the log of accesses. It gives leave to nothing.
func (l *lane) noted(q *wire.Question, wide int) error {
	r := &l.record
	is := *q
	is.Kind &^= wire.Done
	switch is.Kind {
	case wire.AskRead, wire.AskReadBytes, wire.AskProbe, wire.AskProbeBytes:
	default:
		return fmt.Errorf("%w: question of kind %d that was answered by the worker", errMalformed, is.Kind)
	}
	if err := r.Question(&is, wide); err != nil {
		return err
	}
	r.Questions[r.N], r.Answers[r.N] = *q, wire.Answer{Kind: q.Kind}
	r.N++
	return nil
}

// asAssumed says whether the Bus answered what the worker assumed.
func (l *lane) asAssumed(q *wire.Question, a *wire.Answer, wide [][wire.WideSize]byte) bool {
	if step.Outcome(a.Outcome) != step.Okay {
		return false
	}
	switch q.Kind {
	case wire.AskRead:
		return a.V[0] == q.Assumed
	case wire.AskReadBytes:
		n := q.Size
		return string(wide[q.Wide-1][:n]) == string(l.record.Wide[a.N-1][:n])
	}
	return true
}

// fill hands the effects over to the caller. They have been judged.
func (l *lane) fill(v *wire.ReplyView) {
	fx := l.fx
	fx.Outcome, fx.Retire = step.Outcome(v.Outcome), step.Retire(v.Retire)
	fx.Event = v.Event.Get()
	fx.GPRDirty = v.GPRDirty
	for dirty, n, i := v.GPRDirty, 0, 0; dirty != 0; dirty, n = dirty>>1, n+1 {
		if dirty&1 != 0 {
			fx.GPR[n] = v.GPR[i]
			i++
		}
	}
	fx.FlagsDirty = v.Flags&wire.FlagRFLAGS != 0
	fx.Again, fx.Partial, fx.Resume = v.Flags&wire.FlagAgain != 0, v.Flags&wire.FlagPartial != 0, false
	fx.FPUDirty = 0
	fx.RIP, fx.RFLAGS = v.RIP, v.RFLAGS
	wire.GetInst(&fx.Inst, &v.Inst)
	fx.NumOps, fx.NumWide = uint8(len(v.Ops)), 0
	for i := range v.Ops {
		getOp(&fx.Ops[i], &v.Ops[i])
		if o := &fx.Ops[i]; o.Kind == step.OpWriteWide {
			fx.Wide[o.Index] = v.Wide[o.Index]
			fx.NumWide = max(fx.NumWide, uint8(o.Index)+1)
		}
	}
	l.logAccesses()
}

func getOp(op *step.Op, o *wire.Op) {
	op.Kind, op.Index = step.OpKind(o.Kind), o.Index
	op.Access = o.Access()
	op.Value, op.Old = o.Value, o.Old
	if op.Kind == step.OpWriteSegment {
		op.Segment = wire.GetSegment(o.Value[0], o.Value[1], o.Old[0])
	}
}

// logAccesses fills in the log of accesses: what the Bus was asked, which the
// caller knows for itself.
func (l *lane) logAccesses() {
	n := 0
	for i := range l.record.Questions[:l.record.N] {
		q := &l.record.Questions[i]
		switch q.Kind &^ wire.Done {
		case wire.AskRead, wire.AskReadBytes, wire.AskProbe, wire.AskProbeBytes, wire.AskEnqueue:
			if n < step.MaxAccesses {
				l.fx.Accesses[n] = q.Access()
				n++
			}
		}
	}
	l.fx.NumAccesses = uint8(n)
}

// fail gives the request up.
func (l *lane) fail(err error) {
	l.err, l.done = err, true
	fx := l.fx
	fx.Outcome, fx.Retire, fx.Event = step.Unhandleable, 0, x86.Event{}
	fx.GPRDirty, fx.FlagsDirty, fx.FPUDirty = 0, false, 0
	fx.NumOps, fx.NumAccesses, fx.NumWide = 0, 0, 0
	fx.Again, fx.Resume, fx.Partial = false, false, false
	fx.Inst.Row = 0
}
