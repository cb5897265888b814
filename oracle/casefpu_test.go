package oracle

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// TestFPURegisters: which components a register of the schema loads, and what
// is written of them.
func TestFPURegisters(t *testing.T) {
	c, err := ParseCase([]byte(`{"code":"90","registers":{"st7":"0x7fff8000000000000001","mxcsr":"0x1f00","ymm3":"0x1000000000000000000000000000000000000000000000002","ftw":"0x80"}}`))
	require.NoError(t, err)
	require.NotNil(t, c.State.FPU)
	assert.Equal(t, ComponentsBasic|x86.ComponentAVX, c.State.FPU.Loaded)
	assert.Equal(t, uint64(0x8000000000000001), c.State.FPU.ST[7].Significand)
	assert.Equal(t, uint16(0x7fff), c.State.FPU.ST[7].SignExponent)
	assert.Equal(t, [8]uint64{2, 0, 0, 1}, c.State.FPU.ZMM[3])
	assert.Equal(t, uint8(0x80), c.State.FPU.FTW)
	assert.Equal(t, uint16(InitialFCW), c.State.FPU.FCW)
	assert.Contains(t, string(AppendCase(nil, c)), `"st7":"0x7fff8000000000000001","ftw":"0x80","mxcsr":"0x1f00","ymm0":"0x0","ymm3":"0x1000000000000000000000000000000000000000000000002"`)

	_, err = ParseCase([]byte(`{"code":"90","registers":{"ftw":"0x100"}}`))
	assert.ErrorContains(t, err, "a value of 9 bits: want at most 8")
}

// TestWideCaseRoundTrip: cases with vector state, segments and descriptors are
// the same after writing and reading.
func TestWideCaseRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	all := ComponentsBasic | x86.ComponentAVX | x86.ComponentOpmask | x86.ComponentZMMHigh | x86.ComponentZMM16
	for _, loaded := range []x86.Component{ComponentsBasic, ComponentsBasic | x86.ComponentAVX, all} {
		for _, m := range []x86.Mode{x86.Long64, x86.Compat32, x86.Compat16} {
			c := &Case{State: DefaultStateOf(m), Layout: DefaultLayout, Memory: make([]byte, DefaultLayout.WindowBytes()), CodeLen: 1, Steps: 1}
			c.Code[0] = 0x90
			c.State.FPU = new(x86.FPU)
			InitFPU(c.State.FPU, loaded)
			f := c.State.FPU
			f.FSW, f.FTW, f.FOP, f.FIP, f.FDP, f.MXCSR = uint16(r.Uint32()), uint8(r.Uint32()), 7, 8, 9, 0x1fa0
			words := 2
			if loaded&x86.ComponentAVX != 0 {
				words = 4
			}
			if loaded&x86.ComponentZMMHigh != 0 {
				words = 8
				f.K[7] = r.Uint64()
			}
			for i := range words {
				f.ZMM[5][i] = r.Uint64() >> r.IntN(64)
				if loaded&x86.ComponentZMM16 != 0 {
					f.ZMM[30][i] = r.Uint64()
				}
			}
			f.ST[2].Significand, f.ST[2].SignExponent = r.Uint64(), 0x123
			if m == x86.Compat32 {
				var s [x86.NumSegment]x86.SegmentRegister
				for i := range s {
					s[i] = c.Segment(x86.Segment(i))
				}
				s[x86.DS] = x86.SegmentRegister{Selector: LDTSelector(3), Attributes: AttrData16, Limit: 0xfff, Base: DataBase}
				c.State.Selector[x86.DS] = LDTSelector(3)
				c.Segments = &s
				c.LDT = []x86.SegmentRegister{{Selector: LDTSelector(4), Attributes: AttrData16 &^ x86.AttrPresent, Limit: 1}}
			}
			text := AppendCase(nil, c)
			back, err := ParseCase(text)
			require.NoError(t, err, "%s", text)
			back.Given = nil
			assert.True(t, reflect.DeepEqual(c, back), "%s", text)
		}
	}
}

// TestCompareFPU: each part that differs is told; the pointers count only while
// an exception is pending.
func TestCompareFPU(t *testing.T) {
	for _, k := range []struct {
		name   string
		change func(f *x86.FPU)
		want   uint8
		masked uint64
	}{
		{"nothing", func(*x86.FPU) {}, 0, 0},
		{"fsw", func(f *x86.FPU) { f.FSW = 1 << 8 }, FPUControl, 0},
		{"ftw", func(f *x86.FPU) { f.FTW = 1 }, FPUControl, 0},
		{"st", func(f *x86.FPU) { f.ST[7].Significand = 1 }, FPUStack, 0},
		{"mxcsr", func(f *x86.FPU) { f.MXCSR |= 1 }, FPUMXCSR, 0},
		{"zmm", func(f *x86.FPU) { f.ZMM[31][7] = 1 }, FPUVector, 0},
		{"k", func(f *x86.FPU) { f.K[1] = 1 }, FPUMask, 0},
		{"fip", func(f *x86.FPU) { f.FIP = 1 }, 0, 1},
		{"fip, pending", func(f *x86.FPU) { f.FIP, f.FCW, f.FSW = 1, InitialFCW&^4, 4 }, FPUControl | FPUPointers, 0},
	} {
		var a, b x86.FPU
		InitFPU(&a, ComponentsBasic)
		InitFPU(&b, ComponentsBasic)
		k.change(&b)
		c := &Case{State: DefaultState(), Layout: DefaultLayout}
		s, r := Result{State: c.State}, Result{State: c.State}
		s.State.FPU, r.State.FPU = &a, &b
		var cmp Comparer
		d := cmp.Compare(c, nil, &s, &r)
		assert.Equal(t, k.want, d.FPU, k.name)
		assert.Equal(t, k.want != 0, d.Fields&FieldFPU != 0, k.name)
		assert.Equal(t, k.masked, cmp.Counts[RuleFPUPointers].Masked, k.name)
	}
}
