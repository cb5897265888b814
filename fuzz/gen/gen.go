// Package gen makes cases. Instructions come from the table (a row, prefixes
// that matter and that do not, every ModRM and SIB shape, displacements and
// immediates at the edges), from seeds (whole instructions, varied), and from
// any bytes. The state is made to suit the instruction: its operands lie in
// the windows, near the ends of pages, over them, and sometimes where they
// fault; numbers are those at which arithmetic changes its mind.
//
// A generator is a function of its seed. It allocates nothing per case.
package gen

import (
	"encoding/binary"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// Config says what to generate. The zero value but for Profile is useful.
type Config struct {
	Profile *isa.Profile
	Seed    uint64
	// Weight returns the weight of a row, 0 to leave it out; nil means
	// DefaultWeight. Each row turns up as often as its share of the sum; a row
	// whose feature the profile lacks has a weight of 1 at most.
	Weight func(row *isa.Row) int
	// Seeds are whole instructions to vary. Without any, all cases come from
	// the table.
	Seeds [][]byte
	// Mode is Long64, Compat32 or Compat16; the zero value stands for Long64.
	Mode x86.Mode
}

// Generator makes cases. It is used by one goroutine at a time.
type Generator struct {
	rand    Rand
	profile *isa.Profile
	mode    x86.Mode
	seeds   [][]byte
	// current is the cast in use, for so many cases more.
	current *cast
	left    int
	// deck holds the rows, each as often as its weight, in random order; next
	// is the one to deal.
	deck []isa.ID
	next int
	// lacks are the rows of features that the profile does not have.
	lacks []bool
	// rest holds the rows that are not dealt, for decoders alone.
	rest []isa.ID
	inst decode.Inst
	text text
	// prefix holds the prefixes of an instruction that is being chosen.
	prefix text
}

// New returns a generator of code for one mode.
func New(cfg Config) *Generator {
	g := &Generator{rand: NewRand(cfg.Seed), profile: cfg.Profile, mode: cfg.Mode, seeds: cfg.Seeds}
	if g.mode == x86.Real {
		g.mode = x86.Long64
	}
	weight := cfg.Weight
	if weight == nil {
		weight = DefaultWeight
	}
	rows := isa.Rows()
	g.lacks = make([]bool, len(rows)+1)
	for i := range rows {
		row := &rows[i]
		if row.Modes&Modes(g.mode) == 0 {
			continue
		}
		n := weight(row)
		if row.Missing(&g.profile.Features) != 0 && row.Fallback == 0 {
			// The CPU does not have it: #UD whatever its operands.
			n = min(n, 1)
			g.lacks[row.ID] = true
		}
		for range n {
			g.deck = append(g.deck, row.ID)
		}
		if n == 0 {
			g.rest = append(g.rest, row.ID)
		}
	}
	g.shuffle()
	return g
}

// Modes is the member of a row's modes that a mode's code width is.
func Modes(m x86.Mode) isa.ModeSet {
	switch m.Width() {
	case 64:
		return isa.Mode64
	case 32:
		return isa.Mode32
	}
	return isa.Mode16
}

// cast returns the cast in use, another one every so many cases.
func (g *Generator) cast() *cast {
	if g.left == 0 {
		g.current, g.left = &castsOf(g.mode)[g.rand.N(numCasts)], castCases
	}
	g.left--
	return g.current
}

// DefaultWeight gives instructions that can retire at CPL 3 eight times the
// share of those that cannot, and leaves out x87 and vector instructions,
// which have no semantics yet.
func DefaultWeight(row *isa.Row) int {
	switch {
	case row.Attr&(isa.AttrX87|isa.AttrVector) != 0:
		return 0
	case row.Attr&(isa.AttrCPL0|isa.AttrIOPL|isa.AttrSystem|isa.AttrFar) != 0:
		return 1
	}
	return 8
}

// Rows returns the number of distinct rows that are dealt.
func (g *Generator) Rows() int {
	seen := map[isa.ID]bool{}
	for _, id := range g.deck {
		seen[id] = true
	}
	return len(seen)
}

func (g *Generator) shuffle() {
	for i := len(g.deck) - 1; i > 0; i-- {
		j := g.rand.N(i + 1)
		g.deck[i], g.deck[j] = g.deck[j], g.deck[i]
	}
	g.next = 0
}

// deal returns the next row. Three in four of those that the CPU lacks are left
// out: #UD, dear and always the same.
func (g *Generator) deal() isa.ID {
	for {
		if g.next == len(g.deck) {
			g.shuffle()
		}
		row := g.deck[g.next]
		g.next++
		if !g.lacks[row] || g.rand.Chance(64) {
			return row
		}
	}
}

// Next fills c with the next case. c.Memory must have the length of the
// default layout's windows.
func (g *Generator) Next(c *oracle.Case) {
	v := g.rand.Uint64()
	switch k := v & 255; {
	case k < 170 && len(g.deck) > 0, len(g.seeds) == 0 && k < 250:
		g.FromRow(c, g.deal())
	case k < 253 && len(g.seeds) > 0:
		n := uint64(len(g.seeds))
		g.Mutate(c, g.seeds[v>>8%n], g.seeds[v>>36%n])
	default:
		g.random(c)
	}
}

// FromRow fills c with an instruction of the row in a state that suits it.
func (g *Generator) FromRow(c *oracle.Case, row isa.ID) {
	g.instruction(&g.text, row)
	if g.rand.Chance(2) {
		g.stretch(&g.text)
	}
	g.take(c, g.text.bytes())
	g.Fill(c, true)
}

// Flaw is what a generator can get wrong on purpose.
type Flaw uint8

// The flaws.
const (
	// FlawLock is a LOCK prefix, allowed or not.
	FlawLock Flaw = iota
	// FlawLength is more than 15 bytes.
	FlawLength
)

// Flawed fills c with an instruction of the row that has a flaw.
func (g *Generator) Flawed(c *oracle.Case, row isa.ID, flaw Flaw) {
	g.instruction(&g.text, row)
	switch t := &g.text; flaw {
	case FlawLock:
		t.insert(0, 0xf0)
	case FlawLength:
		for want := decode.MaxLength + 1 + g.rand.N(4); t.n > 0 && t.n < want; {
			t.insert(0, 0x2e)
		}
	}
	g.take(c, g.text.bytes())
	g.Fill(c, true)
}

// Undealt sets the code of c, and nothing else, to an instruction of a row
// that is not dealt (weight 0), one in four of them with a mutation: for
// decoders, which need no state. ok is false if there is no such row.
func (g *Generator) Undealt(c *oracle.Case) (ok bool) {
	if len(g.rest) == 0 {
		return false
	}
	t := &g.text
	v := g.rand.Uint64()
	g.instruction(t, g.rest[v>>8%uint64(len(g.rest))])
	if v&3 == 0 && t.n > 0 {
		g.mutate(t, nil)
	}
	g.take(c, t.bytes())
	return c.CodeLen > 0
}

// Seed fills c with the bytes as they are in a state that suits them. Only
// displacements of memory operands without a register, and of branches,
// change.
func (g *Generator) Seed(c *oracle.Case, code []byte) {
	g.take(c, code)
	g.Fill(c, true)
}

func (g *Generator) take(c *oracle.Case, code []byte) {
	c.Code = [16]byte{}
	c.CodeLen = uint8(copy(c.Code[:decode.MaxLength], code))
}

// random fills c with random bytes.
func (g *Generator) random(c *oracle.Case) {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], g.rand.Uint64())
	binary.LittleEndian.PutUint64(b[8:], g.rand.Uint64())
	g.take(c, b[:decode.MaxLength])
	g.Fill(c, false)
}

// BytesHeader is the number of bytes of a fuzz input before the instruction:
// the seed of its states.
const BytesHeader = 4

// FromBytes fills c with the n-th state of a fuzz input, whose layout is
//
//	data[0:4]   seed of the states
//	data[4:19]  the instruction; what is longer is cut, what is absent is empty
//
// so that a mutation of the instruction keeps the states and the other way
// round. The case is a function of data and n alone. Three states in four may
// change a displacement to reach memory that is mapped.
func (g *Generator) FromBytes(data []byte, n int, c *oracle.Case) {
	var head [BytesHeader]byte
	copy(head[:], data)
	g.rand = NewRand(uint64(binary.LittleEndian.Uint32(head[:]))<<32 | uint64(n)*0x9e3779b9)
	g.rand.Uint64()
	g.left = 0
	g.take(c, data[min(len(data), BytesHeader):])
	g.Fill(c, n&3 != 0)
}

// NewCases returns n cases of the default layout, their memory allocated at
// once.
func NewCases(n int) []oracle.Case {
	size := oracle.DefaultLayout.WindowBytes()
	memory := make([]byte, n*size)
	cases := make([]oracle.Case, n)
	for i := range cases {
		cases[i].Layout = oracle.DefaultLayout
		cases[i].State.Mode = x86.Long64
		cases[i].Memory = memory[i*size : (i+1)*size : (i+1)*size]
	}
	return cases
}

// Row returns the row of the last case, 0 if its bytes are no instruction.
func (g *Generator) Row() isa.ID {
	if !g.inst.Valid() {
		return 0
	}
	return g.inst.Row
}

// Deal fills c with an instruction of the next row in a state that suits it.
func (g *Generator) Deal(c *oracle.Case) { g.FromRow(c, g.deal()) }
