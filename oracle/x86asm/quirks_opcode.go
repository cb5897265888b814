package x86asm

import (
	"slices"

	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// opcodeQuirks are about single opcodes.
var opcodeQuirks = []oracle.Quirk{
	{
		Engine: Name, Name: "mov-cr-dr-mod", Map: isa.Map0F, Opcodes: []byte{0x20, 0x21, 0x22, 0x23},
		When:    memoryForm,
		Decoded: oracle.DecodedLength,
		Wrong:   func(l *oracle.Lexed, right, _ *oracle.Decoded) bool { return int(right.Length) == l.NumPrefix+3 },
		Reason:  "MOV to and from control and debug registers ignores ModRM.mod (SDM vol. 2, MOV); x86asm reads a SIB and a displacement by it",
		Evidence: []oracle.Evidence{
			{Bytes: "0f204000", Mode: x86.Long64, Says: "4 MOV", Truth: "3 MOV", Source: "SDM vol. 2, MOV to/from control registers", Executes: oracle.CPUValid, Length: 3},
		},
	},
	{
		Engine: Name, Name: "mov-cr-dr-truncated", Map: isa.Map0F, Opcodes: []byte{0x20, 0x21, 0x22, 0x23},
		When:    func(l *oracle.Lexed) bool { return l.HasModRM && memoryForm(l) && len(l.Code) < l.NumPrefix+3+5 },
		Decoded: oracle.DecodedValidity,
		Wrong: func(l *oracle.Lexed, right, wrong *oracle.Decoded) bool {
			return rejects(l, right, wrong) && right.Mnemonic == "MOV" && int(right.Length) == l.NumPrefix+3
		},
		Reason:   "as mov-cr-dr-mod, where the bytes end before the SIB or displacement that is not there",
		Evidence: []oracle.Evidence{rejected("0f2040", 3, "3 MOV", "SDM vol. 2, MOV to/from control registers")},
	},
	{
		Engine: Name, Name: "mov-cr-dr-absent", Map: isa.Map0F, Opcodes: []byte{0x20, 0x21, 0x22, 0x23},
		When: func(l *oracle.Lexed) bool {
			if l.Opcode&1 != 0 {
				return l.REX&4 != 0
			}
			n := l.Reg() | l.REX&4<<1
			return n == 1 || n > 4 && n != 8 || l.Lock && n != 0
		},
		Decoded: oracle.DecodedValidity, Wrong: accepts,
		Reason: "CR1, CR5 to CR7, CR9 to CR15 and DR8 to DR15 do not exist and are #UD (SDM vol. 2, MOV to/from control and debug registers); x86asm accepts them",
		Evidence: []oracle.Evidence{
			accepted("0f20c8", "3 MOV", "SDM vol. 2, MOV to/from control registers"), accepted("440f20c8", "4 MOV", "SDM vol. 2, MOV to/from control registers"),
			accepted("440f21c0", "4 MOV", "SDM vol. 2, MOV to/from debug registers"),
		},
	},
	{
		Engine: Name, Name: "mov-tr", Map: isa.Map0F, Opcodes: []byte{0x24, 0x26},
		Decoded: oracle.DecodedValidity, Wrong: accepts,
		Reason:   "MOV to and from test registers went with the 486 and is #UD (SDM vol. 3, 24.15.3); x86asm accepts it",
		Evidence: []oracle.Evidence{accepted("0f24c0", "3 MOV", "SDM vol. 3, test registers"), accepted("0f26c0", "3 MOV", "SDM vol. 3, test registers")},
	},
	{
		Engine: Name, Name: "mov-cs", Map: isa.MapOne, Opcodes: []byte{0x8e},
		When:    func(l *oracle.Lexed) bool { return l.Reg() == 1 },
		Decoded: oracle.DecodedValidity, Wrong: accepts,
		Reason:   "MOV to CS is #UD (SDM vol. 2, MOV); x86asm accepts it",
		Evidence: []oracle.Evidence{accepted("8ec8", "2 MOV", "SDM vol. 2, MOV"), accepted("8e08", "2 MOV", "SDM vol. 2, MOV")},
	},
	{
		Engine: Name, Name: "hint-nop", Map: isa.Map0F, Opcodes: []byte{0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e},
		Decoded: oracle.DecodedValidity, Wrong: rejectsAs("NOP", "ENDBR64", "ENDBR32", "RDSSPD", "RDSSPQ", "CLDEMOTE"),
		Reason: "0F 19 to 0F 1E are NOPs with a ModRM byte (SDM vol. 2, NOP and table A-3), ENDBR64 among them; x86asm does not know them",
		Evidence: []oracle.Evidence{
			rejected("f30f1efa", 4, "4 ENDBR64", "SDM vol. 2, ENDBR64"), rejected("0f19c0", 3, "3 NOP", "SDM vol. 2, table A-3"),
			rejected("0f1ac0", 3, "3 NOP", "SDM vol. 2, table A-3"), rejected("0f1bc0", 3, "3 NOP", "SDM vol. 2, table A-3"),
			rejected("0f1cc0", 3, "3 NOP", "SDM vol. 2, table A-3"), rejected("0f1d00", 3, "3 NOP", "SDM vol. 2, table A-3"),
		},
	},
	{
		Engine: Name, Name: "nop-digit", Map: isa.Map0F, Opcodes: []byte{0x1f},
		When:    func(l *oracle.Lexed) bool { return l.Reg() != 0 || l.REX&8 != 0 },
		Decoded: oracle.DecodedValidity, Wrong: rejectsAs("NOP"),
		Reason:   "0F 1F is NOP whatever ModRM.reg and REX.W (SDM vol. 2, NOP and table A-3); x86asm knows /0 without REX.W alone",
		Evidence: []oracle.Evidence{rejected("0f1fc8", 3, "3 NOP", "SDM vol. 2, table A-3"), rejected("480f1f00", 4, "4 NOP", "SDM vol. 2, NOP")},
	},
	{
		Engine: Name, Name: "prefetch-other", Map: isa.Map0F, Opcodes: []byte{0x18},
		When:    func(l *oracle.Lexed) bool { return l.Mod() == 3 || l.Reg() > 3 },
		Decoded: oracle.DecodedValidity, Wrong: rejectsAs("NOP"),
		Reason:   "0F 18 is a NOP where it is no PREFETCHh (SDM vol. 2, table A-6, group 16); x86asm rejects registers and /4 to /7",
		Evidence: []oracle.Evidence{rejected("0f18c0", 3, "3 NOP", "SDM vol. 2, table A-6"), rejected("0f1820", 3, "3 NOP", "SDM vol. 2, table A-6")},
	},
	{
		Engine: Name, Name: "prefetchw-other", Map: isa.Map0F, Opcodes: []byte{0x0d},
		When:    func(l *oracle.Lexed) bool { return l.Mod() == 3 || l.Reg() != 1 },
		Decoded: oracle.DecodedValidity, Wrong: rejectsAs("NOP", "PREFETCH", "PREFETCHWT1"),
		Reason: "0F 0D is PREFETCH, PREFETCHWT1 or a NOP for the other ModRM bytes (AMD APM vol. 3, PREFETCH; SDM vol. 2, NOP); x86asm knows /1 with memory alone",
		Evidence: []oracle.Evidence{
			rejected("0f0d00", 3, "3 PREFETCH", "AMD APM vol. 3, PREFETCH"), rejected("0f0d10", 3, "3 PREFETCHWT1", "SDM vol. 2, PREFETCHWT1"),
			rejected("0f0dc0", 3, "3 NOP", "SDM vol. 2, table A-3"),
		},
	},
	{
		Engine: Name, Name: "movsxd-word", Map: isa.MapOne, Opcodes: []byte{0x63},
		When:    func(l *oracle.Lexed) bool { return l.OpSize && l.REX&8 == 0 },
		Decoded: oracle.DecodedOperands,
		Wrong: func(_ *oracle.Lexed, right, wrong *oracle.Decoded) bool {
			w := *wrong
			w.Operands[1].Size = 2
			return wrong.Operands[1].Size == 4 && w.Operands == right.Operands
		},
		Reason: "66 63 /r is MOVSXD r16, r/m16 (SDM vol. 2, MOVSX/MOVSXD); x86asm gives a 32-bit source",
		Evidence: []oracle.Evidence{
			{Bytes: "666300", Mode: x86.Long64, Says: "3 MOVSXD", Truth: "3 MOVSXD", Source: "SDM vol. 2, MOVSX/MOVSXD", Executes: oracle.CPUValid, Length: 3},
		},
	},
	{
		Engine: Name, Name: "wbnoinvd", Map: isa.Map0F, Opcodes: []byte{0x09},
		When:    func(l *oracle.Lexed) bool { return l.Rep == 0xf3 },
		Decoded: oracle.DecodedMnemonic, Wrong: renamed("WBINVD", "WBNOINVD"),
		Reason: "F3 0F 09 is WBNOINVD (SDM vol. 2, WBNOINVD); x86asm knows WBINVD alone",
		Evidence: []oracle.Evidence{
			{Bytes: "f30f09", Mode: x86.Long64, Says: "3 WBINVD", Truth: "3 WBNOINVD", Source: "SDM vol. 2, WBNOINVD"},
		},
	},
	{
		Engine: Name, Name: "movbe-rep", Map: isa.Map0F38, Opcodes: []byte{0xf0, 0xf1},
		When:    func(l *oracle.Lexed) bool { return l.Rep == 0xf3 },
		Decoded: oracle.DecodedValidity, Wrong: accepts,
		Reason:   "F3 0F 38 F0 and F1 are undefined (SDM vol. 2, table A-4); x86asm takes them for MOVBE",
		Evidence: []oracle.Evidence{accepted("f30f38f000", "5 MOVBE", "SDM vol. 2, table A-4"), accepted("f30f38f100", "5 MOVBE", "SDM vol. 2, table A-4")},
	},
	{
		Engine: Name, Name: "ud-size", Map: isa.Map0F, Opcodes: []byte{0xb9, 0xff},
		When:    func(l *oracle.Lexed) bool { return l.OpSize || l.REX&8 != 0 },
		Decoded: oracle.DecodedValidity, Wrong: rejectsAs("UD0", "UD1"),
		Reason: "UD0 and UD1 take a ModRM byte at every operand size (SDM vol. 2, UD); x86asm knows the 32-bit forms alone. The CPU raises #UD in any case",
		Evidence: []oracle.Evidence{
			{Bytes: "660fb9c0", Mode: x86.Long64, Says: "invalid", Truth: "4 UD1", Source: "SDM vol. 2, UD"},
			{Bytes: "480fffc0", Mode: x86.Long64, Says: "invalid", Truth: "4 UD0", Source: "SDM vol. 2, UD"},
		},
	},
}

var rdrandMemory = renamed("RDRAND", "VMPTRLD", "RDRAND", "VMCLEAR", "RDRAND", "VMXON")

var rdrandNamed = renamed("RDRAND", "SENDUIPI")

// knownGroup7 are the ModRM bytes of group 7 that x86asm knows and that the
// manual allows without a prefix only: MONITOR, MWAIT, XGETBV, XSETBV, XEND,
// XTEST and RDTSCP (which ignores 66).
var knownGroup7 = []byte{0xc8, 0xc9, 0xd0, 0xd1, 0xd5, 0xd6, 0xf9}

// groupQuirks are about opcodes that ModRM.reg extends.
var groupQuirks = []oracle.Quirk{
	{
		Engine: Name, Name: "test-alias", Map: isa.MapOne, Opcodes: []byte{0xf6, 0xf7},
		When:    func(l *oracle.Lexed) bool { return l.Reg() == 1 },
		Decoded: oracle.DecodedValidity, Wrong: rejectsAs("TEST"),
		Reason:   "F6 /1 and F7 /1 are TEST, as /0 (AMD APM vol. 3, table A-6); x86asm rejects them",
		Evidence: []oracle.Evidence{rejected("f6c801", 3, "3 TEST", "CPU"), rejected("f7c801000000", 6, "6 TEST", "CPU")},
	},
	{
		Engine: Name, Name: "shl-alias", Map: isa.MapOne, Opcodes: []byte{0xc0, 0xc1, 0xd0, 0xd1, 0xd2, 0xd3},
		When:    func(l *oracle.Lexed) bool { return l.Reg() == 6 },
		Decoded: oracle.DecodedValidity, Wrong: rejectsAs("SAL"),
		Reason:   "/6 of the shift group is SHL, as /4 (AMD APM vol. 3, table A-6); x86asm rejects it",
		Evidence: []oracle.Evidence{rejected("d1f0", 2, "2 SAL", "CPU"), rejected("c1f003", 3, "3 SAL", "CPU"), rejected("d2f0", 2, "2 SAL", "CPU")},
	},
	{
		Engine: Name, Name: "cache-line-66", Map: isa.Map0F, Opcodes: []byte{0xae},
		When:    func(l *oracle.Lexed) bool { return l.OpSize && l.Rep == 0 && l.Mod() != 3 && l.Reg() >= 6 },
		Decoded: oracle.DecodedMnemonic | oracle.DecodedOperands,
		Wrong:   renamed("CLFLUSH", "CLFLUSHOPT", "XSAVEOPT", "CLWB", "XSAVEOPT64", "CLWB"),
		Reason:  "66 0F AE /7 is CLFLUSHOPT and /6 CLWB (SDM vol. 2); x86asm names them CLFLUSH and XSAVEOPT",
		Evidence: []oracle.Evidence{
			{Bytes: "660fae38", Mode: x86.Long64, Says: "4 CLFLUSH", Truth: "4 CLFLUSHOPT", Source: "SDM vol. 2, CLFLUSHOPT", Executes: oracle.CPUValid, Length: 4},
			{Bytes: "660fae30", Mode: x86.Long64, Says: "4 XSAVEOPT", Truth: "4 CLWB", Source: "SDM vol. 2, CLWB", Executes: oracle.CPUValid, Length: 4},
		},
	},
	{
		Engine: Name, Name: "xsave-prefix", Map: isa.Map0F, Opcodes: []byte{0xae, 0xc7},
		When: func(l *oracle.Lexed) bool {
			if !prefixed(l) || !memoryForm(l) {
				return false
			}
			p, reg := mandatory(l), l.Reg()
			switch {
			case l.Opcode == 0xc7:
				return reg >= 3 && reg <= 5
			case p == 0x66:
				return reg < 6
			case p == 0xf3:
				// PTWRITE is, but not with 66 (SDM vol. 2, PTWRITE).
				return reg != 4 && reg != 6 || reg == 4 && l.OpSize
			}
			return true
		},
		Decoded: oracle.DecodedValidity, Wrong: accepts,
		Reason: "FXSAVE, FXRSTOR, XSAVE and their kin are marked NP and RDFSBASE and its kin take no memory: #UD (SDM vol. 2); x86asm ignores prefix or ModRM.mod",
		Evidence: []oracle.Evidence{
			accepted("660fae00", "4 FXSAVE", "SDM vol. 2, FXSAVE"), accepted("660fc720", "4 XSAVEC", "SDM vol. 2, XSAVEC"),
			accepted("660fae28", "4 XRSTOR", "SDM vol. 2, XRSTOR"), accepted("66f30fae20", "5 XSAVE", "SDM vol. 2, PTWRITE"), accepted("f30fae18", "4 WRGSBASE", "SDM vol. 2, WRGSBASE"),
		},
	},
	{
		Engine: Name, Name: "group7-prefix", Map: isa.Map0F, Opcodes: []byte{0x01},
		When: func(l *oracle.Lexed) bool {
			return prefixed(l) && slices.Contains(knownGroup7, l.ModRM) && l.ModRM != 0xf9 // RDTSCP takes any
		},
		Decoded: oracle.DecodedValidity, Wrong: accepts,
		Reason: "XGETBV, XSETBV, XEND, XTEST, MONITOR and MWAIT are marked NP (SDM vol. 2); x86asm ignores the prefix",
		Evidence: []oracle.Evidence{
			{Bytes: "f20f01d0", Mode: x86.Long64, Says: "4 XGETBV", Truth: "invalid", Source: "SDM vol. 2, XGETBV"},
			{Bytes: "660f01d5", Mode: x86.Long64, Says: "4 XEND", Truth: "invalid", Source: "SDM vol. 2, XEND"},
		},
	},
	{
		Engine: Name, Name: "fence-prefix", Map: isa.Map0F, Opcodes: []byte{0xae},
		When: func(l *oracle.Lexed) bool {
			return (l.OpSize || l.Rep != 0) && l.Mod() == 3 && l.Reg() >= 5 && l.RM() == 0
		},
		Decoded: oracle.DecodedValidity, Wrong: accepts,
		Reason:   "the fences are marked NP (SDM vol. 2, LFENCE); x86asm ignores 66, F2 and F3 before E8, F0 and F8",
		Evidence: []oracle.Evidence{accepted("660faee8", "4 LFENCE", "SDM vol. 2, LFENCE"), accepted("f20faef8", "4 SFENCE", "SDM vol. 2, SFENCE")},
	},
	{
		Engine: Name, Name: "fence-name", Map: isa.Map0F, Opcodes: []byte{0xae},
		When: func(l *oracle.Lexed) bool {
			return l.Rep == 0xf3 && l.ModRM == 0xe8 || prefixed(l) && l.ModRM == 0xf0
		},
		Decoded: oracle.DecodedMnemonic | oracle.DecodedOperands,
		Wrong:   renamed("LFENCE", "INCSSPD", "LFENCE", "INCSSPQ", "MFENCE", "UMONITOR", "MFENCE", "UMWAIT", "MFENCE", "TPAUSE"),
		Reason:  "F3 0F AE /5 is INCSSP, and /6 is UMONITOR, UMWAIT or TPAUSE by prefix (SDM vol. 2); x86asm ignores it and names LFENCE and MFENCE",
		Evidence: []oracle.Evidence{
			{Bytes: "f30faee8", Mode: x86.Long64, Says: "4 LFENCE", Truth: "4 INCSSPD", Source: "SDM vol. 2, INCSSPD"},
			{Bytes: "f30faef0", Mode: x86.Long64, Says: "4 MFENCE", Truth: "4 UMONITOR", Source: "SDM vol. 2, UMONITOR"},
			{Bytes: "660faef0", Mode: x86.Long64, Says: "4 MFENCE", Truth: "4 TPAUSE", Source: "SDM vol. 2, TPAUSE"},
		},
	},
	{
		Engine: Name, Name: "rdrand-rep", Map: isa.Map0F, Opcodes: []byte{0xc7},
		When:    func(l *oracle.Lexed) bool { return l.Reg() == 6 && l.Rep != 0 && l.Mod() == 3 },
		Decoded: oracle.DecodedAll &^ oracle.DecodedLength,
		Wrong: func(l *oracle.Lexed, right, wrong *oracle.Decoded) bool {
			return rdrandNamed(l, right, wrong) || l.Rep == 0xf2 && accepts(l, right, wrong)
		},
		Reason: "F3 0F C7 /6 with a register is SENDUIPI, and F2 undefined (SDM vol. 2, SENDUIPI); x86asm says RDRAND for both",
		Evidence: []oracle.Evidence{
			{Bytes: "f30fc7f0", Mode: x86.Long64, Says: "4 RDRAND", Truth: "4 SENDUIPI", Source: "SDM vol. 2, SENDUIPI"},
			{Bytes: "f20fc7f0", Mode: x86.Long64, Says: "4 RDRAND", Truth: "invalid", Source: "SDM vol. 2, table A-6"},
		},
	},
	{
		Engine: Name, Name: "fence-rm", Map: isa.Map0F, Opcodes: []byte{0xae},
		When: func(l *oracle.Lexed) bool {
			return l.Mod() == 3 && l.Reg() >= 5 && l.RM() != 0 && l.Rep == 0 && !l.OpSize
		},
		Decoded: oracle.DecodedValidity, Wrong: rejectsAs("LFENCE", "MFENCE", "SFENCE"),
		Reason:   "the fences ignore ModRM.rm (SDM vol. 2, LFENCE); x86asm knows rm 0 alone",
		Evidence: []oracle.Evidence{rejected("0faee9", 3, "3 LFENCE", "CPU"), rejected("0faef1", 3, "3 MFENCE", "CPU"), rejected("0faeff", 3, "3 SFENCE", "CPU")},
	},
	{
		Engine: Name, Name: "rdrand-rexw", Map: isa.Map0F, Opcodes: []byte{0xc7},
		When:    func(l *oracle.Lexed) bool { return l.Reg() == 6 && l.REX&8 != 0 && l.Mod() == 3 },
		Decoded: oracle.DecodedOperands,
		Wrong: func(_ *oracle.Lexed, right, wrong *oracle.Decoded) bool {
			return right.Mnemonic == "RDRAND" && right.NumOperands == 1 && wrong.NumOperands == 0
		},
		Reason: "RDRAND r64 has an operand (SDM vol. 2, RDRAND); x86asm drops it with REX.W",
		Evidence: []oracle.Evidence{
			{Bytes: "480fc7f2", Mode: x86.Long64, Says: "4 RDRAND", Truth: "4 RDRAND", Source: "SDM vol. 2, RDRAND", Executes: oracle.CPUValid, Length: 4},
		},
	},
	{
		Engine: Name, Name: "rdrand-memory", Map: isa.Map0F, Opcodes: []byte{0xc7},
		When:    func(l *oracle.Lexed) bool { return l.Reg() == 6 && l.REX&8 != 0 && l.Mod() != 3 },
		Decoded: oracle.DecodedAll &^ oracle.DecodedLength,
		Wrong: func(l *oracle.Lexed, right, wrong *oracle.Decoded) bool {
			return rdrandMemory(l, right, wrong) || l.Rep == 0xf2 && accepts(l, right, wrong)
		},
		Reason: "0F C7 /6 with memory is VMPTRLD and the like (SDM vol. 2); x86asm calls it RDRAND with REX.W",
		Evidence: []oracle.Evidence{
			{Bytes: "480fc730", Mode: x86.Long64, Says: "4 RDRAND", Truth: "4 VMPTRLD", Source: "SDM vol. 3, VMPTRLD"},
		},
	},
}
