package exec

import "github.com/seed-4e121ece/ringfence/emulator/x86"

// Decimal adjustment, in the order of the manual's operations. None is valid
// in 64-bit mode. OF is undefined throughout, and cleared by Intel's CPUs but
// for AAD.

func (c *Context) adjusted(al uint64, cf, af bool) {
	c.setSize(1)
	c.setReg(x86.RAX, 1, al)
	c.setFlags(status, c.szp(al&0xff))
	c.assign(x86.CF, cf)
	c.assign(x86.AF, af)
}

// adjust is DAA and DAS: sign is 1 or -1.
func (c *Context) adjust(sign uint64) {
	old := c.State.GPR[x86.RAX] & 0xff
	al := old
	cf, af := c.flags&x86.CF != 0, c.flags&x86.AF != 0
	carry := false
	if old&0xf > 9 || af {
		al += sign * 6
		carry = cf || al > 0xff
		af = true
	}
	if old > 0x99 || cf {
		al += sign * 0x60
		carry = true
	}
	c.adjusted(al&0xff, carry, af)
}

func daa(c *Context) { c.adjust(1) }
func das(c *Context) { c.adjust(^uint64(0)) }

// ascii is AAA and AAS: sign is 1 or -1.
func (c *Context) ascii(sign uint64) {
	ax := c.State.GPR[x86.RAX] & 0xffff
	on := ax&0xf > 9 || c.flags&x86.AF != 0
	if on {
		ax += sign * 0x106
	}
	c.setReg(x86.RAX, 2, ax&0xff0f)
	f := x86.Flags(0)
	if on {
		f = x86.CF | x86.AF
	}
	if c.amd() {
		c.setFlags(x86.CF|x86.AF, f)
		return
	}
	// SF, ZF and PF are undefined: Intel's CPUs show what AL has become.
	c.setSize(1)
	c.setFlags(status, f|c.szp(ax&0xf))
}

func aaa(c *Context) { c.ascii(1) }
func aas(c *Context) { c.ascii(^uint64(0)) }

func aam(c *Context) {
	base := c.inst.Imm & 0xff
	if base == 0 {
		c.raise(x86.Fault(x86.VectorDE))
		return
	}
	al := c.State.GPR[x86.RAX] & 0xff
	c.setReg(x86.RAX, 2, al/base<<8|al%base)
	c.setSize(1)
	c.setFlags(status, c.szp(al%base))
}

// aad leaves OF, AF and CF undefined: Intel's CPUs show those of the addition.
func aad(c *Context) {
	ax := c.State.GPR[x86.RAX]
	c.setSize(1)
	al := c.add(ax&0xff, (ax>>8&0xff)*(c.inst.Imm&0xff)&0xff, 0)
	c.setReg(x86.RAX, 2, al)
	if c.amd() {
		c.setFlags(status, c.szp(al))
	}
}

func salc(c *Context) { c.setReg(x86.RAX, 1, -c.carry()) }
