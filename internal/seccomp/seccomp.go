// Package seccomp builds classic BPF programs for the system call filter of
// Linux (seccomp(2), SECCOMP_SET_MODE_FILTER). It only makes the bytes: who
// installs them, and where, is the caller's business. It builds anywhere.
package seccomp

import (
	"encoding/binary"
	"fmt"
)

// Action is what the kernel does with a system call: a SECCOMP_RET_* value of
// <linux/seccomp.h>.
type Action uint32

// The actions that are used here.
const (
	Kill  Action = 0x80000000 // SECCOMP_RET_KILL_PROCESS
	Trap  Action = 0x00030000 // SECCOMP_RET_TRAP: SIGSYS, the call is not made
	Errno Action = 0x00050000 // SECCOMP_RET_ERRNO: or the errno into the low 16 bits
	Allow Action = 0x7fff0000 // SECCOMP_RET_ALLOW
)

// ArchX8664 is AUDIT_ARCH_X86_64 of <linux/audit.h>. A call through INT 80h shows
// AUDIT_ARCH_I386 instead; an x32 call has bit 30 set in its number.
const ArchX8664 = 0xc000003e

// Offsets in struct seccomp_data of <linux/seccomp.h>; little-endian.
const (
	offNumber = 0
	offArch   = 4
	offIPLow  = 8
	offIPHigh = 12
	offArgs   = 16 // of eight bytes each
)

// Opcodes of classic BPF, <linux/bpf_common.h>.
const (
	opLoad = 0x20 // BPF_LD | BPF_W | BPF_ABS
	opAnd  = 0x54 // BPF_ALU | BPF_AND | BPF_K
	opJEQ  = 0x15 // BPF_JMP | BPF_JEQ | BPF_K
	opJGE  = 0x35 // BPF_JMP | BPF_JGE | BPF_K
	opRet  = 0x06 // BPF_RET | BPF_K
)

// Instruction is one struct sock_filter of <linux/filter.h>.
type Instruction struct {
	Op     uint16
	JT, JF uint8
	K      uint32
}

// InstructionSize is the size of a struct sock_filter in bytes.
const InstructionSize = 8

// Policy allows a list of calls, and only from one stretch of code if Text says
// so; everything else, other architectures included, gets Otherwise.
type Policy struct {
	Calls     []uint32 // system call numbers of x86-64
	Args      []Arg    // further calls, with conditions
	Text      uint64   // start of the code that may call; 0 means any
	TextSize  uint32   // its length; the stretch must not cross a 4 GiB boundary
	Otherwise Action
}

// Arg allows a call if the low 32 bits of one of its arguments (0 to 5), with
// the bits of Ignore cleared, are one of Values.
type Arg struct {
	Call     uint32
	Argument int
	Ignore   uint32
	Values   []uint32
}

// block is what follows the load of the number for a call with a condition.
func (a *Arg) block() []Instruction {
	b := []Instruction{
		{Op: opJEQ, JF: uint8(len(a.Values) + 3), K: a.Call},
		{Op: opLoad, K: uint32(offArgs + 8*a.Argument)},
		{Op: opAnd, K: ^a.Ignore},
	}
	for _, v := range a.Values {
		b = append(b, Instruction{Op: opJEQ, JT: allow, K: v})
	}
	return append(b, Instruction{Op: opJEQ, JT: refuse, JF: refuse})
}

// Jumps to the ends of the program, which are patched once their places are
// known.
const refuse, allow = 0xff, 0xfe

// Program compiles the policy.
func (p Policy) Program() ([]Instruction, error) {
	n := len(p.Calls)
	for _, a := range p.Args {
		if a.Argument < 0 || a.Argument > 5 {
			return nil, fmt.Errorf("seccomp: argument %d of call %d, expected 0 to 5", a.Argument, a.Call)
		}
		n += len(a.Values) + 4
	}
	if n > 64 {
		return nil, fmt.Errorf("seccomp: %d calls and conditions, expected at most 64", n)
	}
	low := uint64(uint32(p.Text))
	if p.Text != 0 && low+uint64(p.TextSize) > 1<<32 {
		return nil, fmt.Errorf("seccomp: code at %#x, %#x bytes, crosses a 4 GiB boundary", p.Text, p.TextSize)
	}
	prog := []Instruction{
		{Op: opLoad, K: offArch},
		{Op: opJEQ, JF: refuse, K: ArchX8664},
	}
	if p.Text != 0 {
		prog = append(prog,
			Instruction{Op: opLoad, K: offIPHigh},
			Instruction{Op: opJEQ, JF: refuse, K: uint32(p.Text >> 32)},
			Instruction{Op: opLoad, K: offIPLow},
			Instruction{Op: opJGE, JF: refuse, K: uint32(low)},
		)
		if end := low + uint64(p.TextSize); end < 1<<32 {
			prog = append(prog, Instruction{Op: opJGE, JT: refuse, K: uint32(end)})
		}
	}
	prog = append(prog, Instruction{Op: opLoad, K: offNumber})
	for _, nr := range p.Calls {
		prog = append(prog, Instruction{Op: opJEQ, JT: allow, K: nr})
	}
	for i := range p.Args {
		prog = append(prog, p.Args[i].block()...)
	}
	atRefuse := len(prog)
	prog = append(prog,
		Instruction{Op: opRet, K: uint32(p.Otherwise)},
		Instruction{Op: opRet, K: uint32(Allow)},
	)
	for i := range prog[:atRefuse] {
		prog[i].JT = resolve(prog[i].JT, i, atRefuse)
		prog[i].JF = resolve(prog[i].JF, i, atRefuse)
	}
	return prog, nil
}

func resolve(jump uint8, at, end int) uint8 {
	switch jump {
	case refuse:
		return uint8(end - at - 1)
	case allow:
		return uint8(end - at)
	}
	return jump
}

// Bytes is the program as the kernel reads it on a little-endian machine.
func Bytes(prog []Instruction) []byte {
	out := make([]byte, 0, len(prog)*InstructionSize)
	for _, in := range prog {
		out = binary.LittleEndian.AppendUint16(out, in.Op)
		out = append(out, in.JT, in.JF)
		out = binary.LittleEndian.AppendUint32(out, in.K)
	}
	return out
}
