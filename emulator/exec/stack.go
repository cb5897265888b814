package exec

import (
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// push pushes a register, memory or immediate. The operand is read before rSP
// changes: PUSH rSP pushes the old value.
func push(c *Context) {
	v := c.in[0]
	c.push(v, c.inst.OpSize)
}

// pushSegment pushes a selector: zero-extended to 64 bits, but moved as 16
// bits into a slot of 32, whose upper half stays (SDM vol. 2, PUSH).
func pushSegment(c *Context) {
	size := c.inst.OpSize
	if size != 4 || c.amd() {
		c.push(c.in[0], size)
		return
	}
	sp := (c.stackPointer() - 4) & maskOf(c.stackSize())
	c.store(x86.SS, sp, 2, c.in[0])
	c.setStackPointer(sp)
}

// pop pops to a register or to memory, whose address is computed with rSP
// incremented (SDM vol. 2, POP).
func pop(c *Context) {
	size := c.inst.OpSize
	v := c.pop(size)
	if c.outcome != step.Okay {
		return
	}
	if !c.inst.IsMem {
		c.setReg(c.inst.RM, size, v)
		return
	}
	c.locate()
	c.store(c.segment, c.offset, size, v)
}

// pushf pushes RFLAGS with VM and RF clear.
func pushf(c *Context) {
	if c.vm86Denied() {
		return
	}
	c.push(uint64(c.flags&^(x86.VM|x86.RF)), c.inst.OpSize)
}

// vm86Denied raises #GP(0) in virtual-8086 mode with IOPL below 3.
func (c *Context) vm86Denied() bool {
	if c.State.Mode != x86.VM86 || c.flags&x86.IOPL == x86.IOPL {
		return false
	}
	c.raise(x86.FaultCode(x86.VectorGP, 0))
	return true
}

// popf changes the flags that the privilege level may change (SDM vol. 2,
// POPF, table 4-16).
func popf(c *Context) {
	if !c.vm86Denied() {
		c.loadFlags(x86.Flags(c.pop(c.inst.OpSize)), 0)
	}
}

// loadFlags loads RFLAGS from an image of the operand size, as far as the
// privilege level allows. resume is RF where it is loaded too.
func (c *Context) loadFlags(v, resume x86.Flags) {
	mask := status | x86.TF | x86.DF | x86.NT
	if c.inst.OpSize != 2 {
		mask |= x86.AC | x86.ID
		c.resume = v & resume
	}
	if c.ioplAllows() {
		mask |= x86.IF
	}
	if c.State.CPL == 0 {
		mask |= x86.IOPL
	}
	c.setFlags(mask, v)
}

// enter makes a stack frame. The frame pointer that is pushed first may be
// read back through rBP; the Bus forwards it.
func enter(c *Context) {
	size := c.inst.OpSize
	level := c.inst.Imm2 & 0x1f
	wrap := maskOf(c.stackSize())
	c.push(c.State.GPR[x86.RBP], size)
	frame := c.current(x86.RSP) // all of it, whatever the width of the stack
	if level > 0 {
		bp := c.State.GPR[x86.RBP]
		for i := uint16(1); i < level && c.outcome == step.Okay; i++ {
			bp -= uint64(size)
			v := c.load(x86.SS, bp&wrap, size, step.IntentRead)
			if c.outcome == step.Okay {
				c.push(v, size)
			}
		}
		if c.outcome == step.Okay {
			c.push(frame, size)
		}
	}
	if c.outcome != step.Okay {
		return
	}
	sp := (c.stackPointer() - c.inst.Imm&0xffff) & wrap
	// The final stack pointer is checked with write intent, though nothing is
	// stored (SDM vol. 2, ENTER, exceptions).
	c.load(x86.SS, sp, size, step.IntentModify)
	c.setReg(x86.RBP, size, frame)
	c.setStackPointer(sp)
}

func leave(c *Context) {
	size := c.inst.OpSize
	bp := c.State.GPR[x86.RBP] & maskOf(c.stackSize())
	v := c.load(x86.SS, bp, size, step.IntentRead)
	c.setStackPointer(bp + uint64(size))
	c.setReg(x86.RBP, size, v)
}

// pusha pushes the eight registers, rSP as it was before.
func pusha(c *Context) {
	size := c.inst.OpSize
	for n := uint8(x86.RAX); n <= x86.RDI && c.outcome == step.Okay; n++ {
		c.push(c.State.GPR[n], size)
	}
}

// popa pops them again but rSP, which it skips.
func popa(c *Context) {
	size := c.inst.OpSize
	for n := int(x86.RDI); n >= x86.RAX; n-- {
		v := c.pop(size)
		if c.outcome != step.Okay {
			return
		}
		if n != x86.RSP {
			c.setReg(uint8(n), size, v)
		}
	}
}
