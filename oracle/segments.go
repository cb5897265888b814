package oracle

import "github.com/seed-4e121ece/ringfence/emulator/x86"

// Selectors of the user segments of Linux (arch/x86/include/asm/segment.h).
const (
	SelectorCS32 = 0x23
	SelectorSS   = 0x2b
	SelectorCS64 = 0x33
)

// LDTSelector returns the selector of the n-th descriptor of the local
// descriptor table at privilege level 3 (SDM vol. 3, 3.4.2).
func LDTSelector(n int) uint16 { return uint16(n<<3 | 7) }

// Attributes of the segments below: S, DPL 3, present, accessed.
const (
	attrUser   = x86.AttrS | 3<<x86.AttrDPLShift | x86.AttrPresent | x86.AttrAccessed
	AttrData16 = attrUser | x86.AttrWritable
	AttrCode16 = attrUser | x86.AttrCode | x86.AttrWritable // readable
	AttrData32 = AttrData16 | x86.AttrDB | x86.AttrG
	AttrCode32 = AttrCode16 | x86.AttrDB | x86.AttrG
)

// compat16Segments are the segments of 16-bit code when a case does not say:
// code, stack and data are the default layout's pages, each from its first
// byte; FS and GS are null.
var compat16Segments = [x86.NumSegment]x86.SegmentRegister{
	x86.CS: {Selector: LDTSelector(0), Attributes: AttrCode16, Limit: 0xffff, Base: CodeBase},
	x86.SS: {Selector: LDTSelector(1), Attributes: AttrData16, Limit: 0xffff, Base: StackBase},
	x86.DS: {Selector: LDTSelector(2), Attributes: AttrData16, Limit: 0xffff, Base: DataBase},
	x86.ES: {Selector: LDTSelector(2), Attributes: AttrData16, Limit: 0xffff, Base: DataBase},
	x86.FS: {Attributes: x86.AttrUnusable},
	x86.GS: {Attributes: x86.AttrUnusable},
}

// Segment returns a segment register of a case with its hidden part: what
// Segments says, or what Linux gives a user process in that mode.
func (c *Case) Segment(s x86.Segment) x86.SegmentRegister {
	if c.Segments != nil {
		return c.Segments[s]
	}
	if c.State.Mode == x86.Compat16 {
		return compat16Segments[s]
	}
	sel := c.State.Selector[s]
	r := x86.SegmentRegister{Selector: sel, Attributes: AttrData32, Limit: 0xffffffff}
	switch {
	case s == x86.FS:
		r.Base = c.FSBase
	case s == x86.GS:
		r.Base = c.GSBase
	}
	switch {
	case sel <= 3:
		r.Attributes, r.Limit = x86.AttrUnusable, 0
	case sel == SelectorCS32:
		r.Attributes = AttrCode32
	case sel == SelectorCS64:
		r.Attributes = AttrCode32&^x86.AttrDB | x86.AttrL
	}
	return r
}

// SegmentBase returns the base of a segment: that of FS and GS in 64-bit mode
// is the case's own, of the others 0 (SDM vol. 3, 3.2.4).
func (c *Case) SegmentBase(s x86.Segment) uint64 {
	switch {
	case c.State.Mode == x86.Long64 || c.Segments == nil && c.State.Mode != x86.Compat16:
		switch s {
		case x86.FS:
			return c.FSBase
		case x86.GS:
			return c.GSBase
		}
		return 0
	case c.Segments != nil:
		return c.Segments[s].Base
	}
	return compat16Segments[s].Base
}

// CodeAddress returns the linear address of the instruction, which is RIP but
// where CS has a base.
func (c *Case) CodeAddress() uint64 {
	if c.State.Mode == x86.Long64 {
		return c.State.RIP
	}
	return uint64(uint32(c.SegmentBase(x86.CS) + c.State.RIP))
}

// DefaultStateOf is the state of a case in that mode that says nothing of it.
// In 16-bit code RIP and RSP count from the bases of the default segments.
func DefaultStateOf(m x86.Mode) x86.State {
	s := DefaultState()
	s.Mode, s.StackWidth = m, uint8(m.Width())
	switch m {
	case x86.Compat32:
		s.Selector = [x86.NumSegment]uint16{x86.CS: SelectorCS32, x86.SS: SelectorSS, x86.DS: SelectorSS, x86.ES: SelectorSS}
	case x86.Compat16:
		s.RIP, s.GPR[x86.RSP] = 0, PageSize
		for i := range compat16Segments {
			s.Selector[i] = compat16Segments[i].Selector
		}
	case x86.Real:
		s.CPL = 0
	}
	return s
}
