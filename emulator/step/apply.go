package step

import "github.com/seed-4e121ece/ringfence/emulator/x86"

// Apply carries out what a step staged: the operations in program order, then
// the registers. It returns
//
//   - Okay: the instruction (of a REP: the iteration) has happened;
//   - Retry: a compare-exchange found other bytes than the step read. Nothing
//     has changed; step again with fresh answers;
//   - Exception: the step raised Event, and what the row leaves behind on a
//     fault (rule 5) has been carried out; or an operation that cannot be
//     probed beforehand (a port, an MSR) raised it, and Event tells which.
//     RIP is unchanged;
//   - any other outcome of the step, with nothing changed, or Unhandleable
//     when the Bus refused an operation.
//
// Operations that preceded one that the Bus refuses stay carried out: a Bus
// that accepted the probe of a write keeps its word.
func (fx *Effects) Apply(state *x86.State, bus Bus) Outcome {
	if fx.Outcome != Okay && !fx.Partial {
		return fx.Outcome
	}
	for i := range fx.Ops[:fx.NumOps] {
		if out := fx.carryOut(&fx.Ops[i], bus); out != Okay {
			return fx.refused(out)
		}
		if fx.Ops[i].Kind == OpWriteSegment && fx.Ops[i].Index < x86.NumSegment {
			state.Selector[fx.Ops[i].Index] = fx.Ops[i].Segment.Selector
		}
	}
	for dirty, n := fx.GPRDirty, 0; dirty != 0; dirty, n = dirty>>1, n+1 {
		if dirty&1 != 0 {
			state.GPR[n] = fx.GPR[n]
		}
	}
	if fx.Outcome != Okay {
		return fx.Outcome
	}
	if fx.FlagsDirty {
		state.RFLAGS = fx.RFLAGS
	}
	state.RIP = fx.RIP
	return Okay
}

// refused turns a hook's answer in Apply into one that may leave it.
func (fx *Effects) refused(out Outcome) Outcome {
	switch out {
	case CmpxchgFailed, Retry:
		return Retry
	case Exception:
		if fx.Event.Type != x86.EventNone {
			return Exception
		}
	}
	return Unhandleable
}

// carryOut performs one operation.
func (fx *Effects) carryOut(op *Op, bus Bus) Outcome {
	switch op.Kind {
	case OpWrite:
		return bus.Write(op.Access, op.Value[0], &fx.Event)
	case OpCompareExchange:
		return bus.CompareExchange(op.Access, op.Old, op.Value, &fx.Event)
	case OpWriteWide:
		return bus.WriteBytes(op.Access, fx.Wide[op.Index][:op.Access.Size], &fx.Event)
	case OpWritePort:
		return bus.WritePort(uint16(op.Index), op.Access.Size, uint32(op.Value[0]), &fx.Event)
	case OpWriteSegment:
		return bus.WriteSegment(x86.Segment(op.Index), op.Segment, &fx.Event)
	case OpWriteControl:
		return bus.WriteControl(uint8(op.Index), op.Value[0], &fx.Event)
	case OpWriteDebug:
		return bus.WriteDebug(uint8(op.Index), op.Value[0], &fx.Event)
	case OpWriteXCR:
		return bus.WriteXCR(op.Index, op.Value[0], &fx.Event)
	case OpWriteMSR:
		return bus.WriteMSR(op.Index, op.Value[0], op.Value[1] != 0, &fx.Event)
	case OpCache:
		return bus.CacheOp(uint8(op.Index), op.Access, &fx.Event)
	case OpTLB:
		return bus.TLBOp(uint8(op.Index), op.Value[0], op.Value[1], &fx.Event)
	case OpRepeat:
		return bus.Repeat(fx.Repeat, &fx.Event)
	}
	return Unhandleable
}
