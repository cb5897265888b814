// Package worker is the far side of the wall: it answers requests with the
// emulator. It holds no privilege and needs none; the process around it is the
// business of package depriv.
package worker

import (
	"fmt"

	"github.com/seed-4e121ece/ringfence/emulator"
	"github.com/seed-4e121ece/ringfence/emulator/depriv/wire"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// Worker answers requests. It allocates nothing once it is made, and is used by
// one goroutine at a time.
type Worker struct {
	emulator *emulator.Emulator
	fx       step.Effects
	state    x86.State
	bus      bus
	request  wire.RequestView
	ops      [wire.MaxOps]wire.Op
	vcpu     uint32
	hooks    step.Hooks
}

// Cross hands over the reply of that length and returns the request that
// follows; nil when there is none any more.
type Cross func(length int) []byte

// New returns a worker that emulates the CPU that p describes. memory is the
// guest's, for the protocols with a window; nil without.
func New(p *isa.Profile, memory *Window, options ...emulator.Option) *Worker {
	w := &Worker{emulator: emulator.New(p, 0, options...)}
	w.bus.window = memory
	return w
}

// Answer writes the reply to a request into rep, which has room for the longest,
// and returns its length. cross is needed for ProtocolHooks alone. alive is
// false if the worker must not be used any more: the reply then tells why.
func (w *Worker) Answer(req, rep []byte, cross Cross) (n int, alive bool) {
	defer func() {
		if p := recover(); p != nil {
			n, alive = fail(rep, w.request.Sequence, fmt.Sprintf("panic: %v%s", p, where())), false
		}
	}()
	return w.answer(req, rep, cross)
}

// fail writes a reply of kind ReplyFailed.
func fail(rep []byte, sequence uint32, note string) int {
	*wire.NewReply(rep) = wire.Reply{Sequence: sequence}
	return wire.FinishFailure(rep, note)
}

func (w *Worker) answer(req, rep []byte, cross Cross) (int, bool) {
	v := &w.request
	if err := wire.ParseRequest(req, v); err != nil {
		return fail(rep, 0, err.Error()), false
	}
	if v.Kind == wire.RequestEcho {
		*wire.NewReply(rep) = wire.Reply{Sequence: v.Sequence, Kind: wire.ReplyEcho}
		return wire.FinishReply(rep, nil, nil, nil, nil), true
	}
	if v.Kind != wire.RequestStep || v.Protocol > wire.ProtocolWindowWrite || v.Mode > uint8(x86.Long64) {
		return fail(rep, v.Sequence, fmt.Sprintf("request of kind %d, protocol %d, mode %d", v.Kind, v.Protocol, v.Mode)), false
	}
	hooks := step.Hooks(v.Hooks)
	if v.VCPU != w.vcpu || hooks != w.hooks {
		w.wipe(v.VCPU, hooks)
	}
	v.State(&w.state)
	w.bus.start(v, rep, cross)
	w.fx.Resume = false
	if v.Inst != nil {
		wire.GetInst(&w.fx.Inst, v.Inst)
		if w.fx.Inst.Row == 0 || int(w.fx.Inst.Row) >= isa.NumRows {
			return fail(rep, v.Sequence, fmt.Sprintf("row %d to go on with", w.fx.Inst.Row)), false
		}
		w.fx.Resume, w.fx.Again = true, true
	}
	sequence := v.Sequence
	w.emulator.Step(&w.state, &w.bus, &w.fx)
	if w.bus.fault != "" {
		return fail(rep, sequence, w.bus.fault), false
	}
	if w.bus.sequence != 0 {
		sequence = w.bus.sequence
	}
	if !w.bus.missing {
		w.bus.commit(&w.fx)
	}
	return w.reply(rep, sequence), true
}

// wipe forgets the virtual CPU that the worker served before.
func (w *Worker) wipe(vcpu uint32, hooks step.Hooks) {
	w.vcpu, w.hooks = vcpu, hooks
	w.emulator.Reset(hooks)
	w.fx = step.Effects{}
	w.state = x86.State{}
	w.bus = bus{window: w.bus.window}
	w.ops = [wire.MaxOps]wire.Op{}
}

// reply writes what came out of the step.
func (w *Worker) reply(rep []byte, sequence uint32) int {
	r := wire.NewReply(rep)
	if w.bus.missing {
		*r = wire.Reply{Sequence: sequence, Kind: wire.ReplyNeed}
		return wire.FinishReply(rep, nil, w.bus.asked(), nil, w.bus.wide[:w.bus.numWide])
	}
	fx := &w.fx
	*r = wire.Reply{
		Sequence: sequence, Kind: wire.ReplyEffects, Outcome: uint8(fx.Outcome), Retire: uint8(fx.Retire), GPRDirty: fx.GPRDirty,
		Event: wire.PutEvent(&fx.Event), RIP: fx.RIP, RFLAGS: fx.RFLAGS,
	}
	if fx.FlagsDirty {
		r.Flags |= wire.FlagRFLAGS
	}
	if fx.Again {
		r.Flags |= wire.FlagAgain
	}
	if fx.Partial {
		r.Flags |= wire.FlagPartial
	}
	wire.PutInst(&r.Inst, &fx.Inst)
	// The operands that are written come first among those of the message, so
	// that an operation's index is its operand's.
	wide := w.bus.wide[:0]
	if fx.NumWide > 0 || w.bus.numWide > 0 {
		wide = w.bus.putWide(fx)
	}
	for i := range fx.Ops[:fx.NumOps] {
		putOp(&w.ops[i], &fx.Ops[i])
	}
	return wire.FinishReply(rep, &fx.GPR, w.bus.asked(), w.ops[:fx.NumOps], wide)
}

func putOp(o *wire.Op, op *step.Op) {
	*o = wire.Op{Kind: uint8(op.Kind), Index: op.Index}
	switch op.Kind {
	case step.OpWriteSegment:
		v := wire.PutSegment(&op.Segment)
		o.Value[0], o.Value[1], o.Old[0] = v[0], v[1], v[2]
		return
	case step.OpWriteWide:
		o.Wide = uint8(op.Index) + 1
		o.PutAccess(&op.Access)
		return
	case step.OpCompareExchange:
		o.Old = op.Old
		o.Value = op.Value
		if op.Access.Size <= 8 {
			o.Old[1], o.Value[1] = 0, 0
		}
		o.PutAccess(&op.Access)
		return
	case step.OpWrite, step.OpWritePort, step.OpWriteControl, step.OpWriteDebug, step.OpWriteXCR:
		o.Value[0] = op.Value[0]
	case step.OpWriteMSR, step.OpTLB:
		o.Value = op.Value
	}
	switch op.Kind {
	case step.OpWrite, step.OpWritePort, step.OpCache:
		o.PutAccess(&op.Access)
	}
}
