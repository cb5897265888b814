package exec

import (
	"math/bits"

	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// mov also serves MOVZX and MOVNTI: the source is zero-extended already, and
// the row gives each operand its width.
func mov(c *Context) { c.out[0] = c.in[1] }

// movsx sign-extends from the width of the source (MOVSX, MOVSXD).
func movsx(c *Context) { c.out[0] = signExtend(c.in[1], c.plan.ops[1].size) }

// movFromSegment stores a selector: sixteen bits in memory, zero-extended in
// a register of the operand size (SDM vol. 2, MOV).
func movFromSegment(c *Context) {
	if c.inst.IsMem {
		c.store(c.segment, c.offset, 2, c.in[1])
		return
	}
	c.setReg(c.inst.RM, c.inst.OpSize, c.in[1])
}

// movMoffs is MOV with an absolute offset in place of ModRM (A0 to A3).
func movMoffs(c *Context) {
	off := c.inst.Disp & maskOf(c.inst.AddrSize)
	if c.plan.ops[0].from == fromMoffs {
		c.store(c.dataSegment(), off, c.size, c.in[1])
		return
	}
	c.setReg(x86.RAX, c.size, c.load(c.dataSegment(), off, c.size, step.IntentRead))
}

// movbe moves with the bytes in reverse order.
func movbe(c *Context) { c.out[0] = bits.ReverseBytes64(c.in[1]) >> (64 - c.bits()) }

func lea(c *Context) { c.setReg(c.inst.Reg, c.size, c.offset) }

// cmov reads its source whatever the condition, and writes its destination
// whatever the condition: a 32-bit one clears the upper half.
func cmov(c *Context) {
	if c.condition() {
		c.out[0] = c.in[1]
	} else {
		c.out[0] = c.reg(c.inst.Reg, c.size)
	}
}

func setcc(c *Context) {
	c.out[0] = 0
	if c.condition() {
		c.out[0] = 1
	}
}

// bswap reverses bytes. Sixteen bits are undefined; CPUs clear them.
func bswap(c *Context) {
	if c.size == 2 {
		c.out[0] = 0
		return
	}
	c.out[0] = bits.ReverseBytes64(c.in[0]) >> (64 - c.bits())
}

// extendAccumulator is CBW, CWDE, CDQE: the lower half of the accumulator
// sign-extended into all of it.
func extendAccumulator(c *Context) {
	size := c.inst.OpSize
	c.setReg(x86.RAX, size, signExtend(c.State.GPR[x86.RAX], size/2))
}

// signAccumulator is CWD, CDQ, CQO: the sign of the accumulator in all of DX,
// EDX or RDX.
func signAccumulator(c *Context) {
	size := c.inst.OpSize
	c.setReg(x86.RDX, size, uint64(int64(signExtend(c.State.GPR[x86.RAX], size))>>63))
}

func xlat(c *Context) {
	off := (c.State.GPR[x86.RBX] + c.State.GPR[x86.RAX]&0xff) & maskOf(c.inst.AddrSize)
	c.setReg(x86.RAX, 1, c.load(c.dataSegment(), off, 1, step.IntentRead))
}

// lahfFlags are the flags that LAHF and SAHF move.
const lahfFlags = x86.SF | x86.ZF | x86.AF | x86.PF | x86.CF

func lahf(c *Context) { c.setHigh(x86.RAX, uint64(c.flags&lahfFlags|x86.FlagsFixed)) }
func sahf(c *Context) { c.setFlags(lahfFlags, x86.Flags(c.State.GPR[x86.RAX]>>8)) }

func clc(c *Context) { c.flags &^= x86.CF }
func stc(c *Context) { c.flags |= x86.CF }
func cmc(c *Context) { c.flags ^= x86.CF }
func cld(c *Context) { c.flags &^= x86.DF }
func std(c *Context) { c.flags |= x86.DF }

// nop serves all that has no effect that a program could see: NOP, hints,
// prefetches, fences.
func nop(*Context) {}
