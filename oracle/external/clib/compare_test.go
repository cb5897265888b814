package clib

import (
	"fmt"
	"os"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/corpus"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/seed-4e121ece/ringfence/oracle/external"
	"github.com/seed-4e121ece/ringfence/oracle/model"
)

// open starts a library, or skips the test where it is not there.
func open(t testing.TB, name string) *external.Decoder {
	t.Helper()
	t.Setenv(external.TimeoutVariable, "1m") // a busy machine is no fault
	d, err := start(name)
	if err != nil {
		if slices.Contains(strings.Split(os.Getenv("RINGFENCE_REQUIRE"), ","), name) {
			t.Fatalf("RINGFENCE_REQUIRE asks for %s: %v", name, err)
		}
		t.Skipf("%s: %v", name, err)
	}
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}

func start(name string) (*external.Decoder, error) {
	argv, err := Command(name)
	if err != nil {
		return nil, err
	}
	return external.NewDecoder(name, argv)
}

// comparison is what a run of the model and a library gave.
type comparison struct {
	model   oracle.Decoder
	library *external.Decoder
	mode    x86.Mode
	quirks  *oracle.QuirkSet
	codes   [][]byte
	answers []oracle.Decoded
	strings int
	// differ is the number of strings on which they differ, before the quirks.
	differ int
	// failed is the number of strings on which the library's process failed.
	failed    int
	uncovered map[string]int
	causes    map[string]*cause
}

type cause struct {
	count   int
	example string
}

func newComparison(library *external.Decoder, quirks []oracle.Quirk, mode x86.Mode) *comparison {
	return &comparison{
		model: model.NewDecoder(everything), library: library, mode: mode, quirks: oracle.NewQuirkSet(quirks),
		uncovered: map[string]int{}, causes: map[string]*cause{},
	}
}

// add takes a string; full batches are compared.
func (c *comparison) add(code []byte) {
	if c.codes = append(c.codes, code); len(c.codes) == 4096 {
		c.flush()
	}
}

func (c *comparison) flush() {
	c.answers = append(c.answers[:0], make([]oracle.Decoded, len(c.codes))...)
	c.library.DecodeBatch(c.codes, c.mode, c.answers)
	for i, code := range c.codes {
		c.compare(code, &c.answers[i])
	}
	c.codes = c.codes[:0]
}

func (c *comparison) compare(code []byte, wrong *oracle.Decoded) {
	c.strings++
	if wrong.Ending != oracle.Ended {
		c.failed++
	}
	var right oracle.Decoded
	c.model.Decode(code, c.mode, &right)
	if !right.Covered {
		c.uncovered[right.Group]++
		return
	}
	diff := oracle.CompareDecoded(&right, wrong)
	if diff == 0 {
		return
	}
	c.differ++
	rest, _ := c.quirks.ExplainDecoded(code, c.mode, diff, &right, wrong)
	if rest == 0 {
		return
	}
	var l oracle.Lexed
	l.Lex(code, c.mode)
	key := fmt.Sprintf("%v: model %s, %s %s", rest, name(&right), c.library.Name(), name(wrong))
	if rest == oracle.DecodedValidity {
		key += fmt.Sprintf(" (escape %d map %d opcode %02X pp %02X)", l.Escape, l.MapNumber, l.Opcode, l.PP)
	}
	k := c.causes[key]
	if k == nil {
		k = &cause{example: fmt.Sprintf("%x\n      model   %s\n      %-7s %s", code, show(&right), c.library.Name(), show(wrong))}
		c.causes[key] = k
	}
	k.count++
}

func name(d *oracle.Decoded) string {
	if !d.Valid {
		return "invalid: " + d.Reason
	}
	return d.Mnemonic
}

func show(d *oracle.Decoded) string {
	if !d.Valid {
		return "invalid: " + d.Reason
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s", d.Length, d.Mnemonic)
	for i := range d.NumOperands {
		fmt.Fprintf(&b, ", %v", d.Operands[i])
	}
	return b.String()
}

// report logs what no quirk explains, the most frequent first, and returns how
// many strings that are.
func (c *comparison) report(t *testing.T, most int) int {
	t.Helper()
	keys := make([]string, 0, len(c.causes))
	total := 0
	for k, v := range c.causes {
		keys = append(keys, k)
		total += v.count
	}
	sort.Slice(keys, func(i, j int) bool {
		a, b := c.causes[keys[i]], c.causes[keys[j]]
		return a.count > b.count || a.count == b.count && keys[i] < keys[j]
	})
	for _, k := range keys[:min(len(keys), most)] {
		t.Logf("%d × %s\n      %s", c.causes[k].count, k, c.causes[k].example)
	}
	t.Logf("%s in %s: %d strings, %d differ, %d of them unexplained, of %d causes; restarts: %d; not in the table: %v",
		c.library.Name(), c.mode, c.strings, c.differ, total, len(keys), c.library.Restarts(), c.uncovered)
	return total
}

// amount is how many random strings the comparison has; RINGFENCE_STRINGS sets
// another number.
func amount(t *testing.T, n int) int {
	t.Helper()
	if v := os.Getenv("RINGFENCE_STRINGS"); v != "" {
		var err error
		n, err = strconv.Atoi(v)
		require.NoError(t, err, "RINGFENCE_STRINGS")
	}
	if testing.Short() {
		n = min(n, 20_000)
	}
	return n
}

func compareLibrary(t *testing.T, name string, mode x86.Mode, n int) *comparison {
	t.Helper()
	c := newComparison(open(t, name), Find(name).Quirks(), mode)
	for s := range corpus.Seeds() {
		if int(s.Mode) == mode.Width() {
			c.add(s.Bytes)
		}
	}
	s := newSource(1, mode)
	for range n {
		c.add(s.next())
	}
	c.flush()
	return c
}
