package x86asm

import (
	"slices"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// Quirks returns the known faults of x86asm v0.32.0 in 64-bit mode. The rows
// are the package's and must not be changed.
func Quirks() []oracle.Quirk { return allQuirks }

var allQuirks = slices.Concat(prefixQuirks, opcodeQuirks, groupQuirks, unknownQuirks, vexQuirks)

// rejects says that x86asm rejects what is valid.
func rejects(_ *oracle.Lexed, right, wrong *oracle.Decoded) bool { return right.Valid && !wrong.Valid }

// accepts says that x86asm accepts what is not.
func accepts(_ *oracle.Lexed, right, wrong *oracle.Decoded) bool { return !right.Valid && wrong.Valid }

// rejected is evidence of an encoding that x86asm rejects: its length and name.
func rejected(bytes string, length uint8, truth, source string) oracle.Evidence {
	return oracle.Evidence{
		Bytes: bytes, Mode: x86.Long64, Says: "invalid", Truth: truth, Source: source,
		Executes: oracle.CPUValid, Length: length,
	}
}

// accepted is evidence of a string that x86asm accepts and the CPU answers
// with #UD.
func accepted(bytes, says, source string) oracle.Evidence {
	return oracle.Evidence{
		Bytes: bytes, Mode: x86.Long64, Says: says, Truth: "invalid", Source: source,
		Executes: oracle.CPUUndefined,
	}
}

// prefixQuirks are about prefixes.
var prefixQuirks = []oracle.Quirk{
	{
		Engine: Name, Name: "rex-not-last",
		When:    func(l *oracle.Lexed) bool { return l.LostREX },
		Decoded: oracle.DecodedValidity, Wrong: rejects,
		Reason: "a REX prefix that is not directly before the opcode is ignored (SDM vol. 2, 2.2.1); x86asm takes it for the opcode",
		Evidence: []oracle.Evidence{
			rejected("4848c3", 3, "3 RET", "SDM vol. 2, 2.2.1"),
			rejected("486689c8", 4, "4 MOV", "SDM vol. 2, 2.2.1"),
		},
	},
	{
		Engine: Name, Name: "lock-accepted",
		When:    func(l *oracle.Lexed) bool { return l.Lock },
		Decoded: oracle.DecodedValidity,
		Wrong: func(l *oracle.Lexed, right, wrong *oracle.Decoded) bool {
			return accepts(l, right, wrong) && right.Reason == "bad lock"
		},
		Reason: "LOCK on an instruction that cannot be locked is #UD (SDM vol. 2, LOCK); x86asm returns the instruction and only marks the prefix",
		Evidence: []oracle.Evidence{
			accepted("f0f9", "2 STC", "SDM vol. 2, LOCK"),
			accepted("f001d8", "3 ADD", "SDM vol. 2, LOCK: the destination is a register"),
			accepted("f08b00", "3 MOV", "SDM vol. 2, LOCK"),
		},
	},
}
