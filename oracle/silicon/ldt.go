package silicon

import (
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// Segmentation at CPL 3: modify_ldt(2) builds descriptors of the local
// descriptor table. It takes a base, a limit, and these properties: 32-bit,
// data or code, expand-down or conforming, writable or readable or not, in
// pages, present, available. What it does not take (arch/x86/kernel/ldt.c,
// write_ldt and fill_ldt) has no reference on the CPU: a present conforming
// code segment, DPL below 3, a clear accessed bit, 64-bit code, system segments
// and gates.

// maxLDT is how many descriptors of the local descriptor table are used.
const maxLDT = 16

// userDesc is struct user_desc of <asm/ldt.h>.
type userDesc struct {
	entry, base, limit, flags uint32
}

// descriptor returns what modify_ldt is to be given for a descriptor, or why it
// cannot be.
func descriptor(r *x86.SegmentRegister) (d userDesc, why string) {
	a := r.Attributes
	limit := r.Limit
	if a&x86.AttrG != 0 {
		if limit&0xfff != 0xfff {
			return d, "segments: a limit in pages ends in 0xfff"
		}
		limit >>= 12
	}
	conforming := a&(x86.AttrCode|x86.AttrExpand) == x86.AttrCode|x86.AttrExpand
	switch {
	case r.Selector&7 != 7 || r.Selector>>3 >= maxLDT:
		return d, "segments: selectors are those of the first 16 descriptors of the local table, with RPL 3"
	case a&x86.AttrS == 0:
		return d, "segments: modify_ldt builds no system segments or gates"
	case a>>x86.AttrDPLShift&3 != 3:
		return d, "segments: modify_ldt builds descriptors of DPL 3 only"
	case a&x86.AttrAccessed == 0:
		return d, "segments: modify_ldt builds accessed descriptors only"
	case a&x86.AttrL != 0:
		return d, "segments: modify_ldt builds no 64-bit code segments"
	case conforming && a&x86.AttrPresent != 0:
		return d, "segments: modify_ldt builds no present conforming code segments"
	case a&^uint32(0xf|x86.AttrS|3<<x86.AttrDPLShift|x86.AttrPresent|attrAVL|x86.AttrDB|x86.AttrG) != 0:
		return d, "segments: attributes with unknown bits"
	case limit>>20 != 0:
		return d, "segments: a limit in bytes has 20 bits"
	case r.Base>>32 != 0:
		return d, "segments: a base has 32 bits"
	}
	d = userDesc{entry: uint32(r.Selector >> 3), base: uint32(r.Base), limit: limit}
	set := func(condition bool, bit uint32) {
		if condition {
			d.flags |= bit
		}
	}
	set(a&x86.AttrDB != 0, descDB)
	d.flags |= a >> 2 & 3 << descType
	set(a&x86.AttrWritable == 0, descReadExecOnly)
	set(a&x86.AttrG != 0, descPages)
	set(a&x86.AttrPresent == 0, descNotPresent)
	set(a&attrAVL != 0, descUseable)
	if d.base == 0 && d.limit == 0 && d.flags == emptyFlags {
		return d, "segments: modify_ldt takes this descriptor for none"
	}
	return d, ""
}

const attrAVL = 1 << 12

// Bits of user_desc after the limit.
const (
	descDB           = 1 << 0
	descType         = 1 // two bits: expand-down or conforming, code
	descReadExecOnly = 1 << 3
	descPages        = 1 << 4
	descNotPresent   = 1 << 5
	descUseable      = 1 << 6
)

// emptyFlags, with base and limit 0, clear an entry (LDT_empty in
// arch/x86/include/asm/desc.h).
const emptyFlags = descReadExecOnly | descNotPresent

// ldtOnly says which of a case's further descriptors cannot be built, or "".
func ldtOnly(list []x86.SegmentRegister) string {
	for i := range list {
		if _, why := descriptor(&list[i]); why != "" {
			return "ldt" + why[len("segments"):]
		}
	}
	return ""
}

// table fills the descriptors that a case has, and says which entries it names;
// two that are not the same in one entry have a reason.
func ldtOf(c *oracle.Case, t *[maxLDT]userDesc) (named uint32, why string) {
	add := func(r *x86.SegmentRegister) {
		d, _ := descriptor(r)
		if named&(1<<d.entry) != 0 && t[d.entry] != d {
			why = "segments: two descriptors with one selector"
		}
		t[d.entry] = d
		named |= 1 << d.entry
	}
	if c.State.Mode == x86.Compat16 || c.State.Mode == x86.Compat32 && c.Segments != nil {
		for s := range x86.Segment(x86.NumSegment) {
			if r := c.Segment(s); r.Selector&7 == 7 {
				add(&r)
			}
		}
	}
	for i := range c.LDT {
		add(&c.LDT[i])
	}
	return named, why
}
