package ptrace

import (
	"encoding/binary"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// Selectors of the user segments of Linux (arch/x86/include/asm/segment.h).
const (
	selCS64 = 0x33
	selCS32 = 0x23
	selData = 0x2b
)

// maxLDT is how many descriptors of the local descriptor table a case may use.
const maxLDT = 16

// userDesc is struct user_desc of <asm/ldt.h>: what modify_ldt(2) builds a
// descriptor from.
type userDesc struct {
	entry, base, limit, flags uint32
}

// Bits of userDesc.flags.
const (
	seg32Bit       = 1 << 0
	contents       = 1 // two bits: expand-down or conforming, then code
	readExecOnly   = 1 << 3
	limitInPages   = 1 << 4
	segNotPresent  = 1 << 5
	useable        = 1 << 6
	attrAVL        = 1 << 12
	modifyLDTWrite = 0x11 // the function that knows of useable
)

// ldt is a local descriptor table; the descriptors that are zero are not there.
// A child has one for its life, since it cannot call the kernel any more.
type ldt [maxLDT]userDesc

// tableOf returns the table of a case, or the reason why it cannot be made.
func tableOf(c *oracle.Case) (t ldt, why string) {
	if c.State.Mode != x86.Long64 {
		for s := range x86.Segment(x86.NumSegment) {
			r := c.Segment(s)
			if r.Selector&4 == 0 { // not of the local table
				continue
			}
			if why = t.add(&r); why != "" {
				return t, why
			}
		}
	}
	for i := range c.LDT {
		if why = t.add(&c.LDT[i]); why != "" {
			return t, why
		}
	}
	return t, ""
}

// add puts a descriptor into the table.
func (t *ldt) add(r *x86.SegmentRegister) string {
	n := int(r.Selector >> 3)
	if r.Selector&7 != 7 || n >= maxLDT {
		return "segments: selectors are those of the first 16 descriptors of the local table, with RPL 3"
	}
	d := userDesc{entry: uint32(n), base: uint32(r.Base), limit: r.Limit, flags: useableBit(r.Attributes)}
	if r.Attributes&x86.AttrG != 0 {
		d.limit >>= 12
		d.flags |= limitInPages
	}
	if r.Attributes&x86.AttrDB != 0 {
		d.flags |= seg32Bit
	}
	d.flags |= r.Attributes >> 2 & 3 << contents
	if r.Attributes&x86.AttrWritable == 0 {
		d.flags |= readExecOnly
	}
	if r.Attributes&x86.AttrPresent == 0 {
		d.flags |= segNotPresent
	}
	// What the kernel makes of it (fill_ldt and write_ldt in arch/x86) must be
	// what was asked for.
	if built := d.register(); built.Attributes != r.Attributes || built.Limit != r.Limit || built.Base != r.Base {
		return "segments: modify_ldt does not build that descriptor"
	}
	if d.flags>>contents&3 == 3 && d.flags&segNotPresent == 0 {
		return "segments: modify_ldt builds no present conforming code segments"
	}
	if d.base == 0 && d.limit == 0 && d.flags == readExecOnly|segNotPresent {
		return "segments: modify_ldt takes this descriptor for none"
	}
	if old := t[n]; old != (userDesc{}) && old != d {
		return "segments: two descriptors with one selector"
	}
	t[n] = d
	return ""
}

func useableBit(attributes uint32) uint32 {
	if attributes&attrAVL != 0 {
		return useable
	}
	return 0
}

// register is the segment that the kernel builds: DPL 3, accessed, no system
// segment, not 64-bit.
func (d *userDesc) register() x86.SegmentRegister {
	r := x86.SegmentRegister{Base: uint64(d.base), Limit: d.limit & 0xfffff}
	r.Attributes = x86.AttrS | 3<<x86.AttrDPLShift | x86.AttrAccessed | d.flags>>contents&3<<2
	if d.flags&readExecOnly == 0 {
		r.Attributes |= x86.AttrWritable
	}
	if d.flags&segNotPresent == 0 {
		r.Attributes |= x86.AttrPresent
	}
	if d.flags&useable != 0 {
		r.Attributes |= attrAVL
	}
	if d.flags&seg32Bit != 0 {
		r.Attributes |= x86.AttrDB
	}
	if d.flags&limitInPages != 0 {
		r.Attributes |= x86.AttrG
		r.Limit = r.Limit<<12 | 0xfff
	}
	return r
}

// bytes is the descriptor as modify_ldt reads it.
func (d *userDesc) bytes() []byte {
	var b []byte
	for _, v := range []uint32{d.entry, d.base, d.limit, d.flags} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return b
}

// unsettableSegment names the segment register that a case cannot begin with, or
// "": the tracer sets selectors, and the CPU loads them on the way to the case.
func unsettableSegment(c *oracle.Case) string {
	st := &c.State
	for s := range x86.Segment(x86.NumSegment) {
		r := c.Segment(s)
		v := st.Selector[s]
		if c.Segments != nil && r.Selector != v {
			return "segments: " + s.String() + " has another selector than the registers"
		}
		switch {
		case v <= 3:
			if s == x86.CS || s == x86.SS {
				return "segments: a null " + s.String()
			}
		case v&4 != 0:
			if why := unloadable(s, r.Attributes); why != "" {
				return why
			}
		case v != selCS64 && v != selCS32 && v != selData:
			return "segments: not a user selector of the kernel's descriptor table"
		}
	}
	return ""
}

// unloadable says why a segment register cannot hold a segment of that type (SDM
// vol. 3, 5.5 and 5.6).
func unloadable(s x86.Segment, a uint32) string {
	code, set := a&x86.AttrCode != 0, a&x86.AttrWritable != 0
	var bad bool
	switch s {
	case x86.CS:
		bad = !code
	case x86.SS:
		bad = code || !set
	default:
		bad = code && !set
	}
	if bad || a&x86.AttrPresent == 0 {
		return "segments: " + s.String() + " cannot hold a segment of that type"
	}
	return ""
}
