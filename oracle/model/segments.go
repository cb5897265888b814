package model

import (
	"github.com/seed-4e121ece/ringfence/emulator/machine"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// ldtEntries is the length of the local descriptor table. An entry that a case
// does not name is empty, which for every instruction is as good as none.
const ldtEntries = 32

// localIndex returns the entry of the local descriptor table that a selector
// names (SDM vol. 3, 3.4.2).
func localIndex(selector uint16) (i int, ok bool) {
	return int(selector >> 3), selector&4 != 0 && selector>>3 < ldtEntries
}

// segments gives the machine the hidden parts of the segment registers and the
// local descriptor table of a case.
func (e *Executor) segments(b *bed, c *oracle.Case) {
	if c.State.Mode == x86.Long64 && len(c.LDT) == 0 {
		b.machine.SetLDT(nil)
		return
	}
	clear(e.ldt[:])
	if c.State.Mode != x86.Long64 {
		var all [x86.NumSegment]x86.SegmentRegister
		for s := range x86.Segment(x86.NumSegment) {
			all[s] = c.Segment(s)
			e.describe(&all[s])
		}
		b.machine.SetSegments(&all)
	}
	for i := range c.LDT {
		e.describe(&c.LDT[i])
	}
	b.machine.SetLDT(e.ldt[:])
}

// describe puts a segment's descriptor in the local table, if that is where it
// belongs.
func (e *Executor) describe(r *x86.SegmentRegister) {
	if i, ok := localIndex(r.Selector); ok {
		e.ldt[i] = pack(r)
	}
}

// pack makes a segment descriptor (SDM vol. 3, 3.4.5).
func pack(r *x86.SegmentRegister) uint64 {
	limit := uint64(r.Limit)
	if r.Attributes&x86.AttrG != 0 {
		limit >>= 12
	}
	return limit&0xffff | limit&0xf0000<<32 | r.Base&0xffffff<<16 | r.Base>>24&0xff<<56 | uint64(r.Attributes)&0xf0ff<<40
}

// derive sets what a caller derives from CS and SS once for each step: the mode
// and the width of the stack pointer, as a far branch or a load of SS may have
// changed them. Compatibility and 64-bit mode are one another's neighbours
// (SDM vol. 3, 3.4.5 on L and D).
func derive(s *x86.State, m *machine.Machine) {
	cs, ss := m.Segment(x86.CS), m.Segment(x86.SS)
	switch {
	case cs.Attributes&x86.AttrL != 0:
		s.Mode, s.StackWidth = x86.Long64, 64
		return
	case cs.Attributes&x86.AttrDB != 0:
		s.Mode = x86.Compat32
	default:
		s.Mode = x86.Compat16
	}
	s.StackWidth = 16
	if ss.Attributes&x86.AttrDB != 0 {
		s.StackWidth = 32
	}
}
