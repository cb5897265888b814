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
}
