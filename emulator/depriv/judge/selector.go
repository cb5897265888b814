package judge

import (
	"github.com/seed-4e121ece/ringfence/emulator/depriv/wire"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// cr4FSGSBASE is CR4.FSGSBASE: WRFSBASE and WRGSBASE exist.
const cr4FSGSBASE = 1 << 16

// segment judges the load of a segment register against the descriptor that the
// Bus has shown in this step (SDM vol. 3, 5.6 to 5.8).
func (r *Record) segment(o *wire.Op) error {
	s := x86.Segment(o.Index)
	to := wire.GetSegment(o.Value[0], o.Value[1], o.Old[0])
	mode := r.State.Mode
	ok := false
	switch {
	case o.Index > uint32(x86.GS):
		ok = o.Index <= uint32(x86.IDTR) && r.State.CPL == 0
	case mode == x86.Real || mode == x86.VM86:
		from, known := r.readSegment(s)
		ok = known && to.Base == uint64(to.Selector)<<4 && to.Limit == from.Limit && to.Attributes == from.Attributes
	case r.base(s, &to):
		ok = true
	case to.Selector&^3 == 0:
		ok = r.null(s, &to)
	default:
		ok = r.described(s, &to)
	}
	if !ok {
		return refuse("%v with %+v at CPL %d: no descriptor that was read gives that", s, to, r.State.CPL)
	}
	return nil
}

// base says that nothing but the base of FS or GS is new, and that the system
// lets user code change it.
func (r *Record) base(s x86.Segment, to *x86.SegmentRegister) bool {
	from, known := r.readSegment(s)
	if !known || s != x86.FS && s != x86.GS || r.State.Mode != x86.Long64 || !r.canonical(to.Base) {
		return false
	}
	from.Base = to.Base
	if *to != from {
		return false
	}
	return r.find(func(q *wire.Question, a *wire.Answer) bool {
		return q.Kind == wire.AskReadControl && q.Offset == 4 && okay(a) && a.V[0]&cr4FSGSBASE != 0
	}) >= 0
}

// null says that a segment is what a null selector loads: one that cannot be
// used, with nothing in it or, as on AMD's CPUs, what it held before.
func (r *Record) null(s x86.Segment, to *x86.SegmentRegister) bool {
	rpl, cpl := uint8(to.Selector&3), r.State.CPL
	if s == x86.CS || s == x86.SS && (r.State.Mode != x86.Long64 || cpl == 3 || rpl != cpl) {
		return false
	}
	if *to == (x86.SegmentRegister{Selector: to.Selector, Attributes: x86.AttrUnusable}) {
		return true
	}
	from, known := r.readSegment(s)
	from.Selector = to.Selector
	from.Attributes |= x86.AttrUnusable
	return known && *to == from
}

// described says that a segment is as its descriptor says, and may be loaded.
func (r *Record) described(s x86.Segment, to *x86.SegmentRegister) bool {
	table := x86.GDTR
	if to.Selector&4 != 0 {
		table = x86.LDTR
	}
	raw, known := r.systemRead(table, uint64(to.Selector&^7), 8)
	if !known {
		return false
	}
	is := x86.UnpackDescriptor(raw)
	is.Selector = to.Selector
	is.Attributes |= x86.AttrAccessed
	return *to == is && is.Attributes&(x86.AttrPresent|x86.AttrS) == x86.AttrPresent|x86.AttrS && r.privileged(s, &is)
}

// privileged checks type and privilege levels.
func (r *Record) privileged(s x86.Segment, d *x86.SegmentRegister) bool {
	rpl, dpl, cpl := uint8(d.Selector&3), uint8(d.Attributes>>x86.AttrDPLShift&3), r.State.CPL
	code, flag := d.Attributes&x86.AttrCode != 0, d.Attributes&x86.AttrWritable != 0
	conforming := code && d.Attributes&x86.AttrExpand != 0
	switch {
	case s == x86.CS:
		both := r.State.Mode >= x86.Compat16 && d.Attributes&(x86.AttrL|x86.AttrDB) == x86.AttrL|x86.AttrDB
		return code && !both && rpl == cpl && (dpl == cpl || conforming && dpl < cpl)
	case s == x86.SS:
		return !code && flag && rpl == cpl && dpl == cpl
	case code && !flag:
		return false
	}
	return conforming || dpl >= max(rpl, cpl)
}
