package decode_test

import (
	"math/rand"
	"testing"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

var codeModes = []x86.Mode{x86.Compat16, x86.Compat32, x86.Long64}

func modeSet(m x86.Mode) isa.ModeSet {
	return map[int]isa.ModeSet{16: isa.Mode16, 32: isa.Mode32, 64: isa.Mode64}[m.Width()]
}

func randomForm(r *rand.Rand) decode.Form {
	return decode.Form{
		REX: uint8(r.Intn(2)) << 6, Mod: uint8(r.Intn(4)), Reg: uint8(r.Intn(16)), RM: uint8(r.Intn(16)), SIB: uint8(r.Intn(256)),
		VVVV: uint8(r.Intn(16)), VEX3: r.Intn(2) == 0, EVEX: uint8(r.Intn(256)), Disp: r.Uint64(), Imm: r.Uint64(), Imm2: uint16(r.Uint32()),
	}
}

// reachable says whether the row has an encoding on a CPU of the vendor: in
// 64-bit mode Intel has no near branch with a 16-bit operand.
func reachable(row *isa.Row, mode x86.Mode, v isa.Vendor) bool {
	return !(mode == x86.Long64 && v == isa.Intel && row.Attr&isa.AttrForce64 != 0 && row.Pattern.OpSize == 2)
}

// TestEncodeDecode encodes every row in every mode, in random forms, and
// expects the decoder to find the same row, length and constants.
func TestEncodeDecode(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	for _, v := range []isa.Vendor{isa.Intel, isa.AMD} {
		p := allFeatures(v)
		for i := range isa.Rows() {
			row := &isa.Rows()[i]
			for _, mode := range codeModes {
				if row.Modes&modeSet(mode) == 0 || !reachable(row, mode, v) {
					continue
				}
				checkRow(t, r, row, mode, p)
			}
		}
	}
}

func checkRow(t *testing.T, r *rand.Rand, row *isa.Row, mode x86.Mode, p *isa.Profile) {
	t.Helper()
	encoded := 0
	for range 64 {
		f := randomForm(r)
		code := decode.Encode(nil, row.ID, mode, f)
		if len(code) == 0 || len(code) > decode.MaxLength {
			continue
		}
		encoded++
		var in decode.Inst
		reason := decode.Decode(&in, code, mode, p)
		if in.Row != row.ID {
			reason = decode.Decode(&in, code, mode, without(p, row))
		}
		if reason != decode.Valid || in.Row != row.ID || int(in.Length) != len(code) {
			t.Fatalf("%v, %s: % x decodes to %v, %s, length %d of %d", mode, row, code, reason, isa.Get(in.Row), in.Length, len(code))
		}
		checkTruncated(t, code, mode, p)
	}
	if encoded == 0 {
		t.Errorf("%v: %s has no encoding", mode, row)
	}
}

// without is the profile without the features that make the bytes of the row
// another's.
func without(p *isa.Profile, row *isa.Row) *isa.Profile {
	less := *p
	for _, r := range isa.Rows() {
		if r.Fallback == row.ID {
			less.Features = less.Features.Without(r.Feature)
		}
	}
	return &less
}

// checkTruncated expects every shorter part of a valid instruction to be
// Truncated.
func checkTruncated(t *testing.T, code []byte, mode x86.Mode, p *isa.Profile) {
	t.Helper()
	var in decode.Inst
	for n := range code {
		if reason := decode.Decode(&in, code[:n], mode, p); reason != decode.Truncated {
			t.Fatalf("%v: % x, the first %d bytes of % x: %v, want truncated", mode, code[:n], n, code, reason)
		}
	}
}
