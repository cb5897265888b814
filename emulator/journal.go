package emulator

import (
	"fmt"

	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// Journal is a Bus that records what another Bus answers to the questions of
// a step, and gives the same answers when the step is run again: for RETRY,
// for replay, and to test that a step is a function of its answers. When the
// recorded answers end, it asks the other Bus on; so a device is asked once.
// Retry drops the answer on which a step ended so.
//
// What changes the machine (Write and what else only Apply calls) is handed
// on and not recorded. Reset starts anew.
type Journal struct {
	Bus
	entries []entry
	at      int
	err     error
}

// question is what was asked; the data of a wide probe counts too.
type question struct {
	hook   string
	access Access
	a, b   uint64
	data   [64]byte
	repeat step.Repeat
}

// answer holds whatever a hook returns.
type answer struct {
	out     Outcome
	event   x86.Event
	values  [4]uint64
	data    [64]byte
	n       int
	ok      bool
	segment x86.SegmentRegister
}

type entry struct {
	q question
	a answer
}

var _ Bus = (*Journal)(nil)

// NewJournal returns a journal of what bus answers.
func NewJournal(bus Bus) *Journal { return &Journal{Bus: bus} }

// Reset forgets all answers.
func (j *Journal) Reset() { j.entries, j.at, j.err = j.entries[:0], 0, nil }

// Retry drops the last answer if it was RETRY, so that the next step asks for
// it again and is given all others as they were.
func (j *Journal) Retry() {
	if n := len(j.entries); n > 0 && j.entries[n-1].a.out == step.Retry {
		j.entries = j.entries[:n-1]
	}
}

// Len returns how many answers are recorded.
func (j *Journal) Len() int { return len(j.entries) }

// Err tells how a step that ran again asked otherwise than before: another
// question, or fewer. It is nil for a pure step that ran to the same end.
func (j *Journal) Err() error {
	if j.err == nil && j.at < len(j.entries) {
		return fmt.Errorf("journal: %d of %d questions were asked again, next was %s", j.at, len(j.entries), j.entries[j.at].q.hook)
	}
	return j.err
}

// Begin starts a step from the first answer.
func (j *Journal) Begin() {
	j.at = 0
	if len(j.entries) == 0 {
		j.Bus.Begin()
	}
}

// ask answers from the record or, at its end, by a call of the hook, which
// fills the answer.
func (j *Journal) ask(q question, ev *x86.Event, call func(a *answer)) answer {
	if j.at < len(j.entries) {
		e := &j.entries[j.at]
		if e.q != q && j.err == nil {
			j.err = fmt.Errorf("journal: question %d is %s %+v, was %s %+v", j.at, q.hook, q.access, e.q.hook, e.q.access)
		}
		j.at++
		if e.a.out == step.Exception {
			*ev = e.a.event
		}
		return e.a
	}
	var a answer
	call(&a)
	a.event = *ev
	j.entries = append(j.entries, entry{q, a})
	j.at++
	return a
}

// Fetch implements Bus.
func (j *Journal) Fetch(offset uint64, buf []byte, ev *x86.Event) (int, Outcome) {
	a := j.ask(question{hook: "fetch", a: offset, b: uint64(len(buf))}, ev, func(a *answer) {
		a.n, a.out = j.Bus.Fetch(offset, buf, ev)
		copy(a.data[:], buf)
	})
	copy(buf, a.data[:])
	return a.n, a.out
}

// Read implements Bus.
func (j *Journal) Read(at Access, ev *x86.Event) (uint64, Outcome) {
	return j.one(question{hook: "read", access: at}, ev, func() (uint64, Outcome) { return j.Bus.Read(at, ev) })
}

// one asks for one value.
func (j *Journal) one(q question, ev *x86.Event, call func() (uint64, Outcome)) (uint64, Outcome) {
	a := j.ask(q, ev, func(a *answer) { a.values[0], a.out = call() })
	return a.values[0], a.out
}

// ReadBytes implements Bus.
func (j *Journal) ReadBytes(at Access, buf []byte, ev *x86.Event) Outcome {
	a := j.ask(question{hook: "read", access: at, b: uint64(len(buf))}, ev, func(a *answer) {
		a.out = j.Bus.ReadBytes(at, buf, ev)
		copy(a.data[:], buf)
	})
	copy(buf, a.data[:])
	return a.out
}

// ProbeWrite implements Bus.
func (j *Journal) ProbeWrite(at Access, value uint64, ev *x86.Event) Outcome {
	return j.none(question{hook: "probe", access: at, a: value}, ev, func() Outcome { return j.Bus.ProbeWrite(at, value, ev) })
}

// none asks for an outcome alone.
func (j *Journal) none(q question, ev *x86.Event, call func() Outcome) Outcome {
	return j.ask(q, ev, func(a *answer) { a.out = call() }).out
}

// ProbeWriteBytes implements Bus.
func (j *Journal) ProbeWriteBytes(at Access, data []byte, ev *x86.Event) Outcome {
	q := question{hook: "probe", access: at, b: uint64(len(data))}
	copy(q.data[:], data)
	return j.none(q, ev, func() Outcome { return j.Bus.ProbeWriteBytes(at, data, ev) })
}

// EnqueueCommand implements Bus.
func (j *Journal) EnqueueCommand(at Access, data *[64]byte, ev *x86.Event) (bool, Outcome) {
	a := j.ask(question{hook: "enqueue", access: at, data: *data}, ev, func(a *answer) { a.ok, a.out = j.Bus.EnqueueCommand(at, data, ev) })
	return a.ok, a.out
}

// ReadPort implements Bus.
func (j *Journal) ReadPort(port uint16, size uint8, ev *x86.Event) (uint32, Outcome) {
	v, out := j.one(question{hook: "read port", a: uint64(port), b: uint64(size)}, ev, func() (uint64, Outcome) {
		v, out := j.Bus.ReadPort(port, size, ev)
		return uint64(v), out
	})
	return uint32(v), out
}

// ReadSegment implements Bus.
func (j *Journal) ReadSegment(seg x86.Segment, ev *x86.Event) (x86.SegmentRegister, Outcome) {
	a := j.ask(question{hook: "read segment", a: uint64(seg)}, ev, func(a *answer) { a.segment, a.out = j.Bus.ReadSegment(seg, ev) })
	return a.segment, a.out
}

// ReadControl implements Bus.
func (j *Journal) ReadControl(n uint8, ev *x86.Event) (uint64, Outcome) {
	return j.one(question{hook: "read cr", a: uint64(n)}, ev, func() (uint64, Outcome) { return j.Bus.ReadControl(n, ev) })
}

// ReadDebug implements Bus.
func (j *Journal) ReadDebug(n uint8, ev *x86.Event) (uint64, Outcome) {
	return j.one(question{hook: "read dr", a: uint64(n)}, ev, func() (uint64, Outcome) { return j.Bus.ReadDebug(n, ev) })
}

// ReadXCR implements Bus.
func (j *Journal) ReadXCR(n uint32, ev *x86.Event) (uint64, Outcome) {
	return j.one(question{hook: "read xcr", a: uint64(n)}, ev, func() (uint64, Outcome) { return j.Bus.ReadXCR(n, ev) })
}

// ReadMSR implements Bus.
func (j *Journal) ReadMSR(n uint32, ev *x86.Event) (uint64, Outcome) {
	return j.one(question{hook: "read msr", a: uint64(n)}, ev, func() (uint64, Outcome) { return j.Bus.ReadMSR(n, ev) })
}

// CPUID implements Bus.
func (j *Journal) CPUID(leaf, subleaf uint32, ev *x86.Event) (r [4]uint32, out Outcome) {
	a := j.ask(question{hook: "cpuid", a: uint64(leaf), b: uint64(subleaf)}, ev, func(a *answer) {
		var v [4]uint32
		v, a.out = j.Bus.CPUID(leaf, subleaf, ev)
		for i := range v {
			a.values[i] = uint64(v[i])
		}
	})
	for i := range r {
		r[i] = uint32(a.values[i])
	}
	return r, a.out
}

// ProbeRepeat implements Bus.
func (j *Journal) ProbeRepeat(r step.Repeat, ev *x86.Event) (uint64, Outcome) {
	return j.one(question{hook: "probe repeat", repeat: r}, ev, func() (uint64, Outcome) { return j.Bus.ProbeRepeat(r, ev) })
}

// Validate implements Bus.
func (j *Journal) Validate(row uint16, length uint8, ev *x86.Event) Outcome {
	return j.none(question{hook: "validate", a: uint64(row), b: uint64(length)}, ev, func() Outcome { return j.Bus.Validate(row, length, ev) })
}

// Random implements Bus.
func (j *Journal) Random(size uint8, seed bool, ev *x86.Event) (uint64, bool, Outcome) {
	q := question{hook: "random", a: uint64(size)}
	if seed {
		q.b = 1
	}
	a := j.ask(q, ev, func(a *answer) { a.values[0], a.ok, a.out = j.Bus.Random(size, seed, ev) })
	return a.values[0], a.ok, a.out
}

// VMFunc implements Bus.
func (j *Journal) VMFunc(eax, ecx uint32, ev *x86.Event) Outcome {
	return j.none(question{hook: "vmfunc", a: uint64(eax), b: uint64(ecx)}, ev, func() Outcome { return j.Bus.VMFunc(eax, ecx, ev) })
}
