package seccomp

import "testing"

// run interprets the program on one call, as the kernel would.
func run(t *testing.T, prog []Instruction, nr, arch uint32, ip uint64) Action {
	t.Helper()
	var acc uint32
	for pc := 0; pc < len(prog); pc++ {
		in := prog[pc]
		jump := func(yes bool) {
			if yes {
				pc += int(in.JT)
			} else {
				pc += int(in.JF)
			}
		}
		switch in.Op {
		case opLoad:
			acc = map[uint32]uint32{offNumber: nr, offArch: arch, offIPLow: uint32(ip), offIPHigh: uint32(ip >> 32)}[in.K]
		case opJEQ:
			jump(acc == in.K)
		case opJGE:
			jump(acc >= in.K)
		case opRet:
			return Action(in.K)
		default:
			t.Fatalf("instruction %d: unknown opcode %#x", pc, in.Op)
		}
	}
	t.Fatal("the program runs off its end")
	return 0
}

func TestPolicy(t *testing.T) {
	const text = 0x1234_0000_2000
	at := Policy{Calls: []uint32{202, 15, 231}, Text: text, TextSize: 0x1000, Otherwise: Trap}
	top := Policy{Calls: []uint32{202}, Text: 0x1234_ffff_f000, TextSize: 0x1000, Otherwise: Kill}
	open := Policy{Calls: []uint32{0, 1}, Otherwise: Errno | 1}
	for _, c := range []struct {
		name     string
		policy   Policy
		nr, arch uint32
		ip       uint64
		want     Action
	}{
		{"first call, first byte", at, 202, ArchX8664, text, Allow},
		{"last call, last byte", at, 231, ArchX8664, text + 0xfff, Allow},
		{"middle call", at, 15, ArchX8664, text + 8, Allow},
		{"other call", at, 1, ArchX8664, text + 8, Trap},
		{"before the code", at, 202, ArchX8664, text - 1, Trap},
		{"after the code", at, 202, ArchX8664, text + 0x1000, Trap},
		{"same low half elsewhere", at, 202, ArchX8664, text + 1<<32, Trap},
		{"same number, INT 80h", at, 202, 0x40000003, text, Trap},
		{"x32", at, 202 | 1<<30, ArchX8664, text, Trap},
		{"end of the 4 GiB", top, 202, ArchX8664, 0x1234_ffff_ffff, Allow},
		{"start of the next", top, 202, ArchX8664, 0x1235_0000_0000, Kill},
		{"anywhere", open, 1, ArchX8664, 7, Allow},
		{"anywhere, other call", open, 2, ArchX8664, 7, Errno | 1},
	} {
		prog, err := c.policy.Program()
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := run(t, prog, c.nr, c.arch, c.ip); got != c.want {
			t.Errorf("%s: got action %#x, want %#x", c.name, got, c.want)
		}
		if n := len(Bytes(prog)); n != len(prog)*InstructionSize {
			t.Errorf("%s: %d bytes for %d instructions", c.name, n, len(prog))
		}
	}
	if _, err := (Policy{Text: 1<<32 - 1, TextSize: 2}).Program(); err == nil {
		t.Error("code across a 4 GiB boundary: expected an error")
	}
}
