package machine

import (
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// offered returns the hooks that a machine of that description has.
func offered(c *Config) step.Hooks {
	h := step.HookWrite | step.HookCompareExchange | step.HookReadSegment | step.HookWriteSegment | step.HookCacheOp
	for _, o := range []struct {
		has  bool
		hook step.Hooks
	}{
		{c.CPUID != nil, step.HookCPUID},
		{c.MSR != nil, step.HookReadMSR},
		{c.Random != nil, step.HookRandom},
		{c.ReadPort != nil, step.HookReadPort},
		{c.WritePort != nil, step.HookWritePort},
		{c.Control != nil, step.HookReadControl},
		{c.XCR != nil, step.HookReadXCR},
		{c.Repeat, step.HookRepeatMove | step.HookRepeatStore},
		{c.Repeat && c.ReadPort != nil, step.HookRepeatIn},
		{c.Repeat && c.WritePort != nil, step.HookRepeatOut},
	} {
		if o.has {
			h |= o.hook
		}
	}
	return h
}

// Hooks implements step.Bus.
func (m *Machine) Hooks() step.Hooks { return m.hooks }

// ReadSegment implements step.Bus.
func (m *Machine) ReadSegment(seg x86.Segment, _ *x86.Event) (x86.SegmentRegister, step.Outcome) {
	if seg > x86.IDTR {
		return x86.SegmentRegister{}, step.Unhandleable
	}
	r := m.segments[seg]
	if seg <= x86.GS {
		r.Selector = m.state.Selector[seg]
	}
	return r, step.Okay
}

// WriteSegment implements step.Bus. A base of FS or GS that is not canonical
// in 64-bit mode is #GP(0), as WRFSBASE has it.
func (m *Machine) WriteSegment(seg x86.Segment, r x86.SegmentRegister, ev *x86.Event) step.Outcome {
	if seg > x86.IDTR {
		return step.Unhandleable
	}
	sh := m.canonicalShift
	if m.flat && uint64(int64(r.Base<<sh)>>sh) != r.Base {
		*ev = x86.FaultCode(x86.VectorGP, 0)
		return step.Exception
	}
	m.segments[seg] = r
	return step.Okay
}

// CPUID implements step.Bus.
func (m *Machine) CPUID(leaf, subleaf uint32, _ *x86.Event) ([4]uint32, step.Outcome) {
	if m.cfg.CPUID == nil {
		return [4]uint32{}, step.Unhandleable
	}
	return m.cfg.CPUID(leaf, subleaf), step.Okay
}

// ReadMSR implements step.Bus.
func (m *Machine) ReadMSR(n uint32, ev *x86.Event) (uint64, step.Outcome) {
	if m.cfg.MSR == nil {
		return 0, step.Unhandleable
	}
	v, ok := m.cfg.MSR(n)
	if !ok {
		*ev = x86.FaultCode(x86.VectorGP, 0)
		return 0, step.Exception
	}
	return v, step.Okay
}

// Random implements step.Bus.
func (m *Machine) Random(size uint8, seed bool, _ *x86.Event) (uint64, bool, step.Outcome) {
	if m.cfg.Random == nil {
		return 0, false, step.Unhandleable
	}
	v, ok := m.cfg.Random(size, seed)
	return v, ok, step.Okay
}

// ReadPort implements step.Bus.
func (m *Machine) ReadPort(port uint16, size uint8, _ *x86.Event) (uint32, step.Outcome) {
	if m.cfg.ReadPort == nil {
		return 0, step.Unhandleable
	}
	return m.cfg.ReadPort(port, size), step.Okay
}

// WritePort implements step.Bus.
func (m *Machine) WritePort(port uint16, size uint8, value uint32, _ *x86.Event) step.Outcome {
	if m.cfg.WritePort == nil {
		return step.Unhandleable
	}
	m.cfg.WritePort(port, size, value)
	return step.Okay
}

// ReadControl implements step.Bus.
func (m *Machine) ReadControl(n uint8, _ *x86.Event) (uint64, step.Outcome) {
	if m.cfg.Control == nil {
		return 0, step.Unhandleable
	}
	v, ok := m.cfg.Control(n)
	if !ok {
		return 0, step.Unhandleable
	}
	return v, step.Okay
}

// ReadXCR implements step.Bus.
func (m *Machine) ReadXCR(n uint32, ev *x86.Event) (uint64, step.Outcome) {
	if m.cfg.XCR == nil {
		return 0, step.Unhandleable
	}
	v, ok := m.cfg.XCR(n)
	if !ok {
		*ev = x86.FaultCode(x86.VectorGP, 0)
		return 0, step.Exception
	}
	return v, step.Okay
}

// CacheOp implements step.Bus: the address is checked as for a read of a byte
// (SDM vol. 2, CLFLUSH); there is no cache.
func (m *Machine) CacheOp(_ uint8, a step.Access, ev *x86.Event) step.Outcome {
	if a.Size == 0 {
		return step.Okay
	}
	var t target
	return m.translate(&a, &t, ev)
}
