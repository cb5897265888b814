package x86asm

import (
	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

type tmpModel struct{ p *isa.Profile }

func modelDecoder() oracle.Decoder {
	return tmpModel{&isa.Profile{Name: "all", Vendor: isa.Intel, Features: isa.AllFeatures(), VirtualBits: 48}}
}
func (tmpModel) Name() string { return "model" }
func (m tmpModel) Decode(code []byte, mode x86.Mode, d *oracle.Decoded) {
	*d = oracle.Decoded{Covered: true}
	var in decode.Inst
	if r := decode.Decode(&in, code, mode, m.p); r != decode.Valid {
		d.Reason = r.String()
		if g := tmpUncovered(code, mode); g != "" && r == decode.Undefined {
			d.Covered = false
			d.Group = g
		}
		return
	}
	row := isa.Get(in.Row)
	d.Valid, d.Length, d.Mnemonic = true, in.Length, row.Mnemonic.String()
	imms := 0
	for i := range row.NumOperands {
		ro := &row.Operands[i]
		o := &d.Operands[i]
		d.NumOperands++
		reg := func(n uint8) {
			*o = oracle.Operand{Kind: oracle.OperandRegister, Class: ro.Class, Register: n, Size: ro.Size}
			if ro.Class == x86.ClassGPR && ro.Size == 1 && in.REX == 0 && n >= 4 && n < 8 {
				o.Class = x86.ClassHigh
			}
			if ro.Class == x86.ClassSegment {
				o.Register &= 7
				o.Size = 2
			}
			if ro.Class == x86.ClassControl || ro.Class == x86.ClassDebug {
				o.Size = 8
			}
		}
		mem := func() {
			*o = oracle.Operand{Kind: oracle.OperandMemory, Size: ro.Size, Segment: in.Segment, Base: in.Base, Index: in.Index, Scale: in.Scale, AddrSize: in.AddrSize, Value: int64(in.Disp)}
			if o.Index == x86.RegNone {
				o.Scale = 1
			}
		}
		switch ro.Kind {
		case isa.KindReg:
			reg(in.Reg)
		case isa.KindRM, isa.KindMem, isa.KindRMReg:
			if in.IsMem {
				mem()
			} else {
				reg(in.RM)
			}
		case isa.KindOpcode:
			reg(in.RM)
		case isa.KindFixed:
			reg(ro.Reg)
		case isa.KindVVVV:
			reg(in.VVVV)
		case isa.KindMoffs:
			mem()
			o.Base, o.Index, o.Scale = x86.RegNone, x86.RegNone, 1
		case isa.KindSource:
			*o = oracle.Operand{Kind: oracle.OperandMemory, Size: ro.Size, Segment: in.Segment, Base: 6, Index: x86.RegNone, Scale: 1, AddrSize: in.AddrSize}
		case isa.KindDest:
			*o = oracle.Operand{Kind: oracle.OperandMemory, Size: ro.Size, Segment: x86.ES, Base: 7, Index: x86.RegNone, Scale: 1, AddrSize: in.AddrSize}
		case isa.KindXlat:
			*o = oracle.Operand{Kind: oracle.OperandMemory, Size: ro.Size, Segment: in.Segment, Base: 3, Index: x86.RegNone, Scale: 1, AddrSize: in.AddrSize}
		case isa.KindOne:
			*o = oracle.Operand{Kind: oracle.OperandImmediate, Size: 1, Value: 1}
		case isa.KindImm:
			v := in.Imm
			if imms == 1 {
				v = uint64(in.Imm2)
			}
			imms++
			*o = oracle.Operand{Kind: oracle.OperandImmediate, Size: ro.Size, Value: int64(v)}
			if ro.Size < 8 {
				o.Value &= 1<<(8*ro.Size) - 1
			}
		case isa.KindRel:
			*o = oracle.Operand{Kind: oracle.OperandRelative, Value: int64(in.Imm)}
		}
	}
}

func tmpUncovered(code []byte, mode x86.Mode) string {
	var l oracle.Lexed
	l.Lex(code, mode)
	switch {
	case l.Escape == oracle.EscapeEVEX:
		return "EVEX"
	case l.Escape == oracle.EscapeXOP:
		return "XOP"
	case l.Escape == oracle.EscapeVEX && !(l.MapNumber == 2 && l.Opcode >= 0xf2 && l.Opcode <= 0xf7 || l.MapNumber == 3 && l.Opcode == 0xf0):
		return "VEX"
	case l.Map == isa.MapOne && l.Opcode == 0x9b || l.Map == isa.MapOne && l.Opcode >= 0xd8 && l.Opcode <= 0xdf:
		return "x87"
	case l.Map == isa.Map0F38 && l.Opcode < 0xf0, l.Map == isa.Map0F3A:
		return "SSE"
	case l.Map == isa.Map0F:
		o := l.Opcode
		if o >= 0x10 && o <= 0x17 || o >= 0x28 && o <= 0x2f || o >= 0x50 && o <= 0x7f || o >= 0xc2 && o <= 0xc6 || o >= 0xd0 && o < 0xff || o == 0x0f || o == 0xae {
			return "SSE0F"
		}
		if o == 0x01 || o == 0 || o >= 0x20 && o <= 0x27 || o == 0xc7 || o == 0xaa || o >= 5 && o <= 9 || o >= 0x30 && o <= 0x37 || o == 2 || o == 3 {
			return "system?"
		}
	}
	return ""
}
