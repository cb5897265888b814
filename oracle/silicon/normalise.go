package silicon

import (
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// What a user process sees of the CPU goes through the kernel. This file undoes
// what the kernel adds, rule by rule; nothing else of what the CPU says is
// changed anywhere.

// Signals of Linux on x86.
const (
	sigILL  = 4
	sigTRAP = 5
	sigBUS  = 7
	sigFPE  = 8
	sigSEGV = 11
	sigALRM = 14
	sigSYS  = 31
)

// Kinds of answer.
const (
	kindLanded  = 1 // the landing pad was reached
	kindSignal  = 2 // a signal arrived; signo says which
	kindRefused = 3 // the kernel refused a descriptor; nothing ran
)

// answer is what the child says of one case, read from shared memory once.
type answer struct {
	kind   uint64
	signo  uint64
	code   uint64 // si_code
	trap   uint64
	err    uint64
	cr2    uint64
	rip    uint64
	rflags uint64
}

const kernelForced = 1<<47 - 4096 // TASK_SIZE_MAX with four-level paging

const (
	flagTF = uint64(x86.TF)
	flagRF = uint64(x86.RF)
)

// interpret fills Ending, Outcome, Event, Steps, State.RIP and State.RFLAGS of a
// result. RIP of an INT3, INT1 or an INT n that is delivered is that after the
// instruction; the event carries the length.
func interpret(a *answer, p *plan, c *oracle.Case, r *oracle.Result) {
	r.Ending, r.Outcome, r.Event, r.Steps = oracle.Ended, step.Okay, x86.Event{}, 0
	normalRegisters(p, c, r)
	if c.State.Mode == x86.Long64 && r.State.Selector[x86.CS] != c.State.Selector[x86.CS] {
		// A far branch out of 64-bit code leaves 32 bits of RSP to be seen; what
		// becomes of the others is undefined (SDM vol. 1, 3.4.1.1).
		r.Unknown |= oracle.FieldStackHigh
	}
	r.State.RIP = a.rip
	r.State.RFLAGS = normalFlags(a, p, c, false)
	if a.kind == kindSignal && a.signo == sigALRM {
		r.Ending, r.Note = oracle.RanAway, "did not end within two ticks of the CPU-time clock"
		return
	}
	if entersKernel(&p.sh) && (a.kind == kindLanded || a.rip != c.State.RIP) {
		// The filter of system calls lets nothing through, but Linux has calls
		// that no filter sees (uprobe, uretprobe).
		r.Ending, r.Note = oracle.SystemCall, "entered the kernel"
		return
	}
	if a.kind == kindLanded {
		r.State.RFLAGS = normalFlags(a, p, c, true)
		r.Steps = 1
		return
	}
	if a.signo == sigSYS {
		// From code in the kernel's vsyscall page, or bytes that are not known.
		r.Ending, r.Note = oracle.SystemCall, "entered the kernel"
		return
	}
	if !signalFits(a) {
		r.Ending, r.Note = oracle.Quarantined, "the kernel raised the signal, as for a state component that it has not enabled"
		return
	}
	if retired(a, p, c, r) {
		r.State.RFLAGS = normalFlags(a, p, c, true)
		r.Steps = 1
		return
	}
	r.Outcome = step.Exception
	r.Event = event(a, p, c, r)
}

// normalRegisters: 32- and 16-bit code does not see the upper halves of the
// registers, nor R8 to R15; what they hold after a switch of modes is undefined
// (SDM vol. 1, 3.4.1.1), so that they are as in the case. Iterations of a REP
// are told by the counter, which has the width of the address size.
func normalRegisters(p *plan, c *oracle.Case, r *oracle.Result) {
	if c.State.Mode != x86.Long64 {
		for i := range 8 {
			r.State.GPR[i] = uint64(uint32(r.State.GPR[i]))
		}
		copy(r.State.GPR[8:], c.State.GPR[8:])
	}
	r.Iterations = 0
	if p.sh.uses&repeats != 0 {
		r.Iterations = c.State.GPR[x86.RCX] - r.State.GPR[x86.RCX]
		switch p.sh.addrBytes {
		case 2:
			r.Iterations = uint64(uint16(r.Iterations))
		case 4:
			r.Iterations = uint64(uint32(r.Iterations))
		}
	}
}

// entersKernel is true of SYSCALL, SYSENTER and INT 80h.
func entersKernel(s *shape) bool {
	return s.opmap == map0F && !s.vex && (s.opcode == 0x05 || s.opcode == 0x34) || s.class == classINT && uint8(s.immediate) == 0x80
}

// signalFits says that a signal stands for the exception whose number came with
// it. Where the kernel raises a signal of its own accord (AMX without its
// permission: SIGILL, ILL_ILLOPC), the number is that of an earlier exception.
func signalFits(a *answer) bool {
	const illOperand = 2 // ILL_ILLOPN, what #UD gives
	switch a.trap {
	case x86.VectorDE, x86.VectorMF, x86.VectorXM:
		return a.signo == sigFPE
	case x86.VectorDB, x86.VectorBP:
		return a.signo == sigTRAP
	case x86.VectorUD:
		return a.signo == sigILL && a.code == illOperand
	case x86.VectorNP, x86.VectorSS, x86.VectorAC:
		return a.signo == sigBUS
	}
	return a.signo == sigSEGV
}

// normalFlags: TF is the harness's own where the case did not ask for it and
// the instruction, if it retired, cannot have set it. RF, which the CPU sets in
// the image that a fault saves (SDM vol. 3, 17.3.1.1), stays if there was a
// fault, since the comparison has a rule for it; a fault that only stopped a
// retired instruction was not its own, nor is RF.
func normalFlags(a *answer, p *plan, c *oracle.Case, retired bool) uint64 {
	f := a.rflags
	if p.stop == StopTrap && c.State.RFLAGS&flagTF == 0 && !(retired && loadsFlags(&p.sh)) {
		f &^= flagTF
	}
	if retired {
		f &^= flagRF
	}
	return f
}

// loadsFlags is true of POPF and IRET.
func loadsFlags(s *shape) bool {
	return s.opmap == mapOne && !s.vex && (s.opcode == 0x9d || s.opcode == 0xcf)
}

// trapInPad is RIP when the instruction has set TF: the trap comes after the
// pad's jump.
func (p *plan) trapInPad() uint64 { return p.pads.of(p.pad) }

// retired recognises the traps that the harness has set to learn that the
// instruction is over.
func retired(a *answer, p *plan, c *oracle.Case, r *oracle.Result) bool {
	start := c.State.RIP
	switch a.trap {
	case x86.VectorDB:
		switch {
		case p.sh.class == classINT1 && a.rip == p.next:
			return false
		case p.stop == StopTrap:
			return true
		case p.stop == StopPad && a.rip == p.trapInPad():
			// The instruction set TF: the trap came after the pad's jump.
			r.State.RIP = p.next
			r.State.Selector[x86.CS] = c.State.Selector[x86.CS]
			return true
		}
	case x86.VectorBP:
		// INT3 of the fill; RIP is behind it. The instruction under test may
		// itself be INT3 or INT 3.
		if (p.sh.class == classINT3 || p.sh.class == classINT && p.sh.immediate == 3) && a.rip == p.next {
			return false
		}
		if a.rip-1 == start { // the fill itself was the instruction
			return false
		}
		r.State.RIP = a.rip - 1
		return true
	case x86.VectorPF:
		// The fetch behind the instruction failed: at the end of the code
		// pages, or where a branch went.
		return a.err&x86.PFFetch != 0 && a.cr2 == p.landed(c, r.State.Selector[x86.CS], a.rip) && a.rip != start
	case x86.VectorGP:
		// The next instruction would begin beyond the limit of CS.
		return a.err == 0 && a.rip != start && a.rip > p.limit
	}
	return false
}

// landed is the linear address of RIP behind an instruction that may have loaded
// CS.
func (p *plan) landed(c *oracle.Case, selector uint16, rip uint64) uint64 {
	if selector == c.State.Selector[x86.CS] {
		return p.linear(c, rip)
	}
	for i := range c.LDT {
		if c.LDT[i].Selector == selector {
			return uint64(uint32(c.LDT[i].Base + rip))
		}
	}
	return rip // the kernel's segments
}

// event translates a trap number, error code and CR2.
func event(a *answer, p *plan, c *oracle.Case, r *oracle.Result) x86.Event {
	soft := func(t x86.EventType, v uint8) x86.Event {
		return x86.Event{Type: t, Vector: v, Length: uint8(p.sh.length)}
	}
	switch {
	case p.sh.class == classINT && openGate(a.trap, p.sh.immediate):
		// The kernel's gates have DPL 0 but for those of #BP and #OF: INT n is
		// refused with #GP(8n+2), which stays; the comparison has a rule for it.
		return soft(x86.EventSoftwareInterrupt, uint8(a.trap))
	case a.trap == x86.VectorOF && p.sh.opmap == mapOne && p.sh.opcode == 0xce:
		return soft(x86.EventSoftwareException, x86.VectorOF) // INTO
	case a.trap == x86.VectorBP:
		e := soft(x86.EventSoftwareException, x86.VectorBP)
		if p.sh.class != classINT3 {
			e.Length = 1 // empty code: the fill was executed
		}
		return e
	case p.sh.class == classINT1 && a.trap == x86.VectorDB:
		return soft(x86.EventPrivSoftwareException, x86.VectorDB)
	case a.trap == x86.VectorDB:
		return x86.Event{Type: x86.EventTrap, Vector: x86.VectorDB}
	case a.trap == x86.VectorPF:
		// For an address beyond the user's half the kernel always reports a
		// present page, to hide its own page tables (sanitize_error_code in
		// arch/x86/mm/fault.c). In a case nothing is mapped there.
		err := uint32(a.err)
		if a.cr2 >= kernelForced {
			err &^= x86.PFPresent
		}
		return x86.PageFault(err, a.cr2) // CR2 is stale for every other vector
	}
	switch a.trap {
	case x86.VectorDF, x86.VectorTS, x86.VectorNP, x86.VectorSS, x86.VectorGP, x86.VectorAC, x86.VectorCP:
		return x86.FaultCode(uint8(a.trap), uint32(a.err))
	}
	return x86.Fault(uint8(a.trap))
}

// openGate says that INT n arrived as itself.
func openGate(trap uint64, n int64) bool {
	return trap == uint64(uint8(n)) && (trap == x86.VectorBP || trap == x86.VectorOF)
}

// nullSelector: the null selectors 1 to 3 become 0 whenever the kernel is
// entered (SDM vol. 3, IRET: a return to an outer level clears them), be it only
// by a timer: all four are reported as 0.
func nullSelector(v uint16) uint16 {
	if v <= 3 {
		return 0
	}
	return v
}
