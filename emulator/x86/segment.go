package x86

// Segment names a segment register. The first six have the numbers with which
// ModRM encodes them.
type Segment uint8

// The segment registers, then the system registers that hold a descriptor.
const (
	ES Segment = iota
	CS
	SS
	DS
	FS
	GS
	LDTR
	TR
	GDTR
	IDTR
	// SegNone stands for linear addresses: no segment applies.
	SegNone
	// NumSegment is the number of visible segment registers, ES to GS.
	NumSegment = 6
)

var segmentNames = [...]string{"es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr", "gdtr", "idtr", ""}

// String returns the lower-case name, "" for SegNone.
func (s Segment) String() string {
	if int(s) < len(segmentNames) {
		return segmentNames[s]
	}
	return "?"
}

// SegmentRegister is a segment register with its hidden part (SDM vol. 3,
// 3.4.3).
type SegmentRegister struct {
	Selector uint16
	// Attributes has the layout of a VMX access-rights field (SDM vol. 3,
	// 25.4.1): type in bits 0 to 3, S 4, DPL 5 to 6, P 7, AVL 12, L 13, D/B
	// 14, G 15, unusable 16.
	Attributes uint32
	// Limit is in bytes, already scaled by G.
	Limit uint32
	Base  uint64
}

// Bits of SegmentRegister.Attributes.
const (
	AttrTypeMask = 0xf
	AttrAccessed = 1 << 0
	AttrWritable = 1 << 1 // data: writable; code: readable
	AttrExpand   = 1 << 2 // data: expand down; code: conforming
	AttrCode     = 1 << 3
	AttrS        = 1 << 4
	AttrDPLShift = 5
	AttrPresent  = 1 << 7
	AttrL        = 1 << 13
	AttrDB       = 1 << 14
	AttrG        = 1 << 15
	AttrUnusable = 1 << 16
)
