package judge

import (
	"github.com/seed-4e121ece/ringfence/emulator/depriv/wire"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// hookOf is the hook that each kind of question needs.
var hookOf = [wire.NumAsk]step.Hooks{
	wire.AskProbe: step.HookWrite, wire.AskProbeBytes: step.HookWrite, wire.AskEnqueue: step.HookEnqueueCommand,
	wire.AskReadPort: step.HookReadPort, wire.AskReadSegment: step.HookReadSegment, wire.AskReadControl: step.HookReadControl,
	wire.AskReadDebug: step.HookReadDebug, wire.AskReadXCR: step.HookReadXCR, wire.AskReadMSR: step.HookReadMSR,
	wire.AskCPUID: step.HookCPUID, wire.AskValidate: step.HookValidate,
	wire.AskRandom: step.HookRandom, wire.AskVMFunc: step.HookVMFunc,
}

// MSRs that user code reads by RDTSC, RDTSCP and RDPID.
const (
	msrTSC    = 0x10
	msrTSCAux = 0xc0000103
)

// Question says whether the worker may have a question asked: nil, or why not.
// wide is the number of operands over eight bytes in its message.
func (r *Record) Question(q *wire.Question, wide int) error {
	if q.Kind == 0 || q.Kind >= wire.NumAsk {
		return refuse("question of kind %d", q.Kind)
	}
	if h := hookOf[q.Kind]; r.Hooks&h != h {
		return refuse("question of kind %d, whose hook is not offered", q.Kind)
	}
	if int(q.Wide) > wide {
		return refuse("operand %d of %d", q.Wide, wide)
	}
	switch q.Kind {
	case wire.AskRead, wire.AskReadBytes, wire.AskProbe, wire.AskProbeBytes, wire.AskEnqueue:
		return r.access(q)
	}
	return r.register(q)
}

// register judges the questions that are not about memory.
func (r *Record) register(q *wire.Question) error {
	cpl := r.State.CPL
	ok := true
	switch q.Kind {
	case wire.AskFetch: // an empty one validates a target
		ok = q.A == 0 || q.A <= 15 && q.Offset == r.State.RIP
	case wire.AskReadPort:
		ok = r.portAllowed(q.Offset, q.Size)
	case wire.AskReadSegment:
		ok = q.Offset <= uint64(x86.IDTR)
	case wire.AskReadControl:
		ok = q.Offset <= 15
	case wire.AskReadDebug:
		ok = q.Offset <= 15 && cpl == 0
	case wire.AskReadXCR:
		ok = q.Offset <= 0xffffffff
	case wire.AskReadMSR:
		ok = q.Offset <= 0xffffffff && (cpl == 0 || q.Offset == msrTSC || q.Offset == msrTSCAux)
	case wire.AskCPUID, wire.AskVMFunc:
		ok = q.Offset <= 0xffffffff && q.A <= 0xffffffff
	case wire.AskValidate:
		ok = q.Offset < isa.NumRows
	case wire.AskRandom:
		ok = q.Size == 2 || q.Size == 4 || q.Size == 8
	}
	if !ok {
		return refuse("question of kind %d about %#x, %#x, %d bytes at CPL %d", q.Kind, q.Offset, q.A, q.Size, cpl)
	}
	return nil
}

// access judges an access to memory. What is not a system access is translated
// by the Bus with the rights of the CPL.
func (r *Record) access(q *wire.Question) error {
	size, intent := q.Size, step.Intent(q.Intent)
	most := uint8(8)
	if q.Kind == wire.AskReadBytes || q.Kind == wire.AskProbeBytes || q.Kind == wire.AskEnqueue {
		most = wire.WideSize
	}
	if q.Kind == wire.AskEnqueue && size != wire.WideSize || q.Kind != wire.AskRead && q.Kind != wire.AskProbe && q.Kind != wire.AskReadBytes && q.Wide == 0 {
		return refuse("operand of %d bytes that is not there", size)
	}
	if size == 0 || size > most || x86.Segment(q.Segment) > x86.SegNone || !power(q.Align) || !power(q.Check) {
		return refuse("access of %d bytes, segment %d, alignment %d and %d", size, q.Segment, q.Align, q.Check)
	}
	write := q.Kind == wire.AskProbe || q.Kind == wire.AskProbeBytes || q.Kind == wire.AskEnqueue
	switch intent {
	case step.IntentSystem:
		return r.systemAccess(q, write)
	case step.IntentWrite:
		if !write {
			return refuse("read with the intent to write alone")
		}
	case step.IntentRead, step.IntentModify, step.IntentFetch:
		if write {
			return refuse("write with the intent %v", intent)
		}
	default:
		return refuse("intent %d", q.Intent)
	}
	if s := x86.Segment(q.Segment); s > x86.GS && s != x86.SegNone {
		return refuse("access to %v that is no system access", s)
	}
	return nil
}

// systemAccess allows reads of descriptors and, in the TSS, of the I/O bitmap.
// The supervisor's right applies to them, so they are kept to what a step needs.
func (r *Record) systemAccess(q *wire.Question, write bool) error {
	s := x86.Segment(q.Segment)
	table := (s == x86.GDTR || s == x86.LDTR) && (q.Size == 8 && q.Offset&7 == 0 && q.Offset <= 0xffff)
	task := s == x86.TR && q.Size == 2 && q.Offset <= 0x1ffff
	if write || q.Kind != wire.AskRead || !table && !task {
		return refuse("system access of %d bytes to %v:%#x", q.Size, s, q.Offset)
	}
	return nil
}

// power says that an alignment is none or a power of two up to 64.
func power(n uint8) bool { return n&(n-1) == 0 && n <= 64 }

// MayAssume says whether a worker may go on with an assumed answer to a
// question: where nothing but a refusal can come, and where the answer is in
// memory that it can see.
func MayAssume(kind wire.QuestionKind) bool {
	switch kind {
	case wire.AskFetch, wire.AskProbe, wire.AskProbeBytes, wire.AskValidate, wire.AskRead, wire.AskReadBytes:
		return true
	}
	return false
}
