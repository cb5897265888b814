package fuzz

import (
	"testing"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/fuzz/diff"
	"github.com/seed-4e121ece/ringfence/fuzz/gen"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/seed-4e121ece/ringfence/oracle/silicon"
)

// FuzzDecode decodes the input in the three modes with the model and with every
// other decoder that can be had, checks what any decoder owes, and asks the CPU
// for validity and length in 64-bit code: the instruction runs where it ends with
// the last mapped byte, and where it lacks one.
func FuzzDecode(f *testing.F) {
	addSeeds(f, 0, 17)
	b := setUp(f, false)
	decoders, err := theDecoders()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b.mu.Lock()
		defer b.mu.Unlock()
		code := data[:min(len(data), decode.MaxLength)]
		var in decode.Inst
		for _, mode := range []x86.Mode{x86.Long64, x86.Compat32, x86.Compat16} {
			inst := checkDecoder(t, data, mode)
			if mode == x86.Long64 {
				in = inst
			}
			for _, d := range decoders {
				b.compareDecoders(t, d, code, mode)
			}
		}
		if len(code) > 0 && b.differ.Reference != nil {
			b.atTheEnd(t, code, &in)
		}
	})
}

// checkDecoder checks that the length is in range, that what follows the
// instruction does not matter, and that no shorter string is valid.
func checkDecoder(t *testing.T, data []byte, mode x86.Mode) (in decode.Inst) {
	t.Helper()
	p := silicon.Profile()
	if r := decode.Decode(&in, data, mode, p); r != in.Err {
		t.Fatalf("% x: returned %v, holds %v", data, r, in.Err)
	}
	if in.Length > decode.MaxLength || int(in.Length) > len(data) {
		t.Fatalf("% x: length %d of %d bytes", data, in.Length, len(data))
	}
	if !in.Valid() {
		return in
	}
	var other decode.Inst
	n := int(in.Length)
	if decode.Decode(&other, data[:n:n], mode, p); other != in {
		t.Fatalf("% x: what follows it matters:\n%+v\n%+v", data[:n], in, other)
	}
	for i := range n {
		if r := decode.Decode(&other, data[:i], mode, p); r == decode.Valid {
			t.Fatalf("% x is valid, and so is % x", data[:n], data[:i])
		}
	}
	return in
}

func (b *bench) compareDecoders(t *testing.T, d *diff.Decoders, code []byte, mode x86.Mode) {
	t.Helper()
	c := b.cases[0]
	c.Code = [16]byte{}
	c.CodeLen = uint8(copy(c.Code[:], code))
	c.State.Mode = mode
	var in decode.Inst
	compare := func(c *oracle.Case) diff.Found {
		decode.Decode(&in, c.CodeBytes(), c.State.Mode, silicon.Profile())
		return diff.Found{Case: c, Inst: &in, Decoded: d.Compare(c.CodeBytes(), c.State.Mode)}
	}
	f := compare(&c)
	if f.Decoded == nil {
		return
	}
	f = d.ReduceBytes(&f, compare)
	b.report(t, oracle.NewDecodeDivergence(f.Decoded.SubjectName, f.Decoded.ReferenceName, f.Case.CodeBytes(), mode, f.Inst,
		f.Decoded.Fields, f.Decoded.Subject, f.Decoded.Reference))
}

// atTheEnd runs the instruction whole at the end of the code pages, then
// without its last byte, where the CPU must fail to fetch, then in the middle.
func (b *bench) atTheEnd(t *testing.T, code []byte, in *decode.Inst) {
	t.Helper()
	n := len(code)
	if in.Valid() {
		n = int(in.Length)
	}
	head := make([]byte, gen.BytesHeader, gen.BytesHeader+decode.MaxLength)
	data := append(head, code[:n]...)
	const end = oracle.CodeBase + 2*oracle.PageSize
	cases := b.cases[:3]
	for i := range cases {
		c := &cases[i]
		b.gen.FromBytes(data, 4*i, c) // a multiple of four: no byte is changed
		c.Code = [16]byte{}
		c.CodeLen = uint8(copy(c.Code[:], code[:n]))
		switch i {
		case 0:
			c.State.RIP = end - uint64(n)
		case 1:
			c.CodeLen = uint8(n - 1)
			c.Code[n-1] = 0
			c.State.RIP = end - uint64(n-1)
			if n == 1 {
				c.State.RIP = end - 1
				c.CodeLen, c.Code[0] = 1, code[0]
			}
		case 2:
			c.State.RIP = oracle.CodeBase + 0x100
		}
	}
	b.compare(t, cases)
}
