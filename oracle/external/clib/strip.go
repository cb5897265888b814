package clib

import (
	"bytes"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// changed decodes the string again with other prefixes: without those legacy
// prefixes that drop names, and with first before what is left. It returns the
// mnemonic, "" if that is no instruction, and the length as if no byte had been
// added or taken away. It shows what a library takes the string for.
func changed(l *oracle.Lexed, drop func(b byte) bool, first ...byte) (name string, length uint8) {
	var buf [32]byte
	code := append(buf[:0], first...)
	dropped := 0
	for i, b := range l.Code {
		if i < l.NumPrefix && drop(b) {
			dropped++
			continue
		}
		code = append(code, b)
	}
	var in decode.Inst
	if len(code) == 0 || decode.Decode(&in, code[:min(len(code), decode.MaxLength)], l.Mode, everything) != decode.Valid {
		return "", 0
	}
	return isa.Get(in.Row).Mnemonic.String(), uint8(int(in.Length) + dropped - len(first))
}

// takenFor says that the library's answer is that to the string with other
// prefixes: its name and length, or, where that is no instruction, none.
func takenFor(l *oracle.Lexed, wrong *oracle.Decoded, drop func(b byte) bool, first ...byte) bool {
	name, length := changed(l, drop, first...)
	if !wrong.Valid {
		return name == ""
	}
	return name == wrong.Mnemonic && length == wrong.Length
}

// mandatory names the prefixes that select instructions.
func mandatory(b byte) bool { return b == 0x66 || b == 0xf2 || b == 0xf3 }

// opSize names the operand-size prefix.
func opSize(b byte) bool { return b == 0x66 }

// follows says that another prefix stands behind the last prefix p, but for the
// REX that counts.
func follows(l *oracle.Lexed, p byte) bool {
	prefixes := l.Code[:min(l.NumPrefix, len(l.Code))]
	at := bytes.LastIndexByte(prefixes, p)
	if at < 0 {
		return false
	}
	rest := prefixes[at+1:]
	return len(rest) > 1 || len(rest) == 1 && l.REX == 0
}
