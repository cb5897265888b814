package x86

// UnpackDescriptor takes a segment descriptor apart (SDM vol. 3, 3.4.5). The
// selector is not part of it.
func UnpackDescriptor(raw uint64) SegmentRegister {
	r := SegmentRegister{
		Base:       raw>>16&0xffffff | raw>>56<<24,
		Limit:      uint32(raw&0xffff | raw>>32&0xf0000),
		Attributes: uint32(raw >> 40 & 0xf0ff),
	}
	if r.Attributes&AttrG != 0 {
		r.Limit = r.Limit<<12 | 0xfff
	}
	return r
}
