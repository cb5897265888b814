package clib

import (
	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// accepts says that the library accepts what is not valid.
func accepts(right, wrong *oracle.Decoded) bool { return !right.Valid && wrong.Valid }

// undefined is evidence of a string that the library accepts and the CPU
// answers with #UD.
func undefined(bytes, says, source string) oracle.Evidence {
	return oracle.Evidence{Bytes: bytes, Mode: x86.Long64, Says: says, Truth: "invalid", Source: source, Executes: oracle.CPUUndefined}
}

// repair changes bits of the bytes behind the prefixes: byte at, cleared, then
// set.
type repair struct {
	at         int
	clear, set byte
}

// The repairs of what capstone ignores. Of VEX in two bytes, the byte is 1 and
// there is no W.
var (
	vexRepairs = [][]repair{
		{{2, 0x80, 0}, {2, 0, 0x80}}, // W
		{{2, 0x04, 0}, {2, 0, 0x04}}, // L
		{{2, 0, 0x78}, {2, 0x78, 0}}, // vvvv
	}
	evexRepairs = [][]repair{
		{{2, 0x80, 0}, {2, 0, 0x80}},                     // W
		{{3, 0x60, 0}, {3, 0x60, 0x20}, {3, 0x60, 0x40}}, // L'L
		{{3, 0x10, 0}, {3, 0, 0x10}},                     // b
		{{3, 0x80, 0}},                                   // z
		{{3, 0x07, 0}, {3, 0, 1}},                        // aaa
		{{2, 0, 0x78}},                                   // vvvv
		{{3, 0, 0x08}},                                   // V'
	}
	// prefixRepairs stands for the prefixes that the opcode may want.
	prefixRepairs [][]repair
)

// repaired says that the string is an instruction but for what the repairs
// undo: without its legacy prefixes and REX, and with any choice of them. For
// prefixRepairs (none) the choice is of 66, F2, F3 or nothing as the prefix.
func repaired(l *oracle.Lexed, repairs [][]repair) bool {
	var buf [32]byte
	rest := l.Code[min(l.NumPrefix, len(l.Code)):]
	if repairs == nil {
		rex := l.REX
		for _, p := range []byte{0, 0x66, 0xf2, 0xf3} {
			code := buf[:0]
			if p != 0 {
				code = append(code, p)
			}
			if rex != 0 {
				code = append(code, rex)
			}
			if decodes(append(code, rest...), l.Mode) {
				return true
			}
		}
		return false
	}
	return try(buf[:copy(buf[:], rest)], l.Mode, repairs)
}

// try decodes code with every choice of the repairs.
func try(code []byte, mode x86.Mode, repairs [][]repair) bool {
	if decodes(code, mode) {
		return true
	}
	if len(repairs) == 0 {
		return false
	}
	if try(code, mode, repairs[1:]) {
		return true
	}
	for _, r := range repairs[0] {
		at := r.at
		if code[0] == 0xc5 {
			at = 1
			if r.clear|r.set == 0x80 {
				continue
			}
		}
		if at >= len(code) {
			continue
		}
		old := code[at]
		code[at] = old&^r.clear | r.set
		ok := code[at] != old && try(code, mode, repairs[1:])
		code[at] = old
		if ok {
			return true
		}
	}
	return false
}

// decodes says that code begins with an instruction of some CPU.
func decodes(code []byte, mode x86.Mode) bool {
	var in decode.Inst
	return len(code) > 0 && decode.Decode(&in, code[:min(len(code), decode.MaxLength)], mode, everything) == decode.Valid
}
