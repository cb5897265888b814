package silicon

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

const (
	code   = oracle.CodeBase
	data   = oracle.DataBase
	stack  = oracle.StackBase
	ro     = oracle.ReadOnlyBase
	page   = oracle.PageSize
	middle = data + page // in the middle of the first window
)

// set is a list of words to set or to expect: registers by name, memory
// quadwords by "@" and the address.
type set map[string]uint64

var registers = []string{"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"}

func apply(t *testing.T, c *oracle.Case, in set) {
	for name, v := range in {
		var addr uint64
		switch {
		case name == "rip":
			c.State.RIP = v
		case name == "flags":
			c.State.RFLAGS = v | 0x202
		case name == "fsbase":
			c.FSBase = v
		case name == "gsbase":
			c.GSBase = v
		case name == "cs":
			c.State.Selector[x86.CS] = uint16(v)
		case name == "fs":
			c.State.Selector[x86.FS] = uint16(v)
		case name == "ds":
			c.State.Selector[x86.DS] = uint16(v)
		case name[0] == '@':
			_, err := fmt.Sscanf(name, "@%x", &addr)
			require.NoError(t, err)
			binary.LittleEndian.PutUint64(c.Memory[offset(t, c.Layout, addr):], v)
		default:
			i := indexOf(name)
			require.GreaterOrEqual(t, i, 0, name)
			c.State.GPR[i] = v
		}
	}
}

func indexOf(name string) int {
	for i, n := range registers {
		if n == name {
			return i
		}
	}
	return -1
}

// known is a case with a known result. Registers and memory that want does not
// name are as before; rip is length after the start unless want names it; flags
// are compared under mask.
type known struct {
	name   string
	code   string
	in     set
	want   set
	length uint64
	mask   uint64 // flags to compare; want["flags"]
	event  string // of a fault or trap: String of the event
	strays []oracle.StrayWord
	ending oracle.Ending
	vendor string // the result is this vendor's only
}

const status = uint64(x86.FlagsStatus)

func knownCases() []known {
	m := func(addr uint64) string { return fmt.Sprintf("@%x", addr) }
	return []known{
		{name: "add", code: "4801d8", in: set{"rax": 1, "rbx": 2}, want: set{"rax": 3, "flags": 0x04}, length: 3, mask: status},
		{name: "add carries", code: "01d8", in: set{"rax": 0xffffffff, "rbx": 1}, want: set{"rax": 0, "flags": 0x55}, length: 2, mask: status},
		{name: "mov rip-relative, no memory there", code: "488b0500000000", length: 7, in: set{"rax": 9}, want: set{"rax": 0xcccccccccccccccc}},
		{name: "load", code: "488b03", in: set{"rbx": middle, m(middle): 0x1122334455667788}, want: set{"rax": 0x1122334455667788}, length: 3},
		{
			name: "load across pages", code: "488b03", in: set{"rbx": middle - 3, m(middle - 8): 0x1122334455667788, m(middle): 0xa1a2a3a4a5a6a7a8},
			want: set{"rax": 0xa4a5a6a7a8112233}, length: 3,
		},
		{
			name: "store across pages", code: "488903", in: set{"rbx": middle - 4, "rax": 0x1122334455667788},
			want: set{m(middle - 8): 0x5566778800000000, m(middle): 0x11223344}, length: 3,
		},
		{
			name: "stray store", code: "488903", in: set{"rbx": data + 0x400, "rax": 7}, length: 3,
			strays: []oracle.StrayWord{{Address: data + 0x400, Value: 7}},
		},
		{
			name: "stray store to the stack", code: "668903", in: set{"rbx": stack + 0x13, "rax": 0xabcd}, length: 3,
			strays: []oracle.StrayWord{{Address: stack + 0x10, Value: 0xabcd << 24}},
		},
		{name: "push", code: "50", in: set{"rax": 5, "rsp": stack + page}, want: set{"rsp": stack + page - 8, m(stack + page - 8): 5}, length: 1},
		{name: "push rsp", code: "54", in: set{"rsp": stack + page}, want: set{"rsp": stack + page - 8, m(stack + page - 8): stack + page}, length: 1},
		{name: "push at the bottom", code: "50", in: set{"rsp": stack}, event: fmt.Sprintf("#PF(0x6) at %#x", stack-8)},
		{name: "push half below the bottom", code: "50", in: set{"rsp": stack + 4}, event: fmt.Sprintf("#PF(0x6) at %#x", stack-4)},
		{name: "pushf", code: "9c", in: set{"rsp": stack + page, "flags": 0xcd5}, want: set{"rsp": stack + page - 8, m(stack + page - 8): 0xed7, "flags": 0xcd5}, length: 1, mask: 0xcd5},
		{name: "popf", code: "9d", in: set{"rsp": stack + page, m(stack + page): 0x244ed7 &^ 0x100}, want: set{"rsp": stack + page + 8, "flags": 0x244cd5}, length: 1, mask: 0x244dd5},
		{name: "popf sets TF", code: "9d", in: set{"rsp": stack + page, m(stack + page): 0x302}, want: set{"rsp": stack + page + 8, "flags": 0x100}, length: 1, mask: 0x244dd5},
		{name: "NT, ID and DF go in and out", code: "90", in: set{"flags": 0x204400}, want: set{"flags": 0x204400}, length: 1, mask: 0x244dd5},
		{name: "TF in the case", code: "90", in: set{"flags": 0x100}, want: set{"flags": 0x100}, length: 1, mask: 0x100},
		{name: "xlat at the code", code: "d7", in: set{"rbx": code, "rax": 0x80}, want: set{"rax": 0xcc}, length: 1},
		{name: "the pad is never seen", code: "488b4303", in: set{"rbx": code + 1}, want: set{"rax": 0xcccccccccccccccc}, length: 4},
		{name: "fs base", code: "64488b03", in: set{"rbx": 8, "fsbase": middle - 8, m(middle): 77}, want: set{"rax": 77}, length: 4},
		{name: "gs base", code: "65488b03", in: set{"rbx": 8, "gsbase": middle - 8, m(middle): 78}, want: set{"rax": 78}, length: 4},
		{name: "wrfsbase", code: "f3480faed0", in: set{"rax": 0x123456789abc}, want: set{"fsbase": 0x123456789abc}, length: 5},
		{name: "mov ds", code: "8ed8", in: set{"rax": 0x2b}, want: set{"ds": 0x2b}, length: 2},
		{
			name: "rep movsb", code: "f3a4", in: set{"rcx": 8, "rsi": middle, "rdi": middle - 8, m(middle): 0x0102030405060708},
			want: set{"rcx": 0, "rsi": middle + 8, "rdi": middle, m(middle - 8): 0x0102030405060708}, length: 2,
		},
		{
			name: "rep stosb into the void", code: "f3aa", in: set{"rcx": 16, "rdi": data + 2*page - 8, "rax": 0x11},
			want: set{"rcx": 8, "rdi": data + 2*page, m(data + 2*page - 8): 0x1111111111111111}, event: fmt.Sprintf("#PF(0x6) at %#x", data+2*page),
		},
		{name: "jmp", code: "eb10", want: set{"rip": code + 0x12}},
		{name: "jmp to self", code: "ebfe", want: set{"rip": code}},
		{name: "jmp into self", code: "ebff", want: set{"rip": code + 1}},
		{name: "jmp back", code: "ebf0", in: set{"rip": code + 0x100}, want: set{"rip": code + 0xf2}},
		{name: "jmp out of the pages", code: "e900000100", want: set{"rip": code + 0x10005}},
		{name: "jmp register to data", code: "ffe3", in: set{"rbx": data}, want: set{"rip": data}},
		{name: "jmp register to self", code: "ffe3", in: set{"rbx": code}, want: set{"rip": code}},
		{name: "jmp memory to self", code: "ff23", in: set{"rbx": middle, m(middle): code + 1}, want: set{"rip": code + 1}},
		{name: "jmp register to zero", code: "ffe3", want: set{"rip": 0}},
		{name: "jz taken", code: "7440", in: set{"flags": 0x40}, want: set{"rip": code + 0x42}},
		{name: "jz not taken", code: "7440", length: 2},
		{name: "call", code: "e8fb0f0000", in: set{"rsp": stack + page}, want: set{"rip": code + 0x1000, "rsp": stack + page - 8, m(stack + page - 8): code + 5}},
		{name: "ret", code: "c3", in: set{"rsp": stack + page, m(stack + page): code + 0x234}, want: set{"rip": code + 0x234, "rsp": stack + page + 8}},
		{name: "ret to itself", code: "c3", in: set{"rsp": stack + page, m(stack + page): code}, want: set{"rip": code, "rsp": stack + page + 8}},
		{name: "loop to self", code: "e2fe", in: set{"rcx": 3}, want: set{"rip": code, "rcx": 2}},
		{name: "at the end of a page", code: "4801d8", in: set{"rip": code + page - 1, "rax": 1, "rbx": 2}, want: set{"rax": 3}, length: 3},
		{name: "at the end of the code", code: "4801d8", in: set{"rip": code + 2*page - 3, "rax": 1, "rbx": 2}, want: set{"rax": 3}, length: 3},
		{name: "near the end of the code", code: "4801d8", in: set{"rip": code + 2*page - 8, "rax": 1, "rbx": 2}, want: set{"rax": 3}, length: 3},
		{name: "off the end of the code", code: "4801d8", in: set{"rip": code + 2*page - 2}, event: fmt.Sprintf("#PF(0x14) at %#x", code+2*page)},
		{name: "short code runs into the fill", code: "b8", want: set{"rax": 0xcccccccc}, length: 5},
		{name: "trailing bytes", code: "4801d84801d8", in: set{"rax": 1, "rbx": 2}, want: set{"rax": 3}, length: 3},
		{name: "unknown to the table, trailing bytes", code: "0f0490", event: "#UD"},
		{name: "lock", code: "f0480fc103", in: set{"rax": 3, "rbx": middle, m(middle): 4}, want: set{"rax": 4, m(middle): 7}, length: 5},
		{name: "rorx", code: "c4e37bf0c308", in: set{"rbx": 0x12345678}, want: set{"rax": 0x78123456}, length: 6},

		{name: "#DE", code: "f7f1", in: set{"rax": 1}, event: "#DE"},
		{name: "int1", code: "f1", want: set{"rip": code + 1}, event: "#DB"},
		{name: "int3", code: "cc", want: set{"rip": code + 1}, event: "#BP"},
		{name: "int 3", code: "cd03", want: set{"rip": code + 2}, event: "INT 0x3"},
		{name: "prefixed int3", code: "f3cc", want: set{"rip": code + 2}, event: "#BP"},
		{name: "int 4", code: "cd04", want: set{"rip": code + 2}, event: "INT 0x4"},
		{name: "int 2e", code: "cd2e", event: "#GP(0x172)"},
		{name: "#UD", code: "0f0b", event: "#UD"},
		{name: "#UD, invalid in 64-bit mode", code: "06", event: "#UD"},
		{name: "#UD, lock", code: "f04801d8", event: "#UD"},
		{name: "#GP, privileged", code: "f4", event: "#GP(0x0)"},
		{name: "#GP, not canonical", code: "488b03", in: set{"rbx": 1 << 63}, event: "#GP(0x0)"},
		{name: "#GP, selector", code: "8ed8", in: set{"rax": 0x1230}, event: "#GP(0x1230)"},
		{name: "#GP, too long", code: "66666666666666666666666666666601", event: "#GP(0x0)"},
		{name: "#GP, jmp to an address that is not canonical", code: "ffe3", in: set{"rbx": 1 << 63}, event: "#GP(0x0)"},
		{name: "#GP, call the like: the push has happened", code: "ffd3", in: set{"rbx": 1 << 63}, want: set{m(stack + page - 8): code + 2}, event: "#GP(0x0)", vendor: "GenuineIntel"},
		{name: "#GP, ret to the like", code: "c3", in: set{m(stack + page): 1 << 63}, event: "#GP(0x0)"},
		{name: "jmp to the kernel's half", code: "ffe3", in: set{"rbx": 0xffff800000000000}, want: set{"rip": 0xffff800000000000}},
		{name: "jmp with an operand-size prefix, Intel", code: "66eb10", length: 0x13, vendor: "GenuineIntel"},
		{name: "jmp with an operand-size prefix, AMD", code: "66eb10", want: set{"rip": 0x13}, vendor: "AuthenticAMD"},
		{name: "call with an operand-size prefix, Intel", code: "66e8fb0f0000", want: set{"rip": code + 0x1001, "rsp": stack + page - 8, m(stack + page - 8): code + 6}, vendor: "GenuineIntel"},
		{name: "#SS", code: "50", in: set{"rsp": 1 << 63}, event: "#SS(0x0)"},
		{name: "#SS through rbp", code: "488b4500", in: set{"rbp": 1 << 63}, event: "#SS(0x0)"},
		{name: "#PF, read", code: "488b03", in: set{"rbx": 0x1000}, event: "#PF(0x4) at 0x1000"},
		{name: "#PF, write", code: "488903", in: set{"rbx": 0x1000}, event: "#PF(0x6) at 0x1000"},
		{name: "#PF, write to a read-only page", code: "488903", in: set{"rbx": ro}, event: fmt.Sprintf("#PF(0x7) at %#x", uint64(ro))},
		{name: "#PF, write to code", code: "488903", in: set{"rbx": code + 0x800}, event: fmt.Sprintf("#PF(0x7) at %#x", code+0x800)},
		{name: "#PF, kernel's half", code: "488903", in: set{"rbx": 0xffff888000000000}, event: "#PF(0x6) at 0xffff888000000000"},
		{name: "#PF, end of the user's half", code: "488b03", in: set{"rbx": 1<<47 - 8}, event: "#PF(0x4) at 0x7ffffffffff8"},
		{name: "#PF, second page of a store", code: "488903", in: set{"rbx": data + 2*page - 4, "rax": ^uint64(0)}, event: fmt.Sprintf("#PF(0x6) at %#x", data+2*page)},
		{name: "#AC", code: "488b03", in: set{"rbx": middle + 1, "flags": 1 << 18}, want: set{"flags": 1 << 18}, mask: 1 << 18, event: "#AC(0x0)"},
		{name: "aligned with AC set", code: "488b03", in: set{"rbx": middle, "flags": 1 << 18, m(middle): 5}, want: set{"rax": 5, "flags": 1 << 18}, mask: 1 << 18, length: 3},

		{name: "syscall", code: "0f05", ending: oracle.SystemCall},
		{name: "int 80", code: "cd80", ending: oracle.SystemCall},
		{name: "vsyscall page", code: "ffe3", in: set{"rbx": 0xffffffffff600000}, want: set{"rip": 0xffffffffff600000}},
		{name: "rdtsc", code: "0f31", ending: oracle.Quarantined},
		{name: "cpuid", code: "0fa2", ending: oracle.Quarantined},
		{name: "rdpid", code: "f30fc7f8", ending: oracle.Quarantined},
		{name: "sgdt", code: "0f0103", ending: oracle.Quarantined},
	}
}

// expect builds the result that a known case is to have.
func (k *known) check(t *testing.T, c *oracle.Case, r *oracle.Result) {
	require.Equal(t, k.ending, r.Ending, r.Note)
	if k.ending != oracle.Ended {
		return
	}
	w := *c
	w.Memory = append([]byte{}, c.Memory...)
	apply(t, &w, k.want)
	if _, ok := k.want["rip"]; !ok {
		w.State.RIP += k.length
	}
	if k.event == "" {
		assert.Equal(t, step.Okay, r.Outcome, "%v", r.Event)
		assert.Equal(t, 1, r.Steps)
	} else {
		assert.Equal(t, step.Exception, r.Outcome)
		assert.Equal(t, k.event, r.Event.String())
		assert.Equal(t, 0, r.Steps)
	}
	assert.Equal(t, fmt.Sprintf("%#x", w.State.RIP), fmt.Sprintf("%#x", r.State.RIP), "rip")
	for i, n := range registers {
		assert.Equal(t, fmt.Sprintf("%#x", w.State.GPR[i]), fmt.Sprintf("%#x", r.State.GPR[i]), n)
	}
	assert.Equal(t, w.State.RFLAGS&k.mask, r.State.RFLAGS&k.mask, "flags %#x", r.State.RFLAGS)
	assert.Equal(t, w.State.Selector, r.State.Selector)
	assert.Equal(t, [2]uint64{w.FSBase, w.GSBase}, [2]uint64{r.FSBase, r.GSBase})
	assert.Equal(t, w.Memory, r.Memory)
	assert.Equal(t, len(k.strays), r.NumStray)
	assert.ElementsMatch(t, k.strays, r.Stray[:min(r.NumStray, oracle.MaxStray)])
}

func TestKnown(t *testing.T) {
	e := newExecutor(t)
	for _, k := range knownCases() {
		t.Run(strings.ReplaceAll(k.name, " ", "_"), func(t *testing.T) {
			if k.vendor != "" && k.vendor != cpuInfo().Vendor {
				t.Skip("a result of " + k.vendor)
			}
			c := NewCase(fromHex(t, k.code))
			apply(t, &c, k.in)
			k.check(t, &c, runOne(t, e, &c))
		})
	}
	assert.Zero(t, e.Respawns(), "a child died")
}

// TestStopsAgree runs the table with every stop that can be forced.
func TestStopsAgree(t *testing.T) {
	auto := newExecutor(t)
	for _, stop := range []Stop{StopPad, StopBreakpoint, StopTrap} {
		forced := newExecutor(t, WithStop(stop))
		for _, k := range knownCases() {
			c := NewCase(fromHex(t, k.code))
			apply(t, &c, k.in)
			var p plan
			pad := testPads
			g, err := newGeometry(oracle.DefaultLayout)
			require.NoError(t, err)
			g.branches = auto.branches
			if g.compose(&p, &c, StopAuto, &pad) != "" || !forcible(stop, &p) {
				continue
			}
			want, got := runOne(t, auto, &c), runOne(t, forced, &c)
			if got.Ending == oracle.Unsupported {
				continue // no room for the pad
			}
			if want.Ending == oracle.Ended || got.Ending != want.Ending {
				assert.Equal(t, describe(want), describe(got), "%s by %v instead of %v", k.name, stop, p.stop)
			}
		}
		assert.Zero(t, forced.Respawns(), "%v: a child died", stop)
	}
}

// forcible says whether a stop is as good as the one that was chosen.
func forcible(stop Stop, p *plan) bool {
	switch stop {
	case StopPad:
		return p.stop == StopPad
	case StopBreakpoint:
		return p.stop != StopTrap && p.length == p.sh.length
	}
	return p.sh.class != classIRET && !loadsFlags(&p.sh) && p.sh.uses&(repeats|storesFlags) == 0
}
