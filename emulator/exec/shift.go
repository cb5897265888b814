package exec

import "github.com/seed-4e121ece/ringfence/emulator/x86"

// count returns the shift or rotate count: masked to five bits, to six with a
// 64-bit operand (SDM vol. 2, SAL/SAR/SHL/SHR). operand is the one that holds
// it.
func (c *Context) count(operand int) uint {
	n := uint(c.in[operand])
	if c.size == 8 {
		return n & 0x3f
	}
	return n & 0x1f
}

// The manual defines OF for a count of 1: whether the sign changed. For other
// counts AMD's CPUs do the same with the result, Intel's show what a count of
// 1 would have done with the operand.

// overflowLeft is OF of a shift or rotate to the left of v, with its result
// and the carry.
func (c *Context) overflowLeft(v, r, carry uint64) x86.Flags {
	if c.amd() {
		return when(x86.OF, c.sign(r)^carry)
	}
	return when(x86.OF, c.sign(v)^c.sign(v<<1))
}

// overflowRight is OF of a shift or rotate to the right of v: in is the bit
// that a count of 1 would bring in from the left.
func (c *Context) overflowRight(v, in, r uint64) x86.Flags {
	if c.amd() {
		return when(x86.OF, c.sign(r)^c.sign(r<<1))
	}
	return when(x86.OF, c.sign(v)^in)
}

// overflowRotate is OF of ROL and ROR by count: Intel's CPUs leave it where a
// register is rotated by an immediate other than 1.
func (c *Context) overflowRotate(count uint, overflow x86.Flags) x86.Flags {
	if count != 1 && c.plan.ops[1].from == fromImm && !c.inst.IsMem && !c.amd() {
		return c.flags & x86.OF
	}
	return overflow
}

// shifted gives back the result of a shift with CF and OF; SF, ZF and PF are
// the result's. AF is undefined: AMD's CPUs set it, Intel's clear it.
func (c *Context) shifted(r, carry uint64, overflow x86.Flags) {
	c.out[0] = r
	af := x86.Flags(0)
	if c.amd() {
		af = x86.AF
	}
	c.setFlags(status, c.szp(r)|when(x86.CF, carry)|overflow|af)
}

// rotated gives back the result of a rotate, which leaves SF, ZF, AF and PF
// alone.
func (c *Context) rotated(r, carry uint64, overflow x86.Flags) {
	c.out[0] = r
	c.setFlags(x86.CF|x86.OF, when(x86.CF, carry)|overflow)
}

func shl(c *Context) {
	n, v := c.count(1), c.in[0]
	if n == 0 {
		c.keep(0)
		return
	}
	r := v << n & c.mask
	carry := c.sign(v << (n - 1))
	c.shifted(r, carry, c.overflowLeft(v, r, carry))
}

func shr(c *Context) {
	n, v := c.count(1), c.in[0]
	if n == 0 {
		c.keep(0)
		return
	}
	r := v >> n
	c.shifted(r, v>>(n-1)&1, c.overflowRight(v, 0, r))
}

func sar(c *Context) {
	n, v := c.count(1), int64(signExtend(c.in[0], c.size))
	if n == 0 {
		c.keep(0)
		return
	}
	c.shifted(uint64(v>>n)&c.mask, uint64(v>>(n-1))&1, 0)
}

func rol(c *Context) {
	n, v, bits := c.count(1), c.in[0], c.bits()
	if n == 0 {
		c.keep(0)
		return
	}
	r := (v<<(n%bits) | v>>(bits-n%bits)) & c.mask
	c.rotated(r, r&1, c.overflowRotate(n, c.overflowLeft(v, r, r&1)))
}

func ror(c *Context) {
	n, v, bits := c.count(1), c.in[0], c.bits()
	if n == 0 {
		c.keep(0)
		return
	}
	r := (v>>(n%bits) | v<<(bits-n%bits)) & c.mask
	c.rotated(r, c.sign(r), c.overflowRotate(n, c.overflowRight(v, v&1, r)))
}

// throughCarry returns the count of RCL and RCR, which turn the operand and
// CF as one: modulo 9 or 17 for the narrow operands.
func (c *Context) throughCarry() uint { return c.count(1) % (c.bits() + 1) }

func rcl(c *Context) {
	n, v, bits := c.throughCarry(), c.in[0], c.bits()
	if n == 0 {
		c.keep(0)
		return
	}
	r := (v<<n | c.carry()<<(n-1) | v>>(bits+1-n)) & c.mask
	carry := v >> (bits - n) & 1
	c.rotated(r, carry, c.overflowLeft(v, r, carry))
}

func rcr(c *Context) {
	n, v, bits := c.throughCarry(), c.in[0], c.bits()
	if n == 0 {
		c.keep(0)
		return
	}
	r := (v>>n | c.carry()<<(bits-n) | v<<(bits+1-n)) & c.mask
	c.rotated(r, v>>(n-1)&1, c.overflowRight(v, c.carry(), r))
}

// shld shifts left, with bits of the source coming in from the right. A count
// above 16 with a 16-bit operand is undefined; CPUs shift the string
// destination:source:destination.
func shld(c *Context) {
	n, d, s, bits := c.count(2), c.in[0], c.in[1], c.bits()
	if n == 0 {
		c.keep(0)
		return
	}
	carry := c.sign(d << (n - 1))
	r := (d<<n | s>>(bits-n)) & c.mask
	if n > bits {
		carry = s >> (2*bits - n) & 1
		r = (s<<(n-bits) | d>>(2*bits-n)) & c.mask
	}
	c.shifted(r, carry, c.overflowLeft(d, r, carry))
}

// shrd shifts right, with bits of the source coming in from the left.
func shrd(c *Context) {
	n, d, s, bits := c.count(2), c.in[0], c.in[1], c.bits()
	if n == 0 {
		c.keep(0)
		return
	}
	carry := d >> (n - 1) & 1
	r := (d>>n | s<<(bits-n)) & c.mask
	if n > bits {
		carry = s >> (n - bits - 1) & 1
		r = (s>>(n-bits) | d<<(2*bits-n)) & c.mask
	}
	c.shifted(r, carry, c.overflowRight(d, s&1, r))
}

// SARX, SHLX, SHRX: three operands, no flags.

func sarx(c *Context) {
	c.out[0] = uint64(int64(signExtend(c.in[1], c.size))>>c.count(2)) & c.mask
}

func shlx(c *Context) { c.out[0] = c.in[1] << c.count(2) & c.mask }
func shrx(c *Context) { c.out[0] = c.in[1] >> c.count(2) }

func rorx(c *Context) {
	n, bits := c.count(2), c.bits()
	c.out[0] = (c.in[1]>>n | c.in[1]<<(bits-n)) & c.mask
}
