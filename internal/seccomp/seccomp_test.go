package seccomp

import "testing"

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
		got, err := Run(prog, &Call{Number: c.nr, Arch: c.arch, IP: c.ip})
		if err != nil || got != c.want {
			t.Errorf("%s: got action %#x, %v, want %#x", c.name, got, err, c.want)
		}
		if n := len(Bytes(prog)); n != len(prog)*InstructionSize {
			t.Errorf("%s: %d bytes for %d instructions", c.name, n, len(prog))
		}
	}
	if _, err := (Policy{Text: 1<<32 - 1, TextSize: 2}).Program(); err == nil {
		t.Error("code across a 4 GiB boundary: expected an error")
	}
}

// TestRunRefuses: what no Policy makes is an error.
func TestRunRefuses(t *testing.T) {
	for name, prog := range map[string][]Instruction{
		"no end":               {{Op: opLoad}},
		"jump past the end":    {{Op: opJEQ, JT: 9}, {Op: opRet}},
		"load of half a word":  {{Op: opLoad, K: 2}, {Op: opRet}},
		"load past the call":   {{Op: opLoad, K: 64}, {Op: opRet}},
		"opcode of no meaning": {{Op: 0x99}, {Op: opRet}},
	} {
		if got, err := Run(prog, &Call{}); err == nil {
			t.Errorf("%s: action %#x, expected an error", name, got)
		}
	}
}
