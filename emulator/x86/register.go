package x86

// Numbers of the general-purpose registers, as ModRM and REX encode them.
const (
	RAX = iota
	RCX
	RDX
	RBX
	RSP
	RBP
	RSI
	RDI
	R8
	R9
	R10
	R11
	R12
	R13
	R14
	R15
	NumGPR
)

// Values of a base or index field that name no general-purpose register.
const (
	// RegRIP as a base means RIP-relative addressing.
	RegRIP = 0xfe
	// RegNone means that there is no such register.
	RegNone = 0xff
)

// Class tells which register file a register number counts in.
type Class uint8

// The register classes.
const (
	ClassNone Class = iota
	// ClassGPR is RAX…R15 and its low parts (AX, AL, SPL with REX …).
	ClassGPR
	// ClassHigh is AH, CH, DH, BH, numbered 4 to 7 as ModRM encodes them.
	ClassHigh
	ClassSegment
	ClassControl
	ClassDebug
	ClassX87
	ClassMMX
	// ClassVector is XMM, YMM or ZMM by the operand's size.
	ClassVector
	ClassMask
	ClassBound
	ClassTile
)

var gprNames = [4][NumGPR]string{
	{"al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil", "r8b", "r9b", "r10b", "r11b", "r12b", "r13b", "r14b", "r15b"},
	{"ax", "cx", "dx", "bx", "sp", "bp", "si", "di", "r8w", "r9w", "r10w", "r11w", "r12w", "r13w", "r14w", "r15w"},
	{"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "r8d", "r9d", "r10d", "r11d", "r12d", "r13d", "r14d", "r15d"},
	{"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"},
}

var highNames = [4]string{"ah", "ch", "dh", "bh"}

// GPRName returns the lower-case name of the low size bytes (1, 2, 4 or 8) of
// general-purpose register n (0 to 15), or "?" where there is none.
func GPRName(n, size uint8) string {
	if n >= NumGPR {
		return "?"
	}
	switch size {
	case 1:
		return gprNames[0][n]
	case 2:
		return gprNames[1][n]
	case 4:
		return gprNames[2][n]
	case 8:
		return gprNames[3][n]
	}
	return "?"
}

// HighName returns the name of AH, CH, DH or BH, n being 4 to 7.
func HighName(n uint8) string {
	if n < 4 || n > 7 {
		return "?"
	}
	return highNames[n-4]
}
