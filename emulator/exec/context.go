// Package exec says what instructions mean: one file a family, in the manner
// of the Operation sections of the manual. A family's function takes operands
// (Context.in, read by the table's entry) and gives operands (Context.out,
// written by the table's entry) and flags; it never sees instruction bytes.
//
// Nothing here changes the state or the memory: registers are staged in
// Effects, writes are probed and staged.
package exec

import (
	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// Context is one step in progress. An emulator keeps one and reuses it, so
// that a step allocates nothing; between steps it holds nothing that counts.
type Context struct {
	State   *x86.State
	Bus     step.Bus
	Fx      *step.Effects
	Profile *isa.Profile
	// Hooks are the hooks that the Bus offers.
	Hooks step.Hooks
	// ForceWriteback writes a memory destination that the instruction leaves
	// as it was (a shift by 0, a failed CMPXCHG).
	ForceWriteback bool

	inst *decode.Inst
	plan *plan
	// in are the operands as read, zero-extended from the row's width; out is
	// what the family's function gives back.
	in, out [isa.MaxOperands]uint64
	// kept has a bit for each operand that the instruction leaves as it was.
	kept uint8
	// skip says that the operands, as the table names them, are not written.
	skip bool
	// size is the operand width in bytes: of the first operand, or the
	// effective operand size. mask and top (the number of the sign bit) go
	// with it.
	size uint8
	top  uint8
	mask uint64
	// flags are RFLAGS as they will be.
	flags x86.Flags
	// resume is RF, if the instruction loads it set.
	resume x86.Flags
	// next is the address of the next instruction, rip where execution goes
	// on.
	next, rip uint64
	// segment and offset locate the ModRM memory operand.
	segment x86.Segment
	offset  uint64
	// checked says that accesses are subject to #AC: EFLAGS.AC at CPL 3.
	checked bool
	outcome step.Outcome
	retire  step.Retire
	// again says that a REP has iterations left.
	again bool
	// wide holds operands over eight bytes. It lives here because a slice of
	// it is handed to the Bus.
	wide [64]byte
}

// masks has the mask of an operand of 1, 2, 4 or 8 bytes.
var masks = [16]uint64{1: 0xff, 2: 0xffff, 4: 0xffffffff, 8: 0xffffffffffffffff}

// maskOf returns the mask of an operand of size bytes.
func maskOf(size uint8) uint64 { return masks[size&15] }

// Execute carries out the instruction that Fx.Inst holds, which is valid, up
// to and including retirement: it stages in Fx what Apply is to do. The
// caller has reset the counts of Fx.
func (c *Context) Execute() step.Outcome {
	c.inst = &c.Fx.Inst
	p := &plans[c.inst.Row]
	c.plan = p
	c.outcome = step.Okay
	c.retire = 0
	c.again = false
	if p.longOnIntel && c.State.Mode != x86.Long64 && !c.amd() {
		c.raise(x86.Fault(x86.VectorUD))
		return c.outcome
	}
	if p.cpl0 && !c.privileged() {
		return c.outcome
	}
	if c.Hooks&step.HookValidate != 0 && !c.validated() {
		return c.outcome
	}
	if p.run == nil || c.inst.HasREX2 { // the state has no registers from R16 on
		return step.Unimplemented
	}
	c.flags = x86.Flags(c.State.RFLAGS)
	c.resume = 0
	c.checked = c.flags&x86.AC != 0 && c.State.CPL == 3
	c.next = c.wrapRIP(c.State.RIP + uint64(c.inst.Length))
	c.rip = c.next
	c.setSize(p.size)
	c.kept = 0
	c.skip = false
	if c.inst.IsMem {
		c.locate()
	}
	c.readOperands()
	if c.outcome != step.Okay {
		return c.outcome
	}
	p.run(c)
	if !p.own { // and so it raises nothing
		c.writeOperands()
	}
	if c.outcome == step.Okay {
		c.finish()
	}
	return c.outcome
}

// privileged raises #GP(0) above CPL 0. (A control or debug register that does
// not exist is #UD before that: the decoder has refused it.)
func (c *Context) privileged() bool {
	if c.State.CPL != 0 {
		c.raise(x86.FaultCode(x86.VectorGP, 0))
	}
	return c.outcome == step.Okay
}

// validated lets the Bus refuse the decoded instruction.
func (c *Context) validated() bool {
	out := c.Bus.Validate(uint16(c.inst.Row), c.inst.Length, &c.Fx.Event)
	c.stop(out)
	return out == step.Okay
}

// finish stages what retirement changes.
func (c *Context) finish() {
	fx := c.Fx
	if x86.Flags(c.State.RFLAGS)&x86.TF != 0 && c.retire&step.RetireMovSS == 0 {
		c.retire |= step.RetireSingleStep
	}
	fx.Retire = c.retire
	if c.again {
		// The flags of a string comparison are those of the last iteration: a
		// fault in between leaves them as they were before the instruction
		// (SDM vol. 2, REP).
		fx.Again = true
		fx.RIP = c.State.RIP
		return
	}
	fx.RIP = c.rip
	fx.RFLAGS = uint64(c.flags&^x86.RF | c.resume)
	fx.FlagsDirty = fx.RFLAGS != c.State.RFLAGS
}

// setSize sets the operand width.
func (c *Context) setSize(size uint8) {
	c.size = size
	c.top = size*8 - 1
	c.mask = maskOf(size)
}

// bits is the operand width in bits.
func (c *Context) bits() uint { return uint(c.top) + 1 }

// wrapRIP wraps an instruction pointer to the width of the mode.
func (c *Context) wrapRIP(rip uint64) uint64 {
	if c.State.Mode == x86.Long64 {
		return rip
	}
	return rip & 0xffffffff
}

// readOperands reads what the row's entry says is read, in order.
func (c *Context) readOperands() {
	p := c.plan
	for i := range p.ops[:p.n] {
		o := &p.ops[i]
		switch o.from {
		case fromReg:
			c.in[i] = c.reg(c.inst.Reg, o.size)
		case fromRM:
			if !c.inst.IsMem {
				c.in[i] = c.reg(c.inst.RM, o.size)
			} else if o.load {
				c.in[i] = c.load(c.segment, c.offset, o.size, o.intent)
			}
		case fromImm:
			c.in[i] = c.inst.Imm & maskOf(o.size)
		case fromFixed:
			c.in[i] = c.reg(o.reg, o.size)
		case fromVVVV:
			c.in[i] = c.reg(c.inst.VVVV, o.size)
		case fromOne:
			c.in[i] = 1
		case fromSegment:
			c.in[i] = uint64(c.State.Selector[c.inst.Reg&7%x86.NumSegment])
		case fromFixedSegment:
			c.in[i] = uint64(c.State.Selector[o.reg%x86.NumSegment])
		}
	}
}

// writeOperands writes what the row's entry says is written, the first
// operand last: where XADD or MULX name a register twice, it is the first
// that counts.
func (c *Context) writeOperands() {
	p := c.plan
	for i := int(p.n) - 1; i >= 0; i-- {
		o := &p.ops[i]
		if !o.write || c.skip {
			continue
		}
		switch o.from {
		case fromReg:
			c.setReg(c.inst.Reg, o.size, c.out[i])
		case fromRM:
			if c.inst.IsMem {
				c.writeMemory(o, i)
			} else {
				c.setReg(c.inst.RM, o.size, c.out[i])
			}
		case fromFixed:
			c.setReg(o.reg, o.size, c.out[i])
		case fromVVVV:
			c.setReg(c.inst.VVVV, o.size, c.out[i])
		}
	}
}

// keep says that the instruction leaves operand i as it was. A register is
// written all the same (the upper half of a 64-bit register becomes zero), as
// is memory with ForceWriteback.
func (c *Context) keep(i int) {
	c.out[i] = c.in[i]
	c.kept |= 1 << i
}

// stop ends the step with a hook's outcome.
func (c *Context) stop(out step.Outcome) { c.outcome = step.Answer(out, &c.Fx.Event) }

// raise ends the step with an event.
func (c *Context) raise(ev x86.Event) {
	c.Fx.Event = ev
	c.outcome = step.Exception
}

// need ends the step as Unhandleable unless all the hooks are offered.
func (c *Context) need(h step.Hooks) bool {
	if c.Hooks&h == h {
		return true
	}
	c.outcome = step.Unhandleable
	return false
}

// amd tells whether the CPU that is modelled is AMD's.
func (c *Context) amd() bool { return c.Profile.Vendor == isa.AMD }
