package minimise

import (
	"testing"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/fuzz/gen"
	"github.com/seed-4e121ece/ringfence/oracle"
)

func profile() *isa.Profile {
	return &isa.Profile{Name: "test", Vendor: isa.Intel, Features: isa.AllFeatures(), VirtualBits: 48}
}

func mnemonic(c *oracle.Case, p *isa.Profile) isa.Mnemonic {
	var in decode.Inst
	if decode.Decode(&in, c.CodeBytes(), x86.Long64, p) != decode.Valid {
		return 0
	}
	return isa.Get(in.Row).Mnemonic
}

// A case is made as small as what its divergence needs.
func TestCase(t *testing.T) {
	p := profile()
	for _, tt := range []struct {
		name         string
		code         []byte
		holds        Test
		size, fields int
	}{
		{
			"a mnemonic alone",
			[]byte{0x2e, 0x3e, 0x4e, 0x11, 0x9c, 0x88, 1, 2, 3, 4},
			func(c *oracle.Case) bool { return mnemonic(c, p) == isa.ADC }, 2, 0,
		},
		{
			"a flag and a bit of a register",
			[]byte{0x48, 0x11, 0xd8},
			func(c *oracle.Case) bool {
				return mnemonic(c, p) == isa.ADC && c.State.RFLAGS&1 != 0 && c.State.GPR[x86.RAX]>>40&1 != 0
			}, 2, 2,
		},
		{
			"REX.W, an immediate's bit",
			[]byte{0x64, 0x48, 0x81, 0xd3, 0xff, 0x0f, 0x00, 0x00},
			func(c *oracle.Case) bool {
				var in decode.Inst
				decode.Decode(&in, c.CodeBytes(), x86.Long64, p)
				return mnemonic(c, p) == isa.ADC && in.OpSize == 8 && in.Imm&4 != 0
			}, 7, 0,
		},
		{
			"a byte of memory",
			[]byte{0x66, 0x66, 0x90},
			func(c *oracle.Case) bool { return mnemonic(c, p) == isa.NOP && c.Memory[77] == 0x42 }, 1, 1,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := gen.New(gen.Config{Profile: p, Seed: 1})
			c := &gen.NewCases(1)[0]
			for range 1000 {
				g.Seed(c, tt.code)
				c.Memory[77] = 0x42
				if tt.holds(c) {
					break
				}
			}
			if !tt.holds(c) {
				t.Fatal("the generator gave no case that diverges")
			}
			runs := Case(c, p, 0, tt.holds)
			if !tt.holds(c) {
				t.Fatal("the small case no longer diverges")
			}
			if size, fields := Size(c); size > tt.size || fields > tt.fields {
				t.Errorf("after %d runs: % x, %d bytes, %d fields; want at most %d bytes, %d fields", runs, c.CodeBytes(), size, fields, tt.size, tt.fields)
			}
		})
	}
}

// A bounded run stops in time, and what it has still diverges.
func TestLimit(t *testing.T) {
	p := profile()
	g := gen.New(gen.Config{Profile: p, Seed: 1})
	c := &gen.NewCases(1)[0]
	g.Seed(c, []byte{0x48, 0x11, 0xd8})
	calls := 0
	runs := Case(c, p, 50, func(c *oracle.Case) bool { calls++; return mnemonic(c, p) == isa.ADC })
	if runs > 50 || calls != runs {
		t.Errorf("%d runs, %d calls; want at most 50", runs, calls)
	}
	if mnemonic(c, p) != isa.ADC {
		t.Error("the case no longer diverges")
	}
}

// Nothing changes, and nothing breaks, when only the case itself diverges;
// whatever the bytes are.
func TestNothingToTake(t *testing.T) {
	p := profile()
	g := gen.New(gen.Config{Profile: p, Seed: 4})
	c := &gen.NewCases(1)[0]
	for range 2000 {
		g.Next(c)
		before, memory := *c, append([]byte(nil), c.Memory...)
		Case(c, p, 100, func(*oracle.Case) bool { return false })
		if c.Code != before.Code || c.CodeLen != before.CodeLen || c.State != before.State || string(c.Memory) != string(memory) {
			t.Fatalf("% x changed to % x", before.Code[:before.CodeLen], c.CodeBytes())
		}
		Case(c, p, 300, func(*oracle.Case) bool { return true })
		if size, _ := Size(c); size != 1 {
			t.Fatalf("% x: %d bytes left, though anything would do", before.Code[:before.CodeLen], size)
		}
	}
}
