package worker

import (
	"encoding/binary"
	"fmt"

	"github.com/seed-4e121ece/ringfence/emulator/depriv/wire"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// bus answers the emulator's questions from the request. Where the request's
// answers end, it assumes that what can only be refused is not (the caller
// asks all the same, before it applies anything), takes what a window shows,
// and else ends the step, so that the caller is asked. With ProtocolHooks each
// question crosses at once.
type bus struct {
	step.Absent

	protocol uint8
	answers  []wire.Answer
	given    [][wire.WideSize]byte
	at       int
	// missing says that the last of questions has no answer yet.
	missing bool
	// probed says that the step has staged a write, which later reads must see:
	// only the caller knows its bytes.
	probed    bool
	questions [wire.MaxAnswers]wire.Question
	num       int
	wide      [wire.MaxWide][wire.WideSize]byte
	numWide   int
	// fault tells why the step cannot go on at all.
	fault string

	state  *wire.Request
	window *Window
	// space is the address space of the request in hand; nil without a window.
	space *Space

	// Of ProtocolHooks: where the reply goes, how it crosses, and the sequence
	// number of the request in hand.
	rep      []byte
	cross    Cross
	next     wire.RequestView
	sequence uint32
}

var _ step.Bus = (*bus)(nil)

// start prepares for a step.
func (b *bus) start(v *wire.RequestView, rep []byte, cross Cross) {
	b.protocol = v.Protocol
	b.answers, b.given = v.Answers, v.Wide
	b.at, b.num, b.numWide = 0, 0, 0
	b.missing, b.probed, b.fault = false, false, ""
	b.state, b.rep, b.cross, b.sequence = v.Request, rep, cross, 0
	b.space = b.window.Space(v.Space)
}

// asked are the questions without an answer in the request.
func (b *bus) asked() []wire.Question { return b.questions[:b.num] }

// ask returns the answer to a question, or nil if there is none: then, with
// assume, it is taken to be okay, else the step ends.
func (b *bus) ask(q *wire.Question, assume bool) *wire.Answer {
	if b.missing || b.fault != "" {
		return nil
	}
	if b.at < len(b.answers) {
		a := &b.answers[b.at]
		if a.Kind != q.Kind || a.Digest != q.Digest() {
			b.fault = fmt.Sprintf("question %d is of kind %d about %#x, and the answer, of kind %d, is to another", b.at, q.Kind, q.Offset, a.Kind)
			return nil
		}
		b.at++
		return a
	}
	if b.num == len(b.questions) || b.at+b.num >= wire.MaxAnswers {
		b.fault = fmt.Sprintf("more than %d questions in one step", wire.MaxAnswers)
		return nil
	}
	b.questions[b.num] = *q
	b.num++
	if b.protocol == wire.ProtocolHooks {
		return b.askNow()
	}
	b.missing = !assume
	return nil
}

// askNow crosses for the question that was noted last.
func (b *bus) askNow() *wire.Answer {
	sequence := b.state.Sequence
	if b.sequence != 0 {
		sequence = b.sequence
	}
	*wire.NewReply(b.rep) = wire.Reply{Sequence: sequence, Kind: wire.ReplyNeed}
	n := wire.FinishReply(b.rep, nil, b.asked(), nil, b.wide[:b.numWide])
	b.num, b.numWide = 0, 0
	req := b.cross(n)
	if req == nil {
		b.fault = "no answer"
		return nil
	}
	v := &b.next
	if err := wire.ParseRequest(req, v); err != nil {
		b.fault = err.Error()
		return nil
	}
	if v.Kind != wire.RequestAnswer || len(v.Answers) != 1 {
		b.fault = fmt.Sprintf("request of kind %d with %d answers while a question waits for its answer", v.Kind, len(v.Answers))
		return nil
	}
	b.sequence = v.Sequence
	b.given = v.Wide
	return &v.Answers[0]
}

// end turns an answer, or its absence, into what a hook returns.
func (b *bus) end(a *wire.Answer, ev *x86.Event, assume bool) step.Outcome {
	if a == nil {
		if assume && !b.missing && b.fault == "" {
			return step.Okay
		}
		return step.Unhandleable
	}
	out := step.Outcome(a.Outcome)
	if out == step.Exception {
		*ev = a.Event.Get()
	}
	return out
}

// putData puts an operand over eight bytes into the message and returns its
// number for a question.
func (b *bus) putData(data []byte) uint8 {
	if b.numWide == len(b.wide) {
		b.fault = fmt.Sprintf("more than %d operands over eight bytes", len(b.wide))
		return 0
	}
	copy(b.wide[b.numWide][:], data)
	b.numWide++
	return uint8(b.numWide)
}

// getData fills buf with the operand of an answer.
func (b *bus) getData(a *wire.Answer, buf []byte) {
	if a.N == 0 || int(a.N) > len(b.given) {
		b.fault = fmt.Sprintf("operand %d of %d", a.N, len(b.given))
		return
	}
	copy(buf, b.given[a.N-1][:])
}

// putWide puts the operands that are written before those of the questions.
func (b *bus) putWide(fx *step.Effects) [][wire.WideSize]byte {
	n := int(fx.NumWide)
	if n+b.numWide > len(b.wide) {
		b.numWide = len(b.wide) - n
	}
	copy(b.wide[n:], b.wide[:b.numWide])
	copy(b.wide[:n], fx.Wide[:n])
	for i := range b.questions[:b.num] {
		if q := &b.questions[i]; q.Wide != 0 {
			q.Wide += uint8(n)
		}
	}
	return b.wide[:n+b.numWide]
}

// Fetch implements step.Bus.
func (b *bus) Fetch(offset uint64, buf []byte, ev *x86.Event) (int, step.Outcome) {
	target := len(buf) == 0
	a := b.ask(&wire.Question{Kind: wire.AskFetch, Offset: offset, A: uint64(len(buf))}, target)
	out := b.end(a, ev, target)
	if a == nil || target {
		return 0, out
	}
	var code [16]byte
	binary.LittleEndian.PutUint64(code[:], a.V[0])
	binary.LittleEndian.PutUint64(code[8:], a.V[1])
	return copy(buf, code[:min(a.N, 15)]), out
}

// Read implements step.Bus.
func (b *bus) Read(at step.Access, ev *x86.Event) (uint64, step.Outcome) {
	q := wire.Question{Kind: wire.AskRead}
	q.PutAccess(&at)
	var buf [8]byte
	seen := b.look(&at, buf[:min(at.Size, 8)])
	q.Assumed = binary.LittleEndian.Uint64(buf[:])
	a := b.ask(&q, seen)
	if a == nil {
		return q.Assumed, b.end(a, ev, seen)
	}
	return a.V[0], b.end(a, ev, false)
}

// ReadBytes implements step.Bus.
func (b *bus) ReadBytes(at step.Access, buf []byte, ev *x86.Event) step.Outcome {
	q := wire.Question{Kind: wire.AskReadBytes}
	q.PutAccess(&at)
	seen := false
	if b.at == len(b.answers) {
		if seen = b.look(&at, buf); !seen {
			clear(buf)
		}
		q.Wide = b.putData(buf)
	}
	a := b.ask(&q, seen)
	if a != nil && step.Outcome(a.Outcome) == step.Okay {
		b.getData(a, buf)
	}
	return b.end(a, ev, seen)
}

// ProbeWrite implements step.Bus.
func (b *bus) ProbeWrite(at step.Access, value uint64, ev *x86.Event) step.Outcome {
	q := wire.Question{Kind: wire.AskProbe, A: value}
	q.PutAccess(&at)
	b.probed = true
	return b.end(b.ask(&q, true), ev, true)
}

// ProbeWriteBytes implements step.Bus.
func (b *bus) ProbeWriteBytes(at step.Access, data []byte, ev *x86.Event) step.Outcome {
	q := wire.Question{Kind: wire.AskProbeBytes}
	q.PutAccess(&at)
	b.probed = true
	if b.at == len(b.answers) {
		q.Wide = b.putData(data)
	}
	return b.end(b.ask(&q, true), ev, true)
}

// EnqueueCommand implements step.Bus.
func (b *bus) EnqueueCommand(at step.Access, data *[64]byte, ev *x86.Event) (bool, step.Outcome) {
	q := wire.Question{Kind: wire.AskEnqueue}
	q.PutAccess(&at)
	if b.at == len(b.answers) {
		q.Wide = b.putData(data[:])
	}
	a := b.ask(&q, false)
	return a != nil && a.OK != 0, b.end(a, ev, false)
}
