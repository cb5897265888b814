package judge

import (
	"github.com/seed-4e121ece/ringfence/emulator/depriv/wire"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// hookOfOp is the hook that each kind of operation needs.
var hookOfOp = [...]step.Hooks{
	step.OpWrite: step.HookWrite, step.OpWriteWide: step.HookWrite, step.OpCompareExchange: step.HookCompareExchange,
	step.OpWritePort: step.HookWritePort, step.OpWriteSegment: step.HookWriteSegment, step.OpWriteControl: step.HookWriteControl,
	step.OpWriteDebug: step.HookWriteDebug, step.OpWriteXCR: step.HookWriteXCR, step.OpWriteMSR: step.HookWriteMSR,
	step.OpCache: step.HookCacheOp, step.OpTLB: step.HookTLBOp,
}

// operation says whether an operation may be carried out.
func (r *Record) operation(o *wire.Op, v *wire.ReplyView) error {
	kind := step.OpKind(o.Kind)
	if int(kind) >= len(hookOfOp) || r.Hooks&hookOfOp[kind] != hookOfOp[kind] {
		return refuse("operation of kind %d, whose hook is not offered", o.Kind)
	}
	switch kind {
	case step.OpWrite, step.OpWriteWide, step.OpCompareExchange:
		return r.write(o, kind, v)
	case step.OpWritePort:
		if !r.portAllowed(uint64(o.Index), o.Size) || o.Value[0]>>(8*o.Size) != 0 {
			return refuse("write of %#x, %d bytes, to port %#x at CPL %d", o.Value[0], o.Size, o.Index, r.State.CPL)
		}
		return nil
	case step.OpWriteSegment:
		return r.segment(o)
	case step.OpCache:
		return r.cache(o)
	}
	if r.State.CPL != 0 {
		return refuse("operation of kind %d on register %#x at CPL %d", o.Kind, o.Index, r.State.CPL)
	}
	if kind != step.OpWriteMSR && kind != step.OpWriteXCR && o.Index > 15 {
		return refuse("operation of kind %d on register %#x", o.Kind, o.Index)
	}
	return nil
}

// write judges a write to memory: where the Bus has allowed one in this step.
func (r *Record) write(o *wire.Op, kind step.OpKind, v *wire.ReplyView) error {
	ok := false
	switch kind {
	case step.OpWrite:
		ok = o.Size >= 1 && o.Size <= 8
	case step.OpWriteWide:
		ok = o.Size >= 1 && o.Size <= wire.WideSize && o.Index < step.MaxWide && int(o.Index) < len(v.Wide) && int(o.Wide) == int(o.Index)+1
	case step.OpCompareExchange:
		ok = o.Size == 1 || o.Size == 2 || o.Size == 4 || o.Size == 8 || o.Size == 16
	}
	if !ok || !power(o.Align) || !power(o.Check) {
		return refuse("write of %d bytes, operand %d, alignment %d and %d", o.Size, o.Index, o.Align, o.Check)
	}
	if step.Intent(o.Intent) == step.IntentSystem && kind == step.OpCompareExchange {
		return r.accessed(o)
	}
	if step.Intent(o.Intent) != step.IntentWrite || r.find(func(q *wire.Question, a *wire.Answer) bool { return okay(a) && allows(q, o) }) < 0 {
		return refuse("write of %d bytes to %v:%#x, which was not probed", o.Size, x86.Segment(o.Segment), o.Offset)
	}
	return nil
}

// allows says that a question, answered with okay, has the Bus's leave for a
// write.
func allows(q *wire.Question, o *wire.Op) bool {
	if q.Segment != o.Segment || q.Offset != o.Offset || q.Size < o.Size {
		return false
	}
	switch q.Kind {
	case wire.AskProbe, wire.AskProbeBytes:
		return true
	case wire.AskRead, wire.AskReadBytes:
		return step.Intent(q.Intent) == step.IntentModify
	}
	return false
}

// accessed judges the change of a descriptor: the accessed bit of one that was
// read in this step and, at CPL 0, the busy bit.
func (r *Record) accessed(o *wire.Op) error {
	const accessed, busy = 1 << 40, 1 << 41
	s := x86.Segment(o.Segment)
	raw, ok := r.systemRead(s, o.Offset, 8)
	set := o.Value[0] ^ raw
	if (s != x86.GDTR && s != x86.LDTR) || !ok || o.Size != 8 || o.Old[0] != raw || raw&set != 0 || set != accessed && (set != busy || r.State.CPL != 0) {
		return refuse("change of the descriptor at %v:%#x from %#x to %#x", s, o.Offset, o.Old[0], o.Value[0])
	}
	return nil
}

// cache judges a cache operation: on a line that was read in this step, or at
// CPL 0.
func (r *Record) cache(o *wire.Op) error {
	if o.Size > wire.WideSize || x86.Segment(o.Segment) > x86.SegNone || step.Intent(o.Intent) > step.IntentFetch || !power(o.Align) || !power(o.Check) || o.Index > 15 {
		return refuse("cache operation %d of %d bytes", o.Index, o.Size)
	}
	if r.State.CPL == 0 {
		return nil
	}
	if r.find(func(q *wire.Question, a *wire.Answer) bool {
		return q.Kind == wire.AskRead && q.Segment == o.Segment && q.Offset == o.Offset && okay(a)
	}) < 0 {
		return refuse("cache operation at %v:%#x, which was not read", x86.Segment(o.Segment), o.Offset)
	}
	return nil
}
