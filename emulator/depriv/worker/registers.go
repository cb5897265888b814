package worker

import (
	"github.com/seed-4e121ece/ringfence/emulator/depriv/wire"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// The hooks that are not about memory.

// one asks for one value.
func (b *bus) one(q wire.Question, ev *x86.Event) (uint64, step.Outcome) {
	a := b.ask(&q, false)
	if a == nil {
		return 0, step.Unhandleable
	}
	return a.V[0], b.end(a, ev, false)
}

// ReadPort implements step.Bus.
func (b *bus) ReadPort(port uint16, size uint8, ev *x86.Event) (uint32, step.Outcome) {
	v, out := b.one(wire.Question{Kind: wire.AskReadPort, Size: size, Offset: uint64(port)}, ev)
	return uint32(v), out
}

// ReadSegment implements step.Bus.
func (b *bus) ReadSegment(s x86.Segment, ev *x86.Event) (x86.SegmentRegister, step.Outcome) {
	a := b.ask(&wire.Question{Kind: wire.AskReadSegment, Offset: uint64(s)}, false)
	if a == nil {
		return x86.SegmentRegister{}, step.Unhandleable
	}
	return wire.GetSegment(a.V[0], a.V[1], a.V[2]), b.end(a, ev, false)
}

// ReadControl implements step.Bus.
func (b *bus) ReadControl(n uint8, ev *x86.Event) (uint64, step.Outcome) {
	return b.one(wire.Question{Kind: wire.AskReadControl, Offset: uint64(n)}, ev)
}

// ReadDebug implements step.Bus.
func (b *bus) ReadDebug(n uint8, ev *x86.Event) (uint64, step.Outcome) {
	return b.one(wire.Question{Kind: wire.AskReadDebug, Offset: uint64(n)}, ev)
}

// ReadXCR implements step.Bus.
func (b *bus) ReadXCR(n uint32, ev *x86.Event) (uint64, step.Outcome) {
	return b.one(wire.Question{Kind: wire.AskReadXCR, Offset: uint64(n)}, ev)
}

// ReadMSR implements step.Bus.
func (b *bus) ReadMSR(n uint32, ev *x86.Event) (uint64, step.Outcome) {
	return b.one(wire.Question{Kind: wire.AskReadMSR, Offset: uint64(n)}, ev)
}

// CPUID implements step.Bus.
func (b *bus) CPUID(leaf, subleaf uint32, ev *x86.Event) (r [4]uint32, out step.Outcome) {
	a := b.ask(&wire.Question{Kind: wire.AskCPUID, Offset: uint64(leaf), A: uint64(subleaf)}, false)
	if a == nil {
		return r, step.Unhandleable
	}
	for i := range r {
		r[i] = uint32(a.V[i])
	}
	return r, b.end(a, ev, false)
}

// Validate implements step.Bus.
func (b *bus) Validate(row uint16, length uint8, ev *x86.Event) step.Outcome {
	return b.end(b.ask(&wire.Question{Kind: wire.AskValidate, Offset: uint64(row), A: uint64(length)}, true), ev, true)
}

// Random implements step.Bus.
func (b *bus) Random(size uint8, seed bool, ev *x86.Event) (uint64, bool, step.Outcome) {
	q := wire.Question{Kind: wire.AskRandom, Size: size}
	if seed {
		q.A = 1
	}
	a := b.ask(&q, false)
	if a == nil {
		return 0, false, step.Unhandleable
	}
	return a.V[0], a.OK != 0, b.end(a, ev, false)
}

// VMFunc implements step.Bus.
func (b *bus) VMFunc(eax, ecx uint32, ev *x86.Event) step.Outcome {
	return b.end(b.ask(&wire.Question{Kind: wire.AskVMFunc, Offset: uint64(eax), A: uint64(ecx)}, false), ev, false)
}
