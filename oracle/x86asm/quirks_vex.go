package x86asm

import (
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

func isVEX(l *oracle.Lexed) bool { return l.Escape == oracle.EscapeVEX }

// vexWith decodes the string again without the prefixes before VEX or EVEX, and
// with W, L or vvvv changed. It shows what x86asm stumbles over.
func vexWith(l *oracle.Lexed, clear, set byte) (d oracle.Decoded) {
	var buf [16]byte
	code := buf[:copy(buf[:], l.Code[min(l.NumPrefix, len(l.Code)):])]
	if l.AddrSize {
		code = buf[:15] // without 67 ModRM may ask for more: SIB, and 32 bits for 16
	}
	at := 2
	if len(code) > 3 && code[0] == 0x62 && clear&vexL != 0 {
		clear &^= vexL
		code[3] &^= 0x60 // EVEX.L'L
	}
	if len(code) > 0 && code[0] == 0xc5 {
		at = 1
		clear &^= vexW // R is there, and W is 0
	}
	if len(code) <= at {
		return d
	}
	code[at] = code[at]&^clear | set
	(&Decoder{}).Decode(code, l.Mode, &d)
	return d
}

const (
	vexW = 0x80
	vexL = 0x04
	vexV = 0x78
)

// stumbles says that x86asm rejects the string because of those bits.
func stumbles(clear byte) func(l *oracle.Lexed, right, wrong *oracle.Decoded) bool {
	return func(l *oracle.Lexed, right, wrong *oracle.Decoded) bool {
		if !rejects(l, right, wrong) {
			return false
		}
		d := vexWith(l, clear, 0)
		return d.Mnemonic == right.Mnemonic && d.Length == right.Length
	}
}

// afterPrefix says that x86asm rejects the string for the prefix before VEX:
// without it, and with W and L as it likes them, it has the right name.
func afterPrefix(l *oracle.Lexed, right, wrong *oracle.Decoded) bool {
	if !rejects(l, right, wrong) {
		return false
	}
	for _, clear := range []byte{0, vexW, vexL, vexW | vexL} {
		if d := vexWith(l, clear, 0); d.Mnemonic == right.Mnemonic {
			return true
		}
	}
	return false
}

// vvvvUnused says that x86asm accepts the string and gives vvvv no operand.
func vvvvUnused(l *oracle.Lexed, right, wrong *oracle.Decoded) bool {
	if !accepts(l, right, wrong) {
		return false
	}
	d := vexWith(l, 0, vexV)
	return d.Mnemonic == wrong.Mnemonic && d.Operands == wrong.Operands
}

// baseLost says that x86asm's memory operand has no base where RIP is right,
// and that nothing else differs.
func baseLost(_ *oracle.Lexed, right, wrong *oracle.Decoded) bool {
	w := *wrong
	for i := range w.NumOperands {
		if o := &w.Operands[i]; o.Kind == oracle.OperandMemory && o.Base == x86.RegNone && o.Index == x86.RegNone {
			o.Base = x86.RegRIP
		}
	}
	return w.Operands == right.Operands && w.Operands != wrong.Operands
}

// vexOpcodeEnd is the index after the opcode.
func vexOpcodeEnd(l *oracle.Lexed) int {
	if l.NumPrefix < len(l.Code) && l.Code[l.NumPrefix] == 0xc5 {
		return l.NumPrefix + 3
	}
	return l.NumPrefix + 4
}

// extendsReg says whether VEX.R extends ModRM.reg.
func extendsReg(l *oracle.Lexed) bool {
	return len(l.Code) > l.NumPrefix+1 && l.Code[l.NumPrefix+1]&0x80 == 0
}

// overlap says that two of a gather's destination, index and mask are the same.
func overlap(l *oracle.Lexed) bool {
	at := l.NumPrefix + 1
	if len(l.Code) < at+5 || l.Code[at-1] != 0xc4 {
		return false
	}
	p := ^l.Code[at]
	destination := l.Reg() | p>>7<<3
	index := l.Code[at+4]>>3&7 | p>>6&1<<3
	mask := l.VVVV
	if l.Mode.Width() != 64 {
		mask &= 7 // there are eight registers
	}
	return destination == index || destination == mask || index == mask
}

// vexQuirks are about the VEX encoding.
var vexQuirks = []oracle.Quirk{
	{
		Engine: Name, Name: "prefix-before-vex",
		When:    func(l *oracle.Lexed) bool { return isVEX(l) && l.NumPrefix > 0 },
		Decoded: oracle.DecodedValidity, Wrong: afterPrefix,
		Reason: "segment and address-size prefixes may stand before VEX (SDM vol. 2, 2.3.2); x86asm finds VEX at the first byte alone and returns the bare prefix",
		Evidence: []oracle.Evidence{
			rejected("67c4e270f201", 6, "6 ANDN", "SDM vol. 2, 2.3.2"), rejected("64c4e270f201", 6, "6 ANDN", "SDM vol. 2, 2.3.2"),
		},
	},
	{
		Engine: Name, Name: "vzero-modrm", Map: isa.MapVEX1, Opcodes: []byte{0x77},
		Decoded: oracle.DecodedLength,
		Wrong:   func(l *oracle.Lexed, right, _ *oracle.Decoded) bool { return int(right.Length) == vexOpcodeEnd(l) },
		Reason:  "VZEROUPPER and VZEROALL have no ModRM byte (SDM vol. 2, VZEROUPPER); x86asm reads the next byte as one",
		Evidence: []oracle.Evidence{
			{Bytes: "c5f877c0", Mode: x86.Long64, Says: "4 VZEROUPPER", Truth: "3 VZEROUPPER", Source: "CPU", Executes: oracle.CPUValid, Length: 3},
			{Bytes: "c5fc770500000000", Mode: x86.Long64, Says: "8 VZEROALL", Truth: "3 VZEROALL", Source: "CPU", Executes: oracle.CPUValid, Length: 3},
		},
	},
	{
		Engine: Name, Name: "vzero-truncated", Map: isa.MapVEX1, Opcodes: []byte{0x77},
		When:    func(l *oracle.Lexed) bool { return l.VVVV == 0 },
		Decoded: oracle.DecodedValidity, Wrong: rejectsAs("VZEROUPPER", "VZEROALL"),
		Reason:   "as vzero-modrm, where the bytes end before what the ModRM byte that is none asks for",
		Evidence: []oracle.Evidence{rejected("c5f87705", 3, "3 VZEROUPPER", "CPU")},
	},
	{
		Engine: Name, Name: "vex-truncated",
		When: func(l *oracle.Lexed) bool {
			return isVEX(l) && l.HasOpcode && !l.HasModRM && (l.Map != isa.MapVEX1 || l.Opcode != 0x77)
		},
		Decoded: oracle.DecodedValidity, Wrong: accepts,
		Reason: "a VEX instruction needs its ModRM byte; x86asm returns an instruction where the bytes end before it",
		Evidence: []oracle.Evidence{
			{Bytes: "c5f858", Mode: x86.Long64, Says: "3 VADDPS", Truth: "invalid", Source: "SDM vol. 2, ADDPS"},
		},
	},
	{
		Engine: Name, Name: "vex-vsib", Map: isa.MapVEX2, Opcodes: []byte{0x90, 0x91, 0x92, 0x93},
		When:    func(l *oracle.Lexed) bool { return l.RM() != 4 },
		Decoded: oracle.DecodedValidity, Wrong: accepts,
		Reason:   "a gather needs a SIB byte, else #UD (SDM vol. 2, 2.3.12); x86asm does not look",
		Evidence: []oracle.Evidence{accepted("c4e2799000", "5 VPGATHERDD", "SDM vol. 2, 2.3.12")},
	},
	{
		Engine: Name, Name: "vex-gather-overlap", Map: isa.MapVEX2, Opcodes: []byte{0x90, 0x91, 0x92, 0x93},
		When:    func(l *oracle.Lexed) bool { return l.RM() == 4 && memoryForm(l) && overlap(l) },
		Decoded: oracle.DecodedValidity, Wrong: accepts,
		Reason:   "a gather whose destination, index and mask are not three registers is #UD (SDM vol. 2, VPGATHERDD); x86asm does not look",
		Evidence: []oracle.Evidence{accepted("c4e2799004c0", "6 VPGATHERDD", "SDM vol. 2, VPGATHERDD")},
	},
	{
		Engine: Name, Name: "vex-mask-register",
		When:    func(l *oracle.Lexed) bool { return isVEX(l) && (l.VVVV > 7 || extendsReg(l) && l.Opcode != 0x93) },
		Decoded: oracle.DecodedValidity,
		Wrong: func(l *oracle.Lexed, right, wrong *oracle.Decoded) bool {
			return accepts(l, right, wrong) && (wrong.Operands[0].Class == x86.ClassMask || wrong.Operands[1].Class == x86.ClassMask)
		},
		Reason:   "there are eight mask registers, and VEX.R or VEX.vvvv that names another is #UD (SDM vol. 2, 2.7.3); x86asm drops the bit",
		Evidence: []oracle.Evidence{accepted("c4e12d46f6", "5 KXNORB", "SDM vol. 2, KXNORB"), accepted("c57c47cb", "4 KXORW", "SDM vol. 2, KXORW")},
	},
	{
		Engine: Name, Name: "vex-wig",
		When:    func(l *oracle.Lexed) bool { return isVEX(l) && l.NumPrefix == 0 && l.W },
		Decoded: oracle.DecodedValidity, Wrong: stumbles(vexW),
		Reason:   "VEX.W is ignored where the manual says WIG (SDM vol. 2, 3.1.1.2); x86asm wants 0",
		Evidence: []oracle.Evidence{rejected("c4e1f058c1", 5, "5 VADDPS", "SDM vol. 2, ADDPS"), rejected("c4e1f1efc1", 5, "5 VPXOR", "SDM vol. 2, PXOR")},
	},
	{
		Engine: Name, Name: "vex-lig",
		When:    func(l *oracle.Lexed) bool { return isVEX(l) && l.NumPrefix == 0 && l.L == 1 },
		Decoded: oracle.DecodedValidity, Wrong: stumbles(vexL),
		Reason:   "VEX.L is ignored where the manual says LIG (SDM vol. 2, 3.1.1.2); x86asm wants 0",
		Evidence: []oracle.Evidence{rejected("c5fe58c1", 4, "4 VADDSS", "CPU")},
	},
	{
		Engine: Name, Name: "vex-wig-lig",
		When:    func(l *oracle.Lexed) bool { return isVEX(l) && l.NumPrefix == 0 && l.W && l.L == 1 },
		Decoded: oracle.DecodedValidity, Wrong: stumbles(vexW | vexL),
		Reason:   "as vex-wig and vex-lig together",
		Evidence: []oracle.Evidence{rejected("c4e1fe58c1", 5, "5 VADDSS", "SDM vol. 2, ADDSS")},
	},
	{
		Engine: Name, Name: "vex-rip",
		When:    func(l *oracle.Lexed) bool { return isVEX(l) && l.Mod() == 0 && l.RM() == 5 },
		Decoded: oracle.DecodedOperands, Wrong: baseLost,
		Reason: "ModRM.mod 0 and rm 5 is relative to RIP in 64-bit mode (SDM vol. 2, 2.2.1.6); with VEX, x86asm gives the bare displacement",
		Evidence: []oracle.Evidence{
			{Bytes: "c4e270f20510000000", Mode: x86.Long64, Says: "9 ANDN", Truth: "9 ANDN", Source: "SDM vol. 2, 2.2.1.6", Executes: oracle.CPUValid, Length: 9},
		},
	},
	{
		Engine: Name, Name: "vex-vvvv",
		When:    func(l *oracle.Lexed) bool { return isVEX(l) && l.VVVV != 0 },
		Decoded: oracle.DecodedValidity, Wrong: vvvvUnused,
		Reason:   "VEX.vvvv that names no operand must be 1111b, else #UD (SDM vol. 2, 2.3.5.6); x86asm does not look",
		Evidence: []oracle.Evidence{accepted("c4e373f0c001", "6 RORX", "SDM vol. 2, 2.3.5.6")},
	},
}
