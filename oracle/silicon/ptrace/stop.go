package ptrace

import "github.com/seed-4e121ece/ringfence/emulator/x86"

// stop is how the child is made to come back after one instruction.
type stop uint8

const (
	// stopStep sets the trap flag (PTRACE_SINGLESTEP). It needs to know nothing
	// of the instruction.
	stopStep stop = iota
	// stopContinue lets it run into an INT3 behind the instruction, or into a
	// page that cannot be executed. It is for what shows the trap flag (PUSHF),
	// delays the trap by an instruction (MOV SS and POP SS; SDM vol. 3, 6.8.3)
	// or traps after every iteration (REP).
	stopContinue
)

// opcode is what this package knows of an instruction: enough to see those few
// for which the trap flag is not a way to stop, and those whose signal says too
// little.
type opcode struct {
	at    int // index of the opcode byte in the code; prefixes and escapes come before
	value byte
	modrm byte // the byte behind the opcode, 0 if there is none
	sib   byte // and the one behind that
	// escape is the opcode map: 0 for one byte, 0x0f, 0x38, 0x3a; vector for
	// VEX, EVEX and XOP, of which no more is known.
	escape byte
	rep    bool // F2 or F3
	// addrBytes is the address size, 2, 4 or 8: also that of REP's counter.
	addrBytes uint8
	ok        bool // the code is long enough to tell
}

const vector = 0xff

// scan reads prefixes and opcode (SDM vol. 2, 2.1 and 2.2).
func scan(code []byte, mode x86.Mode) (o opcode) {
	long := mode == x86.Long64
	override := false
	next := func() (b byte) {
		if o.at < len(code) {
			return code[o.at]
		}
		return 0
	}
	for o.at < len(code) {
		switch b := code[o.at]; {
		case b == 0xf2 || b == 0xf3:
			o.rep = true
		case b == 0x67:
			override = true
		case b == 0x66, b == 0xf0, b == 0x2e, b == 0x36, b == 0x3e, b == 0x26, b == 0x64, b == 0x65:
		case long && b>>4 == 4: // REX
		default:
			o.opcode(code, long)
			o.value = next()
			o.ok = o.at < len(code)
			if o.at+1 < len(code) {
				o.modrm = code[o.at+1]
			}
			if o.at+2 < len(code) {
				o.sib = code[o.at+2]
			}
			o.addrBytes = addressBytes(mode, override)
			return o
		}
		o.at++
	}
	return o
}

// addressBytes is the address size in a mode, with or without a 67 prefix (SDM
// vol. 1, 3.6).
func addressBytes(mode x86.Mode, override bool) uint8 {
	switch {
	case mode == x86.Long64 && !override:
		return 8
	case mode != x86.Long64 && override != (mode.Width() == 16):
		return 2
	}
	return 4
}

// count cuts a value of RCX to what REP counts with.
func (o *opcode) count(rcx uint64) uint64 { return rcx << (64 - 8*o.addrBytes) >> (64 - 8*o.addrBytes) }

// opcode steps over an escape.
func (o *opcode) opcode(code []byte, long bool) {
	peek := func(i int) byte {
		if o.at+i < len(code) {
			return code[o.at+i]
		}
		return 0
	}
	switch b := peek(0); {
	case b == 0x0f && (peek(1) == 0x38 || peek(1) == 0x3a):
		o.escape = peek(1)
		o.at += 2
	case b == 0x0f:
		o.escape = 0x0f
		o.at++
	case (b == 0xc4 || b == 0xc5 || b == 0x62) && (long || peek(1) >= 0xc0), b == 0x8f && peek(1)&0x1f >= 8:
		o.escape = vector
	}
}

// is says that the instruction has that opcode of the one-byte map.
func (o *opcode) is(value byte) bool { return o.ok && o.escape == 0 && o.value == value }

// entersKernel is true of SYSCALL, SYSENTER and INT 80h.
func (o *opcode) entersKernel() bool {
	return o.escape == 0x0f && (o.value == 0x05 || o.value == 0x34) || o.is(0xcd) && o.modrm == 0x80
}

// isString is true of the instructions that REP repeats.
func (o *opcode) isString() bool {
	return o.ok && o.escape == 0 && (o.value >= 0x6c && o.value <= 0x6f || o.value >= 0xa4 && o.value <= 0xa7 || o.value >= 0xaa && o.value <= 0xaf)
}

// iterates is true of instructions that can be stopped half-way, with RIP where it
// was: REP and, on some CPUs, gathers and scatters (SDM vol. 2, VGATHERDPS). No
// instruction with a VEX or EVEX prefix jumps to itself.
func (o *opcode) iterates() bool { return o.rep && o.isString() || o.ok && o.escape == vector }

// isX87 is true of x87 instructions, WAIT among them.
func (o *opcode) isX87() bool {
	return o.ok && o.escape == 0 && (o.value >= 0xd8 && o.value <= 0xdf || o.value == 0x9b)
}

// loadsFlags is true of POPF and IRET.
func (o *opcode) loadsFlags() bool { return o.is(0x9d) || o.is(0xcf) }

// hidesTrap returns the length of an instruction for which the trap flag is no
// way to stop, or 0 for all the others.
func (o *opcode) hidesTrap(mode x86.Mode) int {
	switch {
	case o.is(0x9c), o.rep && o.isString():
		return o.at + 1
	case o.is(0x17) && mode != x86.Long64:
		return o.at + 1
	case o.is(0x8e) && o.modrm>>3&7 == 2:
		return o.at + 1 + o.operandLength()
	}
	return 0
}

// readsMemory is true of a MOV SS that reads memory.
func (o *opcode) readsMemory() bool { return o.is(0x8e) && o.modrm < 0xc0 }

// operandLength is the length of ModRM, SIB and displacement (SDM vol. 2, tables
// 2-1 to 2-3).
func (o *opcode) operandLength() int {
	mod, rm := o.modrm>>6, o.modrm&7
	switch {
	case mod == 3:
		return 1
	case o.addrBytes == 2 && mod == 0 && rm == 6:
		return 3
	case o.addrBytes == 2:
		return 1 + int(mod)
	}
	n := 1
	if rm == 4 {
		n++
	}
	switch {
	case mod == 1:
		return n + 1
	case mod == 2, rm == 5, rm == 4 && o.sib&7 == 5:
		return n + 4
	}
	return n
}
