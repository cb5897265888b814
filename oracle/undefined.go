package oracle

import (
	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// maxUndefined is the largest number of conditional rules of a row, and one.
const maxUndefined = 8

// undefined is what a case leaves undefined, by its instruction and inputs.
type undefined struct {
	n     int
	flags [maxUndefined]struct {
		rule  RuleID
		flags x86.Flags
	}
	// result is the rule by which the destination is undefined, or RuleNone:
	// the bits in mask of a register, or the size bytes at address.
	result   RuleID
	inMemory bool
	register uint8
	mask     uint64
	address  uint64
	size     uint8
}

func (u *undefined) clear() { u.n, u.result = 0, RuleNone }

// ruleOf names the rule of a condition, for flags and for results.
func ruleOf(w isa.Condition, result bool) RuleID {
	if result {
		switch w {
		case isa.SourceZero:
			return RuleResultSourceZero
		case isa.Size16:
			return RuleResultSize16
		}
		return RuleResultCountAboveSize
	}
	switch w {
	case isa.CountNonZero:
		return RuleFlagsCountNonZero
	case isa.CountNotOne:
		return RuleFlagsCountNotOne
	case isa.CountAtLeastSize:
		return RuleFlagsCountAtLeastSize
	case isa.CountAboveSize:
		return RuleFlagsCountAboveSize
	}
	return RuleFlagsAlways
}

// find evaluates the row's rules on the case's inputs.
func (u *undefined) find(k *Comparer, c *Case, in *decode.Inst) {
	if in == nil || in.Row == 0 || c.Steps > 1 {
		return
	}
	row := isa.Get(in.Row)
	if row.Flags.Modified&x86.RF != 0 { // IRET: the next instruction clears it
		u.add(k, RuleResumeFlag, x86.RF)
	}
	if k.Strict {
		return
	}
	if f := row.Flags.Undefined; f != 0 {
		u.add(k, RuleFlagsAlways, f)
	}
	for i := range row.Flags.Rules {
		r := &row.Flags.Rules[i]
		if !holds(r.When, c, in, row) {
			continue
		}
		if r.Flags != 0 {
			u.add(k, ruleOf(r.When, false), r.Flags)
		}
		if r.Result {
			u.result = ruleOf(r.When, true)
			k.Counts[u.result].Matched++
			u.destination(c, in, row)
		}
	}
}

func (u *undefined) add(k *Comparer, rule RuleID, flags x86.Flags) {
	k.Counts[rule].Matched++
	u.flags[u.n].rule, u.flags[u.n].flags = rule, flags
	u.n++
}

// holds evaluates a condition on the case's inputs.
func holds(w isa.Condition, c *Case, in *decode.Inst, row *isa.Row) bool {
	switch w {
	case isa.Always:
		return true
	case isa.Size16:
		return in.OpSize == 2
	case isa.SourceZero:
		v, ok := operandValue(c, in, &row.Operands[row.NumOperands-1])
		return ok && v == 0
	}
	count, ok := countOf(c, in, row)
	if !ok {
		return false
	}
	bits := uint64(row.Operands[0].Size) * 8
	switch w {
	case isa.CountZero:
		return count == 0
	case isa.CountNonZero:
		return count != 0
	case isa.CountNotOne:
		return count > 1
	case isa.CountAtLeastSize:
		return count >= bits
	case isa.CountAboveSize:
		return count > bits
	}
	return false
}

// countOf returns the count of a shift or rotate, masked to five bits, six
// with a 64-bit operand (SDM vol. 2, SAL/SAR/SHL/SHR): its last operand.
func countOf(c *Case, in *decode.Inst, row *isa.Row) (uint64, bool) {
	if row.NumOperands == 0 {
		return 0, false
	}
	v, ok := operandValue(c, in, &row.Operands[row.NumOperands-1])
	if row.Operands[0].Size == 8 {
		return v & 63, ok
	}
	return v & 31, ok
}

// operandValue returns an operand's value before the instruction; ok is false
// if the operand is in memory that is not mapped or is of another kind.
func operandValue(c *Case, in *decode.Inst, o *isa.Operand) (v uint64, ok bool) {
	mask := ^uint64(0) >> (64 - 8*min(uint64(o.Size), 8))
	switch o.Kind {
	case isa.KindImm:
		return in.Imm & mask, true
	case isa.KindOne:
		return 1, true
	case isa.KindRM, isa.KindMem:
		if in.IsMem {
			v, ok = c.ReadMemory(c.linear(in), o.Size)
			return v, ok
		}
		return c.register(in.RM, in.REX, o) & mask, true
	case isa.KindRMReg, isa.KindOpcode:
		return c.register(in.RM, in.REX, o) & mask, true
	case isa.KindReg:
		return c.register(in.Reg, in.REX, o) & mask, true
	case isa.KindFixed:
		if o.Class == x86.ClassHigh {
			return c.State.GPR[o.Reg&3] >> 8 & mask, true
		}
		return c.State.GPR[o.Reg&15] & mask, true
	}
	return 0, false
}

// register returns a general-purpose register; of a byte operand without REX,
// 4 to 7 are AH to BH.
func (c *Case) register(n, rex uint8, o *isa.Operand) uint64 {
	if o.Size == 1 && rex == 0 && n >= 4 && n < 8 {
		return c.State.GPR[n-4] >> 8
	}
	return c.State.GPR[n&15]
}

// linear returns the linear address of the memory operand.
func (c *Case) linear(in *decode.Inst) uint64 {
	off := in.Disp
	if in.Base < x86.NumGPR {
		off += c.State.GPR[in.Base]
	} else if in.Base == x86.RegRIP {
		off += c.State.RIP + uint64(in.Length)
	}
	if in.Index < x86.NumGPR {
		off += c.State.GPR[in.Index] * uint64(in.Scale)
	}
	switch in.AddrSize {
	case 2:
		off = uint64(uint16(off))
	case 4:
		off = uint64(uint32(off))
	}
	off += c.SegmentBase(in.Segment)
	if c.State.Mode != x86.Long64 {
		off = uint64(uint32(off))
	}
	return off
}

// destination finds where the undefined result is: the first operand.
func (u *undefined) destination(c *Case, in *decode.Inst, row *isa.Row) {
	o := &row.Operands[0]
	u.size, u.inMemory = o.Size, false
	n := in.RM
	switch o.Kind {
	case isa.KindRM, isa.KindMem:
		if in.IsMem {
			u.inMemory, u.address = true, c.linear(in)
			return
		}
	case isa.KindReg:
		n = in.Reg
	case isa.KindFixed:
		n = o.Reg
	}
	u.register = n & 15
	switch o.Size {
	case 2:
		u.mask = 0xffff
	default: // a 32-bit result sets the upper half too
		u.mask = ^uint64(0)
	}
}

// covers says whether the linear address is part of the undefined result.
func (u *undefined) covers(address uint64) bool {
	return u.result != RuleNone && u.inMemory && address-u.address < uint64(u.size)
}

// memoryEqual compares windows but for an undefined result.
func (u *undefined) memoryEqual(k *Comparer, c *Case, a, b []byte) bool {
	if u.result == RuleNone || !u.inMemory || len(a) != len(b) {
		return false
	}
	i := 0
	for _, w := range c.Layout.Windows {
		for j := range w.Length {
			if a[i] != b[i] && !u.covers(w.Address+uint64(j)) {
				return false
			}
			i++
		}
	}
	k.Counts[u.result].Masked++
	return true
}

// strayEqual compares stray words but for an undefined result, which may make
// a word stray for one engine and leave it as it was for the other.
func (u *undefined) strayEqual(k *Comparer, c *Case, s, r *Result) bool {
	if u.result == RuleNone || !u.inMemory || s.NumStray > MaxStray || r.NumStray > MaxStray {
		return false
	}
	if !u.strayWithin(c, s, r) || !u.strayWithin(c, r, s) {
		return false
	}
	k.Counts[u.result].Masked++
	return true
}

// strayWithin says whether the stray words of a differ from those of b, or
// from what was there before, in bytes of the undefined result alone.
func (u *undefined) strayWithin(c *Case, a, b *Result) bool {
	for _, w := range a.Stray[:a.NumStray] {
		other, ok := strayValue(b, w.Address)
		if !ok {
			other, _ = c.ReadMemory(w.Address, 8)
		}
		for i := range uint64(8) {
			if (w.Value^other)>>(8*i)&0xff != 0 && !u.covers(w.Address+i) {
				return false
			}
		}
	}
	return true
}

func strayValue(r *Result, address uint64) (uint64, bool) {
	for _, v := range r.Stray[:r.NumStray] {
		if v.Address == address {
			return v.Value, true
		}
	}
	return 0, false
}
