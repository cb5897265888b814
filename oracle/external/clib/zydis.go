package clib

import (
	"slices"

	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// ZydisQuirks returns the known faults of Zydis 4.0.0. The rows are the
// package's and must not be changed.
func ZydisQuirks() []oracle.Quirk { return allZydis }

var allZydis = slices.Concat(zydisNewer, zydisQuirks)

// zydisNewer are the parts of the instruction set that were announced after Zydis
// 4.0.0, of November 2022. It rejects them.
var zydisNewer = onlyValidity(gaps(
	Zydis, "Zydis 4.0.0",
	lacks(
		"no-avx10", "has no table for AVX10 and APX", []string{"AVX10", "AVX10_2", "AVX10_V2_AUX", "APX_F"},
		rejected("62f27c4852c1", "6 VDPPHPS", 6, "Intel AVX10.2 specification, VDPPHPS"),
	),
	lacks(
		"no-avx-vnni-int", "has no table for AVX-VNNI-INT8 and -INT16, AVX-NE-CONVERT and AVX-IFMA", []string{"AVX_VNNI_INT8", "AVX_VNNI_INT16", "AVX_NE_CONVERT", "AVX_IFMA"},
		rejected("c4e27350c1", "5 VPDPBSSD", 5, "SDM vol. 2, VPDPB[SU,UU,SS]D[,S]"), rejected("c4e279b003", "5 VCVTNEEPH2PS", 5, "SDM vol. 2, VCVTNEEPH2PS"),
	),
	lacks(
		"no-sha512-sm", "has no table for SHA512, SM3 and SM4", []string{"SHA512", "SM3", "SM4"},
		rejected("c4e27fcdc1", "5 VSHA512MSG2", 5, "SDM vol. 2, VSHA512MSG2"), rejected("c4e27adac1", "5 VSM4KEY4", 5, "SDM vol. 2, VSM4KEY4"),
	),
	lacks(
		"no-newer-amx", "has no table for AMX but tiles of bytes and of BF16", []string{"AMX_FP16", "AMX_COMPLEX", "AMX_FP8", "AMX_AVX512", "AMX_MOVRS"},
		rejected("c4e2635cca", "5 TDPFP16PS", 5, "SDM vol. 2, TDPFP16PS"),
	),
	lacks(
		"no-memory", "has no table for CMPccXADD, RAO-INT, MOVRS and PREFETCHIT", []string{"CMPCCXADD", "RAO_INT", "MOVRS", "PREFETCHI"},
		rejected("c4e279e003", "5 CMPOXADD", 5, "SDM vol. 2, CMPccXADD"), rejected("0f38fc03", "4 AADD", 4, "SDM vol. 2, AADD"),
	),
	lacks(
		"no-system", "has no table for FRED, LKGS, the lists and immediates of MSRs, URDMSR and PBNDKB",
		[]string{"LKGS", "FRED", "WRMSRNS", "MSRLIST", "PBNDKB", "MSR_IMM", "USER_MSR"},
		oracle.Evidence{Bytes: "f20f00f0", Mode: x86.Long64, Says: "invalid", Truth: "4 LKGS", Source: "SDM vol. 2, LKGS", Length: 4},
		oracle.Evidence{Bytes: "0f01c6", Mode: x86.Long64, Says: "invalid", Truth: "3 WRMSRNS", Source: "SDM vol. 2, WRMSRNS", Length: 3},
	),
))

// onlyValidity leaves to other rows what is no rejection.
func onlyValidity(rows []oracle.Quirk) []oracle.Quirk {
	for i := range rows {
		rows[i].Decoded, rows[i].Wrong = oracle.DecodedValidity, rejects
	}
	return rows
}

// knightsCorner are the instructions of Intel's Knights Corner, which no CPU in
// 64-bit mode has had since.
var knightsCorner = []string{
	"JKZD", "JKNZD", "KCONCATH", "KCONCATL", "KEXTRACT", "KMERGE2L1H", "KMERGE2L1L", "KAND", "KANDN", "KANDNR", "KMOV", "KNOT", "KOR", "KORTEST",
	"KXNOR", "KXOR", "TZCNT", "TZCNTI", "LZCNT", "POPCNT", "DELAY", "SPFLT", "CLEVICT0", "CLEVICT1", "VPREFETCH0", "VPREFETCH1", "VPREFETCH2",
	"VPREFETCHE0", "VPREFETCHE1", "VPREFETCHE2", "VPREFETCHENTA", "VPREFETCHNTA",
}

var zydisQuirks = []oracle.Quirk{
	{
		Engine: Zydis, Name: "base-with-67", Decoded: oracle.DecodedOperands,
		When: func(l *oracle.Lexed) bool { return l.Mode == x86.Long64 && l.AddrSize },
		Wrong: func(_ *oracle.Lexed, right, wrong *oracle.Decoded) bool {
			// Only the base and the displacement of the memory operand differ.
			w := *wrong
			for i := range w.NumOperands {
				o, r := &w.Operands[i], &right.Operands[i]
				if o.Kind == oracle.OperandMemory && o.Base == x86.R13 && r.Base == x86.RegNone && o.Value == 0 {
					o.Base, o.Value = x86.RegNone, r.Value
				}
			}
			return w.Operands == right.Operands
		},
		Reason: "SIB.base 101b with mod 00 is a displacement without a base, whatever REX.B; with 67 and REX.B, Zydis makes the base R13D and leaves the displacement out",
		Evidence: []oracle.Evidence{{
			Bytes: "674300041572100000", Mode: x86.Long64, Says: "9 ADD, mem8 ds:[r13d+r10d*1] a32, reg al", Truth: "9 ADD, mem8 ds:[r10d*1+0x1072] a32, reg al",
			Source: "SDM vol. 2, table 2-3; the CPU accesses R10D+1072", Executes: oracle.CPUValid, Length: 9,
		}},
	},
	{
		Engine: Zydis, Name: "knights-corner", Decoded: oracle.DecodedValidity,
		When: func(l *oracle.Lexed) bool { return l.Escape == oracle.EscapeVEX },
		Wrong: func(_ *oracle.Lexed, right, wrong *oracle.Decoded) bool {
			return !right.Valid && slices.Contains(knightsCorner, wrong.Mnemonic)
		},
		Reason: "Zydis accepts the VEX instructions of Knights Corner although ZYDIS_DECODER_MODE_KNC is off",
		Evidence: []oracle.Evidence{
			{Bytes: "c5cc849600000000", Mode: x86.Long64, Says: "7 JKZD, reg k6, rel 0x96", Truth: "invalid", Source: "CPU", Executes: oracle.CPUUndefined},
			{Bytes: "c57897c0", Mode: x86.Long64, Says: "4 KCONCATL, reg r8, reg k0, reg k0", Truth: "invalid", Source: "CPU", Executes: oracle.CPUUndefined},
			{Bytes: "c5fabcd2", Mode: x86.Long64, Says: "4 TZCNT, reg edx, reg edx", Truth: "invalid", Source: "CPU", Executes: oracle.CPUUndefined},
		},
	},
	{
		Engine: Zydis, Name: "mvex", Decoded: oracle.DecodedAll,
		When: func(l *oracle.Lexed) bool {
			at := l.NumPrefix + 2 // the second payload byte
			return l.Escape == oracle.EscapeEVEX && at < len(l.Code) && l.Code[at]&4 == 0
		},
		Wrong:  func(_ *oracle.Lexed, _, wrong *oracle.Decoded) bool { return wrong.Valid },
		Reason: "bit 2 of the second payload byte of EVEX must be set, but with APX, where it is a bit of the index; clear, it was MVEX on Knights Corner, which Zydis accepts in 64-bit code although ZYDIS_DECODER_MODE_KNC is off",
		Evidence: []oracle.Evidence{
			{Bytes: "62f1f928ebc2", Mode: x86.Long64, Says: "6 VPORQ", Truth: "invalid", Source: "SDM vol. 2, 2.7.1; CPU", Executes: oracle.CPUUndefined},
			{Bytes: "62f2f928520500000000", Mode: x86.Long64, Says: "10 VGMINPD", Truth: "invalid", Source: "SDM vol. 2, 2.7.1; CPU", Executes: oracle.CPUUndefined},
		},
	},
	{
		Engine: Zydis, Name: "wbnoinvd", Map: isa.Map0F, Opcodes: []byte{0x09}, Decoded: oracle.DecodedMnemonic, Wrong: named("WBINVD", "WBNOINVD"),
		Reason: "F3 0F 09 is WBNOINVD; Zydis says WBINVD although ZYDIS_DECODER_MODE_WBNOINVD is on",
		Evidence: []oracle.Evidence{
			{Bytes: "f30f09", Mode: x86.Long64, Says: "3 WBINVD", Truth: "3 WBNOINVD", Source: "SDM vol. 2, WBNOINVD", Length: 3},
		},
	},
	{
		Engine: Zydis, Name: "movsxd-word", Map: isa.MapOne, Opcodes: []byte{0x63}, Decoded: oracle.DecodedOperands,
		When:   func(l *oracle.Lexed) bool { return l.Mode == x86.Long64 && l.OpSize && l.Mod() != 3 },
		Reason: "MOVSXD with 66 reads a word (MOVSXD r16, r/m16); Zydis gives the memory operand 32 bits",
		Evidence: []oracle.Evidence{{
			Bytes: "666303", Mode: x86.Long64, Says: "3 MOVSXD, reg ax, mem32 ds:[rbx] a64", Truth: "3 MOVSXD, reg ax, mem16 ds:[rbx] a64",
			Source: "SDM vol. 2, MOVSXD", Length: 3,
		}},
	},
	{
		Engine: Zydis, Name: "reserved-prefetch", Map: isa.Map0F, Opcodes: []byte{0x0d}, Decoded: oracle.DecodedMnemonic | oracle.DecodedOperands,
		Wrong:  named("PREFETCH", "NOP"),
		Reason: "0F 0D with a reserved ModRM.reg is a NOP on Intel's CPUs; Zydis gives it AMD's name, PREFETCH, on any",
		Evidence: []oracle.Evidence{{
			Bytes: "0f0d7b01", Mode: x86.Long64, Says: "4 PREFETCH, mem8 ds:[rbx+0x1] a64", Truth: "4 NOP, mem32 ds:[rbx+0x1] a64",
			Source: "SDM vol. 2, NOP and PREFETCHW", Executes: oracle.CPUValid, Length: 4,
		}},
	},
	{
		Engine: Zydis, Name: "3dnow-names", Decoded: oracle.DecodedMnemonic, Wrong: named("PFCPIT1", "PFRCPIT1", "PFSQRT", "PFRSQRT"),
		Reason: "Zydis misspells PFRCPIT1 and PFRSQRT",
		Evidence: []oracle.Evidence{
			{Bytes: "0f0fcba6", Mode: x86.Long64, Says: "4 PFCPIT1", Truth: "4 PFRCPIT1", Source: "APM vol. 5, PFRCPIT1", Length: 4},
			{Bytes: "0f0fcb97", Mode: x86.Long64, Says: "4 PFSQRT", Truth: "4 PFRSQRT", Source: "APM vol. 5, PFRSQRT", Length: 4},
		},
	},
	{
		Engine: Zydis, Name: "ptwrite-66", Map: isa.Map0F, Opcodes: []byte{0xae}, Decoded: oracle.DecodedValidity,
		When: func(l *oracle.Lexed) bool { return l.OpSize && l.Rep == 0xf3 && l.Reg() == 4 },
		Wrong: func(_ *oracle.Lexed, right, wrong *oracle.Decoded) bool {
			return !right.Valid && wrong.Mnemonic == "PTWRITE"
		},
		Reason: "PTWRITE with 66 is undefined; Zydis accepts it",
		Evidence: []oracle.Evidence{
			{Bytes: "66f30faee0", Mode: x86.Long64, Says: "5 PTWRITE, reg eax", Truth: "invalid", Source: "CPU; SDM vol. 2, PTWRITE", Executes: oracle.CPUUndefined},
		},
	},
	{
		Engine: Zydis, Name: "rmp-as-rdpru", Map: isa.Map0F, Opcodes: []byte{0x01}, Decoded: oracle.DecodedMnemonic, Wrong: named("RDPRU", "RMPQUERY", "RDPRU", "RMPREAD"),
		Reason: "F3 and F2 0F 01 FD are RMPQUERY and RMPREAD, which are newer; Zydis ignores the prefix and says RDPRU",
		Evidence: []oracle.Evidence{
			{Bytes: "f30f01fd", Mode: x86.Long64, Says: "4 RDPRU", Truth: "4 RMPQUERY", Source: "APM vol. 3, RMPQUERY", Length: 4},
		},
	},
	{
		Engine: Zydis, Name: "prefix-before-clzero", Map: isa.Map0F, Opcodes: []byte{0x01}, Decoded: oracle.DecodedValidity,
		When: func(l *oracle.Lexed) bool { return (l.OpSize || l.Rep != 0) && (l.ModRM == 0xfc || l.ModRM == 0xfd) },
		Wrong: func(_ *oracle.Lexed, right, wrong *oracle.Decoded) bool {
			return accepts(right, wrong) && (wrong.Mnemonic == "CLZERO" || wrong.Mnemonic == "RDPRU")
		},
		Reason: "CLZERO and RDPRU are opcodes without a prefix: with F2 and F3, 0F 01 FD is another instruction; Zydis ignores 66, F2 and F3",
		Evidence: []oracle.Evidence{
			{Bytes: "660f01fc", Mode: x86.Long64, Says: "4 CLZERO", Truth: "invalid", Source: "APM vol. 3, appendix A, ModRM extensions of opcode 0F 01"},
			{Bytes: "660f01fd", Mode: x86.Long64, Says: "4 RDPRU", Truth: "invalid", Source: "APM vol. 3, appendix A, ModRM extensions of opcode 0F 01"},
		},
	},
	{
		Engine: Zydis, Name: "w-outside-64-bit-code", Decoded: oracle.DecodedValidity,
		When: func(l *oracle.Lexed) bool { return l.Mode != x86.Long64 && l.Escape == oracle.EscapeEVEX && l.W },
		Wrong: func(l *oracle.Lexed, right, wrong *oracle.Decoded) bool {
			return rejects(l, right, wrong) && slices.Contains([]string{
				"VCVTSH2SI", "VCVTSH2USI", "VCVTTSH2SI", "VCVTTSH2USI", "VCVTSI2SH", "VCVTUSI2SH", "VCVTSI2SD", "VCVTUSI2SD",
			}, right.Mnemonic)
		},
		Reason: "outside 64-bit mode W is ignored where it chooses the width of a general register; Zydis rejects it with the conversions of AVX512-FP16, and VCVTSI2SD and VCVTUSI2SD with rounding",
		Evidence: []oracle.Evidence{
			{Bytes: "62f5fe2879c2", Mode: x86.Compat32, Says: "invalid", Truth: "6 VCVTSH2USI", Source: "CPU", Executes: oracle.CPUValid, Length: 6},
			{Bytes: "62f1ff587bc2", Mode: x86.Compat32, Says: "invalid", Truth: "6 VCVTUSI2SD", Source: "CPU", Executes: oracle.CPUValid, Length: 6},
		},
	},
	{
		Engine: Zydis, Name: "notrack-segment", Map: isa.MapOne, Opcodes: []byte{0xff}, Decoded: oracle.DecodedOperands,
		When: func(l *oracle.Lexed) bool {
			return l.Mode != x86.Long64 && l.Segment == 0x3e && l.Mod() != 3 && (l.Reg() == 2 || l.Reg() == 4)
		},
		Wrong: func(_ *oracle.Lexed, right, wrong *oracle.Decoded) bool {
			w := *wrong
			w.Operands[0].Segment = right.Operands[0].Segment
			return w.Operands == right.Operands && right.Operands[0].Segment == x86.DS
		},
		Reason: "outside 64-bit mode 3E is the DS override, before an indirect CALL or JMP too, where it is NOTRACK as well; Zydis drops the override and leaves SS with a base of rSP or rBP",
		Evidence: []oracle.Evidence{{
			Bytes: "3eff542400", Mode: x86.Compat32, Says: "5 CALL, mem32 ss:[esp] a32", Truth: "5 CALL, mem32 ds:[esp] a32", Source: "SDM vol. 2, 2.1.1", Length: 5,
		}},
	},
	{
		Engine: Zydis, Name: "udb", Map: isa.MapOne, Opcodes: []byte{0xd6}, Decoded: oracle.DecodedValidity,
		When: func(l *oracle.Lexed) bool { return l.Mode == x86.Long64 }, Wrong: rejects,
		Reason:   "D6 in 64-bit mode is UDB, an instruction that is there to raise #UD, and newer than the library",
		Evidence: []oracle.Evidence{{Bytes: "d6", Mode: x86.Long64, Says: "invalid", Truth: "1 UDB", Source: "SDM vol. 2, UD", Length: 1}},
	},
	{
		Engine: Zydis, Name: "lock-cr8", Map: isa.Map0F, Opcodes: []byte{0x20, 0x22}, Decoded: oracle.DecodedValidity,
		When: func(l *oracle.Lexed) bool { return l.Lock }, Wrong: rejects,
		Reason: "with AltMovCr8, LOCK MOV CR0 is MOV CR8; Zydis takes the LOCK for invalid",
		Evidence: []oracle.Evidence{
			{Bytes: "f00f20c0", Mode: x86.Long64, Says: "invalid", Truth: "4 MOV, reg rax, reg cr8", Source: "APM vol. 3, MOV CRn", Length: 4},
		},
	},
	{
		Engine: Zydis, Name: "nop-word", Map: isa.Map0F, Opcodes: []byte{0x1e}, Decoded: oracle.DecodedOperands,
		When: func(l *oracle.Lexed) bool { return l.OpSize || l.Mode.Width() == 16 },
		Wrong: func(_ *oracle.Lexed, right, wrong *oracle.Decoded) bool {
			return right.Mnemonic == "NOP" && wrong.Mnemonic == "NOP"
		},
		Reason: "0F 1E as NOP has an operand of the operand's size; Zydis gives the register 32 bits where it has 16",
		Evidence: []oracle.Evidence{{
			Bytes: "660f1ed8", Mode: x86.Long64, Says: "4 NOP, reg eax", Truth: "4 NOP, reg ax", Source: "SDM vol. 2, NOP and appendix A, table A-3", Executes: oracle.CPUValid, Length: 4,
		}},
	},
	{
		Engine: Zydis, Name: "nop-of-mpx", Map: isa.Map0F, Opcodes: []byte{0x1a, 0x1b}, Decoded: oracle.DecodedOperands,
		When: func(l *oracle.Lexed) bool { return l.Mod() == 3 },
		Wrong: func(_ *oracle.Lexed, right, wrong *oracle.Decoded) bool {
			return right.Mnemonic == "NOP" && wrong.Mnemonic == "NOP"
		},
		Reason: "the register forms of 0F 1A and 0F 1B are NOP r/m; Zydis gives ModRM.reg as the operand",
		Evidence: []oracle.Evidence{{
			Bytes: "0f1ac8", Mode: x86.Long64, Says: "3 NOP, reg ecx", Truth: "3 NOP, reg eax", Source: "SDM vol. 2, NOP and appendix A, table A-3",
			Executes: oracle.CPUValid, Length: 3,
		}},
	},
}
