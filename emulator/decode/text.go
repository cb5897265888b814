package decode

import (
	"strconv"

	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// Text returns the instruction in Intel's syntax, in lower case, as
// "add qword ptr fs:[rax+rcx*4-0x10], 0x5"; "(bad)" if it is invalid. A
// branch displacement is shown from the start of the instruction, as ".+0x10".
func (in *Inst) Text() string { return string(in.AppendText(nil)) }

// AppendText appends Text to b.
func (in *Inst) AppendText(b []byte) []byte {
	if in.Err != Valid || in.Row == 0 {
		return append(b, "(bad)"...)
	}
	row := isa.Get(in.Row)
	b = in.appendPrefix(b, row)
	for _, c := range []byte(row.Mnemonic.String()) {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		b = append(b, c)
	}
	if in.EVEX != 0 {
		b = in.appendPromoted(b, row.EVEX.Mask)
	}
	var buf [isa.MaxOperands]Operand
	ops := in.Operands(&buf)
	rounding := in.rounding(row)
	for i := range ops {
		if ops[i].Kind == OperandImm && i > 0 {
			b, rounding = append(b, rounding...), ""
		}
		if i == 0 {
			b = append(b, ' ')
		} else {
			b = append(b, ", "...)
		}
		b = in.appendOperand(b, &ops[i], &ops[0])
		if i == 0 && in.EVEX != 0 {
			b = in.appendMask(b)
		}
	}
	return append(b, rounding...)
}

// roundings are the rounding modes by EVEX.L'L (SDM vol. 2, table 2-40).
var roundings = [4]string{", {rn-sae}", ", {rd-sae}", ", {ru-sae}", ", {rz-sae}"}

// rounding is what EVEX.b with registers means: a rounding mode, or that
// exceptions are suppressed. It stands behind the last register.
func (in *Inst) rounding(row *isa.Row) string {
	if in.EVEX&evexB == 0 || in.IsMem || in.Map == isa.MapEVEX4 {
		return ""
	}
	switch row.EVEX.Rounding {
	case isa.RoundingControl:
		return roundings[in.VL&3]
	case isa.RoundingSAE:
		return ", {sae}"
	}
	return ""
}

// appendBroadcast appends how many elements the one in memory becomes, as
// {1to8}.
func (in *Inst) appendBroadcast(b []byte, o *Operand) []byte {
	row := isa.Get(in.Row)
	if in.EVEX&evexB == 0 || in.Map == isa.MapEVEX4 || row.EVEX.Broadcast == 0 {
		return b
	}
	for i := range row.Operands[:row.NumOperands] {
		if k := &row.Operands[i]; k.Kind == isa.KindRM || k.Kind == isa.KindMem {
			b = strconv.AppendUint(append(b, "{1to"...), uint64(k.Size/o.Size), 10)
			return append(b, '}')
		}
	}
	return b
}

// conditions are the names of the conditions of CCMP and CTEST (Intel APX
// specification, table 3.10).
var conditions = [16]string{"o", "no", "b", "nb", "z", "nz", "be", "nbe", "s", "ns", "t", "f", "l", "nl", "le", "nle"}

// appendPromoted appends what EVEX adds to the name of an instruction that APX
// has promoted: the condition and the flags where it does not hold, or {nf}.
func (in *Inst) appendPromoted(b []byte, m isa.MaskRule) []byte {
	if m == isa.MaskCondition {
		b = append(append(b, conditions[in.EVEX&15]...), " {dfv="...)
		first := true
		for i, f := range []string{"of", "sf", "zf", "cf"} {
			if ^in.VVVV>>(3-i)&1 == 0 {
				continue
			}
			if !first {
				b = append(b, ',')
			}
			b, first = append(b, f...), false
		}
		return append(b, '}')
	}
	if in.EVEX&4 != 0 && (m == isa.MaskNF || in.Map == isa.MapEVEX4) {
		return append(b, " {nf}"...)
	}
	return b
}

func (in *Inst) appendPrefix(b []byte, row *isa.Row) []byte {
	if in.Prefix&PrefixLock != 0 {
		b = append(b, "lock "...)
	}
	switch {
	case row.Attr&(isa.AttrRep|isa.AttrRepZ) == 0 || in.Prefix&(PrefixRep|PrefixRepne) == 0:
	case row.Attr&isa.AttrRep != 0:
		b = append(b, "rep "...)
	case in.Prefix&PrefixRep != 0:
		b = append(b, "repe "...)
	default:
		b = append(b, "repne "...)
	}
	return b
}

// appendMask appends the mask and zeroing of EVEX.
func (in *Inst) appendMask(b []byte) []byte {
	if in.Map == isa.MapEVEX4 || isa.Get(in.Row).EVEX.Mask >= isa.MaskNF {
		return b
	}
	if k := in.EVEX & evexMask; k != 0 {
		b = append(append(b, " {k"...), '0'+k, '}')
	}
	if in.EVEX&evexZ != 0 {
		b = append(b, "{z}"...)
	}
	return b
}

func (in *Inst) appendOperand(b []byte, o, first *Operand) []byte {
	switch o.Kind {
	case OperandReg:
		return append(b, RegisterName(o.Class, o.Reg, o.Size)...)
	case OperandMem:
		return in.appendMemory(b, o)
	case OperandRel:
		return appendSigned(append(b, '.'), uint64(in.Length)+o.Imm, true)
	case OperandFar:
		return appendHex(append(appendHex(b, o.Disp), ':'), o.Imm)
	}
	// An immediate is shown as wide as the operand that it is used with.
	size := o.Size
	if first == o {
		size = min(size, in.OpSize) // PUSH
	} else if first.Size < size {
		size = first.Size
	}
	return appendHex(b, o.Imm&(^uint64(0)>>((64-8*uint(size))&63)))
}

// pointerNames are the words before a memory operand, by its size in bytes.
var pointerNames = map[uint8]string{
	1: "byte ptr ", 2: "word ptr ", 4: "dword ptr ", 6: "fword ptr ", 8: "qword ptr ", 10: "tbyte ptr ",
	16: "xmmword ptr ", 32: "ymmword ptr ", 64: "zmmword ptr ",
}

func (in *Inst) appendMemory(b []byte, o *Operand) []byte {
	b = append(b, pointerNames[o.Size]...)
	dest := o.Base == x86.RDI && o.Segment == x86.ES && !in.IsMem
	if in.Prefix&PrefixSegment != 0 || dest {
		b = append(append(b, o.Segment.String()...), ':')
	}
	b = append(b, '[')
	start := len(b)
	switch o.Base {
	case x86.RegNone:
	case x86.RegRIP:
		b = append(b, map[uint8]string{4: "eip", 8: "rip"}[in.AddrSize]...)
	default:
		b = append(b, gprName(o.Base, in.AddrSize)...)
	}
	if o.Index != x86.RegNone {
		if len(b) > start {
			b = append(b, '+')
		}
		b = append(b, in.indexName(o)...)
		b = append(b, '*', '0'+o.Scale)
		if in.AddrSize == 2 {
			b = b[:len(b)-2]
		}
	}
	switch {
	case len(b) == start:
		mask := ^uint64(0) >> (64 - 8*uint(in.AddrSize))
		b = appendHex(b, o.Disp&mask)
	case o.Disp != 0:
		b = appendSigned(b, o.Disp, false)
	}
	return in.appendBroadcast(append(b, ']'), o)
}

// indexName is the name of the index register; a vector where the row says
// so, as wide as the instruction's vectors.
func (in *Inst) indexName(o *Operand) string {
	if isa.Get(in.Row).Attr&isa.AttrVSIB != 0 {
		return RegisterName(x86.ClassVector, o.Index, 16<<in.VL)
	}
	return gprName(o.Index, in.AddrSize)
}

// gprName is the name of a general-purpose register, those of APX included.
func gprName(n, size uint8) string {
	if n < x86.NumGPR {
		return x86.GPRName(n, size)
	}
	return "r" + strconv.Itoa(int(n)) + map[uint8]string{1: "b", 2: "w", 4: "d"}[size]
}

func appendHex(b []byte, v uint64) []byte {
	return strconv.AppendUint(append(b, "0x"...), v, 16)
}

// appendSigned appends +0x… or -0x…; zero only if asked for.
func appendSigned(b []byte, v uint64, zero bool) []byte {
	switch {
	case v == 0 && !zero:
		return b
	case int64(v) < 0:
		return appendHex(append(b, '-'), -v)
	}
	return appendHex(append(b, '+'), v)
}

// RegisterName returns the manual's name of a register, in lower case, as
// "r10d", "ah", "xmm3", "st(1)". size is in bytes.
func RegisterName(class x86.Class, n, size uint8) string {
	num := strconv.Itoa(int(n))
	switch class {
	case x86.ClassGPR:
		return gprName(n, size)
	case x86.ClassHigh:
		return x86.HighName(n)
	case x86.ClassSegment:
		return x86.Segment(n).String()
	case x86.ClassControl:
		return "cr" + num
	case x86.ClassDebug:
		return "dr" + num
	case x86.ClassX87:
		return "st(" + num + ")"
	case x86.ClassMMX:
		return "mm" + num
	case x86.ClassMask:
		return "k" + num
	case x86.ClassBound:
		return "bnd" + num
	case x86.ClassTile:
		return "tmm" + num
	case x86.ClassVector:
		switch {
		case size <= 16:
			return "xmm" + num
		case size == 32:
			return "ymm" + num
		}
		return "zmm" + num
	}
	return "?"
}
