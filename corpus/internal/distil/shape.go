package main

import (
	"strconv"

	"golang.org/x/arch/x86/x86asm"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// key is what makes an encoding distinct, with the code width: the decoder's
// Shape, or where the table has no row, the bytes.
type key struct {
	mode  int
	shape decode.Shape
	bytes head
}

// head is the bytes of an instruction without the values of displacement and
// immediate, but with their length.
type head struct {
	length, n uint8
	head      [15]byte
}

// profile is a CPU with everything, so that no seed is lost for a feature.
var profile = &isa.Profile{Name: "all", Vendor: isa.Intel, Features: isa.AllFeatures(), VirtualBits: 48}

// length64 returns the length of the first instruction of 64-bit code, or 0:
// the model's, or x86asm's where the model's table has a gap.
func length64(code []byte) int {
	var in decode.Inst
	if decode.Decode(&in, code, x86.Long64, profile) == decode.Valid {
		return int(in.Length)
	}
	if in.Uncovered(code) == "" {
		return 0
	}
	ref, err := x86asm.Decode(code, 64)
	if err != nil || ref.Op == 0 || ref.Len > decode.MaxLength {
		return 0
	}
	return ref.Len
}

// keyOf returns the key of an instruction that fills code.
func keyOf(code []byte, mode int) key {
	m, err := x86.ParseMode(strconv.Itoa(mode))
	if err != nil {
		panic(err) // the readers give 32 and 64 alone
	}
	var in decode.Inst
	if decode.Decode(&in, code, m, profile) == decode.Valid && int(in.Length) == len(code) {
		return key{mode: mode, shape: in.Shape(code)}
	}
	k := key{mode: mode, bytes: head{length: uint8(len(code)), n: uint8(headLength(code, mode))}}
	copy(k.bytes.head[:k.bytes.n], code)
	return k
}

// headLength returns how many bytes of the instruction come before
// displacement and immediate, by the rules of the encoding (SDM vol. 2, 2.1
// to 2.7) and the few opcodes that have no ModRM.
func headLength(code []byte, mode int) int {
	i, address16 := prefixLength(code, mode)
	modrm := false
	switch at := func(j int) byte {
		if j < len(code) {
			return code[j]
		}
		return 0
	}; {
	case (at(i) == 0xc5 || at(i) == 0xc4 || at(i) == 0x62) && (mode == 64 || at(i+1) >= 0xc0):
		skip := map[byte]int{0xc5: 2, 0xc4: 3, 0x62: 4}[at(i)]
		// VZEROUPPER and VZEROALL alone have no ModRM.
		map1 := at(i) == 0xc5 || at(i) == 0xc4 && at(i+1)&31 == 1
		i += skip
		modrm = at(i) != 0x77 || !map1
	case at(i) == 0x8f && at(i+1)&0x1f >= 8:
		i, modrm = i+3, true
	case at(i) == 0x0f && (at(i+1) == 0x38 || at(i+1) == 0x3a):
		i, modrm = i+2, true
	case at(i) == 0x0f:
		i++
		modrm = !noModRM0F(at(i))
	default:
		modrm = modRMOne(at(i))
	}
	i++
	if !modrm || i >= len(code) {
		return min(i, len(code))
	}
	m := code[i]
	i++
	if m>>6 != 3 && m&7 == 4 && !address16 {
		i++
	}
	return min(i, len(code))
}

// prefixLength returns the number of prefix bytes, REX included, and whether
// ModRM is in its 16-bit form.
func prefixLength(code []byte, mode int) (n int, address16 bool) {
	address16 = mode == 16
	for ; n < len(code); n++ {
		switch b := code[n]; b {
		case 0x67:
			address16 = mode == 32
		case 0x66, 0xf0, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65:
		default:
			if mode != 64 || b&0xf0 != 0x40 {
				return n, address16
			}
		}
	}
	return n, address16
}

// modRMOne says whether an opcode of the one-byte map takes a ModRM byte (SDM
// vol. 2, table A-2).
func modRMOne(op byte) bool {
	switch {
	case op < 0x40:
		return op&7 < 4
	case op >= 0x80 && op <= 0x8f, op >= 0xd8 && op <= 0xdf:
		return true
	}
	switch op {
	case 0x62, 0x63, 0x69, 0x6b, 0xc0, 0xc1, 0xc4, 0xc5, 0xc6, 0xc7, 0xd0, 0xd1, 0xd2, 0xd3, 0xf6, 0xf7, 0xfe, 0xff:
		return true
	}
	return false
}

// noModRM0F says whether an opcode of map 0F takes no ModRM byte (SDM vol. 2,
// table A-3).
func noModRM0F(op byte) bool {
	switch {
	case op >= 0x80 && op <= 0x8f, op >= 0xc8 && op <= 0xcf, op >= 0x30 && op <= 0x37:
		return true
	}
	switch op {
	case 0x05, 0x06, 0x07, 0x08, 0x09, 0x0b, 0x0e, 0x77, 0xa0, 0xa1, 0xa2, 0xa8, 0xa9, 0xaa:
		return true
	}
	return false
}
