package exec

import (
	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// String instructions do one iteration a step, or, where a Repeat hook is
// offered, as many as that allows (see batched). Each starts with repeating,
// ends with advance for the pointers it used and then with iterated.

// repeated says that a REP, REPE or REPNE prefix is there.
func (c *Context) repeated() bool {
	return c.inst.Prefix&(decode.PrefixRep|decode.PrefixRepne) != 0
}

// repeating starts an iteration: it sets the element size, and returns false
// if a REP has nothing to do.
func (c *Context) repeating() bool {
	size := c.inst.OpSize
	if c.inst.Opcode&1 == 0 {
		size = 1
	}
	c.setSize(size)
	if !c.repeated() {
		return true
	}
	c.narrow()
	return c.counter() != 0
}

// narrow is what REP with 32-bit addresses in 64-bit mode does to registers
// before its first iteration, so that it shows where the count is 0 and where
// the first iteration faults: Intel's CPUs clear the upper half of RCX, and of
// the pointers of MOVS and STOS but of no other. (Seen on CPUs; KVM has the
// case of a count of 0.) AMD's change nothing.
func (c *Context) narrow() {
	if c.State.Mode != x86.Long64 || c.inst.AddrSize != 4 || c.amd() {
		return
	}
	c.setReg(x86.RCX, 4, c.State.GPR[x86.RCX])
	switch c.inst.Opcode &^ 1 {
	case 0xa4:
		c.setReg(x86.RSI, 4, c.State.GPR[x86.RSI])
		fallthrough
	case 0xaa:
		c.setReg(x86.RDI, 4, c.State.GPR[x86.RDI])
	}
}

// pointer returns rSI or rDI, wrapped to the address size.
func (c *Context) pointer(n uint8) uint64 {
	return c.State.GPR[n] & maskOf(c.inst.AddrSize)
}

// advance moves a pointer by one element, in the direction of DF.
func (c *Context) advance(n uint8) {
	by := uint64(c.size)
	if c.flags&x86.DF != 0 {
		by = -by
	}
	c.setReg(n, c.inst.AddrSize, c.State.GPR[n]+by)
}

// iterated ends an iteration: it counts, and repeats while there is a count
// left and more says so.
func (c *Context) iterated(more bool) {
	if !c.repeated() {
		return
	}
	n := c.counter() - 1
	c.setReg(x86.RCX, c.inst.AddrSize, n)
	c.again = n != 0 && more
}

// compared says whether REPE or REPNE goes on after a comparison.
func (c *Context) compared() bool {
	equal := c.flags&x86.ZF != 0
	return equal == (c.inst.Prefix&decode.PrefixRep != 0)
}

func movs(c *Context) {
	if !c.repeating() || c.batched(step.RepeatMove) {
		return
	}
	v := c.load(c.dataSegment(), c.pointer(x86.RSI), c.size, step.IntentRead)
	if c.outcome != step.Okay {
		return
	}
	c.store(x86.ES, c.pointer(x86.RDI), c.size, v)
	if c.outcome != step.Okay {
		return
	}
	c.advance(x86.RSI)
	c.advance(x86.RDI)
	c.iterated(true)
}

// cmps reads ES:rDI first on Intel's CPUs, as shows when both operands fault.
func cmps(c *Context) {
	if !c.repeating() {
		return
	}
	var a, b uint64
	if c.amd() {
		a = c.load(c.dataSegment(), c.pointer(x86.RSI), c.size, step.IntentRead)
	} else {
		b = c.load(x86.ES, c.pointer(x86.RDI), c.size, step.IntentRead)
	}
	if c.outcome != step.Okay {
		return
	}
	if c.amd() {
		b = c.load(x86.ES, c.pointer(x86.RDI), c.size, step.IntentRead)
	} else {
		a = c.load(c.dataSegment(), c.pointer(x86.RSI), c.size, step.IntentRead)
	}
	if c.outcome != step.Okay {
		return
	}
	c.sub(a, b, 0)
	c.advance(x86.RSI)
	c.advance(x86.RDI)
	c.iterated(c.compared())
}

func scas(c *Context) {
	if !c.repeating() {
		return
	}
	b := c.load(x86.ES, c.pointer(x86.RDI), c.size, step.IntentRead)
	if c.outcome != step.Okay {
		return
	}
	c.sub(c.State.GPR[x86.RAX]&c.mask, b, 0)
	c.advance(x86.RDI)
	c.iterated(c.compared())
}

func stos(c *Context) {
	if !c.repeating() || c.batched(step.RepeatStore) {
		return
	}
	c.store(x86.ES, c.pointer(x86.RDI), c.size, c.State.GPR[x86.RAX])
	if c.outcome != step.Okay {
		return
	}
	c.advance(x86.RDI)
	c.iterated(true)
}

func lods(c *Context) {
	if !c.repeating() {
		return
	}
	v := c.load(c.dataSegment(), c.pointer(x86.RSI), c.size, step.IntentRead)
	if c.outcome != step.Okay {
		return
	}
	c.setReg(x86.RAX, c.size, v)
	c.advance(x86.RSI)
	c.iterated(true)
}

// ins probes its destination before it reads the port, whose reading may have
// effects.
func ins(c *Context) {
	if !c.portOperation(step.RepeatIn, step.HookReadPort|step.HookWrite) {
		return
	}
	a := c.access(x86.ES, c.pointer(x86.RDI), c.size, step.IntentWrite)
	c.log(a)
	if out := c.Bus.ProbeWrite(a, 0, &c.Fx.Event); out != step.Okay {
		c.stop(out)
		return
	}
	v := c.readPort()
	if c.outcome != step.Okay {
		return
	}
	c.stageWrite(a, v)
	c.advance(x86.RDI)
	c.iterated(true)
}

func outs(c *Context) {
	if !c.portOperation(step.RepeatOut, step.HookWritePort) {
		return
	}
	v := c.load(c.dataSegment(), c.pointer(x86.RSI), c.size, step.IntentRead)
	if c.outcome != step.Okay {
		return
	}
	c.writePort(v)
	c.advance(x86.RSI)
	c.iterated(true)
}

// portOperation starts an iteration of INS or OUTS: elements of at most four
// bytes, and the right to the port, which is checked even if a REP has
// nothing to do. It returns false where no iteration is left to do.
func (c *Context) portOperation(kind step.RepeatKind, hooks step.Hooks) bool {
	c.setSize(c.portSize())
	if !c.portAllowed(uint16(c.State.GPR[x86.RDX])) || !c.repeating() {
		return false
	}
	c.setSize(c.portSize())
	return !c.batched(kind) && c.need(hooks)
}

// portSize is the width of INS and OUTS, by the opcode's low bit.
func (c *Context) portSize() uint8 {
	if c.inst.Opcode&1 == 0 {
		return 1
	}
	return min(c.inst.OpSize, 4)
}
