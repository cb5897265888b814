package judge

import (
	"github.com/seed-4e121ece/ringfence/emulator/depriv/wire"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// Effects says whether a reply's effects may be applied: nil, or why not. All
// questions of the reply have been asked and are in the record.
func (r *Record) Effects(v *wire.ReplyView) error {
	if int(v.Inst.Row) >= isa.NumRows {
		return refuse("row %d of %d", v.Inst.Row, isa.NumRows)
	}
	if err := r.outcome(v); err != nil {
		return err
	}
	for i := range v.Ops {
		if err := r.operation(&v.Ops[i], v); err != nil {
			return err
		}
	}
	if step.Outcome(v.Outcome) != step.Okay {
		return nil
	}
	if err := r.flags(v); err != nil {
		return err
	}
	return r.retired(v)
}

// outcome judges how the step ended: by the answers, and against what it stages.
func (r *Record) outcome(v *wire.ReplyView) error {
	out := step.Outcome(v.Outcome)
	staged := len(v.Ops) > 0 || v.GPRDirty != 0
	partial := v.Flags&wire.FlagPartial != 0
	switch out {
	case step.Okay:
		if partial {
			return refuse("partial effects of a step that retired")
		}
		if i := r.find(objects); i >= 0 {
			return refuse("retired although question %d was answered with %v", i, step.Outcome(r.Answers[i].Outcome))
		}
		return r.noEvent(v)
	case step.Exception:
		if staged != partial || v.Flags&^wire.FlagPartial != 0 || v.Retire != 0 {
			return refuse("exception with flags %#x, %d operations, registers %#x, retire flags %#x", v.Flags, len(v.Ops), v.GPRDirty, v.Retire)
		}
		return r.event(v)
	case step.Retry:
		if r.find(func(_ *wire.Question, a *wire.Answer) bool { return step.Outcome(a.Outcome) == step.Retry }) < 0 {
			return refuse("retry that no hook asked for")
		}
	case step.Unhandleable, step.Unimplemented:
	default:
		return refuse("outcome %d", v.Outcome)
	}
	if staged || v.Flags != 0 || v.Retire != 0 {
		return refuse("%v with flags %#x, %d operations, registers %#x", out, v.Flags, len(v.Ops), v.GPRDirty)
	}
	return r.noEvent(v)
}

// objects says that an answer ends the step. A fetch gives fewer bytes than
// asked for without that, and so does a descriptor beyond the limit of its table
// (an exception without an event), for which VERR and the like clear ZF.
func objects(q *wire.Question, a *wire.Answer) bool {
	beyond := step.Intent(q.Intent) == step.IntentSystem && step.Outcome(a.Outcome) == step.Exception && a.Event == (wire.Event{})
	return !okay(a) && !beyond && (q.Kind != wire.AskFetch || q.A == 0)
}

func (r *Record) noEvent(v *wire.ReplyView) error {
	if v.Event != (wire.Event{}) {
		return refuse("event of type %d without an exception", v.Event.Type)
	}
	return nil
}

// What an instruction raises by itself: exceptions, and which of them carry an
// error code. #PF and #AC come from the Bus alone.
const (
	raised = 1<<x86.VectorDE | 1<<x86.VectorBR | 1<<x86.VectorUD | 1<<x86.VectorNM | 1<<x86.VectorTS | 1<<x86.VectorNP | 1<<x86.VectorSS |
		1<<x86.VectorGP | 1<<x86.VectorMF | 1<<x86.VectorXM | 1<<x86.VectorCP
	withCode = 1<<x86.VectorTS | 1<<x86.VectorNP | 1<<x86.VectorSS | 1<<x86.VectorGP | 1<<x86.VectorCP
)

// event judges the event of an exception: one that the Bus has raised, or one
// that an instruction raises by itself.
func (r *Record) event(v *wire.ReplyView) error {
	e := &v.Event
	ok := false
	switch x86.EventType(e.Type) {
	case x86.EventFault:
		known := e.Vector < 32 && raised>>e.Vector&1 != 0
		ok = known && uint32(e.HasError) == withCode>>e.Vector&1 && e.ErrorCode <= 0xffff*uint32(e.HasError) && e.Address == 0 && e.Length == 0
	case x86.EventSoftwareInterrupt:
		ok = r.software(e)
	case x86.EventSoftwareException:
		ok = r.software(e) && (e.Vector == x86.VectorBP || e.Vector == x86.VectorOF)
	case x86.EventPrivSoftwareException:
		ok = r.software(e) && e.Vector == x86.VectorDB
	}
	if ok || r.find(func(_ *wire.Question, a *wire.Answer) bool {
		return step.Outcome(a.Outcome) == step.Exception && a.Event == *e
	}) >= 0 {
		return nil
	}
	return refuse("event %+v, which neither the Bus raised nor an instruction can", *e)
}

func (r *Record) software(e *wire.Event) bool {
	return e.HasError == 0 && e.ErrorCode == 0 && e.Address == 0 && e.Length >= 1 && e.Length <= 15
}

// flags judges RFLAGS: those may change that code of this privilege level can
// change (SDM vol. 2, POPF, IRET). Bits that are reserved stay as they are.
func (r *Record) flags(v *wire.ReplyView) error {
	if v.Flags&wire.FlagRFLAGS == 0 {
		return nil
	}
	may := x86.FlagsUser | x86.RF
	if r.ioplAllows() {
		may |= x86.IF
	}
	if r.State.CPL == 0 {
		may |= x86.IOPL | x86.VIF | x86.VIP
	}
	if changed := x86.Flags(v.RFLAGS ^ r.State.RFLAGS); changed&^may != 0 {
		return refuse("RFLAGS %#x from %#x at CPL %d: %v may not change", v.RFLAGS, r.State.RFLAGS, r.State.CPL, changed&^may)
	}
	return nil
}

// retired judges RIP and the retire flags of a step that retired.
func (r *Record) retired(v *wire.ReplyView) error {
	s := r.State
	long := s.Mode == x86.Long64
	stack := false
	for i := range v.Ops {
		if o := &v.Ops[i]; step.OpKind(o.Kind) == step.OpWriteSegment {
			switch x86.Segment(o.Index) {
			case x86.CS:
				long = wire.GetSegment(o.Value[0], 0, 0).Attributes&x86.AttrL != 0 && s.Mode >= x86.Compat16
			case x86.SS:
				stack = true
			}
		}
	}
	switch {
	case v.Flags&wire.FlagAgain != 0 && v.RIP != s.RIP:
		return refuse("RIP %#x with iterations left: want %#x", v.RIP, s.RIP)
	case !long && v.RIP > 0xffffffff:
		return refuse("RIP %#x outside 64-bit mode", v.RIP)
	case long && !r.canonical(v.RIP) && (v.RIP-s.RIP-1 >= 15 || !r.canonical(s.RIP)):
		// The last instruction of the canonical addresses runs into those that
		// are not: the next fetch faults.
		return refuse("RIP %#x is not canonical", v.RIP)
	}
	retire := step.Retire(v.Retire)
	may := step.RetireUnblockNMI
	if s.CPL == 0 {
		may |= step.RetireHLT
	}
	if r.ioplAllows() {
		may |= step.RetireSTI
	}
	if stack {
		may |= step.RetireMovSS
	}
	if x86.Flags(s.RFLAGS)&x86.TF != 0 {
		may |= step.RetireSingleStep
	}
	if retire&^may != 0 {
		return refuse("retire flags %v at CPL %d, may be %v", retire, s.CPL, may)
	}
	return nil
}
