package decode

import "github.com/seed-4e121ece/ringfence/emulator/isa"

// An encoding that no row describes is #UD, but only once its bytes are there:
// the CPU fetches the ModRM byte, the memory operand and the immediate of the
// opcode first, whatever prefixes, /digit or VEX fields make it undefined. At
// the end of a page that gives a page fault (SDM vol. 3, table 6-2: faults on
// fetching the next instruction come before those on decoding it), past the
// 15th byte #GP(0). How long an undefined encoding is the manuals do not say:
// what stands here was measured on an Intel CPU in 64-, 32- and 16-bit code, by
// strings that the end of a page cuts. AMD's CPUs often give up earlier; for them an
// encoding is undefined as soon as it has no row.

// measured says whether undefined encodings are read to their end.
func (c *cursor) measured() bool { return c.p.Vendor == isa.Intel }

// undefined reads the rest of an encoding without a row and returns Undefined,
// or why bytes of it are not there.
func (c *cursor) undefined(in *Inst) Reason {
	return c.skip(in, lengthMaps[in.Map], in.Opcode)
}

// lengthMaps gives the legacy map by whose opcodes an undefined encoding of a
// VEX or EVEX map is as long.
var lengthMaps = [isa.NumMaps]isa.Map{
	isa.MapOne: isa.MapOne, isa.Map0F: isa.Map0F, isa.Map0F38: isa.Map0F38, isa.Map0F3A: isa.Map0F3A, isa.Map0F0F: isa.Map0F0F,
	isa.MapVEX1: isa.Map0F, isa.MapVEX2: isa.Map0F38, isa.MapVEX3: isa.Map0F3A, isa.MapVEX5: isa.Map0F, isa.MapVEX7: isa.Map0F3A,
	isa.MapXOP8: isa.MapOne, isa.MapXOP9: isa.MapOne, isa.MapXOPA: isa.MapOne,
	isa.MapEVEX1: isa.Map0F, isa.MapEVEX2: isa.Map0F38, isa.MapEVEX3: isa.Map0F3A, isa.MapEVEX4: isa.Map0F, isa.MapEVEX5: isa.Map0F,
	isa.MapEVEX6: isa.Map0F38, isa.MapEVEX7: isa.Map0F3A,
}

// reservedMap reads the rest of an encoding of a reserved VEX or EVEX map,
// whose low two bits decide how long it is.
func (c *cursor) reservedMap(in *Inst, m, op uint8) Reason {
	return c.skip(in, [4]isa.Map{1: isa.Map0F, 2: isa.Map0F38, 3: isa.Map0F3A}[m&3], op)
}

// noMap reads the rest of a C4 or 62 whose second byte names no map: the CPU
// takes it for the ModRM byte of LES or BOUND.
func (c *cursor) noMap(in *Inst, modrm byte) Reason {
	if c.measured() && modrm < 0xc0 {
		var ok bool
		if c.pos, ok = c.memory(in, modrm, 0, c.pos); !ok {
			return in.fail(c, c.short())
		}
		if c.pos > len(c.code) || c.pos > MaxLength {
			return in.fail(c, c.short())
		}
	}
	return in.fail(c, Undefined)
}

// skip reads what follows an opcode of a legacy map: ModRM, if there is one
// and it has not been read, the memory operand and the immediate.
func (c *cursor) skip(in *Inst, m isa.Map, op uint8) Reason {
	if !c.measured() {
		return in.fail(c, Undefined)
	}
	modrm, imm := true, 0
	switch m {
	case isa.MapOne:
		modrm, imm = op == 0x82, c.immediateOne(in, op)
	case isa.Map0F:
		modrm, imm = modRM0F(op), c.immediate0F(op)
		if in.Map == isa.Map0F && reservedEscape(op) {
			modrm = true
			c.pos++ // the opcode
			if op == 0x3b || op >= 0x3e {
				imm = 1
			}
		}
	case isa.Map0F3A:
		imm = 1
	case isa.Map0F0F:
		modrm = false // AMD's alone
	}
	if modrm && !in.HasModRM {
		b, ok := c.next()
		if !ok {
			return in.fail(c, c.short())
		}
		in.ModRM, in.HasModRM = b, true
	}
	memory := in.HasModRM && in.ModRM < 0xc0 && !in.IsMem
	if m == isa.Map0F && op&^3 == 0x20 {
		memory = false // ModRM.mod is ignored
	}
	if memory {
		var ok bool
		if c.pos, ok = c.memory(in, in.ModRM, 0, c.pos); !ok {
			return in.fail(c, c.short())
		}
	}
	c.pos += imm
	if c.pos > len(c.code) || c.pos > MaxLength {
		return in.fail(c, c.short())
	}
	return in.fail(c, Undefined)
}

// immediateOne is the size of the immediate of an opcode of the one-byte map,
// by the rows that it has with other digits or in other modes.
func (c *cursor) immediateOne(in *Inst, op uint8) int {
	z := 4
	if c.narrow() != (in.Prefix&PrefixOpSize != 0) && in.REX&rexW == 0 {
		z = 2
	}
	switch op {
	case 0x82, 0xc6, 0xd4, 0xd5:
		return 1
	case 0xc7:
		return z
	case 0x9a, 0xea:
		return z + 2
	}
	return 0
}

// modRM0F says whether an opcode of the 0F map has a ModRM byte.
func modRM0F(op uint8) bool {
	switch op {
	case 0x7a, 0x7b, 0xa6, 0xa7, 0xff:
		return true
	}
	return entries[int(isa.Map0F)<<8|int(op)].modRM() != 0
}

// reservedEscape says whether 0F and the byte announce another opcode, which
// has ModRM as those after 0F 38, or ModRM and an immediate as those after
// 0F 3A.
func reservedEscape(op uint8) bool {
	return op == 0x39 || op >= 0x3b && op <= 0x3f
}

// immediate0F is the size of the immediate of an opcode of the 0F map: of the
// conditional branches, PSHUF, the shifts by an immediate, SHLD, SHRD, the bit
// tests, CMPPS, PINSRW, PEXTRW, SHUFPS.
func (c *cursor) immediate0F(op uint8) int {
	switch op {
	case 0x70, 0x71, 0x72, 0x73, 0xa4, 0xac, 0xba, 0xc2, 0xc4, 0xc5, 0xc6:
		return 1
	}
	switch {
	case op&0xf0 != 0x80:
		return 0
	case c.narrow(): // of a VEX map: 66 does not count
		return 2
	}
	return 4
}

// narrow says that operands have 16 bits without a prefix.
func (c *cursor) narrow() bool { return c.info.set&isa.Mode16 != 0 }

// beforeAVX10Aux says that an opcode of EVEX map 5 means nothing on a CPU without
// the auxiliary instructions of AVX10.2, which then reads no ModRM byte where the
// 0F map has none.
func (c *cursor) beforeAVX10Aux(in *Inst) bool {
	return c.measured() && !modRM0F(in.Opcode) && !c.p.Features.Has(isa.FeatureAVX10V2AUX)
}
