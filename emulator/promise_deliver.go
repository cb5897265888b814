package emulator

import (
	"fmt"

	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// CheckDelivered checks what every delivery of an event promises, as
// CheckPromises does for steps.
func CheckDelivered(state *x86.State, fx *Effects, out Outcome) error {
	if out != fx.Outcome {
		return fmt.Errorf("deliver returned %v, effects say %v", out, fx.Outcome)
	}
	for _, check := range [...]func(*x86.State, *Effects) error{
		checkOutcome, checkStaged, checkAccesses, checkLocked, checkNothingRuns, checkFrame, checkFlags,
	} {
		if err := check(state, fx); err != nil {
			return fmt.Errorf("delivery, %v: %w", out, err)
		}
	}
	return nil
}

// checkNothingRuns: no instruction retires, none is left to go on.
func checkNothingRuns(_ *x86.State, fx *Effects) error {
	if fx.Retire != 0 || fx.Again || fx.Partial || fx.FPUDirty != 0 || fx.Inst.Row != 0 {
		return fmt.Errorf("retire flags %v, again %v, partial %v, fpu %#x, row %d: want none of an instruction", fx.Retire, fx.Again, fx.Partial, fx.FPUDirty, fx.Inst.Row)
	}
	return nil
}

// checkFrame: three to six values go to the stack, then CS changes, to the same
// privilege level; the stack pointer is the only register. The descriptor's
// accessed bit may come first.
func checkFrame(state *x86.State, fx *Effects) error {
	if fx.Outcome != Okay {
		return nil
	}
	ops := fx.Ops[:fx.NumOps]
	if len(ops) > 0 && ops[0].Kind == step.OpCompareExchange {
		ops = ops[1:]
	}
	if len(ops) < 4 || len(ops) > 7 || fx.GPRDirty != 1<<x86.RSP {
		return fmt.Errorf("%d operations, registers %#x: want 3 to 6 values pushed, and CS", len(ops), fx.GPRDirty)
	}
	for i := range ops[:len(ops)-1] {
		if op := &ops[i]; op.Kind != step.OpWrite || op.Access.Segment != x86.SS && op.Access.Segment != x86.SegNone {
			return fmt.Errorf("operation %d of kind %d through %v: want a write to the stack", i, op.Kind, op.Access.Segment)
		}
	}
	cs := &ops[len(ops)-1]
	if cs.Kind != step.OpWriteSegment || cs.Index != uint32(x86.CS) {
		return fmt.Errorf("the last operation is of kind %d: want a write of CS", cs.Kind)
	}
	if state.Mode != x86.Real && uint8(cs.Segment.Selector&3) != state.CPL {
		return fmt.Errorf("CS %#x: want RPL %d", cs.Segment.Selector, state.CPL)
	}
	return nil
}

// checkFlags: flags are cleared, and only those that delivery clears.
func checkFlags(state *x86.State, fx *Effects) error {
	if !fx.FlagsDirty {
		return nil
	}
	cleared := x86.IF | x86.TF | x86.NT | x86.RF | x86.VM
	if state.Mode == x86.Real {
		cleared = x86.IF | x86.TF | x86.RF | x86.AC
	}
	if changed := x86.Flags(fx.RFLAGS ^ state.RFLAGS); changed&^cleared != 0 || changed&x86.Flags(fx.RFLAGS) != 0 {
		return fmt.Errorf("flags %v, were %v: want some of %v cleared", x86.Flags(fx.RFLAGS), x86.Flags(state.RFLAGS), cleared)
	}
	return nil
}
