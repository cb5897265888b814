package silicon

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// segmentsOf returns the segments of a case, to be changed.
func segmentsOf(c *oracle.Case) *[x86.NumSegment]x86.SegmentRegister {
	var s [x86.NumSegment]x86.SegmentRegister
	for i := range s {
		s[i] = c.Segment(x86.Segment(i))
	}
	c.Segments = &s
	return &s
}

// use gives a case a segment.
func use(c *oracle.Case, s x86.Segment, r x86.SegmentRegister) {
	if c.Segments == nil {
		segmentsOf(c)
	}
	c.Segments[s] = r
	c.State.Selector[s] = r.Selector
	switch s {
	case x86.FS:
		c.FSBase = r.Base
	case x86.GS:
		c.GSBase = r.Base
	}
	if s == x86.SS {
		c.State.StackWidth = 16
		if r.Attributes&x86.AttrDB != 0 {
			c.State.StackWidth = 32
		}
	}
}

const (
	readOnly   = oracle.AttrData16 &^ x86.AttrWritable
	expandDown = oracle.AttrData16 | x86.AttrExpand
	execOnly   = oracle.AttrCode16 &^ x86.AttrWritable
	conforming = oracle.AttrCode16 | x86.AttrExpand
)

// TestSegmentation: what the limit, the type and the direction of the segments
// of a case do, on the CPU.
func TestSegmentation(t *testing.T) {
	e := newExecutor(t)
	sel := oracle.LDTSelector(5)
	d := func(a, limit uint32) x86.SegmentRegister {
		return x86.SegmentRegister{Selector: sel, Attributes: a, Limit: limit, Base: data}
	}
	for _, k := range []struct {
		name string
		mode x86.Mode
		code string // DS:[EBX] is 8b03, stores are 8903; in 16-bit code DS:[BX] is 8b07, 8907
		seg  x86.Segment
		r    x86.SegmentRegister
		rbx  uint64
		want string // event, "" none
	}{
		{"within", x86.Compat32, "8b03", x86.DS, d(oracle.AttrData16, 0x1003), 0x1000, ""},
		{"last byte beyond", x86.Compat32, "8b03", x86.DS, d(oracle.AttrData16, 0x1002), 0x1000, "#GP(0x0)"},
		{"store beyond", x86.Compat32, "8903", x86.DS, d(oracle.AttrData16, 0x1002), 0x1000, "#GP(0x0)"},
		{"limit in pages", x86.Compat32, "8b03", x86.DS, d(oracle.AttrData32, 0x1fff), 0x1ffc, ""},
		{"limit in pages, beyond", x86.Compat32, "8b03", x86.DS, d(oracle.AttrData32, 0x1fff), 0x1ffd, "#GP(0x0)"},
		{"expand-down, above the limit", x86.Compat32, "8b03", x86.DS, d(expandDown, 0xfff), 0x1000, ""},
		{"expand-down, at the limit", x86.Compat32, "8b03", x86.DS, d(expandDown, 0x1000), 0x1000, "#GP(0x0)"},
		{"expand-down, 16 bits, above 64 KiB", x86.Compat32, "8b03", x86.DS, d(expandDown, 0xfff), 0x10000, "#GP(0x0)"},
		{"expand-down, 32 bits, above 64 KiB", x86.Compat32, "8b03", x86.DS, d(expandDown|x86.AttrDB, 0xfff), 0x10000, "#PF(0x4) at 0x20010000"},
		{"read-only, load", x86.Compat32, "8b03", x86.DS, d(readOnly, 0xffff), 0x1000, ""},
		{"read-only, store", x86.Compat32, "8903", x86.DS, d(readOnly, 0xffff), 0x1000, "#GP(0x0)"},
		{"code as data, load", x86.Compat32, "8b03", x86.DS, d(oracle.AttrCode16, 0xffff), 0x1000, ""},
		{"code as data, store", x86.Compat32, "8903", x86.DS, d(oracle.AttrCode16, 0xffff), 0x1000, "#GP(0x0)"},
		{"gs", x86.Compat32, "658b03", x86.GS, d(oracle.AttrData16, 0xfff), 0x1000, "#GP(0x0)"},
		{"gs, within", x86.Compat32, "658b03", x86.GS, d(oracle.AttrData16, 0x1fff), 0x1000, ""},
		{"stack, 16-bit segment under 32-bit code", x86.Compat32, "50", x86.SS, x86.SegmentRegister{Selector: sel, Attributes: oracle.AttrData16, Limit: 0xffff, Base: stack - stack%0x10000}, 0, ""},
		{"stack limit", x86.Compat32, "50", x86.SS, x86.SegmentRegister{Selector: sel, Attributes: oracle.AttrData16, Limit: 0xff, Base: stack}, 0, "#SS(0x0)"},
		{"stack, expand-down", x86.Compat16, "50", x86.SS, x86.SegmentRegister{Selector: sel, Attributes: expandDown, Limit: 0xff, Base: stack}, 0, ""},
		{"stack, expand-down, below", x86.Compat16, "50", x86.SS, x86.SegmentRegister{Selector: sel, Attributes: expandDown, Limit: 0xffe, Base: stack}, 0, "#SS(0x0)"},
		{"16-bit code, limit", x86.Compat16, "8b07", x86.DS, d(oracle.AttrData16, 0x1000), 0x1000, "#GP(0x0)"},
		{"16-bit code, within", x86.Compat16, "8b07", x86.DS, d(oracle.AttrData16, 0x1001), 0x1000, ""},
		{"code limit within the instruction", x86.Compat32, "81c000000000", x86.CS, x86.SegmentRegister{Selector: sel, Attributes: oracle.AttrCode16 | x86.AttrDB, Limit: 4, Base: code}, 0, "#GP(0x0)"},
		{"code limit behind the instruction", x86.Compat32, "81c000000000", x86.CS, x86.SegmentRegister{Selector: sel, Attributes: oracle.AttrCode16 | x86.AttrDB, Limit: 5, Base: code}, 0, ""},
		{"code, execute-only, as data", x86.Compat32, "2e8b03", x86.CS, x86.SegmentRegister{Selector: sel, Attributes: execOnly | x86.AttrDB, Limit: 0xffff, Base: code}, 0x100, "#GP(0x0)"},
		{"code, readable, as data", x86.Compat32, "2e8b03", x86.CS, x86.SegmentRegister{Selector: sel, Attributes: oracle.AttrCode16 | x86.AttrDB, Limit: 0xffff, Base: code}, 0x100, ""},
		{"jmp beyond the limit", x86.Compat32, "eb20", x86.CS, x86.SegmentRegister{Selector: sel, Attributes: oracle.AttrCode16 | x86.AttrDB, Limit: 0x21, Base: code}, 0, "#GP(0x0)"},
		{"jmp within the limit", x86.Compat32, "eb20", x86.CS, x86.SegmentRegister{Selector: sel, Attributes: oracle.AttrCode16 | x86.AttrDB, Limit: 0x22, Base: code}, 0, ""},
	} {
		t.Run(strings.ReplaceAll(k.name, " ", "_"), func(t *testing.T) {
			c := NewCaseIn(k.mode, fromHex(t, k.code))
			use(&c, k.seg, k.r)
			c.State.GPR[x86.RBX] = k.rbx
			c.State.RIP -= c.SegmentBase(x86.CS)
			if k.mode == x86.Compat16 {
				c.State.RIP = 0
			} else if k.seg == x86.SS {
				c.State.GPR[x86.RSP] = page
			}
			r := runOne(t, e, &c)
			require.Equal(t, oracle.Ended, r.Ending, r.Note)
			if k.want == "" {
				require.Equal(t, step.Okay, r.Outcome, "%v", r.Event)
				return
			}
			assert.Equal(t, k.want, r.Event.String())
			assert.Equal(t, c.State.RIP, r.State.RIP)
		})
	}
	assert.Zero(t, e.Respawns())
}

// TestLoadSegment: what happens when an instruction loads a descriptor of the
// local table.
func TestLoadSegment(t *testing.T) {
	e := newExecutor(t)
	const n = 7
	sel := oracle.LDTSelector(n)
	for _, k := range []struct {
		name string
		code string // with the selector in AX
		a    uint32
		want string
	}{
		{"data to ds", "8ed8", oracle.AttrData16, ""},
		{"read-only to ds", "8ed8", readOnly, ""},
		{"read-only to ss", "8ed0", readOnly, "#GP(0x3c)"},
		{"data to ss", "8ed0", oracle.AttrData16, ""},
		{"not present to ds", "8ed8", oracle.AttrData16 &^ x86.AttrPresent, "#NP(0x3c)"},
		{"not present to ss", "8ed0", oracle.AttrData16 &^ x86.AttrPresent, "#SS(0x3c)"},
		{"code to ds", "8ed8", oracle.AttrCode16, ""},
		{"execute-only to ds", "8ed8", execOnly, "#GP(0x3c)"},
		{"code to ss", "8ed0", oracle.AttrCode16, "#GP(0x3c)"},
		{"not present conforming code to fs", "8ee0", conforming &^ x86.AttrPresent, "#NP(0x3c)"},
	} {
		for _, m := range []x86.Mode{x86.Long64, x86.Compat32, x86.Compat16} {
			c := NewCaseIn(m, fromHex(t, k.code))
			c.LDT = []x86.SegmentRegister{{Selector: sel, Attributes: k.a, Limit: 0xfff, Base: data}}
			c.State.GPR[x86.RAX] = uint64(sel)
			r := runOne(t, e, &c)
			require.Equal(t, oracle.Ended, r.Ending, r.Note)
			if k.want == "" {
				assert.Equal(t, step.Okay, r.Outcome, "%v %s: %v", m, k.name, r.Event)
			} else {
				assert.Equal(t, k.want, r.Event.String(), "%v %s", m, k.name)
			}
			// The descriptor is gone for a case that does not have it.
			c.LDT = nil
			assert.Equal(t, "#GP(0x3c)", runOne(t, e, &c).Event.String(), "%v %s", m, k.name)
		}
	}
	assert.Zero(t, e.Respawns())
}

// TestRefusedSegments: what modify_ldt does not build, and what cannot be loaded
// beforehand, is unsupported, with the reason.
func TestRefusedSegments(t *testing.T) {
	e := newExecutor(t)
	sel := oracle.LDTSelector(5)
	for _, k := range []struct {
		r    x86.SegmentRegister
		note string
	}{
		{x86.SegmentRegister{Selector: sel, Attributes: conforming, Limit: 1}, "conforming"},
		{x86.SegmentRegister{Selector: sel, Attributes: oracle.AttrData16 &^ (3 << x86.AttrDPLShift), Limit: 1}, "DPL"},
		{x86.SegmentRegister{Selector: sel, Attributes: oracle.AttrData16 &^ x86.AttrAccessed, Limit: 1}, "accessed"},
		{x86.SegmentRegister{Selector: sel, Attributes: oracle.AttrCode16 | x86.AttrL, Limit: 1}, "64-bit"},
		{x86.SegmentRegister{Selector: sel, Attributes: oracle.AttrData16 &^ x86.AttrS, Limit: 1}, "system segments"},
		{x86.SegmentRegister{Selector: sel, Attributes: oracle.AttrData16, Limit: 0x100000}, "20 bits"},
		{x86.SegmentRegister{Selector: sel, Attributes: oracle.AttrData32, Limit: 0x1000}, "0xfff"},
		{x86.SegmentRegister{Selector: sel, Attributes: oracle.AttrData16, Limit: 1, Base: 1 << 32}, "32 bits"},
		{x86.SegmentRegister{Selector: 0x2c, Attributes: oracle.AttrData16}, "local table"},
		{x86.SegmentRegister{Selector: oracle.LDTSelector(16), Attributes: oracle.AttrData16}, "first 16"},
		{x86.SegmentRegister{Selector: sel, Attributes: readOnly &^ x86.AttrPresent}, "for none"},
	} {
		c := NewCaseIn(x86.Compat32, fromHex(t, "90"))
		c.LDT = []x86.SegmentRegister{k.r}
		r := runOne(t, e, &c)
		assert.Equal(t, oracle.Unsupported, r.Ending, "%+v", k.r)
		assert.Contains(t, r.Note, k.note)
	}
	for _, k := range []struct {
		s    x86.Segment
		a    uint32
		note string
	}{
		{x86.DS, oracle.AttrData16 &^ x86.AttrPresent, "present"},
		{x86.DS, execOnly, "type"},
		{x86.SS, readOnly, "type"},
		{x86.CS, oracle.AttrData16, "type"},
		{x86.CS, oracle.AttrCode16, "D of cs"},
	} {
		c := NewCaseIn(x86.Compat32, fromHex(t, "90"))
		use(&c, k.s, x86.SegmentRegister{Selector: sel, Attributes: k.a, Limit: 0xfffff})
		r := runOne(t, e, &c)
		assert.Equal(t, oracle.Unsupported, r.Ending, "%v %#x", k.s, k.a)
		assert.Contains(t, r.Note, k.note)
	}
	assert.Zero(t, e.Respawns())
}
