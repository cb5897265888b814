package silicon

import (
	"encoding/binary"
	"flag"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// Lengths of the long runs; `make silicon-soak` sets them.
var (
	soakCases  = flag.Int("soak.cases", 60_000, "random cases of TestSoak")
	soakRepeat = flag.Int("soak.repeat", 40_000, "cases that TestSoakRepeat runs twice")
	soakSeed   = flag.Uint64("soak.seed", 1, "seed of both")
)

// stream makes random cases of the three modes without end, in the same order
// for the same seed: half raw bytes, half rows of the instruction table. It
// reuses its cases: to draw one costs more than to run it.
type stream struct {
	r     *rand.Rand
	rows  []isa.Row
	cases []oracle.Case
}

func newStream(seed uint64, n int) *stream {
	s := &stream{r: rand.New(rand.NewPCG(seed, 9)), rows: isa.Rows()}
	s.cases = randomCases(seed, n)
	return s
}

// next changes every case.
func (s *stream) next() {
	var buf [32]byte
	for i := range s.cases {
		c := &s.cases[i]
		m := c.State.Mode
		var code []byte
		if s.r.IntN(2) == 0 {
			row := s.rows[s.r.IntN(len(s.rows))].ID
			code = decode.Encode(buf[:0], row, m, decode.Form{
				Mod: uint8(s.r.Uint32() & 3), Reg: uint8(s.r.Uint32() & 15), RM: uint8(s.r.Uint32() & 15), SIB: uint8(s.r.Uint32()),
				VVVV: uint8(s.r.Uint32() & 15), REX: uint8(s.r.Uint32() & 15), Disp: pool[s.r.IntN(len(pool))], Imm: s.r.Uint64(),
			})
		}
		if len(code) == 0 {
			code = binary.LittleEndian.AppendUint64(buf[:0], s.r.Uint64())
			code = code[:1+s.r.IntN(8)]
		}
		c.Code = [16]byte{}
		c.CodeLen = uint8(copy(c.Code[:15], code))
		for range 3 {
			n := s.r.IntN(8)
			if n == 4 {
				continue
			}
			v := pool[s.r.IntN(len(pool))]
			if m.Width() != 64 {
				v = uint64(uint32(v))
			}
			c.State.GPR[n] = v
		}
		at := s.r.IntN(len(c.Memory)/8) * 8
		binary.LittleEndian.PutUint64(c.Memory[at:], pool[s.r.IntN(len(pool))])
	}
}

// resident returns the memory of this process in bytes.
func resident(t *testing.T) int {
	text, err := os.ReadFile("/proc/self/statm")
	require.NoError(t, err)
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	require.NoError(t, err)
	return pages * os.Getpagesize()
}

// TestSoak: no answer is lost or doubled, every death of a child is accounted
// for, and the parent's memory stays as it is. A case is known again by a
// register that its number is written into, where the instruction leaves it.
func TestSoak(t *testing.T) {
	const batch = 256
	e := newExecutor(t)
	s := newStream(*soakSeed, batch)
	results := make([]oracle.Result, batch)
	endings, notes := map[oracle.Ending]int{}, map[string]int{}
	var died, deaths []string
	start, first, done := time.Now(), 0, 0
	e.lostCase = func(index int, how string) {
		deaths = append(deaths, fmt.Sprintf("%s: case %d, %s", how, done+index, describeCase(&s.cases[index])))
	}
	for ; done < *soakCases; done += batch {
		s.next()
		for i := range results {
			results[i].Ending, results[i].Steps = oracle.NumEndings, -1
			if s.cases[i].State.Mode.Width() == 64 {
				s.cases[i].State.GPR[15] = uint64(done+i) | 1<<62
			}
		}
		require.NoError(t, e.Run(s.cases, results))
		for i := range results {
			r := &results[i]
			require.NotEqual(t, oracle.NumEndings, r.Ending, "case %d was not answered", done+i)
			endings[r.Ending]++
			if r.Note != "" {
				notes[fmt.Sprintf("%v: %s", r.Ending, r.Note)]++
			}
			if r.Ending == oracle.Died && len(died) < 20 {
				died = append(died, describeCase(&s.cases[i]))
			}
			if r.Ending == oracle.Ended && s.cases[i].State.Mode.Width() == 64 && r.State.GPR[14] == s.cases[i].State.GPR[14] && untouched(&s.cases[i]) {
				require.Equal(t, s.cases[i].State.GPR[15], r.State.GPR[15], "case %d has another's answer: % x", done+i, s.cases[i].CodeBytes())
			}
		}
		if done >= *soakCases/10 && first == 0 {
			runtime.GC()
			first = resident(t)
		}
		if tenth := max(*soakCases/10, 1_000_000); done/tenth != (done+batch)/tenth {
			t.Logf("%d cases after %v, %+v", done+batch, time.Since(start).Round(time.Second), e.Replaced())
		}
	}
	runtime.GC()
	grown := resident(t) - first
	replaced := e.Replaced()
	t.Logf("%d cases in %v, %v, %.2f %% quarantined; children replaced: %+v; %d cases killed one at every try; the parent grew by %d KiB",
		done, time.Since(start).Round(time.Millisecond), endings, 100*float64(endings[oracle.Quarantined])/float64(done), replaced, endings[oracle.Died], grown>>10)
	for _, n := range slices.Sorted(maps.Keys(notes)) {
		t.Logf("%9d %s", notes[n], n)
	}
	for _, c := range died {
		t.Log("died: ", c)
	}
	for i, c := range deaths {
		if i < 50 {
			t.Log("a child was lost: ", c)
		}
	}
	assert.Equal(t, replaced.Lost+replaced.Stuck, len(deaths), "a child was lost without a case")
	assert.Less(t, grown, 8<<20, "the parent's memory grows")
	assert.Zero(t, endings[oracle.Died])
}

// untouched says that an instruction has no operand that could be R15: without
// REX and VEX there is none.
func untouched(c *oracle.Case) bool {
	var s shape
	s.analyse(c.Code[:15], uint8(c.State.Mode.Width()), branchUnknown)
	return s.class == classPlain && s.rex == 0 && !s.vex
}

func describeCase(c *oracle.Case) string { return string(oracle.AppendCase(nil, c)) }

// TestSoakRepeat runs cases twice, in different orders and batches of different
// sizes: they end the same.
func TestSoakRepeat(t *testing.T) {
	const chunk = 4096
	e := newExecutor(t)
	s := newStream(*soakSeed+1, chunk)
	first, second := make([]oracle.Result, chunk), make([]oracle.Result, chunk)
	shuffled := make([]oracle.Case, chunk)
	sums := make([]uint64, chunk)
	differ := 0
	for done := 0; done < *soakRepeat; done += chunk {
		s.next()
		require.NoError(t, e.Run(s.cases, first))
		for i := range first {
			sums[i] = sum(&first[i])
		}
		order := s.r.Perm(chunk)
		for i, j := range order {
			shuffled[i] = s.cases[j]
		}
		for at := 0; at < chunk; {
			end := min(chunk, at+1+s.r.IntN(400))
			require.NoError(t, e.Run(shuffled[at:end], second[at:end]))
			at = end
		}
		for i, j := range order {
			if sum(&second[i]) != sums[j] {
				differ++
				if differ <= 10 {
					t.Errorf("%s\nfirst  %s\nsecond %s", describeCase(&s.cases[j]), describe(&first[j]), describe(&second[i]))
				}
			}
		}
	}
	t.Logf("%d cases twice, %d differ, children replaced: %+v", *soakRepeat, differ, e.Replaced())
	assert.Zero(t, differ)
}

// sum is a hash of a result.
func sum(r *oracle.Result) uint64 {
	h := fnv.New64a()
	var b [8]byte
	put := func(v uint64) {
		binary.LittleEndian.PutUint64(b[:], v)
		h.Write(b[:])
	}
	put(uint64(r.Ending))
	if r.Ending == oracle.Ended {
		put(uint64(r.Outcome)<<32 | uint64(r.Event.Vector)<<16 | uint64(r.Event.Type))
		put(uint64(r.Event.ErrorCode))
		put(r.Event.Address)
		for _, v := range r.State.GPR {
			put(v)
		}
		put(r.State.RIP)
		put(r.State.RFLAGS)
		for _, v := range r.State.Selector {
			put(uint64(v))
		}
		put(r.FSBase ^ r.GSBase<<1)
		put(uint64(r.NumStray))
		h.Write(r.Memory)
		if f := r.State.FPU; f != nil {
			put(uint64(f.FCW) | uint64(f.FSW)<<16 | uint64(f.FTW)<<32)
			put(uint64(f.MXCSR))
			for i := range f.ZMM {
				for _, v := range f.ZMM[i] {
					put(v)
				}
			}
			for i := range f.ST {
				put(f.ST[i].Significand)
				put(uint64(f.ST[i].SignExponent))
			}
			for _, v := range f.K {
				put(v)
			}
		}
	}
	return h.Sum64()
}
