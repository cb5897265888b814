package clib

import (
	"strings"

	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// valid64 and valid16 are evidence of what capstone says of a string that is an
// instruction.
func valid64(bytes, says, truth, source string, length uint8) oracle.Evidence {
	return oracle.Evidence{Bytes: bytes, Mode: x86.Long64, Says: says, Truth: truth, Source: source, Executes: oracle.CPUValid, Length: length}
}

func valid16(bytes, says, truth, source string, length uint8) oracle.Evidence {
	e := valid64(bytes, says, truth, source, length)
	e.Mode = x86.Compat16
	return e
}

// widthNames are pairs of capstone's name and the right one where 66, or REX.W
// that outweighs it, gives the name.
var widthNames = named(
	"INSW", "INSD", "OUTSW", "OUTSD", "POPF", "POPFQ", "PUSHF", "PUSHFQ", "JRCXZ", "JECXZ", "IRET", "IRETQ",
)

// needsMore says that the string ends before the instruction does, or that the
// instruction is too long.
func needsMore(right *oracle.Decoded) bool {
	return !right.Valid && (right.Reason == "truncated" || right.Reason == "too long")
}

// capstonePrefixQuirks are about legacy prefixes and REX.
var capstonePrefixQuirks = []oracle.Quirk{
	{
		Engine: Capstone, Name: "near-branch-66", Decoded: oracle.DecodedLength | oracle.DecodedValidity,
		When: func(l *oracle.Lexed) bool {
			return l.Mode == x86.Long64 && l.OpSize && (l.Map == isa.MapOne && (l.Opcode == 0xe8 || l.Opcode == 0xe9) || l.Map == isa.Map0F && l.Opcode&0xf0 == 0x80)
		},
		Wrong: func(l *oracle.Lexed, right, wrong *oracle.Decoded) bool {
			if needsMore(right) {
				return wrong.Valid && int(wrong.Length)+2 > min(len(l.Code), 15)
			}
			return right.Mnemonic == wrong.Mnemonic && wrong.Length+2 == right.Length
		},
		Reason: "in 64-bit mode Intel's CPUs ignore 66 on a near branch; capstone takes a displacement of 16 bits, as AMD's do, whatever it is asked for",
		Evidence: []oracle.Evidence{
			valid64("660f8400000000", "5 JE", "7 JE", "SDM vol. 2, Jcc", 7),
			{Bytes: "660f810c9c", Mode: x86.Long64, Says: "5 JNO", Truth: "invalid", Source: "SDM vol. 2, Jcc: two bytes are missing"},
		},
	},
	{
		Engine: Capstone, Name: "near-branch-67-rex", Map: isa.MapOne, Opcodes: []byte{0xe8, 0xe9}, Decoded: oracle.DecodedLength | oracle.DecodedValidity,
		When: func(l *oracle.Lexed) bool { return l.AddrSize && l.REX&8 != 0 },
		Wrong: func(l *oracle.Lexed, right, wrong *oracle.Decoded) bool {
			if needsMore(right) {
				return wrong.Valid && int(wrong.Length)+2 > min(len(l.Code), 15)
			}
			return right.Mnemonic == wrong.Mnemonic && wrong.Length+2 == right.Length
		},
		Reason:   "67 with REX.W is not 66; capstone takes a displacement of 16 bits",
		Evidence: []oracle.Evidence{valid64("6748e86c000000", "5 CALL", "7 CALL", "SDM vol. 2, CALL", 7)},
	},
	{
		Engine: Capstone, Name: "ret-rex", Map: isa.MapOne, Opcodes: []byte{0xc2}, Decoded: oracle.DecodedLength | oracle.DecodedValidity,
		When: func(l *oracle.Lexed) bool { return l.REX&8 != 0 && (l.OpSize || l.AddrSize) },
		Wrong: func(_ *oracle.Lexed, right, wrong *oracle.Decoded) bool {
			return right.Valid && (!wrong.Valid || wrong.Mnemonic == right.Mnemonic && wrong.Length == right.Length+2)
		},
		Reason: "the immediate of RET has 16 bits; with 66 or 67 and REX.W capstone reads 32, or rejects the string where it ends",
		Evidence: []oracle.Evidence{
			valid64("6648c204050000", "7 RET", "5 RET", "SDM vol. 2, RET", 5), valid64("6648c20405", "invalid", "5 RET", "SDM vol. 2, RET", 5),
			valid64("6748c27b000000", "7 RET", "5 RET", "SDM vol. 2, RET", 5),
		},
	},
	{
		Engine: Capstone, Name: "rex-w-loses", Map: isa.MapOne, Opcodes: []byte{0x6d, 0x6f, 0x9c, 0x9d, 0xe3}, Decoded: oracle.DecodedMnemonic,
		When: func(l *oracle.Lexed) bool { return l.REX&8 != 0 && (l.OpSize || l.AddrSize) }, Wrong: widthNames,
		Reason: "REX.W outweighs 66, and does not undo 67; capstone names what 66 alone, or REX.W alone, would give",
		Evidence: []oracle.Evidence{
			valid64("66486d", "3 INSW", "3 INSD", "SDM vol. 2, 2.2.1.2", 3), valid64("67489d", "3 POPF", "3 POPFQ", "SDM vol. 2, 2.2.1.2; the CPU takes 8 bytes off the stack", 3),
			valid64("6748e344", "4 JRCXZ", "4 JECXZ", "SDM vol. 2, JECXZ", 4),
		},
	},
	{
		Engine: Capstone, Name: "movd-rex", Map: isa.Map0F, Opcodes: []byte{0x6e, 0x7e}, Decoded: oracle.DecodedMnemonic,
		When: func(l *oracle.Lexed) bool { return l.REX&8 != 0 && !l.OpSize && l.Rep == 0 }, Wrong: named("MOVD", "MOVQ"),
		Reason:   "MOVD with REX.W is MOVQ; capstone says so with XMM registers alone",
		Evidence: []oracle.Evidence{valid64("480f6e1f", "4 MOVD", "4 MOVQ", "SDM vol. 2, MOVD/MOVQ", 4)},
	},
	{
		Engine: Capstone, Name: "67-as-66", Decoded: oracle.DecodedMnemonic | oracle.DecodedLength | oracle.DecodedValidity,
		When: func(l *oracle.Lexed) bool {
			return l.Mode == x86.Long64 && l.AddrSize && !l.OpSize && l.Rep == 0 && l.REX&8 != 0 && l.Escape == oracle.EscapeLegacy && l.Map != isa.MapOne
		},
		Wrong: func(l *oracle.Lexed, _, wrong *oracle.Decoded) bool {
			return takenFor(l, wrong, func(b byte) bool { return b&0xf0 == 0x40 }, 0x66)
		},
		Reason: "67 does not select an instruction; with 67 and REX.W capstone takes that of 66",
		Evidence: []oracle.Evidence{
			valid64("67480f54c1", "5 ANDPD", "5 ANDPS", "SDM vol. 2, ANDPS", 5),
			undefined("67480f3a080100", "7 ROUNDPS", "SDM vol. 2, ROUNDPS: 66"),
		},
	},
	{
		Engine: Capstone, Name: "vmread-67", Map: isa.Map0F, Opcodes: []byte{0x78}, Decoded: oracle.DecodedMnemonic | oracle.DecodedLength,
		When: func(l *oracle.Lexed) bool { return l.AddrSize && !l.OpSize && l.Rep == 0 && l.REX&8 != 0 }, Wrong: named("EXTRQ", "VMREAD"),
		Reason: "as 67-as-66, where there is no such instruction: EXTRQ is 66 0F 78 /0, and capstone does not look at ModRM.reg",
		Evidence: []oracle.Evidence{
			{Bytes: "67480f78d10000", Mode: x86.Long64, Says: "7 EXTRQ", Truth: "5 VMREAD", Source: "SDM vol. 3, VMREAD", Length: 5},
		},
	},
	{
		Engine: Capstone, Name: "66-not-last", Decoded: oracle.DecodedMnemonic | oracle.DecodedLength | oracle.DecodedValidity,
		When: func(l *oracle.Lexed) bool { return follows(l, 0x66) && l.Escape == oracle.EscapeLegacy },
		Wrong: func(l *oracle.Lexed, right, wrong *oracle.Decoded) bool {
			offset := l.Map == isa.MapOne && l.Opcode >= 0xa0 && l.Opcode <= 0xa3
			return takenFor(l, wrong, opSize) || offset && right.Valid && !wrong.Valid
		},
		Reason: "the order of 66 and other prefixes does not matter; capstone does not see a 66 that another prefix follows, or rejects the string (MOV with an offset)",
		Evidence: []oracle.Evidence{
			valid64("666799", "3 CDQ", "3 CWD", "SDM vol. 2, 2.1.1; the CPU writes DX", 3), valid64("66f2a7", "3 CMPSD", "3 CMPSW", "SDM vol. 2, 2.1.1", 3),
			valid64("66670f3830c1", "invalid", "6 PMOVZXBW", "SDM vol. 2, 2.1.1", 6), valid64("66f3a32300000000000000", "invalid", "11 MOV", "SDM vol. 2, 2.1.1", 11),
		},
	},
	{
		Engine: Capstone, Name: "rep-not-last", Decoded: oracle.DecodedValidity,
		When: func(l *oracle.Lexed) bool {
			return l.Rep != 0 && follows(l, l.Rep) && l.Escape == oracle.EscapeLegacy && l.Map != isa.MapOne
		},
		Wrong: func(l *oracle.Lexed, right, wrong *oracle.Decoded) bool {
			return rejects(l, right, wrong) && takenFor(l, wrong, func(b byte) bool { return b == 0xf2 || b == 0xf3 })
		},
		Reason:   "the order of F2 or F3 and 66 does not matter; capstone does not see F2 and F3 before 66, and rejects what is no instruction then",
		Evidence: []oracle.Evidence{valid64("f3660fb803", "invalid", "5 POPCNT", "SDM vol. 2, 2.1.1", 5), valid64("f2660f38f0f9", "invalid", "6 CRC32", "SDM vol. 2, 2.1.1", 6)},
	},
	{
		Engine: Capstone, Name: "prefix-ignored", Decoded: oracle.DecodedValidity,
		When: func(l *oracle.Lexed) bool { return l.Escape == oracle.EscapeLegacy && l.Map != isa.MapOne },
		Wrong: func(l *oracle.Lexed, right, wrong *oracle.Decoded) bool {
			return accepts(right, wrong) && repairedPrefix(l)
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
			valid64("f2660fc20300", "6 CMPPD", "6 CMPSD", "SDM vol. 2, 2.1.1", 6),
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
		Engine: Capstone, Name: "lock-cr8", Map: isa.Map0F, Opcodes: []byte{0x20, 0x22}, Decoded: oracle.DecodedValidity,
		When: func(l *oracle.Lexed) bool { return l.Lock }, Wrong: rejects,
		Reason: "with AltMovCr8, LOCK MOV CR0 is MOV CR8; capstone takes the LOCK for invalid",
		Evidence: []oracle.Evidence{
			{Bytes: "f00f20c0", Mode: x86.Long64, Says: "invalid", Truth: "4 MOV", Source: "APM vol. 3, MOV CRn", Length: 4},
		},
	},
	{
		Engine: Capstone, Name: "no-prefix-in-16-bit-code", Decoded: oracle.DecodedMnemonic | oracle.DecodedValidity | oracle.DecodedLength,
		When: func(l *oracle.Lexed) bool {
			return l.Mode.Width() == 16 && (l.OpSize || l.Rep != 0) && l.Escape == oracle.EscapeLegacy && (l.Map != isa.MapOne || l.Opcode == 0x90)
		},
		Wrong:  func(l *oracle.Lexed, _, wrong *oracle.Decoded) bool { return takenFor(l, wrong, mandatory) },
		Reason: "66, F2 and F3 select instructions in 16-bit code as elsewhere; capstone takes the instruction without them, or none",
		Evidence: []oracle.Evidence{
			valid16("660f58c1", "4 ADDPS", "4 ADDPD", "SDM vol. 2, ADDPD", 4), valid16("660f382338", "invalid", "5 PMOVSXWD", "SDM vol. 2, PMOVSX", 5),
			valid16("f20f5af7", "4 CVTPS2PD", "4 CVTSD2SS", "SDM vol. 2, CVTSD2SS", 4), valid16("f390", "2 NOP", "2 PAUSE", "SDM vol. 2, PAUSE", 2),
		},
	},
	{
		Engine: Capstone, Name: "cbw-in-16-bit-code", Map: isa.MapOne, Opcodes: []byte{0x98, 0x99}, Decoded: oracle.DecodedMnemonic,
		When: func(l *oracle.Lexed) bool { return l.Mode.Width() == 16 }, Wrong: named("CWDE", "CBW", "CDQ", "CWD"),
		Reason:   "98 and 99 are CBW and CWD in 16-bit code; capstone says CWDE and CDQ",
		Evidence: []oracle.Evidence{valid16("98", "1 CWDE", "1 CBW", "SDM vol. 2, CBW", 1), valid16("99", "1 CDQ", "1 CWD", "SDM vol. 2, CWD", 1)},
	},
	{
		Engine: Capstone, Name: "pause", Map: isa.MapOne, Opcodes: []byte{0x90}, Decoded: oracle.DecodedMnemonic,
		When: func(l *oracle.Lexed) bool { return l.Rep == 0xf3 && (l.REX != 0 || follows(l, 0xf3)) }, Wrong: named("XCHG", "PAUSE", "NOP", "PAUSE"),
		Reason: "F3 90 is PAUSE whatever other prefixes there are; with REX or 66 capstone says XCHG or NOP",
		Evidence: []oracle.Evidence{
			valid64("f34190", "3 XCHG", "3 PAUSE", "CPU: the registers stay as they are", 3), valid64("f3666690", "4 NOP", "4 PAUSE", "SDM vol. 2, PAUSE", 4),
		},
	},
	{
		Engine: Capstone, Name: "jecxz-67", Map: isa.MapOne, Opcodes: []byte{0xe3}, Decoded: oracle.DecodedMnemonic,
		When: func(l *oracle.Lexed) bool { return follows(l, 0x67) }, Wrong: named("JCXZ", "JECXZ", "JECXZ", "JCXZ", "JRCXZ", "JECXZ"),
		Reason: "67 says which register JECXZ tests, wherever it stands; capstone does not see it if another prefix follows",
		Evidence: []oracle.Evidence{
			valid16("6766e354", "4 JCXZ", "4 JECXZ", "SDM vol. 2, JECXZ", 4), valid64("6766e30d", "4 JRCXZ", "4 JECXZ", "SDM vol. 2, JECXZ", 4),
		},
	},
}

// singleForDouble says that capstone names a scalar of single precision where
// double is right.
func singleForDouble(_ *oracle.Lexed, right, wrong *oracle.Decoded) bool {
	name, ok := strings.CutSuffix(wrong.Mnemonic, "SS")
	return ok && name+"SD" == right.Mnemonic
}
