package exec

import "github.com/seed-4e121ece/ringfence/emulator/x86"

// isHigh says that register number n, one byte wide, means AH, CH, DH or BH:
// 4 to 7 without a REX prefix (SDM vol. 1, 3.4.1.1).
func (c *Context) isHigh(n uint8) bool { return n&^3 == 4 && c.inst.REX == 0 }

// reg returns the low size bytes of general-purpose register n, as it was
// before the step.
func (c *Context) reg(n, size uint8) uint64 {
	if size == 1 && c.isHigh(n) {
		return c.State.GPR[n-4] >> 8 & 0xff
	}
	return c.State.GPR[n&15] & maskOf(size)
}

// current returns register n in full, with what this step has staged.
func (c *Context) current(n uint8) uint64 {
	if c.Fx.GPRDirty>>(n&15)&1 != 0 {
		return c.Fx.GPR[n&15]
	}
	return c.State.GPR[n&15]
}

// setReg stages a write of the low size bytes of register n. A 32-bit write
// clears the upper half; an 8- or 16-bit one leaves the rest (SDM vol. 1,
// 3.4.1.1).
func (c *Context) setReg(n, size uint8, v uint64) {
	switch size {
	case 8:
	case 4:
		v = uint64(uint32(v))
	case 2:
		v = c.current(n)&^0xffff | v&0xffff
	case 1:
		if c.isHigh(n) {
			c.setHigh(n-4, v)
			return
		}
		v = c.current(n)&^0xff | v&0xff
	}
	c.Fx.GPR[n&15] = v
	c.Fx.GPRDirty |= 1 << (n & 15)
}

// setHigh stages a write of AH, CH, DH or BH; n is 0 to 3.
func (c *Context) setHigh(n uint8, v uint64) {
	c.Fx.GPR[n&3] = c.current(n&3)&^0xff00 | v&0xff<<8
	c.Fx.GPRDirty |= 1 << (n & 3)
}

// stackSize is the width of the stack pointer in bytes.
func (c *Context) stackSize() uint8 { return c.State.StackWidth / 8 }

// stackPointer returns rSP, wrapped to the width of the stack.
func (c *Context) stackPointer() uint64 {
	return c.current(x86.RSP) & maskOf(c.stackSize())
}

// setStackPointer stages rSP. A 32-bit stack pointer leaves nothing above it
// that could be seen, so it is written as any 32-bit register is.
func (c *Context) setStackPointer(v uint64) { c.setReg(x86.RSP, c.stackSize(), v) }

// signExtend sign-extends v from size bytes to 64 bits.
func signExtend(v uint64, size uint8) uint64 {
	shift := 64 - uint(size)*8
	return uint64(int64(v<<shift) >> shift)
}
