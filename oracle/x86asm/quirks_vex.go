package x86asm

import (
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

func isVEX(l *oracle.Lexed) bool { return l.Escape == oracle.EscapeVEX }

// vexQuirks are about the VEX encoding.
var vexQuirks = []oracle.Quirk{
	{
		Engine: Name, Name: "prefix-before-vex",
		When:    func(l *oracle.Lexed) bool { return isVEX(l) && l.NumPrefix > 0 },
		Decoded: oracle.DecodedValidity, Wrong: rejects,
		Reason: "segment and address-size prefixes may stand before VEX (SDM vol. 2, 2.3.2); x86asm finds VEX at the first byte alone and returns the bare prefix",
		Evidence: []oracle.Evidence{
			rejected("67c4e270f201", 6, "6 ANDN", "SDM vol. 2, 2.3.2"), rejected("64c4e270f201", 6, "6 ANDN", "SDM vol. 2, 2.3.2"),
		},
	},
	{
		Engine: Name, Name: "vex-rip",
		When:    func(l *oracle.Lexed) bool { return isVEX(l) && l.Mod() == 0 && l.RM() == 5 },
		Decoded: oracle.DecodedOperands,
		Reason:  "ModRM.mod 0 and rm 5 is relative to RIP in 64-bit mode (SDM vol. 2, 2.2.1.6); with VEX, x86asm gives the bare displacement",
		Evidence: []oracle.Evidence{
			{Bytes: "c4e270f20510000000", Mode: x86.Long64, Says: "9 ANDN", Truth: "9 ANDN", Source: "SDM vol. 2, 2.2.1.6", Executes: oracle.CPUValid, Length: 9},
		},
	},
	{
		Engine: Name, Name: "vex-vvvv",
		When:    func(l *oracle.Lexed) bool { return isVEX(l) && l.VVVV != 0 },
		Decoded: oracle.DecodedValidity, Wrong: accepts,
		Reason:   "VEX.vvvv that names no operand must be 1111b, else #UD (SDM vol. 2, 2.3.5.6); x86asm does not look",
		Evidence: []oracle.Evidence{accepted("c4e373f0c001", "6 RORX", "SDM vol. 2, 2.3.5.6")},
	},
}
