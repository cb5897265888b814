package x86asm

import (
	"slices"

	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// fpuAliases are the first bytes and digits of the x87 encodings that repeat
// another (AMD APM vol. 3, table A-15 and after).
var fpuAliases = map[byte][]byte{0xd9: {3}, 0xdc: {2, 3}, 0xdd: {1}, 0xde: {2}, 0xdf: {1, 2, 3}}

// vectorQuirks are about x87, MMX and SSE.
var vectorQuirks = []oracle.Quirk{
	unknown("fpu-alias", []string{"FCOM", "FCOMP", "FXCH", "FSTP"}, isa.MapOne, []byte{0xd9, 0xdc, 0xdd, 0xde, 0xdf}, func(l *oracle.Lexed) bool { return l.Mod() == 3 && slices.Contains(fpuAliases[l.Opcode], l.Reg()) },
		"the x87 aliases: DC D0 FCOM, DC D8 and DE D0 FCOMP, DD C8 and DF C8 FXCH, D9 D8, DF D0 and DF D8 FSTP",
		rejected("ddc8", 2, "2 FXCH", "CPU"), rejected("dcd0", 2, "2 FCOM", "CPU"), rejected("dcd8", 2, "2 FCOMP", "CPU"),
		rejected("ded0", 2, "2 FCOMP", "CPU"), rejected("dfc8", 2, "2 FXCH", "CPU"), rejected("d9d8", 2, "2 FSTP", "CPU"),
		rejected("dfd0", 2, "2 FSTP", "CPU")),
	unknown("fpu-old", []string{"FNENI", "FNDISI", "FNSETPM"}, isa.MapOne, []byte{0xdb}, func(l *oracle.Lexed) bool { return l.ModRM == 0xe0 || l.ModRM == 0xe1 || l.ModRM == 0xe4 },
		"FENI, FDISI and FSETPM, which do nothing since the 80387",
		rejected("dbe0", 2, "2 FNENI", "CPU"), rejected("dbe1", 2, "2 FNDISI", "CPU"), rejected("dbe4", 2, "2 FNSETPM", "CPU")),
	unknown("gfni", []string{"GF2P8AFFINEQB", "GF2P8AFFINEINVQB"}, isa.Map0F3A, []byte{0xce, 0xcf}, func(l *oracle.Lexed) bool { return mandatory(l) == 0x66 }, "GF2P8AFFINEQB and GF2P8AFFINEINVQB",
		rejected("660f3acec101", 6, "6 GF2P8AFFINEQB", "SDM vol. 2, GF2P8AFFINEQB"),
		rejected("660f3acfc101", 6, "6 GF2P8AFFINEINVQB", "SDM vol. 2, GF2P8AFFINEINVQB")),
	unknown("gfni-mul", []string{"GF2P8MULB"}, isa.Map0F38, []byte{0xcf}, func(l *oracle.Lexed) bool { return mandatory(l) == 0x66 }, "GF2P8MULB",
		rejected("660f38cfc1", 5, "5 GF2P8MULB", "SDM vol. 2, GF2P8MULB")),
	unknown("sse4a", []string{"EXTRQ", "INSERTQ"}, isa.Map0F, []byte{0x78, 0x79}, func(l *oracle.Lexed) bool {
		p := mandatory(l)
		return l.Mod() == 3 && (p == 0xf2 || p == 0x66 && (l.Opcode == 0x79 || l.Reg() == 0))
	}, "EXTRQ and INSERTQ",
		rejected("660f79c1", 4, "4 EXTRQ", "AMD APM vol. 4, EXTRQ"), rejected("f20f78c10102", 6, "6 INSERTQ", "AMD APM vol. 4, INSERTQ")),
	{
		Engine: Name, Name: "np-0f", Map: isa.Map0F, Opcodes: []byte{0x52, 0x53, 0x77, 0xc3},
		When:    func(l *oracle.Lexed) bool { return prefixed(l) && (l.Rep != 0xf3 || l.Opcode > 0x53) },
		Decoded: oracle.DecodedValidity, Wrong: accepts,
		Reason: "RSQRTPS, RCPPS, EMMS and MOVNTI are marked NP: with 66, F2 or F3 (but for the scalar forms) they are #UD (SDM vol. 2); x86asm ignores the prefix",
		Evidence: []oracle.Evidence{
			accepted("f20f52c1", "4 RSQRTPS", "SDM vol. 2, RSQRTPS"), accepted("660f53c1", "4 RCPPS", "SDM vol. 2, RCPPS"),
			accepted("f30f77", "3 EMMS", "SDM vol. 2, EMMS"), accepted("660fc300", "4 MOVNTI", "SDM vol. 2, MOVNTI"),
		},
	},
	{
		Engine: Name, Name: "np-sha", Map: isa.Map0F38, Opcodes: []byte{0xc8, 0xc9, 0xca, 0xcb, 0xcc, 0xcd},
		When:    prefixed,
		Decoded: oracle.DecodedValidity, Wrong: accepts,
		Reason:   "the SHA instructions are marked NP: #UD with 66, F2 or F3 (SDM vol. 2); x86asm ignores the prefix",
		Evidence: []oracle.Evidence{accepted("660f38c8c1", "5 SHA1NEXTE", "SDM vol. 2, SHA1NEXTE"), accepted("f20f38ccc1", "5 SHA256MSG1", "SDM vol. 2, SHA256MSG1")},
	},
	{
		Engine: Name, Name: "np-sha1rnds4", Map: isa.Map0F3A, Opcodes: []byte{0xcc},
		When:    prefixed,
		Decoded: oracle.DecodedValidity, Wrong: accepts,
		Reason:   "SHA1RNDS4 is marked NP: #UD with 66, F2 or F3 (SDM vol. 2, SHA1RNDS4); x86asm ignores the prefix",
		Evidence: []oracle.Evidence{accepted("660f3accc101", "6 SHA1RNDS4", "SDM vol. 2, SHA1RNDS4")},
	},
	{
		Engine: Name, Name: "movlp-register", Map: isa.Map0F, Opcodes: []byte{0x12, 0x13, 0x16, 0x17},
		When:    func(l *oracle.Lexed) bool { return l.Mod() == 3 && (l.Opcode&1 != 0 || mandatory(l) == 0x66) },
		Decoded: oracle.DecodedValidity, Wrong: accepts,
		Reason: "MOVLPD, MOVHPD and the stores of MOVLPS and MOVHPS take memory alone (SDM vol. 2, MOVLPD); x86asm accepts a register",
		Evidence: []oracle.Evidence{
			accepted("660f12c1", "4 MOVLPD", "SDM vol. 2, MOVLPD"), accepted("660f17c1", "4 MOVHPD", "SDM vol. 2, MOVHPD"),
		},
	},
}
