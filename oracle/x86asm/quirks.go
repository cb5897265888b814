package x86asm

import (
	"slices"

	"golang.org/x/arch/x86/x86asm"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// Quirks returns the known faults of x86asm v0.32.0; those of 16- and 32-bit
// code alone come last. The rows are the package's and must not be changed.
func Quirks() []oracle.Quirk { return allQuirks }

var allQuirks = slices.Concat(prefixQuirks, opcodeQuirks, groupQuirks, unknownQuirks, vectorQuirks, vexQuirks, evexQuirks, modeQuirks)

// rejects says that x86asm rejects what is valid.
func rejects(_ *oracle.Lexed, right, wrong *oracle.Decoded) bool { return right.Valid && !wrong.Valid }

// rejectsAs says that x86asm rejects one of those instructions. None of them
// takes LOCK.
func rejectsAs(names ...string) func(l *oracle.Lexed, right, wrong *oracle.Decoded) bool {
	return func(l *oracle.Lexed, right, wrong *oracle.Decoded) bool {
		return rejects(l, right, wrong) && !l.Lock && slices.Contains(names, right.Mnemonic)
	}
}

// accepts says that x86asm accepts what is not.
func accepts(_ *oracle.Lexed, right, wrong *oracle.Decoded) bool { return !right.Valid && wrong.Valid }

// renames are the pairs of x86asm's name and the right one of which some row
// speaks.
var renames = map[[2]string]bool{}

// renamed says that x86asm gives a wrong name. names are pairs of x86asm's and
// the right one.
func renamed(names ...string) func(l *oracle.Lexed, right, wrong *oracle.Decoded) bool {
	pairs := map[[2]string]bool{}
	for i := 0; i+1 < len(names); i += 2 {
		pair := [2]string{names[i], names[i+1]}
		pairs[pair], renames[pair] = true, true
	}
	return func(_ *oracle.Lexed, right, wrong *oracle.Decoded) bool {
		return pairs[[2]string{wrong.Mnemonic, right.Mnemonic}]
	}
}

// prefixed says that the instruction has one of 66, F2 and F3.
func prefixed(l *oracle.Lexed) bool { return l.OpSize || l.Rep != 0 }

// plain says that it has none of them (NP in the manual).
func plain(l *oracle.Lexed) bool { return !prefixed(l) }

// mandatory returns the prefix that selects the instruction: F2 or F3, else 66,
// else 0.
func mandatory(l *oracle.Lexed) byte {
	if l.Rep == 0 && l.OpSize {
		return 0x66
	}
	return l.Rep
}

// memoryForm says that ModRM names memory.
func memoryForm(l *oracle.Lexed) bool { return l.Mod() != 3 }

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
		Decoded: oracle.DecodedValidity,
		Wrong: func(l *oracle.Lexed, right, wrong *oracle.Decoded) bool {
			// Without the REX bytes that are void, x86asm gives the right name,
			// or the wrong one of another row.
			name := withoutLostREX(l)
			return rejects(l, right, wrong) && (name == right.Mnemonic || renames[[2]string{name, right.Mnemonic}])
		},
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
			return accepts(l, right, wrong) && marksLock(l)
		},
		Reason: "LOCK on an instruction that cannot be locked is #UD (SDM vol. 2, LOCK); x86asm returns the instruction and only marks the prefix",
		Evidence: []oracle.Evidence{
			accepted("f0f9", "2 STC", "SDM vol. 2, LOCK"),
			accepted("f001d8", "3 ADD", "SDM vol. 2, LOCK: the destination is a register"),
			accepted("f08b00", "3 MOV", "SDM vol. 2, LOCK"),
		},
	},
}

// withoutLostREX decodes the string again without the REX bytes that another
// prefix follows, and returns x86asm's name.
func withoutLostREX(l *oracle.Lexed) string {
	var buf [16]byte
	code := buf[:0]
	for i, b := range l.Code[:min(len(l.Code), 15)] {
		if i < l.NumPrefix-1 && b&0xf0 == 0x40 || i == l.NumPrefix-1 && b&0xf0 == 0x40 && l.REX == 0 {
			continue
		}
		code = append(code, b)
	}
	var d oracle.Decoded
	(&Decoder{}).Decode(code, l.Mode, &d)
	return d.Mnemonic
}

// marksLock says that x86asm marks the LOCK prefix as invalid.
func marksLock(l *oracle.Lexed) bool {
	in, err := x86asm.Decode(l.Code, l.Mode.Width())
	if err != nil {
		return false
	}
	for _, p := range in.Prefix {
		if p&0xff == x86asm.PrefixLOCK && p&x86asm.PrefixInvalid != 0 {
			return true
		}
	}
	return false
}
