package x86asm

import (
	"strings"

	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// in32 and in16 are evidence in 32- and 16-bit code of an encoding that
// x86asm rejects.
func in32(e oracle.Evidence) oracle.Evidence { e.Mode = x86.Compat32; return e }
func in16(e oracle.Evidence) oracle.Evidence { e.Mode = x86.Compat16; return e }

// outside64 says that the code is not 64-bit code.
func outside64(l *oracle.Lexed) bool { return l.Mode.Width() != 64 }

// vector says that the string begins with VEX or EVEX.
func vector(l *oracle.Lexed) bool {
	return l.Escape == oracle.EscapeVEX || l.Escape == oracle.EscapeEVEX
}

// modeQuirks are the faults that show in 16- and 32-bit code alone.
var modeQuirks = []oracle.Quirk{
	{
		Engine: Name, Name: "no-vex-in-16-bit-code",
		When:    func(l *oracle.Lexed) bool { return l.Mode.Width() == 16 && vector(l) },
		Decoded: oracle.DecodedValidity, Wrong: rejects,
		Reason: "VEX and EVEX are valid in 16-bit protected mode as in 32-bit (SDM vol. 2, 2.3 and 2.7; only real and virtual-8086 mode have none); x86asm rejects them all",
		Evidence: []oracle.Evidence{
			in16(rejected("c4e1f96c03", 5, "5 VPUNPCKLQDQ", "SDM vol. 2, 2.3.5")), in16(rejected("c5f877", 3, "3 VZEROUPPER", "SDM vol. 2, 2.3.5")),
			in16(rejected("62f17c085803", 6, "6 VADDPS", "SDM vol. 2, 2.7")),
		},
	},
	{
		Engine: Name, Name: "vector-registers-in-32-bit-code",
		When:    func(l *oracle.Lexed) bool { return l.Mode.Width() == 32 && vector(l) },
		Decoded: oracle.DecodedOperands, Wrong: registersAbove7,
		Reason: "outside 64-bit mode there are eight registers: VEX.B and bit 3 of vvvv are ignored (SDM vol. 2, 2.3.5 and 2.7.11); x86asm takes them for a part of the number",
		Evidence: []oracle.Evidence{
			{Bytes: "c4e1015c03", Mode: x86.Compat32, Says: "5 VSUBPD", Truth: "5 VSUBPD", Source: "SDM vol. 2, 2.3.5.6", Executes: oracle.CPUValid, Length: 5},
			{Bytes: "62d17c085d03", Mode: x86.Compat32, Says: "6 VMINPS", Truth: "6 VMINPS", Source: "SDM vol. 2, 2.7.11", Executes: oracle.CPUValid, Length: 6},
		},
	},
	{
		Engine: Name, Name: "evex-v-in-32-bit-code",
		When: func(l *oracle.Lexed) bool {
			at := l.NumPrefix + 3 // the third payload byte
			return l.Mode.Width() == 32 && l.Escape == oracle.EscapeEVEX && at < len(l.Code) && l.Code[at]&8 == 0
		},
		Decoded: oracle.DecodedValidity, Wrong: accepts,
		Reason: "outside 64-bit mode EVEX.V' must be set, or the CPU raises #UD (SDM vol. 2, 2.7.11); x86asm accepts it",
		Evidence: []oracle.Evidence{
			in32(accepted("62f17c005d03", "6 VMINPS", "CPU (Intel)")), in32(accepted("62f17d00d203", "6 VPSRLD", "CPU (Intel)")),
		},
	},
	{
		Engine: Name, Name: "vector-w-in-32-bit-code",
		When:    func(l *oracle.Lexed) bool { return l.Mode.Width() == 32 && vector(l) && l.W },
		Decoded: oracle.DecodedOperands, Wrong: sizedByW,
		Reason: "outside 64-bit mode W does not make the operand in a general register 64 bits wide (SDM vol. 2, BEXTR: not encodable); x86asm gives a 64-bit one",
		Evidence: []oracle.Evidence{
			{Bytes: "c4e2f8f703", Mode: x86.Compat32, Says: "5 BEXTR", Truth: "5 BEXTR", Source: "SDM vol. 2, BEXTR", Executes: oracle.CPUValid, Length: 5},
		},
	},
	{
		Engine: Name, Name: "vector-w-name-in-32-bit-code",
		When:    func(l *oracle.Lexed) bool { return l.Mode.Width() == 32 && vector(l) && l.W },
		Decoded: oracle.DecodedMnemonic | oracle.DecodedOperands, Wrong: renamed("VPINSRQ", "VPINSRD", "VPEXTRQ", "VPEXTRD", "KMOVQ", "KMOVD", "VMOVQ", "VMOVD", "VPBROADCASTQ", "VPBROADCASTD"),
		Reason: "what VPINSRQ, VPEXTRQ, VMOVQ, KMOVQ and VPBROADCASTQ with a general register are in 64-bit mode are VPINSRD, VPEXTRD, VMOVD, KMOVD and VPBROADCASTD elsewhere, where W does not choose its width (SDM vol. 2, 2.3.6.1); x86asm keeps name and width",
		Evidence: []oracle.Evidence{
			{Bytes: "c4e3f922c001", Mode: x86.Compat32, Says: "6 VPINSRQ", Truth: "6 VPINSRD", Source: "SDM vol. 2, PINSRD", Executes: oracle.CPUValid, Length: 6},
			{Bytes: "c4e1fb93da", Mode: x86.Compat32, Says: "5 KMOVQ", Truth: "5 KMOVD", Source: "SDM vol. 2, KMOVD", Executes: oracle.CPUValid, Length: 5},
		},
	},
	{
		Engine: Name, Name: "salc", Map: isa.MapOne, Opcodes: []byte{0xd6}, When: outside64,
		Decoded: oracle.DecodedValidity, Wrong: rejectsAs("SALC"),
		Reason:   "SALC (AL is FF or 0 by CF) runs on every CPU outside 64-bit mode (APM vol. 3, appendix A, lists the opcode as reserved); x86asm does not know it",
		Evidence: []oracle.Evidence{in32(rejected("d6", 1, "1 SALC", "CPU")), in16(rejected("66d6", 2, "2 SALC", "CPU"))},
	},
	{
		Engine: Name, Name: "udb", Map: isa.MapOne, Opcodes: []byte{0xd6},
		When:    func(l *oracle.Lexed) bool { return l.Mode == x86.Long64 },
		Decoded: oracle.DecodedValidity, Wrong: rejectsAs("UDB"),
		Reason:   "D6 in 64-bit mode is UDB, an instruction that is there to raise #UD; x86asm does not know it",
		Evidence: []oracle.Evidence{{Bytes: "d6", Mode: x86.Long64, Says: "invalid", Truth: "1 UDB", Source: "SDM vol. 2, UD", Length: 1}},
	},
	{
		Engine: Name, Name: "group-1-82", Map: isa.MapOne, Opcodes: []byte{0x82}, When: outside64,
		Decoded: oracle.DecodedValidity, Wrong: rejects,
		Reason:   "82 is 80 over again outside 64-bit mode (SDM vol. 2, table A-6, group 1); x86asm does not know it",
		Evidence: []oracle.Evidence{in32(rejected("820300", 3, "3 ADD", "SDM vol. 2, table A-6")), in16(rejected("823b00", 3, "3 CMP", "SDM vol. 2, table A-6"))},
	},
	{
		Engine: Name, Name: "syscall-outside-64-bit-code", Map: isa.Map0F, Opcodes: []byte{0x05, 0x07}, When: outside64,
		Decoded: oracle.DecodedValidity, Wrong: rejectsAs("SYSCALL", "SYSRET"),
		Reason: "AMD's CPUs have SYSCALL and SYSRET in legacy and compatibility mode (APM vol. 3, SYSCALL); x86asm rejects them",
		Evidence: []oracle.Evidence{
			{Bytes: "0f05", Mode: x86.Compat32, Says: "invalid", Truth: "2 SYSCALL", Source: "APM vol. 3, SYSCALL"},
			{Bytes: "0f07", Mode: x86.Compat16, Says: "invalid", Truth: "2 SYSRET", Source: "APM vol. 3, SYSRET"},
		},
	},
	{
		Engine: Name, Name: "senduipi-outside-64-bit-code", Map: isa.Map0F, Opcodes: []byte{0xc7},
		When:    func(l *oracle.Lexed) bool { return outside64(l) && l.Rep == 0xf3 && l.Reg() == 6 && !memoryForm(l) },
		Decoded: oracle.DecodedValidity,
		Wrong: func(l *oracle.Lexed, right, wrong *oracle.Decoded) bool {
			return accepts(l, right, wrong) && wrong.Mnemonic == "RDRAND"
		},
		Reason: "F3 0F C7 /6 with a register is SENDUIPI in 64-bit mode and #UD elsewhere (SDM vol. 2, SENDUIPI); x86asm ignores F3 and says RDRAND",
		Evidence: []oracle.Evidence{
			in32(accepted("f30fc7f1", "4 RDRAND", "SDM vol. 2, SENDUIPI")), in16(accepted("f30fc7f1", "4 RDRAND", "SDM vol. 2, SENDUIPI")),
		},
	},
	{
		Engine: Name, Name: "ud1-in-16-bit-code", Map: isa.Map0F, Opcodes: []byte{0xb9, 0xff},
		When:    func(l *oracle.Lexed) bool { return l.Mode.Width() == 16 && !l.OpSize },
		Decoded: oracle.DecodedValidity, Wrong: rejectsAs("UD0", "UD1"),
		Reason:   "UD0 and UD1 have a ModRM byte at every operand size (SDM vol. 2, UD); x86asm knows them with 32 bits alone",
		Evidence: []oracle.Evidence{{Bytes: "0fb903", Mode: x86.Compat16, Says: "invalid", Truth: "3 UD1", Source: "SDM vol. 2, UD"}},
	},
}

// registersAbove7 says that the operands differ in register numbers alone, and
// only because x86asm does not drop what is above 7; with W, in the width that
// vector-w-in-32-bit-code tells of too.
func registersAbove7(l *oracle.Lexed, right, wrong *oracle.Decoded) bool {
	if right.NumOperands != wrong.NumOperands {
		return false
	}
	for i := range right.NumOperands {
		a, b := right.Operands[i], wrong.Operands[i]
		drop := func(r uint8) uint8 {
			if r < 32 {
				return r & 7
			}
			return r
		}
		b.Register, b.Base, b.Index = drop(b.Register), drop(b.Base), drop(b.Index)
		if b.Kind == oracle.OperandMemory {
			b.Segment = a.Segment // the default of the base that it would be
			if a.Size == 2 && l.Escape == oracle.EscapeEVEX {
				// A word that is broadcast: evex-broadcast-word tells of it, and of
				// the displacement, which is multiplied by the size.
				if b.Value*int64(a.Size) == a.Value*int64(b.Size) {
					b.Value = a.Value
				}
				b.Size = a.Size
			}
		}
		if narrow := l.Escape == oracle.EscapeEVEX && l.L == 0; narrow && a.Class == x86.ClassVector && a.Size == 16 && b.Size == 32 && strings.HasPrefix(right.Mnemonic, "VCVT") {
			b.Size = a.Size // evex-narrow tells of it
		}
		if a != b && (!l.W || !halfSize(&a, &b)) {
			return false
		}
	}
	return true
}

// halfSize says that the two differ only in size, 4 for the right one and 8
// for the wrong one.
func halfSize(a, b *oracle.Operand) bool {
	if a.Size != 4 || b.Size != 8 {
		return false
	}
	c := *b
	c.Size = 4
	if c.Kind == oracle.OperandMemory && c.Value == 2*a.Value {
		c.Value = a.Value // an 8-bit displacement of EVEX, which is multiplied by the size
	}
	return *a == c
}

// sizedByW says that an operand in a general register, or what is moved from
// or to one, is 64 bits wide instead of 32, and nothing else differs.
func sizedByW(_ *oracle.Lexed, right, wrong *oracle.Decoded) bool {
	if right.NumOperands != wrong.NumOperands {
		return false
	}
	general := false
	for i := range right.NumOperands {
		a, b := &right.Operands[i], &wrong.Operands[i]
		if *a == *b {
			continue
		}
		if !halfSize(a, b) {
			return false
		}
		general = general || a.Class == x86.ClassGPR && a.Kind == oracle.OperandRegister
	}
	return general
}
