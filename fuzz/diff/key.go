package diff

import (
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/fuzz/minimise"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// Key is what makes two differences the same: what the signature of a record
// is made of, without the cost of a signature.
type Key struct {
	row isa.ID
	// opcode tells apart what the table has no row for.
	opcode             [4]uint8
	fields             oracle.Field
	decoded            oracle.DecodedField
	valid              [2]bool
	subject, reference verdict
}

// verdict is how an engine ended a case.
type verdict struct {
	ending   oracle.Ending
	outcome  step.Outcome
	vector   uint8
	software bool
}

func verdictOf(r *oracle.Result) verdict {
	v := verdict{ending: r.Ending}
	if r.Ending != oracle.Ended {
		return v
	}
	v.outcome = r.Outcome
	if r.Outcome != step.Exception {
		return v
	}
	if v.software = oracle.OutcomeText(r) == "INT"; !v.software {
		v.vector = r.Event.Vector
	}
	return v
}

// KeyOf returns the key of a difference.
func KeyOf(f *Found) Key {
	k := Key{row: f.Inst.Row}
	if k.row == 0 {
		var l oracle.Lexed
		l.Lex(f.Case.CodeBytes(), f.Case.State.Mode)
		k.opcode = [4]uint8{uint8(l.Escape), uint8(l.Map), l.MapNumber, l.Opcode}
	}
	if f.Decoded != nil {
		k.decoded = f.Decoded.Fields
		k.valid = [2]bool{f.Decoded.Subject.Valid, f.Decoded.Reference.Valid}
		return k
	}
	k.fields, k.subject, k.reference = f.Diff.Fields, verdictOf(f.Subject), verdictOf(f.Reference)
	return k
}

// Row is the row of the instruction, 0 if the table has none.
func (k Key) Row() isa.ID { return k.row }

// Reduce makes a case small as long as it differs in the same way, in at most
// limit runs (0 runs it once and changes nothing), and returns the difference
// of what is left. ok is false if the case does not differ in that way when
// it runs alone; it is unchanged then.
func (d *Differ) Reduce(c *oracle.Case, k Key, limit int) (f Found, ok bool) {
	same := func(c *oracle.Case) bool {
		f, err := d.Single(c)
		return err == nil && f.Diff.Fields != 0 && KeyOf(&f) == k
	}
	if !same(c) {
		return f, false
	}
	small := *c
	small.Memory = append([]byte(nil), c.Memory...)
	if limit > 0 {
		minimise.Case(&small, d.profile, limit, same)
	}
	if f, err := d.Single(&small); err == nil && f.Diff.Fields != 0 && KeyOf(&f) == k {
		*c = small
		f.Case = c
		return f, true
	}
	f, err := d.Single(c)
	return f, err == nil && f.Diff.Fields != 0
}

// ReduceBytes drops bytes of a string as long as the decoders differ in the
// same way, and returns what is left with the difference.
func (d *Decoders) ReduceBytes(f *Found, decode func(c *oracle.Case) Found) Found {
	k := KeyOf(f)
	best := *f.Case
	for i := 0; i < int(best.CodeLen) && best.CodeLen > 1; {
		shorter := best
		n := copy(shorter.Code[i:], best.Code[i+1:best.CodeLen]) + i
		clear(shorter.Code[n:])
		shorter.CodeLen = uint8(n)
		if g := decode(&shorter); g.Decoded != nil && KeyOf(&g) == k {
			best = shorter
		} else {
			i++
		}
	}
	*f.Case = best
	return decode(f.Case)
}
