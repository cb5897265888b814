package oracle

import (
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// Uncovered returns the group of an undefined byte string for which the table
// has no rows at all, so that "undefined" says nothing; "" if the table covers
// it.
func Uncovered(code []byte, mode x86.Mode) string {
	var l Lexed
	l.Lex(code, mode)
	switch {
	case l.Escape == EscapeXOP:
		return "XOP"
	case l.Escape == EscapeEVEX:
		return "EVEX"
	case l.HasOpcode && l.Map == isa.Map0F && l.Opcode == 0x0f:
		return "3DNow"
	}
	return ""
}
