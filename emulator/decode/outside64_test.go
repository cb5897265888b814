package decode_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// Outside 64-bit mode there are eight registers, so that R, X and B of XOP say
// nothing; W is ignored where it chooses the width of a general register, and
// #UD where it chooses nothing. What is valid and what not was seen on Intel's
// CPUs, but for XOP.
func TestFieldsOutside64(t *testing.T) {
	p := allFeatures(isa.Intel)
	for _, tc := range []struct{ name, code, text string }{
		{"KMOVD with W1 is not KMOVQ", "c4e1fb92d1", "kmovd k2, ecx"},
		{"VMOVD with W1 is not VMOVQ", "c4e1f96ec1", "vmovd xmm0, ecx"},
		{"VPBROADCASTD with W1", "62f2fd087cd1", "vpbroadcastd xmm2, ecx"},
		{"KMOVB has no W1", "c4e1f992d1", "(bad)"},
		{"KMOVW has no W1", "c4e1f892d1", "(bad)"},
		{"VPBROADCASTB has no W1", "62f2fd087ad1", "(bad)"},
		{"VPBROADCASTW has no W1", "62f2fd087bd1", "(bad)"},
		{"XOP.R and XOP.B", "8f4900 97c2", "vpshlq xmm0, xmm2, xmm7"},
		{"XOP.X", "8fa97897c2", "vpshlq xmm0, xmm2, xmm0"},
		{"XOP.R, X and B with memory", "8f09f89344b500", "vprotq xmm0, xmm0, xmmword ptr [ebp+esi*4]"},
		{"PUSH imm8", "6aff", "push 0xffffffff"},
		{"PUSH imm8 of a word", "666aff", "push 0xffff"},
	} {
		code := unhex(t, tc.code)
		var in decode.Inst
		decode.Decode(&in, code, x86.Compat32, p)
		require.Equal(t, tc.text, in.Text(), tc.name)
	}
}

// What is pushed is as wide as the slot of the stack, in each mode and with 66.
func TestPushWidth(t *testing.T) {
	p := allFeatures(isa.Intel)
	for _, tc := range []struct {
		mode x86.Mode
		code string
		size uint8
	}{
		{x86.Compat16, "6aff", 2},
		{x86.Compat16, "666aff", 4},
		{x86.Compat32, "6aff", 4},
		{x86.Compat32, "666aff", 2},
		{x86.Long64, "6aff", 8},
		{x86.Long64, "666aff", 2},
		{x86.Long64, "66486aff", 8},
		{x86.Long64, "68ffffffff", 8},
		{x86.Long64, "6668ffff", 2},
	} {
		var in decode.Inst
		require.Equal(t, decode.Valid, decode.Decode(&in, unhex(t, tc.code), tc.mode, p), tc.code)
		o := in.Operand(0)
		require.Equal(t, tc.size, o.Size, "%v %s", tc.mode, tc.code)
		require.Equal(t, tc.size, in.OpSize, "%v %s", tc.mode, tc.code)
	}
}
