package machine

import (
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// Attributes of the segments that a machine starts with: present, accessed, at
// DPL 3.
const (
	attrData = x86.AttrPresent | x86.AttrS | 3<<x86.AttrDPLShift | x86.AttrWritable | x86.AttrAccessed
	attrCode = attrData | x86.AttrCode
)

// flatSegments gives each segment base 0 and a limit of 4 GiB, CS 64 bits.
func (m *Machine) flatSegments() {
	for s := x86.ES; s <= x86.GS; s++ {
		m.segments[s] = x86.SegmentRegister{Attributes: attrData | x86.AttrDB | x86.AttrG, Limit: 0xffffffff}
	}
	m.segments[x86.CS].Attributes = attrCode | x86.AttrL | x86.AttrG
}

// segmented checks an access against its segment outside 64-bit mode (SDM vol.
// 3, 5.3 and 5.5) and returns the linear address, which has 32 bits.
func (m *Machine) segmented(a *step.Access, ev *x86.Event) (uint64, bool) {
	if a.Segment > x86.GS {
		return m.system(a, ev)
	}
	s := &m.segments[a.Segment]
	if !allowed(s, a.Intent, m.protected()) {
		*ev = segmentFault(a.Segment)
		return 0, false
	}
	first, last := a.Offset, a.Offset+uint64(a.Size)-1
	if isExpandDown(s) {
		top := uint64(0xffff)
		if s.Attributes&x86.AttrDB != 0 {
			top = 0xffffffff
		}
		if first <= uint64(s.Limit) || last > top {
			*ev = segmentFault(a.Segment)
			return 0, false
		}
	} else if last > uint64(s.Limit) && !isFlat(s) {
		*ev = segmentFault(a.Segment)
		return 0, false
	}
	return uint64(uint32(s.Base + a.Offset)), true
}

// system checks an access to a descriptor table or the TSS outside 64-bit mode,
// or to a linear address. Those have 64 bits in compatibility mode too.
func (m *Machine) system(a *step.Access, ev *x86.Event) (uint64, bool) {
	linear, ok := a.Offset, true
	if a.Segment <= x86.IDTR {
		if linear, ok = m.descriptorTable(a); !ok {
			*ev = x86.Event{}
		}
	}
	if m.state.Mode != x86.Compat16 && m.state.Mode != x86.Compat32 {
		linear = uint64(uint32(linear))
	}
	return linear, ok
}

// isFlat says that a segment is the whole of the 32-bit address space. What
// happens at its end is not architectural (SDM vol. 3, 5.3): CPUs go on at
// address 0, as they do not where the base is another.
func isFlat(s *x86.SegmentRegister) bool { return s.Base == 0 && s.Limit == 0xffffffff }

func isExpandDown(s *x86.SegmentRegister) bool {
	return s.Attributes&(x86.AttrS|x86.AttrCode|x86.AttrExpand) == x86.AttrS|x86.AttrExpand
}

// protected says whether segments have types: not in real and virtual-8086
// mode.
func (m *Machine) protected() bool { return m.state.Mode != x86.Real && m.state.Mode != x86.VM86 }

// allowed says whether the segment's type allows the access.
func allowed(s *x86.SegmentRegister, intent step.Intent, protected bool) bool {
	if s.Attributes&x86.AttrUnusable != 0 {
		return false
	}
	if !protected {
		return true
	}
	code, flag := s.Attributes&x86.AttrCode != 0, s.Attributes&x86.AttrWritable != 0
	switch intent {
	case step.IntentModify, step.IntentWrite:
		return !code && flag
	case step.IntentFetch:
		return true
	default:
		return !code || flag
	}
}

// descriptorTable checks a system access in 64-bit mode: to the tables and
// segments that have a limit there too. Beyond it, the answer is an exception
// without event, and the emulator picks the fault.
func (m *Machine) descriptorTable(a *step.Access) (uint64, bool) {
	s := &m.segments[a.Segment]
	if a.Offset+uint64(a.Size)-1 > uint64(s.Limit) || s.Attributes&x86.AttrUnusable != 0 {
		return 0, false
	}
	return s.Base + a.Offset, true
}

// table returns the descriptor table that a segment register stands for, where
// it is no part of the memory; else nil.
func (m *Machine) table(s x86.Segment) []uint64 {
	switch s {
	case x86.GDTR:
		return m.gdt
	case x86.LDTR:
		return m.ldt
	}
	return nil
}

// descriptor returns the entry of a table that an access of eight bytes means;
// an exception without an event is one beyond the limit.
func (m *Machine) descriptor(table []uint64, a *step.Access, ev *x86.Event) (*uint64, step.Outcome) {
	if i := a.Offset / 8; a.Offset%8 == 0 && a.Size == 8 && i < uint64(len(table)) {
		return &table[i], step.Okay
	}
	*ev = x86.Event{}
	return nil, step.Exception
}

// SetSegments sets the hidden parts of ES to GS for a mode with segmentation;
// the caller sets the visible parts in its State. It follows Load.
func (m *Machine) SetSegments(r *[x86.NumSegment]x86.SegmentRegister) {
	copy(m.segments[:], r[:])
}

// attrLDT are the attributes of a local descriptor table that is in use.
const attrLDT = x86.AttrPresent | 2

// SetLDT gives the case a local descriptor table, which is no part of the
// memory and which the machine changes (accessed bits). nil is none: LDTR is
// null. It follows Load.
func (m *Machine) SetLDT(table []uint64) {
	m.ldt = table
	m.segments[x86.LDTR] = x86.SegmentRegister{Attributes: x86.AttrUnusable}
	if table != nil {
		m.segments[x86.LDTR] = x86.SegmentRegister{Selector: selectorLDT, Attributes: attrLDT, Limit: uint32(8*len(table) - 1)}
	}
}

// selectorLDT names the descriptor of the local table in the global one.
const selectorLDT = 0x50
