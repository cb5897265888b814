package silicon

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// randomFPU fills all registers of the components with random bits.
func randomFPU(r *rand.Rand, c x86.Component) *x86.FPU {
	f := new(x86.FPU)
	oracle.InitFPU(f, c)
	f.FCW = 0x37f | uint16(r.IntN(4))<<10
	f.FSW = uint16(r.IntN(8))<<11 | uint16(r.IntN(2))<<8
	f.FTW = uint8(r.Uint32())
	for i := range f.ST {
		f.ST[i].Significand, f.ST[i].SignExponent = r.Uint64(), uint16(r.Uint32())
	}
	f.MXCSR = 0x1f80 | uint32(r.IntN(4))<<13
	for i := range f.ZMM {
		for j := range wordsOf(i, c) {
			f.ZMM[i][j] = r.Uint64()
		}
	}
	if c&x86.ComponentOpmask != 0 {
		for i := range f.K {
			f.K[i] = r.Uint64()
		}
	}
	return f
}

// subsets are the components that CPUs without AVX-512 or AVX have, and this
// one's.
func subsets() []x86.Component {
	s := []x86.Component{oracle.ComponentsBasic}
	for _, c := range []x86.Component{oracle.ComponentsBasic | x86.ComponentAVX, AllComponents()} {
		if AllComponents()&c == c && s[len(s)-1] != c {
			s = append(s, c)
		}
	}
	return s
}

// TestFPUInOut: what goes in comes out, whether the case retires, stops at the
// breakpoint or the trap flag, or faults; in every mode.
func TestFPUInOut(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	e := newExecutor(t)
	for _, m := range []x86.Mode{x86.Long64, x86.Compat32, x86.Compat16} {
		for _, components := range subsets() {
			for _, code := range []string{"90", "eb10", "0f0b", "f1", "f7f1", "cc"} {
				for range 4 {
					c := NewCaseIn(m, fromHex(t, code))
					c.State.FPU = randomFPU(r, components)
					before := *c.State.FPU
					got := runOne(t, e, &c)
					require.Equal(t, oracle.Ended, got.Ending, got.Note)
					require.NotSame(t, c.State.FPU, got.State.FPU)
					require.Equal(t, before, *c.State.FPU, "the case has been changed")
					if m != x86.Long64 {
						before.FIP, before.FDP = got.State.FPU.FIP, got.State.FPU.FDP
					}
					require.Equal(t, before, *got.State.FPU, "%v %s %#x", m, code, components)
				}
			}
		}
	}
	assert.Zero(t, e.Respawns())
}

func single(a, b float32) uint64 {
	return uint64(math.Float32bits(a)) | uint64(math.Float32bits(b))<<32
}

// TestFPUKnown: instructions on the state.
func TestFPUKnown(t *testing.T) {
	e := newExecutor(t)
	for _, k := range []struct {
		name, code string
		needs      x86.Component
		set        func(f *x86.FPU)
		want       func(f *x86.FPU)
		event      string
	}{
		{"addps", "0f58c1", 0, func(f *x86.FPU) {
			f.ZMM[0][0], f.ZMM[1][0] = single(1, 2), single(10, 20)
		}, func(f *x86.FPU) { f.ZMM[0][0] = single(11, 22) }, ""},
		{"divps by zero, masked", "0f5ec1", 0, func(f *x86.FPU) {
			f.ZMM[0], f.ZMM[1] = [8]uint64{single(1, 1), single(1, 1)}, [8]uint64{single(1, 0), single(1, 1)}
		}, func(f *x86.FPU) {
			f.ZMM[0] = [8]uint64{single(1, float32(math.Inf(1))), single(1, 1)}
			f.MXCSR |= 4
		}, ""},
		{"divps by zero", "0f5ec1", 0, func(f *x86.FPU) {
			f.MXCSR &^= 4 << 7
			f.ZMM[0], f.ZMM[1] = [8]uint64{single(1, 1), single(1, 1)}, [8]uint64{single(1, 0), single(1, 1)}
		}, func(f *x86.FPU) { f.MXCSR |= 4 }, "#XM"},
		{"fld1", "d9e8", 0, func(f *x86.FPU) {}, func(f *x86.FPU) {
			f.FSW, f.FTW = 7<<11, 0x80
			f.ST[0].Significand, f.ST[0].SignExponent = 1<<63, 0x3fff
		}, ""},
		{"fwait with an exception pending", "9b", 0, func(f *x86.FPU) {
			f.FCW, f.FSW = 0x37b, 0x8084
		}, func(f *x86.FPU) {}, "#MF"},
		{"movq mm0", "0f6fc1", 0, func(f *x86.FPU) {
			f.FTW, f.ST[1].Significand, f.ST[1].SignExponent = 2, 0x1122, 3
		}, func(f *x86.FPU) {
			f.FTW, f.FSW, f.ST[0].Significand, f.ST[0].SignExponent = 0xff, 0, 0x1122, 0xffff
		}, ""},
		{"vpaddd ymm", "c5f5fec2", x86.ComponentAVX, func(f *x86.FPU) {
			f.ZMM[1], f.ZMM[2] = [8]uint64{1, 2, 3, 4}, [8]uint64{10, 20, 30, 40}
		}, func(f *x86.FPU) { f.ZMM[0] = [8]uint64{11, 22, 33, 44} }, ""},
		{"vzeroupper", "c5f877", x86.ComponentAVX, func(f *x86.FPU) {
			f.ZMM[3] = [8]uint64{1, 2, 3, 4}
		}, func(f *x86.FPU) { f.ZMM[3] = [8]uint64{1, 2} }, ""},
		{"vpaddq zmm17{k1}{z}, zmm18, zmm17", "62a1edc1d4c9", x86.ComponentZMM16, func(f *x86.FPU) {
			f.ZMM[18], f.ZMM[17], f.K[1] = [8]uint64{1, 2, 3, 4, 5, 6, 7, 8}, [8]uint64{9, 9, 9, 9, 9, 9, 9, 9}, 0x81
		}, func(f *x86.FPU) { f.ZMM[17] = [8]uint64{10, 0, 0, 0, 0, 0, 0, 17} }, ""},
		{"ldmxcsr of a reserved bit", "0fae13", 0, func(f *x86.FPU) {}, func(f *x86.FPU) {}, "#GP(0x0)"},
	} {
		t.Run(k.name, func(t *testing.T) {
			if AllComponents()&k.needs != k.needs {
				t.Skip("this CPU does not have the component")
			}
			c := NewCase(fromHex(t, k.code))
			c.State.GPR[x86.RBX] = middle
			for i := range 8 {
				c.Memory[offset(t, c.Layout, middle)+i] = 0xff
			}
			c.State.FPU = new(x86.FPU)
			oracle.InitFPU(c.State.FPU, AllComponents())
			k.set(c.State.FPU)
			want := *c.State.FPU
			k.want(&want)
			r := runOne(t, e, &c)
			require.Equal(t, oracle.Ended, r.Ending, r.Note)
			if k.event != "" {
				require.Equal(t, k.event, r.Event.String())
			} else {
				require.Equal(t, step.Okay, r.Outcome, "%v", r.Event)
			}
			want.FOP, want.FIP, want.FDP = r.State.FPU.FOP, r.State.FPU.FIP, r.State.FPU.FDP
			assert.Equal(t, want, *r.State.FPU)
		})
	}
	assert.Zero(t, e.Respawns())
}

// TestFPURefused: what FXRSTOR would fault on, or this CPU has not, is
// unsupported.
func TestFPURefused(t *testing.T) {
	e := newExecutor(t)
	for note, set := range map[string]func(f *x86.FPU){
		"mxcsr":         func(f *x86.FPU) { f.MXCSR |= 1 << 16 },
		"go together":   func(f *x86.FPU) { f.Loaded = x86.ComponentX87 },
		"does not have": func(f *x86.FPU) { f.Loaded |= 1 << 40 },
	} {
		c := NewCase(fromHex(t, "90"))
		c.State.FPU = new(x86.FPU)
		oracle.InitFPU(c.State.FPU, AllComponents())
		set(c.State.FPU)
		r := runOne(t, e, &c)
		assert.Equal(t, oracle.Unsupported, r.Ending)
		assert.Contains(t, r.Note, note)
	}
	assert.Zero(t, e.Respawns())
}

// TestFPUOfOthers: a case that does not say the state has the initial one,
// whatever ran before.
func TestFPUOfOthers(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	e := newExecutor(t)
	loud := NewCase(fromHex(t, "0f58c1"))
	loud.State.FPU = randomFPU(r, AllComponents())
	quiet := NewCase(fromHex(t, "0f1103")) // MOVUPS [RBX], XMM0
	quiet.State.GPR[x86.RBX] = middle
	stmxcsr := NewCase(fromHex(t, "0fae1b"))
	stmxcsr.State.GPR[x86.RBX] = middle
	results := make([]oracle.Result, 3)
	require.NoError(t, e.Run([]oracle.Case{loud, quiet, stmxcsr}, results))
	assert.Nil(t, results[1].State.FPU)
	assert.Equal(t, make([]byte, 16), results[1].Memory[offset(t, quiet.Layout, middle):][:16])
	assert.Equal(t, []byte{0x80, 0x1f, 0, 0}, results[2].Memory[offset(t, quiet.Layout, middle):][:4])
}

// TestNarrowVectors runs the tables as on CPUs without AVX-512, and without
// AVX: the runner has code of its own for each.
func TestNarrowVectors(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for narrow, components := range []x86.Component{AllComponents(), oracle.ComponentsBasic | x86.ComponentAVX, oracle.ComponentsBasic} {
		if AllComponents()&components != components {
			continue
		}
		e := newExecutor(t)
		e.narrow = narrow
		_, err := e.replace(&e.replaced.Moved) // the first child knows nothing of it
		require.NoError(t, err)
		for _, k := range knownCases() {
			if k.vendor != "" {
				continue
			}
			c := NewCase(fromHex(t, k.code))
			apply(t, &c, k.in)
			c.State.FPU = randomFPU(r, components)
			before := *c.State.FPU
			got := runOne(t, e, &c)
			k.check(t, &c, got)
			if got.Ending == oracle.Ended && got.State.FPU != nil {
				require.Equal(t, before, *got.State.FPU, "%d: %s", narrow, k.name)
			}
		}
		stray := NewCase(fromHex(t, "f348ab")) // REP STOSQ over both pages
		stray.State.GPR[x86.RDI], stray.State.GPR[x86.RCX], stray.State.GPR[x86.RAX] = data, 1024, ^uint64(0)
		require.Equal(t, 1024-640/8, runOne(t, e, &stray).NumStray)
		require.Equal(t, 0, runOne(t, e, &[]oracle.Case{NewCase(fromHex(t, "90"))}[0]).NumStray)
		assert.Equal(t, 1, e.Respawns())
	}
}
