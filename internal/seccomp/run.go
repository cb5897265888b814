package seccomp

import "fmt"

// Call is a system call as a filter sees it: struct seccomp_data of
// <linux/seccomp.h>.
type Call struct {
	Number, Arch uint32
	IP           uint64
	Args         [6]uint64
}

// word is the 32-bit word at an offset of the structure.
func (c *Call) word(offset uint32) (uint32, bool) {
	var v uint64
	switch {
	case offset%4 != 0 || offset >= offArgs+8*6:
		return 0, false
	case offset == offNumber:
		return c.Number, true
	case offset == offArch:
		return c.Arch, true
	case offset < offArgs:
		v = c.IP
	default:
		v = c.Args[(offset-offArgs)/8]
	}
	return uint32(v >> (offset % 8 * 8)), true
}

// Run interprets a program on one call, as the kernel would: a filter can so be
// asked about calls that nobody makes. An error names an instruction that no
// Policy makes.
func Run(prog []Instruction, c *Call) (Action, error) {
	var acc uint32
	for pc := 0; pc < len(prog); pc++ {
		in := prog[pc]
		taken := in.JF
		switch in.Op {
		case opLoad:
			v, ok := c.word(in.K)
			if !ok {
				return 0, fmt.Errorf("seccomp: instruction %d loads from offset %d, expected a word of the call", pc, in.K)
			}
			acc, taken = v, 0
		case opAnd:
			acc, taken = acc&in.K, 0
		case opJEQ:
			if acc == in.K {
				taken = in.JT
			}
		case opJGE:
			if acc >= in.K {
				taken = in.JT
			}
		case opRet:
			return Action(in.K), nil
		default:
			return 0, fmt.Errorf("seccomp: instruction %d has opcode %#x, which is unknown", pc, in.Op)
		}
		pc += int(taken)
	}
	return 0, fmt.Errorf("seccomp: the program of %d instructions runs off its end", len(prog))
}
