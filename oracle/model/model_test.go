package model

import (
	"encoding/hex"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

var profile = &isa.Profile{Name: "test", Features: isa.AllFeatures(), VirtualBits: 48}

func newCase(t testing.TB, code string, set func(*oracle.Case)) oracle.Case {
	t.Helper()
	c := oracle.Case{Layout: oracle.DefaultLayout, Memory: make([]byte, oracle.DefaultLayout.WindowBytes())}
	c.State = x86.State{Mode: x86.Long64, StackWidth: 64, CPL: 3, RIP: oracle.CodeBase, RFLAGS: 0x202}
	c.State.GPR[x86.RSP] = oracle.StackBase + oracle.PageSize
	b, err := hex.DecodeString(code)
	require.NoError(t, err)
	c.CodeLen = uint8(copy(c.Code[:], b))
	if set != nil {
		set(&c)
	}
	return c
}

func newResult() oracle.Result {
	return oracle.Result{Memory: make([]byte, oracle.DefaultLayout.WindowBytes())}
}

func TestRun(t *testing.T) {
	rows := []struct {
		name, code string
		set        func(*oracle.Case)
		check      func(*testing.T, *oracle.Result)
	}{
		{"add", "4801d8", func(c *oracle.Case) { c.State.GPR[x86.RAX], c.State.GPR[x86.RBX] = 1, 2 }, func(t *testing.T, r *oracle.Result) {
			assert.Equal(t, step.Okay, r.Outcome)
			assert.Equal(t, uint64(3), r.State.GPR[x86.RAX])
			assert.Equal(t, uint64(oracle.CodeBase+3), r.State.RIP)
			assert.Equal(t, 1, r.Steps)
		}},
		{"store in a window", "48010b", func(c *oracle.Case) {
			c.State.GPR[x86.RBX], c.State.GPR[x86.RCX] = oracle.DataBase+oracle.PageSize, 5
			c.Memory[256] = 7
		}, func(t *testing.T, r *oracle.Result) {
			assert.Equal(t, byte(12), r.Memory[256])
			assert.Zero(t, r.NumStray)
		}},
		{"store outside the windows", "48010b", func(c *oracle.Case) {
			c.State.GPR[x86.RBX], c.State.GPR[x86.RCX] = oracle.DataBase+0x102, 5
		}, func(t *testing.T, r *oracle.Result) {
			require.Equal(t, 1, r.NumStray)
			assert.Equal(t, oracle.StrayWord{Address: oracle.DataBase + 0x100, Value: 5 << 16}, r.Stray[0])
		}},
		{"page fault", "48010b", func(c *oracle.Case) { c.State.GPR[x86.RBX] = oracle.ReadOnlyBase }, func(t *testing.T, r *oracle.Result) {
			assert.Equal(t, step.Exception, r.Outcome)
			assert.Equal(t, x86.PageFault(7, oracle.ReadOnlyBase), r.Event)
			assert.Equal(t, uint64(oracle.CodeBase), r.State.RIP)
			assert.Zero(t, r.Steps)
		}},
		{"steps", "4801d84801d84801d8", func(c *oracle.Case) {
			c.State.GPR[x86.RBX] = 2
			c.Steps = 3
		}, func(t *testing.T, r *oracle.Result) {
			assert.Equal(t, 3, r.Steps)
			assert.Equal(t, uint64(6), r.State.GPR[x86.RAX])
		}},
		{"steps that end in a fault", "4801d80f0b", func(c *oracle.Case) { c.Steps = 3 }, func(t *testing.T, r *oracle.Result) {
			assert.Equal(t, 1, r.Steps)
			assert.Equal(t, step.Exception, r.Outcome)
			assert.Equal(t, uint64(oracle.CodeBase+3), r.State.RIP)
		}},
		{"no code", "", func(c *oracle.Case) { c.State.RIP = 0x1234 }, func(t *testing.T, r *oracle.Result) {
			assert.Equal(t, x86.PageFault(x86.PFUser|x86.PFFetch, 0x1234), r.Event)
		}},
		{"another mode", "90", func(c *oracle.Case) { c.State.Mode = x86.Protected32 }, func(t *testing.T, r *oracle.Result) {
			assert.Equal(t, oracle.Unsupported, r.Ending)
			assert.Equal(t, "mode", r.Note)
		}},
		{"a key that no engine has", "90", func(c *oracle.Case) { c.Extra = []string{"ports"} }, func(t *testing.T, r *oracle.Result) {
			assert.Equal(t, oracle.Unsupported, r.Ending)
			assert.Equal(t, "ports", r.Note)
		}},
	}
	e := New(profile)
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			c := []oracle.Case{newCase(t, row.code, row.set)}
			r := []oracle.Result{newResult()}
			require.NoError(t, e.Run(c, r))
			assert.Empty(t, r[0].Promise)
			row.check(t, &r[0])
		})
	}
}

func TestAccesses(t *testing.T) {
	e := New(profile, WithAccesses())
	cases := []oracle.Case{newCase(t, "48010b", func(c *oracle.Case) { c.State.GPR[x86.RBX] = oracle.DataBase }), newCase(t, "4801d8", nil)}
	results := []oracle.Result{newResult(), newResult()}
	require.NoError(t, e.Run(cases, results))
	require.Len(t, results[0].Accesses, 1)
	assert.Equal(t, step.Access{Offset: oracle.DataBase, Size: 8, Segment: x86.DS, Intent: step.IntentModify}, results[0].Accesses[0])
	assert.Empty(t, results[1].Accesses)
	assert.Zero(t, results[0].Unknown)
	e = New(profile)
	require.NoError(t, e.Run(cases, results))
	assert.Equal(t, oracle.FieldAccesses, results[0].Unknown)
}

// broken is a Stepper that breaks the contract on demand.
type broken struct {
	emulator.Stepper
	mode int
}

func (b *broken) Step(s *x86.State, bus step.Bus, fx *step.Effects) step.Outcome {
	out := b.Stepper.Step(s, bus, fx)
	switch b.mode {
	case 1:
		panic("index out of range")
	case 2:
		fx.Outcome = step.Retry
		return step.Retry
	case 3:
		fx.Again = true
	case 4:
		return step.Done
	}
	return out
}

// TestBroken: what breaks is answered, and the rest of the batch goes on.
func TestBroken(t *testing.T) {
	rows := []struct {
		name    string
		mode    int
		ending  oracle.Ending
		outcome step.Outcome
		promise bool
	}{
		{"panic", 1, oracle.Died, step.Okay, false},
		{"retry for ever", 2, oracle.Ended, step.Retry, true},
		{"again for ever", 3, oracle.RanAway, step.Okay, true},
		{"inside outcome", 4, oracle.Ended, step.Okay, true},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			b := &broken{mode: row.mode}
			e := New(profile, WithName("broken"), WithStepper(func(h step.Hooks) emulator.Stepper {
				b.Stepper = emulator.New(profile, h)
				return b
			}))
			cases := []oracle.Case{newCase(t, "4801d8", nil), newCase(t, "4801d8", nil)}
			results := []oracle.Result{newResult(), newResult()}
			require.NoError(t, e.Run(cases, results))
			for i := range results {
				assert.Equal(t, row.ending, results[i].Ending)
				if row.ending == oracle.Ended {
					assert.Equal(t, row.outcome, results[i].Outcome)
				}
				assert.Equal(t, row.promise, results[i].Promise != "", results[i].Promise)
			}
		})
	}
}

func TestRunErrors(t *testing.T) {
	e := New(profile)
	assert.ErrorContains(t, e.Run(make([]oracle.Case, 1), nil), "1 cases and 0 results")
	c := []oracle.Case{newCase(t, "90", func(c *oracle.Case) { c.Memory = c.Memory[:3] })}
	assert.ErrorContains(t, e.Run(c, []oracle.Result{newResult()}), "3 bytes of memory")
	c[0] = newCase(t, "90", func(c *oracle.Case) { c.Layout = &oracle.Layout{Pages: []oracle.Pages{{Address: 1, Count: 1}}} })
	assert.ErrorContains(t, e.Run(c, []oracle.Result{newResult()}), "layout")
}

func TestNoAllocation(t *testing.T) {
	e := New(profile)
	cases := []oracle.Case{
		newCase(t, "4801d8", nil), newCase(t, "48010b", func(c *oracle.Case) { c.State.GPR[x86.RBX] = oracle.DataBase }),
		newCase(t, "48010b", nil), newCase(t, "0f0b", nil),
	}
	results := []oracle.Result{newResult(), newResult(), newResult(), newResult()}
	require.NoError(t, e.Run(cases, results))
	assert.Zero(t, testing.AllocsPerRun(100, func() { _ = e.Run(cases, results) }))
}

func BenchmarkRun(b *testing.B) {
	e := New(profile)
	for _, row := range []struct {
		name, code string
		rbx        uint64
	}{
		{"form=reg", "4801d8", 1},
		{"form=load", "48030b", oracle.DataBase + oracle.PageSize},
		{"form=rmw", "48010b", oracle.DataBase + oracle.PageSize},
		{"form=fault", "48010b", 0},
	} {
		b.Run(row.name, func(b *testing.B) {
			cases := make([]oracle.Case, 64)
			results := make([]oracle.Result, len(cases))
			for i := range cases {
				cases[i] = newCase(b, row.code, func(c *oracle.Case) { c.State.GPR[x86.RBX] = row.rbx })
				results[i] = newResult()
			}
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				if err := e.Run(cases, results); err != nil {
					b.Fatal(err)
				}
				n += len(cases)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/case")
		})
	}
}

// TestRandomBytes: whatever the bytes, the emulator on the machine keeps its
// promises and neither panics nor runs away, and a second run says the same.
func TestRandomBytes(t *testing.T) {
	e := New(profile)
	r := rand.New(rand.NewPCG(3, 4))
	const n = 64
	cases, results, again := make([]oracle.Case, n), make([]oracle.Result, n), make([]oracle.Result, n)
	for i := range cases {
		cases[i] = newCase(t, "", nil)
		results[i], again[i] = newResult(), newResult()
	}
	near := [...]uint64{oracle.DataBase, oracle.DataBase + oracle.PageSize, oracle.StackBase + oracle.PageSize, oracle.ReadOnlyBase, oracle.CodeBase, 0}
	retired := 0
	for range 300 {
		for i := range cases {
			c := &cases[i]
			for j := range c.Code[:15] {
				c.Code[j] = byte(r.Uint32())
			}
			c.CodeLen = 15
			for j := range c.State.GPR {
				c.State.GPR[j] = near[r.IntN(len(near))] + r.Uint64N(64) - 16
			}
			c.State.RFLAGS = 0x202 | r.Uint64()&uint64(x86.FlagsUser)
			c.Memory[r.IntN(len(c.Memory))] = byte(r.Uint32())
		}
		require.NoError(t, e.Run(cases, results))
		require.NoError(t, e.Run(cases, again))
		for i := range results {
			require.Empty(t, results[i].Promise, "% x", cases[i].CodeBytes())
			require.Equal(t, oracle.Ended, results[i].Ending, "% x: %s", cases[i].CodeBytes(), results[i].Note)
			require.Equal(t, results[i], again[i], "% x", cases[i].CodeBytes())
			retired += results[i].Steps
		}
	}
	assert.Greater(t, retired, 300*n/10, "too few retire for the test to mean something")
}

func TestDecoder(t *testing.T) {
	gpr := func(n, size uint8) oracle.Operand {
		return oracle.Operand{Kind: oracle.OperandRegister, Class: x86.ClassGPR, Register: n, Size: size}
	}
	mem := func(size uint8, base, index, scale uint8, disp int64) oracle.Operand {
		return oracle.Operand{Kind: oracle.OperandMemory, Size: size, AddrSize: 8, Segment: x86.DS, Base: base, Index: index, Scale: scale, Value: disp}
	}
	imm := func(size uint8, v int64) oracle.Operand {
		return oracle.Operand{Kind: oracle.OperandImmediate, Size: size, Value: v}
	}
	rows := []struct {
		code, mnemonic string
		operands       []oracle.Operand
	}{
		{"4801d8", "ADD", []oracle.Operand{gpr(x86.RAX, 8), gpr(x86.RBX, 8)}},
		{"00e0", "ADD", []oracle.Operand{gpr(x86.RAX, 1), {Kind: oracle.OperandRegister, Class: x86.ClassHigh, Register: 4, Size: 1}}},
		{"4881c0ffffffff", "ADD", []oracle.Operand{gpr(x86.RAX, 8), imm(8, -1)}},
		{"83c0ff", "ADD", []oracle.Operand{gpr(x86.RAX, 4), imm(4, 0xffffffff)}},
		{"488b84c8f0ffffff", "MOV", []oracle.Operand{gpr(x86.RAX, 8), mem(8, x86.RAX, x86.RCX, 8, -16)}},
		{"8b0510000000", "MOV", []oracle.Operand{gpr(x86.RAX, 4), mem(4, x86.RegRIP, x86.RegNone, 1, 16)}},
		{"ebfe", "JMP", []oracle.Operand{{Kind: oracle.OperandRelative, Value: -2}}},
		{"d1e0", "SHL", []oracle.Operand{gpr(x86.RAX, 4), imm(1, 1)}},
	}
	d := NewDecoder(profile)
	for _, row := range rows {
		b, err := hex.DecodeString(row.code)
		require.NoError(t, err)
		var got oracle.Decoded
		d.Decode(b, x86.Long64, &got)
		assert.True(t, got.Valid && got.Covered, row.code)
		assert.Equal(t, row.mnemonic, got.Mnemonic, row.code)
		assert.Equal(t, int(got.Length), len(b), row.code)
		assert.Equal(t, row.operands, got.Operands[:got.NumOperands], row.code)
	}
	var got oracle.Decoded
	d.Decode([]byte{0x0f}, x86.Long64, &got)
	assert.False(t, got.Valid)
	assert.Equal(t, "truncated", got.Reason)
	d.Decode([]byte{0x62, 0xf2, 0x7e, 0x48, 0x5e, 0xc1}, x86.Long64, &got)
	assert.False(t, got.Covered)
	assert.Equal(t, "ACE", got.Group)
	code := []byte{0x48, 0x01, 0xd8}
	assert.Zero(t, testing.AllocsPerRun(100, func() { d.Decode(code, x86.Long64, &got) }))
}
