package diff

import (
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// Decoders compares a subject's decoder with a reference's, with the
// reference's quirks. It is used by one goroutine at a time.
type Decoders struct {
	Subject, Reference oracle.Decoder
	Quirks             *oracle.QuirkSet
	// Compared is the number of strings that both decoders cover, Uncovered
	// that of those which one of them does not; Groups counts the latter by
	// the group that the decoder names.
	Compared, Uncovered uint64
	Groups              map[string]uint64

	diff DecodeDiff
	a, b oracle.Decoded
}

// DecodeDiff is in what two decoders differ.
type DecodeDiff struct {
	Fields             oracle.DecodedField
	Subject, Reference *oracle.Decoded
	// Names are the decoders' names.
	SubjectName, ReferenceName string
}

// NewDecoders returns a comparison of two decoders; quirks may be nil.
func NewDecoders(subject, reference oracle.Decoder, quirks []oracle.Quirk) *Decoders {
	return &Decoders{Subject: subject, Reference: reference, Quirks: oracle.NewQuirkSet(quirks), Groups: map[string]uint64{}}
}

// Compare returns in what the decoders differ on a string that no quirk
// explains, or nil. The answer is valid until the next call.
func (d *Decoders) Compare(code []byte, mode x86.Mode) *DecodeDiff {
	d.Subject.Decode(code, mode, &d.a)
	if !d.a.Covered {
		d.uncovered(&d.a)
		return nil
	}
	d.Reference.Decode(code, mode, &d.b)
	if !d.b.Covered {
		d.uncovered(&d.b)
		return nil
	}
	d.Compared++
	f := oracle.CompareDecoded(&d.a, &d.b)
	if f == 0 {
		return nil
	}
	if f, _ = d.Quirks.ExplainDecoded(code, mode, f, &d.a, &d.b); f == 0 {
		return nil
	}
	d.diff = DecodeDiff{f, &d.a, &d.b, d.Subject.Name(), d.Reference.Name()}
	return &d.diff
}

func (d *Decoders) uncovered(a *oracle.Decoded) {
	d.Uncovered++
	d.Groups[a.Group]++
}

// Merge adds the counts of a comparison of the same decoders.
func (d *Decoders) Merge(o *Decoders) {
	d.Compared += o.Compared
	d.Uncovered += o.Uncovered
	for g, n := range o.Groups {
		d.Groups[g] += n
	}
	d.Quirks.Merge(o.Quirks)
}
