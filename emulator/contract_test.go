package emulator_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator"
	"github.com/seed-4e121ece/ringfence/emulator/exec"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// wild is a Bus that answers anything at all: any outcome, events or none,
// any value. Only the code bytes are given.
type wild struct {
	step.Absent
	rand  *rand.Rand
	code  []byte
	asked map[string]int
	// kind weighs the outcomes: 0 only okay, 1 some others, 2 anything.
	kind int
}

func (w *wild) out(hook string, ev *x86.Event) step.Outcome {
	w.asked[hook]++
	switch k := w.rand.IntN(8); {
	case w.kind == 0, w.kind == 1 && k > 1:
		return step.Okay
	case k == 0:
		*ev = x86.PageFault(uint32(w.rand.IntN(8)), w.rand.Uint64())
		return step.Exception
	case w.kind == 1:
		return [...]step.Outcome{step.Unhandleable, step.Retry, step.Exception, step.Done}[w.rand.IntN(4)]
	}
	return step.Outcome(w.rand.IntN(9))
}

func (w *wild) Fetch(_ uint64, buf []byte, ev *x86.Event) (int, step.Outcome) {
	n := copy(buf, w.code)
	return n, w.out("fetch", ev)
}

func (w *wild) Read(_ step.Access, ev *x86.Event) (uint64, step.Outcome) {
	return w.rand.Uint64() >> w.rand.IntN(64), w.out("read", ev)
}

func (w *wild) ReadBytes(_ step.Access, buf []byte, ev *x86.Event) step.Outcome {
	for i := range buf {
		buf[i] = byte(w.rand.Uint32())
	}
	return w.out("read", ev)
}

func (w *wild) ProbeWrite(_ step.Access, _ uint64, ev *x86.Event) step.Outcome {
	return w.out("write", ev)
}

func (w *wild) ProbeWriteBytes(_ step.Access, _ []byte, ev *x86.Event) step.Outcome {
	return w.out("write", ev)
}

func (w *wild) ProbeRepeat(r step.Repeat, ev *x86.Event) (uint64, step.Outcome) {
	return w.rand.Uint64() >> w.rand.IntN(64), w.out("repeat "+r.Kind.String(), ev)
}

func (w *wild) ReadPort(_ uint16, _ uint8, ev *x86.Event) (uint32, step.Outcome) {
	return w.rand.Uint32(), w.out("read port", ev)
}

func (w *wild) ReadSegment(_ x86.Segment, ev *x86.Event) (x86.SegmentRegister, step.Outcome) {
	return x86.SegmentRegister{Attributes: 0x8b, Limit: w.rand.Uint32(), Base: w.rand.Uint64() >> 20}, w.out("read segment", ev)
}

func (w *wild) ReadControl(_ uint8, ev *x86.Event) (uint64, step.Outcome) {
	return w.rand.Uint64(), w.out("read control", ev)
}

func (w *wild) ReadMSR(_ uint32, ev *x86.Event) (uint64, step.Outcome) {
	return w.rand.Uint64(), w.out("read msr", ev)
}

func (w *wild) CPUID(a, b uint32, ev *x86.Event) ([4]uint32, step.Outcome) {
	return [4]uint32{a, b, w.rand.Uint32(), 4}, w.out("cpuid", ev)
}

func (w *wild) Validate(_ uint16, _ uint8, ev *x86.Event) step.Outcome { return w.out("validate", ev) }

func (w *wild) Random(_ uint8, _ bool, ev *x86.Event) (uint64, bool, step.Outcome) {
	return w.rand.Uint64(), w.rand.IntN(2) == 0, w.out("random", ev)
}

// hookNames says by which hook a question is allowed.
var hookNames = map[string]step.Hooks{
	"write": step.HookWrite, "read port": step.HookReadPort, "read segment": step.HookReadSegment,
	"read control": step.HookReadControl, "read msr": step.HookReadMSR, "cpuid": step.HookCPUID,
	"repeat move": step.HookRepeatMove, "repeat store": step.HookRepeatStore, "repeat in": step.HookRepeatIn, "repeat out": step.HookRepeatOut,
	"validate": step.HookValidate, "random": step.HookRandom, "read": step.HookAll, "fetch": step.HookAll,
}

// bytesOf gives the bytes of an Effects, to poison it.
func bytesOf(fx *emulator.Effects) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(fx)), unsafe.Sizeof(*fx))
}

// poison fills everything but what the caller says: Resume. Booleans get a
// valid value.
func poison(fx *emulator.Effects, b byte) {
	for i := range bytesOf(fx) {
		bytesOf(fx)[i] = b
	}
	for _, p := range []*bool{&fx.FlagsDirty, &fx.Again, &fx.Partial, &fx.Inst.HasModRM, &fx.Inst.HasSIB, &fx.Inst.IsMem, &fx.Event.HasError} {
		*(*byte)(unsafe.Pointer(p)) = b & 1
	}
	fx.Resume = false
}

// TestContract runs random instructions against a Bus that may answer
// anything: the promises hold, a step is a function of the answers, and what
// was in the staging buffers before does not matter.
func TestContract(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var one, two emulator.Effects
	outcomes := map[step.Outcome]int{}
	for n := range 150_000 {
		hooks := step.HookAll
		if n%3 == 1 {
			hooks = step.Hooks(r.Uint32()) & step.HookAll
		}
		p := profile(isa.Vendor(n % 2))
		e := emulator.New(p, hooks)
		w := &wild{rand: r, code: randomCode(r), asked: map[string]int{}, kind: n % 3}
		j := emulator.NewJournal(w)
		state := randomState(r)
		before := state
		name := fmt.Sprintf("case %d: % x in %v, hooks %#x", n, w.code, state.Mode, hooks)

		poison(&one, 0xa5)
		out := e.Step(&state, j, &one)
		outcomes[out]++
		if err := emulator.CheckPromises(&before, &one, out); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for hook := range w.asked {
			if hooks&hookNames[hook] == 0 {
				t.Fatalf("%s: %s was asked, which is not offered", name, hook)
			}
		}
		poison(&two, 0x5a)
		if again := e.Step(&state, j, &two); again != out || j.Err() != nil {
			t.Fatalf("%s: %v, then %v: %v", name, out, again, j.Err())
		}
		if same, what := emulator.Equal(&one, &two); !same {
			t.Fatalf("%s: %s", name, what)
		}
		if state != before {
			t.Fatalf("%s: the state changed", name)
		}
	}
	for out := range step.Unimplemented + 1 {
		require.Equal(t, out != step.Done, outcomes[out] > 0, "%v: %d", out, outcomes[out])
	}
}

// randomCode is a random string in which prefixes and two-byte opcodes are
// not rare.
func randomCode(r *rand.Rand) []byte {
	b := make([]byte, 15)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	at := 0
	for _, p := range []byte{0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x64} {
		if r.IntN(8) == 0 {
			b[at] = p
			at++
		}
	}
	if r.IntN(3) == 0 {
		b[at] = 0x40 | b[at]&15
		at++
	}
	if r.IntN(3) == 0 {
		b[at] = 0x0f
	}
	return b
}

func randomState(r *rand.Rand) x86.State {
	s := initial()
	for i := range s.GPR {
		s.GPR[i] = r.Uint64() >> (r.IntN(8) * 8)
	}
	s.RIP = r.Uint64() >> 17
	s.RFLAGS = r.Uint64()&uint64(x86.FlagsUser|x86.IOPL|x86.RF) | 0x202
	if r.IntN(4) == 0 {
		s.Mode = [...]x86.Mode{x86.Real, x86.VM86, x86.Protected16, x86.Protected32, x86.Compat16, x86.Compat32}[r.IntN(6)]
		s.StackWidth = [...]uint8{16, 32}[r.IntN(2)]
		s.RIP &= 0xffff
		if s.Mode == x86.Real {
			s.CPL = 0
		}
	}
	if r.IntN(8) == 0 {
		s.CPL = 0
	}
	return s
}

// TestCapacity asserts that the staging buffers hold what any row stages:
// ENTER with level 31 stages the most writes and accesses.
func TestCapacity(t *testing.T) {
	const level = 31
	require.GreaterOrEqual(t, step.MaxOps, 1+level)
	require.GreaterOrEqual(t, step.MaxAccesses, 1+(level-1)+level+1)
	m := newMachine(t, 0)
	e := emulator.New(profile(isa.Intel), m.Hooks())
	state := initial()
	state.GPR[x86.RBP] = stackAt + page + 0x800
	m.Load(&state, 0, 0, make([]byte, 5*page), decodeHex(t, "c800003f"), codeAt)
	var fx emulator.Effects
	require.Equal(t, emulator.Okay, e.Step(&state, m, &fx))
	require.EqualValues(t, 1+level, fx.NumOps)
	require.EqualValues(t, 1+(level-1)+level+1, fx.NumAccesses)
}

// TestImplemented lists the rows, of any mode, that have no semantics: only
// groups that are known to be left out.
func TestImplemented(t *testing.T) {
	left := map[string]int{}
	for _, r := range isa.Rows() {
		if exec.Implemented(r.ID) {
			continue
		}
		switch {
		case r.Attr&(isa.AttrX87|isa.AttrVector|isa.AttrSystem|isa.AttrCPL0) != 0:
		case r.Feature == isa.FeatureAPXF, r.Also == isa.FeatureAPXF: // the state has no registers from R16 on
		case r.Map >= isa.MapEVEX1: // what APX has moved there
		default:
			left[r.String()]++
		}
	}
	require.Empty(t, left)
}
