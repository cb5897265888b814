package exec

import (
	"math/bits"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

const status = x86.FlagsStatus

// Numbers of the flags' bits, to shift a bit into place.
const (
	bitSF = 7
	bitOF = 11
)

// parity is PF for each low byte of a result: set when the number of ones is
// even.
var parity = func() (t [256]x86.Flags) {
	for i := range t {
		if bits.OnesCount8(uint8(i))%2 == 0 {
			t[i] = x86.PF
		}
	}
	return t
}()

// setFlags replaces the flags in mask.
func (c *Context) setFlags(mask, value x86.Flags) { c.flags = c.flags&^mask | value&mask }

// assign sets or clears a flag.
func (c *Context) assign(f x86.Flags, on bool) {
	if on {
		c.flags |= f
	} else {
		c.flags &^= f
	}
}

// when returns f if the low bit of b is set.
func when(f x86.Flags, b uint64) x86.Flags { return f & -x86.Flags(b&1) }

// sign returns the sign bit of a value of the operand width, as 0 or 1.
func (c *Context) sign(v uint64) uint64 { return v >> c.top & 1 }

// carry returns CF as 0 or 1.
func (c *Context) carry() uint64 { return uint64(c.flags) & 1 }

// szp returns SF, ZF and PF of a result of the operand width.
func (c *Context) szp(r uint64) x86.Flags {
	f := parity[uint8(r)] | x86.Flags(c.sign(r))<<bitSF
	if r == 0 {
		f |= x86.ZF
	}
	return f
}

// logic sets the flags as AND, OR, XOR and TEST do: OF and CF clear. AF is
// undefined; CPUs of both makers clear it.
func (c *Context) logic(r uint64) { c.setFlags(status, c.szp(r)) }

// add returns a + b + carry in the operand width and sets all six status
// flags.
func (c *Context) add(a, b, carry uint64) uint64 {
	r := (a + b + carry) & c.mask
	carries := a&b | (a|b)&^r
	c.setFlags(status, c.szp(r)|
		x86.Flags(c.sign(carries))| // CF is bit 0
		x86.Flags(carries<<1)&x86.AF|
		x86.Flags(c.sign((a^r)&(b^r)))<<bitOF)
	return r
}

// sub returns a - b - borrow in the operand width and sets all six status
// flags.
func (c *Context) sub(a, b, borrow uint64) uint64 {
	r := (a - b - borrow) & c.mask
	borrows := ^a&b | (^a|b)&r
	c.setFlags(status, c.szp(r)|
		x86.Flags(c.sign(borrows))| // CF is bit 0
		x86.Flags(borrows<<1)&x86.AF|
		x86.Flags(c.sign((a^b)&(a^r)))<<bitOF)
	return r
}

// condition evaluates one of the sixteen conditions, by the low four bits of
// the opcode (SDM vol. 1, appendix B).
func (c *Context) condition() bool {
	f := c.flags
	var on bool
	switch c.inst.Opcode >> 1 & 7 {
	case 0:
		on = f&x86.OF != 0
	case 1:
		on = f&x86.CF != 0
	case 2:
		on = f&x86.ZF != 0
	case 3:
		on = f&(x86.CF|x86.ZF) != 0
	case 4:
		on = f&x86.SF != 0
	case 5:
		on = f&x86.PF != 0
	case 6:
		on = f>>bitSF&1 != f>>bitOF&1
	case 7:
		on = f&x86.ZF != 0 || f>>bitSF&1 != f>>bitOF&1
	}
	return on != (c.inst.Opcode&1 != 0)
}
