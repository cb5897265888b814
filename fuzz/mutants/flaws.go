package mutants

import (
	"fmt"
	"strings"
)

// Flaw is a named error of one line. Old is a line of the file, and of the
// function In if that is given, which must be there exactly once; New takes
// its place. Space between words does not count.
type Flaw struct {
	Name, File, In, Old, New string
	// Breaks says what an emulator with the flaw does wrong.
	Breaks string
}

// Flaws are the errors that the default campaign must find.
var Flaws = []Flaw{
	// Flags and arithmetic.
	{"adc-carry-ignored", "emulator/exec/arith.go", "", "func adc(c *Context) { c.out[0] = c.add(c.in[0], c.in[1], c.carry()) }", "func adc(c *Context) { c.out[0] = c.add(c.in[0], c.in[1], 0) }", "ADC adds without the carry"},
	{"inc-changes-cf", "emulator/exec/arith.go", "inc", "c.setFlags(x86.CF, cf)", "_ = cf", "INC changes CF"},
	{"aux-carry-wrong", "emulator/exec/flags.go", "Context.add", "x86.Flags(carries<<1)&x86.AF|", "x86.Flags(carries)&x86.AF|", "AF of an addition is the carry out of bit 4, not 3"},
	{"sub-overflow-wrong", "emulator/exec/flags.go", "Context.sub", "x86.Flags(c.sign((a^b)&(a^r)))<<bitOF)", "x86.Flags(c.sign((a^r)&(b^r)))<<bitOF)", "OF of a subtraction is an addition's"},
	{"parity-of-all-bits", "emulator/exec/flags.go", "Context.szp", "f := parity[uint8(r)] | x86.Flags(c.sign(r))<<bitSF", "f := parity[uint8(r^r>>8)] | x86.Flags(c.sign(r))<<bitSF", "PF counts more than the low byte"},
	{"condition-less-or-equal", "emulator/exec/flags.go", "Context.condition", "on = f&x86.ZF != 0 || f>>bitSF&1 != f>>bitOF&1", "on = f&x86.ZF != 0 && f>>bitSF&1 != f>>bitOF&1", "JLE, SETLE and CMOVLE want both conditions"},
	{"neg-operands-swapped", "emulator/exec/arith.go", "", "func neg(c *Context) { c.out[0] = c.sub(0, c.in[0], 0) }", "func neg(c *Context) { c.out[0] = c.sub(c.in[0], 0, 0) }", "a swapped operand: NEG gives its source"},
	{"xadd-order", "emulator/exec/context.go", "Context.writeOperands", "for i := int(p.n) - 1; i >= 0; i-- {", "for i := 0; i < int(p.n); i++ {", "XADD of a register with itself keeps the old value"},
	{"mul-high-half", "emulator/exec/muldiv.go", "Context.signedProduct", "high -= y", "high -= x", "the upper half of a signed 64-bit product"},
	{"imul-overflow-unseen", "emulator/exec/muldiv.go", "Context.signLost", "return high != -c.sign(low)&c.mask", "return high != 0 && high != c.mask", "IMUL: CF and OF ignore the sign of the lower half"},
	{"idiv-overflow-unchecked", "emulator/exec/muldiv.go", "idiv", "if !ok || q > limit {", "if !ok {", "IDIV: a quotient that does not fit is no #DE"},

	// Shifts and bits.
	{"shift-count-not-masked", "emulator/exec/shift.go", "Context.count", "return n & 0x1f", "return n & 0x3f", "a 32-bit shift takes six bits of its count"},
	{"shift-zero-changes-flags", "emulator/exec/shift.go", "shr", "if n == 0 {", "if n > 64 {", "SHR by 0 changes the flags"},
	{"shld-carry-of-result", "emulator/exec/shift.go", "shld", "carry := c.sign(d << (n - 1))", "carry := (d<<n | s>>(bits-n)) & 1", "SHLD: CF is a bit of the result"},
	{"rcl-modulo", "emulator/exec/shift.go", "", "func (c *Context) throughCarry() uint { return c.count(1) % (c.bits() + 1) }", "func (c *Context) throughCarry() uint { return c.count(1) % c.bits() }", "RCL and RCR turn the operand without the carry"},
	{"bit-offset-unsigned", "emulator/exec/bit.go", "Context.bitOffset", "off := int64(signExtend(c.reg(c.inst.Reg, c.size), c.size))", "off := int64(c.reg(c.inst.Reg, c.size))", "BT with memory: a negative bit offset goes up"},
	{"tzcnt-of-zero", "emulator/exec/bit.go", "", "func tzcnt(c *Context) { c.counted(min(uint64(bits.TrailingZeros64(c.in[1])), uint64(c.bits()))) }", "func tzcnt(c *Context) { c.counted(uint64(bits.TrailingZeros64(c.in[1]))) }", "TZCNT of 0 is 64 whatever the width"},

	// Registers and moves.
	{"movsx-zero-extends", "emulator/exec/move.go", "", "func movsx(c *Context) { c.out[0] = signExtend(c.in[1], c.plan.ops[1].size) }", "func movsx(c *Context) { c.out[0] = c.in[1] }", "MOVSX does not extend the sign"},
	{"write32-keeps-upper-half", "emulator/exec/register.go", "Context.setReg", "v = uint64(uint32(v))", "v = c.current(n)&^0xffffffff | v&0xffffffff", "a 32-bit result does not clear the upper half"},
	{"high-byte-read-as-low", "emulator/exec/register.go", "Context.reg", "return c.State.GPR[n-4] >> 8 & 0xff", "return c.State.GPR[n-4] & 0xff", "AH, CH, DH, BH are read as AL, CL, DL, BL"},
	{"rip-cut", "emulator/exec/context.go", "Context.wrapRIP", "if c.State.Mode == x86.Long64 {", "if false {", "the next instruction is addressed with 32 bits in 64-bit mode"},
	{"high-byte-despite-rex", "emulator/exec/register.go", "", "func (c *Context) isHigh(n uint8) bool { return n&^3 == 4 && c.inst.REX == 0 }", "func (c *Context) isHigh(n uint8) bool { return n-4 < 4 }", "SPL, BPL, SIL, DIL are AH, CH, DH, BH"},
	{"cmov-false-keeps-upper-half", "emulator/exec/move.go", "cmov", "c.out[0] = c.reg(c.inst.Reg, c.size)", "c.plan = &plan{}", "a 32-bit CMOV whose condition is false leaves the upper half"},
	{"cmpxchg-accumulator-kept", "emulator/exec/atomic.go", "cmpxchg", "c.setReg(x86.RAX, c.size, c.in[0])", "_ = x86.RAX", "a failed CMPXCHG leaves the accumulator"},
	{"cmpxchg8b-half", "emulator/exec/atomic.go", "cmpxchgPair", "equal := old[0] == g[x86.RAX]&m && old[1] == g[x86.RDX]&m", "equal := old[0] == g[x86.RAX]&m", "CMPXCHG8B compares the lower half only"},
	{"cwd-sign", "emulator/exec/move.go", "signAccumulator", "c.setReg(x86.RDX, size, uint64(int64(signExtend(c.State.GPR[x86.RAX], size))>>63))", "c.setReg(x86.RDX, size, uint64(int64(c.State.GPR[x86.RAX])>>63))", "CWD and CDQ take the sign of RAX"},
	{"lahf-fixed-bit", "emulator/exec/move.go", "", "func lahf(c *Context) { c.setHigh(x86.RAX, uint64(c.flags&lahfFlags|x86.FlagsFixed)) }", "func lahf(c *Context) { c.setHigh(x86.RAX, uint64(c.flags&lahfFlags)) }", "LAHF: bit 1 is clear"},

	// Memory.
	{"rmw-reads-without-intent", "emulator/exec/plan.go", "makeOperand", "p.intent = step.IntentModify", "p.intent = step.IntentRead", "a read-modify-write faults as a read: #PF with W clear"},
	{"segment-override-ignored", "emulator/decode/finish.go", "cursor.finish", "in.Segment = c.segment", "_ = c.segment", "FS and GS overrides are ignored"},
	{"rip-base-before-immediate", "emulator/exec/memory.go", "Context.locate", "off += c.next", "off += c.next - uint64(c.inst.ImmLen)", "a RIP-relative base is taken before the immediate"},
	{"address-size-ignored", "emulator/exec/memory.go", "Context.locate", "c.offset = off & maskOf(in.AddrSize)", "c.offset = off", "67h does not cut the address"},
	{"page-crossing-address", "emulator/machine/memory.go", "Machine.translate", "return m.pageFault(t.next, need, 0, linear, ev)", "return m.pageFault(t.next, need, 0, linear-1, ev)", "#PF of an access over a page end tells the byte before the page"},
	{"page-crossing-wraps", "emulator/machine/memory.go", "Machine.Read", "v = t.p.load(t.off, first) | t.next.load(0, a.Size-first)<<(8*first)", "v = t.p.load(t.off, first) | t.p.load(0, a.Size-first)<<(8*first)", "a load over a page end wraps within the page"},
	{"stack-fault-as-gp", "emulator/machine/memory.go", "segmentFault", "if s == x86.SS {", "if s == x86.TR {", "a non-canonical stack address is #GP, not #SS"},
	{"canonical-unchecked", "emulator/machine/memory.go", "Machine.translate", "if uint64(int64(linear<<sh)>>sh) != linear {", "if sh > 64 {", "a non-canonical address is #PF"},
	{"alignment-unchecked", "emulator/exec/context.go", "Context.Execute", "c.checked = c.flags&x86.AC != 0 && c.State.CPL == 3", "c.checked = false", "no #AC"},

	// Stack and branches.
	{"push-rsp-new-value", "emulator/exec/stack.go", "push", "v := c.in[0]", "v := c.in[0]; if c.inst.RM == x86.RSP && !c.inst.IsMem { v -= 8 }", "PUSH RSP pushes the new value"},
	{"pop-address-before", "emulator/exec/stack.go", "pop", "c.locate()", "c.Fx.GPRDirty = 0; c.locate(); c.Fx.GPRDirty = 1 << x86.RSP", "POP to [RSP+x] uses RSP before the increment"},
	{"leave-fault-moves-rsp", "emulator/exec/stack.go", "leave", "c.setStackPointer(bp + uint64(size))", "c.State.GPR[x86.RSP] = bp + uint64(size); c.setStackPointer(bp + uint64(size))", "a fault of LEAVE leaves RSP changed"},
	{"push-imm-size", "emulator/exec/stack.go", "push", "v := c.in[0]", "v := c.in[0]; if !c.inst.HasModRM && c.inst.Opcode == 0x68 { v = uint64(uint32(v)) }", "PUSH imm zero-extends"},
	{"ret-imm-ignored", "emulator/exec/branch.go", "ret", "c.setStackPointer(c.stackPointer() + c.inst.Imm&0xffff)", "c.setStackPointer(c.stackPointer())", "RET imm16 releases nothing"},
	{"ret-imm-signed", "emulator/exec/branch.go", "ret", "c.setStackPointer(c.stackPointer() + c.inst.Imm&0xffff)", "c.setStackPointer(c.stackPointer() + uint64(int16(c.inst.Imm)))", "RET imm16 is signed"},
	{"call-return-address", "emulator/exec/branch.go", "", "func callIndirect(c *Context) { c.call(c.in[0]) }", "func callIndirect(c *Context) { c.next--; c.call(c.in[0]) }", "CALL r/m pushes an address within itself"},
	{"loop-counter-width", "emulator/exec/branch.go", "loop", "n := (c.counter() - 1) & maskOf(c.inst.AddrSize)", "n := (c.counter() - 1) & 0xffff", "LOOP counts CX"},
	{"enter-level", "emulator/exec/stack.go", "enter", "level := c.inst.Imm2 & 0x1f", "level := c.inst.Imm2 & 0xf", "ENTER takes four bits of its level"},
	{"popf-sets-iopl", "emulator/exec/stack.go", "Context.loadFlags", "if c.State.CPL == 0 {", "if c.State.CPL != 0 {", "POPF at CPL 3 changes IOPL"},

	// Strings.
	{"direction-ignored", "emulator/exec/str.go", "Context.advance", "if c.flags&x86.DF != 0 {", "if c.flags&x86.AF == 0 && c.flags&x86.DF != 0 {", "DF is ignored, half the time"},
	{"rep-count", "emulator/exec/str.go", "Context.iterated", "c.again = n != 0 && more", "c.again = n > 1 && more", "REP stops one iteration early"},
	{"repe-condition", "emulator/exec/str.go", "Context.compared", "return equal == (c.inst.Prefix&decode.PrefixRep != 0)", "return equal", "REPNE goes on as REPE does"},
	{"cmps-order", "emulator/exec/str.go", "cmps", "c.sub(a, b, 0)", "c.sub(b, a, 0)", "CMPS subtracts the other way round"},

	// Decoding.
	{"length-off-by-one", "emulator/decode/finish.go", "cursor.finish", "in.Length = uint8(pos)", "in.Length = uint8(pos) + in.DispLen>>2&in.ImmLen", "an instruction with a long displacement and an immediate is one too long"},
	{"lock-accepted", "emulator/decode/finish.go", "cursor.check", "if in.Prefix&PrefixLock != 0 && (h&hotLock == 0 || !in.IsMem) && !in.alternateCR8(c.p) {", "if in.Prefix&PrefixLock != 0 && h&hotLock == 0 && !in.alternateCR8(c.p) {", "LOCK is accepted on a register destination"},
	{"lock-accepted-row", "emulator/isa/gp.txt", "", "03 /r | ADD r32, r/m32 | 16 32 64 | rw r | - | - | OF=m SF=m ZF=m AF=m PF=m CF=m | -", "03 /r | ADD r32, r/m32 | 16 32 64 | rw r | lock | - | OF=m SF=m ZF=m AF=m PF=m CF=m | -", "LOCK is accepted on a load"},
	{"disp8-zero-extended", "emulator/decode/memory.go", "cursor.displacement", "in.Disp = f.extend(c.load(pos))", "in.Disp = c.load(pos) & f.mask", "a displacement is not sign-extended"},
	{"imm8-zero-extended", "emulator/decode/finish.go", "cursor.finish", "in.Imm = f.extend(c.load(pos))", "in.Imm = c.load(pos) & f.mask", "an immediate is not sign-extended"},
	{"rex-before-prefix-counts", "emulator/decode/decode.go", "cursor.prefixes", "rex = b & -uint8(k&prefixREX)", "rex |= b & -uint8(k&prefixREX)", "a REX that is not last counts"},
	{"rex-index-ignored", "emulator/decode/memory.go", "cursor.memory", "in.Index = index", "in.Index = index & 7", "REX.X is ignored"},
	{"rex-r-ignored", "emulator/decode/finish.go", "cursor.finish", "in.Reg = (modrm>>3&7 | c.rex<<1&8) & e.modRM()", "in.Reg = modrm >> 3 & 7 & e.modRM()", "REX.R is ignored"},
	{"sib-base-r13", "emulator/decode/memory.go", "cursor.memory", "if sib&7 == 5 && mod == 0 {", "if base == 5 && mod == 0 {", "SIB without base: R13 is taken for a base"},
	{"lock-size-row", "emulator/isa/gp.txt", "", "83 /0 ib | ADD r/m32, imm8 | 16 32 64 | rw r | lock | - | OF=m SF=m ZF=m AF=m PF=m CF=m | -", "83 /0 ib | ADD r/m32, imm8 | 16 32 64 | w r | lock | - | OF=m SF=m ZF=m AF=m PF=m CF=m | -", "an ADD in the table does not read its destination"},
}

// Plant turns the flaws into mutants. It fails for a flaw whose line is not
// there exactly once: a flaw that is planted nowhere would be found nowhere.
func (s *Source) Plant(tables *Tables, flaws []Flaw) ([]*Mutant, error) {
	var list []*Mutant
	for _, fl := range flaws {
		m, err := s.plant(tables, fl)
		if err != nil {
			return nil, fmt.Errorf("flaw %s: %w", fl.Name, err)
		}
		list = append(list, m)
	}
	return list, nil
}

func (s *Source) plant(tables *Tables, fl Flaw) (*Mutant, error) {
	m := &Mutant{Name: fl.Name, Breaks: fl.Breaks, Kind: "flaw", Package: fl.File[:strings.LastIndexByte(fl.File, '/')]}
	from, to := 0, 0
	if name, ok := strings.CutPrefix(fl.File, tables.Dir+"/"); ok && tables.files[name] != nil {
		m.File, m.tables = tables.files[name], tables
		to = len(m.File.Src)
	} else {
		for _, p := range s.Packages {
			for _, f := range p.Files {
				if f.Rel == fl.File {
					m.File = f
				}
			}
		}
		if m.File == nil {
			return nil, fmt.Errorf("file %s is not among those that are mutated", fl.File)
		}
		to = len(m.File.Src)
	}
	if fl.In != "" {
		var err error
		if from, to, err = s.function(m.File, fl.In); err != nil {
			return nil, err
		}
	}
	if err := m.find(fl, from, to); err != nil {
		return nil, err
	}
	if m.tables == nil {
		return m, s.house(m)
	}
	return m, nil
}

// function returns the range of bytes of a function's body.
func (s *Source) function(f *File, name string) (from, to int, err error) {
	for _, u := range s.units(f) {
		if u.name == name && u.body != nil {
			return s.offset(u.body.Pos()), s.offset(u.body.End()), nil
		}
	}
	return 0, 0, fmt.Errorf("%s has no function %s", f.Rel, name)
}

// find locates the flaw's line between two offsets.
func (m *Mutant) find(fl Flaw, from, to int) error {
	want, found := oneLine(fl.Old), 0
	at := 0
	for i, line := range strings.SplitAfter(string(m.File.Src), "\n") {
		if at >= from && at < to && oneLine(line) == want {
			found++
			trimmed := strings.TrimLeft(line, " \t")
			m.Line = i + 1
			m.Start = at + len(line) - len(trimmed)
			m.End = m.Start + len(strings.TrimRight(trimmed, " \t\n"))
		}
		at += len(line)
	}
	if found != 1 {
		return fmt.Errorf("%s: want exactly one line %q, found %d", fl.File, fl.Old, found)
	}
	m.Text = fl.New
	m.Func = fl.In
	return nil
}

// house finds the function that holds a planted line. A line that is a whole
// one-line function becomes a change of its body.
func (s *Source) house(m *Mutant) error {
	for _, u := range s.units(m.File) {
		if u.constant || u.body == nil {
			continue
		}
		start, end := s.offset(u.body.Lbrace), s.offset(u.body.Rbrace)+1
		switch {
		case start < m.Start && m.End < end:
			m.unit, m.Func = u, u.name
		case m.Start <= start && end == m.End:
			open := strings.LastIndex(string(m.File.Src[m.Start:start]), "\n")
			head := string(m.File.Src[m.Start+open+1 : start])
			body, ok := strings.CutPrefix(m.Text, head)
			if !ok {
				return fmt.Errorf("%s:%d: the flaw changes more than the body of %s", m.File.Rel, m.Line, u.name)
			}
			m.unit, m.Func = u, u.name
			m.Start, m.End = start+1, end-1
			m.Text = strings.TrimSuffix(strings.TrimPrefix(body, "{"), "}")
		}
	}
	if m.unit.node == nil {
		return fmt.Errorf("%s:%d: the line is in no function", m.File.Rel, m.Line)
	}
	return nil
}
