package gen

import (
	"bytes"
	"testing"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// testProfile is a CPU of today, whose NOPs are no MPX.
func testProfile() *isa.Profile {
	return &isa.Profile{Name: "test", Vendor: isa.Intel, Features: isa.AllFeatures().Without(isa.FeatureMPX), VirtualBits: 48}
}

// Every row of 64-bit mode that is dealt comes out of the decoder as itself, or
// as what it is without its feature, in most of its forms; the rest are useless prefixes that turned it into
// something else.
func TestRowsDecodeAsThemselves(t *testing.T) {
	const n = 200
	intel, amd := testProfile(), testProfile()
	amd.Vendor = isa.AMD
	var in decode.Inst
	var buf [16]byte
	for _, row := range isa.Rows() {
		if row.Modes&isa.Mode64 == 0 || DefaultWeight(&row) == 0 {
			continue
		}
		best := 0
		var last []byte
		for _, p := range []*isa.Profile{intel, amd} { // some rows are one vendor's
			g := New(Config{Profile: p, Seed: 1})
			same := 0
			for range n {
				last = g.Encode(buf[:0], row.ID)
				decode.Decode(&in, last, x86.Long64, p)
				if in.Valid() && (in.Row == row.ID || in.Row == row.Fallback) && int(in.Length) == len(last) {
					same++
				}
			}
			best = max(best, same)
		}
		if best < n/2 {
			t.Errorf("%s: %d of %d encodings decode as it, the last: % x is %v %s", row.String(), best, n, last, in.Err, isa.Get(in.Row).String())
		}
	}
}

func TestDeterministic(t *testing.T) {
	p := testProfile()
	seeds := [][]byte{{0x48, 0x01, 0xd8}, {0x90}, {0xf3, 0xa4}}
	a, b := New(Config{Profile: p, Seed: 7, Seeds: seeds}), New(Config{Profile: p, Seed: 7, Seeds: seeds})
	other := New(Config{Profile: p, Seed: 8, Seeds: seeds})
	cases := NewCases(3)
	same := 0
	for i := range 5000 {
		a.Next(&cases[0])
		b.Next(&cases[1])
		other.Next(&cases[2])
		if !equal(&cases[0], &cases[1]) {
			t.Fatalf("case %d: two generators of one seed differ:\n%+v\n%+v", i, cases[0], cases[1])
		}
		if equal(&cases[0], &cases[2]) {
			same++
		}
	}
	if same > 0 {
		t.Errorf("%d of 5000 cases equal with another seed", same)
	}
}

func equal(a, b *oracle.Case) bool {
	return a.Code == b.Code && a.CodeLen == b.CodeLen && a.State == b.State && a.FSBase == b.FSBase &&
		a.GSBase == b.GSBase && bytes.Equal(a.Memory, b.Memory)
}

// What every case promises to the engines.
func TestCasesAreWellFormed(t *testing.T) {
	g := New(Config{Profile: testProfile(), Seed: 3, Seeds: [][]byte{{0x48, 0x01, 0xd8}, {0x66, 0x67, 0xf0, 0x0f, 0xb1, 0x84, 0x88, 1, 2, 3, 4}}})
	c := &NewCases(1)[0]
	within := func(rip, base uint64, n uint8) bool {
		return rip >= base && rip+uint64(n) <= base+2*oracle.PageSize
	}
	for i := range 200000 {
		g.Next(c)
		switch {
		case c.CodeLen == 0 || c.CodeLen > decode.MaxLength:
			t.Fatalf("case %d: %d bytes of code", i, c.CodeLen)
		case !within(c.State.RIP, oracle.CodeBase, c.CodeLen) && !within(c.State.RIP, oracle.HighCodeBase, c.CodeLen):
			t.Fatalf("case %d: code at %#x, %d bytes: not in the code pages", i, c.State.RIP, c.CodeLen)
		case x86.Flags(c.State.RFLAGS)&^(x86.FlagsUser|x86.IF|x86.FlagsFixed) != 0 || x86.Flags(c.State.RFLAGS)&x86.TF != 0:
			t.Fatalf("case %d: flags %#x", i, c.State.RFLAGS)
		case !canonical(c.FSBase) || !canonical(c.GSBase):
			t.Fatalf("case %d: base %#x or %#x is not canonical", i, c.FSBase, c.GSBase)
		}
		for _, b := range c.Code[c.CodeLen:] {
			if b != 0 {
				t.Fatalf("case %d: bytes after the code: % x, length %d", i, c.Code, c.CodeLen)
			}
		}
	}
}

func canonical(a uint64) bool { return uint64(int64(a<<16)>>16) == a }

// States are made for every row, those without semantics included.
func TestFillAnyRow(t *testing.T) {
	p := testProfile()
	g := New(Config{Profile: p, Seed: 6, Weight: func(*isa.Row) int { return 1 }})
	c := &NewCases(1)[0]
	for range 40 * len(isa.Rows()) {
		g.Next(c)
	}
}

// The effective address of a steered operand is where it was steered to:
// most operands lie in mapped pages, and all the places turn up.
func TestSteering(t *testing.T) {
	p := testProfile()
	g := New(Config{Profile: p, Seed: 5})
	c := &NewCases(1)[0]
	var in decode.Inst
	var mapped, crossing, readOnly, unmapped, high, total int
	for total < 20000 {
		g.Next(c)
		decode.Decode(&in, c.CodeBytes(), x86.Long64, p)
		if !in.Valid() || !in.IsMem || in.Base != x86.RegRIP && in.Base >= x86.NumGPR && in.Base != x86.RegNone {
			continue
		}
		total++
		a := effective(c, &in)
		pages := c.Layout.Find(a)
		switch {
		case pages == nil && a>>47 != 0:
			high++
		case pages == nil:
			unmapped++
		case pages.Prot&oracle.ProtWrite == 0:
			readOnly++
		default:
			mapped++
		}
		if pages != nil && a&0xfff > 0xff8 && pages.End()-a > 8 {
			crossing++
		}
	}
	for _, r := range []struct {
		name           string
		n, least, most int
	}{
		{"mapped and writable", mapped, 70, 96},
		{"over a page boundary", crossing, 3, 30},
		{"read-only", readOnly, 2, 15},
		{"unmapped", unmapped, 1, 20},
		{"high or not canonical", high, 1, 12},
	} {
		if r.n*100 < r.least*total || r.n*100 > r.most*total {
			t.Errorf("%s: %d of %d operands; want %d to %d %%", r.name, r.n, total, r.least, r.most)
		}
	}
}

func effective(c *oracle.Case, in *decode.Inst) uint64 {
	a := in.Disp
	switch {
	case in.Base == x86.RegRIP:
		a += c.State.RIP + uint64(in.Length)
	case in.Base < x86.NumGPR:
		a += c.State.GPR[in.Base]
	}
	if in.Index < x86.NumGPR {
		a += c.State.GPR[in.Index] * uint64(in.Scale)
	}
	if in.AddrSize == 4 {
		a &= 0xffffffff
	}
	switch in.Segment {
	case x86.FS:
		a += c.FSBase
	case x86.GS:
		a += c.GSBase
	}
	return a
}

func TestDivide(t *testing.T) {
	r := NewRand(1)
	for range 1000 {
		v := r.Uint64()
		for _, m := range []uint64{3, 5, 9} {
			if got := divide(v, m) * m; got != v {
				t.Fatalf("divide(%#x, %d) * %d = %#x", v, m, m, got)
			}
		}
		if got := divide(v, 2) * 2; got != v&^1 {
			t.Fatalf("divide(%#x, 2) * 2 = %#x", v, got)
		}
	}
}

// FromBytes takes anything, and is a function of its input.
func TestFromBytes(t *testing.T) {
	g, h := New(Config{Profile: testProfile(), Seed: 1}), New(Config{Profile: testProfile(), Seed: 2})
	cases := NewCases(2)
	r := NewRand(9)
	for range 20000 {
		data := make([]byte, r.N(30))
		for i := range data {
			data[i] = byte(r.Uint64())
		}
		n := r.N(32)
		g.FromBytes(data, n, &cases[0])
		h.FromBytes(data, n, &cases[1])
		if !equal(&cases[0], &cases[1]) {
			t.Fatalf("% x, state %d: not a function of the input", data, n)
		}
	}
}

// What the executor is not given is encoded for decoders alone.
func TestUndealt(t *testing.T) {
	g := New(Config{Profile: testProfile(), Seed: 1})
	c := &NewCases(1)[0]
	p := testProfile()
	var in decode.Inst
	seen := map[isa.ID]bool{}
	for range 50000 {
		if !g.Undealt(c) {
			continue
		}
		if decode.Decode(&in, c.CodeBytes(), x86.Long64, p) == decode.Valid {
			seen[in.Row] = true
		}
	}
	missing := 0
	for _, id := range g.rest {
		if !seen[id] {
			missing++
			if missing < 10 {
				t.Log(isa.Get(id).String())
			}
		}
	}
	if missing > len(g.rest)/50 {
		t.Errorf("%d of %d rows never came", missing, len(g.rest))
	}
	if all := New(Config{Profile: p, Weight: func(*isa.Row) int { return 1 }}); all.Undealt(c) {
		t.Error("every row is dealt, and one was not")
	}
}

// Some instructions are as long as can be, and one byte longer.
func TestLongInstructions(t *testing.T) {
	g := New(Config{Profile: testProfile(), Seed: 1})
	c := &NewCases(1)[0]
	var in decode.Inst
	long, tooLong := 0, 0
	for range 100000 {
		g.Next(c)
		switch decode.Decode(&in, c.CodeBytes(), x86.Long64, g.profile) {
		case decode.Valid:
			if in.Length == decode.MaxLength {
				long++
			}
		case decode.TooLong:
			tooLong++
		}
	}
	if long < 50 || tooLong < 20 {
		t.Errorf("%d instructions of 15 bytes, %d of more, in 100000; want 50 and 20", long, tooLong)
	}
}

func TestNextAllocatesNothing(t *testing.T) {
	g := New(Config{Profile: testProfile(), Seed: 1, Seeds: [][]byte{{0x48, 0x01, 0xd8}}})
	c := &NewCases(1)[0]
	if n := testing.AllocsPerRun(20000, func() { g.Next(c) }); n != 0 {
		t.Errorf("%v allocations a case, want 0", n)
	}
}

func BenchmarkGenerate(b *testing.B) {
	seeds := [][]byte{{0x48, 0x01, 0xd8}, {0x90}, {0xf3, 0xa4}}
	for _, s := range []struct {
		name string
		run  func(g *Generator, c *oracle.Case)
	}{
		{"source=mix", func(g *Generator, c *oracle.Case) { g.Next(c) }},
		{"source=row", func(g *Generator, c *oracle.Case) { g.FromRow(c, g.deal()) }},
		{"source=seed", func(g *Generator, c *oracle.Case) { g.Mutate(c, seeds[0], seeds[2]) }},
	} {
		b.Run(s.name, func(b *testing.B) {
			g := New(Config{Profile: testProfile(), Seed: 1, Seeds: seeds})
			c := &NewCases(1)[0]
			b.ReportAllocs()
			for b.Loop() {
				s.run(g, c)
			}
		})
	}
}
