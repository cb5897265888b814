package silicon

import (
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

const intFlag = uint64(x86.IF | x86.FlagsFixed)

// settable are the flags that a case may choose: those of POPF at CPL 3.
const settable = uint64(x86.FlagsUser)

// Selectors of the user segments of Linux.
const (
	SelectorCS64 = oracle.SelectorCS64
	SelectorSS   = oracle.SelectorSS
	selectorCS32 = oracle.SelectorCS32
)

// unsupported names the field of a case that a CPU under a user process cannot
// take, or "".
func unsupported(c *oracle.Case) string {
	st := &c.State
	switch {
	case len(c.Extra) > 0:
		return c.Extra[0]
	case st.CPL != 3:
		return "cpl: a user process runs at 3"
	case c.Steps > 1:
		return "steps: one instruction a case"
	case st.RFLAGS&^settable != intFlag:
		return "rflags: IF must be 1, IOPL, RF, VM, VIF and VIP 0, reserved bits fixed"
	case c.CodeLen > uint8(len(c.Code)):
		return "code: longer than its array"
	}
	if st.FPU != nil {
		if why := unsupportedFPU(st.FPU); why != "" {
			return why
		}
	}
	switch st.Mode {
	case x86.Long64:
		return unsupported64(c)
	case x86.Compat32, x86.Compat16:
		return unsupportedCompat(c)
	}
	return "mode: a user process under a 64-bit kernel has long64, compat32 and compat16"
}

func unsupported64(c *oracle.Case) string {
	st := &c.State
	switch {
	case c.Segments != nil:
		return "segments: in 64-bit mode only selectors, fsbase and gsbase"
	case st.Selector[x86.CS] != SelectorCS64:
		return "cs: the kernel's 64-bit user code selector is 0x33"
	case st.Selector[x86.SS] != SelectorSS:
		return "ss: the kernel's user data selector is 0x2b"
	case !canonical(c.FSBase) || !canonical(c.GSBase):
		return "fsbase, gsbase: not canonical"
	}
	return unsupportedSelectors(c)
}

func unsupportedSelectors(c *oracle.Case) string {
	for _, s := range [...]x86.Segment{x86.DS, x86.ES, x86.FS, x86.GS} {
		switch v := c.State.Selector[s]; {
		case v <= 3, v == SelectorCS64, v == SelectorSS, v == selectorCS32:
		default:
			return "segments: not a user selector of the kernel's descriptor table"
		}
	}
	return ldtOnly(c.LDT)
}

// unsupportedCompat is for 32- and 16-bit code.
func unsupportedCompat(c *oracle.Case) string {
	st := &c.State
	for i, v := range st.GPR {
		if v>>32 != 0 && i < 8 {
			return "registers: 32 bits outside 64-bit mode"
		}
	}
	if st.RIP>>32 != 0 {
		return "rip: 32 bits outside 64-bit mode"
	}
	if c.Segments == nil && st.Mode == x86.Compat32 {
		switch {
		case st.Selector[x86.CS] != selectorCS32:
			return "cs: the kernel's 32-bit user code selector is 0x23; others need segments"
		case st.Selector[x86.SS] != SelectorSS:
			return "ss: the kernel's user data selector is 0x2b; others need segments"
		case st.StackWidth != 32:
			return "ss: the kernel's user stack is 32 bits wide"
		case c.FSBase>>32 != 0 || c.GSBase>>32 != 0:
			return "fsbase, gsbase: 32 bits outside 64-bit mode"
		}
		return unsupportedSelectors(c)
	}
	for s := range x86.Segment(x86.NumSegment) {
		r := c.Segment(s)
		if r.Selector != st.Selector[s] {
			return "segments: " + s.String() + " has another selector than the registers"
		}
		if why := loadable(s, &r); why != "" {
			return why
		}
	}
	cs, ss := c.Segment(x86.CS), c.Segment(x86.SS)
	width := uint8(16)
	if ss.Attributes&x86.AttrDB != 0 {
		width = 32
	}
	switch {
	case (cs.Attributes&x86.AttrDB != 0) != (st.Mode == x86.Compat32):
		return "segments: D of cs and the mode differ"
	case st.StackWidth != width:
		return "segments: B of ss and the width of the stack differ"
	case st.RIP > uint64(cs.Limit):
		return "rip: beyond the limit of cs"
	case c.FSBase != c.Segment(x86.FS).Base || c.GSBase != c.Segment(x86.GS).Base:
		return "fsbase, gsbase: not as in segments"
	}
	return ldtOnly(c.LDT)
}

// loadable says why a segment register cannot be loaded with a segment before
// the case, or "". SDM vol. 3, 5.4 and 5.6.
func loadable(s x86.Segment, r *x86.SegmentRegister) string {
	a := r.Attributes
	code, set := a&x86.AttrCode != 0, a&x86.AttrWritable != 0
	switch {
	case r.Selector <= 3:
		if s == x86.CS || s == x86.SS {
			return "segments: a null " + s.String()
		}
		if a&x86.AttrUnusable == 0 || r.Base != 0 {
			return "segments: a null selector makes the segment unusable, base 0"
		}
		return ""
	case a&x86.AttrPresent == 0 || a&x86.AttrUnusable != 0:
		return "segments: " + s.String() + " is loaded, so its descriptor is present and usable"
	case s == x86.CS && !code, s == x86.SS && (code || !set), code && !set && s != x86.CS:
		return "segments: " + s.String() + " cannot be of that type"
	}
	if global := globalSegment(r.Selector); global != nil {
		if r.Base != 0 || r.Limit != global.Limit || r.Attributes != global.Attributes {
			return "segments: not as in the kernel's descriptor table"
		}
		return ""
	}
	_, why := descriptor(r)
	return why
}

// globalSegment is the user segment of the kernel's table with that selector,
// or nil. 64-bit code is not there: it is no segment for 32- or 16-bit code.
func globalSegment(selector uint16) *x86.SegmentRegister {
	switch selector {
	case selectorCS32:
		return &x86.SegmentRegister{Attributes: oracle.AttrCode32, Limit: 0xffffffff}
	case SelectorSS:
		return &x86.SegmentRegister{Attributes: oracle.AttrData32, Limit: 0xffffffff}
	}
	return nil
}

// unsupportedFPU says what of a case's vector state cannot be loaded, or "".
func unsupportedFPU(f *x86.FPU) string {
	switch {
	case f.Loaded&oracle.ComponentsBasic != oracle.ComponentsBasic:
		return "fpu: x87 and SSE state go together"
	case f.Loaded&^vectorComponents() != 0:
		return "fpu: a component that this CPU or kernel does not have"
	case f.MXCSR>>16 != 0:
		return "mxcsr: reserved bits"
	}
	return ""
}

// canonical with the 48-bit addresses that every CPU has; a base beyond them is
// not asked for.
func canonical(v uint64) bool { return uint64(int64(v<<16)>>16) == v }
