package diff

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/fuzz/gen"
	"github.com/seed-4e121ece/ringfence/internal/hostcpu"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/seed-4e121ece/ringfence/oracle/silicon"
)

// The CPU fetches as many bytes of a string as the decoder looks at, whether
// the string is an instruction or not: each string is cut by the end of the
// code pages after 1, 2, 3 … bytes, and the first cut at which the CPU raises
// something other than a page fault of the fetch tells how many it wanted. On
// this the comparison rests: RuleUndefinedFetch does not apply to Intel's CPUs.
func TestFetchedLength(t *testing.T) {
	s, err := silicon.New()
	if err != nil {
		if slices.Contains(strings.Split(os.Getenv("RINGFENCE_REQUIRE"), ","), "silicon") {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	defer s.Close()
	p := hostcpu.Profile()
	if p.Vendor != isa.Intel {
		t.Skip("how long undefined encodings are has been measured on Intel's CPUs alone")
	}
	f := fetcher{cpu: s, cases: gen.NewCases(decode.MaxLength)}
	f.results = NewResults(len(f.cases), len(f.cases[0].Memory))
	for _, mode := range []x86.Mode{x86.Long64, x86.Compat32, x86.Compat16} {
		t.Run(mode.String(), func(t *testing.T) { f.compare(t, mode, p) })
	}
}

func (f *fetcher) compare(t *testing.T, mode x86.Mode, p *isa.Profile) {
	tested, unknown := 0, 0
	var in decode.Inst
	for code := range openings {
		if mode != x86.Long64 && isREX(code) {
			continue // INC and DEC
		}
		n, err := f.length(code, mode)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			unknown++ // quarantined: the CPU is not asked
			continue
		}
		tested++
		decode.Decode(&in, code, mode, p)
		if int(in.Length) != n {
			t.Errorf("% x: the CPU fetches %d bytes, the decoder looks at %d (%v)", code, n, in.Length, in.Err)
		}
	}
	if tested < 20*unknown {
		t.Errorf("%d strings tested, %d not answered", tested, unknown)
	}
}

// isREX says that a string has a REX prefix after at most one other.
func isREX(code []byte) bool { return code[0]>>4 == 4 || code[0] == 0x66 && code[1]>>4 == 4 }

// openings yields strings of 15 bytes: each opcode of each map, in turn with
// one of some prefixes and one of some ModRM bytes.
func openings(yield func([]byte) bool) {
	prefixes := [][]byte{nil, {0x66}, {0xf3}, {0xf2}, {0x48}, {0xf0}, {0x66, 0x48}}
	escapes := [][]byte{
		{},
		{0x0f},
		{0x0f, 0x38},
		{0x0f, 0x3a},
		{0xc4, 0xe1, 0x78},
		{0xc4, 0xe2, 0x79},
		{0xc4, 0xe3, 0x81},
		{0xc4, 0xe4, 0x78},
		{0xc4, 0xe5, 0x78},
		{0xc4, 0xe7, 0x7b},
		{0xc5, 0xf8},
		{0xc5, 0x85},
		{0xc4, 0xfd, 0x78},
		{0x62, 0xf1, 0x7c, 0x48},
		{0x62, 0xf2, 0x7d, 0x08},
		{0x62, 0xf3, 0xfd, 0x9f},
		{0x62, 0xf4, 0x7c, 0x08},
		{0x62, 0xf5, 0x7c, 0x08},
		{0x62, 0xf5, 0xfd, 0x9f},
		{0x62, 0xf6, 0x7d, 0x48},
		{0x62, 0xf7, 0x78, 0x08},
		{0x62, 0xfd, 0x78, 0x08},
	}
	modrms := []byte{0xc0, 0x00, 0x44, 0x85, 0x25, 0xf8, 0xb4}
	n := 0
	for _, escape := range escapes {
		for op := range 256 {
			if len(escape) == 0 && (op == 0x0f || op == 0xc4 || op == 0xc5 || op == 0x62 || isPrefix(byte(op))) {
				continue
			}
			for range 3 {
				n++
				code := make([]byte, 0, 24)
				code = append(code, prefixes[n%len(prefixes)]...)
				code = append(code, escape...)
				code = append(code, byte(op), modrms[n/3%len(modrms)])
				if !yield(append(code, make([]byte, 14)...)[:decode.MaxLength]) {
					return
				}
			}
		}
	}
	for m := range 128 { // C4 and 62 that name no map, with and without SIB and base
		code := make([]byte, decode.MaxLength)
		code[0], code[1], code[2] = 0xc4-byte(m&1)*0x62, byte(m>>1<<2), byte(m)
		if !yield(code) {
			return
		}
	}
}

func isPrefix(b byte) bool {
	return b&0xf0 == 0x40 || slices.Contains([]byte{0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3}, b)
}

type fetcher struct {
	cpu     *silicon.Executor
	cases   []oracle.Case
	results []oracle.Result
}

// length returns how many bytes of code the CPU fetches, 0 if it does not say.
func (f *fetcher) length(code []byte, mode x86.Mode) (int, error) {
	const end = oracle.CodeBase + 2*oracle.PageSize
	base, operand := uint64(0), uint64(oracle.DataBase+oracle.PageSize)
	if mode == x86.Compat16 {
		base, operand = oracle.CodeBase, oracle.PageSize
	}
	for i := range f.cases {
		c := &f.cases[i]
		*c = silicon.NewCaseIn(mode, code[:i+1])
		c.State.RIP = end - base - uint64(i+1)
		for r := range c.State.GPR[:8] {
			if r != x86.RSP {
				c.State.GPR[r] = operand
			}
		}
	}
	if err := f.cpu.Run(f.cases, f.results); err != nil {
		return 0, err
	}
	for i := range f.results {
		r := &f.results[i]
		if r.Ending != oracle.Ended {
			continue
		}
		wanted := r.Outcome == step.Exception && r.Event.Vector == x86.VectorPF && r.Event.ErrorCode&x86.PFFetch != 0 &&
			r.Event.Address == end && r.State.RIP == f.cases[i].State.RIP
		if !wanted {
			return i + 1, nil
		}
	}
	return 0, nil
}
