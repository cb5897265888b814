package x86asm

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/corpus"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// flaws are what a broken decoder might answer where both agree.
var flaws = []struct {
	name  string
	plant func(d *oracle.Decoded)
}{
	{"rejects what is valid", func(d *oracle.Decoded) { *d = oracle.Decoded{Covered: true, Reason: "undefined"} }},
	{"calls a valid LOCK bad", func(d *oracle.Decoded) { *d = oracle.Decoded{Covered: true, Reason: "bad lock"} }},
	{"length one more", func(d *oracle.Decoded) { d.Length++ }},
	{"another name", func(d *oracle.Decoded) { d.Mnemonic = "ANOTHER" }},
	{"another register", func(d *oracle.Decoded) { d.Operands[0].Register ^= 1 }},
	{"another size", func(d *oracle.Decoded) { d.Operands[0].Size ^= 3 }},
	{"no base", func(d *oracle.Decoded) {
		for i := range d.Operands {
			d.Operands[i].Base = x86.RegNone
		}
	}},
}

// TestQuirksHideNoFlaw plants a flaw in the right answer wherever both
// decoders agree, and wants every one to be reported: no quirk is wider than
// x86asm's fault.
func TestQuirksHideNoFlaw(t *testing.T) {
	m, ref := modelDecoder(), New()
	set := oracle.NewQuirkSet(Quirks())
	planted, hidden := make([]int, len(flaws)), map[string]int{}
	accepted := 0
	check := func(code []byte) {
		var right, wrong oracle.Decoded
		m.Decode(code, x86.Long64, &right)
		ref.Decode(code, x86.Long64, &wrong)
		if !right.Covered || oracle.CompareDecoded(&right, &wrong) != 0 {
			return
		}
		try := func(name string, flawed *oracle.Decoded) bool {
			diff := oracle.CompareDecoded(flawed, &wrong)
			if diff == 0 {
				return false
			}
			if rest, q := set.ExplainDecoded(code, x86.Long64, diff, flawed, &wrong); rest == 0 {
				k := q.Name + ": " + name
				if hidden[k]++; hidden[k] == 1 {
					t.Errorf("%s hides a decoder that %s: %x, x86asm %s", q.Name, name, code, show(&wrong))
				}
			}
			return true
		}
		if !right.Valid {
			flawed := oracle.Decoded{Covered: true, Valid: true, Length: uint8(len(code)), Mnemonic: "ANOTHER"}
			if try("accepts what is not valid", &flawed) {
				accepted++
			}
			return
		}
		for i, f := range flaws {
			flawed := right
			f.plant(&flawed)
			if try(f.name, &flawed) {
				planted[i]++
			}
		}
	}
	for s := range corpus.Seeds() {
		if s.Mode == 64 {
			check(s.Bytes)
		}
	}
	n := 1_000_000
	if testing.Short() {
		n = 100_000
	}
	s := newStrings(3)
	for range n {
		check(s.next())
	}
	for i, f := range flaws {
		t.Logf("%8d planted: %s", planted[i], f.name)
		require.Positive(t, planted[i])
	}
	t.Logf("%8d planted: accepts what is not valid", accepted)
	for k, n := range hidden {
		t.Logf("%8d hidden by %s", n, k)
	}
}
