package oracle

import (
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// Escape is the form of the opcode's escape: legacy, VEX, EVEX or XOP.
type Escape uint8

// The escapes.
const (
	EscapeLegacy Escape = iota
	EscapeVEX
	EscapeEVEX
	EscapeXOP
)

// Lexed is a byte string cut into prefixes, opcode and ModRM by the rules of
// the encoding alone (SDM vol. 2, 2.1 to 2.3), without an instruction table:
// what the condition of a quirk is written in. So a quirk does not depend on
// what the subject makes of the bytes.
type Lexed struct {
	Mode x86.Mode
	Code []byte
	// NumPrefix is the number of legacy prefixes and REX bytes.
	NumPrefix int
	OpSize    bool // 66
	AddrSize  bool // 67
	Lock      bool // F0
	// Rep is 0xf2 or 0xf3, the last one of them, or 0.
	Rep byte
	// Segment is the last segment override byte, or 0.
	Segment byte
	// REX is the REX byte directly before the opcode, or 0; LostREX says that
	// there was one that another prefix made void.
	REX     byte
	LostREX bool
	Escape  Escape
	// Map and Opcode are valid if HasOpcode. For EVEX and XOP, Map is the
	// legacy or VEX map of the same number where there is one, and MapNumber
	// is what the bytes say.
	Map       isa.Map
	MapNumber uint8
	Opcode    byte
	HasOpcode bool
	// PP is the embedded prefix of VEX, EVEX and XOP: 0, 66, F3 or F2. W, L
	// and VVVV are their fields, VVVV with its bits turned.
	PP   byte
	W    bool
	L    uint8
	VVVV uint8
	// ModRM is the byte after the opcode, valid if HasModRM; that the opcode
	// takes one is not known here.
	ModRM    byte
	HasModRM bool
}

// Mod, Reg and RM are the fields of ModRM, without extension bits.
func (l *Lexed) Mod() byte { return l.ModRM >> 6 }

// Reg is ModRM.reg.
func (l *Lexed) Reg() byte { return l.ModRM >> 3 & 7 }

// RM is ModRM.rm.
func (l *Lexed) RM() byte { return l.ModRM & 7 }

var embeddedPrefix = [4]byte{0, 0x66, 0xf3, 0xf2}

// Lex cuts code up; what is not there stays zero.
func (l *Lexed) Lex(code []byte, mode x86.Mode) {
	*l = Lexed{Mode: mode, Code: code}
	i := l.prefixes(code)
	if i >= len(code) {
		return
	}
	b := code[i]
	next := byte(0)
	if i+1 < len(code) {
		next = code[i+1]
	}
	// Outside 64-bit mode C4, C5 and 62 are LES, LDS and BOUND unless the next
	// byte has both top bits set.
	vector := i+1 < len(code) && (mode == x86.Long64 || next >= 0xc0)
	switch {
	case b == 0xc5 && vector:
		l.Escape, l.MapNumber, l.Map = EscapeVEX, 1, isa.MapVEX1
		l.PP, l.L, l.VVVV = embeddedPrefix[next&3], next>>2&1, ^next>>3&15
		l.opcode(code, i+2)
	case b == 0xc4 && vector, b == 0x8f && i+1 < len(code) && next&0x1f >= 8:
		l.Escape = EscapeVEX
		if b == 0x8f {
			l.Escape = EscapeXOP
		}
		l.MapNumber = next & 31
		l.vexMap()
		if i+2 < len(code) {
			p := code[i+2]
			l.PP, l.L, l.VVVV, l.W = embeddedPrefix[p&3], p>>2&1, ^p>>3&15, p&0x80 != 0
		}
		l.opcode(code, i+3)
	case b == 0x62 && vector:
		l.Escape, l.MapNumber = EscapeEVEX, next&7
		l.vexMap()
		if i+3 < len(code) {
			p := code[i+2]
			l.PP, l.VVVV, l.W, l.L = embeddedPrefix[p&3], ^p>>3&15, p&0x80 != 0, code[i+3]>>5&3
		}
		l.opcode(code, i+4)
	case b == 0x0f:
		l.legacy0F(code, i)
	default:
		l.Map = isa.MapOne
		l.opcode(code, i)
	}
}

func (l *Lexed) vexMap() {
	switch l.MapNumber {
	case 1:
		l.Map = isa.MapVEX1
	case 2:
		l.Map = isa.MapVEX2
	case 3:
		l.Map = isa.MapVEX3
	default:
		l.Map = isa.NumMaps
	}
}

func (l *Lexed) legacy0F(code []byte, i int) {
	if i+1 >= len(code) {
		return
	}
	switch code[i+1] {
	case 0x38:
		l.Map, l.MapNumber = isa.Map0F38, 2
		l.opcode(code, i+2)
	case 0x3a:
		l.Map, l.MapNumber = isa.Map0F3A, 3
		l.opcode(code, i+2)
	default:
		l.Map, l.MapNumber = isa.Map0F, 1
		l.opcode(code, i+1)
	}
}

func (l *Lexed) opcode(code []byte, i int) {
	if i < len(code) {
		l.Opcode, l.HasOpcode = code[i], true
	}
	if i+1 < len(code) {
		l.ModRM, l.HasModRM = code[i+1], true
	}
}

// prefixes reads legacy prefixes and REX and returns the index of the first
// byte after them.
func (l *Lexed) prefixes(code []byte) int {
	for i, b := range code {
		rex := l.REX
		l.REX = 0
		switch b {
		case 0x66:
			l.OpSize = true
		case 0x67:
			l.AddrSize = true
		case 0xf0:
			l.Lock = true
		case 0xf2, 0xf3:
			l.Rep = b
		case 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65:
			l.Segment = b
		default:
			if l.Mode == x86.Long64 && b&0xf0 == 0x40 {
				l.LostREX = l.LostREX || rex != 0
				l.REX = b
				l.NumPrefix++
				continue
			}
			l.REX = rex
			return i
		}
		l.LostREX = l.LostREX || rex != 0
		l.NumPrefix++
	}
	return len(code)
}
