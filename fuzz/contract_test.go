package fuzz

import (
	"encoding/binary"
	"math/bits"
	"testing"
	"unsafe"

	"github.com/seed-4e121ece/ringfence/corpus"
	"github.com/seed-4e121ece/ringfence/emulator"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/fuzz/gen"
	"github.com/seed-4e121ece/ringfence/internal/hostcpu"
)

// contractHeader is the part of an input of FuzzContract before the script:
//
//	data[0:4]    the hooks that the Bus offers
//	data[4:8]    seed of the state and of the values that hooks answer
//	data[8]      mode (low 3 bits), CPL 0 (bit 3), vendor (bit 4), RETRY of the first
//	             compare-exchange (bit 5), force_writeback (bit 6), an event is
//	             delivered (bit 7)
//	data[9]      length n of the script, 0 to 31
//	data[10:]    the script, a byte a hook called (see scripted.answer), then
//	             the instruction or the event (see contractEvent)
const contractHeader = 10

// FuzzContract runs a step against a Bus that may lack any hook and answer
// anything. Whatever it answers: nothing but the answers decides what the step
// does, nothing changes before Apply, no inside outcome escapes, a hook's
// error is never lost.
func FuzzContract(f *testing.F) {
	n := 0
	for s := range corpus.Seeds() {
		if s.Mode != 64 {
			continue
		}
		if n++; n%41 == 0 {
			head := make([]byte, contractHeader, 40)
			binary.LittleEndian.PutUint32(head, uint32(step.HookAll)&^uint32(n>>3&n))
			binary.LittleEndian.PutUint32(head[4:], uint32(n))
			head[8] = 6 | byte(n&0x38)
			head[9] = byte(n>>6) & 7
			for i := range head[9] {
				head = append(head, byte(n>>i))
			}
			f.Add(append(head, s.Bytes...))
		}
	}
	for n := range uint32(6 * 16 * 32) { // an event of each type in each mode, at either level
		head := make([]byte, contractHeader, 20)
		binary.LittleEndian.PutUint32(head, uint32(step.HookAll))
		binary.LittleEndian.PutUint32(head[4:], n)
		head[8] = 128 | byte(n/6&15)
		f.Add(append(head, byte(n%6), byte(n), byte(n>>1&0x2f), 0, byte(n)))
	}
	for n := range uint32(8 * 64) { // many iterations at once, with each answer to that
		head := make([]byte, contractHeader, 20)
		binary.LittleEndian.PutUint32(head, uint32(step.HookAll&^step.HookValidate))
		binary.LittleEndian.PutUint32(head[4:], n)
		head[8], head[9] = 8|6>>(n>>5&1), 2
		f.Add(append(head, 0, byte(n&7), [...]byte{0xf3, 0xf2, 0x67}[n%3], 0xf3, [...]byte{0xa4, 0xab, 0x6d, 0x6e}[n>>3&3]))
	}
	c := new(contract)
	f.Fuzz(func(t *testing.T, data []byte) { c.run(t, data) })
}

// contract is what an execution works with.
type contract struct {
	one, two step.Effects
	bus      scripted
}

func (c *contract) run(t *testing.T, data []byte) {
	var head [contractHeader]byte
	rest := data[copy(head[:], data):]
	script := rest[:min(int(head[9]&31), len(rest))]
	code := rest[len(script):]
	code = code[:min(len(code), 15)]

	hooks := step.Hooks(binary.LittleEndian.Uint32(head[:])) & step.HookAll
	b := &c.bus
	*b = scripted{hooks: hooks, script: script, code: code, seed: uint64(binary.LittleEndian.Uint32(head[4:])), mismatch: head[8]&32 != 0}
	state := contractState(b.seed, head[8])
	before := state
	e := emulator.New(contractProfile(head[8]&16 != 0), hooks, options(head[8])...)

	journal := emulator.NewJournal(b)
	run, promises := e.Step, emulator.CheckPromises
	if head[8]&128 != 0 {
		event := contractEvent(code)
		run = func(s *x86.State, bus step.Bus, fx *step.Effects) step.Outcome { return e.Deliver(s, bus, event, fx) }
		promises = emulator.CheckDelivered
	}
	poison(&c.one, 0xa5)
	out := run(&state, journal, &c.one)
	if state != before {
		t.Fatalf("Step changed the state: %+v, was %+v", state, before)
	}
	if err := promises(&before, &c.one, out); err != nil {
		t.Fatalf("promise: %v", err)
	}
	if b.wrong != "" {
		t.Fatalf("Step called %s, which is not for it to call or is not offered (hooks %#x)", b.wrong, hooks)
	}
	if err := b.lost(out); err != "" {
		t.Fatalf("a hook's answer was lost: %s, and the step ended %v", err, out)
	}

	poison(&c.two, 0x5a)
	if again := run(&state, journal, &c.two); again != out || journal.Err() != nil {
		t.Fatalf("the same answers: %v, then %v: %v", out, again, journal.Err())
	}
	if same, what := step.Equal(&c.one, &c.two); !same {
		t.Fatalf("what was in the staging buffer before matters: %s", what)
	}
	c.apply(t, &state, out)
}

// apply carries out what was staged, on a Bus whose compare-exchange may find
// other bytes.
func (c *contract) apply(t *testing.T, state *x86.State, out step.Outcome) {
	b, fx := &c.bus, &c.one
	b.applying = true
	before := *state
	final := fx.Apply(state, b)
	switch {
	case b.wrong != "":
		t.Fatalf("Apply called %s, which is not for it to call or is not offered", b.wrong)
	case final != step.Okay && final != step.Unhandleable && final != step.Exception && final != step.Retry && final != step.Unimplemented:
		t.Fatalf("an inside outcome escapes Apply: %v", final)
	case out != step.Okay && !fx.Partial && (final != out || *state != before || b.writes > 0):
		t.Fatalf("%v stages nothing, but Apply: %v, %d writes", out, final, b.writes)
	case final != step.Okay && state.RIP != before.RIP:
		t.Fatalf("%v moved RIP from %#x to %#x", final, before.RIP, state.RIP)
	case b.mismatched && final != step.Retry:
		t.Fatalf("a compare-exchange found other bytes and Apply ended %v; want retry", final)
	case b.mismatched && b.writes == 0 && *state != before:
		t.Fatal("a compare-exchange found other bytes, and the registers changed")
	case out == step.Okay && b.refused == 0 && !b.mismatched && final != step.Okay:
		t.Fatalf("nothing was refused, and Apply ended %v", final)
	}
}

// contractEvent makes an event of any kind: type, vector, length, error code.
func contractEvent(data []byte) (ev x86.Event) {
	var b [8]byte
	copy(b[:], data)
	ev.Type, ev.Vector, ev.Length = x86.EventType(b[0]&7), b[1], b[2]&31
	ev.HasError, ev.ErrorCode = b[2]&32 != 0, binary.LittleEndian.Uint32(b[4:])
	return ev
}

func options(b byte) []emulator.Option {
	if b&64 != 0 {
		return []emulator.Option{emulator.ForceWriteback()}
	}
	return nil
}

// contractProfiles are of a CPU with every feature, of either vendor.
var contractProfiles = func() (p [2]isa.Profile) {
	for i, v := range []isa.Vendor{isa.Intel, isa.AMD} {
		p[i] = *hostcpu.Profile()
		p[i].Vendor, p[i].Features = v, isa.AllFeatures()
	}
	return p
}()

func contractProfile(amd bool) *isa.Profile {
	if amd {
		return &contractProfiles[1]
	}
	return &contractProfiles[0]
}

// contractState makes a state of a seed, in any mode.
func contractState(seed uint64, b byte) (s x86.State) {
	r := gen.NewRand(seed)
	for i := range s.GPR {
		s.GPR[i] = r.Value()
	}
	s.RIP = r.Uint64() >> 17
	s.RFLAGS = r.Uint64()&uint64(x86.FlagsUser|x86.IOPL) | uint64(x86.IF|x86.FlagsFixed)
	for i := range s.Selector {
		s.Selector[i] = uint16(r.Value())
	}
	s.Mode = x86.Mode(b & 7)
	if s.Mode > x86.Long64 {
		s.Mode = x86.Long64
	}
	s.StackWidth = uint8(s.Mode.Width())
	s.CPL = 3
	if s.Mode != x86.Long64 {
		s.RIP &= 1<<s.Mode.Width() - 1
	}
	if s.Mode == x86.Real || b&8 != 0 && s.Mode != x86.VM86 {
		s.CPL = 0
	}
	return s
}

// poison fills a staging buffer with a byte, so that what is used before it is
// set shows. Booleans get a value that they can have, and Resume is the
// caller's.
func poison(fx *step.Effects, b byte) {
	all := unsafe.Slice((*byte)(unsafe.Pointer(fx)), unsafe.Sizeof(*fx))
	for i := range all {
		all[i] = b
	}
	for _, p := range []*bool{&fx.FlagsDirty, &fx.Again, &fx.Partial, &fx.Inst.HasModRM, &fx.Inst.HasSIB, &fx.Inst.IsMem, &fx.Event.HasError} {
		*(*byte)(unsafe.Pointer(p)) = b & 1
	}
	fx.Resume = false
}

// scripted is a Bus whose answers a script gives. Its values are a function of
// the seed and of the number of questions so far.
type scripted struct {
	step.Absent
	hooks    step.Hooks
	script   []byte
	code     []byte
	seed     uint64
	asked    int
	mismatch bool
	applying bool
	// wrong names a call that should not have been made.
	wrong string
	// exceptions, retries and refusals are the answers that a step may not
	// ignore.
	last       step.Outcome
	lastHook   string
	mismatched bool
	refused    int
	writes     int
}

var _ step.Bus = (*scripted)(nil)

// answer returns the next outcome of the script:
//
//	low 3 bits   0 to 3 okay, 4 unhandleable, 5 exception, 6 retry, 7 done
//	high bits    of an exception: vector (and 0 gives an answer without event)
//
// and okay when the script is over. Questions after an answer other than okay
// are noted: there should be none but for what follows from done.
func (b *scripted) answer(hook string, need step.Hooks, inApply bool, ev *x86.Event) step.Outcome {
	if b.hooks&need != need || inApply != b.applying {
		b.wrong = hook
	}
	out := step.Okay
	if b.asked < len(b.script) {
		v := b.script[b.asked]
		switch v & 7 {
		case 4:
			out = step.Unhandleable
		case 5:
			out = step.Exception
			if k := v >> 3; k != 0 {
				*ev = x86.FaultCode(k, uint32(v))
			}
		case 6:
			out = step.Retry
		case 7:
			out = step.Done
		}
	}
	b.asked++
	if out != step.Okay {
		b.refused++
		b.last, b.lastHook = out, hook
	}
	return out
}

// lost tells of an answer that the step ignored. A fetch that ends early is
// no error unless its bytes are needed; a descriptor-table read without event,
// DONE, and a refusal where the table of hooks says what is assumed instead,
// are the emulator's to judge.
func (b *scripted) lost(out step.Outcome) string {
	if b.lastHook == "" || out == step.Unimplemented {
		return ""
	}
	switch b.lastHook {
	case "probe repeat": // a refusal asks for one iteration a step
		if b.last == step.Retry && out != step.Retry || b.last == step.Exception && out == step.Okay {
			return b.lastHook + " answered " + b.last.String()
		}
		return ""
	case "read", "probe", "read port", "cpuid", "random", "validate":
	default:
		return ""
	}
	switch {
	case b.last == step.Retry && out != step.Retry,
		b.last == step.Unhandleable && out != step.Unhandleable,
		b.last == step.Exception && out == step.Okay:
		return b.lastHook + " answered " + b.last.String()
	}
	return ""
}

func (b *scripted) value() uint64 {
	r := gen.NewRand(b.seed + uint64(b.asked)*0x9e3779b97f4a7c15)
	r.Uint64()
	return r.Value()
}

func (b *scripted) Hooks() step.Hooks { return b.hooks }

func (b *scripted) Fetch(_ uint64, buf []byte, ev *x86.Event) (int, step.Outcome) {
	out := b.answer("fetch", 0, false, ev)
	n := copy(buf, b.code)
	if n < len(buf) && out == step.Okay {
		*ev = x86.PageFault(x86.PFFetch|x86.PFUser, uint64(n))
		out = step.Exception
	}
	return n, out
}

// Reads of system structures may fall beyond the limit, which is for the
// emulator to turn into the fault that fits.
func (b *scripted) read(a step.Access, ev *x86.Event) step.Outcome {
	if a.Intent == step.IntentSystem {
		return b.answer("system read", 0, false, ev)
	}
	out := b.answer("read", 0, false, ev)
	if out == step.Exception && ev.Type == x86.EventNone {
		*ev = x86.PageFault(x86.PFUser, a.Offset)
	}
	return out
}

func (b *scripted) Read(a step.Access, ev *x86.Event) (uint64, step.Outcome) {
	v := b.descriptor(a)
	if a.Size < 8 {
		v &= 1<<(8*a.Size) - 1
	}
	return v, b.read(a, ev)
}

// descriptor is a value that in the tables of descriptors is mostly a present
// gate or segment, in its byte of type and level.
func (b *scripted) descriptor(a step.Access) uint64 {
	v := b.value()
	kinds := [8]uint64{0x9b, 0x9a, 0x9f, 0xfb, 0xff, 0x93, 0xf3, 0xfa}
	switch {
	case v&3 == 0 || a.Segment != x86.IDTR && a.Segment != x86.GDTR && a.Segment != x86.LDTR:
		return v
	case a.Segment == x86.IDTR:
		kinds = [8]uint64{0x8e, 0xee, 0x8f, 0xef, 0x86, 0xe7, 0x85, 0x0e}
		v &^= (v >> 2 & 1) * 7 << 32 // the interrupt stack table, every other time
	}
	return v&^(0xff<<40) | kinds[v>>4&7]<<40
}

func (b *scripted) ReadBytes(a step.Access, buf []byte, ev *x86.Event) step.Outcome {
	v := b.descriptor(a)
	if a.Segment == x86.IDTR {
		clear(buf)
		binary.LittleEndian.PutUint64(buf, v)
		return b.read(a, ev)
	}
	for i := range buf {
		buf[i] = byte(bits.RotateLeft64(v, 8*i) >> (i & 7))
	}
	return b.read(a, ev)
}

func (b *scripted) probe(a step.Access, ev *x86.Event) step.Outcome {
	out := b.answer("probe", step.HookWrite, false, ev)
	if out == step.Exception && ev.Type == x86.EventNone {
		*ev = x86.PageFault(x86.PFUser|x86.PFWrite, a.Offset)
	}
	return out
}

func (b *scripted) ProbeWrite(a step.Access, _ uint64, ev *x86.Event) step.Outcome {
	return b.probe(a, ev)
}

func (b *scripted) ProbeWriteBytes(a step.Access, _ []byte, ev *x86.Event) step.Outcome {
	return b.probe(a, ev)
}

func (b *scripted) write(hook string, need step.Hooks, ev *x86.Event) step.Outcome {
	out := b.answer(hook, need, true, ev)
	if out == step.Okay {
		b.writes++
	}
	return out
}

func (b *scripted) Write(step.Access, uint64, *x86.Event) step.Outcome {
	// What was probed is written: a Bus keeps its word.
	if !b.applying || b.hooks&step.HookWrite == 0 {
		b.wrong = "write"
	}
	b.writes++
	return step.Okay
}

func (b *scripted) WriteBytes(a step.Access, _ []byte, ev *x86.Event) step.Outcome {
	return b.Write(a, 0, ev)
}

func (b *scripted) CompareExchange(_ step.Access, _, _ [2]uint64, ev *x86.Event) step.Outcome {
	if !b.applying || b.hooks&step.HookCompareExchange == 0 {
		b.wrong = "compare exchange"
	}
	if b.mismatch {
		b.mismatched = true
		return step.CmpxchgFailed
	}
	b.writes++
	return step.Okay
}

func (b *scripted) EnqueueCommand(_ step.Access, _ *[64]byte, ev *x86.Event) (bool, step.Outcome) {
	return b.value()&1 != 0, b.answer("enqueue", step.HookEnqueueCommand, false, ev)
}

func (b *scripted) ReadPort(_ uint16, _ uint8, ev *x86.Event) (uint32, step.Outcome) {
	v := uint32(b.value())
	return v, b.answer("read port", step.HookReadPort, false, ev)
}

func (b *scripted) WritePort(_ uint16, _ uint8, _ uint32, ev *x86.Event) step.Outcome {
	return b.write("write port", step.HookWritePort, ev)
}

func (b *scripted) ReadSegment(_ x86.Segment, ev *x86.Event) (x86.SegmentRegister, step.Outcome) {
	v := b.value()
	r := x86.SegmentRegister{Selector: uint16(v), Attributes: uint32(v>>16) & 0x1ffff, Limit: uint32(v >> 32), Base: v >> 20}
	return r, b.answer("read segment", step.HookReadSegment, false, ev)
}

func (b *scripted) WriteSegment(_ x86.Segment, _ x86.SegmentRegister, ev *x86.Event) step.Outcome {
	return b.write("write segment", step.HookWriteSegment, ev)
}

func (b *scripted) ReadControl(_ uint8, ev *x86.Event) (uint64, step.Outcome) {
	v := b.value()
	return v, b.answer("read control", step.HookReadControl, false, ev)
}

func (b *scripted) WriteControl(_ uint8, _ uint64, ev *x86.Event) step.Outcome {
	return b.write("write control", step.HookWriteControl, ev)
}

func (b *scripted) ReadDebug(_ uint8, ev *x86.Event) (uint64, step.Outcome) {
	v := b.value()
	return v, b.answer("read debug", step.HookReadDebug, false, ev)
}

func (b *scripted) WriteDebug(_ uint8, _ uint64, ev *x86.Event) step.Outcome {
	return b.write("write debug", step.HookWriteDebug, ev)
}

func (b *scripted) ReadXCR(_ uint32, ev *x86.Event) (uint64, step.Outcome) {
	v := b.value()
	return v, b.answer("read xcr", step.HookReadXCR, false, ev)
}

func (b *scripted) WriteXCR(_ uint32, _ uint64, ev *x86.Event) step.Outcome {
	return b.write("write xcr", step.HookWriteXCR, ev)
}

func (b *scripted) ReadMSR(_ uint32, ev *x86.Event) (uint64, step.Outcome) {
	v := b.value()
	return v, b.answer("read msr", step.HookReadMSR, false, ev)
}

func (b *scripted) WriteMSR(_ uint32, _ uint64, _ bool, ev *x86.Event) step.Outcome {
	return b.write("write msr", step.HookWriteMSR, ev)
}

func (b *scripted) CPUID(_, _ uint32, ev *x86.Event) (r [4]uint32, out step.Outcome) {
	v := b.value()
	r = [4]uint32{uint32(v), uint32(v >> 32), ^uint32(v), uint32(v >> 16)}
	return r, b.answer("cpuid", step.HookCPUID, false, ev)
}

func (b *scripted) CacheOp(_ uint8, _ step.Access, ev *x86.Event) step.Outcome {
	return b.write("cache", step.HookCacheOp, ev)
}

func (b *scripted) TLBOp(_ uint8, _, _ uint64, ev *x86.Event) step.Outcome {
	return b.write("tlb", step.HookTLBOp, ev)
}

// ProbeRepeat may answer more than it was asked for.
func (b *scripted) ProbeRepeat(r step.Repeat, ev *x86.Event) (uint64, step.Outcome) {
	v := b.value()
	if v&1 == 0 {
		v %= r.Count + 1
	}
	return v, b.answer("probe repeat", r.Kind.Hook(), false, ev)
}

func (b *scripted) Repeat(r step.Repeat, _ *x86.Event) step.Outcome {
	// What was agreed to is done: a Bus keeps its word.
	if !b.applying || r.Kind.Hook() == 0 || b.hooks&r.Kind.Hook() == 0 {
		b.wrong = "repeat"
	}
	b.writes++
	return step.Okay
}

func (b *scripted) Validate(_ uint16, _ uint8, ev *x86.Event) step.Outcome {
	return b.answer("validate", step.HookValidate, false, ev)
}

func (b *scripted) Random(_ uint8, _ bool, ev *x86.Event) (uint64, bool, step.Outcome) {
	v := b.value()
	return v, v&3 != 0, b.answer("random", step.HookRandom, false, ev)
}

func (b *scripted) VMFunc(_, _ uint32, ev *x86.Event) step.Outcome {
	return b.answer("vmfunc", step.HookVMFunc, false, ev)
}
