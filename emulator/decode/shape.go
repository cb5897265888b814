package decode

import "github.com/seed-4e121ece/ringfence/emulator/isa"

// Shape is what makes an encoding distinct: opcode, prefixes, ModRM, SIB and
// operand sizes. The values of displacement and immediate do not count, nor
// do the order and repetition of prefixes. It is comparable.
type Shape struct {
	Map      isa.Map
	Opcode   uint8
	Legacy   uint16 // legacy prefixes, a bit each, ignored ones included
	REX      uint8
	VEX      [3]uint8 // the payload of VEX, EVEX or REX2
	ModRM    uint8
	SIB      uint8
	OpSize   uint8
	AddrSize uint8
	Parts    uint8 // what is there: bit 0 ModRM, bit 1 SIB
}

// legacyBits numbers the legacy prefixes.
var legacyBits = func() (t [256]uint8) {
	for i, b := range []byte{0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65} {
		t[b] = uint8(i + 1)
	}
	return t
}()

// Shape returns the shape of a valid instruction; code is what it was decoded
// from.
func (in *Inst) Shape(code []byte) Shape {
	s := Shape{
		Map: in.Map, Opcode: in.Opcode, REX: in.REX, ModRM: in.ModRM, SIB: in.SIB, OpSize: in.OpSize, AddrSize: in.AddrSize,
	}
	for _, b := range code[:min(int(in.PrefixLen), len(code))] {
		if n := legacyBits[b]; n != 0 {
			s.Legacy |= 1 << (n - 1)
		}
	}
	if in.HasModRM {
		s.Parts |= 1
	}
	if in.HasSIB {
		s.Parts |= 2
	}
	if (in.Map >= isa.MapVEX1 || in.HasREX2) && int(in.OpcodeOff) <= len(code) {
		copy(s.VEX[:], code[in.PrefixLen+1:in.OpcodeOff])
	}
	return s
}
