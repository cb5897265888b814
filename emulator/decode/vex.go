package decode

import "github.com/seed-4e121ece/ringfence/emulator/isa"

// vex reads a VEX or XOP prefix (C4, C5, 8F) or says that the byte is the
// opcode LES, LDS or POP, and reads the opcode. The key returned is map and opcode. EVEX (62) is
// read far enough to tell it from BOUND.
func (c *cursor) vex(in *Inst, op byte) (key int, _ Reason) {
	if c.pos >= len(c.code) || c.pos >= MaxLength {
		c.pos++
		return key, c.short()
	}
	if op == 0x8f {
		if c.code[c.pos]&0x1f < 8 || !c.hasXOP() {
			return int(op), Valid // POP
		}
	} else if c.info.long == 0 && (c.info.noVEX || c.code[c.pos] < 0xc0) {
		return int(op), Valid // LES, LDS, BOUND: the byte is ModRM with memory
	}
	// A prefix that VEX encodes itself must not stand before it (SDM vol. 2,
	// 2.3.2 to 2.3.5). It makes #UD, but only after the length limit.
	if in.prefixForbidsVEX() {
		c.forbidden, c.checked = true, everything
	}
	switch op {
	case 0x62:
		return c.evexPrefix(in)
	case 0xd5:
		return c.rex2(in)
	}
	b, _ := c.next()
	m, last := uint8(1), b
	rex := ^b >> 5 & rexR
	if op != 0xc5 {
		if op == 0xc4 && b&3 == 0 {
			return key, c.noMap(in, b)
		}
		var ok bool
		if last, ok = c.next(); !ok {
			return key, c.shortVEX()
		}
		m = b & 0x1f
		rex = ^b>>5&7 | last>>4&rexW
	}
	opcode, ok := c.next()
	if !ok {
		return key, c.shortVEX()
	}
	in.OpcodeOff = uint8(c.pos - 1)
	v := c.vexMap(op, m)
	if v == 0 {
		return key, c.reservedMap(in, m, opcode)
	}
	in.VVVV = ^last >> 3 & 15
	if c.info.long == 0 {
		// There are eight registers: R, X and B say nothing. (Before C4 and C5 R
		// and X are fixed by the check for LES and LDS, before 8F they are not.)
		rex &= rexW
		c.spare = in.VVVV & 8
		in.VVVV &= 7
	}
	c.rex = rex
	in.VL = last >> 2 & 1
	c.vexContext(in, last)
	return int(v)<<8 | int(opcode), Valid
}

// hasXOP says whether 8F is an XOP prefix where it is not POP.
func (c *cursor) hasXOP() bool {
	f := &c.p.Features
	return !c.info.noVEX && (f.Has(isa.FeatureXOP) || f.Has(isa.FeatureTBM) || f.Has(isa.FeatureLWP))
}

// vexMap gives the map by the field of VEX or XOP, or 0 where there is none.
// A CPU without the instructions of map 7 does not know their immediate.
func (c *cursor) vexMap(op, m uint8) isa.Map {
	switch {
	case op == 0x8f:
		if m <= 10 {
			return isa.MapXOP8 + isa.Map(m) - 8
		}
	case m >= 1 && m <= 3:
		return isa.MapVEX1 + isa.Map(m) - 1
	case m == 5:
		return isa.MapVEX5
	case m == 7 && (c.p.Features.Has(isa.FeatureMSRIMM) || c.p.Features.Has(isa.FeatureUSERMSR)):
		return isa.MapVEX7
	}
	return 0
}

// vexContext forms the context of the VEX maps.
func (c *cursor) vexContext(in *Inst, last uint8) {
	c.ctx = c.info.ctx | last&3 | (last>>2&1)<<vexL | c.rex&rexW/rexW*vexW | uint8(in.Prefix/PrefixAddrSize&1)*vexAddrSize
}

// shortVEX is the reason why a byte of the prefix or the opcode is not there.
// Where undefined encodings are not read to their end, a forbidden prefix needs
// no more bytes, but for the length limit.
func (c *cursor) shortVEX() Reason {
	if r := c.short(); r == TooLong || !c.forbidden || c.measured() {
		return r
	}
	return Undefined
}
