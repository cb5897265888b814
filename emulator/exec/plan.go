package exec

import (
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// plan is what Execute needs of a row, made once from the table.
type plan struct {
	// run is nil for a row without semantics.
	run func(*Context)
	ops [maxPlanned]operand
	n   uint8
	// size is the operand width in bytes, 0 for the effective operand size.
	size uint8
	// own: the function writes its operands itself, and reads those in memory.
	own bool
	// bitString: a register offset moves the memory operand.
	bitString    bool
	implicitLock bool
	// cpl0: #GP(0) above CPL 0.
	cpl0 bool
	// longOnIntel: Intel's CPUs have it in 64-bit mode only.
	longOnIntel bool
	// segment is the one that LES, LSS, LDS, LFS and LGS load.
	segment x86.Segment
	// partial is the row's column: what stands after a fault.
	partial isa.Partial
}

// maxPlanned is the largest number of operands of a row with semantics.
const maxPlanned = 4

// operand is where an operand comes from and goes to.
type operand struct {
	from source
	size uint8
	reg  uint8
	// load says that memory is read, with intent; write that the operand is
	// written.
	load, write bool
	intent      step.Intent
}

// source is the place of an operand.
type source uint8

const (
	fromNone source = iota
	fromReg
	fromRM
	fromImm
	fromFixed
	fromVVVV
	fromOne
	fromSegment
	fromFixedSegment
	fromMoffs
)

// family is the meaning of one or more mnemonics.
type family struct {
	run func(*Context)
	// own, bitString: see plan. loads: the function reads its memory
	// operand itself.
	own, bitString, loads bool
}

// simple is a family whose operands the table reads and writes.
func simple(run func(*Context)) family { return family{run: run} }

// own is a family that sees to its own operands in memory and its results.
func own(run func(*Context)) family { return family{run: run, own: true} }

// reading is an own family that reads its operands in memory itself too.
func reading(run func(*Context)) family { return family{run: run, own: true, loads: true} }

var farPointer = reading(loadFar)

// farBranches are those whose mnemonic has a near form too.
var farBranches = map[string]family{
	"CALL": reading(callFar), "JMP": reading(jmpFar),
}

// families gives each mnemonic its meaning. A row of a mnemonic that stands
// here needs nothing more.
var families = map[string]family{
	"ADD": simple(add), "ADC": simple(adc), "SUB": simple(sub), "SBB": simple(sbb), "CMP": simple(cmp),
	"AND": simple(and), "OR": simple(or), "XOR": simple(xor), "TEST": simple(test),
	"INC": simple(inc), "DEC": simple(dec), "NEG": simple(neg), "NOT": simple(not),
	"ADCX": simple(adcx), "ADOX": simple(adox), "XADD": simple(xadd), "XCHG": simple(xchg), "CRC32": simple(crc),

	"MOV": simple(mov), "MOVZX": simple(mov), "MOVNTI": simple(mov), "MOVDIRI": simple(mov), "MOVABS": simple(mov),
	"MOVSX": simple(movsx), "MOVSXD": simple(movsx), "MOVBE": simple(movbe), "LEA": own(lea), "BSWAP": simple(bswap),
	"CBW": own(extendAccumulator), "CWDE": own(extendAccumulator), "CDQE": own(extendAccumulator),
	"CWD": own(signAccumulator), "CDQ": own(signAccumulator), "CQO": own(signAccumulator),
	"XLAT": own(xlat), "XLATB": own(xlat), "LAHF": own(lahf), "SAHF": own(sahf),
	"CLC": own(clc), "STC": own(stc), "CMC": own(cmc), "CLD": own(cld), "STD": own(std),
	"MOVDIR64B": reading(movdir64b),
	"LES":       farPointer, "LSS": farPointer, "LDS": farPointer, "LFS": farPointer, "LGS": farPointer,

	"SHL": simple(shl), "SAL": simple(shl), "SHR": simple(shr), "SAR": simple(sar),
	"ROL": simple(rol), "ROR": simple(ror), "RCL": simple(rcl), "RCR": simple(rcr),
	"SHLD": simple(shld), "SHRD": simple(shrd),
	"SARX": simple(sarx), "SHLX": simple(shlx), "SHRX": simple(shrx), "RORX": simple(rorx),

	"MUL": own(mul), "DIV": own(div), "IDIV": own(idiv), "IMUL": simple(imul), "MULX": simple(mulx),

	"BT":  {run: bt, bitString: true},
	"BTS": {run: bts, bitString: true}, "BTR": {run: btr, bitString: true}, "BTC": {run: btc, bitString: true},
	"BSF": own(bsf), "BSR": own(bsr), "TZCNT": simple(tzcnt), "LZCNT": simple(lzcnt), "POPCNT": simple(popcnt),
	"ANDN": simple(andn), "BEXTR": simple(bextr), "BLSI": simple(blsi), "BLSMSK": simple(blsmsk), "BLSR": simple(blsr),
	"BZHI": simple(bzhi), "PDEP": simple(pdep), "PEXT": simple(pext),

	"BLCFILL": simple(blcfill), "BLCI": simple(blci), "BLCIC": simple(blcic), "BLCMSK": simple(blcmsk), "BLCS": simple(blcs),
	"T1MSKC": simple(t1mskc), "BLSFILL": simple(blsfill), "BLSIC": simple(blsic), "TZMSK": simple(tzmsk),

	"SLDT": own(sldt), "STR": own(str), "SMSW": own(smsw), "SGDT": own(sgdt), "SIDT": own(sidt), "XGETBV": own(xgetbv), "RDPMC": own(rdpmc),
	"XEND": own(xend), "XTEST": own(xtest), "XABORT": own(nop), "RSM": own(ud),
	"XSUSLDTRK": own(nop), "XRESLDTRK": own(nop), "SEAMRET": own(ud), "SEAMOPS": own(ud), // outside a transaction, outside SEAM

	"MOVRS": simple(mov),
	"AADD":  reading(aadd), "AAND": reading(aand),
	"AOR": reading(aor), "AXOR": reading(axor),

	"CMPXCHG": simple(cmpxchg), "CMPXCHG8B": own(cmpxchgPair), "CMPXCHG16B": own(cmpxchgPair),

	"PUSH": own(push), "POP": own(pop), "ENTER": own(enter), "LEAVE": own(leave),
	"PUSHF": own(pushf), "PUSHFD": own(pushf), "PUSHFQ": own(pushf),
	"POPF": own(popf), "POPFD": own(popf), "POPFQ": own(popf),
	"PUSHA": own(pusha), "PUSHAD": own(pusha), "POPA": own(popa), "POPAD": own(popa),

	"LOOP": own(loop), "LOOPE": own(loop), "LOOPNE": own(loop), "LOOPZ": own(loop), "LOOPNZ": own(loop),
	"JCXZ": own(jrcxz), "JECXZ": own(jrcxz), "JRCXZ": own(jrcxz), "RET": own(ret), "RETN": own(ret),
	"INT3": own(int3), "INT1": own(int1), "INT": own(intn), "INTO": own(into), "BOUND": reading(bound),
	"RETF": own(retFar), "IRET": own(iret), "IRETD": own(iret), "IRETQ": own(iret),
	"UD0": own(ud), "UD1": own(ud), "UD2": own(ud), "UDB": own(ud),

	"MOVS": own(movs), "MOVSB": own(movs), "MOVSW": own(movs), "MOVSD": own(movs), "MOVSQ": own(movs),
	"CMPS": own(cmps), "CMPSB": own(cmps), "CMPSW": own(cmps), "CMPSD": own(cmps), "CMPSQ": own(cmps),
	"SCAS": own(scas), "SCASB": own(scas), "SCASW": own(scas), "SCASD": own(scas), "SCASQ": own(scas),
	"STOS": own(stos), "STOSB": own(stos), "STOSW": own(stos), "STOSD": own(stos), "STOSQ": own(stos),
	"LODS": own(lods), "LODSB": own(lods), "LODSW": own(lods), "LODSD": own(lods), "LODSQ": own(lods),
	"INS": own(ins), "INSB": own(ins), "INSW": own(ins), "INSD": own(ins),
	"OUTS": own(outs), "OUTSB": own(outs), "OUTSW": own(outs), "OUTSD": own(outs),

	"NOP": own(nop), "PAUSE": own(nop), "LFENCE": own(nop), "MFENCE": own(nop), "SFENCE": own(nop), "SERIALIZE": own(nop), "PTWRITE": own(nop),
	"CLFLUSH": reading(clflush), "CLFLUSHOPT": reading(clflushopt),
	"CLWB": reading(clwb),

	"CPUID": own(cpuid), "RDTSC": own(rdtsc), "RDTSCP": own(rdtscp), "RDPID": own(rdpid),
	"RDRAND": own(rdrand), "RDSEED": own(rdseed),
	"RDFSBASE": own(rdbase), "RDGSBASE": own(rdbase), "WRFSBASE": own(wrbase), "WRGSBASE": own(wrbase),
	"IN": own(in), "OUT": own(out), "CLI": own(cli), "STI": own(sti), "HLT": own(hlt),
	"CLAC": own(supervisor), "STAC": own(supervisor),
	"DAA": own(daa), "DAS": own(das), "AAA": own(aaa), "AAS": own(aas), "AAM": own(aam), "AAD": own(aad),
	"SALC": own(salc),
	"ARPL": own(arpl), "LAR": own(lar), "LSL": own(lsl), "VERR": own(verr), "VERW": own(verw),
}

// familyOf finds the meaning of a row; run is nil if there is none.
func familyOf(r *isa.Row) family {
	name := r.Mnemonic.String()
	switch {
	case r.Attr&isa.AttrNop != 0:
		return own(nop)
	case r.Map >= isa.MapEVEX1:
		return family{} // the state has no registers from R16 on
	case r.Attr&(isa.AttrX87|isa.AttrVector) != 0:
		return family{}
	case r.Attr&isa.AttrFar != 0 && (name == "CALL" || name == "JMP"):
		return farBranches[name]
	}
	if f, ok := conditional(r); ok {
		return f
	}
	if f, ok := byOperand(r, name); ok {
		return f
	}
	return families[name]
}

// conditional recognises the families of sixteen, whose condition is in the
// opcode: Jcc (70 to 7F, 0F 80 to 8F), SETcc, CMOVcc and CMPccXADD.
func conditional(r *isa.Row) (family, bool) {
	switch op := r.Opcode & 0xf0; {
	case r.Map == isa.MapOne && op == 0x70, r.Map == isa.Map0F && op == 0x80:
		return own(jcc), true
	case r.Map == isa.Map0F && op == 0x90:
		return simple(setcc), true
	case r.Map == isa.Map0F && op == 0x40:
		return simple(cmov), true
	case r.Map == isa.MapVEX2 && op == 0xe0:
		return simple(cmpccxadd), true
	}
	return family{}, false
}

// byOperand recognises where a mnemonic means two things by its operands.
func byOperand(r *isa.Row, name string) (family, bool) {
	if r.NumOperands == 0 {
		return family{}, false
	}
	relative := r.Operands[0].Kind == isa.KindRel
	switch name {
	case "JMP":
		if relative {
			return own(jmpRelative), true
		}
		return own(jmpIndirect), true
	case "CALL":
		if relative {
			return own(callRelative), true
		}
		return own(callIndirect), true
	case "PUSH", "MOV", "POP":
		return segmentMove(r, name)
	}
	return family{}, false
}

// segmentMove recognises MOV, PUSH and POP of segment registers and the
// absolute-offset MOV.
func segmentMove(r *isa.Row, name string) (family, bool) {
	for i := range r.Operands[:r.NumOperands] {
		switch o := &r.Operands[i]; {
		case o.Class == x86.ClassControl || o.Class == x86.ClassDebug:
			return family{}, true
		case o.Kind == isa.KindMoffs:
			return own(movMoffs), true
		case o.Class != x86.ClassSegment:
		case name == "POP":
			return own(popSegment), true
		case o.Access&isa.Write != 0:
			return own(movToSegment), true
		case name == "PUSH":
			return own(pushSegment), true
		default:
			return own(movFromSegment), true
		}
	}
	return family{}, false
}

// plans is indexed by the row's ID.
var plans = makePlans()

func makePlans() []plan {
	rows := isa.Rows()
	out := make([]plan, len(rows)+1)
	for i := range rows {
		r := &rows[i]
		out[r.ID] = makePlan(r)
	}
	return out
}

func makePlan(r *isa.Row) plan {
	f := familyOf(r)
	p := plan{
		run: f.run, own: f.own, bitString: f.bitString && r.Operands[1].Kind == isa.KindReg,
		implicitLock: r.Attr&isa.AttrImplicitLock != 0, partial: r.Partial, cpl0: r.Attr&isa.AttrCPL0 != 0,
	}
	switch r.Mnemonic.String() {
	case "CLAC", "STAC":
		p.cpl0 = false // they are #UD instead
	case "SYSCALL", "SYSRET":
		p.longOnIntel = true
	}
	p.segment = farSegments[r.Mnemonic.String()]
	p.n = min(r.NumOperands, maxPlanned) // more has no row with semantics
	for i := range r.Operands[:p.n] {
		p.ops[i] = makeOperand(&r.Operands[i], f)
	}
	if p.n > 0 {
		p.size = r.Operands[0].Size
		if r.Operands[0].Kind == isa.KindMem && p.size == 0 {
			p.size = r.Operands[1].Size
		}
	}
	return p
}

var farSegments = map[string]x86.Segment{"LES": x86.ES, "LSS": x86.SS, "LDS": x86.DS, "LFS": x86.FS, "LGS": x86.GS}

// makeOperand plans one operand. Registers are always read, which costs
// less than asking; memory is read where the table says so.
func makeOperand(o *isa.Operand, f family) operand {
	p := operand{size: o.Size, reg: o.Reg, write: o.Access&isa.Write != 0}
	switch o.Kind {
	case isa.KindReg:
		p.from = fromReg
		if o.Class == x86.ClassSegment {
			p.from = fromSegment
		}
	case isa.KindRM, isa.KindMem, isa.KindRMReg, isa.KindOpcode:
		p.from = fromRM
		p.load = o.Access&isa.Read != 0 && !f.loads && !readsItself(f, o)
		if p.write {
			p.intent = step.IntentModify
		}
	case isa.KindFixed:
		p.from = fromFixed
		if o.Class == x86.ClassSegment {
			p.from = fromFixedSegment
		}
	case isa.KindVVVV:
		p.from = fromVVVV
	case isa.KindImm:
		p.from = fromImm
	case isa.KindOne:
		p.from = fromOne
	case isa.KindMoffs:
		p.from = fromMoffs
	}
	return p
}

// readsItself says that the family reads its memory operand itself: one that
// writes its results itself and has the operand for both.
func readsItself(f family, o *isa.Operand) bool { return f.own && o.Access&isa.Write != 0 }

// Implemented says whether a row has semantics.
func Implemented(id isa.ID) bool { return int(id) < len(plans) && plans[id].run != nil }

// PartialOf returns what may stand after a fault of the row.
func PartialOf(id isa.ID) isa.Partial {
	if int(id) >= len(plans) {
		return isa.PartialNone
	}
	return plans[id].partial
}
