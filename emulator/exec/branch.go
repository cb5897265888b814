package exec

import (
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// relative returns the target of a branch by displacement, wrapped to the
// operand size.
func (c *Context) relative() uint64 {
	return (c.next + c.inst.Imm) & maskOf(c.inst.OpSize)
}

// jump goes on at target, which an empty fetch validates: one that is not
// canonical, or beyond the limit of CS, faults here, at the branch.
func (c *Context) jump(target uint64) {
	_, out := c.Bus.Fetch(target, nil, &c.Fx.Event)
	if out != step.Okay {
		c.stop(out)
		return
	}
	c.rip = target
}

func jmpRelative(c *Context) { c.jump(c.relative()) }
func jmpIndirect(c *Context) { c.jump(c.in[0]) }

func jcc(c *Context) {
	if c.condition() {
		c.jump(c.relative())
	}
}

// call pushes the return address and goes to target. Intel's CPUs push before
// they check the target: where it faults, the stack has been written though
// rSP has not moved. AMD's check first.
func (c *Context) call(target uint64) {
	if c.amd() {
		c.jump(target)
		if c.outcome == step.Okay {
			c.push(c.next, c.inst.OpSize)
		}
		return
	}
	c.push(c.next, c.inst.OpSize)
	if c.outcome == step.Okay {
		c.jump(target)
	}
}

func callRelative(c *Context) { c.call(c.relative()) }
func callIndirect(c *Context) { c.call(c.in[0]) }

// ret pops the target, and with an operand (0 without) releases that many bytes.
func ret(c *Context) {
	target := c.pop(c.inst.OpSize)
	if c.outcome != step.Okay {
		return
	}
	c.setStackPointer(c.stackPointer() + c.inst.Imm&0xffff)
	c.jump(target)
}

// jrcxz tests the count register of the address size.
func jrcxz(c *Context) {
	if c.counter() == 0 {
		c.jump(c.relative())
	}
}

// counter returns CX, ECX or RCX by the address size.
func (c *Context) counter() uint64 {
	return c.State.GPR[x86.RCX] & maskOf(c.inst.AddrSize)
}

// loop is LOOPNE (E0), LOOPE (E1) and LOOP (E2).
func loop(c *Context) {
	n := (c.counter() - 1) & maskOf(c.inst.AddrSize)
	c.setReg(x86.RCX, c.inst.AddrSize, n)
	taken := n != 0
	switch zero := c.flags&x86.ZF != 0; c.inst.Opcode {
	case 0xe0:
		taken = taken && !zero
	case 0xe1:
		taken = taken && zero
	}
	if taken {
		c.jump(c.relative())
	}
}

// interrupt ends the step with an event that carries the length of the
// instruction; RIP stays on it.
func (c *Context) interrupt(t x86.EventType, vector uint8) {
	c.raise(x86.Event{Type: t, Vector: vector, Length: c.inst.Length})
}

func int3(c *Context) { c.interrupt(x86.EventSoftwareException, x86.VectorBP) }
func int1(c *Context) { c.interrupt(x86.EventPrivSoftwareException, x86.VectorDB) }

func intn(c *Context) {
	if !c.vm86Denied() {
		c.interrupt(x86.EventSoftwareInterrupt, uint8(c.inst.Imm))
	}
}

func into(c *Context) {
	if c.flags&x86.OF != 0 {
		c.interrupt(x86.EventSoftwareException, x86.VectorOF)
	}
}

func ud(c *Context) { c.raise(x86.Fault(x86.VectorUD)) }

// bound raises #BR if the index is outside the signed bounds in memory. The
// upper one is not read if the index is below the lower.
func bound(c *Context) {
	size := c.inst.OpSize
	i := int32(signExtend(c.in[0], size)) // there is no BOUND in 64-bit mode
	low := c.load(c.segment, c.offset, size, step.IntentRead)
	if c.outcome != step.Okay {
		return
	}
	if i < int32(signExtend(low, size)) {
		c.raise(x86.Fault(x86.VectorBR))
		return
	}
	high := c.load(c.segment, (c.offset+uint64(size))&maskOf(c.inst.AddrSize), size, step.IntentRead)
	if c.outcome == step.Okay && i > int32(signExtend(high, size)) {
		c.raise(x86.Fault(x86.VectorBR))
	}
}
