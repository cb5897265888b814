// Package reach keeps what the cases of each row of the table have reached in
// each mode: whether one retired, each way to fault, patterns of flags, bits
// that toggled. It knows which of that a row can reach at CPL 3, so that what
// is missing can be listed with its reason.
package reach

import (
	"strings"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// Kind is a way in which an instruction ends, finer than its outcome where one
// vector has several causes.
type Kind uint8

// The kinds.
const (
	Retired Kind = iota
	DE
	DB
	BP
	OF
	BR
	UD
	// Lock is #UD for a LOCK prefix, Encoding for another prefix or field
	// that makes the bytes no instruction.
	Lock
	Encoding
	// NP, SSSelector and GPSelector have a selector for an error code.
	NP
	SS
	SSSelector
	GP
	GPSelector
	// Gate is the #GP(8n+2) of INT n through a gate that is closed.
	Gate
	// Length is #GP for more than 15 bytes.
	Length
	PF
	// Fetch is #PF for bytes of the instruction itself.
	Fetch
	AC
	// Other is what the table of faults does not know.
	Other
	NumKinds
)

var kindNames = [NumKinds]string{
	"retired", "#DE", "#DB", "#BP", "#OF", "#BR", "#UD", "#UD(LOCK)", "#UD(encoding)", "#NP(selector)", "#SS(0)", "#SS(selector)", "#GP(0)", "#GP(selector)",
	"#GP(gate)", "#GP(length)", "#PF", "#PF(fetch)", "#AC", "other",
}

// String returns the kind as "#GP(selector)".
func (k Kind) String() string {
	if k < NumKinds {
		return kindNames[k]
	}
	return "?"
}

// Kinds is a set of kinds.
type Kinds uint32

// Of returns the set of the kinds.
func Of(kinds ...Kind) Kinds {
	var s Kinds
	for _, k := range kinds {
		s |= 1 << k
	}
	return s
}

// Has says whether k is in the set.
func (s Kinds) Has(k Kind) bool { return s>>k&1 != 0 }

// String returns the names, separated by blanks.
func (s Kinds) String() string {
	var names []string
	for k := range NumKinds {
		if s.Has(k) {
			names = append(names, k.String())
		}
	}
	return strings.Join(names, " ")
}

// KindOf is how a reference ended a case that it did end. in is the case's
// instruction.
func KindOf(in *decode.Inst, r *oracle.Result) Kind {
	switch {
	case r.Outcome == step.Okay:
		return Retired
	case r.Outcome != step.Exception:
		return Other
	}
	e := &r.Event
	switch e.Vector {
	case x86.VectorDE:
		return DE
	case x86.VectorDB:
		return DB
	case x86.VectorBP:
		return BP
	case x86.VectorOF:
		return OF
	case x86.VectorBR:
		return BR
	case x86.VectorUD:
		switch {
		case in.Valid():
			return UD
		case in.Prefix&decode.PrefixLock != 0:
			return Lock
		}
		return Encoding
	case x86.VectorNP:
		return NP
	case x86.VectorSS:
		return withSelector(e, SS, SSSelector)
	case x86.VectorGP:
		switch {
		case in.Err == decode.TooLong:
			return Length
		case in.Valid() && in.Map == 0 && in.Opcode == opcodeINT:
			return Gate
		}
		return withSelector(e, GP, GPSelector)
	case x86.VectorPF:
		if e.ErrorCode&x86.PFFetch != 0 {
			return Fetch
		}
		return PF
	case x86.VectorAC:
		return AC
	}
	return Other
}

// opcodeINT is INT n.
const opcodeINT = 0xcd

func withSelector(e *x86.Event, plain, selector Kind) Kind {
	if e.ErrorCode != 0 {
		return selector
	}
	return plain
}
