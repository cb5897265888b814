package step

import (
	"fmt"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// Equal says whether two Effects mean the same, comparing only what their
// counts and masks say is valid. If not, it names the first difference.
func Equal(a, b *Effects) (bool, string) {
	switch {
	case a.Outcome != b.Outcome:
		return false, fmt.Sprintf("outcome: %v and %v", a.Outcome, b.Outcome)
	case a.Event != b.Event:
		return false, fmt.Sprintf("event: %v and %v", a.Event, b.Event)
	case a.Retire != b.Retire:
		return false, fmt.Sprintf("retire: %v and %v", a.Retire, b.Retire)
	case a.Outcome == Okay && a.RIP != b.RIP:
		return false, fmt.Sprintf("rip: %#x and %#x", a.RIP, b.RIP)
	case a.FlagsDirty != b.FlagsDirty || a.FlagsDirty && a.RFLAGS != b.RFLAGS:
		return false, fmt.Sprintf("rflags: %v %#x and %v %#x", a.FlagsDirty, a.RFLAGS, b.FlagsDirty, b.RFLAGS)
	case a.FPUDirty != b.FPUDirty:
		return false, fmt.Sprintf("fpu components: %#x and %#x", a.FPUDirty, b.FPUDirty)
	case a.Again != b.Again || a.Partial != b.Partial:
		return false, fmt.Sprintf("again, partial: %v %v and %v %v", a.Again, a.Partial, b.Again, b.Partial)
	case a.GPRDirty != b.GPRDirty:
		return false, fmt.Sprintf("registers written: %#x and %#x", a.GPRDirty, b.GPRDirty)
	case a.NumOps != b.NumOps || a.NumWide != b.NumWide:
		return false, fmt.Sprintf("operations: %d, %d wide, and %d, %d wide", a.NumOps, a.NumWide, b.NumOps, b.NumWide)
	case a.NumAccesses != b.NumAccesses:
		return false, fmt.Sprintf("accesses: %d and %d", a.NumAccesses, b.NumAccesses)
	}
	for n := range a.GPR {
		if a.GPRDirty>>n&1 != 0 && a.GPR[n] != b.GPR[n] {
			return false, fmt.Sprintf("%s: %#x and %#x", x86.GPRName(uint8(n), 8), a.GPR[n], b.GPR[n])
		}
	}
	for i := range a.Accesses[:a.NumAccesses] {
		if a.Accesses[i] != b.Accesses[i] {
			return false, fmt.Sprintf("access %d: %+v and %+v", i, a.Accesses[i], b.Accesses[i])
		}
	}
	for i := range a.Ops[:a.NumOps] {
		if !equalOp(a, b, &a.Ops[i], &b.Ops[i]) {
			return false, fmt.Sprintf("operation %d: %s and %s", i, a.text(i), b.text(i))
		}
	}
	return true, ""
}

// equalOp compares the fields of an operation that its kind uses.
func equalOp(a, b *Effects, p, q *Op) bool {
	if p.Kind != q.Kind {
		return false
	}
	switch p.Kind {
	case OpWrite:
		return p.Access == q.Access && p.Value[0] == q.Value[0]
	case OpWriteWide:
		n := p.Access.Size
		return p.Access == q.Access && string(a.Wide[p.Index][:n]) == string(b.Wide[q.Index][:n])
	case OpCompareExchange:
		return p.Access == q.Access && p.Value == q.Value && p.Old == q.Old
	case OpWritePort:
		return p.Index == q.Index && p.Access == q.Access && p.Value[0] == q.Value[0]
	case OpWriteSegment:
		return p.Index == q.Index && p.Segment == q.Segment
	case OpCache:
		return p.Index == q.Index && p.Access == q.Access
	case OpRepeat:
		return a.Repeat == b.Repeat
	case OpWriteControl, OpWriteDebug, OpWriteXCR:
		return p.Index == q.Index && p.Value[0] == q.Value[0]
	}
	return p.Index == q.Index && p.Value == q.Value
}

// text prints operation i.
func (fx *Effects) text(i int) string {
	if fx.Ops[i].Kind == OpRepeat {
		return fx.Repeat.String()
	}
	return fmt.Sprintf("%+v", fx.Ops[i])
}
