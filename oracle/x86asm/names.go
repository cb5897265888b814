package x86asm

import (
	"strings"

	"golang.org/x/arch/x86/x86asm"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// opInfo is what canonicalisation knows of an Op of x86asm.
type opInfo struct {
	// mnemonic is the manual's name, in capitals.
	mnemonic string
	// immediate is the size in bytes of the immediate operand where it is not
	// that of the first operand, or 0.
	immediate uint8
	// size is the width of the memory operands of a string instruction, or of
	// an element.
	size uint8
	// memory is the width of a memory operand that x86asm gives none, or 0.
	memory uint8
	// adjust changes the instruction before its arguments are converted, shape
	// the operands after.
	adjust func(in *x86asm.Inst, d *oracle.Decoded)
	shape  func(in *x86asm.Inst, d *oracle.Decoded)
}

// maxOp is above the largest Op of x86asm, which does not export it. A test
// checks that the names end before it.
const maxOp = 4096

// ops is indexed by x86asm.Op.
var ops []opInfo

func init() { ops = opTable() }

func opTable() []opInfo {
	t := make([]opInfo, maxOp)
	for op := range t {
		t[op].mnemonic = x86asm.Op(op).String()
	}
	for from, to := range synonyms {
		t[from].mnemonic = to
	}
	for _, op := range byteImmediate {
		t[op].immediate = 1
	}
	for _, op := range wordImmediate {
		t[op].immediate = 2
	}
	for op, size := range stringSizes {
		t[op].adjust, t[op].size = stringOperands, size
	}
	for op, size := range memorySizes {
		t[op].memory = size
	}
	for op := range t {
		if n := elementSize(t[op].mnemonic); n != 0 {
			t[op].shape, t[op].size = element, n
		}
	}
	for op, f := range adjustments {
		t[op].adjust = f
	}
	for op, f := range shapes {
		t[op].shape = f
	}
	return t
}

// synonyms are the Ops whose name is not the manual's, or not the one of
// several that the table of instructions uses.
var synonyms = map[x86asm.Op]string{
	x86asm.LCALL: "CALL", // far CALL: the manual does not tell it apart by name
	x86asm.LJMP:  "JMP",
	x86asm.LRET:  "RETF",
	x86asm.ICEBP: "INT1",
	// x86asm tells the vector instructions of two names apart in the name.
	x86asm.MOVSD_XMM:  "MOVSD",
	x86asm.CMPSD_XMM:  "CMPSD",
	x86asm.VPEXTRW_C5: "VPEXTRW",
	// The manual has one name whatever VEX.W.
	x86asm.VPCMPESTRI64: "VPCMPESTRI",
	x86asm.VPCMPESTRM64: "VPCMPESTRM",
	x86asm.VPCMPISTRI64: "VPCMPISTRI",
}

// byteImmediate are the instructions whose immediate is one byte whatever the
// size of the operation: counts, bit numbers, ports, vectors (SDM vol. 2).
var byteImmediate = []x86asm.Op{
	x86asm.ROL, x86asm.ROR, x86asm.RCL, x86asm.RCR, x86asm.SHL, x86asm.SHR, x86asm.SAR, x86asm.SHLD, x86asm.SHRD,
	x86asm.BT, x86asm.BTS, x86asm.BTR, x86asm.BTC, x86asm.IN, x86asm.OUT, x86asm.INT, x86asm.AAM, x86asm.AAD, x86asm.XABORT,
	x86asm.RORX,
}

// wordImmediate are those with a word: the bytes to release.
var wordImmediate = []x86asm.Op{x86asm.RET, x86asm.LRET}

// stringSizes are the string instructions and XLATB with the width in bytes of
// their memory operands. The manual's short form names no operands; the table
// has the memory operands, which prefixes change, and not the registers, which
// they do not. x86asm adds both, the former without a size.
var stringSizes = map[x86asm.Op]uint8{
	x86asm.INSB: 1, x86asm.INSW: 2, x86asm.INSD: 4, x86asm.OUTSB: 1, x86asm.OUTSW: 2, x86asm.OUTSD: 4,
	x86asm.MOVSB: 1, x86asm.MOVSW: 2, x86asm.MOVSD: 4, x86asm.MOVSQ: 8,
	x86asm.CMPSB: 1, x86asm.CMPSW: 2, x86asm.CMPSD: 4, x86asm.CMPSQ: 8,
	x86asm.LODSB: 1, x86asm.LODSW: 2, x86asm.LODSD: 4, x86asm.LODSQ: 8,
	x86asm.STOSB: 1, x86asm.STOSW: 2, x86asm.STOSD: 4, x86asm.STOSQ: 8,
	x86asm.SCASB: 1, x86asm.SCASW: 2, x86asm.SCASD: 4, x86asm.SCASQ: 8,
	x86asm.XLATB: 1,
}

// adjustments are the rules for single instructions.
var adjustments = map[x86asm.Op]func(in *x86asm.Inst, d *oracle.Decoded){
	// INT3 has a row of its own in the manual; x86asm says INT 3 for it, but
	// also for CD 03.
	x86asm.INT: func(in *x86asm.Inst, d *oracle.Decoded) {
		if in.Opcode>>24 == 0xcc {
			d.Mnemonic, in.Args = "INT3", x86asm.Args{}
		}
	},
	// 91 to 97 are XCHG rAX, r in the manual, whose order x86asm turns.
	x86asm.XCHG: func(in *x86asm.Inst, _ *oracle.Decoded) {
		if op := in.Opcode >> 24; op >= 0x90 && op <= 0x97 {
			in.Args[0], in.Args[1] = in.Args[1], in.Args[0]
		}
	},
}

// stringOperands leaves the memory operands of a string instruction. MOVSD and
// CMPSD are vector instructions too, in map 0F.
func stringOperands(in *x86asm.Inst, _ *oracle.Decoded) {
	if in.Opcode>>24 == 0x0f {
		return
	}
	in.MemBytes = int(ops[in.Op].size)
	n := 0
	for i, a := range in.Args {
		in.Args[i] = nil
		if _, ok := a.(x86asm.Mem); ok {
			in.Args[n] = a
			n++
		}
	}
}

func selectorSource(_ *x86asm.Inst, d *oracle.Decoded) {
	if o := &d.Operands[1]; o.Kind == oracle.OperandRegister {
		o.Size = 2
	}
}

// farPointer gives the size of a far pointer with a 64-bit offset, which
// x86asm does not tell.
func farPointer(in *x86asm.Inst, d *oracle.Decoded) {
	for i := range d.NumOperands {
		if o := &d.Operands[i]; o.Kind == oracle.OperandMemory && in.DataSize == 64 {
			o.Size = 10
		}
	}
}

// environment gives the size of the x87 environment, which the operand size
// decides (SDM vol. 1, 8.1.10).
func environment(in *x86asm.Inst, d *oracle.Decoded) {
	d.Operands[0].Size = 28
	if in.DataSize == 16 {
		d.Operands[0].Size = 14
	}
}

// elementSize returns the width in bytes of an element of the instructions that
// access memory by elements (gather, scatter, compress, expand), which is what
// each access moves, or 0. x86asm gives the sum.
func elementSize(mnemonic string) uint8 {
	switch {
	case !strings.HasPrefix(mnemonic, "V"):
		return 0
	case !strings.Contains(mnemonic, "GATHER") && !strings.Contains(mnemonic, "SCATTER") &&
		!strings.Contains(mnemonic, "COMPRESS") && !strings.Contains(mnemonic, "EXPAND"):
		return 0
	case strings.HasSuffix(mnemonic, "PS"):
		return 4
	case strings.HasSuffix(mnemonic, "PD"):
		return 8
	}
	return map[byte]uint8{'B': 1, 'W': 2, 'D': 4, 'Q': 8}[mnemonic[len(mnemonic)-1]]
}

// element gives the memory operand the width of an element.
func element(in *x86asm.Inst, d *oracle.Decoded) {
	for i := range d.NumOperands {
		if o := &d.Operands[i]; o.Kind == oracle.OperandMemory {
			o.Size = ops[in.Op].size
		}
	}
}

// memorySizes are the instructions whose memory operand x86asm gives no size,
// with the one that the manual's syntax has in 64-bit mode (m8, m16&64).
var memorySizes = map[x86asm.Op]uint8{
	x86asm.PREFETCHNTA: 1, x86asm.PREFETCHT0: 1, x86asm.PREFETCHT1: 1, x86asm.PREFETCHT2: 1, x86asm.PREFETCHW: 1,
	x86asm.CLFLUSH: 1, x86asm.INVLPG: 1,
	x86asm.FLD: 10, x86asm.FSTP: 10, x86asm.FBLD: 10, x86asm.FBSTP: 10,
	x86asm.SGDT: 10, x86asm.SIDT: 10, x86asm.LGDT: 10, x86asm.LIDT: 10,
}

// shapes are the rules that need the converted operands.
var shapes = map[x86asm.Op]func(in *x86asm.Inst, d *oracle.Decoded){
	// What is pushed is as wide as the stack's slot: 64 bits, to which the
	// immediate is sign-extended, or 16 with 66 (SDM vol. 2, PUSH).
	x86asm.PUSH: func(in *x86asm.Inst, d *oracle.Decoded) {
		if o := &d.Operands[0]; o.Kind == oracle.OperandImmediate && in.Mode == 64 && in.DataSize != 16 {
			o.Size = 8
		}
	},
	// A segment register is loaded from a word register, whatever the operand
	// size; x86asm names the register by it.
	x86asm.MOV: func(_ *x86asm.Inst, d *oracle.Decoded) {
		if d.Operands[0].Class == x86.ClassSegment && d.Operands[1].Kind == oracle.OperandRegister {
			d.Operands[1].Size = 2
		}
	},
	// A selector is 16 bits wide; x86asm names the source register by the
	// operand size.
	x86asm.LAR:     selectorSource,
	x86asm.LSL:     selectorSource,
	x86asm.FLDENV:  environment,
	x86asm.FNSTENV: environment,
	x86asm.LFS:     farPointer,
	x86asm.LGS:     farPointer,
	x86asm.LSS:     farPointer,
	x86asm.LCALL:   farPointer,
	x86asm.LJMP:    farPointer,
	x86asm.ENTER:   func(_ *x86asm.Inst, d *oracle.Decoded) { d.Operands[0].Size, d.Operands[1].Size = 2, 1 },
}
