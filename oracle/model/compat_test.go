package model_test

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/seed-4e121ece/ringfence/oracle/model"
	"github.com/seed-4e121ece/ringfence/oracle/silicon"
)

// compatRow is a case of 32- or 16-bit code and what comes of it on Intel's
// CPUs. Words are "rax=1", "f=CF,ZF", "[20000008]=0011"; segments are
// "ss=base,limit,attributes", hexadecimal, and "n=base,limit,attributes" for a
// further descriptor of the local table.
type compatRow struct {
	name, code, before, segments string
	// event is what is raised, as Event.String says it; after are registers and
	// memory that matter, and cs the selector if it changes.
	event, after string
}

const (
	data16 = "f3"
	data32 = "c0f3"
	code32 = "c0fb"
)

// compat32Rows are regressions of 32-bit code: each was a divergence from the
// CPU.
var compat32Rows = []compatRow{
	{name: "AAA shows SF, ZF, PF of what AL becomes", code: "37", before: "rax=0 f=SF,ZF,OF,AF", after: "rax=106 f=CF,AF,PF"},
	{name: "AAS without adjustment clears OF", code: "3f", before: "rax=8 f=SF,ZF,OF", after: "rax=8 f="},
	{name: "AAD shows the flags of its addition", code: "d50e", before: "rax=a357 f=", after: "rax=41 f=CF,AF,PF"},
	{name: "flat segment: an operand goes on at address 0", code: "8b03", before: "rbx=ffffffff", event: "#PF(0x4) at 0xffffffff"},
	{
		name: "limit of 4 GiB with a base: it does not", code: "8b03", before: "rbx=ffffffff", segments: "ds=20000000,ffffffff," + data32,
		event: "#GP(0x0)",
	},
	{name: "the same through SS", code: "368b03", before: "rbx=ffffffff", segments: "ss=30000000,ffffffff," + data32, event: "#SS(0x0)"},
	{name: "last byte within the limit", code: "8b03", before: "rbx=3c [2000003c]=01020304", segments: "ds=20000000,3f,40f3", after: "rax=4030201"},
	{name: "one byte over the limit", code: "8b03", before: "rbx=3d", segments: "ds=20000000,3f,40f3", event: "#GP(0x0)"},
	{name: "expand-down: the limit is outside", code: "8a03", before: "rbx=20000fff", segments: "ds=0,20000fff,c0f7", event: "#GP(0x0)"},
	{name: "expand-down: above it is inside", code: "8a03", before: "rax=0 rbx=20001000 [20001000]=55", segments: "ds=0,20000fff,c0f7", after: "rax=55"},
	{name: "expand-down of 16 bits ends at ffff", code: "668b03", before: "rbx=ffff", segments: "ds=1fff2000,dfff,f7", event: "#GP(0x0)"},
	{name: "a segment that cannot be written", code: "8803", before: "rbx=0", segments: "ds=20000000,fff,40f1", event: "#GP(0x0)"},
	{name: "code that cannot be read", code: "2e8a03", before: "rbx=0", segments: "cs=10000000,1fff,40f9", event: "#GP(0x0)"},
	{name: "CLFLUSH reaches it", code: "2e0fae3b", before: "rbx=0", segments: "cs=10000000,1fff,40f9"},
	{name: "a null segment", code: "658a03", event: "#GP(0x0)"},
	{name: "the instruction crosses the limit of CS", code: "b801020304", segments: "cs=10000000,3,40fb", event: "#GP(0x0)"},
	{name: "JMP over the limit of CS", code: "eb10", segments: "cs=10000000,10,40fb", event: "#GP(0x0)"},
	{name: "BOUND below does not read the upper bound", code: "6203", before: "rax=fffffff0 rbx=20001ffc [20001ffc]=00000000", event: "#BR"},
	{name: "BOUND reads each bound by itself", code: "6203", before: "rax=5 rbx=20001ffc [20001ffc]=00000000", event: "#PF(0x4) at 0x20002000"},
	{name: "ARPL that changes nothing does not write", code: "6303", before: "rax=0 rbx=40000000", after: "f="},
	{name: "ARPL that faults faults as a read", code: "6303", before: "rax=3 rbx=50000000", event: "#PF(0x4) at 0x50000000"},
	{name: "ARPL that changes writes", code: "6303", before: "rax=3 rbx=40000000", event: "#PF(0x7) at 0x40000000"},
	{name: "RETF reads CS first", code: "cb", before: "rsp=20001ffc", event: "#PF(0x4) at 0x20002000"},
	{name: "RETF reads two bytes of it", code: "cb", before: "rsp=20001ffe AC=1", event: "#PF(0x4) at 0x20002002"},
	{name: "RETF", code: "cb", before: "[30001000]=4000001023000000", after: "rip=10000040 rsp=30001008"},
	{name: "RETF to a null selector", code: "cb", before: "[30001000]=4000001003000000", event: "#GP(0x0)"},
	{name: "RETF to a data segment", code: "cb", before: "[30001000]=400000102b000000", event: "#GP(0x28)"},
	{name: "IRET reads the flags first", code: "cf", before: "rsp=20001ff8", event: "#PF(0x4) at 0x20002000"},
	{name: "IRET with NT", code: "cf", before: "NT=1", event: "#GP(0x0)"},
	{name: "IRET", code: "cf", before: "[30001000]=400000102300000047020000", after: "rip=10000040 rsp=3000100c f=CF,PF,ZF"},
	{name: "JMP far to code that is not there", code: "ea000000001f00", segments: "3=10000000,1fff,407b", event: "#NP(0x1c)"},
	{name: "JMP far to a descriptor that is not there", code: "ea000000002f00", event: "#GP(0x2c)"},
	{name: "JMP far to null", code: "ea000000000300", event: "#GP(0x0)"},
	{name: "JMP far over the new limit", code: "ea112200001700", segments: "2=10000000,1fff,40fb", event: "#GP(0x0)"},
	{name: "JMP far to another base", code: "ea400000001700", segments: "2=10000100,eff,40fb", after: "rip=40 cs=17"},
	{name: "CALL far pushes CS and EIP", code: "9a400000102300", after: "rip=10000040 rsp=30000ff8 [30000ff8]=0700001023000000"},
	{
		name: "CALL far to 64-bit code takes SS without its base", code: "9a400000103300", before: "rsp=1030", segments: "ss=30000000,1fff,40f3",
		event: "#PF(0x6) at 0x102c",
	},
	{name: "MOV DS of code that cannot be read", code: "8ed8", before: "rax=17", segments: "2=0,fff,40f9", event: "#GP(0x14)"},
	{name: "MOV DS of a segment that is not there", code: "8ed8", before: "rax=17", segments: "2=0,fff,4073", event: "#NP(0x14)"},
	{name: "MOV SS of a segment that is not there", code: "8ed0", before: "rax=17", segments: "2=0,fff,4073", event: "#SS(0x14)"},
	{name: "MOV SS of a null selector", code: "8ed0", before: "rax=3", event: "#GP(0x0)"},
	{name: "MOV SS with another RPL", code: "8ed0", before: "rax=28", event: "#GP(0x28)"},
	{name: "LAR shows the limit's upper bits", code: "0f02c3", before: "rbx=2b", after: "rax=cff300 f=ZF"},
	{name: "LAR of a null selector", code: "0f02c3", before: "rbx=3 rax=7 f=ZF", after: "rax=7 f="},
	{name: "LSL in bytes", code: "0f03c3", before: "rbx=17", segments: "2=0,12fff,c0f3", after: "rax=12fff f=ZF"},
	{name: "VERR of data", code: "0f00e3", before: "rbx=17", segments: "2=0,fff,40f1", after: "f=ZF"},
	{name: "VERW of data that cannot be written", code: "0f00eb", before: "rbx=17 f=ZF", segments: "2=0,fff,40f1", after: "f="},
	{name: "VERR of code that cannot be read", code: "0f00e3", before: "rbx=17 f=ZF", segments: "2=0,fff,40f9", after: "f="},
	{name: "SYSRET is undefined", code: "0f07", event: "#UD"},
	{name: "PUSH with a 16-bit stack leaves the upper half of ESP", code: "50", before: "rsp=7fff1000 rax=1", segments: "ss=30000000,ffff," + data16, after: "rsp=7fff0ffc [30000ffc]=01000000"},
	{
		name: "ENTER gives EBP the whole of ESP", code: "c8200000", before: "rsp=7fff1000 rbp=5", segments: "ss=30000000,ffff," + data16,
		after: "rsp=7fff0fdc rbp=7fff0ffc [30000ffc]=05000000",
	},
	{name: "PUSH DS moves 16 bits", code: "1e", before: "[30000ffc]=ffffffff", after: "rsp=30000ffc [30000ffc]=2b00ffff"},
}

// compat16Rows are the same of 16-bit code.
var compat16Rows = []compatRow{
	{name: "offsets wrap at 64 KiB", code: "8b40f0", before: "rax=0 rbx=f000 rsi=2010 [20001000]=0300", after: "rax=3"},
	{name: "a word at ffff", code: "8b07", before: "rbx=ffff", event: "#GP(0x0)"},
	{name: "PUSH at SP 1", code: "50", before: "rsp=1", event: "#SS(0x0)"},
	{name: "PUSH at SP 0 goes to the top", code: "50", before: "rsp=0", event: "#PF(0x6) at 0x3000fffe"},
	{name: "BP is of SS", code: "8b4600", before: "rax=0 rbp=1000 [30001000]=0700", after: "rax=7"},
	{name: "JMP over the limit", code: "66e900000100", event: "#GP(0x0)"},
	{name: "near RET takes 16 bits", code: "c3", before: "[30001000]=4000ffff", after: "rip=40 rsp=1002"},
	{name: "CALL far with 32 bits", code: "669a400000000700", after: "rip=40 rsp=ff8 [30000ff8]=0800000007000000"},
	{name: "RETF to 64-bit code carries into the upper half of ESP", code: "ca00f0", before: "rsp=1000 [30001000]=40003300", after: "rip=40 cs=33 rsp=10004"},
	{name: "RETF to 64-bit code adds 16 bits", code: "caffff", before: "rsp=1000 [30001000]=40003300", after: "rip=40 cs=33 rsp=1003"},
	{
		name: "IRET to 64-bit code carries into the upper half of ESP", code: "cf", before: "rsp=fffa [30001ffa]=400033000202",
		segments: "ss=2fff2000,ffff," + data16, after: "rip=40 cs=33 rsp=10000",
	},
	{name: "IRETD reads the flags first", code: "66cf", before: "rsp=1ff8", event: "#PF(0x4) at 0x30002000"},
	{name: "POPA over the limit leaves registers", code: "61", before: "rsp=fff6 rdi=1 rsi=2", segments: "ss=30000000,ffff," + data16, event: "#PF(0x4) at 0x3000fff6"},
	{name: "LES", code: "c407", before: "rbx=1000 [20001000]=34121700", after: "rax=1234 es=17"},
	{name: "XLAT wraps", code: "d7", before: "rbx=ffff rax=1001", after: "rax=1000"},
}

func (row *compatRow) build(t *testing.T, m x86.Mode) oracle.Case {
	t.Helper()
	code, err := hex.DecodeString(row.code)
	require.NoError(t, err)
	c := silicon.NewCaseIn(m, code)
	row.setSegments(t, &c)
	set(t, row.before, &c.State, func(at uint64, b byte) { poke(t, &c, c.Memory, at, b) })
	return c
}

// setSegments gives the case the row's segments. Entries 0 to 5 of the local
// table are free for those that are not named.
func (row *compatRow) setSegments(t *testing.T, c *oracle.Case) {
	if row.segments == "" {
		return
	}
	var all [x86.NumSegment]x86.SegmentRegister
	for s := range all {
		all[s] = c.Segment(x86.Segment(s))
	}
	names := map[string]x86.Segment{"es": x86.ES, "cs": x86.CS, "ss": x86.SS, "ds": x86.DS}
	own := false
	for _, w := range strings.Fields(row.segments) {
		name, value, _ := strings.Cut(w, "=")
		var r x86.SegmentRegister
		_, err := fmt.Sscanf(strings.ReplaceAll(value, ",", " "), "%x %x %x", &r.Base, &r.Limit, &r.Attributes)
		require.NoError(t, err, w)
		if s, ok := names[name]; ok {
			r.Selector = oracle.LDTSelector(8 + int(s))
			all[s], own = r, true
			c.State.Selector[s] = r.Selector
			continue
		}
		n, err := strconv.Atoi(name)
		require.NoError(t, err, w)
		r.Selector = oracle.LDTSelector(n)
		c.LDT = append(c.LDT, r)
	}
	if own {
		c.Segments = &all
		c.State.RIP = oracle.CodeBase - all[x86.CS].Base
		c.State.StackWidth = 16
		if all[x86.SS].Attributes&x86.AttrDB != 0 {
			c.State.StackWidth = 32
		}
	}
}

// set carries out words on a state; memory goes to poke.
func set(t *testing.T, text string, s *x86.State, poke func(at uint64, b byte)) {
	t.Helper()
	for _, w := range strings.Fields(text) {
		name, value, _ := strings.Cut(w, "=")
		if name[0] == '[' {
			at, err := strconv.ParseUint(strings.Trim(name, "[]"), 16, 64)
			require.NoError(t, err, w)
			b, err := hex.DecodeString(value)
			require.NoError(t, err, w)
			for i := range b {
				poke(at+uint64(i), b[i])
			}
			continue
		}
		if name == "f" {
			s.RFLAGS &^= uint64(x86.FlagsStatus)
			for f := range strings.SplitSeq(value, ",") {
				s.RFLAGS |= uint64(x86.ParseFlag(f))
			}
			continue
		}
		v, err := strconv.ParseUint(value, 16, 64)
		require.NoError(t, err, w)
		setOne(t, s, name, v)
	}
}

func setOne(t *testing.T, s *x86.State, name string, v uint64) {
	t.Helper()
	for n := range s.GPR {
		if x86.GPRName(uint8(n), 8) == name {
			s.GPR[n] = v
			return
		}
	}
	for n := range s.Selector {
		if x86.Segment(n).String() == name {
			s.Selector[n] = uint16(v)
			return
		}
	}
	if f := x86.ParseFlag(name); f != 0 {
		s.RFLAGS |= uint64(f)
		return
	}
	require.Equal(t, "rip", name)
	s.RIP = v
}

// poke stores a byte in the windows' content.
func poke(t *testing.T, c *oracle.Case, memory []byte, at uint64, b byte) {
	t.Helper()
	off := 0
	for _, w := range c.Layout.Windows {
		if d := at - w.Address; d < uint64(w.Length) {
			memory[off+int(d)] = b
			return
		}
		off += w.Length
	}
	require.Failf(t, "no window", "%#x", at)
}

// check holds a result against the row: what it does not name is as before.
func (row *compatRow) check(t *testing.T, c *oracle.Case, r *oracle.Result) {
	t.Helper()
	require.Equal(t, oracle.Ended, r.Ending, r.Note)
	if row.event != "" {
		require.Equal(t, step.Exception, r.Outcome)
		assert.Equal(t, row.event, r.Event.String())
	} else {
		require.Equal(t, step.Okay, r.Outcome, r.Event.String())
	}
	want, memory := c.State, append([]byte(nil), c.Memory...)
	if row.event == "" {
		want.RIP += uint64(c.CodeLen)
	}
	set(t, row.after, &want, func(at uint64, b byte) { poke(t, c, memory, at, b) })
	got := r.State
	got.RFLAGS &^= uint64(x86.RF)
	if r.Unknown&oracle.FieldStackHigh != 0 {
		got.GPR[x86.RSP] = got.GPR[x86.RSP]&0xffff | want.GPR[x86.RSP]&^0xffff
	}
	assert.Equal(t, want.GPR, got.GPR)
	assert.Equal(t, want.RIP, got.RIP, "rip")
	assert.Equal(t, x86.Flags(want.RFLAGS).String(), x86.Flags(got.RFLAGS).String())
	assert.Equal(t, want.Selector, got.Selector)
	assert.Equal(t, memory, r.Memory, "memory")
}

// TestCompat runs the rows on the model of an Intel CPU and, on such a CPU, on
// the CPU itself: the rows are what it does.
func TestCompat(t *testing.T) {
	p := &isa.Profile{Vendor: isa.Intel, Features: isa.AllFeatures(), VirtualBits: 48}
	engines := []oracle.Executor{model.New(p)}
	if host := silicon.Profile(); host.Vendor == isa.Intel {
		cpu, err := silicon.New()
		if err == nil {
			defer cpu.Close()
			engines = append(engines, cpu)
		} else {
			t.Log("without the CPU:", err)
		}
	}
	for m, rows := range map[x86.Mode][]compatRow{x86.Compat32: compat32Rows, x86.Compat16: compat16Rows} {
		for i := range rows {
			row := &rows[i]
			for _, e := range engines {
				t.Run(fmt.Sprintf("%v/%s/%s", m, row.name, e.Name()), func(t *testing.T) {
					c := []oracle.Case{row.build(t, m)}
					r := []oracle.Result{{Memory: make([]byte, len(c[0].Memory))}}
					require.NoError(t, e.Run(c, r))
					row.check(t, &c[0], &r[0])
				})
			}
		}
	}
}
