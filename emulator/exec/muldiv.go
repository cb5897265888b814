package exec

import (
	"math/bits"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// product is the double-width product of two operands, unsigned.
func (c *Context) product(a, b uint64) (high, low uint64) {
	high, low = bits.Mul64(a, b)
	if c.size < 8 {
		high = low >> c.bits()
	}
	return high, low & c.mask
}

// signedProduct is the double-width product of two operands, signed. The
// parts have the operand width.
func (c *Context) signedProduct(a, b uint64) (high, low uint64) {
	x, y := signExtend(a, c.size), signExtend(b, c.size)
	if c.size < 8 {
		p := x * y
		return p >> c.bits() & c.mask, p & c.mask
	}
	high, low = bits.Mul64(x, y)
	if int64(x) < 0 {
		high -= y
	}
	if int64(y) < 0 {
		high -= x
	}
	return high, low
}

// multiplied sets CF and OF, which say that the upper half counts. SF, ZF, AF
// and PF are undefined: AMD's CPUs leave them, Intel's show the lower half.
func (c *Context) multiplied(low uint64, overflow bool) {
	f := x86.Flags(0)
	if overflow {
		f = x86.CF | x86.OF
	}
	if c.amd() {
		c.setFlags(x86.CF|x86.OF, f)
		return
	}
	c.setFlags(status, f|c.szp(low)&^x86.ZF)
}

// setDouble stages a double-width result: AX for bytes, else rDX:rAX.
func (c *Context) setDouble(high, low uint64) {
	if c.size == 1 {
		c.setReg(x86.RAX, 2, high<<8|low)
		return
	}
	c.setReg(x86.RAX, c.size, low)
	c.setReg(x86.RDX, c.size, high)
}

func mul(c *Context) {
	high, low := c.product(c.State.GPR[x86.RAX]&c.mask, c.in[0])
	c.multiplied(low, high != 0)
	c.setDouble(high, low)
}

func imul1(c *Context) {
	high, low := c.signedProduct(c.State.GPR[x86.RAX]&c.mask, c.in[0])
	c.multiplied(low, c.signLost(high, low))
	c.setDouble(high, low)
}

// signLost says that a signed product does not fit its lower half.
func (c *Context) signLost(high, low uint64) bool {
	return high != -c.sign(low)&c.mask
}

// imul is IMUL with one, two or three operands.
func imul(c *Context) {
	switch c.plan.n {
	case 1:
		imul1(c)
		return
	case 2:
		c.in[2] = c.in[1]
		c.in[1] = c.in[0]
	}
	high, low := c.signedProduct(c.in[1], c.in[2])
	c.multiplied(low, c.signLost(high, low))
	c.out[0] = low
}

// mulx multiplies rDX without flags. The upper half is written last, so that
// it counts where both destinations are one register.
func mulx(c *Context) {
	c.out[0], c.out[1] = c.product(c.State.GPR[x86.RDX]&c.mask, c.in[2])
}

// dividend returns the double-width dividend: AX for bytes, else rDX:rAX.
func (c *Context) dividend() (high, low uint64) {
	a := c.State.GPR[x86.RAX]
	if c.size == 1 {
		return a >> 8 & 0xff, a & 0xff
	}
	return c.State.GPR[x86.RDX] & c.mask, a & c.mask
}

// divide returns quotient and remainder of a double-width dividend, unsigned;
// ok is false if the quotient does not fit.
func (c *Context) divide(high, low, by uint64) (quotient, remainder uint64, ok bool) {
	if high >= by {
		return quotient, remainder, false
	}
	if c.size == 8 {
		quotient, remainder = bits.Div64(high, low, by)
		return quotient, remainder, true
	}
	n := high<<c.bits() | low
	return n / by, n % by, true
}

// setQuotient stages the results of a division: AL and AH for bytes, else rAX
// and rDX.
func (c *Context) setQuotient(quotient, remainder uint64) {
	if c.size == 1 {
		c.setReg(x86.RAX, 2, remainder&0xff<<8|quotient&0xff)
		return
	}
	c.setReg(x86.RAX, c.size, quotient)
	c.setReg(x86.RDX, c.size, remainder)
}

// div leaves the flags, all undefined, alone. After #DE what it stages goes.
func div(c *Context) {
	high, low := c.dividend()
	q, r, ok := c.divide(high, low, c.in[0])
	if !ok {
		c.raise(x86.Fault(x86.VectorDE))
	}
	c.setQuotient(q, r)
}

// idiv truncates towards zero; the remainder has the sign of the dividend.
func idiv(c *Context) {
	high, low := c.dividend()
	by := c.in[0]
	negative, negativeBy := c.sign(high) != 0, c.sign(by) != 0
	if negative {
		low = -low & c.mask
		high = ^high & c.mask
		if low == 0 {
			high = (high + 1) & c.mask
		}
	}
	if negativeBy {
		by = -by & c.mask
	}
	q, r, ok := c.divide(high, low, by)
	limit := c.mask >> 1
	if negative != negativeBy {
		limit++
	}
	if !ok || q > limit {
		c.raise(x86.Fault(x86.VectorDE))
	}
	if negative != negativeBy {
		q = -q
	}
	if negative {
		r = -r
	}
	c.setQuotient(q, r)
}
