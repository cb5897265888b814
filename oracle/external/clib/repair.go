package clib

import (
	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
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

// evexBit says whether a bit of byte at of an EVEX prefix is set, of which byte
// 0 is 62.
func evexBit(l *oracle.Lexed, at int, bit byte) bool {
	at += l.NumPrefix
	return at < len(l.Code) && l.Code[at]&bit != 0
}

// payload is the string behind its legacy prefixes and REX, a copy in buf.
func payload(l *oracle.Lexed, buf []byte) []byte {
	return buf[:copy(buf, l.Code[min(l.NumPrefix, len(l.Code)):])]
}

// repairedVEX says that the string is an instruction without the prefixes
// before VEX or XOP, with some choice of W, L and pp, and with vvvv as it is or
// unused.
func repairedVEX(l *oracle.Lexed) bool {
	var buf [16]byte
	code := payload(l, buf[:])
	at, w := 2, byte(0x80)
	if len(code) > 0 && code[0] == 0xc5 {
		at, w = 1, 0 // there is no W
	}
	if at >= len(code) {
		return false
	}
	old := code[at]
	for _, pp := range ppChoices(l, old) {
		for _, unused := range []byte{0, 0x78} {
			for _, flip := range []byte{0, w, 4, w | 4} {
				code[at] = (old&^3 | pp | unused) ^ flip
				if decodes(code, l.Mode) {
					return true
				}
			}
		}
	}
	return false
}

// repairedEVEX says that the string is an instruction without the prefixes
// before EVEX, with some choice of W, L'L, pp and whether it is masked, with
// vvvv and V' as they are or unused, and b and z as they are or clear.
func repairedEVEX(l *oracle.Lexed) bool {
	var buf [16]byte
	code := payload(l, buf[:])
	if len(code) < 6 {
		return false
	}
	p1, p2 := code[2], code[3]
	for _, pp := range ppChoices(l, p1) {
		for _, flip := range []byte{0, 0x80} {
			for _, unused := range []byte{0, 0x78} {
				code[2] = (p1&^3 | pp | unused) ^ flip
				for _, length := range []byte{p2 & 0x60, 0, 0x20, 0x40} {
					for _, rest := range [...]byte{p2 & 0x9f, p2 & 0x0f, 0x08, 0x09, p2&0x10 | 0x08} {
						code[3] = length | rest | unused&8
						if decodes(code, l.Mode) {
							return true
						}
					}
				}
			}
		}
	}
	return false
}

// withoutW is the name of the string with W clear, "" if that is none.
func withoutW(l *oracle.Lexed) string {
	var buf [16]byte
	code := payload(l, buf[:])
	if len(code) < 3 || code[0] == 0xc5 {
		return ""
	}
	code[2] &^= 0x80
	var in decode.Inst
	if decode.Decode(&in, code, l.Mode, everything) != decode.Valid {
		return ""
	}
	return isa.Get(in.Row).Mnemonic.String()
}

// wideNames are pairs of the names that W gives a move of a general register in
// 64-bit code, and of those that it has elsewhere.
var wideNames = named("VPINSRQ", "VPINSRD", "VPEXTRQ", "VPEXTRD", "VMOVQ", "VMOVD", "VPBROADCASTQ", "VPBROADCASTD", "KMOVQ", "KMOVD")

// ppChoices are the values of pp that a library may see: that of the payload
// and, behind a legacy prefix that it takes for one of its own, all.
func ppChoices(l *oracle.Lexed, p byte) []byte {
	if l.OpSize || l.Rep != 0 {
		return allPP[p&3 : p&3+4]
	}
	return allPP[p&3 : p&3+1]
}

var allPP = [...]byte{0, 1, 2, 3, 0, 1, 2}

// repairedPrefix says that the string is an instruction with another choice of
// 66, F2, F3 or none of them.
func repairedPrefix(l *oracle.Lexed) bool {
	for _, p := range []byte{0, 0x66, 0xf2, 0xf3} {
		var name string
		if p == 0 {
			name, _ = changed(l, func(byte) bool { return true }, rexOf(l)...)
		} else {
			name, _ = changed(l, func(byte) bool { return true }, append([]byte{p}, rexOf(l)...)...)
		}
		if name != "" {
			return true
		}
	}
	return false
}

// rexOf is the REX prefix that counts, if there is one.
func rexOf(l *oracle.Lexed) []byte {
	if l.REX == 0 {
		return nil
	}
	return []byte{l.REX}
}

// decodes says that code begins with an instruction of some CPU.
func decodes(code []byte, mode x86.Mode) bool {
	var in decode.Inst
	return len(code) > 0 && decode.Decode(&in, code[:min(len(code), decode.MaxLength)], mode, everything) == decode.Valid
}
