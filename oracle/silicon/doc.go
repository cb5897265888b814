// Package silicon asks the CPU: it runs single instructions in user mode and
// reports the state that they leave.
//
// A child process holds nothing but the pages of a layout and a runner, a loop
// of machine code that takes cases from shared memory. It writes code and
// windows through a second mapping, loads the registers, jumps to the
// instruction, and takes the state back: from a landing pad behind the
// instruction, or from the signal frame if something was raised. Then it puts
// memory back and looks for stray writes. No instruction under test runs in the
// process that uses this package.
//
// The child can make no system call but those of the runner's own text (futex,
// modify_ldt, rt_sigreturn, exit_group); one that a test makes is reported, not
// made. It needs no privilege. It dies with its parent.
//
//	parent                       child
//	pack cases into slots   →    for each slot: windows, code, registers, run,
//	futex on header.req          state, windows, strays, number + canary
//	read once, validate     ←    header.ack; futex on header.done when idle
//
// Modes: 64-bit code, 32-bit code (the kernel's flat segments, or segments of
// the case's own) and 16-bit protected-mode code, the last two with descriptors
// that modify_ldt(2) builds in the child's local table. A case says the
// general-purpose registers, flags, selectors, FS and GS base and memory; if it
// has State.FPU, the x87, XMM, YMM, ZMM and opmask registers too, which costs
// some 300 ns more. Otherwise these are initial for instructions that use them,
// and not reported.
//
// Stops: an instruction whose length is known runs into a landing pad and no
// kernel is entered; a branch stops at the INT3 that fills the code pages, or at
// the fault of its fetch; where the length is not known, the CPU finds it by
// faulting at the end of a page; the trap flag is left for what nothing else
// stops. Decoder offers validity and length by themselves.
//
// Files: runner_*.s is the loop, slot_* what both sides share, image_* the
// executable that is built from it, child_* one process, executor_* the batches,
// grow_* lengths by page fault, decoder_* on top of it, supported.go and ldt.go
// what a case may ask for, plan.go the choice of how to stop, pad.go the landing
// pads, shape.go what is known of instructions, fpu.go the vector state,
// normalise.go what is undone of the kernel's doing, quarantine.go what is not
// run.
package silicon
