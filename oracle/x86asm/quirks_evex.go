package x86asm

import (
	"strings"

	"golang.org/x/arch/x86/x86asm"

	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

func isEVEX(l *oracle.Lexed) bool { return l.Escape == oracle.EscapeEVEX }

// evexPayload returns the three payload bytes of EVEX, or false.
func evexPayload(l *oracle.Lexed) (p [3]byte, ok bool) {
	if len(l.Code) < l.NumPrefix+4 {
		return p, false
	}
	copy(p[:], l.Code[l.NumPrefix+1:])
	return p, true
}

// Bits of EVEX's last payload byte.
const (
	evexAAA = 7
	evexV   = 1 << 3
	evexB   = 1 << 4
	evexZ   = 1 << 7
)

// fieldForbidden says that x86asm accepts the string although a field of EVEX
// has a value that the manual forbids: for any instruction, or for what x86asm
// itself takes it for.
func fieldForbidden(l *oracle.Lexed, right, wrong *oracle.Decoded) bool {
	p, ok := evexPayload(l)
	if !ok || !accepts(l, right, wrong) {
		return false
	}
	in, err := x86asm.Decode(l.Code, l.Mode.Width())
	if err != nil {
		return false
	}
	first := &wrong.Operands[0]
	aaa := p[2] & evexAAA
	switch {
	case p[2]>>5&3 == 3 && (p[2]&evexB == 0 || memoryForm(l)):
		return true // the length that is none
	case aaa != 0 && !masked(&in, aaa):
		return true // a mask for an instruction that takes none
	case p[2]&evexZ != 0 && (aaa == 0 || first.Kind == oracle.OperandMemory || first.Class == x86.ClassMask || elementSize(wrong.Mnemonic) != 0 && isGather(wrong.Mnemonic)):
		return true // zeroing without mask, of memory, of a mask, of a gather
	case p[2]&evexB != 0 && memoryForm(l) && !in.Broadcast:
		return true // broadcast for an instruction that takes none
	case p[2]&evexB != 0 && !memoryForm(l) && !roundable(wrong):
		return true // rounding for an instruction that takes none
	case evexVUnused(l, wrong):
		return true
	case p[2]>>5&3 != 2 && p[2]&evexB == 0 && l.Map == isa.MapVEX2 && (l.Opcode == 0xc8 || l.Opcode == 0xca || l.Opcode == 0xcc):
		return true // AVX512ER has 512 bits alone
	case p[0]&0x10 == 0 && integerResult(l, wrong), p[0]&0x90 != 0x90 && first.Class == x86.ClassMask:
		return true
	}
	return isGather(wrong.Mnemonic) && (l.RM() != 4 || l.VVVV != 0 || evexOverlap(l, wrong.Mnemonic))
}

// evexOverlap says whether the destination of a gather is its index, which is #UD.
func evexOverlap(l *oracle.Lexed, mnemonic string) bool {
	p, ok := evexPayload(l)
	at := l.NumPrefix + 6
	if !ok || len(l.Code) <= at || !strings.Contains(mnemonic, "GATHER") {
		return false
	}
	destination := l.Reg() | ^p[0]>>7&1<<3 | ^p[0]>>4&1<<4
	index := l.Code[at]>>3&7 | ^p[0]>>6&1<<3 | ^p[2]>>3&1<<4
	return destination == index
}

// halfRegister says that the only fault of x86asm is a ymm register for an xmm
// one in a conversion.
func halfRegister(_ *oracle.Lexed, right, wrong *oracle.Decoded) bool {
	w := *wrong
	n := 0
	for i := range w.NumOperands {
		if o := &w.Operands[i]; o.Class == x86.ClassVector && o.Size == 32 && right.Operands[i].Size == 16 {
			o.Size = 16
			n++
		}
	}
	return n == 1 && w.Operands == right.Operands && strings.HasPrefix(right.Mnemonic, "VCVT")
}

// wholeForWord says that the only fault of x86asm is a vector for a word in
// memory that is broadcast, beside the base that evex-rip tells of.
func wholeForWord(l *oracle.Lexed, right, wrong *oracle.Decoded) bool {
	w := *wrong
	for i := range w.NumOperands {
		o := &w.Operands[i]
		if o.Kind == oracle.OperandMemory && o.Size >= 16 && right.Operands[i].Size == 2 {
			if l.Mod() == 1 {
				o.Value /= int64(o.Size) / 2
			}
			o.Size = 2
			if right.Operands[i].Base == x86.RegRIP && o.Base == x86.RegNone && o.Index == x86.RegNone {
				o.Base = x86.RegRIP
			}
			return w.Operands == right.Operands
		}
	}
	return false
}

// masked says whether x86asm gives the mask as an operand.
func masked(in *x86asm.Inst, aaa byte) bool {
	return (in.Args[2] != nil || isPrefetch(in.Op.String())) && in.Args[1] == x86asm.K0+x86asm.Reg(aaa)
}

// isPrefetch says whether the name is of a gather or scatter that only
// prefetches; its mask is the last operand.
func isPrefetch(mnemonic string) bool { return strings.Contains(mnemonic, "ERPF") }

func isGather(mnemonic string) bool {
	return strings.Contains(mnemonic, "GATHER") || strings.Contains(mnemonic, "SCATTER")
}

// unrounded are the beginnings of names of floating-point instructions that
// take neither rounding nor SAE, as they do not compute.
var unrounded = []string{
	"VMOV", "VUNPCK", "VSHUF", "VPERM", "VBLEND", "VBROADCAST", "VAND", "VOR", "VXOR", "VEXTRACT", "VINSERT", "VEXPAND",
	"VCOMPRESS", "VRCP14", "VRSQRT14", "VFPCLASS", "VDPBF16", "VDPPHPS", "VCVTNE", "VCVT2PH2", "VCVTBIAS", "VCVTPH2BF8", "VCVTPH2HF8",
}

// roundable says whether EVEX.b with registers means rounding or SAE: for
// floating-point arithmetic alone.
func roundable(d *oracle.Decoded) bool {
	for _, u := range unrounded {
		if strings.HasPrefix(d.Mnemonic, u) {
			return false
		}
	}
	if strings.HasPrefix(d.Mnemonic, "VCVT") {
		return true
	}
	for _, suffix := range []string{"PS", "PD", "SS", "SD"} {
		if strings.HasSuffix(d.Mnemonic, suffix) && !strings.HasPrefix(d.Mnemonic, "VP") {
			return true
		}
	}
	return false
}

// evexVUnused says that EVEX.vvvv and V' name no operand of x86asm's.
func evexVUnused(l *oracle.Lexed, wrong *oracle.Decoded) bool {
	p, _ := evexPayload(l)
	if l.VVVV == 0 && p[2]&evexV != 0 {
		return false
	}
	var buf [16]byte
	code := buf[:copy(buf[:], l.Code)]
	code[l.NumPrefix+2] |= vexV
	code[l.NumPrefix+3] |= evexV
	var d oracle.Decoded
	(&Decoder{}).Decode(code, l.Mode, &d)
	return d.Operands == wrong.Operands
}

// integerResult says whether ModRM.reg names a general-purpose register, which
// EVEX.R' cannot extend: conversions to integers, and VPEXTRW with opcode C5.
func integerResult(l *oracle.Lexed, d *oracle.Decoded) bool {
	return d.Operands[0].Class == x86.ClassGPR &&
		(strings.Contains(d.Mnemonic, "2SI") || strings.Contains(d.Mnemonic, "2USI") || l.Opcode == 0xc5)
}

// newMaps are the names of the instructions of the EVEX maps that x86asm does
// not tell from maps 1 to 3.
var newMaps = func() map[string]bool {
	names := map[string]bool{}
	for _, r := range isa.Rows() {
		if r.Map >= isa.MapEVEX4 && r.Map <= isa.MapEVEX7 {
			names[r.Mnemonic.String()] = true
		}
	}
	return names
}()

// anotherMap says that x86asm answers for another map than the string's.
func anotherMap(_ *oracle.Lexed, right, wrong *oracle.Decoded) bool {
	return right.Valid == wrong.Valid || !right.Valid || newMaps[right.Mnemonic]
}

// isAPX says whether a field of EVEX that is of APX alone is set: B4 or X4.
func isAPX(l *oracle.Lexed) bool {
	p, ok := evexPayload(l)
	return ok && (p[0]&8 != 0 || p[1]&4 == 0)
}

// evexQuirks are about the EVEX encoding.
var evexQuirks = []oracle.Quirk{
	{
		Engine: Name, Name: "prefix-before-evex",
		When:    func(l *oracle.Lexed) bool { return isEVEX(l) && l.NumPrefix > 0 },
		Decoded: oracle.DecodedValidity, Wrong: afterPrefix,
		Reason:   "as prefix-before-vex (SDM vol. 2, 2.7.1)",
		Evidence: []oracle.Evidence{rejected("6762f1744858c2", 7, "7 VADDPS", "SDM vol. 2, 2.7.1")},
	},
	{
		Engine: Name, Name: "evex-rip",
		When:    func(l *oracle.Lexed) bool { return isEVEX(l) && l.Mod() == 0 && l.RM() == 5 },
		Decoded: oracle.DecodedOperands, Wrong: baseLost,
		Reason: "as vex-rip",
		Evidence: []oracle.Evidence{
			{Bytes: "62f174485805fcffffff", Mode: x86.Long64, Says: "10 VADDPS", Truth: "10 VADDPS", Source: "SDM vol. 2, 2.2.1.6", Executes: oracle.CPUValid, Length: 10},
		},
	},
	{
		Engine: Name, Name: "evex-truncated",
		When:    func(l *oracle.Lexed) bool { return isEVEX(l) && l.HasOpcode && !l.HasModRM },
		Decoded: oracle.DecodedValidity, Wrong: accepts,
		Reason: "as vex-truncated",
		Evidence: []oracle.Evidence{
			{Bytes: "62f17c4858", Mode: x86.Long64, Says: "5 VADDPS", Truth: "invalid", Source: "SDM vol. 2, ADDPS"},
		},
	},
	{
		Engine: Name, Name: "evex-fields",
		When:    isEVEX,
		Decoded: oracle.DecodedValidity, Wrong: fieldForbidden,
		Reason: "a length, a mask, zeroing, broadcast, vvvv and registers that the instruction cannot have are #UD (SDM vol. 2, 2.7.11); x86asm does not look",
		Evidence: []oracle.Evidence{
			accepted("62f174c858c2", "6 VADDPS", "SDM vol. 2, 2.7.11: zeroing without a mask"),
			accepted("62f27d499004c0", "7 VPGATHERDD", "SDM vol. 2, VPGATHERDD: the destination is the index"),
		},
	},
	{
		Engine: Name, Name: "evex-narrow",
		When:    func(l *oracle.Lexed) bool { return isEVEX(l) && l.L == 0 },
		Decoded: oracle.DecodedOperands, Wrong: halfRegister,
		Reason: "a conversion between widths at 128 bits has two xmm registers (SDM vol. 2, VCVTPD2DQ); x86asm makes one of them ymm",
		Evidence: []oracle.Evidence{
			{Bytes: "62f1ff08e6c1", Mode: x86.Long64, Says: "6 VCVTPD2DQ", Truth: "6 VCVTPD2DQ", Source: "SDM vol. 2, VCVTPD2DQ", Executes: oracle.CPUValid, Length: 6},
		},
	},
	{
		Engine: Name, Name: "evex-broadcast-word",
		When: func(l *oracle.Lexed) bool {
			p, ok := evexPayload(l)
			return ok && isEVEX(l) && memoryForm(l) && p[2]&evexB != 0
		},
		Decoded: oracle.DecodedOperands, Wrong: wholeForWord,
		Reason: "EVEX.b broadcasts elements of 16 bits too (Intel AVX10.2 specification); x86asm gives the size of the whole vector, and multiplies an 8-bit displacement by it",
		Evidence: []oracle.Evidence{
			{Bytes: "62f27c587410", Mode: x86.Long64, Says: "6 VCVTBIASPH2BF8", Truth: "6 VCVTBIASPH2BF8", Source: "Intel AVX10.2 specification, VCVTBIASPH2BF8"},
		},
	},
	{
		Engine: Name, Name: "evex-wig",
		When:    func(l *oracle.Lexed) bool { return isEVEX(l) && l.NumPrefix == 0 && l.W },
		Decoded: oracle.DecodedValidity, Wrong: stumbles(vexW),
		Reason:   "as vex-wig",
		Evidence: []oracle.Evidence{rejected("62f1f548fcc2", 6, "6 VPADDB", "SDM vol. 2, PADDB")},
	},
	{
		Engine: Name, Name: "evex-lig",
		When:    func(l *oracle.Lexed) bool { return isEVEX(l) && l.NumPrefix == 0 && l.L != 0 },
		Decoded: oracle.DecodedValidity, Wrong: stumbles(vexL),
		Reason:   "as vex-lig, for EVEX.L'L",
		Evidence: []oracle.Evidence{rejected("62f1762858c2", 6, "6 VADDSS", "SDM vol. 2, ADDSS")},
	},
	{
		Engine: Name, Name: "evex-map",
		When:    func(l *oracle.Lexed) bool { return isEVEX(l) && l.MapNumber > 3 },
		Decoded: oracle.DecodedValidity | oracle.DecodedMnemonic | oracle.DecodedOperands, Wrong: anotherMap,
		Reason: "EVEX has three bits of map, of which 4 is APX and 5 and 6 are AVX512-FP16 (SDM vol. 2, 2.7.1); x86asm reads two and decodes the instruction of map 1, 2 or 3, or none",
		Evidence: []oracle.Evidence{
			accepted("62f5744854c2", "6 VANDPS", "SDM vol. 2, 2.7.1: map 5 has no opcode 54"),
			rejected("62f57c087cc2", 6, "6 VCVTTPH2UW", "SDM vol. 2, VCVTTPH2UW"),
			{Bytes: "62f5744858c2", Mode: x86.Long64, Says: "6 VADDPS", Truth: "6 VADDPH", Source: "SDM vol. 2, VADDPH", Executes: oracle.CPUValid, Length: 6},
		},
	},
}
