package gen

import (
	"sync"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// Segmentation of 32- and 16-bit code. Loading a descriptor table costs a call
// of the kernel for each entry, so that segments come in casts: a table of
// descriptors and some ways to load the segment registers from it. A generator
// keeps a cast for a while. Casts never change, and cases point into them.

// cast is a local descriptor table with sets of segment registers.
type cast struct {
	ldt  []x86.SegmentRegister
	sets [castSets][x86.NumSegment]x86.SegmentRegister
}

const (
	numCasts = 256
	castSets = 16
	// castCases is how many cases a cast is kept for.
	castCases = 1024
)

// casts are those of 16-bit code, then those of 32-bit code.
var casts = [2]func() *[numCasts]cast{
	sync.OnceValue(func() *[numCasts]cast { return makeCasts(x86.Compat16) }),
	sync.OnceValue(func() *[numCasts]cast { return makeCasts(x86.Compat32) }),
}

func castsOf(m x86.Mode) *[numCasts]cast {
	if m == x86.Compat16 {
		return casts[0]()
	}
	return casts[1]()
}

func makeCasts(m x86.Mode) *[numCasts]cast {
	all := new([numCasts]cast)
	r := NewRand(uint64(m) << 32)
	for i := range all {
		all[i].fill(&r, m)
	}
	return all
}

// Entries of a cast's table. What is not named holds data segments.
const (
	entryCode     = iota // the mode's own width, readable
	entryCodeToo         // the same, elsewhere, perhaps not readable
	entryCodeElse        // of the other width
	entryAbsentCode
	entryStack
	entryStackToo
	entryData       // the first of those for data
	entryReadOnly   = 11
	entryAbsentData = 12
	entryConforming = 13 // not present: no other can be had
	entryAny        = 14
	castEntries     = 15 // one more that is empty
)

const (
	attrUser         = x86.AttrS | 3<<x86.AttrDPLShift | x86.AttrPresent | x86.AttrAccessed
	attrAVL          = 1 << 12
	widthAttr        = x86.AttrDB
	offsetMask16     = 0xffff
	offsetMask32     = 0xffffffff
	codeRegionBytes  = 2 * oracle.PageSize
	mostBytesInLimit = 1 << 20
)

func (k *cast) fill(r *Rand, m x86.Mode) {
	width := uint32(0)
	if m == x86.Compat32 {
		width = widthAttr
	}
	k.ldt = make([]x86.SegmentRegister, castEntries)
	code := uint32(attrUser | x86.AttrCode)
	k.ldt[entryCode] = codeSegment(r, code|x86.AttrWritable|width)
	k.ldt[entryCodeToo] = codeSegment(r, code|width|uint32(r.Uint64())&x86.AttrWritable)
	k.ldt[entryCodeElse] = codeSegment(r, code|width^widthAttr|uint32(r.Uint64())&x86.AttrWritable)
	k.ldt[entryAbsentCode] = codeSegment(r, (code|width)&^x86.AttrPresent)
	k.ldt[entryConforming] = codeSegment(r, (code|width|x86.AttrExpand)&^x86.AttrPresent|uint32(r.Uint64())&x86.AttrWritable)
	data := uint32(attrUser | x86.AttrWritable)
	k.ldt[entryStack] = dataSegment(r, data|stackWidth(r, width), oracle.StackBase, width)
	k.ldt[entryStackToo] = dataSegment(r, data|stackWidth(r, width)|uint32(r.Uint64())&x86.AttrExpand, oracle.StackBase, width)
	for i := entryData; i < entryReadOnly; i++ {
		region := [...]uint64{oracle.DataBase, oracle.DataBase, oracle.StackBase, oracle.ReadOnlyBase}[r.N(4)]
		v := uint32(r.Uint64())
		attr := data | v&widthAttr
		if v&3 == 0 {
			attr |= x86.AttrExpand
		}
		if v&0x1c == 0 {
			attr &^= x86.AttrWritable
		}
		k.ldt[i] = dataSegment(r, attr, region, width)
	}
	k.ldt[entryReadOnly] = dataSegment(r, attrUser|stackWidth(r, width), oracle.DataBase, width)
	k.ldt[entryAbsentData] = dataSegment(r, data&^x86.AttrPresent|stackWidth(r, width), oracle.DataBase, width)
	k.ldt[entryAny] = dataSegment(r, data|uint32(r.Uint64())&(x86.AttrExpand|x86.AttrWritable|widthAttr|attrAVL), r.address(8), width)
	for i := range k.ldt {
		k.ldt[i].Selector = oracle.LDTSelector(i)
	}
	for i := range k.sets {
		k.set(r, &k.sets[i])
	}
}

// stackWidth is B: the mode's own, mostly.
func stackWidth(r *Rand, width uint32) uint32 {
	if r.Chance(48) {
		return width ^ widthAttr
	}
	return width
}

// codeSegment covers the first page of code at least, and mostly no more than
// the code pages. Its base may lie above its first instruction.
func codeSegment(r *Rand, attr uint32) x86.SegmentRegister {
	v := r.Uint64()
	s := x86.SegmentRegister{Attributes: attr, Base: oracle.CodeBase}
	switch v & 7 {
	case 0:
		s.Base -= v >> 8 & 0x7fff
	case 1:
		s.Base -= v >> 8 & 0xf0
	case 2, 3:
		if attr&widthAttr != 0 {
			s.Base = 0
		}
	case 4:
		if attr&widthAttr != 0 {
			s.Base = v >> 32
		}
	}
	first := (oracle.CodeBase - s.Base) & offsetMask32
	switch end := first + codeRegionBytes; v >> 3 & 7 {
	case 0:
		setLimit(&s, offsetMask32)
	case 1, 2:
		setLimit(&s, max(offsetMask16, end))
	case 3:
		setLimit(&s, end-1-v>>40&15)
	case 4:
		setLimit(&s, first+oracle.PageSize+v>>40&0xfff)
	case 5:
		setLimit(&s, first+oracle.PageSize-1)
	default:
		setLimit(&s, end-1)
	}
	return s
}

// setLimit sets the limit, or the next one above it that a descriptor can say.
func setLimit(s *x86.SegmentRegister, limit uint64) {
	limit = min(limit, offsetMask32)
	if limit >= mostBytesInLimit {
		limit |= 0xfff
		s.Attributes |= x86.AttrG
	}
	s.Limit = uint32(limit)
}

// dataSegment covers some or all of the pages at region.
func dataSegment(r *Rand, attr uint32, region uint64, width uint32) x86.SegmentRegister {
	v := r.Uint64()
	region &^= oracle.PageSize - 1
	s := x86.SegmentRegister{Attributes: attr, Base: region & offsetMask32}
	end := uint64(2 * oracle.PageSize)
	if attr&(x86.AttrExpand|x86.AttrCode) == x86.AttrExpand {
		return expandDown(&s, v, region+end)
	}
	switch v & 7 {
	case 0, 1:
		s.Base -= v >> 8 & 0x3fff
	case 2:
		s.Base += v >> 8 & 0xff
	case 3, 4:
		if width != 0 {
			s.Base = 0
		}
	case 5:
		if width != 0 {
			s.Base = v >> 32
		}
	}
	s.Base &= offsetMask32
	first := (region - s.Base) & offsetMask32
	switch v >> 3 & 7 {
	case 0, 1:
		setLimit(&s, offsetMask32)
	case 2:
		setLimit(&s, max(offsetMask16, first+end))
	case 3:
		setLimit(&s, first+oracle.PageSize+v>>40&0xff-128)
	case 4:
		setLimit(&s, first+end-v>>40&0xf)
	case 5:
		setLimit(&s, first+v>>40&0x3f)
	case 6:
		setLimit(&s, v>>40&0xff)
	default:
		setLimit(&s, first+end-1)
	}
	return s
}

// expandDown makes the upper end of an expand-down segment lie at end, with all
// or some of the two pages below in the segment.
func expandDown(s *x86.SegmentRegister, v, end uint64) x86.SegmentRegister {
	size := v>>8&0x3fff + 8
	if v&3 == 0 {
		size = oracle.PageSize + v>>8&0xff - 128
	}
	if s.Attributes&widthAttr != 0 {
		s.Base = end & offsetMask32
		if v&12 == 0 { // all above a small limit
			s.Base = (end - 2*oracle.PageSize - v>>32&0xff) & offsetMask32
			setLimit(s, v>>40&0xff)
			return *s
		}
		setLimit(s, offsetMask32-size)
		return *s
	}
	s.Base = (end - offsetMask16 - 1) & offsetMask32
	setLimit(s, (offsetMask16-size)&offsetMask16)
	return *s
}

// set loads the segment registers from the table.
func (k *cast) set(r *Rand, set *[x86.NumSegment]x86.SegmentRegister) {
	null := x86.SegmentRegister{Attributes: x86.AttrUnusable}
	flat := x86.SegmentRegister{Selector: oracle.SelectorSS, Attributes: oracle.AttrData32, Limit: offsetMask32}
	usable := func() x86.SegmentRegister {
		for {
			s := k.ldt[r.N(castEntries)]
			code := s.Attributes&x86.AttrCode != 0
			if s.Attributes&x86.AttrPresent != 0 && !(code && s.Attributes&x86.AttrWritable == 0) && (!code || r.Chance(96)) {
				return s
			}
		}
	}
	for _, s := range [...]x86.Segment{x86.ES, x86.DS, x86.FS, x86.GS} {
		switch n := r.N(16); {
		case n == 0, n < 5 && s >= x86.FS:
			set[s] = null
		case n == 5:
			set[s] = flat
		case n < 12:
			set[s] = k.ldt[entryData+r.N(entryReadOnly-entryData)]
		default:
			set[s] = usable()
		}
	}
	set[x86.CS] = k.ldt[entryCode]
	if r.Chance(64) {
		set[x86.CS] = k.ldt[entryCodeToo]
	}
	switch n := r.N(8); {
	case n == 0:
		set[x86.SS] = flat
	case n < 3:
		set[x86.SS] = k.ldt[entryStackToo]
	default:
		set[x86.SS] = k.ldt[entryStack]
	}
}

// segments chooses the segments of a case in 32- or 16-bit code: in 32-bit code
// the flat ones of the kernel in one case of two.
func (s *steering) segments(k *cast) {
	c, st := s.c, &s.c.State
	v := s.Uint64()
	c.LDT = k.ldt
	if st.Mode == x86.Compat32 && v&1 == 0 {
		c.Segments = nil
		st.Selector = [x86.NumSegment]uint16{
			x86.CS: oracle.SelectorCS32, x86.SS: oracle.SelectorSS, x86.DS: oracle.SelectorSS, x86.ES: oracle.SelectorSS,
		}
		if s.info.trait&traitsSegment == 0 {
			c.LDT = nil
		}
		for i, seg := range [...]x86.Segment{x86.FS, x86.GS, x86.DS, x86.ES} {
			switch w := v >> (8 + 8*i) & 0xff; {
			case i < 2 && w < 192:
				st.Selector[seg] = oracle.SelectorSS
			case i < 2 || w < 8:
				st.Selector[seg] = 0
			case w < 16:
				st.Selector[seg] = oracle.SelectorCS32
			case w < 24:
				st.Selector[seg] = oracle.SelectorCS64
			}
		}
		c.FSBase, c.GSBase = s.base()&offsetMask32, s.base()&offsetMask32
		if st.Selector[x86.FS] == 0 {
			c.FSBase = 0
		}
		if st.Selector[x86.GS] == 0 {
			c.GSBase = 0
		}
		st.StackWidth = 32
		return
	}
	set := &k.sets[v>>8%castSets]
	c.Segments = set
	for i := range set {
		st.Selector[i] = set[i].Selector
	}
	c.FSBase, c.GSBase = set[x86.FS].Base, set[x86.GS].Base
	st.StackWidth = 16
	if set[x86.SS].Attributes&widthAttr != 0 {
		st.StackWidth = 32
	}
}

// holds says whether a segment holds size bytes at an offset.
func holds(r *x86.SegmentRegister, offset, size uint64) bool {
	last := offset + size - 1
	if r.Attributes&x86.AttrUnusable != 0 {
		return false
	}
	if r.Attributes&(x86.AttrCode|x86.AttrExpand) != x86.AttrExpand {
		return last <= uint64(r.Limit)
	}
	top := uint64(offsetMask16)
	if r.Attributes&widthAttr != 0 {
		top = offsetMask32
	}
	return offset > uint64(r.Limit) && last <= top
}

// edge returns an offset at an end of the segment.
func (s *steering) edge(r *x86.SegmentRegister, size uint64) uint64 {
	v := s.Uint64()
	if r.Attributes&(x86.AttrCode|x86.AttrExpand) != x86.AttrExpand {
		return uint64(r.Limit) - v%(size+2) + 1
	}
	switch {
	case v>>60 != 0:
		return uint64(r.Limit) - v%(size+2) + 2
	case r.Attributes&widthAttr != 0:
		return offsetMask32 - v%(size+2)
	}
	return offsetMask16 - v%(size+2)
}

// reach turns a linear address for an operand of size bytes into one that its
// segment holds at an offset of that mask, if a few tries find one; once in a
// while into one at an end of the segment. In 64-bit mode it stays.
func (s *steering) reach(seg x86.Segment, linear, size, mask uint64) uint64 {
	if s.long {
		return linear
	}
	r := s.c.Segment(seg)
	if size == 0 {
		size = 1
	}
	if s.Chance(16) {
		return (r.Base + s.edge(&r, size)&mask) & offsetMask32
	}
	for try := 0; try < 8; try++ {
		if off := (linear - r.Base) & offsetMask32; off <= mask && holds(&r, off, size) {
			return linear & offsetMask32
		}
		if s.Chance(16) {
			break
		}
		linear = s.addressIn([...]place{placeData, placeUnaligned, placeCrossing, placeStack, placeReadOnly, placeFirst, placeLast, placeElse}[s.N(8)], size)
	}
	return linear & offsetMask32
}

// stack returns an offset on the stack for an operand of size bytes; linear is
// where it would best be.
func (s *steering) stack(linear, size uint64) uint64 {
	if s.long {
		return linear
	}
	mask := uint64(offsetMask16)
	if s.c.State.StackWidth == 32 {
		mask = offsetMask32
	}
	off := (s.reach(x86.SS, linear, size, mask) - s.segmentBase(x86.SS)) & offsetMask32
	if mask == offsetMask16 && s.Chance(64) {
		off = off&mask | s.Uint64()&offsetMask32&^mask
	}
	return off
}

// stackTop returns the linear address of the top of the stack.
func (s *steering) stackTop() uint64 {
	sp := s.c.State.GPR[x86.RSP]
	if s.long {
		return sp
	}
	if s.c.State.StackWidth == 16 {
		sp &= offsetMask16
	}
	return (sp + s.segmentBase(x86.SS)) & offsetMask32
}

// addressMask is the mask of the address size.
func (s *steering) addressMask() uint64 {
	switch s.in.AddrSize {
	case 2:
		return offsetMask16
	case 4:
		return offsetMask32
	}
	return ^uint64(0)
}
