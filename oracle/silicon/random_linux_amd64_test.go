package silicon

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

var pool = []uint64{
	0, 1, 2, 7, 8, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0x7fffffff, 0x80000000, 0xffffffff, 1<<63 - 1, 1 << 63, ^uint64(0), 1<<47 - 8, 1 << 47,
	data, data + 1, data + 8, middle, middle - 1, middle - 4, middle - 64, data + 2*page - 8, data + 2*page - 1, data + 2*page, data + 0x400,
	stack, stack + page, stack + page - 64, stack + 2*page - 8, stack + 2*page, stack + 0x300, ro, ro + 16, ro + page - 4,
	code, code + 1, code + page, code + 2*page - 1, 0x1000, 0xffff800000000000,
}

// randomCase makes a case out of random bytes or of a random opcode with
// sensible operands.
func randomCase(r *rand.Rand) oracle.Case {
	c := NewCase(nil)
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], r.Uint64())
	binary.LittleEndian.PutUint64(b[8:], r.Uint64())
	n := 1 + r.IntN(15)
	switch r.IntN(6) {
	case 4: // near relative branches, with and without an operand-size prefix
		b[0] = []byte{0x66, 0x48, 0x90, 0x3e}[r.IntN(4)]
		b[1] = []byte{0xe8, 0xe9, 0xeb, 0x74, 0xe3}[r.IntN(5)]
		b[4], b[5] = 0, 0
	case 5:
		b[0], b[1] = 0x66, 0x0f
		b[2] = 0x80 | b[2]&15
		b[4], b[5], b[6] = b[4]&0x1f, 0, 0
	case 0: // anything
	case 1: // REX.W, one-byte map
		b[0] = 0x48
	case 2:
		b[0] = 0x0f
	case 3:
		b[0] &= 0x3b // the classic ALU rows
		b[1] |= byte(r.IntN(2)) * 0xc0
	}
	copy(c.Code[:], b[:])
	c.CodeLen = uint8(n)
	if r.IntN(2) == 0 { // mostly just the instruction
		var s shape
		s.analyse(b[:15], 64, branchUnknown)
		if s.length > 0 {
			c.CodeLen = uint8(s.length)
		}
	}
	for i := range c.State.GPR {
		c.State.GPR[i] = r.Uint64()
		if r.IntN(8) != 0 {
			c.State.GPR[i] = pool[r.IntN(len(pool))]
		}
	}
	if r.IntN(4) != 0 {
		c.State.GPR[x86.RSP] = stack + page + uint64(r.IntN(16)-8)*8
	}
	if r.IntN(4) != 0 {
		c.State.GPR[x86.RCX] = uint64(r.IntN(40))
	}
	c.State.RFLAGS = r.Uint64()&uint64(x86.FlagsStatus|x86.DF) | intFlag
	if r.IntN(16) == 0 {
		c.State.RFLAGS |= uint64(x86.AC)
	}
	switch r.IntN(8) {
	case 0:
		c.State.RIP = code + 2*page - uint64(1+r.IntN(40))
	case 1:
		c.State.RIP = code + uint64(r.IntN(2*page))
	}
	c.FSBase, c.GSBase = pool[r.IntN(16)], data
	for i := 0; i+8 <= len(c.Memory); i += 8 {
		binary.LittleEndian.PutUint64(c.Memory[i:], pool[r.IntN(len(pool))])
	}
	return c
}

// randomCompat is randomCase for 32- and 16-bit code.
func randomCompat(r *rand.Rand, m x86.Mode) oracle.Case {
	long := randomCase(r)
	c := NewCaseIn(m, nil)
	c.Code, c.CodeLen, c.Memory = long.Code, long.CodeLen, long.Memory
	c.State.RFLAGS = long.State.RFLAGS
	if r.IntN(2) == 0 {
		var s shape
		s.analyse(c.Code[:15], uint8(m.Width()), branchUnknown)
		if s.length > 0 {
			c.CodeLen = uint8(s.length)
		}
	}
	base, top := uint64(0), long.State.RIP
	if m == x86.Compat16 {
		base, top = 0xffff, long.State.RIP-code
	}
	c.State.RIP = top
	for i := range 8 {
		v := uint64(uint32(long.State.GPR[i]))
		if base != 0 && r.IntN(4) != 0 {
			v &= base & 0x3fff
		}
		c.State.GPR[i] = v
	}
	if r.IntN(4) != 0 {
		c.State.GPR[x86.RSP] = NewCaseIn(m, nil).State.GPR[x86.RSP] + uint64(r.IntN(16)-8)*4
	}
	if m == x86.Compat16 && r.IntN(4) != 0 {
		c.State.GPR[x86.RSP] &= 0xffff
	}
	for i := 0; i+4 <= len(c.Memory); i += 4 {
		if r.IntN(4) == 0 { // selectors that can be loaded, for far branches
			binary.LittleEndian.PutUint16(c.Memory[i:], []uint16{selectorCS32, SelectorSS, oracle.LDTSelector(0), oracle.LDTSelector(2), 0}[r.IntN(5)])
		}
	}
	return c
}

// randomModes are the modes of random cases.
var randomModes = []x86.Mode{x86.Long64, x86.Compat32, x86.Compat16}

// randomCases makes cases of all modes, some with vector state.
func randomCases(seed uint64, n int) []oracle.Case {
	r := rand.New(rand.NewPCG(seed, 1))
	cases := make([]oracle.Case, n)
	for i := range cases {
		if m := randomModes[r.IntN(len(randomModes))]; m == x86.Long64 {
			cases[i] = randomCase(r)
		} else {
			cases[i] = randomCompat(r, m)
		}
		if r.IntN(16) == 0 {
			cases[i].State.FPU = randomFPU(r, AllComponents())
		}
	}
	return cases
}

// TestRepeatable runs random cases twice, the second time in another order and
// in batches of other sizes: a result depends on nothing but its case.
func TestRepeatable(t *testing.T) {
	n := 60_000
	if testing.Short() {
		n = 20_000
	}
	const chunk = 10_000
	e := newExecutor(t)
	counts := map[string]int{}
	r := rand.New(rand.NewPCG(7, 7))
	for seed := range n / chunk {
		cases := randomCases(uint64(seed), chunk)
		first := make([]oracle.Result, chunk)
		require.NoError(t, e.Run(cases, first))
		order := r.Perm(chunk)
		shuffled := make([]oracle.Case, chunk)
		for i, j := range order {
			shuffled[i] = cases[j]
		}
		second := make([]oracle.Result, chunk)
		for at := 0; at < chunk; {
			end := min(chunk, at+1+r.IntN(300))
			require.NoError(t, e.Run(shuffled[at:end], second[at:end]))
			at = end
		}
		for i, j := range order {
			key := first[j].Ending.String()
			if first[j].Ending == oracle.Ended {
				key = first[j].Outcome.String()
				if first[j].Outcome == step.Exception {
					key = x86.VectorName(first[j].Event.Vector)
				}
			}
			counts[key]++
			counts[cases[j].State.Mode.String()]++
			if a, b := describe(&first[j]), describe(&second[i]); a != b {
				t.Fatalf("case %d of seed %d: % x at %#x\nfirst  %s\nsecond %s", j, seed, cases[j].CodeBytes(), cases[j].State.RIP, a, b)
			}
		}
	}
	t.Logf("%v, %d children replaced", counts, e.Respawns())
	assert.Zero(t, counts["died"], "cases that killed the child")
	assert.Greater(t, counts["okay"], n/10)
}

// TestTrapAgrees holds the chosen stops, and with them the table of lengths,
// against the trap flag, which needs to know nothing.
func TestTrapAgrees(t *testing.T) {
	n := 20_000
	if testing.Short() {
		n = 4_000
	}
	auto, trap := newExecutor(t), newExecutor(t, WithStop(StopTrap))
	g, err := newGeometry(oracle.DefaultLayout)
	require.NoError(t, err)
	g.branches = auto.branches
	cases := randomCases(99, n)
	a, b := make([]oracle.Result, n), make([]oracle.Result, n)
	require.NoError(t, auto.Run(cases, a))
	require.NoError(t, trap.Run(cases, b))
	compared := 0
	for i := range cases {
		var p plan
		pad := testPads
		if g.compose(&p, &cases[i], StopAuto, &pad) != "" || p.stop == StopTrap || !forcible(StopTrap, &p) {
			continue
		}
		if a[i].Ending == b[i].Ending && a[i].Ending != oracle.Ended {
			continue
		}
		if a[i].Ending == oracle.Unsupported || b[i].Ending == oracle.Unsupported {
			continue
		}
		compared++
		if x, y := describe(&a[i]), describe(&b[i]); x != y {
			t.Errorf("% x at %#x, %v\nauto %s\ntrap %s", cases[i].CodeBytes(), cases[i].State.RIP, p.stop, x, y)
		}
	}
	t.Logf("%d of %d compared", compared, n)
	assert.Greater(t, compared, n/4)
}
