// Package ptrace asks the CPU the slow and simple way: a child that is stopped
// between cases is given registers by ptrace(2), makes one step, and is asked
// for its registers. It is some fifty times slower than the runner of package
// silicon and shares no code with it, neither machine code nor tables nor
// rules: it is there to check the runner, and to answer by itself where that is
// fast enough.
//
//	tracer (a thread of its own)      child (stopped)
//	windows and code → shared pages
//	SETREGSET xstate, SETREGS      →  registers
//	SINGLESTEP (or CONT)           →  one instruction, then a signal that stops it
//	wait4, GETSIGINFO, GETREGS     ←  what happened
//	windows ← shared pages, the rest compared and put back
//
// Once it is set up, the child has mapped nothing but the pages of the layout:
// not even a loader. A filter refuses every system call. No signal is ever
// delivered to it: each stops it and is discarded by the tracer.
//
// Limits. A signal says less than the exception did: the error code is never
// known, the vector not always (normalise.go has the rules). The trap flag is
// how it steps, so that what shows or delays the trap flag is run up to a
// breakpoint instead (stop.go). It has no quarantine list: what the runner
// refuses to run because it depends on the machine is run here.
package ptrace
