package diff

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/fuzz/gen"
	"github.com/seed-4e121ece/ringfence/fuzz/internal/planted"
	"github.com/seed-4e121ece/ringfence/fuzz/minimise"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/seed-4e121ece/ringfence/oracle/model"
	"github.com/seed-4e121ece/ringfence/oracle/x86asm"
)

func profile() *isa.Profile {
	return &isa.Profile{Name: "test", Vendor: isa.Intel, Features: isa.AllFeatures(), VirtualBits: 48}
}

// pair returns a differ of the model against itself, with a flaw in the
// subject if there is one.
func pair(flaw planted.Flaw, n int) (*Differ, []oracle.Case) {
	p := profile()
	cases := gen.NewCases(n)
	var s oracle.Executor = model.New(p)
	if flaw != nil {
		s = planted.New(s, p, flaw)
	}
	return New(s, model.New(p, model.WithName("reference")), p, n, len(cases[0].Memory)), cases
}

// plain fills a case with an instruction and default registers.
func plain(c *oracle.Case, code ...byte) {
	c.Code = [16]byte{}
	c.CodeLen = uint8(copy(c.Code[:], code))
	c.State = x86.State{
		Mode: x86.Long64, StackWidth: 64, CPL: 3, RIP: oracle.CodeBase + 0x100, RFLAGS: 0x202,
		GPR: [x86.NumGPR]uint64{x86.RSP: oracle.StackBase + oracle.PageSize},
	}
	c.State.Selector[x86.CS], c.State.Selector[x86.SS] = 0x33, 0x2b
}

func TestCounts(t *testing.T) {
	d, cases := pair(nil, 5)
	plain(&cases[0], 0x90)             // retires
	plain(&cases[1], 0x0f, 0x0b)       // #UD
	plain(&cases[2], 0x8b, 0x00)       // #PF
	plain(&cases[3], 0xcc)             // INT3 does what it does
	plain(&cases[4], 0xf0, 0x90, 0x90) // bad LOCK
	require.NoError(t, d.Run(cases))
	k := &d.Counts
	require.EqualValues(t, 5, k.Cases)
	require.EqualValues(t, 5, k.Compared)
	require.EqualValues(t, 2, k.Retired)
	require.EqualValues(t, 2, k.Vectors[x86.VectorUD])
	require.EqualValues(t, 1, k.Vectors[x86.VectorPF])
	require.EqualValues(t, 1, k.Vectors[x86.VectorBP])
	require.EqualValues(t, 1, k.Invalid[decode.BadLock])
	require.Equal(t, 2, k.Covered())
	require.Zero(t, k.Diverged)

	sum := NewCounts()
	sum.Add(k)
	sum.Add(k)
	require.EqualValues(t, 10, sum.Cases)
	require.EqualValues(t, 4, sum.Retired)
	require.Equal(t, 2, sum.Covered())
}

func TestFound(t *testing.T) {
	d, cases := pair(planted.FlipAF(isa.ADD), 3)
	plain(&cases[0], 0x01, 0xc8) // ADD
	plain(&cases[1], 0x29, 0xc8) // SUB
	plain(&cases[2], 0x48, 0x01, 0xc8)
	var keys []Key
	var at []int
	d.Found = func(f *Found) {
		require.Equal(t, oracle.FieldFlags, f.Diff.Fields)
		require.Equal(t, x86.AF, f.Diff.Flags)
		keys = append(keys, KeyOf(f))
		at = append(at, f.Index)
	}
	require.NoError(t, d.Run(cases))
	require.Equal(t, []int{0, 2}, at)
	require.NotEqual(t, keys[0], keys[1], "two encodings are two keys")
	require.EqualValues(t, 2, d.Counts.Diverged)
}

// An instruction that the case cuts goes on in what the layout has behind it.
func TestInstruction(t *testing.T) {
	var in decode.Inst
	c := &gen.NewCases(1)[0]
	plain(c, 0x48, 0x81, 0xc0)
	Instruction(c, profile(), &in)
	require.True(t, in.Valid())
	require.EqualValues(t, 7, in.Length)
	require.Equal(t, ^uint64(0x33333333), in.Imm)
	c.State.RIP = oracle.CodeBase + 2*oracle.PageSize - 3
	Instruction(c, profile(), &in)
	require.Equal(t, decode.Truncated, in.Err)
}

func TestPanicIsAnAnswer(t *testing.T) {
	d, cases := pair(planted.Panic(isa.BSWAP), 3)
	plain(&cases[0], 0x90)
	plain(&cases[1], 0x0f, 0xc8)
	plain(&cases[2], 0x90)
	var found []Found
	d.Found = func(f *Found) { found = append(found, *f) }
	require.NoError(t, d.Run(cases))
	require.Len(t, found, 1)
	require.Equal(t, 1, found[0].Index)
	require.Equal(t, oracle.FieldEnding, found[0].Diff.Fields)
	require.Equal(t, oracle.Died, found[0].Subject.Ending)
	require.Contains(t, found[0].Subject.Note, "planted")
	require.EqualValues(t, 3, d.Counts.Retired, "on the reference")
}

type gone struct{ oracle.Executor }

func (gone) Run([]oracle.Case, []oracle.Result) error { return errors.New("gone") }

func TestEngineError(t *testing.T) {
	d, cases := pair(nil, 1)
	plain(&cases[0], 0x90)
	for _, subject := range []bool{true, false} {
		e, _ := pair(nil, 1)
		if subject {
			e.Subject = gone{d.Subject}
		} else {
			e.Reference = gone{d.Reference}
		}
		var err *EngineError
		require.ErrorAs(t, e.Run(cases), &err)
		require.Equal(t, subject, err.Subject)
		require.ErrorContains(t, err, "gone")
	}
}

func TestReduce(t *testing.T) {
	d, cases := pair(planted.CarryLost(isa.ADC), 1)
	g := gen.New(gen.Config{Profile: profile(), Seed: 3})
	c := &cases[0]
	var k Key
	found := false
	d.Found = func(f *Found) { k, found = KeyOf(f), true }
	for range 1000 {
		g.Seed(c, []byte{0x2e, 0x4c, 0x11, 0x9c, 0x88, 1, 2, 3, 4})
		require.NoError(t, d.Run(cases))
		if found {
			break
		}
	}
	require.True(t, found)
	f, ok := d.Reduce(c, k, minimise.Limit)
	require.True(t, ok)
	require.Equal(t, k, KeyOf(&f))
	size, fields := minimise.Size(c)
	require.LessOrEqual(t, size, 3, "% x", c.CodeBytes())
	require.LessOrEqual(t, fields, 3)
	before := d.Counts.Cases
	_, err := d.Single(c)
	require.NoError(t, err)
	require.Equal(t, before, d.Counts.Cases, "single runs are not counted")

	plain(c, 0x90)
	_, ok = d.Reduce(c, k, minimise.Limit)
	require.False(t, ok, "what does not differ cannot be reduced")
}

func TestDecoders(t *testing.T) {
	d := NewDecoders(model.NewDecoder(profile()), x86asm.New(), x86asm.Quirks())
	require.Nil(t, d.Compare([]byte{0x48, 0x01, 0xd8}, x86.Long64))
	require.EqualValues(t, 1, d.Compared)
	// A known fault of x86asm: REX that is not last.
	code := []byte{0x48, 0x48, 0xc3}
	require.Nil(t, d.Compare(code, x86.Long64))
	bare := NewDecoders(model.NewDecoder(profile()), x86asm.New(), nil)
	require.NotNil(t, bare.Compare(code, x86.Long64), "without its quirks the fault is a difference")
	sum := NewDecoders(d.Subject, d.Reference, x86asm.Quirks())
	sum.Merge(d)
	require.Equal(t, d.Quirks.Counts, sum.Quirks.Counts)
	require.EqualValues(t, 2, sum.Compared)
}

func TestRunAllocatesNothing(t *testing.T) {
	d, cases := pair(nil, 64)
	g := gen.New(gen.Config{Profile: profile(), Seed: 1})
	for i := range cases {
		g.Next(&cases[i])
	}
	n := testing.AllocsPerRun(50, func() {
		if err := d.Run(cases); err != nil {
			t.Fatal(err)
		}
	})
	require.Zero(t, n, "allocations a batch of %d", len(cases))
}
