package main

import (
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// zydisFiles are the register files of Zydis, by the number of their first
// register (EnumRegister.h).
var zydisFiles = []struct {
	first, count uint32
	class        x86.Class
	number, size uint8
}{
	{1, 4, x86.ClassGPR, 0, 1},
	{5, 4, x86.ClassHigh, 4, 1},
	{9, 12, x86.ClassGPR, 4, 1},
	{21, 16, x86.ClassGPR, 0, 2},
	{37, 16, x86.ClassGPR, 0, 4},
	{53, 16, x86.ClassGPR, 0, 8},
	{69, 8, x86.ClassX87, 0, 10},
	{80, 8, x86.ClassMMX, 0, 8},
	{88, 32, x86.ClassVector, 0, 16},
	{120, 32, x86.ClassVector, 0, 32},
	{152, 32, x86.ClassVector, 0, 64},
	{184, 8, x86.ClassTile, 0, 0},
	{198, 6, x86.ClassSegment, 0, 2},
	{216, 16, x86.ClassControl, 0, 0},
	{232, 16, x86.ClassDebug, 0, 0},
	{248, 8, x86.ClassMask, 0, 8},
	{256, 4, x86.ClassBound, 0, 16},
}

var zydisRegisters = func() (t [260]oracle.Operand) {
	for i := range t {
		t[i] = oracle.Operand{Kind: oracle.OperandRegister}
	}
	for _, f := range zydisFiles {
		for i := range f.count {
			t[f.first+i] = oracle.Operand{Kind: oracle.OperandRegister, Class: f.class, Register: f.number + uint8(i), Size: f.size}
		}
	}
	return t
}()

// zydisRegister returns the canonical form of a register.
func zydisRegister(n uint32) oracle.Operand {
	if int(n) < len(zydisRegisters) {
		return zydisRegisters[n]
	}
	return oracle.Operand{Kind: oracle.OperandRegister}
}

// Numbers of instruction pointers among the registers of Zydis.
const zydisIP, zydisRIP = 195, 197

// addressRegister returns the number of a base or index register.
func addressRegister(n uint32) uint8 {
	switch {
	case n == 0:
		return x86.RegNone
	case n >= zydisIP && n <= zydisRIP:
		return x86.RegRIP
	}
	return zydisRegister(n).Register
}

// canonical fills d from what was decoded. Zydis follows the manual closely;
// what is only named or shown in another way is turned into the manual's form
// here, what is wrong stays.
func (z *zydis) canonical(mode x86.Mode, d *oracle.Decoded) {
	d.Mnemonic = z.name()
	opcode := z.in.u8(zydisOpcode)
	plain := z.in.u32(zydisMap) == 0 && z.in.u32(zydisEncoding) == 0
	if m, ok := zydisNames[d.Mnemonic]; ok {
		d.Mnemonic = m
	}
	switch {
	case plain && (opcode == 0xca || opcode == 0xcb):
		d.Mnemonic = "RETF" // Zydis calls it RET and marks it as far
	case plain && d.Mnemonic == "SHL" && z.in.u8(zydisModRMReg) == 6:
		d.Mnemonic = "SAL" // /6 is the alias, /4 is SHL in the table
	}
	shown := true
	hidden, xmm0 := zydisHiddenMemory[d.Mnemonic], zydisHiddenRegister[d.Mnemonic]
	if hidden && !(plain && (opcode == 0xd7 || opcode >= 0x6c && opcode <= 0x6f || opcode >= 0xa4 && opcode <= 0xaf)) {
		hidden = false // MOVSD and CMPSD are vector instructions too
	}
	for i := range int(z.in.u8(zydisOperandCount)) {
		o := z.operands[i*zydisOperandSize : (i+1)*zydisOperandSize]
		shown = o.u32(zydisOpVisibility) != zydisHidden
		if hidden {
			shown = o.u32(zydisOpType) == zydisTypeMemory
		}
		if xmm0 && !shown && o.u32(zydisOpType) == zydisTypeRegister && zydisRegister(o.u32(zydisOpRegister)).Class == x86.ClassVector {
			shown = true
		}
		if !shown || o.u32(zydisOpEncoding) == zydisEncodingMask || d.NumOperands == oracle.MaxOperands {
			continue
		}
		z.operand(o, &d.Operands[d.NumOperands])
		d.NumOperands++
	}
	z.immediates(mode, d)
	if shape := zydisShapes[d.Mnemonic]; shape != nil {
		shape(z, d)
	}
}

// zydisNames are the mnemonics that are not the manual's, or not the one of
// several that the table has.
var zydisNames = zydisConditions(map[string]string{
	"XLAT":          "XLATB",
	"FENI8087_NOP":  "FNENI",
	"FDISI8087_NOP": "FNDISI",
	"FSETPM287_NOP": "FNSETPM",
	"FSTPNCE":       "FSTP",
	"XCRYPT_ECB":    "XCRYPTECB",
	"XCRYPT_CBC":    "XCRYPTCBC",
	"XCRYPT_CTR":    "XCRYPTCTR",
	"XCRYPT_CFB":    "XCRYPTCFB",
	"XCRYPT_OFB":    "XCRYPTOFB",
})

// zydisConditions adds the instructions with a condition code, which Zydis
// names by its other name.
func zydisConditions(m map[string]string) map[string]string {
	for from, to := range map[string]string{"NZ": "NE", "Z": "E", "NBE": "A", "NB": "AE", "NL": "GE", "NLE": "G"} {
		for _, family := range []string{"J", "CMOV", "SET"} {
			m[family+from] = family + to
		}
	}
	return m
}

// zydisHiddenMemory are the instructions whose memory operands, which the short
// form of the manual leaves out, are compared.
var zydisHiddenMemory = map[string]bool{
	"INSB": true, "INSW": true, "INSD": true, "OUTSB": true, "OUTSW": true, "OUTSD": true,
	"MOVSB": true, "MOVSW": true, "MOVSD": true, "MOVSQ": true, "CMPSB": true, "CMPSW": true, "CMPSD": true, "CMPSQ": true,
	"LODSB": true, "LODSW": true, "LODSD": true, "LODSQ": true, "STOSB": true, "STOSW": true, "STOSD": true, "STOSQ": true,
	"SCASB": true, "SCASW": true, "SCASD": true, "SCASQ": true, "XLATB": true,
}

// zydisHiddenRegister are those with XMM0 as an operand that the manual names.
var zydisHiddenRegister = map[string]bool{"SHA256RNDS2": true, "BLENDVPS": true, "BLENDVPD": true, "PBLENDVB": true}

// immediates gives sign-extended immediates the size of the operation.
func (z *zydis) immediates(mode x86.Mode, d *oracle.Decoded) {
	k := 0
	for i := range int(z.in.u8(zydisOperandCount)) {
		o := z.operands[i*zydisOperandSize : (i+1)*zydisOperandSize]
		if o.u32(zydisOpVisibility) == zydisHidden || o.u32(zydisOpEncoding) == zydisEncodingMask || k == int(d.NumOperands) {
			continue
		}
		c := &d.Operands[k]
		k++
		if c.Kind != oracle.OperandImmediate || o.u8(zydisOpImmSigned) == 0 {
			continue
		}
		size := d.Operands[0].Size
		if k == 1 { // PUSH: the slot of the stack
			size = z.in.u8(zydisOperandWidth) / 8
			if mode == x86.Long64 && size == 4 {
				size = 8
			}
		}
		c.Size, c.Value = size, int64(o.u64(zydisOpImmValue))
		if size < 8 {
			c.Value &= 1<<(8*size) - 1
		}
	}
}

// addressOnly is of memory operands that are not accessed: an override changes
// nothing, and Zydis leaves it out.
func (z *zydis) addressOnly(d *oracle.Decoded) {
	if s := z.override(); s != x86.SegNone && d.Operands[1].Kind == oracle.OperandMemory {
		d.Operands[1].Segment = s
	}
}

// zydisShapes are the rules for the operands of single instructions.
var zydisShapes = func() map[string]func(z *zydis, d *oracle.Decoded) {
	m := map[string]func(z *zydis, d *oracle.Decoded){
		// 91 to 97 are XCHG rAX, r in the manual.
		"XCHG": func(z *zydis, d *oracle.Decoded) {
			if op := z.in.u8(zydisOpcode); op >= 0x90 && op <= 0x97 {
				d.Operands[0], d.Operands[1] = d.Operands[1], d.Operands[0]
			}
		},
		// ModRM.reg is an operand of a NOP, which the manual leaves out.
		"NOP": func(z *zydis, d *oracle.Decoded) {
			if d.NumOperands == 2 && z.operands.u32(zydisOpEncoding) != zydisEncodingRM {
				d.Operands[0] = d.Operands[1]
			}
			keep(d, 1)
		},
		"LEA": func(z *zydis, d *oracle.Decoded) {
			memorySize(d, 0)
			z.addressOnly(d)
		},
		"BNDMK": (*zydis).addressOnly, "BNDCL": (*zydis).addressOnly, "BNDCU": (*zydis).addressOnly, "BNDCN": (*zydis).addressOnly,
		// An absolute offset has no sign.
		"MOV": func(z *zydis, d *oracle.Decoded) {
			if op := z.in.u8(zydisOpcode); z.in.u32(zydisMap) != 0 || op < 0xa0 || op > 0xa3 {
				return
			}
			for i := range d.NumOperands {
				if o := &d.Operands[i]; o.Kind == oracle.OperandMemory && o.AddrSize < 8 {
					o.Value &= 1<<(8*o.AddrSize) - 1
				}
			}
		},
		// mib names no size; Zydis gives the part of the table's entry that is used.
		"BNDLDX": func(_ *zydis, d *oracle.Decoded) { memorySize(d, 0) },
		"BNDSTX": func(_ *zydis, d *oracle.Decoded) { memorySize(d, 0) },
		// ST(0) is not written.
		"FUCOMP": func(_ *zydis, d *oracle.Decoded) { last(d) },
		// A selector has 16 bits.
		"LAR": func(_ *zydis, d *oracle.Decoded) { registerSize(d, 1, 2) },
		"LSL": func(_ *zydis, d *oracle.Decoded) { registerSize(d, 1, 2) },
		// "reg": the manual's form is that of 32 bits, of SENDUIPI of 64.
		"MOVMSKPS": func(_ *zydis, d *oracle.Decoded) { registerSize(d, 0, 4) },
		"MOVMSKPD": func(_ *zydis, d *oracle.Decoded) { registerSize(d, 0, 4) },
		"SENDUIPI": func(_ *zydis, d *oracle.Decoded) { registerSize(d, 0, 8) },
		// XLATB's memory operand is written without AL.
		"XLATB": func(_ *zydis, d *oracle.Decoded) { d.Operands[0].Index, d.Operands[0].Scale = x86.RegNone, 1 },
	}
	// The manual names registers that no bits of the encoding name.
	for _, name := range []string{"SKINIT", "VMRUN", "VMSAVE", "VMLOAD", "CLZERO", "INVLPGA", "INVLPGB", "PSMASH", "RMPADJUST", "RMPUPDATE", "PVALIDATE"} {
		m[name] = func(_ *zydis, d *oracle.Decoded) { keep(d, 0) }
	}
	// The manual gives the memory no size, or that of a byte.
	for _, name := range []string{
		"FRSTOR", "FNSAVE", "XSAVE", "XSAVE64", "XSAVEC", "XSAVEC64", "XSAVEOPT", "XSAVEOPT64", "XSAVES", "XSAVES64",
		"XRSTOR", "XRSTOR64", "XRSTORS", "XRSTORS64",
	} {
		m[name] = func(_ *zydis, d *oracle.Decoded) { memorySize(d, 0) }
	}
	for _, name := range []string{"CLFLUSH", "CLFLUSHOPT", "CLWB"} {
		m[name] = func(_ *zydis, d *oracle.Decoded) { memorySize(d, 1) }
	}
	// Each access is of one element.
	for name, size := range map[string]uint8{
		"VPEXPANDB": 1, "VPEXPANDW": 2, "VPEXPANDD": 4, "VPEXPANDQ": 8, "VEXPANDPS": 4, "VEXPANDPD": 8,
		"VPCOMPRESSB": 1, "VPCOMPRESSW": 2, "VPCOMPRESSD": 4, "VPCOMPRESSQ": 8, "VCOMPRESSPS": 4, "VCOMPRESSPD": 8,
	} {
		m[name] = func(_ *zydis, d *oracle.Decoded) { memorySize(d, size) }
	}
	return m
}()

// override returns the segment of the last override that counts.
func (z *zydis) override() x86.Segment {
	segment := x86.SegNone
	for _, b := range z.code[:z.in.u8(zydisLength)] {
		switch {
		case b == 0x64:
			segment = x86.FS
		case b == 0x65:
			segment = x86.GS
		case b&0xe7 == 0x26:
			if z.mode != x86.Long64 {
				segment = x86.Segment(b >> 3 & 3)
			}
		case b == 0x66, b == 0x67, b >= 0xf0 && b <= 0xf3, z.mode == x86.Long64 && b&0xf0 == 0x40:
		default:
			return segment
		}
	}
	return segment
}

// keep leaves the first n operands.
func keep(d *oracle.Decoded, n uint8) {
	for d.NumOperands > n {
		d.NumOperands--
		d.Operands[d.NumOperands] = oracle.Operand{}
	}
}

// last leaves the last operand.
func last(d *oracle.Decoded) {
	if d.NumOperands > 1 {
		d.Operands[0] = d.Operands[d.NumOperands-1]
		keep(d, 1)
	}
}

// registerSize gives a general-purpose register a width.
func registerSize(d *oracle.Decoded, i int, size uint8) {
	if o := &d.Operands[i]; o.Kind == oracle.OperandRegister && o.Class == x86.ClassGPR {
		o.Size = size
	}
}

// memorySize gives the memory operand a size.
func memorySize(d *oracle.Decoded, size uint8) {
	for i := range d.NumOperands {
		if o := &d.Operands[i]; o.Kind == oracle.OperandMemory {
			o.Size = size
		}
	}
}

// operand fills c from an operand.
func (z *zydis) operand(o block, c *oracle.Operand) {
	size := uint8(o.u16(zydisOpSize) / 8)
	switch o.u32(zydisOpType) {
	case zydisTypeRegister:
		*c = zydisRegister(o.u32(zydisOpRegister))
	case zydisTypeMemory:
		*c = oracle.Operand{
			Kind: oracle.OperandMemory, Size: size, AddrSize: z.in.u8(zydisAddressWidth) / 8,
			Segment: x86.Segment(zydisRegister(o.u32(zydisOpSegment)).Register),
			Base:    addressRegister(o.u32(zydisOpBase)), Index: addressRegister(o.u32(zydisOpIndex)),
			Scale: max(o.u8(zydisOpScale), 1), Value: int64(o.u64(zydisOpDisp)),
		}
		if c.Index == x86.RegNone {
			c.Scale = 1
		}
	case zydisTypePointer:
		*c = oracle.Operand{Kind: oracle.OperandFar, Size: size, Value: int64(uint64(o.u16(zydisOpPtrSegment))<<32 | uint64(o.u32(zydisOpPtrOffset)))}
	case zydisTypeImm:
		value := int64(o.u64(zydisOpImmValue))
		if o.u8(zydisOpImmRelative) != 0 {
			*c = oracle.Operand{Kind: oracle.OperandRelative, Value: value}
			return
		}
		*c = oracle.Operand{Kind: oracle.OperandImmediate, Size: size, Value: value}
		if size < 8 {
			c.Value &= 1<<(8*size) - 1
		}
	}
}
