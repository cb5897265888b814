package decode_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// What EVEX adds to the text: mask, zeroing, broadcast, rounding.
func TestTextEVEX(t *testing.T) {
	p := allFeatures(isa.Intel)
	for _, tc := range []struct{ code, text string }{
		{"62f17c4858c2", "vaddps zmm0, zmm0, zmm2"},
		{"62f17c4958c2", "vaddps zmm0 {k1}, zmm0, zmm2"},
		{"62f17cc958c2", "vaddps zmm0 {k1}{z}, zmm0, zmm2"},
		{"62f17c4a1101", "vmovups zmmword ptr [rcx] {k2}, zmm0"},
		{"62f17c1858c2", "vaddps zmm0, zmm0, zmm2, {rn-sae}"},
		{"62f17c3858c2", "vaddps zmm0, zmm0, zmm2, {rd-sae}"},
		{"62f17c5858c2", "vaddps zmm0, zmm0, zmm2, {ru-sae}"},
		{"62f17c7958c2", "vaddps zmm0 {k1}, zmm0, zmm2, {rz-sae}"},
		{"62f17e1858c2", "vaddss xmm0, xmm0, xmm2, {rn-sae}"},
		{"62f17c18c2c201", "vcmpps k0, zmm0, zmm2, {sae}, 0x1"},
		{"62f17c185dc2", "vminps zmm0, zmm0, zmm2, {sae}"},
		{"62f17c182ec2", "vucomiss xmm0, xmm2, {sae}"},
		{"62f17c582ac2", "(bad)"},
		{"62f17c585801", "vaddps zmm0, zmm0, dword ptr [rcx]{1to16}"},
		{"62f17c385801", "vaddps ymm0, ymm0, dword ptr [rcx]{1to8}"},
		{"62f1fd185801", "vaddpd xmm0, xmm0, qword ptr [rcx]{1to2}"},
		{"62f17c585a01", "vcvtps2pd zmm0, dword ptr [rcx]{1to8}"},
		{"62f57c585801", "vaddph zmm0, zmm0, word ptr [rcx]{1to32}"},
		{"62f17c58c20101", "vcmpps k0, zmm0, dword ptr [rcx]{1to16}, 0x1"},
		{"62f17c5858417f", "vaddps zmm0, zmm0, dword ptr [rcx+0x1fc]{1to16}"},
		{"62f27d4a90040a", "vpgatherdd zmm0 {k2}, dword ptr [rdx+zmm1*1]"},
	} {
		var in decode.Inst
		decode.Decode(&in, unhex(t, tc.code), x86.Long64, p)
		require.Equal(t, tc.text, in.Text(), tc.code)
	}
}
