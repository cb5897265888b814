package emulator_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/machine"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// Memory of the tests of REP: both ends of what 32 bits reach, 64 KiB and a
// page that cannot be written, and the last page of the lower half.
const (
	lowAt     = 0
	wideAt    = 0x20000000
	widePages = 17
	topAt     = 0xfffff000
	lastAt    = 0x7ffffffff000
)

// ports answers reads of ports with numbers that go up, and notes writes.
type ports struct {
	reads  uint32
	writes []uint64
}

// newRepeater returns a machine for REP, with the Repeat hooks or without.
func newRepeater(t testing.TB, repeat bool, p *ports) *machine.Machine {
	rw := machine.Write | machine.User
	m, err := machine.New(machine.Config{
		Repeat: repeat,
		Pages: []machine.Pages{
			{Address: lowAt, Count: 1, Protection: rw},
			{Address: codeAt, Count: 1, Protection: machine.Exec | machine.User, Fill: 0xcc},
			{Address: wideAt, Count: widePages, Protection: rw},
			{Address: wideAt + widePages*page, Count: 1, Protection: machine.User},
			{Address: topAt, Count: 1, Protection: rw},
			{Address: lastAt, Count: 1, Protection: rw},
		},
		Windows: []machine.Window{
			{Address: wideAt, Length: widePages * page},
			{Address: wideAt + widePages*page, Length: page},
			{Address: lowAt, Length: page},
			{Address: topAt, Length: page},
			{Address: lastAt, Length: page},
		},
		AlignmentMask: true,
		ReadPort: func(port uint16, size uint8) uint32 {
			p.reads++
			return (p.reads*0x9e3779b9 + uint32(port)) & (1<<(8*size) - 1)
		},
		WritePort: func(port uint16, size uint8, v uint32) {
			p.writes = append(p.writes, uint64(port)<<48|uint64(size)<<32|uint64(v))
		},
	})
	require.NoError(t, err)
	return m
}

const repeaterBytes = (widePages + 4) * page

// repeater is one of two machines that run the same.
type repeater struct {
	t      testing.TB
	m      *machine.Machine
	bus    step.Bus
	e      *emulator.Emulator
	ports  ports
	fx     emulator.Effects
	memory []byte
	// batches counts the steps that took many iterations.
	batches int
}

func repeaters(t testing.TB, v isa.Vendor) (plain, batching *repeater) {
	both := [2]*repeater{}
	for i := range both {
		r := &repeater{t: t, memory: make([]byte, repeaterBytes)}
		r.m = newRepeater(t, i == 1, &r.ports)
		r.bus = r.m
		r.e = emulator.New(profile(v), r.m.Hooks())
		both[i] = r
	}
	return both[0], both[1]
}

// run runs one instruction to its end or its fault, as emulator.Run does, with
// the promises checked, and returns the iterations and the steps.
func (r *repeater) run(state *x86.State) (out emulator.Outcome, iterations, steps int) {
	r.fx.Resume = false
	for {
		before := *state
		out = r.e.Step(state, r.bus, &r.fx)
		if err := emulator.CheckPromises(&before, &r.fx, out); err != nil || before != *state {
			require.NoError(r.t, err)
			require.Equal(r.t, before, *state, "a step changes the state")
		}
		if out != emulator.Okay && !r.fx.Partial {
			return out, iterations, steps
		}
		out = r.fx.Apply(state, r.bus)
		if err := emulator.CheckApplied(&r.fx, out); err != nil {
			require.NoError(r.t, err)
		}
		if out != emulator.Okay {
			return out, iterations, steps
		}
		steps++
		if n := r.fx.Iterations(); n > 1 {
			r.batches++
			iterations += n
		} else {
			iterations++
		}
		if !r.fx.Again {
			return out, iterations, steps
		}
		r.fx.Resume = true
	}
}

func (r *repeater) load(state *x86.State, segments *[x86.NumSegment]x86.SegmentRegister, memory, code []byte) {
	r.ports.reads, r.ports.writes = 0, r.ports.writes[:0]
	r.m.Load(state, 0, 0, memory, code, codeAt)
	if segments != nil {
		r.m.SetSegments(segments)
	}
}

// TestRepeat: how many iterations a step takes with the Repeat hooks.
func TestRepeat(t *testing.T) {
	plain, batching := repeaters(t, isa.Intel)
	for _, r := range []struct {
		code, before      string
		iterations, steps int
		event             string
	}{
		{"f3aa", "rcx=10 rdi=20000000 rax=5a", 16, 1, ""},
		{"f2aa", "rcx=10 rdi=20000000 rax=5a", 16, 1, ""},
		{"aa", "rcx=10 rdi=20000000 rax=5a", 1, 1, ""},
		{"f3aa", "rcx=0 rdi=20000000", 1, 1, ""}, // nothing, and that is a step
		{"f3aa", "rcx=1 rdi=20000000", 1, 1, ""},
		{"f3aa", "rcx=2 rdi=20000000", 2, 1, ""},
		{"f3aa", "rcx=1000 rdi=20000800", 4096, 1, ""}, // over a page end
		{"f3aa", "rcx=1801 rdi=20000000", 6145, 2, ""}, // MaxRepeat a step
		{"f3aa", "rcx=1001 rdi=20000000", 4097, 2, ""},
		{"f3aa", "rcx=10 rdi=20000000 TF=1", 16, 16, ""}, // a trap after each
		{"f348ab", "rcx=10 rdi=20000003 rax=1122334455667788", 16, 1, ""},
		{"f366ab", "rcx=10 rdi=20000003 rax=1122334455667788", 16, 1, ""},
		{"f3aa", "rcx=10 rdi=2000000f DF=1", 16, 1, ""},
		{"f3a4", "rcx=10 rsi=20000000 rdi=20000001 [20000000]=01", 16, 1, ""},       // the byte spreads
		{"f3a4", "rcx=10 rsi=20000001 rdi=20000000 [20000000]=0102", 16, 1, ""},     // a move down
		{"f3a5", "rcx=10 rsi=20000000 rdi=20000002 [20000000]=01020304", 16, 1, ""}, // each reads half of the last
		{"f3a4", "rcx=10 rsi=2000000f rdi=20000010 DF=1 [20000008]=0102030405060708", 16, 1, ""},
		// A fault in iteration k: k are done, the next step faults.
		{"f3aa", "rcx=20 rdi=20010ff0", 16, 1, "#PF(0x7) at 0x20011000"},
		{"f3ab", "rcx=20 rdi=20010ff2", 3, 1, "#PF(0x7) at 0x20011000"}, // an element across
		{"f3aa", "rcx=20 rdi=20010fff", 1, 1, "#PF(0x7) at 0x20011000"}, // one is no batch
		{"f3aa", "rcx=20 rdi=20011000", 0, 0, "#PF(0x7) at 0x20011000"},
		{"f3aa", "rcx=20 rdi=20000004 DF=1", 5, 1, "#PF(0x6) at 0x1fffffff"},
		{"f3a4", "rcx=20 rsi=20011ffc rdi=20000000", 4, 1, "#PF(0x4) at 0x20012000"},
		{"f3a4", "rcx=20 rsi=20011ffc rdi=20010ffe", 2, 1, "#PF(0x7) at 0x20011000"},
		{"f3a4", "rcx=20 rsi=20011ffe rdi=20010ffe", 2, 1, "#PF(0x4) at 0x20012000"}, // the source first
		{"f3aa", "rcx=20 rdi=7ffffffffff8", 8, 1, "#GP(0x0)"},                        // the end of the canonical half
		{"f348ab", "rcx=20 rdi=20000001 AC=1", 0, 0, "#AC(0x0)"},
		{"f348ab", "rcx=20 rdi=20000008 AC=1", 32, 1, ""},
		// A pointer that wraps to the address size ends a batch.
		{"67f3aa", "rcx=20 rdi=fffffff0", 32, 2, ""},
		{"67f3ab", "rcx=20 rdi=fffffff0", 32, 2, ""},
		{"67f3ab", "rcx=6 rdi=ffffffee", 4, 1, "#PF(0x6) at 0x100000000"}, // an element across
		{"67f3aa", "rcx=20 rdi=f DF=1", 32, 2, ""},
		{"67f3a4", "rcx=20 rsi=20000000 rdi=fffffff0", 32, 2, ""},
		{"f3aa", "rcx=20 rdi=fffffff0", 16, 1, "#PF(0x6) at 0x100000000"},
		// Ports.
		{"f36c", "rcx=20 rdi=20000000 rdx=60 rflags=3202", 32, 1, ""},
		{"f36d", "rcx=20 rdi=20010fd8 rdx=60 rflags=3202", 10, 1, "#PF(0x7) at 0x20011000"},
		{"f3486d", "rcx=20 rdi=20000000 rdx=60 rflags=3202", 32, 1, ""}, // four bytes all the same
		{"f36e", "rcx=20 rsi=20000000 rdx=60 rflags=3202", 32, 1, ""},
		{"f3666f", "rcx=20 rsi=20011ffc rdx=60 rflags=3202", 2, 1, "#PF(0x4) at 0x20012000"},
		// What has no hook: an iteration a step.
		{"f3ac", "rcx=20 rsi=20000000", 32, 32, ""},
		{"f3ae", "rcx=20 rdi=20000000 rax=0", 32, 32, ""},
		{"f3a6", "rcx=20 rdi=20000000 rsi=20000100", 32, 32, ""},
	} {
		t.Run(r.code+" "+r.before, func(t *testing.T) {
			start, memory := initial(), make([]byte, repeaterBytes)
			words(t, r.before, &start, memory[:4*page])
			states := [2]x86.State{start, start}
			for i, x := range []*repeater{plain, batching} {
				x.t = t
				x.load(&states[i], nil, memory, decodeHex(t, r.code))
				out, iterations, steps := x.run(&states[i])
				require.Equal(t, r.event == "", out == emulator.Okay, "%v", x.fx.Event)
				if r.event != "" {
					require.Equal(t, r.event, x.fx.Event.String())
				}
				require.Equal(t, r.iterations, iterations)
				if x == batching {
					require.Equal(t, r.steps, steps)
				}
				x.m.Save(x.memory)
			}
			same(t, plain, batching, &states)
		})
	}
}

// TestRunCountsBatches: Run counts iterations, and does not cut a batch at its
// limit.
func TestRunCountsBatches(t *testing.T) {
	_, x := repeaters(t, isa.Intel)
	for _, r := range []struct{ limit, want, left int }{{0, 4096, 0x10000 - 4096}, {1, 4096, 0x10000 - 4096}, {4097, 8192, 0x10000 - 8192}, {1 << 20, 0x10000, 0}} {
		state := initial()
		state.GPR[x86.RCX], state.GPR[x86.RDI] = 0x10000, wideAt
		x.load(&state, nil, x.memory, decodeHex(t, "f3aa"))
		out, n := emulator.Run(x.e, &state, x.bus, &x.fx, r.limit)
		require.Equal(t, emulator.Okay, out)
		require.Equal(t, r.want, n)
		require.Equal(t, r.left > 0, x.fx.Again)
		require.EqualValues(t, r.left, state.GPR[x86.RCX])
	}
}

// TestRepeatAllocatesNothing: nor does a step of many iterations.
func TestRepeatAllocatesNothing(t *testing.T) {
	_, x := repeaters(t, isa.Intel)
	start := initial()
	start.GPR[x86.RCX], start.GPR[x86.RSI], start.GPR[x86.RDI] = 100, wideAt, wideAt+0x800
	state := start
	x.load(&state, nil, x.memory, decodeHex(t, "f3a4"))
	require.Zero(t, testing.AllocsPerRun(100, func() {
		state = start
		if x.e.Step(&state, x.bus, &x.fx) == step.Okay {
			x.fx.Apply(&state, x.bus)
		}
	}))
	require.Equal(t, 100, x.fx.Iterations())
}

// TestRepeatHookAnswers: what each answer of the hook makes of the step.
func TestRepeatHookAnswers(t *testing.T) {
	_, x := repeaters(t, isa.Intel)
	for _, r := range []struct {
		n          uint64
		out        step.Outcome
		event      x86.Event
		want       step.Outcome
		iterations int
	}{
		{n: 5, want: step.Okay, iterations: 5},
		{n: 2, want: step.Okay, iterations: 2},
		{n: 1, want: step.Okay, iterations: 1},
		{n: 0, want: step.Okay, iterations: 1},
		{n: 1 << 63, want: step.Okay, iterations: 16}, // no more than were asked for
		{n: 9, out: step.Unhandleable, want: step.Okay, iterations: 1},
		{n: 9, out: step.Retry, want: step.Retry, iterations: 1},
		{n: 9, out: step.Exception, event: x86.Fault(x86.VectorUD), want: step.Exception, iterations: 1},
		{n: 9, out: step.Exception, want: step.Unhandleable, iterations: 1},
		{n: 9, out: step.Done, want: step.Unhandleable, iterations: 1},
	} {
		state := initial()
		state.GPR[x86.RCX], state.GPR[x86.RSI], state.GPR[x86.RDI] = 16, wideAt, wideAt+0x100
		x.load(&state, nil, x.memory, decodeHex(t, "f3a4"))
		before := state
		j := emulator.NewJournal(&answering{x.m, r.n, r.out, r.event})
		poison(&x.fx, 0xa5)
		out := x.e.Step(&state, j, &x.fx)
		require.Equal(t, r.want, out, "%+v", r)
		require.NoError(t, emulator.CheckPromises(&before, &x.fx, out))
		require.Equal(t, r.iterations, x.fx.Iterations(), "%+v", r)
		require.Equal(t, r.event, x.fx.Event)
		var again emulator.Effects
		poison(&again, 0x5a)
		require.Equal(t, out, x.e.Step(&state, j, &again))
		require.NoError(t, j.Err())
		equal, what := emulator.Equal(&x.fx, &again)
		require.True(t, equal, what)
	}
}

// answering gives one answer to ProbeRepeat.
type answering struct {
	step.Bus
	n     uint64
	out   step.Outcome
	event x86.Event
}

func (a *answering) ProbeRepeat(_ step.Repeat, ev *x86.Event) (uint64, step.Outcome) {
	if a.out == step.Exception {
		*ev = a.event
	}
	return a.n, a.out
}

// TestRepeatPromisesCanFail: each promise of a batch is found broken when it is.
func TestRepeatPromisesCanFail(t *testing.T) {
	_, x := repeaters(t, isa.Intel)
	state := initial()
	state.GPR[x86.RCX], state.GPR[x86.RSI], state.GPR[x86.RDI] = 16, wideAt, wideAt+0x100
	for name, spoil := range map[string]func(fx *emulator.Effects){
		"kind":           func(fx *emulator.Effects) { fx.Repeat.Kind = step.RepeatStore },
		"no kind":        func(fx *emulator.Effects) { fx.Repeat.Kind = 9 },
		"size":           func(fx *emulator.Effects) { fx.Repeat.Size = 8 },
		"direction":      func(fx *emulator.Effects) { fx.Repeat.Backward = true },
		"one iteration":  func(fx *emulator.Effects) { fx.Repeat.Count = 1 },
		"too many":       func(fx *emulator.Effects) { fx.Repeat.Count = 17 },
		"fewer":          func(fx *emulator.Effects) { fx.Repeat.Count = 15 },
		"source":         func(fx *emulator.Effects) { fx.Repeat.Source.Offset++ },
		"destination":    func(fx *emulator.Effects) { fx.Repeat.Destination.Offset++ },
		"segment":        func(fx *emulator.Effects) { fx.Repeat.Destination.Segment = x86.SS },
		"intent":         func(fx *emulator.Effects) { fx.Repeat.Destination.Intent = step.IntentRead },
		"counter":        func(fx *emulator.Effects) { fx.GPR[x86.RCX]++ },
		"rsi":            func(fx *emulator.Effects) { fx.GPR[x86.RSI]++ },
		"rdi":            func(fx *emulator.Effects) { fx.GPRDirty &^= 1 << x86.RDI },
		"not in the log": func(fx *emulator.Effects) { fx.NumAccesses = 1 },
		"again":          func(fx *emulator.Effects) { fx.Again, fx.RIP = true, codeAt },
		"two operations": func(fx *emulator.Effects) { fx.Ops[1], fx.NumOps = fx.Ops[0], 2 },
		"without retiring": func(fx *emulator.Effects) {
			fx.Outcome, fx.Event, fx.Partial = step.Exception, x86.Fault(6), true
			fx.FlagsDirty = false
		},
		"prefix": func(fx *emulator.Effects) { fx.Inst.Prefix = 0 },
		"opcode": func(fx *emulator.Effects) { fx.Repeat.Kind, fx.Inst.Opcode = step.RepeatMove, 0xac },
		"wraps":  func(fx *emulator.Effects) { fx.Inst.AddrSize = 1; fx.Repeat.Count = 16 },
	} {
		x.load(&state, nil, x.memory, decodeHex(t, "f3a4"))
		out := x.e.Step(&state, x.bus, &x.fx)
		require.NoError(t, emulator.CheckPromises(&state, &x.fx, out), name)
		spoil(&x.fx)
		require.Error(t, emulator.CheckPromises(&state, &x.fx, x.fx.Outcome), name)
	}
	x.load(&state, nil, x.memory, decodeHex(t, "f3a4"))
	x.e.Step(&state, x.bus, &x.fx)
	state.RFLAGS |= uint64(x86.TF)
	x.fx.Retire = step.RetireSingleStep
	require.ErrorContains(t, emulator.CheckPromises(&state, &x.fx, x.fx.Outcome), "TF asks")
}

// TestRepeatText: the iterations in a line, and in what Equal says.
func TestRepeatText(t *testing.T) {
	r := emulator.Repeat{
		Size: 4, Count: 16,
		Source: emulator.Access{Segment: x86.DS, Offset: 0x1000}, Destination: emulator.Access{Segment: x86.ES, Offset: 0x2000}, Value: 0x5a, Port: 0x60,
	}
	for k, want := range []string{
		"move 16 of 4 bytes up, from ds:0x1000 to es:0x2000", "store 16 of 4 bytes up, 0x5a to es:0x2000",
		"in 16 of 4 bytes up, from port 0x60 to es:0x2000", "out 16 of 4 bytes up, from ds:0x1000 to port 0x60",
	} {
		r.Kind = step.RepeatKind(k)
		require.Equal(t, want, r.String())
	}
	a := emulator.Effects{NumOps: 1, Repeat: r}
	a.Ops[0].Kind = step.OpRepeat
	b := a
	equal, _ := emulator.Equal(&a, &b)
	require.True(t, equal)
	b.Repeat.Backward = true
	_, what := emulator.Equal(&a, &b)
	require.Equal(t, "operation 0: out 16 of 4 bytes up, from ds:0x1000 to port 0x60 and out 16 of 4 bytes down, from ds:0x1000 to port 0x60", what)
}

// same requires that two machines have ended alike.
func same(t *testing.T, a, b *repeater, states *[2]x86.State) {
	t.Helper()
	require.Equal(t, describe(&states[0]), describe(&states[1]))
	require.Equal(t, "", differences(a.memory, b.memory))
	require.Equal(t, a.fx.Event, b.fx.Event)
	require.Equal(t, a.fx.Retire, b.fx.Retire)
	require.Equal(t, a.ports.reads, b.ports.reads)
	require.True(t, slices.Equal(a.ports.writes, b.ports.writes), "what was written to ports differs")
}

// clipping agrees to fewer iterations than the machine would.
type clipping struct {
	step.Bus
	rand *rand.Rand
}

func (c *clipping) ProbeRepeat(r step.Repeat, ev *x86.Event) (uint64, step.Outcome) {
	n, out := c.Bus.ProbeRepeat(r, ev)
	switch c.rand.IntN(4) {
	case 0:
		n = min(n, c.rand.Uint64N(9))
	case 1:
		return 0, step.Unhandleable
	}
	return n, out
}

// TestRepeatIsTheSame runs random string instructions on a machine with the
// Repeat hooks and on one without: in any mode and direction, with operands
// that overlap, end in pages that cannot be reached, or wrap, they give the
// same state, memory, ports, number of iterations and fault.
func TestRepeatIsTheSame(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for _, v := range []isa.Vendor{isa.Intel, isa.AMD} {
		plain, batching := repeaters(t, v)
		batching.bus = &clipping{batching.m, random}
		outcomes := map[string]int{}
		for n := range 3000 {
			c := randomRepeat(random)
			states := [2]x86.State{c.state, c.state}
			var out [2]emulator.Outcome
			var iterations, steps [2]int
			for i, x := range []*repeater{plain, batching} {
				x.load(&states[i], c.segments, c.memory, c.code)
				out[i], iterations[i], steps[i] = x.run(&states[i])
				x.m.Save(x.memory)
			}
			if !bytes.Equal(plain.memory, batching.memory) || states[0] != states[1] || plain.fx.Event != batching.fx.Event || out[0] != out[1] ||
				iterations[0] != iterations[1] || steps[1] > steps[0] || plain.fx.Retire != batching.fx.Retire ||
				plain.ports.reads != batching.ports.reads || !slices.Equal(plain.ports.writes, batching.ports.writes) {
				t.Logf("case %d: % x in %v: %v and %v after %v iterations, %v steps, from %s", n, c.code, c.state.Mode, out[0], out[1], iterations, steps, describe(&c.state))
				same(t, plain, batching, &states)
				t.FailNow()
			}
			outcomes[fmt.Sprint(out[0], iterations[0] > 1, steps[1] < steps[0])]++
		}
		t.Logf("%v: %v, %d batches", v, outcomes, batching.batches)
		require.Zero(t, plain.batches)
		require.Greater(t, batching.batches, 700)
		require.Greater(t, outcomes["exception true true"], 100)
		require.Greater(t, outcomes["okay true true"], 300)
	}
}

type repeatCase struct {
	state        x86.State
	segments     *[x86.NumSegment]x86.SegmentRegister
	memory, code []byte
}

var repeatMemory = make([]byte, repeaterBytes)

// randomRepeat draws a string instruction and where it works.
func randomRepeat(r *rand.Rand) (c repeatCase) {
	opcodes := []byte{0xa4, 0xa5, 0xaa, 0xab, 0x6c, 0x6d, 0x6e, 0x6f, 0xa4, 0xa5, 0xaa, 0xab, 0xa6, 0xa7, 0xac, 0xad, 0xae, 0xaf}
	for i := 0; i < len(repeatMemory); i += 1 + r.IntN(64) {
		repeatMemory[i] = byte(r.IntN(3))
	}
	c.memory = repeatMemory
	s := randomState(r)
	s.Mode = [...]x86.Mode{x86.Long64, x86.Long64, x86.Long64, x86.Compat32, x86.Protected16, x86.Real, x86.VM86}[r.IntN(7)]
	s.StackWidth, s.RIP = uint8(s.Mode.Width()), codeAt
	s.RFLAGS = s.RFLAGS&^uint64(x86.DF|x86.TF|x86.RF) | uint64(r.IntN(2))*uint64(x86.DF)
	if r.IntN(4) > 0 {
		s.RFLAGS &^= uint64(x86.AC)
		s.RFLAGS |= uint64(x86.IOPL)
	}
	if s.CPL = 3; s.Mode == x86.Real || r.IntN(4) == 0 && s.Mode != x86.VM86 {
		s.CPL = 0
	}
	var segments [x86.NumSegment]x86.SegmentRegister
	if s.Mode != x86.Long64 {
		for i := range segments {
			segments[i] = randomSegment(r)
		}
		segments[x86.CS] = x86.SegmentRegister{Attributes: 0xc0fb, Limit: 0xffffffff}
		c.segments = &segments
	}
	pointer := func(seg x86.Segment) uint64 {
		at := [...]uint64{wideAt, wideAt + 0x10000, wideAt + widePages*page, wideAt + (widePages+1)*page, lowAt, topAt + page, lastAt, lastAt + page}[r.IntN(8)]
		return at + uint64(r.IntN(512)) - 256 - segments[seg].Base
	}
	s.GPR[x86.RSI], s.GPR[x86.RDI] = pointer(x86.DS), pointer(x86.ES)
	if r.IntN(3) == 0 { // operands that overlap
		s.GPR[x86.RDI] = s.GPR[x86.RSI] + segments[x86.DS].Base - segments[x86.ES].Base + uint64(r.IntN(33)) - 16
	}
	if s.GPR[x86.RCX] = uint64(r.IntN(400)); r.IntN(20) == 0 {
		s.GPR[x86.RCX] = r.Uint64() >> r.IntN(64)
		if s.Mode != x86.Long64 {
			s.GPR[x86.RCX] &= 0x1fff
		}
	}
	c.state = s
	c.code = append(c.code, [...]byte{0xf3, 0xf3, 0xf3, 0xf2, 0x90}[r.IntN(5)])
	for _, p := range []byte{0x66, 0x67, [...]byte{0x2e, 0x36, 0x64, 0x26}[r.IntN(4)]} {
		if r.IntN(4) == 0 {
			c.code = append(c.code, p)
		}
	}
	if s.Mode == x86.Long64 && r.IntN(3) == 0 {
		c.code = append(c.code, 0x48)
	}
	if c.code[0] == 0x90 {
		c.code = c.code[1:]
	}
	c.code = append(c.code, opcodes[r.IntN(len(opcodes))])
	return c
}

// randomSegment draws a data segment: flat, small, expanding down, or one that
// cannot be written.
func randomSegment(r *rand.Rand) x86.SegmentRegister {
	switch r.IntN(8) {
	case 0:
		return x86.SegmentRegister{Attributes: 0x40f3, Base: wideAt, Limit: uint32(r.IntN(0x400))}
	case 1:
		return x86.SegmentRegister{Attributes: 0x40f7, Base: wideAt, Limit: uint32(r.IntN(0x400))}
	case 2:
		return x86.SegmentRegister{Attributes: 0x40f1, Base: wideAt, Limit: 0xffff}
	case 3, 4:
		return x86.SegmentRegister{Attributes: 0xf3, Base: wideAt, Limit: 0xffff}
	}
	return x86.SegmentRegister{Attributes: 0xc0f3, Limit: 0xffffffff}
}
