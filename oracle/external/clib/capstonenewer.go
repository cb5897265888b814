package clib

import (
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// capstoneNewer are the parts of the instruction set that capstone 4.0.2 has no
// tables for, or but some of their instructions.
var capstoneNewer = gaps(
	Capstone, "capstone 4.0.2",
	lacks(
		"no-avx512vl", "knows the 512-bit form alone of most instructions of AVX-512", []string{"AVX512VL"},
		rejected("62f27d084603", "6 VPSRAVD", 6, "SDM vol. 2, VPSRAV: EVEX.128"),
	),
	lacks(
		"no-avx512dq-bw", "has no table for AVX512DQ and AVX512BW, nor for their opmask instructions of 8, 32 and 64 bits", []string{"AVX512DQ", "AVX512BW"},
		rejected("62f16c4854c1", "6 VANDPS", 6, "SDM vol. 2, ANDPS"), rejected("62f17d486303", "6 VPACKSSWB", 6, "SDM vol. 2, PACKSSWB"),
		rejected("c5f899c2", "4 KTESTW", 4, "SDM vol. 2, KTEST"),
	),
	lacks(
		"no-avx512-integer", "has no table for AVX-512's IFMA, VBMI, VBMI2, VNNI, BITALG, VPOPCNTDQ, VP2INTERSECT, 4VNNIW and 4FMAPS",
		[]string{
			"AVX512_IFMA", "AVX512_VBMI", "AVX512_VBMI2", "AVX512_VNNI", "AVX512_BITALG", "AVX512_VPOPCNTDQ",
			"AVX512_4VNNIW", "AVX512_4FMAPS", "AVX512_VP2INTERSECT",
		},
		rejected("62f27d485003", "6 VPDPBUSD", 6, "SDM vol. 2, VPDPBUSD"), rejected("62f2fd48b403", "6 VPMADD52LUQ", 6, "SDM vol. 2, VPMADD52LUQ"),
	),
	lacks(
		"no-avx512-half", "has no table for AVX512_FP16 and AVX512_BF16", []string{"AVX512_FP16", "AVX512_BF16"},
		rejected("62f57c485803", "6 VADDPH", 6, "SDM vol. 2, VADDPH"), rejected("62f67d48a803", "6 VFMADD213PH", 6, "SDM vol. 2, VFMADD213PH"),
	),
	lacks(
		"no-avx10", "has no table for AVX10 and APX", []string{"AVX10", "AVX10_2", "AVX10_V2_AUX", "APX_F"},
		rejected("62f27c4852c1", "6 VDPPHPS", 6, "Intel AVX10.2 specification, VDPPHPS"),
	),
	lacks(
		"no-avx-vnni", "has no table for AVX-VNNI, AVX-VNNI-INT8 and -INT16, AVX-NE-CONVERT and AVX-IFMA",
		[]string{"AVX_VNNI", "AVX_VNNI_INT8", "AVX_VNNI_INT16", "AVX_NE_CONVERT", "AVX_IFMA"},
		rejected("c4e27950c1", "5 VPDPBUSD", 5, "SDM vol. 2, VPDPBUSD"), rejected("c4e27350c1", "5 VPDPBSSD", 5, "SDM vol. 2, VPDPB[SU,UU,SS]D[,S]"),
	),
	lacks(
		"no-vector-crypto", "has no table for GFNI, VAES, VPCLMULQDQ, SHA512, SM3 and SM4", []string{"GFNI", "VAES", "VPCLMULQDQ", "SHA512", "SM3", "SM4"},
		rejected("660f38cf03", "5 GF2P8MULB", 5, "SDM vol. 2, GF2P8MULB"), rejected("62f27d48dcc1", "6 VAESENC", 6, "SDM vol. 2, AESENC"),
	),
	lacks(
		"no-amx", "has no table for AMX",
		[]string{"AMX_TILE", "AMX_INT8", "AMX_BF16", "AMX_FP16", "AMX_COMPLEX", "AMX_FP8", "AMX_AVX512", "AMX_MOVRS"},
		rejected("c4e27849c0", "5 TILERELEASE", 5, "SDM vol. 2, TILERELEASE"),
	),
	lacks(
		"no-key-locker", "has no table for Key Locker and the control-flow enforcement of 2019", []string{"KL", "KL_AES", "KL_WIDE", "CET_SS", "CET_IBT"},
		rejected("f30f38dcc1", "5 LOADIWKEY", 5, "SDM vol. 2, LOADIWKEY"), rejected("f30f01ea", "4 SAVEPREVSSP", 4, "SDM vol. 2, SAVEPREVSSP"),
	),
	lacks(
		"no-memory", "has no table for the stores, loads and comparisons of memory that are newer than 2015",
		[]string{"RAO_INT", "CMPCCXADD", "MOVDIRI", "MOVDIR64B", "ENQCMD", "MOVRS", "PREFETCHI", "CLDEMOTE", "CLWB", "CLFLUSHOPT", "CLZERO"},
		rejected("0f38f903", "4 MOVDIRI", 4, "SDM vol. 2, MOVDIRI"), rejected("c4e279e003", "5 CMPOXADD", 5, "SDM vol. 2, CMPccXADD"),
	),
	lacks(
		"no-general", "has no table for the general instructions newer than 2015: waiting, serialising, tracing, user interrupts, protection keys, LWP",
		[]string{"WAITPKG", "MONITORX", "SERIALIZE", "TSXLDTRK", "UINTR", "PKU", "RDPRU", "MCOMMIT", "HRESET", "PTWRITE", "RDPID", "LWP", "XSAVEC", "XSAVES"},
		rejected("0f01e8", "3 SERIALIZE", 3, "SDM vol. 2, SERIALIZE"), rejected("660faef1", "4 TPAUSE", 4, "SDM vol. 2, TPAUSE"),
		oracle.Evidence{Bytes: "f30fc7f8", Mode: x86.Long64, Says: "4 RDSEED", Truth: "4 RDPID", Source: "SDM vol. 2, RDPID", Length: 4},
	),
	lacks(
		"no-system", "has no table for the system instructions that are newer than 2015",
		[]string{"LKGS", "FRED", "WRMSRNS", "MSRLIST", "PBNDKB", "MSR_IMM", "USER_MSR", "PCONFIG", "WBNOINVD", "INVLPGB", "SNP", "TDX", "SEAM", "SGX"},
		oracle.Evidence{Bytes: "f20f00f0", Mode: x86.Long64, Says: "invalid", Truth: "4 LKGS", Source: "SDM vol. 2, LKGS", Length: 4},
		oracle.Evidence{Bytes: "f30f09", Mode: x86.Long64, Says: "3 WBINVD", Truth: "3 WBNOINVD", Source: "SDM vol. 2, WBNOINVD", Length: 3},
	),
)
