package ptrace

import (
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// A signal is what the kernel makes of an exception. This file says what the
// exception was, as far as that can be told, and undoes what stepping adds.
// Nothing else of what the CPU says is changed anywhere.

// Signals of Linux on x86.
const (
	sigILL  = 4
	sigTRAP = 5
	sigBUS  = 7
	sigFPE  = 8
	sigSEGV = 11
	sigSYS  = 31
)

// Values of si_code, <asm-generic/siginfo.h>.
const (
	codeKernel = 0x80 // SI_KERNEL
	segMapErr  = 1    // SEGV_MAPERR
	segAccErr  = 2    // SEGV_ACCERR
	busAlign   = 1    // BUS_ADRALN
	fpeIntDiv  = 1    // FPE_INTDIV
	illOperand = 2    // ILL_ILLOPN
	trapBreak  = 1    // TRAP_BRKPT
	trapTrace  = 2    // TRAP_TRACE
)

// flagsFixed are RFLAGS.IF and the bit that is always 1.
const flagsFixed = uint64(x86.IF | x86.FlagsFixed)

// stopped is how the child came to stop.
type stopped struct {
	signo int
	code  int
	addr  uint64 // si_addr
	rip   uint64
	flags uint64
	// how it was run, and the end of the instruction if that is known (for
	// stopContinue).
	how  stop
	next uint64
	// breakAt is where an INT3 covers a byte of the case, an offset in the
	// pages, or -1.
	breakAt int
	covered byte
	// iterations are those of a REP, by its counter from stop to stop.
	iterations uint64
	// pendingFPU is FSW.ES: an x87 exception waits.
	pendingFPU bool
}

// interpret fills Ending, Outcome, Event, Steps, RIP, RFLAGS and Unknown.
func interpret(s *stopped, o *opcode, c *oracle.Case, r *oracle.Result) {
	start := c.State.RIP
	r.Ending, r.Outcome, r.Event, r.Steps = oracle.Ended, step.Okay, x86.Event{}, 0
	r.Unknown = oracle.FieldRetire | oracle.FieldAccesses | oracle.FieldPromise
	r.State.RIP, r.State.RFLAGS = s.rip, s.flags
	narrow(c, r)
	switch {
	case s.signo == 0:
		r.Ending, r.Note = oracle.RanAway, "did not end within three ticks of the CPU-time clock"
		return
	case s.signo == sigSYS, o.entersKernel() && s.rip != start:
		r.Ending, r.Note = oracle.SystemCall, "entered the kernel"
		return
	case retired(s, o, c, r):
		r.Steps = 1
		// RF belongs to the fault of the fetch that only stopped the child.
		r.State.RFLAGS &^= uint64(x86.RF)
		return
	}
	r.Outcome = step.Exception
	if c.State.RFLAGS&uint64(x86.TF) == 0 {
		// Before POPF and IRET the kernel sets TF as if it were the child's own;
		// if they fault it is left over.
		r.State.RFLAGS &^= uint64(x86.TF)
	}
	if !event(s, o, start, r) {
		r.Outcome, r.Ending, r.Note = step.Okay, oracle.Quarantined, "the kernel raised a signal that no exception stands for"
	}
}

// stepped says that the trap flag has stopped the child. The kernel reads that off
// DR6.BS, and calls a #DB without any reason in DR6 a breakpoint, as INT1 raises
// it (exc_debug_user in arch/x86/kernel/traps.c). About once in a million steps
// the bit is missing under KVM, which intercepts #DB and raises it again; RIP is
// behind the instruction all the same.
func (s *stopped) stepped(o *opcode) bool {
	return s.signo == sigTRAP && (s.code == trapTrace || s.code == trapBreak && s.how == stopStep && !o.is(0xf1))
}

// retired recognises the stops that the tracer itself has arranged.
func retired(s *stopped, o *opcode, c *oracle.Case, r *oracle.Result) bool {
	switch {
	case s.stepped(o):
		return true
	case s.how != stopContinue:
		return false
	case s.signo == sigTRAP && s.code == codeKernel && s.rip == s.next+1:
		r.State.RIP = s.next
		return true
	case s.signo == sigSEGV && s.code != codeKernel:
		return s.rip == s.next && s.addr == s.linear(c)
	}
	return false
}

// linear is the linear address of the instruction pointer, CS being that of the
// case.
func (s *stopped) linear(c *oracle.Case) uint64 {
	if c.State.Mode == x86.Long64 {
		return s.rip
	}
	return uint64(uint32(c.SegmentBase(x86.CS) + s.rip))
}

// narrow: 32- and 16-bit code has the low halves of eight registers. What is in
// the rest after a change of mode is undefined (SDM vol. 1, 3.4.1.1).
func narrow(c *oracle.Case, r *oracle.Result) {
	if c.State.Mode == x86.Long64 {
		return
	}
	for i := range 8 {
		r.State.GPR[i] = uint64(uint32(r.State.GPR[i]))
	}
	copy(r.State.GPR[8:], c.State.GPR[8:])
}

// event translates a signal into an event; false if there is none for it.
func event(s *stopped, o *opcode, start uint64, r *oracle.Result) bool {
	length := uint8(s.rip - start)
	e := &r.Event
	switch {
	case s.signo == sigFPE && s.code == fpeIntDiv && !o.isX87() && o.escape != vector && o.escape != 0x0f:
		*e = x86.Fault(x86.VectorDE)
	case s.signo == sigFPE && (o.isX87() || o.escape == 0x0f && s.pendingFPU):
		*e = x86.Fault(x86.VectorMF)
	case s.signo == sigFPE:
		*e = x86.Fault(x86.VectorXM)
	case s.signo == sigTRAP && s.code == codeKernel && o.is(0xcd):
		*e = x86.Event{Type: x86.EventSoftwareInterrupt, Vector: x86.VectorBP, Length: length}
	case s.signo == sigTRAP && s.code == codeKernel:
		*e = x86.Event{Type: x86.EventSoftwareException, Vector: x86.VectorBP, Length: length}
	case s.signo == sigTRAP && s.code == trapBreak && o.is(0xf1):
		*e = x86.Event{Type: x86.EventPrivSoftwareException, Vector: x86.VectorDB, Length: length}
	case s.signo == sigTRAP:
		*e = x86.Event{Type: x86.EventTrap, Vector: x86.VectorDB}
	case s.signo == sigILL && s.code == illOperand:
		*e = x86.Fault(x86.VectorUD)
	case s.signo == sigBUS && s.code == busAlign:
		*e = x86.FaultCode(x86.VectorAC, 0) // its error code is always 0 (SDM vol. 3, 6.15)
	case s.signo == sigBUS && s.code == codeKernel:
		// #SS or #NP: the same signal for both.
		*e = x86.FaultCode(x86.VectorSS, 0)
		r.Unknown |= oracle.FieldErrorCode
		if o.loadsSegment() {
			r.Unknown |= oracle.FieldEvent
		}
	case s.signo == sigSEGV && s.code == codeKernel:
		general(s, o, start, r)
	case s.signo == sigSEGV && (s.code == segMapErr || s.code == segAccErr):
		*e = x86.PageFault(0, s.addr)
		r.Unknown |= oracle.FieldErrorCode
	default:
		return false
	}
	return true
}

// general tells #GP, #OF and #BR apart, which raise the same signal: #OF is a
// trap, so that RIP has moved; #BR leaves RIP where it is, as #GP does, and BOUND
// raises both.
func general(s *stopped, o *opcode, start uint64, r *oracle.Result) {
	e := &r.Event
	switch {
	case s.rip != start && o.is(0xce):
		*e = x86.Event{Type: x86.EventSoftwareException, Vector: x86.VectorOF, Length: uint8(s.rip - start)}
		return
	case s.rip != start && o.is(0xcd):
		*e = x86.Event{Type: x86.EventSoftwareInterrupt, Vector: x86.VectorOF, Length: uint8(s.rip - start)}
		return
	case o.is(0x62):
		r.Unknown |= oracle.FieldEvent
	}
	*e = x86.FaultCode(x86.VectorGP, 0)
	r.Unknown |= oracle.FieldErrorCode
}

// loadsSegment is true of what may load a segment register and so find it not
// present.
func (o *opcode) loadsSegment() bool {
	switch {
	case !o.ok || o.escape == vector:
		return false
	case o.escape == 0x0f:
		return o.value == 0xa1 || o.value == 0xa9 || o.value == 0xb2 || o.value == 0xb4 || o.value == 0xb5
	case o.escape != 0:
		return false
	}
	switch o.value {
	case 0x07, 0x17, 0x1f, 0x8e, 0x9a, 0xc4, 0xc5, 0xca, 0xcb, 0xcf, 0xea:
		return true
	case 0xff:
		return o.modrm>>3&7 == 3 || o.modrm>>3&7 == 5
	}
	return false
}
