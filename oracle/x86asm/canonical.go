package x86asm

import (
	"golang.org/x/arch/x86/x86asm"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// canonical fills d from a decoded instruction.
func canonical(in *x86asm.Inst, mode x86.Mode, code []byte, d *oracle.Decoded) {
	d.Valid = true
	d.Length = uint8(in.Len)
	op := &ops[min(int(in.Op), len(ops)-1)]
	d.Mnemonic = op.mnemonic
	if op.adjust != nil {
		op.adjust(in, d)
	}
	for _, arg := range in.Args {
		if arg == nil || d.NumOperands == oracle.MaxOperands {
			break
		}
		o := &d.Operands[d.NumOperands]
		switch a := arg.(type) {
		case x86asm.Reg:
			*o = register(a)
		case x86asm.Mem:
			memory(o, in, &a, mode)
		case x86asm.Rel:
			*o = oracle.Operand{Kind: oracle.OperandRelative, Value: int64(a)}
		case x86asm.Imm:
			*o = oracle.Operand{Kind: oracle.OperandImmediate, Value: int64(a)}
		}
		d.NumOperands++
	}
	if evex := in.Prefix[0] == x86asm.PrefixEVEX; evex {
		dropMask(d, uint8(in.Prefix[3]&7))
	}
	if op.shape != nil {
		op.shape(in, d)
	}
	immediates(in, op, d)
	if mode.Width() != 64 {
		outsideLong(in, d)
	}
}

// outsideLong turns what only 16- and 32-bit code has into canonical form: a
// far pointer, which x86asm gives as two immediates, selector and offset, and
// the six bytes of SGDT's operand, which it gives no width.
func outsideLong(in *x86asm.Inst, d *oracle.Decoded) {
	o := &d.Operands
	switch in.Op {
	case x86asm.SGDT, x86asm.SIDT, x86asm.LGDT, x86asm.LIDT:
		o[0].Size = 6
	}
	if op := in.Opcode >> 24; (op == 0x9a || op == 0xea) && d.NumOperands == 2 && o[1].Kind == oracle.OperandImmediate {
		o[0] = oracle.Operand{Kind: oracle.OperandFar, Size: o[1].Size + 2, Value: o[0].Value<<32 | o[1].Value}
		o[1] = oracle.Operand{}
		d.NumOperands = 1
	}
}

// memory fills o from a memory argument.
func memory(o *oracle.Operand, in *x86asm.Inst, m *x86asm.Mem, mode x86.Mode) {
	addr := in.AddrSize / 8
	if addr == 0 {
		// x86asm leaves it 0 for VEX and EVEX, where it takes no 67.
		addr = mode.Width() / 8
	}
	*o = oracle.Operand{
		Kind: oracle.OperandMemory, Size: uint8(in.MemBytes), AddrSize: uint8(addr),
		Base: number(m.Base), Index: number(m.Index), Scale: 1, Segment: x86.DS, Value: m.Disp,
	}
	if o.Index != x86.RegNone && m.Scale != 0 {
		o.Scale = m.Scale
	}
	if o.Size == 0 {
		o.Size = ops[in.Op].memory
	}
	// The segment is DS, or SS with a base of rSP or rBP, unless overridden
	// (SDM vol. 1, 3.7.4); x86asm tells only overrides.
	if o.Base == x86.RSP || o.Base == x86.RBP {
		o.Segment = x86.SS
	}
	if m.Segment != 0 {
		o.Segment = x86.Segment(m.Segment - x86asm.ES)
	}
	// A displacement is signed (SDM vol. 2, 2.2.1.3); x86asm keeps those of
	// 16 and 32 bits as they are read. An absolute offset (A0 to A3) is not.
	absolute := in.Opcode>>24 >= 0xa0 && in.Opcode>>24 <= 0xa3 && in.Op == x86asm.MOV
	switch {
	case absolute:
	case addr == 2:
		o.Value = int64(int16(o.Value))
	case o.Value == int64(uint32(o.Value)):
		o.Value = int64(int32(o.Value))
	}
}

// number returns the register number of a base or index register.
func number(r x86asm.Reg) uint8 {
	switch {
	case r == 0:
		return x86.RegNone
	case r == x86asm.RIP, r == x86asm.EIP, r == x86asm.IP:
		return x86.RegRIP
	}
	o := register(r)
	return o.Register
}

// register returns the canonical form of a register.
func register(r x86asm.Reg) oracle.Operand {
	if int(r) < len(registers) {
		return registers[r]
	}
	return oracle.Operand{Kind: oracle.OperandRegister}
}

var registers = registerTable()

func registerTable() (t [256]oracle.Operand) {
	file := func(first, last x86asm.Reg, class x86.Class, number, size uint8) {
		for r := first; ; r++ {
			t[r] = oracle.Operand{Kind: oracle.OperandRegister, Class: class, Register: number + uint8(r-first), Size: size}
			if r == last {
				return
			}
		}
	}
	file(x86asm.AL, x86asm.BL, x86.ClassGPR, 0, 1)
	file(x86asm.AH, x86asm.BH, x86.ClassHigh, 4, 1)
	file(x86asm.SPB, x86asm.R15B, x86.ClassGPR, 4, 1)
	file(x86asm.AX, x86asm.R15W, x86.ClassGPR, 0, 2)
	file(x86asm.EAX, x86asm.R15L, x86.ClassGPR, 0, 4)
	file(x86asm.RAX, x86asm.R15, x86.ClassGPR, 0, 8)
	file(x86asm.F0, x86asm.F7, x86.ClassX87, 0, 10)
	file(x86asm.M0, x86asm.M7, x86.ClassMMX, 0, 8)
	file(x86asm.X0, x86asm.X31, x86.ClassVector, 0, 16)
	file(x86asm.Y0, x86asm.Y31, x86.ClassVector, 0, 32)
	file(x86asm.Z0, x86asm.Z31, x86.ClassVector, 0, 64)
	file(x86asm.K0, x86asm.K7, x86.ClassMask, 0, 8)
	file(x86asm.ES, x86asm.GS, x86.ClassSegment, 0, 2)
	// The table gives control and debug registers no width: it is the mode's.
	file(x86asm.CR0, x86asm.CR15, x86.ClassControl, 0, 0)
	file(x86asm.DR0, x86asm.DR15, x86.ClassDebug, 0, 0)
	return t
}

// immediates gives immediates their size and masks them to it. x86asm keeps
// the value, sign-extended or not, and no size.
func immediates(in *x86asm.Inst, op *opInfo, d *oracle.Decoded) {
	for i := range d.NumOperands {
		o := &d.Operands[i]
		if o.Kind != oracle.OperandImmediate {
			continue
		}
		if o.Size == 0 {
			o.Size = immediateSize(in, op, d, i)
		}
		if o.Size < 8 {
			o.Value &= 1<<(8*o.Size) - 1
		}
	}
}

// immediateSize returns the size to which the immediate operand i is extended:
// the operation's, given by the first operand, or a fixed one (count of a
// shift, port, interrupt number).
func immediateSize(in *x86asm.Inst, op *opInfo, d *oracle.Decoded, i uint8) uint8 {
	switch {
	case op.immediate != 0:
		return op.immediate
	case i == 0:
	case vectorOperand(d):
		// Every vector instruction's immediate is one byte.
		return 1
	case d.Operands[0].Size != 0:
		return d.Operands[0].Size
	}
	return uint8(in.DataSize / 8)
}

// vectorOperand says whether an operand is a vector, MMX or mask register.
func vectorOperand(d *oracle.Decoded) bool {
	for i := range d.NumOperands {
		switch d.Operands[i].Class {
		case x86.ClassVector, x86.ClassMMX, x86.ClassMask:
			return true
		}
	}
	return false
}

// dropMask takes the writemask away, which x86asm gives as an operand and the
// manual writes behind the destination, {k1}. aaa is EVEX.aaa; 0 is no mask.
func dropMask(d *oracle.Decoded, aaa uint8) {
	if d.NumOperands == 2 && isPrefetch(d.Mnemonic) {
		d.NumOperands--
		d.Operands[1] = oracle.Operand{}
		return
	}
	// Of two operands, a mask register is a source (VPMOVM2B).
	if o := &d.Operands[1]; aaa == 0 || d.NumOperands < 3 || o.Class != x86.ClassMask || o.Register != aaa {
		return
	}
	copy(d.Operands[1:], d.Operands[2:d.NumOperands])
	d.NumOperands--
	d.Operands[d.NumOperands] = oracle.Operand{}
}
