package clib

import (
	"slices"
	"strings"

	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// CapstoneQuirks returns the known faults of capstone 4.0.2. The rows are the
// package's and must not be changed.
func CapstoneQuirks() []oracle.Quirk { return allCapstone }

var allCapstone = slices.Concat(capstoneNewer, capstoneQuirks, capstonePrefixQuirks)

var capstoneQuirks = []oracle.Quirk{
	{
		Engine: Capstone, Name: "vex-fields-ignored", Decoded: oracle.DecodedValidity,
		When: func(l *oracle.Lexed) bool { return l.Escape == oracle.EscapeVEX || l.Escape == oracle.EscapeXOP },
		Wrong: func(l *oracle.Lexed, right, wrong *oracle.Decoded) bool {
			return accepts(right, wrong) && repairedVEX(l)
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
			return accepts(right, wrong) && repairedEVEX(l)
		},
		Reason: "z, b, L'L, W, aaa or vvvv that the encoding does not have, or 66, F2, F3, LOCK or REX before EVEX, are #UD; capstone ignores them",
		Evidence: []oracle.Evidence{
			undefined("62f17e887fc2", "6 VMOVDQU32", "SDM vol. 2, 2.7.11: z without a mask"),
			undefined("6662f27d487703", "7 VPERMI2PS", "SDM vol. 2, 2.7.2"),
		},
	},
	{
		Engine: Capstone, Name: "evex-rounding-length", Decoded: oracle.DecodedLength,
		When: func(l *oracle.Lexed) bool {
			return l.Escape == oracle.EscapeEVEX && l.Mod() == 3 && evexBit(l, 3, 0x10)
		},
		Wrong: func(_ *oracle.Lexed, right, wrong *oracle.Decoded) bool {
			return right.Mnemonic == wrong.Mnemonic && wrong.Length == right.Length+1
		},
		Reason:   "EVEX.b with registers is the rounding mode, which L'L holds; capstone reads a byte for it behind the instruction",
		Evidence: []oracle.Evidence{valid64("62f1fd585ec200", "7 VDIVPD", "6 VDIVPD", "SDM vol. 2, 2.7.8", 6), valid64("62b1ff1858c200", "7 VADDSD", "6 VADDSD", "SDM vol. 2, 2.7.8", 6)},
	},
	{
		Engine: Capstone, Name: "evex-scalar-name", Decoded: oracle.DecodedMnemonic,
		When: func(l *oracle.Lexed) bool { return l.Escape == oracle.EscapeEVEX && l.L == 1 && l.W }, Wrong: singleForDouble,
		Reason: "EVEX.W chooses between single and double precision, and L'L says nothing of a scalar; with L'L 01b capstone does not look at W",
		Evidence: []oracle.Evidence{
			valid64("6272fd28ab03", "6 VFMSUB213SS", "6 VFMSUB213SD", "SDM vol. 2, VFMSUB213SD", 6),
			{Bytes: "62f2fd28cd03", Mode: x86.Long64, Says: "6 VRSQRT28SS", Truth: "6 VRSQRT28SD", Source: "SDM vol. 2, VRSQRT28SD", Length: 6},
		},
	},
	{
		Engine: Capstone, Name: "w-outside-64-bit-code", Decoded: oracle.DecodedMnemonic,
		When: func(l *oracle.Lexed) bool {
			return l.Mode != x86.Long64 && (l.Escape == oracle.EscapeEVEX || l.Escape == oracle.EscapeVEX) && l.W
		},
		Wrong: func(l *oracle.Lexed, right, wrong *oracle.Decoded) bool {
			return wideNames(l, right, wrong) || wrong.Mnemonic != "" && wrong.Mnemonic == withoutW(l)
		},
		Reason: "W selects the instruction in all modes, but for the width of a general register, which it selects in 64-bit mode alone; capstone has it the other way round for some names",
		Evidence: []oracle.Evidence{
			valid16("c4e3f922c000", "6 VPINSRQ", "6 VPINSRD", "SDM vol. 2, PINSRD", 6),
			{Bytes: "62f1fe487f4c9c00", Mode: x86.Compat32, Says: "8 VMOVDQU32", Truth: "8 VMOVDQU64", Source: "SDM vol. 2, MOVDQU", Executes: oracle.CPUValid, Length: 8},
		},
	},
	{
		Engine: Capstone, Name: "evex-67-memory", Decoded: oracle.DecodedLength,
		When: func(l *oracle.Lexed) bool {
			sib, rip := l.RM() == 4 && l.Mod() != 3 && !evexBit(l, 1, 0x60), l.RM() == 5 && l.Mod() == 0 && !evexBit(l, 1, 0x40)
			return l.Mode == x86.Long64 && l.AddrSize && l.Escape == oracle.EscapeEVEX && (sib || rip)
		},
		Wrong: func(_ *oracle.Lexed, right, wrong *oracle.Decoded) bool {
			return right.Mnemonic == wrong.Mnemonic && wrong.Length < right.Length
		},
		Reason: "ModRM.rm 100b asks for a SIB byte, and 101b with mod 00 for a displacement, whatever EVEX.B and X; with 67 and both of them, or X and 101b, capstone takes another register for the base and reads no more",
		Evidence: []oracle.Evidence{
			valid64("6762917c08580411", "7 VADDPS", "8 VADDPS", "SDM vol. 2, table 2-5", 8), valid64("6762917c08580511000000", "7 VADDPS", "11 VADDPS", "SDM vol. 2, table 2-5", 11),
			valid64("6762b17c08580511000000", "7 VADDPS", "11 VADDPS", "SDM vol. 2, 2.2.1.6", 11),
		},
	},
	{
		Engine: Capstone, Name: "vmovddup-66", Map: isa.MapVEX1, Opcodes: []byte{0x12}, Decoded: oracle.DecodedValidity,
		When: func(l *oracle.Lexed) bool { return l.Escape == oracle.EscapeEVEX && l.PP == 0x66 && l.W },
		Wrong: func(_ *oracle.Lexed, right, wrong *oracle.Decoded) bool {
			return accepts(right, wrong) && wrong.Mnemonic == "VMOVDDUP"
		},
		Reason: "VMOVDDUP is EVEX.F2.0F.W1 12; capstone takes EVEX.66.0F.W1 12 with L'L 10b and 11b for it, which is undefined",
		Evidence: []oracle.Evidence{
			undefined("62f1fd4812d1", "6 VMOVDDUP", "SDM vol. 2, VMOVDDUP"), undefined("62f1fd681211", "6 VMOVDDUP", "SDM vol. 2, VMOVDDUP"),
		},
	},
	{
		Engine: Capstone, Name: "gather-fields", Decoded: oracle.DecodedValidity,
		When: func(l *oracle.Lexed) bool {
			gather := l.Opcode >= 0x90 && l.Opcode <= 0x93 || l.Escape == oracle.EscapeEVEX && (l.Opcode >= 0xa0 && l.Opcode <= 0xa3 || l.Opcode == 0xc6 || l.Opcode == 0xc7)
			return l.Map == isa.MapVEX2 && gather
		},
		Wrong: func(_ *oracle.Lexed, right, wrong *oracle.Decoded) bool {
			return accepts(right, wrong) && right.Reason == "undefined"
		},
		Reason: "a gather or scatter needs a SIB byte and, of destination, index and mask, different registers; capstone does not look",
		Evidence: []oracle.Evidence{
			undefined("c4e2f9903b", "5 VPGATHERDQ", "SDM vol. 2, 2.3.12"), undefined("62f27d49a00500000000", "10 VPSCATTERDD", "SDM vol. 2, 2.7.11"),
		},
	},
	{
		Engine: Capstone, Name: "mask-b", Decoded: oracle.DecodedValidity,
		When: func(l *oracle.Lexed) bool {
			return l.Escape == oracle.EscapeVEX && l.Mod() == 3 && len(l.Code) > l.NumPrefix+1 && l.Code[l.NumPrefix] == 0xc4 && l.Code[l.NumPrefix+1]&0x20 == 0
		},
		Wrong: func(_ *oracle.Lexed, right, wrong *oracle.Decoded) bool {
			return rejects(nil, right, wrong) && right.Operands[right.NumOperands-1].Class == x86.ClassMask || rejects(nil, right, wrong) && right.Operands[1].Class == x86.ClassMask
		},
		Reason:   "VEX.B does not extend the number of a mask register in ModRM.rm and is ignored; capstone rejects it",
		Evidence: []oracle.Evidence{valid64("c4c17898c2", "invalid", "5 KORTESTW", "CPU", 5), valid64("c4c3f930d200", "invalid", "6 KSHIFTRW", "CPU", 6)},
	},
	{
		Engine: Capstone, Name: "vbroadcasti128", Map: isa.MapVEX2, Opcodes: []byte{0x5a}, Decoded: oracle.DecodedValidity,
		When: func(l *oracle.Lexed) bool { return l.Escape == oracle.EscapeVEX }, Wrong: rejects,
		Reason:   "capstone does not have VBROADCASTI128",
		Evidence: []oracle.Evidence{valid64("c4e27d5a03", "invalid", "5 VBROADCASTI128", "SDM vol. 2, VPBROADCAST", 5)},
	},
	{
		Engine: Capstone, Name: "segment-rex", Map: isa.MapOne, Opcodes: []byte{0x8c, 0x8e}, Decoded: oracle.DecodedValidity,
		When: func(l *oracle.Lexed) bool { return l.REX&4 != 0 }, Wrong: rejects,
		Reason:   "REX.R does not extend the number of a segment register and is ignored; capstone rejects it",
		Evidence: []oracle.Evidence{valid64("458cde", "invalid", "3 MOV", "CPU", 3), valid64("458e00", "invalid", "3 MOV", "CPU", 3)},
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
		Engine: Capstone, Name: "mpx", Map: isa.Map0F, Opcodes: []byte{0x1a, 0x1b}, Decoded: oracle.DecodedValidity | oracle.DecodedMnemonic | oracle.DecodedOperands,
		Wrong: func(_ *oracle.Lexed, right, wrong *oracle.Decoded) bool {
			bound := strings.HasPrefix(right.Mnemonic, "BND") && (!wrong.Valid || wrong.Mnemonic == "NOP")
			return bound || right.Reason == "undefined" && wrong.Mnemonic == "NOP"
		},
		Reason: "0F 1A and 0F 1B with a prefix or memory are the instructions of MPX on CPUs that have it, with four bound registers and no 16-bit addresses; capstone knows the NOPs that they are elsewhere, and of these those with memory alone",
		Evidence: []oracle.Evidence{
			valid64("f30f1b03", "4 NOP", "4 BNDMK", "SDM vol. 2, BNDMK", 4), valid64("660f1ac1", "invalid", "4 BNDMOV", "SDM vol. 2, BNDMOV", 4),
			{Bytes: "660f1b23", Mode: x86.Long64, Says: "4 NOP", Truth: "invalid", Source: "SDM vol. 2, BNDMOV: #UD for BND4 to BND15"},
			{Bytes: "0f1a03", Mode: x86.Compat16, Says: "3 NOP", Truth: "invalid", Source: "SDM vol. 2, BNDLDX: #UD for 16-bit addresses"},
		},
	},
	{
		Engine: Capstone, Name: "reserved-nop", Map: isa.Map0F, Opcodes: []byte{0x0d, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f}, Decoded: oracle.DecodedValidity,
		Wrong:  rejects,
		Reason: "0F 0D and 0F 18 to 0F 1F are NOPs where they are nothing else; capstone rejects most of them",
		Evidence: []oracle.Evidence{
			{Bytes: "0f1ec0", Mode: x86.Long64, Says: "invalid", Truth: "3 NOP", Source: "SDM vol. 2, appendix A, table A-3", Executes: oracle.CPUValid, Length: 3},
		},
	},
	{
		Engine: Capstone, Name: "cldemote", Map: isa.Map0F, Opcodes: []byte{0x1c}, Decoded: oracle.DecodedMnemonic, Wrong: named("NOP", "CLDEMOTE"),
		Reason:   "NP 0F 1C /0 is CLDEMOTE, which is newer than capstone 4.0.2; it knows the NOP that it was",
		Evidence: []oracle.Evidence{valid64("0f1c03", "3 NOP", "3 CLDEMOTE", "SDM vol. 2, CLDEMOTE", 3)},
	},
	{
		Engine: Capstone, Name: "swapgs-outside-64-bit-code", Map: isa.Map0F, Opcodes: []byte{0x01}, Decoded: oracle.DecodedValidity,
		When:   func(l *oracle.Lexed) bool { return l.Mode != x86.Long64 && l.ModRM == 0xf8 },
		Wrong:  func(_ *oracle.Lexed, right, wrong *oracle.Decoded) bool { return accepts(right, wrong) },
		Reason: "SWAPGS is an instruction of 64-bit mode alone; capstone accepts it in others",
		Evidence: []oracle.Evidence{
			{Bytes: "0f01f8", Mode: x86.Compat32, Says: "3 SWAPGS", Truth: "invalid", Source: "SDM vol. 2, SWAPGS", Executes: oracle.CPUUndefined},
		},
	},
	{
		Engine: Capstone, Name: "xop-immediate", Decoded: oracle.DecodedLength | oracle.DecodedValidity,
		When: func(l *oracle.Lexed) bool {
			return l.Mode.Width() == 16 && l.Escape == oracle.EscapeXOP && l.MapNumber == 10
		},
		Wrong: func(_ *oracle.Lexed, right, wrong *oracle.Decoded) bool {
			return wrong.Valid && (needsMore(right) || right.Mnemonic == wrong.Mnemonic && wrong.Length+2 == right.Length)
		},
		Reason: "the immediate of XOP map A has 32 bits in every mode; capstone reads 16 in 16-bit code",
		Evidence: []oracle.Evidence{
			{Bytes: "8f0a78100b00000000", Mode: x86.Compat16, Says: "7 BEXTR", Truth: "9 BEXTR", Source: "APM vol. 3, BEXTR (immediate form)", Length: 9},
		},
	},
	{
		Engine: Capstone, Name: "adcx", Map: isa.Map0F38, Opcodes: []byte{0xf6}, Decoded: oracle.DecodedValidity,
		When: func(l *oracle.Lexed) bool { return l.Mode.Width() == 16 || follows(l, 0x66) }, Wrong: rejects,
		Reason: "capstone rejects ADCX and ADOX in 16-bit code, and behind 66 and another prefix",
		Evidence: []oracle.Evidence{
			valid64("66670f38f60b", "invalid", "6 ADCX", "SDM vol. 2, ADCX", 6), valid16("f30f38f64f00", "invalid", "6 ADOX", "SDM vol. 2, ADOX", 6), valid16("660f38f63b", "invalid", "5 ADCX", "SDM vol. 2, ADCX", 5),
		},
	},
	{
		Engine: Capstone, Name: "udb", Map: isa.MapOne, Opcodes: []byte{0xd6}, Decoded: oracle.DecodedValidity,
		When: func(l *oracle.Lexed) bool { return l.Mode == x86.Long64 }, Wrong: rejects,
		Reason:   "D6 in 64-bit mode is UDB, an instruction that is there to raise #UD, and newer than the library",
		Evidence: []oracle.Evidence{{Bytes: "d6", Mode: x86.Long64, Says: "invalid", Truth: "1 UDB", Source: "SDM vol. 2, UD", Length: 1}},
	},
	{
		Engine: Capstone, Name: "3dnow-suffix", Map: isa.Map0F, Opcodes: []byte{0x0f}, Decoded: oracle.DecodedValidity,
		Wrong: func(_ *oracle.Lexed, right, wrong *oracle.Decoded) bool {
			return accepts(right, wrong) && wrong.Mnemonic == "FEMMS"
		},
		Reason: "0F 0F with 0E as its last byte is no instruction; capstone takes it for 0F 0E, FEMMS",
		Evidence: []oracle.Evidence{
			{Bytes: "0f0f04000e", Mode: x86.Long64, Says: "5 FEMMS", Truth: "invalid", Source: "APM vol. 3, table A-13"},
		},
	},
	{
		Engine: Capstone, Name: "ud0-ud1", Map: isa.Map0F, Opcodes: []byte{0xb9, 0xff}, Decoded: oracle.DecodedLength | oracle.DecodedValidity,
		Wrong: func(_ *oracle.Lexed, right, wrong *oracle.Decoded) bool {
			return right.Valid && (!wrong.Valid || wrong.Length < right.Length) || needsMore(right) && wrong.Valid
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
