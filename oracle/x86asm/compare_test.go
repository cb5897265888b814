package x86asm

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/corpus"
	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/seed-4e121ece/ringfence/oracle/model"
)

// comparison holds what a run of the two decoders gave.
type comparison struct {
	model, reference oracle.Decoder
	quirks           *oracle.QuirkSet
	strings, valid   int
	uncovered        map[string]int
	// unexplained are the differences by cause, each with its first strings.
	unexplained map[string]*cause
	// first is after how many strings each quirk explained something, 0 if it
	// did not.
	first []int
}

type cause struct {
	count    int
	examples []string
}

func newComparison(model oracle.Decoder) *comparison {
	rows := Quirks()
	return &comparison{
		model: model, reference: New(), quirks: oracle.NewQuirkSet(rows),
		uncovered: map[string]int{}, unexplained: map[string]*cause{}, first: make([]int, len(rows)),
	}
}

// compare runs both decoders over one string.
func (c *comparison) compare(code []byte, mode x86.Mode) {
	c.strings++
	var right, wrong oracle.Decoded
	c.model.Decode(code, mode, &right)
	c.reference.Decode(code, mode, &wrong)
	if !right.Covered {
		c.uncovered[right.Group]++
		if !evexProperties(code, mode, &right, &wrong) {
			return
		}
	}
	if right.Valid {
		c.valid++
	}
	diff := oracle.CompareDecoded(&right, &wrong)
	if diff == 0 {
		return
	}
	before := slices.Clone(c.quirks.Counts)
	rest, _ := c.quirks.ExplainDecoded(code, mode, diff, &right, &wrong)
	for i, n := range c.quirks.Counts {
		if n != before[i] && c.first[i] == 0 {
			c.first[i] = c.strings
		}
	}
	if rest != 0 {
		c.add(code, mode, rest, &right, &wrong)
	}
}

// evexProperties fills right with what must hold of an EVEX string whatever the
// instruction: in map 5 or 6 it has not the name of one in map 1 or 2, ModRM 05
// is relative to RIP, and prefixes for segment and address size leave it valid.
// It says whether it did.
func evexProperties(code []byte, mode x86.Mode, right, wrong *oracle.Decoded) bool {
	var l oracle.Lexed
	l.Lex(code, mode)
	if !isEVEX(&l) || l.NumPrefix > 0 && (prefixed(&l) || l.Lock || l.REX != 0 || l.LostREX) {
		return false
	}
	*right = *wrong
	if !wrong.Valid {
		if *right = vexWith(&l, 0, 0); l.NumPrefix == 0 || !right.Valid {
			return false
		}
		right.Length += uint8(l.NumPrefix)
		return int(right.Length) <= decode.MaxLength && int(right.Length) <= len(code)
	}
	if l.MapNumber > 3 {
		right.Mnemonic = fmt.Sprintf("an instruction of map %d", l.MapNumber)
	}
	for i := range right.NumOperands {
		o := &right.Operands[i]
		if o.Kind == oracle.OperandMemory && o.Base == x86.RegNone && l.Mod() == 0 && l.RM() == 5 {
			o.Base = x86.RegRIP
		}
	}
	return true
}

func (c *comparison) add(code []byte, mode x86.Mode, rest oracle.DecodedField, right, wrong *oracle.Decoded) {
	var l oracle.Lexed
	l.Lex(code, mode)
	side := ""
	if rest == oracle.DecodedValidity {
		side = map[bool]string{true: " (model valid)", false: " (model invalid)"}[right.Valid]
	}
	key := fmt.Sprintf("%v%s e%d m%d %02x pp %02x model %q x86asm %q", rest, side, l.Escape, l.MapNumber, l.Opcode, l.PP,
		right.Mnemonic+right.Reason, wrong.Mnemonic+wrong.Reason)
	k := c.unexplained[key]
	if k == nil {
		k = &cause{}
		c.unexplained[key] = k
	}
	k.count++
	if len(k.examples) < 1 {
		k.examples = append(k.examples, fmt.Sprintf("%x\n        model  %s\n        x86asm %s", code, show(right), show(wrong)))
	}
}

// show prints what a test's reader wants of an answer.
func show(d *oracle.Decoded) string {
	if !d.Valid {
		return "invalid: " + d.Reason
	}
	var b strings.Builder
	b.WriteString(brief(d))
	for i := range d.NumOperands {
		fmt.Fprintf(&b, ", %v", d.Operands[i])
	}
	return b.String()
}

// brief is the form in which evidence states an answer: length and mnemonic,
// or "invalid".
func brief(d *oracle.Decoded) string {
	if !d.Valid {
		return "invalid"
	}
	return fmt.Sprintf("%d %s", d.Length, d.Mnemonic)
}

// modelDecoder is the model's decoder for the CPU that x86asm decodes for.
func modelDecoder() oracle.Decoder { return model.NewDecoder(Profile()) }

// report fails the test for differences that no quirk explains, the most
// frequent first.
func (c *comparison) report(t *testing.T) {
	t.Helper()
	keys := make([]string, 0, len(c.unexplained))
	total := 0
	for k, v := range c.unexplained {
		keys = append(keys, k)
		total += v.count
	}
	sort.Slice(keys, func(i, j int) bool {
		a, b := c.unexplained[keys[i]], c.unexplained[keys[j]]
		return a.count > b.count || a.count == b.count && keys[i] < keys[j]
	})
	for _, k := range keys[:min(len(keys), 250)] {
		v := c.unexplained[k]
		t.Errorf("%d × %s\n      %s", v.count, k, strings.Join(v.examples, "\n      "))
	}
	groups := make([]string, 0, len(c.uncovered))
	for g, n := range c.uncovered {
		groups = append(groups, fmt.Sprintf("%s %d", g, n))
	}
	sort.Strings(groups)
	t.Logf("%d strings, %d valid, %d unexplained differences of %d causes; not in the table: %s",
		c.strings, c.valid, total, len(keys), strings.Join(groups, ", "))
}

// logQuirks prints how much each quirk absorbed.
func (c *comparison) logQuirks(t *testing.T) {
	t.Helper()
	for i := range c.quirks.Rows {
		t.Logf("%9d absorbed by %-32s %s", c.quirks.Counts[i], c.quirks.Rows[i].Name, c.quirks.Rows[i].Reason)
	}
}

// fromTable compares encodings of every row: sixteen forms of each with random
// fields, so that rare rows are all met.
func (c *comparison) fromTable(s *strings15) {
	rows := isa.Rows()
	var buf [32]byte
	for i := range rows {
		for range 16 {
			if code := decode.Encode(buf[:0], rows[i].ID, x86.Long64, s.form()); len(code) > 0 {
				c.compare(code, x86.Long64)
			}
		}
	}
}

// TestAgreesWithModel is the full comparison in 64-bit mode: the seeds, and
// random strings. No difference may be left, and every quirk must have had
// something to explain.
func TestAgreesWithModel(t *testing.T) {
	n := 5_000_000
	if testing.Short() {
		n = 200_000
	}
	c := newComparison(modelDecoder())
	for s := range corpus.Seeds() {
		if s.Mode == 64 {
			c.compare(s.Bytes, x86.Long64)
		}
	}
	s := newStrings(1)
	c.fromTable(s)
	for range n {
		c.compare(s.next(), x86.Long64)
	}
	c.logQuirks(t)
	c.report(t)
	if testing.Short() {
		return
	}
	for i, k := range c.quirks.Counts[:len(allQuirks)-len(modeQuirks)] {
		require.NotZero(t, k, "quirk %s explained nothing: remove it or find out why", c.quirks.Rows[i].Name)
	}
}
