package exec

import (
	"hash/crc32"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// Binary arithmetic: ADD, ADC, SUB, SBB, CMP, and the unary INC, DEC, NEG,
// NOT.

func add(c *Context) { c.out[0] = c.add(c.in[0], c.in[1], 0) }
func adc(c *Context) { c.out[0] = c.add(c.in[0], c.in[1], c.carry()) }
func sub(c *Context) { c.out[0] = c.sub(c.in[0], c.in[1], 0) }
func sbb(c *Context) { c.out[0] = c.sub(c.in[0], c.in[1], c.carry()) }
func cmp(c *Context) { c.sub(c.in[0], c.in[1], 0) }
func neg(c *Context) { c.out[0] = c.sub(0, c.in[0], 0) }
func not(c *Context) { c.out[0] = ^c.in[0] & c.mask }

// inc and dec leave CF alone.
func inc(c *Context) {
	cf := c.flags & x86.CF
	c.out[0] = c.add(c.in[0], 1, 0)
	c.setFlags(x86.CF, cf)
}

func dec(c *Context) {
	cf := c.flags & x86.CF
	c.out[0] = c.sub(c.in[0], 1, 0)
	c.setFlags(x86.CF, cf)
}

// addThrough adds with one flag as carry in and out, and touches no other.
func addThrough(c *Context, flag x86.Flags) {
	before := c.flags
	var carry uint64
	if before&flag != 0 {
		carry = 1
	}
	c.out[0] = c.add(c.in[0], c.in[1], carry)
	carried := c.carry() != 0
	c.flags = before
	c.assign(flag, carried)
}

func adcx(c *Context) { addThrough(c, x86.CF) }
func adox(c *Context) { addThrough(c, x86.OF) }

// Logic.

func and(c *Context) { c.out[0] = c.in[0] & c.in[1]; c.logic(c.out[0]) }
func or(c *Context)  { c.out[0] = c.in[0] | c.in[1]; c.logic(c.out[0]) }
func xor(c *Context) { c.out[0] = c.in[0] ^ c.in[1]; c.logic(c.out[0]) }
func test(c *Context) {
	c.logic(c.in[0] & c.in[1])
}

// xadd exchanges and adds. The destination is written last, so that it is the
// sum where both operands are one register.
func xadd(c *Context) {
	c.out[1] = c.in[0]
	c.out[0] = c.add(c.in[0], c.in[1], 0)
}

func xchg(c *Context) { c.out[0], c.out[1] = c.in[1], c.in[0] }

// castagnoli is the table of the polynomial 11EDC6F41H, bits reflected.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// crc accumulates CRC32 over the bytes of the source, lowest first.
func crc(c *Context) {
	r, v := uint32(c.in[0]), c.in[1]
	for range c.plan.ops[1].size {
		r = castagnoli[byte(r)^byte(v)] ^ r>>8
		v >>= 8
	}
	c.out[0] = uint64(r)
}
