package oracle

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// DecodedField is a set of fields of a Decoded.
type DecodedField uint8

// The fields of a Decoded, in the order in which differences are reported.
const (
	DecodedValidity DecodedField = 1 << iota
	DecodedLength
	DecodedMnemonic
	DecodedOperands
	// DecodedAll is every field.
	DecodedAll = DecodedValidity | DecodedLength | DecodedMnemonic | DecodedOperands
)

var decodedFieldNames = [...]string{"validity", "length", "mnemonic", "operands"}

// Names returns the names of the fields in the set.
func (f DecodedField) Names() []string {
	var s []string
	for i, n := range decodedFieldNames {
		if f&(1<<i) != 0 {
			s = append(s, n)
		}
	}
	return s
}

// String returns the names joined by commas.
func (f DecodedField) String() string { return strings.Join(f.Names(), ",") }

// Evidence is one byte string on which a quirk was seen.
type Evidence struct {
	// Bytes are in hex, without spaces.
	Bytes string
	Mode  x86.Mode
	// Says is the reference's wrong answer and Truth the right one, in words
	// ("length 5", "invalid", "VADDPS xmm0, …").
	Says, Truth string
	// Source is who says what is true: a section of a manual ("SDM vol. 2,
	// CMPXCHG"), or "CPU".
	Source string
	// Executes is what the CPU does with the bytes where that decides the
	// matter: CPUUnknown where it does not.
	Executes CPUVerdict
	// Length is the true length in bytes, 0 if there is none.
	Length uint8
}

// CPUVerdict is what a CPU says on whether a byte string is an instruction.
type CPUVerdict uint8

// The verdicts. CPUValid is anything but #UD.
const (
	CPUUnknown CPUVerdict = iota
	CPUValid
	CPUUndefined
)

// Decode returns the bytes.
func (e *Evidence) Decode() ([]byte, error) {
	b, err := hex.DecodeString(e.Bytes)
	if err != nil {
		return nil, fmt.Errorf("evidence %q: %w", e.Bytes, err)
	}
	return b, nil
}

// Quirk is a known deviation of a reference decoder or executor, as a coded
// rule. A difference that no quirk explains is a divergence.
type Quirk struct {
	// Engine is the reference that is wrong, as "x86asm"; Name is unique
	// within it.
	Engine, Name string
	// Map and Opcodes restrict the rule: the opcode, after lexing, is one of
	// Opcodes in Map; no Opcodes means any opcode of any map.
	Map     isa.Map
	Opcodes []byte
	// When restricts it further, by prefixes, ModRM and mode; nil means
	// always.
	When func(l *Lexed) bool
	// Decoded are the fields of a decoder's answer that it explains, Result
	// those of an executor's.
	Decoded DecodedField
	Result  Field
	// Wrong recognises the reference's wrong answer against the other one
	// (which is taken for right); nil accepts any answer that differs in the
	// fields above.
	Wrong func(l *Lexed, right, wrong *Decoded) bool
	// Reason tells what the reference does, in a sentence.
	Reason   string
	Evidence []Evidence
}

// String returns engine and name.
func (q *Quirk) String() string { return q.Engine + "/" + q.Name }

// matches says whether the rule's condition on the bytes holds.
func (q *Quirk) matches(l *Lexed) bool {
	if len(q.Opcodes) > 0 {
		if !l.HasOpcode || l.Map != q.Map {
			return false
		}
		found := false
		for _, o := range q.Opcodes {
			if o == l.Opcode {
				found = true
				break
			}
		}
		if !found {
			return false
		}
	}
	return q.When == nil || q.When(l)
}

// QuirkSet is the quirks of one engine with how often each explained a
// difference. It is used by one goroutine at a time; Merge adds up.
type QuirkSet struct {
	Rows   []Quirk
	Counts []uint64
	// lexed is kept here because the rows' functions are handed its address.
	lexed Lexed
}

// NewQuirkSet returns a set with zero counts. rows is not copied and must not
// change.
func NewQuirkSet(rows []Quirk) *QuirkSet {
	return &QuirkSet{Rows: rows, Counts: make([]uint64, len(rows))}
}

// ExplainDecoded returns the fields of diff that no quirk explains, and the
// last quirk that explained something, or nil. Several quirks may each explain
// a part. Each that explains something is counted once.
func (s *QuirkSet) ExplainDecoded(code []byte, mode x86.Mode, diff DecodedField, right, wrong *Decoded) (DecodedField, *Quirk) {
	if diff == 0 || right.Ending != Ended || wrong.Ending != Ended {
		return diff, nil // no quirk speaks of a decoder that died
	}
	l := &s.lexed
	l.Lex(code, mode)
	var by *Quirk
	for i := range s.Rows {
		q := &s.Rows[i]
		if q.Decoded&diff == 0 || !q.matches(l) || q.Wrong != nil && !q.Wrong(l, right, wrong) {
			continue
		}
		s.Counts[i]++
		diff &^= q.Decoded
		by = q
		if diff == 0 {
			break
		}
	}
	return diff, by
}

// Merge adds the counts of a set with the same rows.
func (s *QuirkSet) Merge(t *QuirkSet) {
	for i, n := range t.Counts {
		s.Counts[i] += n
	}
}

// CheckQuirks tells what is missing in the rows: a name, a reason, evidence, a
// field that they explain, or two of one name.
func CheckQuirks(rows []Quirk) error {
	seen := map[string]bool{}
	for i := range rows {
		q := &rows[i]
		switch {
		case q.Engine == "" || q.Name == "":
			return fmt.Errorf("quirk %d: no engine or no name", i)
		case seen[q.String()]:
			return fmt.Errorf("quirk %s: two rows of that name", q)
		case q.Reason == "":
			return fmt.Errorf("quirk %s: no reason", q)
		case len(q.Evidence) == 0:
			return fmt.Errorf("quirk %s: no evidence", q)
		case q.Decoded == 0 && q.Result == 0:
			return fmt.Errorf("quirk %s: explains no field", q)
		}
		seen[q.String()] = true
		for j := range q.Evidence {
			e := &q.Evidence[j]
			b, err := e.Decode()
			if err != nil {
				return fmt.Errorf("quirk %s: %w", q, err)
			}
			if e.Says == "" || e.Truth == "" || e.Source == "" {
				return fmt.Errorf("quirk %s: evidence %s: want what the reference says, what is true and who says so", q, e.Bytes)
			}
			var l Lexed
			l.Lex(b, e.Mode)
			if !q.matches(&l) {
				return fmt.Errorf("quirk %s: evidence %s: the rule's condition does not match its own evidence", q, e.Bytes)
			}
		}
	}
	return nil
}
