package silicon

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

func known32() []known {
	m := func(addr uint64) string { return fmt.Sprintf("@%x", addr) }
	return []known{
		{name: "inc eax, not a REX", code: "40", in: set{"rax": 10}, want: set{"rax": 11}, length: 1},
		{name: "add carries", code: "01d8", in: set{"rax": 0xffffffff, "rbx": 1}, want: set{"rax": 0, "flags": 0x55}, length: 2, mask: status},
		{name: "load", code: "8b03", in: set{"rbx": middle, m(middle): 0x1122334455667788}, want: set{"rax": 0x55667788}, length: 2},
		{name: "16-bit addressing reaches the first 64 KiB", code: "678b07", in: set{"rbx": middle}, event: fmt.Sprintf("#PF(0x4) at %#x", middle&0xffff)},
		{name: "addresses wrap at 4 GiB", code: "8b83" + "00000080", in: set{"rbx": middle + 1<<31, m(middle): 5}, want: set{"rax": 5}, length: 6},
		{name: "moffs32", code: "a1" + "00100020", in: set{m(middle): 6}, want: set{"rax": 6}, length: 5},
		{name: "push", code: "50", in: set{"rax": 5}, want: set{"rsp": stack + page - 4, m(stack + page - 8): 5 << 32}, length: 1},
		{name: "push ds", code: "1e", want: set{"rsp": stack + page - 4, m(stack + page - 8): 0x2b << 32}, length: 1},
		{name: "pop es", code: "07", in: set{m(stack + page): 0x2b}, want: set{"rsp": stack + page + 4}, length: 1},
		{name: "pop ss", code: "17", in: set{m(stack + page): 0x2b}, want: set{"rsp": stack + page + 4}, length: 1},
		{
			name: "pusha", code: "60", in: set{"rax": 1, "rcx": 2, "rdx": 3, "rbx": 4, "rbp": 6, "rsi": 7, "rdi": 8},
			want: set{
				"rsp": stack + page - 32, m(stack + page - 8): 1<<32 | 2, m(stack + page - 16): 3<<32 | 4,
				m(stack + page - 24): (stack+page)<<32 | 6, m(stack + page - 32): 7<<32 | 8,
			}, length: 1,
		},
		{name: "aaa", code: "37", in: set{"rax": 0xf, "flags": 0x10}, want: set{"rax": 0x105, "flags": 0x11}, length: 1, mask: 0x11},
		{name: "salc", code: "d6", in: set{"flags": 1}, want: set{"rax": 0xff}, length: 1},
		{name: "into, no overflow", code: "ce", length: 1},
		{name: "into", code: "ce", in: set{"flags": 0x800}, want: set{"rip": code + 1}, event: "#OF"},
		{name: "bound", code: "6203", in: set{"rbx": middle, "rax": 9, m(middle): 8 << 32}, event: "#BR"},
		{name: "bound within", code: "6203", in: set{"rbx": middle, "rax": 8, m(middle): 8 << 32}, length: 2},
		{name: "arpl", code: "63d8", in: set{"rax": 0x2b, "rbx": 3}, length: 2},
		{name: "les", code: "c403", in: set{"rbx": middle, m(middle): 0x2b_1234_5678}, want: set{"rax": 0x12345678}, length: 2},
		{name: "lds, null", code: "c503", in: set{"rbx": middle, m(middle): 0x1234_5678}, want: set{"rax": 0x12345678, "ds": 0}, length: 2},
		{name: "vex", code: "c4e37bf0c308", in: set{"rbx": 0x12345678}, want: set{"rax": 0x78123456}, length: 6},
		{name: "jmp", code: "eb10", want: set{"rip": code + 0x12}},
		{name: "jmp, 16-bit", code: "66e91000", want: set{"rip": 0x14}},
		{name: "call", code: "e8fb0f0000", want: set{"rip": code + 0x1000, "rsp": stack + page - 4, m(stack + page - 8): (code + 5) << 32}},
		{name: "ret", code: "c3", in: set{m(stack + page): code + 0x234}, want: set{"rip": code + 0x234, "rsp": stack + page + 4}},
		{name: "jmp register to data", code: "ffe3", in: set{"rbx": data}, want: set{"rip": data}},
		{name: "jmp to self", code: "ebfe", want: set{"rip": code}},
		{name: "jmp into itself, by memory at an address without a register", code: "ff25" + "00100020", in: set{m(middle): code + 2}, want: set{"rip": code + 2}},
		{name: "jmp far", code: "ea" + "40000010" + "2300", want: set{"rip": code + 0x40}},
		{name: "jmp far to 64-bit code", code: "ea" + "40000010" + "3300", want: set{"rip": code + 0x40, "cs": 0x33}},
		{name: "call far", code: "9a" + "40000010" + "2300", want: set{"rip": code + 0x40, "rsp": stack + page - 8, m(stack + page - 8): 0x23_0000_0000 + code + 7}},
		{name: "retf", code: "cb", in: set{m(stack + page): 0x23_0000_0000 + code + 0x55}, want: set{"rip": code + 0x55, "rsp": stack + page + 8}},
		{name: "iret", code: "cf", in: set{m(stack + page): 0x23_0000_0000 + code + 0x55, m(stack + page + 8): 0x246}, want: set{"rip": code + 0x55, "rsp": stack + page + 12, "flags": 0x44}, mask: status},
		{name: "pushf", code: "9c", in: set{"flags": 0xcd5}, want: set{"rsp": stack + page - 4, m(stack + page - 8): 0xed7 << 32, "flags": 0xcd5}, length: 1, mask: 0xcd5},
		{name: "popf sets TF", code: "9d", in: set{m(stack + page): 0x302}, want: set{"rsp": stack + page + 4, "flags": 0x100}, length: 1, mask: 0x244dd5},
		{name: "TF in the case", code: "90", in: set{"flags": 0x100}, want: set{"flags": 0x100}, length: 1, mask: 0x100},
		{name: "rep movsb", code: "f3a4", in: set{"rcx": 8, "rsi": middle, "rdi": middle - 8, m(middle): 0x0102030405060708}, want: set{"rcx": 0, "rsi": middle + 8, "rdi": middle, m(middle - 8): 0x0102030405060708}, length: 2},
		{name: "fs base", code: "648b03", in: set{"rbx": 8, "fs": 0x2b, "fsbase": middle - 8, m(middle): 77}, want: set{"rax": 77}, length: 3},
		{name: "null fs", code: "648b03", in: set{"rbx": middle}, event: "#GP(0x0)"},
		{name: "trailing bytes", code: "01d801d8", in: set{"rax": 1, "rbx": 2}, want: set{"rax": 3}, length: 2},
		{name: "at the end of the code", code: "01d8", in: set{"rip": code + 2*page - 2, "rax": 1, "rbx": 2}, want: set{"rax": 3}, length: 2},
		{name: "off the end of the code", code: "81c0", in: set{"rip": code + 2*page - 2}, event: fmt.Sprintf("#PF(0x14) at %#x", code+2*page)},
		{name: "#DE", code: "f7f1", in: set{"rax": 1}, event: "#DE"},
		{name: "int1", code: "f1", want: set{"rip": code + 1}, event: "#DB"},
		{name: "int3", code: "cc", want: set{"rip": code + 1}, event: "#BP"},
		{name: "int 2e", code: "cd2e", event: "#GP(0x172)"},
		{name: "#UD", code: "0f0b", event: "#UD"},
		{name: "#GP, selector", code: "8ed8", in: set{"rax": 0x1230}, event: "#GP(0x1230)"},
		{name: "#GP, empty descriptor", code: "8ed8", in: set{"rax": 0x0f}, event: "#GP(0xc)"},
		{name: "#PF, write to code", code: "8903", in: set{"rbx": code + 0x800}, event: fmt.Sprintf("#PF(0x7) at %#x", code+0x800)},
		{name: "#AC", code: "8b03", in: set{"rbx": middle + 1, "flags": 1 << 18}, want: set{"flags": 1 << 18}, mask: 1 << 18, event: "#AC(0x0)"},
		{name: "int 80", code: "cd80", ending: oracle.SystemCall},
		{name: "rdtsc", code: "0f31", ending: oracle.Quarantined},
		{name: "stray store", code: "8903", in: set{"rbx": data + 0x400, "rax": 7}, length: 2, strays: []oracle.StrayWord{{Address: data + 0x400, Value: 7}}},
	}
}

func known16() []known {
	m := func(addr uint64) string { return fmt.Sprintf("@%x", addr) }
	return []known{
		{name: "inc ax", code: "40", in: set{"rax": 0x1ffff}, want: set{"rax": 0x10000}, length: 1},
		{name: "inc eax", code: "6640", in: set{"rax": 0xffff}, want: set{"rax": 0x10000}, length: 2},
		{name: "moffs16", code: "a10010", in: set{m(middle): 0xa549}, want: set{"rax": 0xa549}, length: 3},
		{name: "bx+si", code: "8b00", in: set{"rbx": 0x0f00, "rsi": 0x100, m(middle): 0xa549}, want: set{"rax": 0xa549}, length: 2},
		{name: "bp is of the stack", code: "8b4600", in: set{"rbp": page, m(stack + page): 7}, want: set{"rax": 7}, length: 3},
		{name: "offsets wrap at 64 KiB", code: "8b40f0", in: set{"rbx": 0xf000, "rsi": 0x2010, m(middle): 3}, want: set{"rax": 3}, length: 3},
		{name: "32-bit address beyond the limit", code: "678b03", in: set{"rbx": 0x10000}, event: "#GP(0x0)"},
		{name: "cs override", code: "2e8b07", in: set{"rbx": 0x800}, want: set{"rax": 0xcccc}, length: 3},
		{name: "push", code: "50", in: set{"rax": 5}, want: set{"rsp": page - 2, m(stack + page - 8): 5 << 48}, length: 1},
		{name: "push, upper half of esp", code: "50", in: set{"rax": 5, "rsp": 0x7fff0000 + page}, want: set{"rsp": 0x7fff0000 + page - 2, m(stack + page - 8): 5 << 48}, length: 1},
		{name: "#SS", code: "6650", in: set{"rsp": 2}, event: "#SS(0x0)"},
		{name: "pusha", code: "60", in: set{"rax": 1, "rcx": 2, "rdx": 3, "rbx": 4, "rbp": 6, "rsi": 7, "rdi": 8}, want: set{"rsp": page - 16, m(stack + page - 8): 1<<48 | 2<<32 | 3<<16 | 4, m(stack + page - 16): 0x1000<<48 | 6<<32 | 7<<16 | 8}, length: 1},
		{name: "jmp", code: "eb10", want: set{"rip": 0x12}},
		{name: "jmp backwards", code: "e90010", want: set{"rip": 0x1003}},
		{name: "jmp to self", code: "ebfe", want: set{"rip": 0}},
		{name: "jmp beyond the pages", code: "e90080", want: set{"rip": 0x8003}},
		{name: "jmp beyond the limit", code: "66e900000100", event: "#GP(0x0)"},
		{name: "call", code: "e8fd0f", want: set{"rip": 0x1000, "rsp": page - 2, m(stack + page - 8): 3 << 48}},
		{name: "ret", code: "c3", in: set{m(stack + page): 0x234}, want: set{"rip": 0x234, "rsp": page + 2}},
		{name: "jmp register", code: "ffe3", in: set{"rbx": 0x40}, want: set{"rip": 0x40}},
		{name: "jmp memory", code: "ff27", in: set{"rbx": 0x1000, m(middle): 0x45}, want: set{"rip": 0x45}},
		{name: "jmp far", code: "ea40000700", want: set{"rip": 0x40}},
		{name: "loop", code: "e2fe", in: set{"rcx": 3}, want: set{"rip": 0, "rcx": 2}},
		{name: "rep stosb", code: "f3aa", in: set{"rcx": 8, "rdi": 0x1000, "rax": 0x11}, want: set{"rcx": 0, "rdi": 0x1008, m(middle): 0x1111111111111111}, length: 2},
		{name: "mov ds", code: "8ed8", in: set{"rax": 0x2b}, want: set{"ds": 0x2b}, length: 2},
		{name: "null fs", code: "648b07", event: "#GP(0x0)"},
		{name: "enter", code: "c8080000", in: set{"rbp": 0x1234}, want: set{"rbp": page - 2, "rsp": page - 10, m(stack + page - 8): 0x1234 << 48}, length: 4},
		{name: "popf sets TF", code: "9d", in: set{m(stack + page): 0x302}, want: set{"rsp": page + 2, "flags": 0x100}, length: 1, mask: 0x4dd5},
		{name: "TF in the case", code: "90", in: set{"flags": 0x100}, want: set{"flags": 0x100}, length: 1, mask: 0x100},
		{name: "at the end of the code", code: "01d8", in: set{"rip": 2*page - 2, "rax": 1, "rbx": 2}, want: set{"rax": 3}, length: 2},
		{name: "off the end of the code", code: "81c0", in: set{"rip": 2*page - 2}, event: fmt.Sprintf("#PF(0x14) at %#x", code+2*page)},
		{name: "int3", code: "cc", want: set{"rip": 1}, event: "#BP"},
		{name: "into", code: "ce", in: set{"flags": 0x800}, want: set{"rip": 1}, event: "#OF"},
		{name: "#UD", code: "0f0b", event: "#UD"},
		{name: "#DE", code: "f7f1", in: set{"rax": 1}, event: "#DE"},
		{name: "int 80", code: "cd80", ending: oracle.SystemCall},
		{name: "cpuid", code: "0fa2", ending: oracle.Quarantined},
	}
}

func TestKnownCompat(t *testing.T) {
	e := newExecutor(t)
	for m, list := range map[x86.Mode][]known{x86.Compat32: known32(), x86.Compat16: known16()} {
		for _, k := range list {
			t.Run(m.String()+"/"+strings.ReplaceAll(k.name, " ", "_"), func(t *testing.T) {
				c := NewCaseIn(m, fromHex(t, k.code))
				apply(t, &c, k.in)
				k.check(t, &c, runOne(t, e, &c))
			})
		}
	}
	assert.Zero(t, e.Respawns(), "a child died")
}

// TestModesMixed runs the tables of all modes in one batch, twice: a case is
// the same alone and among others.
func TestModesMixed(t *testing.T) {
	e := newExecutor(t)
	var cases []oracle.Case
	for m, list := range map[x86.Mode][]known{x86.Long64: knownCases(), x86.Compat32: known32(), x86.Compat16: known16()} {
		for _, k := range list {
			c := NewCaseIn(m, fromHex(t, k.code))
			apply(t, &c, k.in)
			cases = append(cases, c)
		}
	}
	var mixed []oracle.Case
	for i := range cases {
		mixed = append(mixed, cases[i*61%len(cases)])
	}
	results := make([]oracle.Result, len(mixed))
	for range 2 {
		require.NoError(t, e.Run(mixed, results))
		for i := range mixed {
			alone := runOne(t, e, &mixed[i])
			require.Equal(t, describe(alone), describe(&results[i]), "% x", mixed[i].CodeBytes())
		}
	}
	assert.Zero(t, e.Respawns())
}
