package gen

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

var segmentProfile = testProfile()

// TestSegmented: cases of 32- and 16-bit code are whole: registers of 32 bits,
// RIP within the limit of CS, the width of code and stack as the segments have
// them, bases as in the segments; and there is some of each kind.
func TestSegmented(t *testing.T) {
	for _, m := range []x86.Mode{x86.Compat32, x86.Compat16} {
		t.Run(m.String(), func(t *testing.T) {
			g := New(Config{Profile: segmentProfile, Seed: 5, Mode: m})
			c := &NewCases(1)[0]
			seen := map[string]int{}
			for i := range 5000 {
				g.Next(c)
				checkSegmented(t, c, m)
				count(seen, c)
				if t.Failed() {
					t.Fatalf("case %d: % x", i, c.CodeBytes())
				}
			}
			for _, k := range []string{
				"expand-down", "read-only", "null", "base", "small limit", "flat", "16-bit stack", "32-bit stack", "code as data",
				"descriptors", "cut by the limit",
			} {
				assert.NotZero(t, seen[k], k)
			}
		})
	}
}

func checkSegmented(t *testing.T, c *oracle.Case, m x86.Mode) {
	t.Helper()
	st := &c.State
	require.Equal(t, m, st.Mode)
	for i := range 8 {
		require.Zero(t, st.GPR[i]>>32, "register %d", i)
	}
	cs, ss := c.Segment(x86.CS), c.Segment(x86.SS)
	require.LessOrEqual(t, st.RIP, uint64(cs.Limit))
	require.Equal(t, m == x86.Compat32, cs.Attributes&x86.AttrDB != 0)
	require.Equal(t, st.StackWidth == 32, ss.Attributes&x86.AttrDB != 0)
	require.NotZero(t, ss.Attributes&x86.AttrWritable)
	require.Equal(t, c.Segment(x86.FS).Base, c.FSBase)
	require.Equal(t, c.Segment(x86.GS).Base, c.GSBase)
	at := c.CodeAddress()
	require.True(t, at >= oracle.CodeBase && at < oracle.CodeBase+2*oracle.PageSize, "%#x", at)
	for s := range x86.Segment(x86.NumSegment) {
		r := c.Segment(s)
		require.Equal(t, r.Selector, st.Selector[s], "%v", s)
		if r.Attributes&x86.AttrG != 0 {
			require.EqualValues(t, 0xfff, r.Limit&0xfff)
		} else if r.Attributes&x86.AttrUnusable == 0 {
			require.Less(t, r.Limit, uint32(1<<20))
		}
	}
}

func count(seen map[string]int, c *oracle.Case) {
	for s := range x86.Segment(x86.NumSegment) {
		r := c.Segment(s)
		code := r.Attributes&x86.AttrCode != 0
		for k, on := range map[string]bool{
			"expand-down": !code && r.Attributes&x86.AttrExpand != 0, "read-only": !code && r.Attributes&(x86.AttrWritable|x86.AttrUnusable) == 0,
			"null": r.Attributes&x86.AttrUnusable != 0, "base": r.Base != 0, "small limit": r.Limit != 0 && r.Limit < 0x100,
			"flat": r.Base == 0 && r.Limit == 0xffffffff, "code as data": code && s != x86.CS,
		} {
			if on {
				seen[k]++
			}
		}
	}
	if c.State.StackWidth == 16 {
		seen["16-bit stack"]++
	} else {
		seen["32-bit stack"]++
	}
	if len(c.LDT) > 0 {
		seen["descriptors"]++
	}
	if cs := c.Segment(x86.CS); c.State.RIP+uint64(c.CodeLen) > uint64(cs.Limit)+1 {
		seen["cut by the limit"]++
	}
}

// TestSegmentedRows: every row of a mode can be made, and decodes as itself or
// as a row of the same bytes.
func TestSegmentedRows(t *testing.T) {
	for _, m := range []x86.Mode{x86.Compat32, x86.Compat16} {
		g := New(Config{Profile: segmentProfile, Seed: 6, Mode: m})
		c := &NewCases(1)[0]
		for _, row := range isa.Rows() {
			if row.Modes&Modes(m) == 0 || DefaultWeight(&row) == 0 || row.Map >= isa.MapVEX1 {
				continue
			}
			made := false
			for range 64 {
				g.FromRow(c, row.ID)
				var in decode.Inst
				decode.Decode(&in, c.CodeBytes(), m, segmentProfile)
				made = made || in.Valid() && (in.Row == row.ID || in.Row == row.Fallback)
			}
			assert.True(t, made, "%v: %s", m, row.String())
		}
	}
}

func TestSegmentedRepeats(t *testing.T) {
	data := []byte{1, 2, 3, 4, 0x8b, 0x03}
	a := New(Config{Profile: segmentProfile, Mode: x86.Compat32})
	b := New(Config{Profile: segmentProfile, Mode: x86.Compat32, Seed: 99})
	ca, cb := &NewCases(1)[0], &NewCases(1)[0]
	for n := range 64 {
		b.Next(cb) // what came before does not matter
		a.FromBytes(data, n, ca)
		b.FromBytes(data, n, cb)
		require.Equal(t, ca, cb)
	}
}

func TestSegmentedAllocates(t *testing.T) {
	g := New(Config{Profile: segmentProfile, Mode: x86.Compat16})
	c := &NewCases(1)[0]
	g.Next(c)
	assert.Zero(t, testing.AllocsPerRun(5000, func() { g.Next(c) }))
}
