package coverage

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/arch/x86/x86asm"

	"github.com/seed-4e121ece/ringfence/corpus/executable"
	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/fuzz/diff"
	"github.com/seed-4e121ece/ringfence/fuzz/gen"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/seed-4e121ece/ringfence/oracle/model"
	"github.com/seed-4e121ece/ringfence/oracle/silicon"
)

// states is on how many states each encoding runs. The first has the bytes as
// they are, whatever they address; the others are steered so that most retire.
const states = 16

// leftOut are the groups that are not run yet. What is in none of them has to
// be implemented and to agree with the CPU.
var leftOut = []struct {
	name string
	has  func(row *isa.Row) bool
}{
	{"x87", func(r *isa.Row) bool { return r.Attr&isa.AttrX87 != 0 }},
	{"MMX/SSE/AVX", func(r *isa.Row) bool { return r.Attr&isa.AttrVector != 0 }},
	{"system", func(r *isa.Row) bool {
		return r.Attr&(isa.AttrSystem|isa.AttrCPL0|isa.AttrIOPL|isa.AttrFar) != 0 || loadsSegment(r)
	}},
}

// loadsSegment says whether a row writes a segment register.
func loadsSegment(r *isa.Row) bool {
	for _, o := range slices.Concat(r.Operands[:r.NumOperands], r.Implicit) {
		if o.Class == x86.ClassSegment && o.Access&isa.Write != 0 {
			return true
		}
	}
	return false
}

// encoding is one distinct encoding.
type encoding struct {
	code  []byte
	row   isa.ID
	count int
}

// sweep is what the executables hold.
type sweep struct {
	profile      *isa.Profile
	seen         map[decode.Shape]*encoding
	order        []*encoding
	instructions int
	// left counts mnemonics that are left out, by group.
	left map[string]map[string]int
	// bad counts the strings that the model calls no instruction, though
	// x86asm finds one: data in code sections.
	bad int
}

func (s *sweep) take(code []byte) {
	s.instructions++
	var in decode.Inst
	if decode.Decode(&in, code, x86.Long64, s.profile) != decode.Valid {
		s.other(code)
		return
	}
	row := isa.Get(in.Row)
	for _, g := range leftOut {
		if g.has(row) {
			s.leave(g.name, row.Mnemonic.String())
			return
		}
	}
	shape := in.Shape(code)
	e := s.seen[shape]
	if e == nil {
		e = &encoding{code: bytes.Clone(code), row: in.Row}
		s.seen[shape] = e
		s.order = append(s.order, e)
	}
	e.count++
}

// other counts a string that is not in the model's table. A group that the
// table does not cover is left out by its name; for the rest, only its validity
// is known and the CPU has the word.
func (s *sweep) other(code []byte) {
	var in decode.Inst
	decode.Decode(&in, code, x86.Long64, s.profile)
	if group := in.Uncovered(code); group != "" {
		name := group
		if in, err := x86asm.Decode(code, 64); err == nil && in.Op != 0 {
			name = in.Op.String()
		}
		s.leave("MMX/SSE/AVX", name)
		return
	}
	s.bad++
	e := &encoding{code: bytes.Clone(code)}
	s.order = append(s.order, e)
}

func (s *sweep) leave(group, mnemonic string) {
	if s.left[group] == nil {
		s.left[group] = map[string]int{}
	}
	s.left[group][mnemonic]++
}

// length is the sweep's: the model's length, or x86asm's where the model has
// no table.
func (s *sweep) length(code []byte) int {
	var in decode.Inst
	if decode.Decode(&in, code, x86.Long64, s.profile) == decode.Valid {
		return int(in.Length)
	}
	if ref, err := x86asm.Decode(code, 64); err == nil && ref.Op != 0 && ref.Len <= decode.MaxLength {
		return ref.Len
	}
	return 0
}

func (s *sweep) files(t *testing.T) {
	elfs, machos, err := executable.SeedFiles()
	if err != nil {
		t.Skip("no seed executables:", err)
	}
	files := append(elfs, machos...)
	switch self, err := executable.GoCommand(); {
	case errors.Is(err, executable.ErrNotX86):
		t.Logf("the go command is left out: %v", err)
	case err != nil:
		t.Fatal(err)
	default:
		files = append(files, self)
	}
	for _, f := range files {
		for _, sec := range f.Sections {
			executable.Sweep(sec.Code, s.length, func(_ int, code []byte) bool { s.take(code); return true })
		}
	}
}

func (s *sweep) logLeftOut(t *testing.T) {
	for _, g := range leftOut {
		names := make([]string, 0, len(s.left[g.name]))
		total := 0
		for m, n := range s.left[g.name] {
			names = append(names, fmt.Sprintf("%s %d", m, n))
			total += n
		}
		sort.Strings(names)
		t.Logf("left out: %s, %d instructions of %d mnemonics: %s", g.name, total, len(names), strings.Join(names, ", "))
	}
}

// TestEveryDistinctEncoding runs each distinct encoding of the seed
// executables and of the go command on the model and on the CPU, in sixteen
// states. Outside the groups that are left out, everything is implemented and
// nothing differs.
func TestEveryDistinctEncoding(t *testing.T) {
	profile, subject, reference := engines(t)
	s := &sweep{profile: profile, seen: map[decode.Shape]*encoding{}, left: map[string]map[string]int{}}
	s.files(t)
	s.logLeftOut(t)
	t.Logf("%d instructions, %d distinct encodings to run, %d strings that are no instruction", s.instructions, len(s.seen), s.bad)
	require.Greater(t, len(s.seen), 10_000)

	cases := gen.NewCases(states)
	d := diff.New(subject, reference, profile, states, len(cases[0].Memory))
	failures := map[string]int{}
	d.Found = func(f *diff.Found) {
		row := isa.Get(f.Inst.Row)
		failures[row.String()]++
		if len(failures) <= 20 && failures[row.String()] == 1 {
			t.Errorf("diverged: %x (%s): %v %#x, subject %v %v, reference %v %v", f.Case.CodeBytes(), row, f.Diff.Fields.Names(), f.Diff.Flags,
				f.Subject.Outcome, f.Subject.Event, f.Reference.Outcome, f.Reference.Event)
		}
	}
	g := gen.New(gen.Config{Profile: profile, Seed: 1})
	for _, e := range s.order {
		for i := range cases {
			fill(g, &cases[i], e.code, i)
		}
		require.NoError(t, d.Run(cases))
	}
	report(t, d, failures)
}

// fill makes the i-th state for the bytes.
func fill(g *gen.Generator, c *oracle.Case, code []byte, i int) {
	c.Code = [16]byte{}
	c.CodeLen = uint8(copy(c.Code[:decode.MaxLength], code))
	g.Fill(c, i != 0)
}

func report(t *testing.T, d *diff.Differ, failures map[string]int) {
	k := &d.Counts
	t.Logf("%d cases, %d compared, %d retired (%.1f %%), %d diverged, %d not implemented",
		k.Cases, k.Compared, k.Retired, 100*float64(k.Retired)/float64(max(k.Cases, 1)), k.Diverged, k.Unimplemented)
	rows, retired := 0, 0
	for id := range k.Rows {
		r := &k.Rows[id]
		if r.Cases == 0 {
			continue
		}
		rows++
		if r.Retired > 0 {
			retired++
			continue
		}
		t.Logf("never retired: %v (%d cases, vectors %#x, endings %#x)", isa.Get(isa.ID(id)), r.Cases, r.Vectors, r.Endings)
	}
	t.Logf("%d rows of the table ran, %d of them retired", rows, retired)
	for id := range k.Rows {
		if r := &k.Rows[id]; r.Unimplemented > 0 {
			t.Errorf("not implemented: %v, %d cases", isa.Get(isa.ID(id)), r.Unimplemented)
		}
	}
	require.Empty(t, failures, "rows that diverged, with their cases")
}

// engines returns the profile of this CPU, the model of it and the CPU itself;
// the test is skipped where the CPU cannot be asked.
func engines(t *testing.T) (*isa.Profile, oracle.Executor, oracle.Executor) {
	t.Helper()
	cpu, err := silicon.New()
	if err != nil {
		if slices.Contains(strings.Split(os.Getenv("RINGFENCE_REQUIRE"), ","), "silicon") {
			t.Fatal("RINGFENCE_REQUIRE asks for silicon:", err)
		}
		t.Skip(err)
	}
	t.Cleanup(func() { require.NoError(t, cpu.Close()) })
	profile := silicon.Profile()
	return profile, model.New(profile), cpu
}
