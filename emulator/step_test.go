package emulator_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator"
	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/machine"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// load puts code and words into a new machine.
func load(t *testing.T, m *machine.Machine, code, before string) *x86.State {
	state, memory := initial(), make([]byte, 5*page)
	words(t, before, &state, memory)
	m.Load(&state, 0, 0, memory, decodeHex(t, code), state.RIP)
	return &state
}

// TestAbsentHooks: an instruction that needs a hook which is not offered is
// unhandleable, and changes nothing.
func TestAbsentHooks(t *testing.T) {
	for _, r := range []struct {
		code, before string
		without      step.Hooks
		want         step.Outcome
	}{
		{"8903", "rbx=20000000", step.HookWrite, step.Unhandleable},
		{"8b03", "rbx=20000000", step.HookWrite, step.Okay},
		{"0103", "rbx=20000000", step.HookWrite, step.Unhandleable},
		{"50", "", step.HookWrite, step.Unhandleable},
		{"aa", "rdi=20000000", step.HookWrite, step.Unhandleable},
		{"f3aa", "rdi=20000000 rcx=0", step.HookWrite, step.Okay},
		{"f00103", "rbx=20000000", step.HookCompareExchange, step.Unhandleable},
		{"8703", "rbx=20000000", step.HookCompareExchange, step.Unhandleable},
		{"0103", "rbx=20000000", step.HookCompareExchange, step.Okay},
		{"87c3", "", step.HookCompareExchange, step.Okay},
		{"0fa2", "", step.HookCPUID, step.Unhandleable},
		{"0f31", "", step.HookReadMSR, step.Unhandleable},
		{"0f31", "", step.HookReadControl, step.Unhandleable},
		{"0fc7f0", "", step.HookRandom, step.Unhandleable},
		{"ec", "", step.HookReadSegment, step.Unhandleable},
		{"ec", "rflags=3202", step.HookReadPort, step.Unhandleable},
		{"ee", "rflags=3202", step.HookWritePort, step.Unhandleable},
		{"f3480faec0", "", step.HookReadSegment, step.Unhandleable},
		{"f3480faed0", "rax=0", step.HookWriteSegment, step.Unhandleable},
		{"8ed8", "rax=0", step.HookWriteSegment, step.Unhandleable},
		{"0fae3b", "rbx=20000000", step.HookCacheOp, step.Unhandleable},
		{"d9c0", "", 0, step.Unimplemented},
	} {
		t.Run(r.code, func(t *testing.T) {
			m := newMachine(t, r.without)
			state := load(t, m, r.code, r.before)
			before := *state
			var fx emulator.Effects
			e := emulator.New(profile(isa.Intel), m.Hooks())
			out := e.Step(state, m, &fx)
			require.Equal(t, r.want, out, "%v", fx.Event)
			require.NoError(t, emulator.CheckPromises(&before, &fx, out))
			if out != step.Okay {
				require.Equal(t, out, fx.Apply(state, m))
				require.Equal(t, before, *state)
			}
		})
	}
}

// TestForceWriteback: with the option, a destination that stays as it was is
// written.
func TestForceWriteback(t *testing.T) {
	for _, r := range []struct {
		code, before  string
		plain, forced uint8
	}{
		{"c12300", "rbx=20000000", 0, 1},
		{"c12301", "rbx=20000000", 1, 1},
		{"0fb10b", "rbx=20000000 rax=1", 0, 1},
		{"0fc70b", "rbx=20000000 rax=1", 0, 1},
		{"480fc70b", "rbx=20000000 rax=1", 0, 1},
		{"0fa50b", "rbx=20000000 rcx=0", 0, 1},
	} {
		m := newMachine(t, 0)
		state := load(t, m, r.code, r.before)
		var fx emulator.Effects
		require.Equal(t, step.Okay, emulator.New(profile(isa.Intel), m.Hooks()).Step(state, m, &fx))
		require.Equal(t, r.plain, fx.NumOps, r.code)
		require.Equal(t, step.Okay, emulator.New(profile(isa.Intel), m.Hooks(), emulator.ForceWriteback()).Step(state, m, &fx))
		require.Equal(t, r.forced, fx.NumOps, r.code)
	}
}

// TestLock: another CPU changes memory between Step and Apply.
func TestLock(t *testing.T) {
	m := newMachine(t, 0)
	e := emulator.New(profile(isa.Intel), m.Hooks())
	state := load(t, m, "f0480103", "rax=1 rbx=20000000")
	before := *state
	var fx emulator.Effects
	require.Equal(t, step.Okay, e.Step(state, m, &fx))
	var ev x86.Event
	at := emulator.Access{Offset: dataAt, Size: 8, Segment: x86.DS, Intent: step.IntentWrite}
	require.Equal(t, step.Okay, m.Write(at, 41, &ev))
	require.Equal(t, step.Retry, fx.Apply(state, m))
	require.Equal(t, before, *state)
	out, n := emulator.Run(e, state, m, &fx, 1)
	require.Equal(t, step.Okay, out)
	require.Equal(t, 1, n)
	v, _ := m.Read(at, &ev)
	require.EqualValues(t, 42, v)
}

// stubborn never lets a compare-exchange succeed.
type stubborn struct{ emulator.Bus }

func (stubborn) CompareExchange(emulator.Access, [2]uint64, [2]uint64, *x86.Event) emulator.Outcome {
	return step.CmpxchgFailed
}

// TestRunGivesUp: the number of attempts and of iterations is bounded.
func TestRunGivesUp(t *testing.T) {
	m := newMachine(t, 0)
	e := emulator.New(profile(isa.Intel), m.Hooks())
	var fx emulator.Effects
	state := load(t, m, "f0480103", "rax=1 rbx=20000000")
	out, n := emulator.Run(e, state, stubborn{m}, &fx, 1)
	require.Equal(t, step.Retry, out)
	require.Zero(t, n)
	state = load(t, m, "f3aa", "rcx=10 rdi=20000000")
	out, n = emulator.Run(e, state, m, &fx, 3)
	require.Equal(t, step.Okay, out)
	require.Equal(t, 3, n)
	require.True(t, fx.Again)
	require.EqualValues(t, 0xd, state.GPR[x86.RCX])
	require.EqualValues(t, codeAt, state.RIP)
}

// TestFetch: a fetch that faults counts only if decoding needs the byte; a
// 16th byte is #GP(0).
func TestFetch(t *testing.T) {
	for _, r := range []struct{ code, at, event string }{
		{"90", "10001fff", ""},
		{"4889", "10001ffe", "#PF(0x14) at 0x10002000"},
		{"48", "10001fff", "#PF(0x14) at 0x10002000"},
		{"0f0b", "10001ffe", "#UD"},
		{"90", "10002000", "#PF(0x14) at 0x10002000"},
		{"90", "20000000", "#PF(0x15) at 0x20000000"},
		{"90", "800000000000", "#GP(0x0)"},
		{"6666666666666666666666666666" + "90", "10000000", ""},
		{"6666666666666666666666666666" + "6690", "10000000", "#GP(0x0)"},
		{"666666666666666666666666666690", "10001ff1", ""},
	} {
		m := newMachine(t, 0)
		state := load(t, m, r.code, "rip="+r.at)
		var fx emulator.Effects
		out := emulator.New(profile(isa.Intel), m.Hooks()).Step(state, m, &fx)
		if r.event == "" {
			require.Equal(t, step.Okay, out, "%s: %v", r.code, fx.Event)
			continue
		}
		require.Equal(t, step.Exception, out, r.code)
		require.Equal(t, r.event, fx.Event.String(), r.code)
	}
}

// TestRetire: the flags that the caller acts on.
func TestRetire(t *testing.T) {
	for _, r := range []struct {
		code, before string
		cpl          uint8
		want         step.Retire
	}{
		{"90", "", 3, 0},
		{"90", "TF=1", 3, step.RetireSingleStep},
		{"9d", "[30001000]=0003", 3, 0}, // POPF that sets TF: the next instruction traps
		{"9d", "[30001000]=0002 TF=1", 3, step.RetireSingleStep},
		{"f3aa", "TF=1 rcx=2 rdi=20000000", 3, step.RetireSingleStep},
		{"f4", "", 0, step.RetireHLT},
		{"fb", "rflags=2", 0, step.RetireSTI},
		{"fb", "rflags=202", 0, 0},
		{"8ed0", "rax=0", 0, step.RetireMovSS},
		{"8ed0", "rax=0 TF=1", 0, step.RetireMovSS},
	} {
		m := newMachine(t, 0)
		state := load(t, m, r.code, r.before)
		state.CPL = r.cpl
		var fx emulator.Effects
		require.Equal(t, step.Okay, emulator.New(profile(isa.Intel), m.Hooks()).Step(state, m, &fx), r.code)
		require.Equal(t, r.want, fx.Retire, "%s %s", r.code, r.before)
	}
}

// refusing answers Validate with an outcome.
type refusing struct {
	emulator.Bus
	out emulator.Outcome
	row isa.ID
}

func (b *refusing) Validate(row uint16, length uint8, ev *x86.Event) emulator.Outcome {
	b.row = isa.ID(row)
	if b.out == step.Exception {
		*ev = x86.Fault(x86.VectorUD)
	}
	return b.out
}

// TestValidate: the caller sees what was decoded and may refuse it.
func TestValidate(t *testing.T) {
	m := newMachine(t, 0)
	e := emulator.New(profile(isa.Intel), m.Hooks()|step.HookValidate)
	var fx emulator.Effects
	for out, want := range map[step.Outcome]step.Outcome{
		step.Okay: step.Okay, step.Unhandleable: step.Unhandleable, step.Exception: step.Exception, step.Retry: step.Retry,
		step.Done: step.Unhandleable, step.CmpxchgFailed: step.Unhandleable,
	} {
		b := &refusing{Bus: m, out: out}
		state := load(t, m, "4801d8", "")
		require.Equal(t, want, e.Step(state, b, &fx), "%v", out)
		require.Equal(t, isa.ADD, isa.Get(b.row).Mnemonic)
	}
}

// TestPromisesCanFail: each promise is found broken when it is.
func TestPromisesCanFail(t *testing.T) {
	m := newMachine(t, 0)
	e := emulator.New(profile(isa.Intel), m.Hooks())
	for _, r := range []struct {
		name, code, before string
		spoil              func(fx *emulator.Effects)
	}{
		{"inside outcome", "90", "", func(fx *emulator.Effects) { fx.Outcome = step.Done }},
		{"event without exception", "90", "", func(fx *emulator.Effects) { fx.Event = x86.Fault(6) }},
		{"exception without event", "0f0b", "", func(fx *emulator.Effects) { fx.Event = x86.Event{} }},
		{"retire flags with an exception", "0f0b", "", func(fx *emulator.Effects) { fx.Retire = step.RetireHLT }},
		{"retire flags of another instruction", "90", "", func(fx *emulator.Effects) { fx.Retire = step.RetireSTI }},
		{"no single-step with TF", "90", "rflags=302", func(fx *emulator.Effects) { fx.Retire = 0 }},
		{"written, and the row does not", "3b03", "rbx=20000000", func(fx *emulator.Effects) {
			fx.NumOps, fx.Ops[0] = 1, emulator.Op{Kind: step.OpWrite, Access: fx.Accesses[0]}
			fx.Ops[0].Access.Intent, fx.Accesses[0].Intent = step.IntentWrite, step.IntentModify
		}},
		{"read, and the row does not", "8903", "rbx=20000000", func(fx *emulator.Effects) { fx.Accesses[0].Intent = step.IntentRead; fx.NumOps = 0 }},
		{"not read", "8b03", "rbx=20000000", func(fx *emulator.Effects) { fx.NumAccesses = 0 }},
		{"no cache operation", "0fae3b", "rbx=20000000", func(fx *emulator.Effects) { fx.NumOps = 0 }},
		{"intent of a write", "8903", "rbx=20000000", func(fx *emulator.Effects) { fx.Ops[0].Access.Intent = step.IntentFetch }},
		{"written twice", "8903", "rbx=20000000", func(fx *emulator.Effects) { fx.Ops[1] = fx.Ops[0]; fx.NumOps = 2 }},
		{"register with an exception", "0f0b", "", func(fx *emulator.Effects) { fx.GPRDirty = 1 }},
		{"flags with an exception", "0f0b", "", func(fx *emulator.Effects) { fx.FlagsDirty = true }},
		{"partial of what leaves nothing", "0f0b", "", func(fx *emulator.Effects) { fx.GPRDirty, fx.Partial = 1, true }},
		{"rip", "90", "", func(fx *emulator.Effects) { fx.RIP++ }},
		{"again without a prefix", "90", "", func(fx *emulator.Effects) { fx.Again = true; fx.RIP-- }},
		{"read twice", "8b03", "rbx=20000000", func(fx *emulator.Effects) { fx.Accesses[1] = fx.Accesses[0]; fx.NumAccesses = 2 }},
		{"write elsewhere", "8903", "rbx=20000000", func(fx *emulator.Effects) { fx.Ops[0].Access.Offset += 8 }},
		{"write wider", "8903", "rbx=20000000", func(fx *emulator.Effects) { fx.Ops[0].Access.Size = 8 }},
		{"locked with a plain write", "f00103", "rbx=20000000", func(fx *emulator.Effects) { fx.Ops[0].Kind = step.OpWrite }},
		{"exchange with a plain write", "8703", "rbx=20000000", func(fx *emulator.Effects) { fx.Ops[0].Kind = step.OpWrite }},
		{"compare-exchange without a lock", "0103", "rbx=20000000", func(fx *emulator.Effects) { fx.Ops[0].Kind = step.OpCompareExchange }},
		{"resume", "90", "", func(fx *emulator.Effects) { fx.Resume = true }},
		{"map of another row", "0fc8", "", func(fx *emulator.Effects) { fx.Inst.Map = isa.MapOne }},
		{"opcode of another row", "01d8", "", func(fx *emulator.Effects) { fx.Inst.Opcode = 0x29 }},
		{"length", "90", "", func(fx *emulator.Effects) { fx.Inst.Length = decode.MaxLength + 1 }},
		{"capacity", "90", "", func(fx *emulator.Effects) { fx.NumOps = step.MaxOps + 1 }},
	} {
		state := load(t, m, r.code, r.before)
		var fx emulator.Effects
		out := e.Step(state, m, &fx)
		require.NoError(t, emulator.CheckPromises(state, &fx, out), r.name)
		r.spoil(&fx)
		require.Error(t, emulator.CheckPromises(state, &fx, fx.Outcome), r.name)
	}
}

// TestAppliedCanFail: memory that refuses in Apply what the step did not probe
// is found; a port that refuses is not memory.
func TestAppliedCanFail(t *testing.T) {
	fx := &emulator.Effects{Outcome: step.Okay, NumOps: 1}
	for _, r := range []struct {
		kind step.OpKind
		out  step.Outcome
		ok   bool
	}{
		{step.OpWrite, step.Okay, true},
		{step.OpWrite, step.Exception, false},
		{step.OpWriteWide, step.Exception, false},
		{step.OpWriteWide, step.Unhandleable, false},
		{step.OpCompareExchange, step.Exception, false},
		{step.OpCompareExchange, step.Retry, true},
		{step.OpWritePort, step.Exception, true},
		{step.OpRepeat, step.Unhandleable, false},
	} {
		fx.Ops[0].Kind = r.kind
		require.Equal(t, r.ok, emulator.CheckApplied(fx, r.out) == nil, "%v %v", r.kind, r.out)
	}
	fx.Outcome = step.Exception
	require.NoError(t, emulator.CheckApplied(fx, step.Exception))
}

// TestNothingIsAllocated: step and apply allocate nothing.
func TestNothingIsAllocated(t *testing.T) {
	m := newMachine(t, 0)
	e := emulator.New(profile(isa.Intel), m.Hooks())
	var fx emulator.Effects
	for _, code := range []string{"4801d8", "8b03", "0103", "f00103", "50", "f3aa", "480fc70b", "0f0b", "c8000003", "8ed8"} {
		start := *load(t, m, code, "rbx=20000000 rdi=20000000 rcx=0 rax=0 rbp=30000800")
		state := start
		require.Zero(t, testing.AllocsPerRun(100, func() {
			state = start
			if e.Step(&state, m, &fx) == step.Okay {
				fx.Apply(&state, m)
			}
		}), code)
	}
}
