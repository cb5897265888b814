package wire

import (
	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// What follows turns the emulator's words into those of the wire and back.

// PutEvent returns an event as it crosses.
func PutEvent(e *x86.Event) Event {
	return Event{uint8(e.Type), e.Vector, bit(e.HasError), e.Length, e.ErrorCode, e.Address}
}

// Get returns the event.
func (e *Event) Get() x86.Event {
	return x86.Event{
		Type: x86.EventType(e.Type), Vector: e.Vector, HasError: e.HasError != 0, ErrorCode: e.ErrorCode, Address: e.Address, Length: e.Length,
	}
}

func bit(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

// PutSegment returns a segment register in three quadwords.
func PutSegment(r *x86.SegmentRegister) (v [3]uint64) {
	return [3]uint64{uint64(r.Selector) | uint64(r.Attributes)<<32, uint64(r.Limit), r.Base}
}

// GetSegment is the inverse of PutSegment.
func GetSegment(a, b, c uint64) x86.SegmentRegister {
	return x86.SegmentRegister{Selector: uint16(a), Attributes: uint32(a >> 32), Limit: uint32(b), Base: c}
}

// PutAccess fills a question with an access.
func (q *Question) PutAccess(a *step.Access) {
	q.Size, q.Segment, q.Intent, q.Tail, q.Align, q.Check = a.Size, uint8(a.Segment), uint8(a.Intent), a.Tail, a.Align, a.Check
	q.Offset = a.Offset
}

// Access returns the access of a question.
func (q *Question) Access() step.Access {
	return step.Access{Offset: q.Offset, Size: q.Size, Segment: x86.Segment(q.Segment), Intent: step.Intent(q.Intent), Tail: q.Tail, Align: q.Align, Check: q.Check}
}

// PutAccess fills an operation with an access.
func (o *Op) PutAccess(a *step.Access) {
	o.Size, o.Segment, o.Intent, o.Tail, o.Align, o.Check = a.Size, uint8(a.Segment), uint8(a.Intent), a.Tail, a.Align, a.Check
	o.Offset = a.Offset
}

// Access returns the access of an operation.
func (o *Op) Access() step.Access {
	return step.Access{Offset: o.Offset, Size: o.Size, Segment: x86.Segment(o.Segment), Intent: step.Intent(o.Intent), Tail: o.Tail, Align: o.Align, Check: o.Check}
}

// PutState fills the request with the state of a virtual CPU.
func (r *Request) PutState(s *x86.State) {
	r.Mode, r.StackWidth, r.CPL = uint8(s.Mode), s.StackWidth, s.CPL
	r.Selector = s.Selector
	r.RIP, r.RFLAGS, r.GPR = s.RIP, s.RFLAGS, s.GPR
}

// State fills s with the state that the request carries.
func (r *Request) State(s *x86.State) {
	s.Mode, s.StackWidth, s.CPL = x86.Mode(r.Mode), r.StackWidth, r.CPL
	s.Selector = r.Selector
	s.RIP, s.RFLAGS, s.GPR = r.RIP, r.RFLAGS, r.GPR
	s.FPU = nil
}

// PutInst fills i with a decoded instruction.
func PutInst(i *Inst, in *decode.Inst) {
	*i = Inst{
		Disp: in.Disp, Imm: in.Imm, Row: uint16(in.Row), Prefix: uint16(in.Prefix), Imm2: in.Imm2,
		Err: uint8(in.Err), Length: in.Length, OpSize: in.OpSize, AddrSize: in.AddrSize, REX: in.REX, Map: uint8(in.Map), Opcode: in.Opcode,
		ModRM: in.ModRM, SIB: in.SIB, Reg: in.Reg, RM: in.RM, Segment: uint8(in.Segment), Base: in.Base, Index: in.Index, Scale: in.Scale,
		PrefixLen: in.PrefixLen, OpcodeOff: in.OpcodeOff, DispOff: in.DispOff, DispLen: in.DispLen, ImmOff: in.ImmOff, ImmLen: in.ImmLen,
		VVVV: in.VVVV, VL: in.VL, EVEX: in.EVEX, REX2: in.REX2,
		Has: bit(in.HasModRM)*hasModRM | bit(in.HasSIB)*hasSIB | bit(in.IsMem)*hasMem | bit(in.HasREX2)*hasREX2,
	}
}

// GetInst is the inverse of PutInst. Row is not checked.
func GetInst(in *decode.Inst, i *Inst) {
	*in = decode.Inst{
		Disp: i.Disp, Imm: i.Imm, Row: isa.ID(i.Row), Prefix: decode.Prefix(i.Prefix), Imm2: i.Imm2,
		Err: decode.Reason(i.Err), Length: i.Length, OpSize: i.OpSize, AddrSize: i.AddrSize, REX: i.REX, Map: isa.Map(i.Map), Opcode: i.Opcode,
		ModRM: i.ModRM, SIB: i.SIB, Reg: i.Reg, RM: i.RM, Segment: x86.Segment(i.Segment), Base: i.Base, Index: i.Index, Scale: i.Scale,
		PrefixLen: i.PrefixLen, OpcodeOff: i.OpcodeOff, DispOff: i.DispOff, DispLen: i.DispLen, ImmOff: i.ImmOff, ImmLen: i.ImmLen,
		VVVV: i.VVVV, VL: i.VL, EVEX: i.EVEX, REX2: i.REX2,
		HasModRM: i.Has&hasModRM != 0, HasSIB: i.Has&hasSIB != 0, IsMem: i.Has&hasMem != 0, HasREX2: i.Has&hasREX2 != 0,
	}
}
