package diff

import (
	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// Counts is what a number of cases covered. Retired and faults are as the
// reference has them.
type Counts struct {
	// Cases is the number of cases that ran; Compared those of which both
	// engines' answers could be compared.
	Cases, Compared uint64
	Retired         uint64
	Vectors         [32]uint64
	// Endings are the reference's, SubjectEndings the subject's.
	Endings, SubjectEndings [oracle.NumEndings]uint64
	Unimplemented           uint64
	// Invalid is the number of cases whose bytes are no instruction, Invalid
	// by reason.
	Invalid [decode.MissingFeature + 1]uint64
	// Diverged is the number of cases whose results differ.
	Diverged uint64
	// Rows is indexed by row.
	Rows []RowCount
}

// RowCount is what happened to the cases of one row.
type RowCount struct {
	Cases         uint64
	Retired       uint64
	Faulted       uint64
	Unimplemented uint64
	// Other are cases that the reference did not end.
	Other uint64
	// Vectors has a bit for each vector that the reference raised, Endings for
	// each of its endings other than Ended.
	Vectors uint32
	Endings uint8
}

// NewCounts returns counts with room for every row.
func NewCounts() Counts { return Counts{Rows: make([]RowCount, len(isa.Rows())+1)} }

func (k *Counts) count(in *decode.Inst, sub, ref *oracle.Result, d *oracle.Diff) {
	k.Cases++
	k.Endings[ref.Ending]++
	k.SubjectEndings[sub.Ending]++
	r := &k.Rows[in.Row]
	r.Cases++
	if in.Err < uint8Reasons {
		k.Invalid[in.Err]++
	}
	if sub.Ending == oracle.Ended && sub.Outcome == step.Unimplemented {
		k.Unimplemented++
		r.Unimplemented++
	}
	if d.Skipped == oracle.RuleNone {
		k.Compared++
	}
	if d.Fields != 0 {
		k.Diverged++
	}
	switch {
	case ref.Ending != oracle.Ended:
		r.Other++
		r.Endings |= 1 << ref.Ending
	case d.Skipped != oracle.RuleNone: // nothing was compared
	case ref.Outcome == step.Okay:
		k.Retired++
		r.Retired++
	case ref.Outcome == step.Exception && isTrap(&ref.Event):
		// INT3 and the like have done what they do.
		k.Vectors[ref.Event.Vector&31]++
		k.Retired++
		r.Retired++
		r.Vectors |= 1 << (ref.Event.Vector & 31)
	case ref.Outcome == step.Exception:
		k.Vectors[ref.Event.Vector&31]++
		r.Faulted++
		r.Vectors |= 1 << (ref.Event.Vector & 31)
	}
}

func isTrap(e *x86.Event) bool { return e.Type != x86.EventFault && e.Type != x86.EventNone }

const uint8Reasons = decode.MissingFeature + 1

// Add adds other counts.
func (k *Counts) Add(o *Counts) {
	k.Cases += o.Cases
	k.Compared += o.Compared
	k.Retired += o.Retired
	k.Unimplemented += o.Unimplemented
	k.Diverged += o.Diverged
	for i := range k.Vectors {
		k.Vectors[i] += o.Vectors[i]
	}
	for i := range k.Endings {
		k.Endings[i] += o.Endings[i]
		k.SubjectEndings[i] += o.SubjectEndings[i]
	}
	for i := range k.Invalid {
		k.Invalid[i] += o.Invalid[i]
	}
	for i := range k.Rows {
		r, s := &k.Rows[i], &o.Rows[i]
		r.Cases += s.Cases
		r.Retired += s.Retired
		r.Faulted += s.Faulted
		r.Unimplemented += s.Unimplemented
		r.Other += s.Other
		r.Vectors |= s.Vectors
		r.Endings |= s.Endings
	}
}

// Covered is the number of rows with a case that retired.
func (k *Counts) Covered() int {
	n := 0
	for i := range k.Rows {
		if i > 0 && k.Rows[i].Retired > 0 {
			n++
		}
	}
	return n
}
