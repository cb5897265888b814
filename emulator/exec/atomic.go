package exec

import (
	"encoding/binary"

	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// cmpxchg compares the accumulator with the destination. Equal, the
// destination becomes the source; if not, the accumulator becomes the
// destination, which stays: memory is checked for writing all the same, but a
// 32-bit register keeps its upper half, although the manual writes it back.
func cmpxchg(c *Context) {
	c.sub(c.State.GPR[x86.RAX]&c.mask, c.in[0], 0)
	if c.flags&x86.ZF != 0 {
		c.out[0] = c.in[1]
		return
	}
	c.keep(0)
	c.skip = !c.inst.IsMem
	c.setReg(x86.RAX, c.size, c.in[0])
}

// cmpccxadd compares memory with the first register, adds the second to it if
// the condition holds, and gives back what memory held (SDM vol. 2,
// CMPccXADD).
func cmpccxadd(c *Context) {
	old := c.in[0]
	c.sub(old, c.in[1], 0)
	c.out[0], c.out[1] = old, old
	if c.condition() {
		c.out[0] = old + c.in[2]
	}
}

// cmpxchgPair is CMPXCHG8B and, with REX.W, CMPXCHG16B: rDX:rAX against
// memory, rCX:rBX to replace it. Only ZF changes. CMPXCHG16B wants its
// operand aligned.
func cmpxchgPair(c *Context) {
	half := uint8(4)
	if c.inst.OpSize == 8 {
		half = 8
	}
	a := c.access(c.segment, c.offset, 2*half, step.IntentModify)
	old := c.loadPair(a, half)
	if c.outcome != step.Okay {
		return
	}
	g := &c.State.GPR
	m := maskOf(half)
	equal := old[0] == g[x86.RAX]&m && old[1] == g[x86.RDX]&m
	c.assign(x86.ZF, equal)
	if !equal {
		c.setReg(x86.RAX, half, old[0])
		c.setReg(x86.RDX, half, old[1])
		if c.ForceWriteback {
			c.storePair(a, half, old, old)
		}
		return
	}
	c.storePair(a, half, old, [2]uint64{g[x86.RBX] & m, g[x86.RCX] & m})
}

// loadPair reads two halves, low one first, with write intent.
func (c *Context) loadPair(a step.Access, half uint8) (v [2]uint64) {
	if half == 4 {
		m := c.load(a.Segment, a.Offset, 8, a.Intent)
		return [2]uint64{m & 0xffffffff, m >> 32}
	}
	a.Align = 16
	return c.load16(a)
}

// storePair stages the two halves that replace what was read.
func (c *Context) storePair(a step.Access, half uint8, old, new [2]uint64) {
	a.Intent = step.IntentWrite
	if half == 4 {
		old = [2]uint64{old[1]<<32 | old[0]}
		new = [2]uint64{new[1]<<32 | new[0]}
	} else {
		a.Align = 16
	}
	switch {
	case c.locked():
		c.stageCompareExchange(a, old, new)
	case !c.need(step.HookWrite):
	case half == 4:
		c.stageWrite(a, new[0])
	default:
		binary.LittleEndian.PutUint64(c.wide[:8], new[0])
		binary.LittleEndian.PutUint64(c.wide[8:16], new[1])
		c.stageWide(a, c.wide[:16])
	}
}

// remote is an atomic operation on memory without a result: AADD, AAND, AOR and
// AXOR (SDM vol. 2). The operand is to be aligned; no flag changes.
func (c *Context) remote(operation func(a, b uint64) uint64) {
	size := c.plan.ops[0].size
	a := c.access(c.segment, c.offset, size, step.IntentModify)
	a.Align = size
	c.log(a)
	v, out := c.Bus.Read(a, &c.Fx.Event)
	if out != step.Okay {
		c.stop(out)
		return
	}
	a.Intent = step.IntentWrite
	c.stageCompareExchange(a, [2]uint64{v}, [2]uint64{operation(v, c.in[1]) & maskOf(size)})
}

func aadd(c *Context) { c.remote(func(a, b uint64) uint64 { return a + b }) }
func aand(c *Context) { c.remote(func(a, b uint64) uint64 { return a & b }) }
func aor(c *Context)  { c.remote(func(a, b uint64) uint64 { return a | b }) }
func axor(c *Context) { c.remote(func(a, b uint64) uint64 { return a ^ b }) }

// movdir64b moves 64 bytes from memory, aligned or not whatever EFLAGS.AC
// says, to ES:reg, which is aligned (SDM vol. 2, MOVDIR64B).
func movdir64b(c *Context) {
	if !c.need(step.HookWrite) {
		return
	}
	data := c.wide[:64]
	from := c.access(c.segment, c.offset, 64, step.IntentRead)
	from.Check = 0
	c.log(from)
	if out := c.Bus.ReadBytes(from, data, &c.Fx.Event); out != step.Okay {
		c.stop(out)
		return
	}
	to := c.access(x86.ES, c.State.GPR[c.inst.Reg&15]&maskOf(c.inst.AddrSize), 64, step.IntentWrite)
	to.Align = 64
	c.log(to)
	if out := c.Bus.ProbeWriteBytes(to, data, &c.Fx.Event); out != step.Okay {
		c.stop(out)
		return
	}
	c.stageWide(to, data)
}
