package exec

import (
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// Far branches without a change of privilege (SDM vol. 2, CALL, JMP, RET, IRET;
// vol. 3, 5.8). Gates, task switches and returns to an outer level are
// unhandleable.

// farTarget is where a far branch goes.
type farTarget struct {
	selector uint16
	offset   uint64
}

// farOperand reads the target of CALL and JMP: in the instruction, or in
// memory, an offset and then a selector.
func (c *Context) farOperand() (t farTarget) {
	size := c.inst.OpSize
	if !c.inst.IsMem {
		return farTarget{c.inst.Imm2, c.inst.Imm & maskOf(size)}
	}
	t.offset = c.load(c.segment, c.offset, size, step.IntentRead)
	if c.outcome == step.Okay {
		at := (c.offset + uint64(size)) & maskOf(c.inst.AddrSize)
		t.selector = uint16(c.load(c.segment, at, 2, step.IntentRead))
	}
	return t
}

// codeSegment checks that a far branch may load CS with a selector and gives
// the segment. ret says that it is a return, which obeys the selector's RPL.
func (c *Context) codeSegment(selector uint16, ret bool) (r x86.SegmentRegister, ok bool) {
	if !c.need(step.HookReadSegment | step.HookWriteSegment) {
		return r, false
	}
	if c.State.Mode == x86.Real || c.State.Mode == x86.VM86 {
		r = c.readSegment(x86.CS)
		r.Selector, r.Base = selector, uint64(selector)<<4
		return r, c.outcome == step.Okay
	}
	if selector&^3 == 0 {
		c.raise(x86.FaultCode(x86.VectorGP, 0))
		return r, false
	}
	raw, a, found := c.lookUp(selector)
	if c.outcome != step.Okay {
		return r, false
	}
	code := uint32(selector &^ 3)
	if !found {
		c.raise(x86.FaultCode(x86.VectorGP, code))
		return r, false
	}
	r = x86.UnpackDescriptor(raw)
	r.Selector = selector&^3 | uint16(c.State.CPL)
	if !ret && c.isGate(r.Attributes) {
		c.outcome = step.Unhandleable
		return r, false
	}
	if !c.branchAllowed(selector, r.Attributes, ret) {
		c.raise(x86.FaultCode(x86.VectorGP, code))
		return r, false
	}
	if ret && uint8(selector&3) > c.State.CPL {
		c.outcome = step.Unhandleable
		return r, false
	}
	if r.Attributes&x86.AttrPresent == 0 {
		c.raise(x86.FaultCode(x86.VectorNP, code))
		return r, false
	}
	c.markAccessed(&r, raw, a)
	return r, c.outcome == step.Okay
}

// isGate says that a descriptor is a gate or task state segment that CALL and
// JMP go through: in IA-32e mode, a call gate alone.
func (c *Context) isGate(attr uint32) bool {
	if attr&x86.AttrS != 0 {
		return false
	}
	switch attr & x86.AttrTypeMask {
	case typeCallGate:
		return true
	case typeTSS16, typeCallGate16, typeTaskGate, typeTSS:
		return !c.ia32e()
	}
	return false
}

// Types of system descriptors (SDM vol. 3, table 3-2).
const (
	typeTSS16      = 1
	typeLDT        = 2
	typeBusyTSS16  = 3
	typeCallGate16 = 4
	typeTaskGate   = 5
	typeTSS        = 9
	typeBusyTSS    = 11
	typeCallGate   = 12
)

// ia32e says that the mode is one of IA-32e mode: compatibility or 64-bit mode.
func (c *Context) ia32e() bool {
	return c.State.Mode == x86.Long64 || c.State.Mode == x86.Compat32 || c.State.Mode == x86.Compat16
}

// branchAllowed checks type and privilege of a code segment.
func (c *Context) branchAllowed(selector uint16, attr uint32, ret bool) bool {
	rpl, dpl, cpl := uint8(selector&3), uint8(attr>>x86.AttrDPLShift&3), c.State.CPL
	const code = x86.AttrS | x86.AttrCode
	switch {
	case attr&code != code:
		return false
	case c.ia32e() && attr&x86.AttrL != 0 && attr&x86.AttrDB != 0:
		return false
	case ret && attr&x86.AttrExpand != 0: // conforming
		return rpl >= cpl && dpl <= rpl
	case ret:
		return rpl >= cpl && dpl == rpl
	case attr&x86.AttrExpand != 0:
		return dpl <= cpl
	}
	return rpl <= cpl && dpl == cpl
}

// enterSegment goes on at an offset of another code segment. It has 64 bits only
// where that is 64-bit code.
func (c *Context) enterSegment(r *x86.SegmentRegister, offset uint64) {
	offset, ok := c.reachable(r, offset)
	if !ok {
		c.raise(x86.FaultCode(x86.VectorGP, 0))
		return
	}
	c.goTo(r, offset)
}

// reachable gives the offset in the width that a code segment has, and says
// whether it is canonical or within the segment's limit.
func (c *Context) reachable(r *x86.SegmentRegister, offset uint64) (uint64, bool) {
	if c.ia32e() && r.Attributes&x86.AttrL != 0 {
		return offset, c.canonical(offset)
	}
	offset &= 0xffffffff
	return offset, offset <= uint64(r.Limit)
}

// goTo stages CS and goes on at an offset of it.
func (c *Context) goTo(r *x86.SegmentRegister, offset uint64) {
	c.rip = offset
	if op := c.newOp(step.OpWriteSegment); op != nil {
		op.Index = uint32(x86.CS)
		op.Segment = *r
	}
}

func jmpFar(c *Context) {
	t := c.farOperand()
	if c.outcome != step.Okay {
		return
	}
	if r, ok := c.codeSegment(t.selector, false); ok {
		c.enterSegment(&r, t.offset)
	}
}

// callFar pushes CS, in a slot of the operand size, and the return address.
func callFar(c *Context) {
	t := c.farOperand()
	if c.outcome != step.Okay {
		return
	}
	r, ok := c.codeSegment(t.selector, false)
	if !ok {
		return
	}
	stack := c.stackOf(&r)
	c.pushTo(stack, uint64(c.State.Selector[x86.CS]))
	if c.outcome == step.Okay {
		c.pushTo(stack, c.next)
	}
	if c.outcome == step.Okay {
		c.enterSegment(&r, t.offset)
	}
}

// farStack is how a far CALL, or an event, reaches the stack.
type farStack struct {
	segment x86.Segment
	// width is that of the stack pointer in bytes.
	width uint8
}

// stackOf is the stack of a far CALL that enters a code segment. From
// compatibility mode, one of 64 bits has no base and no limit for the stack,
// though rSP still has the old width; from 64-bit mode, one of 32 or 16 bits
// finds a stack pointer of 32 (seen on CPUs).
func (c *Context) stackOf(code *x86.SegmentRegister) farStack {
	long := c.State.Mode == x86.Long64
	switch to64 := c.ia32e() && code.Attributes&x86.AttrL != 0; {
	case to64 && !long:
		return farStack{x86.SegNone, c.stackSize()}
	case !to64 && long:
		return farStack{x86.SS, 4}
	}
	return farStack{x86.SS, c.stackSize()}
}

// pushTo pushes a slot of the operand size.
func (c *Context) pushTo(stack farStack, v uint64) { c.pushSlot(stack, c.inst.OpSize, v) }

// pushSlot pushes a slot of size bytes.
func (c *Context) pushSlot(stack farStack, size uint8, v uint64) {
	sp := (c.current(x86.RSP) - uint64(size)) & maskOf(stack.width)
	c.store(stack.segment, sp, size, v)
	c.setReg(x86.RSP, stack.width, sp)
}

// popped reads one of the slots of a far return: n from the top, of which size
// bytes count. CPUs read the highest one first.
func (c *Context) popped(n int, size uint8) (v uint64) {
	if c.outcome != step.Okay {
		return v
	}
	sp := (c.stackPointer() + uint64(n)*uint64(c.inst.OpSize)) & maskOf(c.stackSize())
	return c.load(x86.SS, sp, size, step.IntentRead)
}

// retFar pops the return address and CS, and with an operand releases that many
// bytes.
func retFar(c *Context) {
	size := c.inst.OpSize
	selector := uint16(c.popped(1, 2))
	offset := c.popped(0, size)
	if c.outcome != step.Okay {
		return
	}
	r, ok := c.codeSegment(selector, true)
	if !ok {
		return
	}
	c.release(&r, 2*uint64(size)+c.inst.Imm&0xffff)
	c.enterSegment(&r, offset)
}

// release takes n bytes off the stack on the way to a code segment. To 64-bit
// code a carry goes into all of ESP, whatever the width of the stack that is
// left (seen on CPUs).
func (c *Context) release(code *x86.SegmentRegister, n uint64) {
	if c.stackOf(code).segment == x86.SegNone {
		c.setReg(x86.RSP, 4, c.current(x86.RSP)+n&maskOf(c.stackSize()))
		return
	}
	c.setStackPointer(c.stackPointer() + n)
}

// iret returns to the same privilege level. In 64-bit mode it loads SS and RSP
// too.
func iret(c *Context) {
	switch {
	case c.State.Mode == x86.Real || c.State.Mode == x86.VM86:
		c.outcome = step.Unhandleable
		return
	case c.flags&x86.NT != 0 && c.ia32e():
		c.raise(x86.FaultCode(x86.VectorGP, 0))
		return
	case c.flags&x86.NT != 0: // a return to another task
		c.outcome = step.Unhandleable
		return
	}
	size := c.inst.OpSize
	flags := c.popped(2, size)
	selector := uint16(c.popped(1, 2))
	offset := c.popped(0, size)
	if c.outcome != step.Okay {
		return
	}
	r, ok := c.codeSegment(selector, true)
	if !ok {
		return
	}
	if c.State.Mode == x86.Long64 {
		c.iretStack()
	} else {
		c.release(&r, 3*uint64(size))
	}
	if c.outcome == step.Okay {
		c.enterSegment(&r, offset)
	}
	c.loadFlags(x86.Flags(flags), x86.RF)
	c.retire |= step.RetireUnblockNMI
}

// iretStack loads SS and RSP from the image that IRET has in 64-bit mode.
func (c *Context) iretStack() {
	selector := uint16(c.popped(4, 2))
	sp := c.popped(3, c.inst.OpSize)
	if c.outcome != step.Okay {
		return
	}
	c.loadSegment(x86.SS, selector)
	c.retire &^= step.RetireMovSS
	c.setReg(x86.RSP, 8, sp)
}
