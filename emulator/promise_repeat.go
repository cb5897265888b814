package emulator

import (
	"fmt"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// repeatOpcodes are the string instructions that the kinds of repetition stand
// for, the form of one byte.
var repeatOpcodes = map[step.RepeatKind]uint8{
	step.RepeatMove: 0xa4, step.RepeatStore: 0xaa, step.RepeatIn: 0x6c, step.RepeatOut: 0x6e,
}

// checkRepeat: iterations that are taken at once are all that the step does, of
// a repeated string instruction that says so, no more than its counter has, and
// the registers move by as many.
func checkRepeat(state *x86.State, fx *Effects) error {
	for i := range fx.Ops[:fx.NumOps] {
		if fx.Ops[i].Kind != step.OpRepeat {
			continue
		}
		if fx.NumOps != 1 || fx.Outcome != Okay {
			return fmt.Errorf("%v: one of %d operations: want it alone, of a step that retires", fx.Repeat, fx.NumOps)
		}
		if err := checkRepeated(state, fx); err != nil {
			return fmt.Errorf("%v: %w", fx.Repeat, err)
		}
	}
	return nil
}

func checkRepeated(state *x86.State, fx *Effects) error {
	r, in := &fx.Repeat, &fx.Inst
	opcode, ok := repeatOpcodes[r.Kind]
	mask := uint64(1)<<(8*in.AddrSize&63) - 1
	if in.AddrSize == 8 {
		mask = ^uint64(0)
	}
	count := state.GPR[x86.RCX] & mask
	switch {
	case !ok || in.Map != isa.MapOne || in.Opcode&^1 != opcode || in.Prefix&(decode.PrefixRep|decode.PrefixRepne) == 0:
		return fmt.Errorf("staged by opcode %#x of map %d", in.Opcode, in.Map)
	case r.Size != elementSize(in):
		return fmt.Errorf("elements of %d bytes: want %d", r.Size, elementSize(in))
	case r.Count < 2 || r.Count > step.MaxRepeat || r.Count > count:
		return fmt.Errorf("%d iterations of %d: want 2 to %d", r.Count, count, step.MaxRepeat)
	case r.Backward != (x86.Flags(state.RFLAGS)&x86.DF != 0):
		return fmt.Errorf("backward: %v, against DF", r.Backward)
	case x86.Flags(state.RFLAGS)&x86.TF != 0:
		return fmt.Errorf("TF asks for a trap after each iteration")
	case fx.Again != (r.Count < count):
		return fmt.Errorf("%d iterations of %d, iterations left: %v", r.Count, count, fx.Again)
	}
	for _, p := range []struct {
		used     bool
		register uint8
		at       *step.Access
		intent   step.Intent
	}{{r.Kind.Reads(), x86.RSI, &r.Source, step.IntentRead}, {r.Kind.Writes(), x86.RDI, &r.Destination, step.IntentWrite}} {
		if err := checkOperand(state, fx, p.register, p.at, p.intent, mask); p.used && err != nil {
			return err
		}
	}
	if left := (count - r.Count) & mask; !moved(fx, x86.RCX, left, mask) {
		return fmt.Errorf("the counter is not %d afterwards", left)
	}
	return nil
}

// elementSize is the width that opcode and operand size give.
func elementSize(in *decode.Inst) uint8 {
	switch {
	case in.Opcode&1 == 0:
		return 1
	case in.Opcode&0xf0 == 0x60:
		return min(in.OpSize, 4)
	}
	return in.OpSize
}

// checkOperand checks an operand in memory: it is where its register points,
// does not wrap, and moves the register; its first access is in the log.
func checkOperand(state *x86.State, fx *Effects, register uint8, at *step.Access, intent step.Intent, mask uint64) error {
	r := &fx.Repeat
	size := uint64(r.Size)
	offset, by, distance := state.GPR[register]&mask, r.Count*size, (r.Count-1)*size
	name := x86.GPRName(register, 8)
	wraps := mask-offset < size-1
	if r.Backward {
		by = -by
		wraps = wraps || offset < distance
	} else {
		wraps = wraps || mask-offset-(size-1) < distance
	}
	switch {
	case at.Offset != offset || at.Size != r.Size || at.Intent != intent:
		return fmt.Errorf("%v %d bytes at %#x: want %v of %d at %s, %#x", at.Intent, at.Size, at.Offset, intent, r.Size, name, offset)
	case wraps:
		return fmt.Errorf("the operand at %s, %#x, wraps", name, offset)
	case !moved(fx, register, (offset+by)&mask, mask):
		return fmt.Errorf("%s is not moved by as many", name)
	}
	for i := range fx.Accesses[:fx.NumAccesses] {
		if fx.Accesses[i] == *at {
			return nil
		}
	}
	return fmt.Errorf("the access at %s, %#x, is not in the log", name, offset)
}

// moved says whether a register is staged with that value, in the width of the
// address size.
func moved(fx *Effects, register uint8, value, mask uint64) bool {
	return fx.GPRDirty>>register&1 != 0 && fx.GPR[register]&mask == value
}
