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
	if m, ok := zydisNames[d.Mnemonic]; ok {
		d.Mnemonic = m
	}
	for i := range int(z.in.u8(zydisOperandCount)) {
		o := z.operands[i*zydisOperandSize : (i+1)*zydisOperandSize]
		if o.u32(zydisOpVisibility) == zydisHidden || o.u32(zydisOpEncoding) == zydisEncodingMask {
			continue
		}
		if d.NumOperands == oracle.MaxOperands {
			break
		}
		z.operand(o, &d.Operands[d.NumOperands])
		d.NumOperands++
	}
}

// zydisNames are the mnemonics that are not the manual's.
var zydisNames = map[string]string{}

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
