package exec

import (
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// batched takes many iterations of a REP in one step, if the Bus offers that
// for the kind, and says whether the step is over: they are staged, or the
// hook's answer has ended it. If not, the step does one iteration. A trap flag
// asks for a trap after each (SDM vol. 3, 18.3.1.4).
func (c *Context) batched(kind step.RepeatKind) bool {
	if c.Hooks&kind.Hook() == 0 || !c.repeated() || c.flags&x86.TF != 0 {
		return false
	}
	r := c.repetition(kind)
	if r.Count < 2 {
		return false
	}
	n, out := c.Bus.ProbeRepeat(r, &c.Fx.Event)
	switch {
	case out == step.Okay && n < 2 || out == step.Unhandleable:
		c.Fx.Event = x86.Event{}
		return false
	case out != step.Okay:
		c.stop(out)
		return true
	}
	r.Count = min(r.Count, n)
	c.stageRepeat(&r)
	return true
}

// repetition describes the iterations that are left, as far as no pointer
// wraps to the address size.
func (c *Context) repetition(kind step.RepeatKind) step.Repeat {
	r := step.Repeat{Kind: kind, Size: c.size, Backward: c.flags&x86.DF != 0, Count: min(c.counter(), step.MaxRepeat)}
	if kind.Reads() {
		r.Source = c.access(c.dataSegment(), c.pointer(x86.RSI), c.size, step.IntentRead)
		r.Count = min(r.Count, c.room(r.Source.Offset, r.Backward))
	}
	if kind.Writes() {
		r.Destination = c.access(x86.ES, c.pointer(x86.RDI), c.size, step.IntentWrite)
		r.Count = min(r.Count, c.room(r.Destination.Offset, r.Backward))
	}
	switch kind {
	case step.RepeatStore:
		r.Value = c.State.GPR[x86.RAX] & c.mask
	case step.RepeatIn, step.RepeatOut:
		r.Port = uint16(c.State.GPR[x86.RDX])
	}
	return r
}

// room is how many elements lie from an offset on before the end, or the
// start, of what the address size reaches.
func (c *Context) room(offset uint64, backward bool) uint64 {
	size := uint64(c.size)
	left := maskOf(c.inst.AddrSize) - offset // behind the element's first byte
	switch {
	case left < size-1:
		return 0
	case backward:
		return offset/size + 1
	}
	return (left-(size-1))/size + 1
}

// stageRepeat stages iterations that the Bus has agreed to, and what they do to
// the registers.
func (c *Context) stageRepeat(r *step.Repeat) {
	if c.newOp(step.OpRepeat) == nil {
		return
	}
	c.Fx.Repeat = *r
	by := r.Count * uint64(r.Size)
	if r.Backward {
		by = -by
	}
	size := c.inst.AddrSize
	if r.Kind.Reads() {
		c.log(r.Source)
		c.setReg(x86.RSI, size, c.State.GPR[x86.RSI]+by)
	}
	if r.Kind.Writes() {
		c.log(r.Destination)
		c.setReg(x86.RDI, size, c.State.GPR[x86.RDI]+by)
	}
	left := c.counter() - r.Count
	c.setReg(x86.RCX, size, left)
	c.again = left != 0
}
