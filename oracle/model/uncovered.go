package model

import (
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// uncovered returns the group of an undefined byte string for which the table
// has no rows at all, so that "undefined" says nothing; "" if the table covers
// it.
func uncovered(code []byte, mode x86.Mode) string {
	var l oracle.Lexed
	l.Lex(code, mode)
	switch {
	case l.Escape == oracle.EscapeXOP:
		return "XOP"
	case l.Escape == oracle.EscapeEVEX:
		return "EVEX"
	case l.HasOpcode && l.Map == isa.Map0F && l.Opcode == 0x0f:
		return "3DNow"
	}
	return ""
}
