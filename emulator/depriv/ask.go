package depriv

import (
	"encoding/binary"

	"github.com/seed-4e121ece/ringfence/emulator/depriv/wire"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// ask puts a question, which has been judged, to the Bus and records the answer,
// which it returns; nil if there is no room for an operand. wide holds the
// operands of the message that the question came in.
func (l *lane) ask(q *wire.Question, wide [][wire.WideSize]byte) *wire.Answer {
	r := &l.record
	r.Questions[r.N] = *q
	q = &r.Questions[r.N]
	a := &r.Answers[r.N]
	*a = wire.Answer{Kind: q.Kind, Digest: q.Digest()}
	l.event = x86.Event{}
	ev := &l.event
	var out step.Outcome
	switch q.Kind {
	case wire.AskFetch:
		out = l.fetch(q, a, ev)
	case wire.AskRead:
		a.V[0], out = l.bus.Read(q.Access(), ev)
	case wire.AskReadBytes:
		if r.NumWide == len(r.Wide) {
			return nil
		}
		out = l.bus.ReadBytes(q.Access(), r.Wide[r.NumWide][:q.Size], ev)
		r.NumWide++
		a.N = uint8(r.NumWide)
	case wire.AskProbe:
		out = l.bus.ProbeWrite(q.Access(), q.A, ev)
	case wire.AskProbeBytes:
		out = l.bus.ProbeWriteBytes(q.Access(), wide[q.Wide-1][:q.Size], ev)
	case wire.AskEnqueue:
		var zf bool
		zf, out = l.bus.EnqueueCommand(q.Access(), &wide[q.Wide-1], ev)
		a.OK = truth(zf)
	default:
		out = l.askRegister(q, a, ev)
	}
	a.Outcome = uint8(out)
	if out == step.Exception {
		a.Event = wire.PutEvent(ev)
	}
	r.N++
	return a
}

func truth(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

// fetch fetches up to 15 bytes, or validates a target.
func (l *lane) fetch(q *wire.Question, a *wire.Answer, ev *x86.Event) step.Outcome {
	code := &l.code
	*code = [16]byte{}
	n, out := l.bus.Fetch(q.Offset, code[:min(q.A, 15)], ev)
	a.N = uint8(max(0, min(n, 15)))
	a.V[0], a.V[1] = binary.LittleEndian.Uint64(code[:]), binary.LittleEndian.Uint64(code[8:])
	return out
}

// askRegister asks what is not about memory.
func (l *lane) askRegister(q *wire.Question, a *wire.Answer, ev *x86.Event) (out step.Outcome) {
	switch q.Kind {
	case wire.AskReadPort:
		var v uint32
		v, out = l.bus.ReadPort(uint16(q.Offset), q.Size, ev)
		a.V[0] = uint64(v)
	case wire.AskReadSegment:
		var s x86.SegmentRegister
		s, out = l.bus.ReadSegment(x86.Segment(q.Offset), ev)
		v := wire.PutSegment(&s)
		a.V[0], a.V[1], a.V[2] = v[0], v[1], v[2]
	case wire.AskReadControl:
		a.V[0], out = l.bus.ReadControl(uint8(q.Offset), ev)
	case wire.AskReadDebug:
		a.V[0], out = l.bus.ReadDebug(uint8(q.Offset), ev)
	case wire.AskReadXCR:
		a.V[0], out = l.bus.ReadXCR(uint32(q.Offset), ev)
	case wire.AskReadMSR:
		a.V[0], out = l.bus.ReadMSR(uint32(q.Offset), ev)
	case wire.AskCPUID:
		var v [4]uint32
		v, out = l.bus.CPUID(uint32(q.Offset), uint32(q.A), ev)
		for i := range v {
			a.V[i] = uint64(v[i])
		}
	case wire.AskValidate:
		out = l.bus.Validate(uint16(q.Offset), uint8(q.A), ev)
	case wire.AskRandom:
		var ok bool
		a.V[0], ok, out = l.bus.Random(q.Size, q.A != 0, ev)
		a.OK = truth(ok)
	case wire.AskVMFunc:
		out = l.bus.VMFunc(uint32(q.Offset), uint32(q.A), ev)
	default:
		out = step.Unhandleable
	}
	return out
}
