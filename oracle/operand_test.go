package oracle_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/corpus"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/seed-4e121ece/ringfence/oracle/model"
)

// TestOperandRoundTrip: every operand of every seed is read back from its text.
func TestOperandRoundTrip(t *testing.T) {
	m := model.NewDecoder(&isa.Profile{Features: isa.AllFeatures(), VirtualBits: 48})
	read := 0
	for s := range corpus.Seeds() {
		for _, mode := range []x86.Mode{x86.Long64, x86.Compat32, x86.Compat16} {
			var d oracle.Decoded
			m.Decode(s.Bytes, mode, &d)
			for _, o := range d.Operands[:d.NumOperands] {
				got, err := oracle.ParseOperand(o.String())
				require.NoError(t, err, "%x", s.Bytes)
				require.Equal(t, o, got, "%x: %s", s.Bytes, o)
				read++
			}
		}
	}
	require.Greater(t, read, 100_000)
}

func TestParseOperand(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"mem32 ds:[rax+xmm3*4] a64", "mem32 ds:[rax+rbx*4] a64"},
		{"mem32 ds:[rax+zmm17*4+0x8] a64", "mem32 ds:[rax+zmm17*4+0x8] a64"},
		{"mem8 ds:[0xfffffffffffffff0] a64", "mem8 ds:[0xfffffffffffffff0] a64"},
		{"mem0 cs:[rip-0x10] a64", "mem0 cs:[rip-0x10] a64"},
		{"far32 0x10:0x1000", "far32 0x10:0x1000"},
		{"rel 0x10", "rel 0x10"},
		{"reg st(7)", "reg st(7)"},
	} {
		o, err := oracle.ParseOperand(c.text)
		require.NoError(t, err, c.text)
		require.Equal(t, c.want, o.String())
	}
	for _, text := range []string{
		"", "rax", "reg", "reg ", "reg rbz", "reg ?", "imm 0x5", "imm8 5x", "imm8 0x100", "imm8 -1", "imm7 1", "imm4096 1", "rel", "rel x",
		"far32 0x10", "far32 0x10000:0", "mem8 [rax] a64", "mem8 ds:[rax]", "mem8 ds:[rax] a48", "mem8 xs:[rax] a64", "mem8 ds:[rax*3] a64",
		"mem8 ds:[cr0] a64", "mem8 ds:[rax+] a64", "mem8 ds:[] a64x", "ptr 1",
	} {
		_, err := oracle.ParseOperand(text)
		require.Error(t, err, text)
	}
}
