package emulator

import (
	"fmt"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// CheckPromises checks what every step promises, whatever the instruction and
// the Bus. state is the state before, out what Step returned. The error tells
// the promise that is broken; it is nil for Effects of any correct Stepper.
func CheckPromises(state *x86.State, fx *Effects, out Outcome) error {
	if out != fx.Outcome {
		return fmt.Errorf("step returned %v, effects say %v", out, fx.Outcome)
	}
	for _, check := range [...]func(*x86.State, *Effects) error{
		checkOutcome, checkStaged, checkRetire, checkAccesses, checkMemory, checkSegments, checkLocked, checkRepeat, checkInst, checkRIP,
	} {
		if err := check(state, fx); err != nil {
			return fmt.Errorf("%v: %w", out, err)
		}
	}
	return nil
}

// CheckApplied checks what Apply returned for Effects that kept the promises
// of the step: a write faults in the step that stages it (rule 3), so that
// memory refuses nothing afterwards, nor a Repeat hook the iterations that it
// has agreed to. Ports and registers may.
func CheckApplied(fx *Effects, out Outcome) error {
	if fx.Outcome != Okay || out == Okay || out == Retry {
		return nil
	}
	for i := range fx.Ops[:fx.NumOps] {
		switch fx.Ops[i].Kind {
		case step.OpWrite, step.OpWriteWide, step.OpCompareExchange, step.OpRepeat:
		default:
			return nil
		}
	}
	return fmt.Errorf("apply of a step that retired: %v, %v: what was not probed in the step, or was promised there, was refused", out, fx.Event)
}

// checkOutcome: no inside outcome escapes; an event is pending exactly with an
// exception; retire flags only with okay.
func checkOutcome(_ *x86.State, fx *Effects) error {
	switch fx.Outcome {
	case Okay, Unhandleable, Exception, Retry, Unimplemented:
	default:
		return fmt.Errorf("an inside outcome escapes")
	}
	if pending := fx.Event.Type != x86.EventNone; pending != (fx.Outcome == Exception) {
		return fmt.Errorf("event %v: pending is for exceptions alone", fx.Event)
	}
	if fx.Retire != 0 && fx.Outcome != Okay {
		return fmt.Errorf("retire flags %v without retirement", fx.Retire)
	}
	if fx.Resume {
		return fmt.Errorf("resume is the caller's to set")
	}
	if fx.Again && fx.Outcome != Okay {
		return fmt.Errorf("iterations left of an instruction that ended")
	}
	return nil
}

// checkRetire: each retire flag is there exactly for the instructions that it is
// about, which no comparison of registers could tell.
func checkRetire(state *x86.State, fx *Effects) error {
	if fx.Outcome != Okay {
		return nil
	}
	one := func(opcode uint8) bool { return fx.Inst.Map == isa.MapOne && fx.Inst.Opcode == opcode }
	want := Retire(0)
	for i := range fx.Ops[:fx.NumOps] {
		if op := &fx.Ops[i]; op.Kind == step.OpWriteSegment && op.Index == uint32(x86.SS) && !one(0xcf) {
			want |= step.RetireMovSS
		}
	}
	switch before := x86.Flags(state.RFLAGS); {
	case one(0xf4):
		want |= step.RetireHLT
	case one(0xfb) && before&x86.IF == 0:
		want |= step.RetireSTI
	case one(0xcf):
		want |= step.RetireUnblockNMI
	}
	if x86.Flags(state.RFLAGS)&x86.TF != 0 && want&step.RetireMovSS == 0 {
		want |= step.RetireSingleStep
	}
	if fx.Retire != want {
		return fmt.Errorf("retire flags %q: want %q", fx.Retire, want)
	}
	return nil
}

// checkStaged: what does not retire stages nothing, but for what its row
// leaves behind after a fault.
func checkStaged(_ *x86.State, fx *Effects) error {
	if fx.NumOps > step.MaxOps || fx.NumAccesses > step.MaxAccesses || fx.NumWide > step.MaxWide {
		return fmt.Errorf("%d operations, %d accesses, %d wide: over capacity", fx.NumOps, fx.NumAccesses, fx.NumWide)
	}
	if fx.Outcome == Okay {
		if fx.Partial {
			return fmt.Errorf("partial although it retired")
		}
		return nil
	}
	staged := fx.NumOps > 0 || fx.GPRDirty != 0 || fx.FlagsDirty || fx.FPUDirty != 0
	if staged != fx.Partial {
		return fmt.Errorf("effects are staged: %v; partial says %v", staged, fx.Partial)
	}
	if !fx.Partial {
		return nil
	}
	if fx.Outcome != Exception && fx.Outcome != Retry {
		return fmt.Errorf("partial effects")
	}
	if fx.Inst.Row == 0 || isa.Get(fx.Inst.Row).Partial == isa.PartialNone {
		return fmt.Errorf("partial effects of an instruction that leaves none")
	}
	return nil
}

// checkAccesses: a memory operand is read once and written once, which a device
// would notice and memory does not; what is to be written has been read with
// write intent, or probed, in this step.
func checkAccesses(_ *x86.State, fx *Effects) error {
	log := fx.Accesses[:fx.NumAccesses]
	for i := range log {
		a := &log[i]
		if a.Size == 0 || a.Size > 64 {
			return fmt.Errorf("access %d of %d bytes: want 1 to 64", i, a.Size)
		}
		if a.Align&(a.Align-1) != 0 || a.Check > 8 {
			return fmt.Errorf("access %d wants an alignment of %d, or %d: want a power of two", i, a.Align, a.Check)
		}
		for j := range log[:i] {
			if b := &log[j]; reads(a) && reads(b) && a.Segment == b.Segment && a.Offset == b.Offset && !twoSources(fx) {
				return fmt.Errorf("%v:%#x is read twice", a.Segment, a.Offset)
			}
		}
	}
	for i := range fx.Ops[:fx.NumOps] {
		op := &fx.Ops[i]
		switch op.Kind {
		case step.OpWrite, step.OpWriteWide, step.OpCompareExchange:
			if op.Access.Intent != step.IntentWrite && op.Access.Intent != step.IntentSystem {
				return fmt.Errorf("operation %d is a write with the intent %v", i, op.Access.Intent)
			}
			if writtenTwice(fx.Ops[:i], &op.Access) {
				return fmt.Errorf("operation %d writes %v:%#x, which another has written", i, op.Access.Segment, op.Access.Offset)
			}
			if !probed(log, &op.Access) {
				return fmt.Errorf("operation %d writes %d bytes at %v:%#x, which was not probed", i, op.Access.Size, op.Access.Segment, op.Access.Offset)
			}
		}
	}
	return nil
}

func reads(a *step.Access) bool { return a.Intent == step.IntentRead || a.Intent == step.IntentModify }

// twoSources says that the instruction has two sources in memory, which may
// coincide: CMPS, and ENTER, whose final check may meet what it copied.
func twoSources(fx *Effects) bool {
	return fx.Inst.Map == isa.MapOne && (fx.Inst.Opcode|1 == 0xa7 || fx.Inst.Opcode == 0xc8)
}

// writtenTwice says that one of the operations writes the same place.
func writtenTwice(ops []step.Op, w *step.Access) bool {
	for i := range ops {
		switch op := &ops[i]; op.Kind {
		case step.OpWrite, step.OpWriteWide, step.OpCompareExchange:
			if op.Access.Segment == w.Segment && op.Access.Offset == w.Offset {
				return true
			}
		}
	}
	return false
}

func probed(log []step.Access, w *step.Access) bool {
	for i := range log {
		a := &log[i]
		if (a.Intent == step.IntentModify || a.Intent == step.IntentWrite || a.Intent == step.IntentSystem) &&
			a.Segment == w.Segment && a.Offset == w.Offset && a.Size >= w.Size {
			return true
		}
	}
	return false
}

// checkLocked: what is locked, by prefix or by nature, changes memory by a
// compare-exchange alone, and what is not, never by one but for the bits of
// descriptors. No comparison of results could tell.
func checkLocked(_ *x86.State, fx *Effects) error {
	if fx.NumOps == 0 {
		return nil
	}
	in := &fx.Inst
	locked := in.Prefix&decode.PrefixLock != 0 || in.IsMem && isa.Get(in.Row).Attr&isa.AttrImplicitLock != 0
	for i := range fx.Ops[:fx.NumOps] {
		op := &fx.Ops[i]
		switch op.Kind {
		case step.OpWrite, step.OpWriteWide:
			if locked {
				return fmt.Errorf("operation %d of a locked instruction is a plain write", i)
			}
		case step.OpCompareExchange:
			if !locked && op.Access.Intent != step.IntentSystem {
				return fmt.Errorf("operation %d is a compare-exchange of an instruction that is not locked", i)
			}
		}
	}
	return nil
}

// checkMemory: what retires has read memory only where its row says so, and then
// for sure, and written it only where its row says so. The tables of segments are
// apart.
func checkMemory(_ *x86.State, fx *Effects) error {
	if fx.Outcome != Okay || fx.Inst.Row == 0 {
		return nil
	}
	row := isa.Get(fx.Inst.Row)
	may, must := memoryAccess(row, &fx.Inst)
	read, cached := false, false
	log := fx.Accesses[:fx.NumAccesses]
	for i := range log {
		read = read || reads(&log[i])
		cached = cached || log[i].Intent == step.IntentFetch // a cache line, CLFLUSH
	}
	counted := row.Attr&(isa.AttrRep|isa.AttrRepZ) != 0 // and the count may be 0
	switch {
	case read && may&isa.Read == 0 && log[0].Intent == step.IntentRead:
		return fmt.Errorf("%s reads memory, which its row does not", row)
	case !read && !cached && must&isa.Read != 0 && !counted:
		return fmt.Errorf("%s does not read memory, which its row does", row)
	}
	for i := range fx.Ops[:fx.NumOps] {
		op := &fx.Ops[i]
		switch op.Kind {
		case step.OpWrite, step.OpWriteWide, step.OpCompareExchange:
			if may&isa.Write == 0 && op.Access.Intent != step.IntentSystem {
				return fmt.Errorf("%s writes memory, which its row does not", row)
			}
		case step.OpCache:
			cached = !cached
		}
	}
	if cached {
		return fmt.Errorf("%s: the access to a cache line and the operation on it do not go together", row)
	}
	return nil
}

// memoryAccess joins what a row says of its operands in memory: what the
// instruction may do, and what it does whatever its operands hold.
func memoryAccess(row *isa.Row, in *decode.Inst) (may, must isa.Access) {
	join := func(o *isa.Operand) {
		switch o.Kind {
		case isa.KindRM, isa.KindMem:
			if !in.IsMem {
				return
			}
		case isa.KindMoffs, isa.KindSource, isa.KindDest, isa.KindXlat, isa.KindStack:
		default:
			return
		}
		may |= o.Access
		if o.Access&isa.Conditional == 0 {
			must |= o.Access
		}
	}
	for i := range row.Operands[:row.NumOperands] {
		join(&row.Operands[i])
	}
	for i := range row.Implicit {
		join(&row.Implicit[i])
	}
	return may, must
}

// checkSegments: a null selector loads a segment that cannot be used, any other
// in protected mode one that is there. What is hidden shows in no register.
func checkSegments(state *x86.State, fx *Effects) error {
	if state.Mode == x86.Real || state.Mode == x86.VM86 {
		return nil
	}
	for i := range fx.Ops[:fx.NumOps] {
		op := &fx.Ops[i]
		if op.Kind != step.OpWriteSegment || op.Index >= x86.NumSegment || isa.Get(fx.Inst.Row).Attr&isa.AttrSystem != 0 {
			continue // WRFSBASE and its like change a base alone
		}
		attr := op.Segment.Attributes
		if null := op.Segment.Selector&^3 == 0; null != (attr&x86.AttrUnusable != 0) || !null && attr&x86.AttrPresent == 0 {
			return fmt.Errorf("operation %d loads %#04x with the attributes %#x", i, op.Segment.Selector, attr)
		}
	}
	return nil
}

// checkInst: a decoded instruction says of map and opcode what its row says.
func checkInst(_ *x86.State, fx *Effects) error {
	in := &fx.Inst
	if fx.Outcome != Okay || in.Row == 0 {
		return nil
	}
	row := isa.Get(in.Row)
	opcode := in.Opcode
	if row.Pattern.OpcodeReg {
		opcode &^= 7
	}
	if in.Map != row.Map || opcode != row.Opcode {
		return fmt.Errorf("opcode %#x of map %d decoded as %q", in.Opcode, in.Map, row.String())
	}
	return nil
}

// checkRIP: only a branch goes elsewhere than to the next instruction, and
// only a repeated instruction stays.
func checkRIP(state *x86.State, fx *Effects) error {
	if fx.Outcome != Okay {
		return nil
	}
	if n := fx.Inst.Length; n == 0 || n > decode.MaxLength {
		return fmt.Errorf("length %d: want 1 to %d", n, decode.MaxLength)
	}
	if fx.Again {
		if fx.Inst.Prefix&(decode.PrefixRep|decode.PrefixRepne) == 0 || fx.RIP != state.RIP {
			return fmt.Errorf("rip %#x with iterations left: want a repeated instruction at %#x", fx.RIP, state.RIP)
		}
		return nil
	}
	if isa.Get(fx.Inst.Row).Attr&(isa.AttrBranch|isa.AttrFar) != 0 {
		return nil
	}
	want := state.RIP + uint64(fx.Inst.Length)
	if state.Mode != x86.Long64 {
		want &= 0xffffffff
	}
	if fx.RIP != want {
		return fmt.Errorf("rip %#x: want %#x, the next instruction", fx.RIP, want)
	}
	return nil
}
