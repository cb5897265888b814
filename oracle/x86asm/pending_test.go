package x86asm

import (
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// pending names the group of a string for which the table has no rows yet.
func pending(code []byte, mode x86.Mode) string {
	var l oracle.Lexed
	l.Lex(code, mode)
	o := l.Opcode
	switch {
	case l.Escape == oracle.EscapeVEX && !(l.MapNumber == 2 && o >= 0xf2 && o <= 0xf7 || l.MapNumber == 3 && o == 0xf0):
		return "VEX"
	case l.Escape != oracle.EscapeLegacy:
		return ""
	case l.Map == isa.MapOne && (o == 0x9b || o >= 0xd8 && o <= 0xdf):
		return "x87"
	case l.Map == isa.Map0F38 && o < 0xf0 && (o < 0x80 || o > 0x82), l.Map == isa.Map0F3A && o != 0xf0:
		return "SSE"
	case l.Map == isa.Map0F && (o >= 0x10 && o <= 0x17 || o >= 0x28 && o <= 0x2f || o >= 0x50 && o <= 0x7f || o >= 0xc2 && o <= 0xc6 || o >= 0xd0 && o < 0xff):
		return "SSE"
	case l.Map == isa.Map0F && o == 0xae && (l.Reg() == 2 || l.Reg() == 3):
		return "SSE"
	}
	return ""
}
