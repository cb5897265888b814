package x86asm

import (
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/arch/x86/x86asm"

	"github.com/seed-4e121ece/ringfence/corpus"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// TestCanonical has a row for each rule of canonicalisation.
func TestCanonical(t *testing.T) {
	for _, c := range []struct {
		rule, code string
		mode       x86.Mode
		want       string
	}{
		{"registers", "4801d8", x86.Long64, "3 ADD, reg rax, reg rbx"},
		{"high byte registers", "00e5", x86.Long64, "2 ADD, reg ch, reg ah"},
		{"with REX, low ones", "4000e5", x86.Long64, "3 ADD, reg bpl, reg spl"},
		{"default segment DS", "8b00", x86.Long64, "2 MOV, reg eax, mem32 ds:[rax] a64"},
		{"default segment SS", "8b4508", x86.Long64, "3 MOV, reg eax, mem32 ss:[rbp+0x8] a64"},
		{"override", "64488b4508", x86.Long64, "5 MOV, reg rax, mem64 fs:[rbp+0x8] a64"},
		{"CS, DS, ES and SS are void in 64-bit mode", "268b00", x86.Long64, "3 MOV, reg eax, mem32 ds:[rax] a64"},
		{"and not in 32-bit mode", "268b00", x86.Compat32, "3 MOV, reg eax, mem32 es:[eax] a32"},
		{"negative displacement", "8b80f0ffffff", x86.Long64, "6 MOV, reg eax, mem32 ds:[rax-0x10] a64"},
		{"relative to RIP", "8b05f0ffffff", x86.Long64, "6 MOV, reg eax, mem32 ds:[rip-0x10] a64"},
		{"address size", "678b00", x86.Long64, "3 MOV, reg eax, mem32 ds:[eax] a32"},
		{"16-bit address", "8b46f0", x86.Compat16, "3 MOV, reg ax, mem16 ss:[bp-0x10] a16"},
		{"absolute offset is not signed", "67a0f0ffffff", x86.Long64, "6 MOV, reg al, mem8 ds:[0xfffffff0] a32"},
		{"immediate as wide as the operation", "4883c0ff", x86.Long64, "4 ADD, reg rax, imm64 0xffffffffffffffff"},
		{"immediate masked to it", "6683c0ff", x86.Long64, "4 ADD, reg ax, imm16 0xffff"},
		{"count is a byte", "c1e0ff", x86.Long64, "3 SHL, reg eax, imm8 0xff"},
		{"count of one", "d1e0", x86.Long64, "2 SHL, reg eax, imm8 0x1"},
		{"port is a byte", "e510", x86.Long64, "2 IN, reg eax, imm8 0x10"},
		{"bytes to release are a word", "c20800", x86.Long64, "3 RET, imm16 0x8"},
		{"frame and level", "c8100001", x86.Long64, "4 ENTER, imm16 0x10, imm8 0x1"},
		{"what is pushed has the slot's width", "6aff", x86.Long64, "2 PUSH, imm64 0xffffffffffffffff"},
		{"but for a word", "6668ffff", x86.Long64, "4 PUSH, imm16 0xffff"},
		{"vector immediates are bytes", "660f70c1ff", x86.Long64, "5 PSHUFD, reg xmm0, reg xmm1, imm8 0xff"},
		{"INT3", "cc", x86.Long64, "1 INT3"},
		{"INT 3 is not INT3", "cd03", x86.Long64, "2 INT, imm8 0x3"},
		{"INT1", "f1", x86.Long64, "1 INT1"},
		{"far return", "cb", x86.Long64, "1 RETF"},
		{"far call", "48ff18", x86.Long64, "3 CALL, mem80 ds:[rax] a64"},
		{"string operands", "a4", x86.Long64, "1 MOVSB, mem8 es:[rdi] a64, mem8 ds:[rsi] a64"},
		{"string operands, override", "6448a5", x86.Long64, "3 MOVSQ, mem64 es:[rdi] a64, mem64 fs:[rsi] a64"},
		{"accumulator left out", "aa", x86.Long64, "1 STOSB, mem8 es:[rdi] a64"},
		{"port left out", "6e", x86.Long64, "1 OUTSB, mem8 ds:[rsi] a64"},
		{"MOVSD, the vector instruction", "f20f10c1", x86.Long64, "4 MOVSD, reg xmm0, reg xmm1"},
		{"XLATB", "d7", x86.Long64, "1 XLATB, mem8 ds:[rbx] a64"},
		{"XCHG with the accumulator first", "4191", x86.Long64, "2 XCHG, reg eax, reg r9d"},
		{"selector source", "8ed8", x86.Long64, "2 MOV, reg ds, reg ax"},
		{"PREFETCH", "0f1808", x86.Long64, "3 PREFETCHT0, mem8 ds:[rax] a64"},
		{"table register", "0f0110", x86.Long64, "3 LGDT, mem80 ds:[rax] a64"},
		{"gather, an element", "c4e269900400", x86.Long64, "6 VPGATHERDD, reg xmm0, mem32 ds:[rax+rax*1] a64, reg xmm2"},
		{"branch", "ebfe", x86.Long64, "2 JMP, {5 -0x2/0}"},
	} {
		code, err := hex.DecodeString(c.code)
		require.NoError(t, err)
		var d oracle.Decoded
		New().Decode(code, c.mode, &d)
		got := show(&d)
		if c.rule == "branch" {
			require.Equal(t, int64(-2), d.Operands[0].Value)
			continue
		}
		require.Equal(t, c.want, got, c.rule)
	}
}

func TestInvalid(t *testing.T) {
	for _, c := range []struct{ code, reason string }{
		{"", "truncated"},
		{"06", "unrecognized"},
		{"66", "a prefix without an instruction"},
		{"c5fe58c1", "unrecognized"},
	} {
		code, err := hex.DecodeString(c.code)
		require.NoError(t, err)
		var d oracle.Decoded
		New().Decode(code, x86.Long64, &d)
		require.False(t, d.Valid, c.code)
		require.True(t, d.Covered)
		require.Equal(t, c.reason, d.Reason, c.code)
	}
}

// TestOpTable says that the table of names is long enough, and that every
// rule is about an instruction that x86asm has.
func TestOpTable(t *testing.T) {
	require.Contains(t, x86asm.Op(maxOp-1).String(), "Op(", "x86asm has more instructions than the table: raise maxOp")
	for op, name := range synonyms {
		require.Equal(t, name, ops[op].mnemonic)
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, source := range []string{"elf", "goasm"} {
		b.Run("stream="+source, func(b *testing.B) {
			var codes [][]byte
			for s := range corpus.Seeds() {
				if s.Mode == 64 && corpus.Info().Sources[s.Source].Name == source {
					codes = append(codes, s.Bytes)
				}
			}
			d := New()
			var out oracle.Decoded
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				d.Decode(codes[i], x86.Long64, &out)
				if i++; i == len(codes) {
					i = 0
				}
			}
		})
	}
}
