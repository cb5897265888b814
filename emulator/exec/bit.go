package exec

import (
	"math/bits"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// bitOffset is how far from the memory operand the bit string of BT, BTS, BTR
// and BTC with a register offset is addressed: whole operands, signed (SDM
// vol. 2, BT).
func (c *Context) bitOffset() uint64 {
	off := int64(signExtend(c.reg(c.inst.Reg, c.size), c.size))
	return uint64(off>>3) &^ uint64(c.size-1)
}

// selectBit puts the selected bit in CF and returns its mask. The other
// status flags are undefined but ZF; CPUs leave them.
func (c *Context) selectBit() uint64 {
	n := c.in[1] & uint64(c.top)
	c.setFlags(x86.CF, x86.Flags(c.in[0]>>n&1))
	return 1 << n
}

func bt(c *Context)  { c.selectBit() }
func bts(c *Context) { c.out[0] = c.in[0] | c.selectBit() }
func btr(c *Context) { c.out[0] = c.in[0] &^ c.selectBit() }
func btc(c *Context) { c.out[0] = c.in[0] ^ c.selectBit() }

// scanned sets the flags of BSF and BSR: ZF says that the source is 0, the
// others are undefined. AMD's CPUs show the parity of the result; Intel's,
// that of the source.
func (c *Context) scanned(source, result uint64) {
	f := parity[uint8(result)]
	if source == 0 {
		f |= x86.ZF
	}
	c.setFlags(status, f)
}

// A source of 0 leaves the destination undefined by Intel's manual, unchanged
// by AMD's; CPUs of both leave it.

func bsf(c *Context) { c.scan(uint64(bits.TrailingZeros64(c.in[1]))) }
func bsr(c *Context) { c.scan(uint64(bits.Len64(c.in[1]) - 1)) }

func (c *Context) scan(result uint64) {
	if c.in[1] == 0 {
		c.scanned(0, 0)
		return
	}
	c.scanned(c.in[1], result)
	c.setReg(c.inst.Reg, c.size, result)
}

// counted sets the flags of TZCNT and LZCNT: CF says that the source is 0, ZF
// that the result is. SF, AF and PF are undefined, and cleared by CPUs; so is
// OF, which AMD's leave and Intel's clear.
func (c *Context) counted(result uint64) {
	c.out[0] = result
	f := x86.Flags(0)
	switch {
	case c.in[1] == 0:
		f = x86.CF
	case result == 0:
		f = x86.ZF
	}
	if c.amd() {
		f |= c.flags & x86.OF
	}
	c.setFlags(status, f)
}

func tzcnt(c *Context) { c.counted(min(uint64(bits.TrailingZeros64(c.in[1])), uint64(c.bits()))) }
func lzcnt(c *Context) {
	c.counted(uint64(c.bits()) - uint64(bits.Len64(c.in[1])))
}

func popcnt(c *Context) {
	c.out[0] = uint64(bits.OnesCount64(c.in[1]))
	f := x86.Flags(0)
	if c.in[1] == 0 {
		f = x86.ZF
	}
	c.setFlags(status, f)
}

// extracted sets the flags of BMI1 and BMI2: as logic does, but PF, which is
// undefined: the parity of the result on AMD's CPUs, 0 on Intel's.
func (c *Context) extracted(r uint64) {
	c.out[0] = r
	c.logic(r)
	if !c.amd() {
		c.flags &^= x86.PF
	}
}

func andn(c *Context) { c.extracted(^c.in[1] & c.in[2]) }

func bextr(c *Context) {
	start, length := c.in[2]&0xff, c.in[2]>>8&0xff
	r := c.in[1] >> start & (1<<length - 1)
	c.extracted(r & c.mask)
	c.flags &^= x86.SF
}

// isolated gives back the result of BLSI, BLSMSK, BLSR.
func (c *Context) isolated(r uint64, carry bool) {
	c.extracted(r & c.mask)
	c.assign(x86.CF, carry)
}

func blsi(c *Context)   { c.isolated(c.in[1]&-c.in[1], c.in[1] != 0) }
func blsmsk(c *Context) { c.isolated(c.in[1]^(c.in[1]-1), c.in[1] == 0) }
func blsr(c *Context)   { c.isolated(c.in[1]&(c.in[1]-1), c.in[1] == 0) }

// Trailing bit manipulation (APM vol. 3): combinations of the source with the
// source plus or minus 1, whose carry goes to CF.

func (c *Context) plusOne(r uint64)  { c.isolated(r, c.in[1] == c.mask) }
func (c *Context) minusOne(r uint64) { c.isolated(r, c.in[1] == 0) }

func blcfill(c *Context) { c.plusOne(c.in[1] & (c.in[1] + 1)) }
func blci(c *Context)    { c.plusOne(c.in[1] | ^(c.in[1] + 1)) }
func blcic(c *Context)   { c.plusOne(^c.in[1] & (c.in[1] + 1)) }
func blcmsk(c *Context)  { c.plusOne(c.in[1] ^ (c.in[1] + 1)) }
func blcs(c *Context)    { c.plusOne(c.in[1] | (c.in[1] + 1)) }
func t1mskc(c *Context)  { c.plusOne(^c.in[1] | (c.in[1] + 1)) }
func blsfill(c *Context) { c.minusOne(c.in[1] | (c.in[1] - 1)) }
func blsic(c *Context)   { c.minusOne(^c.in[1] | (c.in[1] - 1)) }
func tzmsk(c *Context)   { c.minusOne(^c.in[1] & (c.in[1] - 1)) }

func bzhi(c *Context) {
	n := c.in[2] & 0xff
	c.isolated(c.in[1]&(1<<n-1), n >= uint64(c.bits()))
}

// pdep deposits the low bits of the first source where the mask has ones.
func pdep(c *Context) {
	var r uint64
	for s, m := c.in[1], c.in[2]; m != 0; m &= m - 1 {
		r |= m & -m & -(s & 1)
		s >>= 1
	}
	c.out[0] = r
}

// pext extracts the bits where the mask has ones to the low end.
func pext(c *Context) {
	var r, k uint64
	for m := c.in[2]; m != 0; m &= m - 1 {
		if c.in[1]&m&-m != 0 {
			r |= 1 << k
		}
		k++
	}
	c.out[0] = r
}
