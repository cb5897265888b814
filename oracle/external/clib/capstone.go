package clib

import (
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// CapstoneQuirks returns the known faults of capstone 4.0.2. The rows are the
// package's and must not be changed.
func CapstoneQuirks() []oracle.Quirk { return capstoneQuirks }

// capstoneNewer are the features that capstone 4.0.2 has no tables for, or but
// parts of them.
var capstoneNewer = without(
	"AVX512DQ", "AVX512BW", "AVX512VL", "AVX512_IFMA", "AVX512_VBMI", "AVX512_VBMI2", "AVX512_VNNI", "AVX512_BITALG", "AVX512_VPOPCNTDQ",
	"AVX512_4VNNIW", "AVX512_4FMAPS", "AVX512_VP2INTERSECT", "AVX512_BF16", "AVX512_FP16", "GFNI", "VAES", "VPCLMULQDQ", "AVX_VNNI",
	"AVX_VNNI_INT8", "AVX_VNNI_INT16", "AVX_NE_CONVERT", "AVX_IFMA", "AVX10", "AVX10_2", "AVX10_V2_AUX", "SHA512", "SM3", "SM4", "RAO_INT",
	"CMPCCXADD", "LKGS", "FRED", "WRMSRNS", "MSRLIST", "MOVRS", "PBNDKB", "MSR_IMM", "USER_MSR", "APX_F", "PREFETCHI",
	"AMX_TILE", "AMX_INT8", "AMX_BF16", "AMX_FP16", "AMX_COMPLEX", "AMX_FP8", "AMX_AVX512", "AMX_MOVRS",
	"WAITPKG", "CET_SS", "CET_IBT", "RDPID", "KL", "KL_AES", "KL_WIDE", "CLDEMOTE", "MOVDIRI", "MOVDIR64B", "ENQCMD", "UINTR", "SERIALIZE",
	"TSXLDTRK", "PCONFIG", "HRESET", "PTWRITE", "PKU", "CLZERO", "MONITORX", "RDPRU", "MCOMMIT", "WBNOINVD", "INVLPGB", "SNP", "TDX", "SEAM",
	"CLWB", "CLFLUSHOPT", "XSAVEC", "XSAVES", "SGX", "LWP",
)

var capstoneQuirks = []oracle.Quirk{
	{
		Engine: Capstone, Name: "newer", When: needs(capstoneNewer), Decoded: oracle.DecodedAll,
		Wrong: func(_ *oracle.Lexed, right, wrong *oracle.Decoded) bool {
			return right.Valid && (!wrong.Valid || wrong.Mnemonic != right.Mnemonic)
		},
		Reason: "capstone 4.0.2 has no table for AVX-512 but F, CD, ER and PF, nor for most of what came since 2015; it rejects the string, or gives it the name that the opcode has without its prefix",
		Evidence: []oracle.Evidence{
			{Bytes: "62f16c4854c1", Mode: x86.Long64, Says: "invalid", Truth: "6 VANDPS", Source: "SDM vol. 2, ANDPS", Length: 6},
			{Bytes: "f30fc7f8", Mode: x86.Long64, Says: "4 RDSEED", Truth: "4 RDPID", Source: "SDM vol. 2, RDPID", Length: 4},
		},
	},
	{
		Engine: Capstone, Name: "near-branch-66", Decoded: oracle.DecodedLength,
		When: func(l *oracle.Lexed) bool {
			return l.Mode == x86.Long64 && l.OpSize && (l.Map == isa.MapOne && (l.Opcode == 0xe8 || l.Opcode == 0xe9) || l.Map == isa.Map0F && l.Opcode&0xf0 == 0x80)
		},
		Wrong: func(_ *oracle.Lexed, right, wrong *oracle.Decoded) bool {
			return right.Mnemonic == wrong.Mnemonic && wrong.Length+2 == right.Length
		},
		Reason: "in 64-bit mode Intel's CPUs ignore 66 on a near branch; capstone takes a displacement of 16 bits, as AMD's do, whatever it is asked for",
		Evidence: []oracle.Evidence{
			{Bytes: "660f8400000000", Mode: x86.Long64, Says: "5 JE", Truth: "7 JE", Source: "SDM vol. 2, Jcc", Length: 7},
		},
	},
	{
		Engine: Capstone, Name: "vex-fields-ignored", Decoded: oracle.DecodedValidity,
		When: func(l *oracle.Lexed) bool { return l.Escape == oracle.EscapeVEX || l.Escape == oracle.EscapeXOP },
		Wrong: func(l *oracle.Lexed, right, wrong *oracle.Decoded) bool {
			return accepts(right, wrong) && repaired(l, vexRepairs)
		},
		Reason: "W, L or vvvv that the encoding does not have, or 66, F2, F3, LOCK or REX before VEX or XOP, are #UD; capstone ignores them",
		Evidence: []oracle.Evidence{
			undefined("c4e2f95903", "5 VPBROADCASTQ", "SDM vol. 2, VPBROADCAST: W0"),
			undefined("66c5815503", "5 VANDNPD", "SDM vol. 2, 2.3.2"),
		},
	},
	{
		Engine: Capstone, Name: "evex-fields-ignored", Decoded: oracle.DecodedValidity,
		When: func(l *oracle.Lexed) bool { return l.Escape == oracle.EscapeEVEX },
		Wrong: func(l *oracle.Lexed, right, wrong *oracle.Decoded) bool {
			return accepts(right, wrong) && repaired(l, evexRepairs)
		},
		Reason: "z, b, L'L, W, aaa or vvvv that the encoding does not have, or 66, F2, F3, LOCK or REX before EVEX, are #UD; capstone ignores them",
		Evidence: []oracle.Evidence{
			undefined("62f17e887fc2", "6 VMOVDQU32", "SDM vol. 2, 2.7.11: z without a mask"),
			undefined("6662f27d487703", "7 VPERMI2PS", "SDM vol. 2, 2.7.2"),
		},
	},
	{
		Engine: Capstone, Name: "evex-gaps", Decoded: oracle.DecodedValidity,
		When: func(l *oracle.Lexed) bool { return l.Escape == oracle.EscapeEVEX }, Wrong: rejects,
		Reason: "of AVX-512F too capstone has but a part: it rejects shuffles, scalar conversions with rounding, registers above 15 in some forms",
		Evidence: []oracle.Evidence{
			{Bytes: "62f37d48230300", Mode: x86.Long64, Says: "invalid", Truth: "7 VSHUFF32X4", Source: "SDM vol. 2, VSHUFF32X4", Executes: oracle.CPUValid, Length: 7},
			{Bytes: "62b17e487f03", Mode: x86.Long64, Says: "invalid", Truth: "6 VMOVDQU32", Source: "SDM vol. 2, MOVDQU", Executes: oracle.CPUValid, Length: 6},
		},
	},
	{
		Engine: Capstone, Name: "prefix-ignored", Decoded: oracle.DecodedValidity,
		When: func(l *oracle.Lexed) bool { return l.Escape == oracle.EscapeLegacy && l.Map != isa.MapOne },
		Wrong: func(l *oracle.Lexed, right, wrong *oracle.Decoded) bool {
			return accepts(right, wrong) && repaired(l, prefixRepairs)
		},
		Reason: "66, F2 and F3 select the instruction, and there is none for this one; capstone takes that of another prefix",
		Evidence: []oracle.Evidence{
			undefined("f20f2f00", "4 COMISS", "SDM vol. 2, COMISS: NP"),
			undefined("f2660f380103", "6 PHADDW", "SDM vol. 2, 2.1.1"),
		},
	},
	{
		Engine: Capstone, Name: "prefix-choice", Decoded: oracle.DecodedMnemonic | oracle.DecodedLength,
		When: func(l *oracle.Lexed) bool {
			return l.Escape == oracle.EscapeLegacy && l.Map != isa.MapOne && (l.OpSize || l.Rep != 0) && l.NumPrefix > 1
		},
		Wrong:  func(_ *oracle.Lexed, right, wrong *oracle.Decoded) bool { return right.Mnemonic != wrong.Mnemonic },
		Reason: "of 66 and the last of F2 and F3, the latter selects the instruction, wherever they stand; capstone takes another",
		Evidence: []oracle.Evidence{
			{Bytes: "f2660fc20300", Mode: x86.Long64, Says: "6 CMPPD", Truth: "6 CMPSD", Source: "SDM vol. 2, 2.1.1", Length: 6},
		},
	},
	{
		Engine: Capstone, Name: "lock-accepted", Decoded: oracle.DecodedValidity,
		When: func(l *oracle.Lexed) bool { return l.Lock },
		Wrong: func(_ *oracle.Lexed, right, wrong *oracle.Decoded) bool {
			return accepts(right, wrong) && right.Reason == "bad lock"
		},
		Reason: "LOCK on an instruction that cannot be locked is #UD; capstone accepts it where the name can be locked in another form, and before F2 and F3",
		Evidence: []oracle.Evidence{
			undefined("f00b00", "3 OR", "SDM vol. 2, LOCK: the destination is a register"),
			undefined("f0f28f03", "4 POP", "SDM vol. 2, LOCK"),
		},
	},
	{
		Engine: Capstone, Name: "reserved-nop", Map: isa.Map0F, Opcodes: []byte{0x0d, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e}, Decoded: oracle.DecodedValidity,
		Wrong:  rejects,
		Reason: "0F 0D and 0F 18 to 0F 1E are NOPs where they are nothing else; capstone rejects most of them",
		Evidence: []oracle.Evidence{
			{Bytes: "0f1ec0", Mode: x86.Long64, Says: "invalid", Truth: "3 NOP", Source: "SDM vol. 2, appendix A, table A-3", Executes: oracle.CPUValid, Length: 3},
		},
	},
	{
		Engine: Capstone, Name: "ud0-ud1", Map: isa.Map0F, Opcodes: []byte{0xb9, 0xff}, Decoded: oracle.DecodedLength | oracle.DecodedValidity,
		Wrong: func(_ *oracle.Lexed, right, wrong *oracle.Decoded) bool {
			return right.Valid && (!wrong.Valid || wrong.Length < right.Length)
		},
		Reason: "UD0 and UD1 have a ModRM and what it asks for; capstone takes two bytes, or rejects them",
		Evidence: []oracle.Evidence{
			{Bytes: "0fb9c0", Mode: x86.Long64, Says: "2 UD1", Truth: "3 UD1", Source: "SDM vol. 2, UD", Length: 3},
		},
	},
	{
		Engine: Capstone, Name: "no-such-register", Decoded: oracle.DecodedValidity,
		When: func(l *oracle.Lexed) bool {
			return l.Map == isa.Map0F && l.Opcode >= 0x20 && l.Opcode <= 0x23 || l.Map == isa.MapOne && (l.Opcode == 0x8c || l.Opcode == 0x8e)
		},
		Wrong: func(_ *oracle.Lexed, right, wrong *oracle.Decoded) bool {
			return accepts(right, wrong) && wrong.Mnemonic == "MOV"
		},
		Reason: "MOV of a control, debug or segment register that there is not, and of CS as destination, is #UD; capstone accepts it",
		Evidence: []oracle.Evidence{
			undefined("8ec8", "2 MOV", "SDM vol. 2, MOV"),
		},
	},
	{
		Engine: Capstone, Name: "fence-rm", Map: isa.Map0F, Opcodes: []byte{0xae}, Decoded: oracle.DecodedValidity,
		When: func(l *oracle.Lexed) bool { return l.Mod() == 3 && l.RM() != 0 }, Wrong: rejects,
		Reason: "the fences execute with any ModRM.rm; capstone rejects all but 0",
		Evidence: []oracle.Evidence{
			{Bytes: "0faee9", Mode: x86.Long64, Says: "invalid", Truth: "3 LFENCE", Source: "SDM vol. 2, LFENCE; CPU", Executes: oracle.CPUValid, Length: 3},
		},
	},
}
