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
// rt_sigreturn, exit_group); one that a test makes is reported, not made. It
// needs no privilege. It dies with its parent.
//
//	parent                       child
//	pack cases into slots   →    for each slot: windows, code, registers, run,
//	futex on header.req          state, windows, strays, number + canary
//	read once, validate     ←    header.ack; futex on header.done when idle
//
// Files: runner_*.s is the loop, slot_* what both sides share, image_* the
// executable that is built from it, child_* one process, plan.go the choice of
// how to stop, shape.go what it knows of instructions, normalise.go what is
// undone of the kernel's doing, quarantine.go what is not run.
//
// 64-bit mode with the general-purpose registers, flags, FS and GS base,
// selectors and memory. The state before a test that uses the x87 or vector
// registers is the initial one; they are not reported.
package silicon
