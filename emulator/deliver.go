package emulator

import (
	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// Deliver takes an event to its handler: through the vector table in real mode,
// through an interrupt or trap gate of the IDT else, as the CPU that state is of
// does it. As in Step nothing changes; with Okay, fx.Apply makes it happen, and
// state goes on at the handler. The caller then derives mode and stack width
// anew, as after a far branch.
//
// What is pushed as the instruction pointer is state.RIP for a fault, and
// event.Length bytes behind it for all else. What comes before delivery is the
// caller's, as it is when a hypervisor injects an event (SDM vol. 3, 27.6.1.1):
// CR2 of a #PF, DR6 of a #DB.
//
// Exception means that delivery has faulted, with nothing staged; fx.Event is
// the fault on the way, and whether the two are a double fault is the caller's
// to say (SDM vol. 3, table 6-5). Task gates, handlers of another privilege
// level, the interrupt stack table and virtual-8086 mode are Unhandleable, as
// are an event without a type and a length over 15.
func (e *Emulator) Deliver(state *x86.State, bus Bus, event x86.Event, fx *Effects) Outcome {
	reset(fx)
	fx.Inst = decode.Inst{}
	bus.Begin()
	c := &e.context
	c.State, c.Bus, c.Fx = state, bus, fx
	out := c.Deliver(event)
	if out != Okay {
		return finish(fx, out)
	}
	fx.Event = x86.Event{}
	fx.Outcome = Okay
	return Okay
}
