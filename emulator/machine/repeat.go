package machine

import (
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// ProbeRepeat implements step.Bus: it makes the checks of each iteration and
// answers how many come before the first that would fault.
func (m *Machine) ProbeRepeat(r step.Repeat, _ *x86.Event) (uint64, step.Outcome) {
	if m.hooks&r.Kind.Hook() == 0 {
		return 0, step.Unhandleable
	}
	for n := range r.Count {
		if !m.repeatable(&r, n) {
			return n, step.Okay
		}
	}
	return r.Count, step.Okay
}

// repeatable says whether iteration n faults nowhere.
func (m *Machine) repeatable(r *step.Repeat, n uint64) bool {
	var t target
	var ev x86.Event
	source, destination := r.Element(n)
	if r.Kind.Reads() && m.translate(&source, &t, &ev) != step.Okay {
		return false
	}
	return !r.Kind.Writes() || m.translate(&destination, &t, &ev) == step.Okay
}

// Repeat implements step.Bus. An iteration reads what those before it wrote, so
// that operands that overlap give what a CPU gives.
func (m *Machine) Repeat(r step.Repeat, ev *x86.Event) step.Outcome {
	for n := range r.Count {
		if out := m.iterate(&r, n, ev); out != step.Okay {
			return out
		}
	}
	return step.Okay
}

// iterate does iteration n.
func (m *Machine) iterate(r *step.Repeat, n uint64, ev *x86.Event) step.Outcome {
	source, destination := r.Element(n)
	v := r.Value
	var out step.Outcome
	switch r.Kind {
	case step.RepeatMove, step.RepeatOut:
		v, out = m.Read(source, ev)
	case step.RepeatIn:
		var in uint32
		in, out = m.ReadPort(r.Port, r.Size, ev)
		v = uint64(in)
	}
	if out != step.Okay {
		return out
	}
	if r.Kind == step.RepeatOut {
		return m.WritePort(r.Port, r.Size, uint32(v), ev)
	}
	return m.Write(destination, v, ev)
}
