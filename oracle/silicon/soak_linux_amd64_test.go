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
	"sync"
	"sync/atomic"
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

// soak is one worker of TestSoak.
type soak struct {
	t       *testing.T
	e       *Executor
	s       *stream
	results []oracle.Result
	total   *atomic.Int64 // cases of all workers
	done    int
	endings [oracle.NumEndings]int
	notes   map[string]int
	deaths  int
}

// TestSoak: no answer is lost or doubled, every death of a child is accounted
// for, and the parent's memory stays as it is. A case is known again by a
// register that its number is written into, where the instruction leaves it.
// There is a worker for each CPU.
func TestSoak(t *testing.T) {
	const batch = 256
	var total atomic.Int64
	var workers []*soak
	for n := range runtime.NumCPU() {
		w := &soak{t: t, e: newExecutor(t), s: newStream(*soakSeed+uint64(n)<<32, batch), results: make([]oracle.Result, batch), total: &total, notes: map[string]int{}}
		w.e.lostCase = w.lost
		workers = append(workers, w)
	}
	start := time.Now()
	round := func(until int) {
		var group sync.WaitGroup
		for _, w := range workers {
			group.Go(func() { w.run(until) })
		}
		group.Wait()
		runtime.GC()
	}
	first := 0
	for tenth := range 10 {
		round(*soakCases / 10 * (tenth + 1))
		if tenth == 0 {
			first = resident(t)
		}
		t.Logf("%d cases after %v, the parent has %d KiB", total.Load(), time.Since(start).Round(time.Second), resident(t)>>10)
	}
	grown := resident(t) - first
	sum, replaced := workers[0].sum(workers[1:])
	t.Logf("%d cases in %v: %s; %.2f %% quarantined; children replaced: %+v; the parent grew by %d KiB",
		sum.done, time.Since(start).Round(time.Millisecond), endingsText(&sum.endings), 100*float64(sum.endings[oracle.Quarantined])/float64(sum.done), replaced, grown>>10)
	for _, n := range slices.Sorted(maps.Keys(sum.notes)) {
		t.Logf("%9d %s", sum.notes[n], n)
	}
	answered := 0
	for _, n := range sum.endings {
		answered += n
	}
	assert.Equal(t, int(total.Load()), answered, "answers")
	assert.Equal(t, replaced.Lost+replaced.Stuck, sum.deaths, "a child was lost without a case")
	assert.Less(t, grown, 8<<20, "the parent's memory grows")
	assert.Zero(t, sum.endings[oracle.Died])
	assert.Zero(t, sum.endings[oracle.RanAway], "every case of the stream ends")
}

// run runs batches until all workers together have done so many cases.
func (w *soak) run(until int) {
	for {
		n := w.total.Load()
		more := n + int64(len(w.results))
		if int(more) > until {
			return
		}
		if w.total.CompareAndSwap(n, more) {
			w.batch()
		}
	}
}

func (w *soak) batch() {
	t := w.t
	w.s.next()
	for i := range w.results {
		w.results[i].Ending, w.results[i].Steps = oracle.NumEndings, -1
		if w.s.cases[i].State.Mode.Width() == 64 {
			w.s.cases[i].State.GPR[15] = uint64(w.done+i) | 1<<62
		}
	}
	if !assert.NoError(t, w.e.Run(w.s.cases, w.results)) {
		return
	}
	for i := range w.results {
		c, r := &w.s.cases[i], &w.results[i]
		if r.Ending >= oracle.NumEndings {
			t.Errorf("case %d was not answered", w.done+i)
			continue
		}
		w.endings[r.Ending]++
		if r.Note != "" {
			w.notes[fmt.Sprintf("%v: %s", r.Ending, r.Note)]++
		}
		if r.Ending == oracle.Died || r.Ending == oracle.RanAway {
			t.Logf("%v: case %d, %s", r.Ending, w.done+i, describeCase(c))
		}
		if r.Ending == oracle.Ended && c.State.Mode.Width() == 64 && r.State.GPR[14] == c.State.GPR[14] && untouched(c) && r.State.GPR[15] != c.State.GPR[15] {
			t.Errorf("case %d has another's answer: % x", w.done+i, c.CodeBytes())
		}
	}
	w.done += len(w.results)
}

// lost tells of a case whose answer was missing or not right.
func (w *soak) lost(index int, how string) {
	w.deaths++
	w.t.Logf("a child was lost: %s: case %d, %s", how, w.done+index, describeCase(&w.s.cases[index]))
}

// sum adds up what workers have counted.
func (w *soak) sum(others []*soak) (*soak, Replaced) {
	replaced := w.e.Replaced()
	for _, o := range others {
		w.done += o.done
		w.deaths += o.deaths
		for i, n := range o.endings {
			w.endings[i] += n
		}
		for text, n := range o.notes {
			w.notes[text] += n
		}
		r := o.e.Replaced()
		replaced.Moved += r.Moved
		replaced.Refused += r.Refused
		replaced.Stuck += r.Stuck
		replaced.Lost += r.Lost
	}
	return w, replaced
}

func endingsText(counts *[oracle.NumEndings]int) string {
	var list []string
	for i, n := range counts {
		list = append(list, fmt.Sprintf("%d %v", n, oracle.Ending(i)))
	}
	return strings.Join(list, ", ")
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
