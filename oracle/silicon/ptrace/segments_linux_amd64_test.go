package ptrace

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// randomSegment is a descriptor that modify_ldt can build.
func randomSegment(r *rand.Rand, n int) x86.SegmentRegister {
	bases := []uint64{0, data, middle, stack, ro, code, data + 0x123, 0xfffff000, data - page}
	limits := []uint32{0, 1, 0xff, 0xfff, 0x1000, 0x1fff, 0x2000, 0xffff, 0xfffff, 3}
	d := x86.SegmentRegister{Selector: oracle.LDTSelector(n), Base: bases[r.IntN(len(bases))], Limit: limits[r.IntN(len(limits))]}
	d.Attributes = x86.AttrS | 3<<x86.AttrDPLShift | x86.AttrPresent | x86.AttrAccessed
	switch r.IntN(6) {
	case 0:
		d.Attributes |= x86.AttrCode | x86.AttrWritable
	case 1: // read-only
	case 2:
		d.Attributes |= x86.AttrWritable | x86.AttrExpand
	default:
		d.Attributes |= x86.AttrWritable
	}
	if r.IntN(2) == 0 {
		d.Attributes |= x86.AttrDB
	}
	if r.IntN(4) == 0 {
		d.Attributes |= x86.AttrG
		d.Limit = d.Limit<<12 | 0xfff
	}
	return d
}

// further changes a descriptor into one that no segment register can hold
// before the case.
func further(r *rand.Rand, d x86.SegmentRegister) x86.SegmentRegister {
	switch r.IntN(4) {
	case 0:
		d.Attributes &^= x86.AttrPresent
	case 1:
		d.Attributes = d.Attributes&^(x86.AttrWritable|x86.AttrExpand) | x86.AttrCode // execute only
	case 2:
		d.Attributes = d.Attributes&^x86.AttrPresent | x86.AttrCode | x86.AttrExpand // conforming
	}
	return d
}

// segmentCase is a case with a table of its own: data segments of all kinds, now
// and then a stack with a limit, and descriptors to load.
func segmentCase(r *rand.Rand, mode x86.Mode) oracle.Case {
	c := newCase(mode, nil)
	var s [x86.NumSegment]x86.SegmentRegister
	for i := range x86.Segment(x86.NumSegment) {
		s[i] = c.Segment(i)
	}
	for i, seg := range []x86.Segment{x86.DS, x86.ES, x86.FS, x86.GS} {
		if r.IntN(4) != 0 {
			s[seg] = randomSegment(r, 3+i)
		}
	}
	if r.IntN(2) == 0 {
		s[x86.SS] = randomSegment(r, 7)
		s[x86.SS].Attributes = s[x86.SS].Attributes&^x86.AttrCode | x86.AttrWritable
	}
	for n := 8; n < 12; n++ {
		c.LDT = append(c.LDT, further(r, randomSegment(r, n)))
	}
	c.Segments = &s
	for i := range s {
		c.State.Selector[i] = s[i].Selector
	}
	c.FSBase, c.GSBase = s[x86.FS].Base, s[x86.GS].Base
	c.State.StackWidth = 16
	if s[x86.SS].Attributes&x86.AttrDB != 0 {
		c.State.StackWidth = 32
	}
	return c
}

// segmentStrings are instructions that go through segments in many ways, or load
// them; in 16-bit code they are others, as good.
var segmentStrings = []string{
	"8b03", "8907", "a100100000", "268b07", "648b07", "658907", "2e8b03", "368b03", "50", "58", "60", "61", "c8100000", "c9",
	"a4", "a5", "aa", "ac", "f3a4", "f3ab", "d7", "8ed8", "8ec0", "8ee0", "8ee8", "8ed0", "1f", "07", "17", "0fa1", "0fa9",
	"c403", "c503", "0fb203", "0fb403", "0fb503", "ff2b", "ff1b", "cb", "ca0400", "cf", "c3", "e800000000", "0fc70b", "f00fb10b",
	"8b4500", "8b0424", "ff33", "8f03", "0f1103", "0f2803", "dd03", "dd33", "d933", "6203", "8cd8", "9c", "9d", "f00103",
}

// TestSegments holds the runner against ptrace where segments have limits, types
// and bases. A child of ptrace has one table for its life, so that each costs a
// new child here.
func TestSegments(t *testing.T) {
	for _, mode := range []x86.Mode{x86.Compat32, x86.Compat16} {
		t.Run("mode="+mode.String(), func(t *testing.T) {
			slow, fast := newExecutor(t), newRunner(t)
			a := newAgreement()
			r := rand.New(rand.NewPCG(4, uint64(mode)))
			for range 60 {
				table := segmentCase(r, mode)
				var cases []oracle.Case
				for range 40 {
					c := table
					c.Memory = make([]byte, len(table.Memory))
					b := fromHex(t, segmentStrings[r.IntN(len(segmentStrings))])
					if r.IntN(4) == 0 {
						b = randomString(r)
					}
					c.CodeLen = uint8(copy(c.Code[:], b))
					states(r, &c)
					c.FSBase, c.GSBase = table.FSBase, table.GSBase
					selectors(r, &c)
					cases = append(cases, c)
				}
				a.agree(t, slow, fast, cases)
			}
			a.report(t)
			assert.Greater(t, a.compared, 60*40/3)
		})
	}
}

// selectors puts selectors where they are loaded from: registers, and the words
// of memory.
func selectors(r *rand.Rand, c *oracle.Case) {
	choose := func() uint64 {
		return uint64([]uint16{0, 3, selData, selCS32, selCS64, 0x1234, oracle.LDTSelector(12)}[r.IntN(7)])
	}
	if r.IntN(4) != 0 {
		choose = func() uint64 { return uint64(oracle.LDTSelector(r.IntN(12))) }
	}
	if r.IntN(2) == 0 {
		c.State.GPR[x86.RAX] = choose()
	}
	for i := 0; i+8 <= len(c.Memory); i += 8 {
		if r.IntN(2) == 0 {
			c.Memory[i] = byte(choose())
			c.Memory[i+1] = 0
			c.Memory[i+4] = byte(choose())
			c.Memory[i+5] = 0
		}
	}
}

// TestTable: what modify_ldt does not build is refused by name.
func TestTable(t *testing.T) {
	good := x86.SegmentRegister{Selector: oracle.LDTSelector(3), Limit: 0xffff, Attributes: oracle.AttrData16}
	for _, k := range []struct {
		change func(r *x86.SegmentRegister)
		ok     bool
	}{
		{func(*x86.SegmentRegister) {}, true},
		{func(r *x86.SegmentRegister) { r.Attributes &^= x86.AttrPresent }, true},
		{func(r *x86.SegmentRegister) { r.Attributes |= x86.AttrCode | x86.AttrExpand }, false},
		{func(r *x86.SegmentRegister) { r.Attributes &^= x86.AttrAccessed }, false},
		{func(r *x86.SegmentRegister) { r.Attributes &^= 3 << x86.AttrDPLShift }, false},
		{func(r *x86.SegmentRegister) { r.Attributes &^= x86.AttrS }, false},
		{func(r *x86.SegmentRegister) { r.Attributes |= x86.AttrL }, false},
		{func(r *x86.SegmentRegister) { r.Attributes, r.Limit = r.Attributes|x86.AttrG, 0x1000 }, false}, // a limit in pages ends in fff
		{func(r *x86.SegmentRegister) { r.Limit = 1 << 20 }, false},
		{func(r *x86.SegmentRegister) { r.Base = 1 << 32 }, false},
		{func(r *x86.SegmentRegister) { r.Selector = oracle.LDTSelector(maxLDT) }, false},
		{func(r *x86.SegmentRegister) { r.Selector &^= 3 }, false},
	} {
		d := good
		k.change(&d)
		var table ldt
		why := table.add(&d)
		assert.Equal(t, k.ok, why == "", "%+v: %s", d, why)
		if k.ok {
			again := table[3].register()
			assert.Equal(t, [3]uint64{d.Base, uint64(d.Limit), uint64(d.Attributes)}, [3]uint64{again.Base, uint64(again.Limit), uint64(again.Attributes)})
		}
	}
	e := newExecutor(t)
	c := newCase(x86.Long64, []byte{0x90})
	bad := good
	bad.Attributes &^= x86.AttrAccessed
	c.LDT = []x86.SegmentRegister{bad}
	r := one(t, e, &c)
	require.Equal(t, oracle.Unsupported, r.Ending)
	assert.Contains(t, r.Note, "modify_ldt")
}
