package gen

import (
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// memory steers the effective address of the instruction's memory operand, if
// it has one, and puts content there that suits it. It comes last, since the
// address registers must keep what it gives them.
func (s *steering) memory() {
	in := s.in
	moffs := s.info.trait&traitMoffs != 0
	if !in.IsMem && !moffs {
		return
	}
	size := uint64(s.info.memSize)
	p := place(s.pick(placeWeights[:], placeTotal))
	if s.long && in.Segment == x86.SS && s.Chance(8) { // #SS, which no other base gives
		p = placeNonCanonical
	}
	if s.info.trait&traitAligned != 0 && p == placeUnaligned && !s.Chance(32) {
		p = placeData
	}
	if s.c.State.RFLAGS&uint64(x86.AC) != 0 && p == placeUnaligned && s.Chance(128) {
		p = placeData
	}
	linear := s.reach(in.Segment, s.addressIn(p, size), size, s.addressMask())
	if s.info.trait&traitAligned != 0 && !s.Chance(16) {
		linear &^= 15
	}
	s.solve(linear-s.bitOffset(), moffs)
	s.content(linear, int(min(size, 8)))
}

// bitOffset gives the register of a bit-string instruction an offset that
// stays near, and returns by how much it moves the address.
func (s *steering) bitOffset() uint64 {
	in := s.in
	if s.info.trait&traitBitString == 0 || in.Reg == in.Base || in.Reg == in.Index || s.Chance(8) {
		return 0
	}
	v := s.Uint64()
	bits := int64(v<<8) >> (54 - v&3) // 10 to 13 bits, signed
	switch in.OpSize {
	case 2:
		s.c.State.GPR[in.Reg] = v&^0xffff | uint64(uint16(bits))
		return uint64(bits >> 4 << 1)
	case 4:
		s.c.State.GPR[in.Reg] = v<<32 | uint64(uint32(bits))
		return uint64(bits >> 5 << 2)
	}
	s.c.State.GPR[in.Reg] = uint64(bits)
	return uint64(bits >> 6 << 3)
}

// solve sets registers (or the displacement where there are none) such that
// the operand is at the linear address. Where the form cannot reach it, the
// address becomes what it becomes.
func (s *steering) solve(linear uint64, moffs bool) {
	in, gpr := s.in, &s.c.State.GPR
	offset := linear - s.segmentBase(in.Segment)
	if moffs {
		s.patchDisp(offset)
		return
	}
	rest := offset - in.Disp
	base, index, scale := in.Base, in.Index, uint64(in.Scale)
	if index >= x86.NumGPR {
		index = x86.RegNone // none, or a vector register
	}
	switch {
	case base == x86.RegRIP:
		s.patchDisp(offset - s.start - uint64(in.Length))
	case base == x86.RegNone && index == x86.RegNone:
		s.patchDisp(offset)
	case base == x86.RegNone:
		if over := rest % scale; over != 0 && s.patch {
			s.patchDisp(in.Disp + over)
			rest -= over
		}
		s.setAddress(index, rest/scale)
	case index == x86.RegNone:
		s.setAddress(base, rest)
	case base == index:
		s.setAddress(base, divide(rest, 1+scale))
	default:
		v := s.Uint64()
		switch v & 7 {
		case 0, 1: // what it has
		case 2:
			gpr[index] = v >> 8 & 0xffff
		default:
			gpr[index] = uint64(int64(v<<8) >> 56)
		}
		s.setAddress(base, rest-gpr[index]*scale)
	}
}

// divide returns x with x*m == v modulo 2^64 for m = 3, 5, 9, and v/2 for 2.
func divide(v, m uint64) uint64 {
	switch m {
	case 3:
		return v * 0xaaaaaaaaaaaaaaab
	case 5:
		return v * 0xcccccccccccccccd
	case 9:
		return v * 0x8e38e38e38e38e39
	}
	return v / m
}

// setAddress sets an address register; with 32- and 16-bit addresses what is
// above is not part of it and gets anything.
func (s *steering) setAddress(reg uint8, v uint64) {
	if int(reg) >= len(s.c.State.GPR) {
		return
	}
	switch s.in.AddrSize {
	case 2:
		v &= offsetMask16
		if u := s.Uint64(); u&1 != 0 {
			v |= u & (offsetMask32 &^ offsetMask16)
		}
	case 4:
		v &= offsetMask32
		if u := s.Uint64(); u&1 != 0 {
			v |= u &^ offsetMask32
		}
	}
	s.c.State.GPR[reg] = v
}

// patchDisp changes the displacement in the code, if that is allowed.
func (s *steering) patchDisp(v uint64) {
	in := s.in
	if !s.patch || in.DispLen == 0 {
		return
	}
	put(s.c.Code[in.DispOff:], v, int(in.DispLen))
	in.Disp = v
}

// content puts at the operand's address what makes the instruction retire, or
// take its other path.
func (s *steering) content(linear uint64, size int) {
	st := &s.c.State
	switch t := s.info.trait; {
	case t&traitIndirect != 0:
		s.poke(linear, s.target(), size)
	case t&traitDivide != 0:
		s.poke(linear, s.divisor(), size)
	case t&traitCmpxchg != 0 && s.Chance(128):
		s.poke(linear, st.GPR[x86.RAX], size)
	case t&traitCmpxchg8 != 0 && s.Chance(128):
		half := 4 * int(1+s.in.REX>>3&1)
		s.poke(linear, st.GPR[x86.RAX], half)
		s.poke(linear+uint64(half), st.GPR[x86.RDX], half)
	case t&traitFarPointer != 0:
		s.poke(linear+uint64(s.in.OpSize), s.selector(), 2)
	case t&traitFar != 0:
		s.poke(linear, s.target(), int(s.in.OpSize))
		s.poke(linear+uint64(s.in.OpSize), s.codeSelector(), 2)
	case t&traitBound != 0:
		v := s.Uint64()
		s.poke(linear, -(v >> 8 & 0xfff >> (v >> 4 & 7)), int(s.in.OpSize))
		s.poke(linear+uint64(s.in.OpSize), ^uint64(0)>>1>>(64-8*uint(s.in.OpSize))>>(v&15), int(s.in.OpSize))
	case t&(traitSegmentLoad|traitSelector) != 0:
		s.poke(linear, s.selector(), size)
	default:
		if s.Chance(128) {
			s.poke(linear, s.Value(), size)
		}
	}
}

// divisor is not zero and not too small for RDX:RAX as the state has it, more
// often than not.
func (s *steering) divisor() uint64 {
	v := s.Value()
	if v == 0 && !s.Chance(64) {
		v = 0x7f00
	}
	return v
}

// selector is what a segment register can be given at CPL 3, and what not.
func (s *steering) selector() uint64 {
	v := s.Uint64()
	if s.c.LDT != nil && v&8 == 0 {
		if v&0x70 == 0 {
			return v >> 8 & 0x7f // any RPL, the global table too
		}
		return uint64(oracle.LDTSelector(int(v >> 8 & 15)))
	}
	switch v & 7 {
	case 0, 1, 2:
		return v >> 8 & 3
	case 3, 4:
		return selectorSS
	case 5:
		return v >> 8 & 0xff
	case 6:
		return selectorCS
	}
	return v >> 8 & 0xffff
}

// codeSelector is what a far branch can be given at CPL 3, and what not.
func (s *steering) codeSelector() uint64 {
	v := s.Uint64()
	switch {
	case v&7 == 0:
		return s.selector()
	case s.c.LDT == nil && s.long, v&7 == 1:
		return [...]uint64{selectorCS, oracle.SelectorCS32}[v>>8&1]
	case v&7 < 5 && s.c.LDT != nil:
		return uint64(oracle.LDTSelector(int(v >> 8 % entryStack)))
	}
	return uint64(s.c.State.Selector[x86.CS])
}

// traits gives the registers that the instruction reads without naming them,
// and the targets of branches, values that matter to it.
func (s *steering) traits() {
	t := s.info.trait
	if t == 0 {
		return
	}
	st, in := &s.c.State, s.in
	if t&traitString != 0 {
		s.stringOperation()
	}
	if t&traitShiftCL != 0 && !s.Chance(48) {
		st.GPR[x86.RCX] = st.GPR[x86.RCX]&^0xff | s.shiftCount()
	}
	if t&traitDivide != 0 {
		s.divide()
	}
	if t&traitRelative != 0 {
		s.relative()
	}
	if t&traitIndirect != 0 && !in.IsMem && in.RM < x86.NumGPR {
		st.GPR[in.RM] = s.target()
	}
	if t&traitReturn != 0 {
		s.poke(s.stackTop(), s.target(), s.slot())
	}
	if t&traitFar != 0 {
		s.far()
	}
	if t&traitLeave != 0 && !s.Chance(24) {
		st.GPR[x86.RBP] = s.stack(s.addressIn(placeStack, 8), 8)
	}
	if t&traitEnter != 0 {
		s.enter()
	}
	if t&traitPopFlags != 0 {
		flags := s.Uint64()
		if flags>>60 != 0 {
			flags &^= uint64(x86.TF)
		}
		s.poke(s.stackTop(), flags, s.slot())
	}
	if t&traitXlat != 0 {
		at := s.reach(in.Segment, s.address(1), 1, s.addressMask())
		st.GPR[x86.RBX] = at - st.GPR[x86.RAX]&0xff - s.segmentBase(in.Segment)
	}
	if t&traitCmpxchg != 0 && !in.IsMem && in.RM < x86.NumGPR && s.Chance(128) {
		st.GPR[x86.RAX] = st.GPR[in.RM]
	}
	if t&(traitSegmentLoad|traitSelector) != 0 {
		switch {
		case !in.HasModRM:
			s.poke(s.stackTop(), s.selector(), 2)
		case !in.IsMem && in.RM < x86.NumGPR:
			st.GPR[in.RM] = s.selector() | s.Uint64()<<16
		}
	}
	if t&traitCount != 0 && s.Chance(160) {
		st.GPR[x86.RCX] = uint64(s.N(3))
	}
}

func (s *steering) shiftCount() uint64 {
	v := s.Uint64()
	if v&3 == 0 {
		return [...]uint64{0, 1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 128, 255}[v>>8&15]
	}
	return v >> 8 & 0x3f
}

// stringOperation points RSI and RDI at data and, for a repeated one, keeps
// RCX small: most runs are a few elements long, some cross a page, few leave
// the mapped pages.
func (s *steering) stringOperation() {
	in := s.in
	size := uint64(max(s.info.memSize, 1))
	source, dest := s.address(size), s.address(size)
	v := s.Uint64()
	switch v & 15 {
	case 0, 1: // overlapping
		dest = source + v>>8%16 - 8
	case 2:
		dest = source
	}
	if !s.long {
		source = s.reach(in.Segment, source, size, s.addressMask())
		dest = s.reach(x86.ES, dest, size, s.addressMask())
	}
	s.setAddress(x86.RSI, source-s.segmentBase(in.Segment))
	s.setAddress(x86.RDI, dest-s.segmentBase(x86.ES))
	if v>>4&3 == 0 {
		s.uniform()
	}
	if in.Prefix&prefixRepeat == 0 {
		return
	}
	n := v >> 16
	switch k := v >> 8 & 63; {
	case k < 12:
		n = 0
	case k < 40:
		n %= 5
	case k < 56:
		n %= 24
	case k < 63:
		n %= 100
	case v>>14&3 != 0:
		n %= 5000
	}
	s.setAddress(x86.RCX, n)
}

// uniform makes memory one value, of which RAX holds as much, so that scans
// and comparisons go on.
func (s *steering) uniform() {
	b := byte(s.Uint64())
	m := s.c.Memory
	for i := range m {
		m[i] = b
	}
	s.c.State.GPR[x86.RAX] = uint64(b) * 0x0101010101010101
	if s.Chance(160) { // one odd byte
		m[s.N(512)] ^= 1 << s.N(8)
	}
}

// divide chooses the divisor in a register and the upper half of the dividend
// such that the quotient mostly fits.
func (s *steering) divide() {
	st, in := &s.c.State, s.in
	gpr := &st.GPR
	if !in.IsMem && in.RM < x86.NumGPR && in.RM != x86.RAX && in.RM != x86.RDX {
		gpr[in.RM] = s.divisor()
	}
	byteForm := s.info.memSize == 1
	v := s.Uint64()
	switch {
	case v&7 == 0: // as it is
	case v&3 == 1: // the sign of the lower half
		gpr[x86.RDX] = 0
		if s.info.trait&traitSigned != 0 && gpr[x86.RAX]>>(8*uint(in.OpSize)-1)&1 != 0 {
			gpr[x86.RDX] = ^uint64(0)
		}
		if byteForm {
			gpr[x86.RAX] = uint64(int64(int8(v >> 8)))
			if s.info.trait&traitSigned == 0 {
				gpr[x86.RAX] &= 0xff
			}
		}
	default:
		gpr[x86.RDX] = v >> 8 & 0xf >> (v >> 16 & 7)
		if byteForm {
			gpr[x86.RAX] = gpr[x86.RAX]&0xff | v>>20&0xf<<8
		}
	}
}

// relative gives a relative branch a displacement that lands in the code
// pages, mostly.
func (s *steering) relative() {
	in := s.in
	if !s.patch || in.ImmLen == 0 {
		return
	}
	next := s.c.State.RIP + uint64(in.Length)
	d := s.target() - next
	if in.ImmLen == 1 {
		d = uint64(int64(int8(d)))
		if t := s.start + uint64(in.Length) + d; t-s.code0 >= 2*oracle.PageSize {
			d = uint64(int64(int8(d ^ 0x80)))
		}
		if d+uint64(in.Length) < uint64(in.Length) && !s.Chance(4) { // into itself
			d = 0x10
		}
	}
	put(s.c.Code[in.ImmOff:], d, int(in.ImmLen))
}

// enter keeps the frame and the nesting level of ENTER small, mostly.
func (s *steering) enter() {
	in := s.in
	if s.patch && in.ImmOff+3 <= in.Length && !s.Chance(24) {
		v := s.Uint64()
		put(s.c.Code[in.ImmOff:], v&0x3f, 2)
		s.c.Code[in.ImmOff+2] = byte(v>>8&0x1f>>(v>>16&7) | v>>24&0xe0&(v>>32))
	}
	if !s.Chance(16) {
		s.c.State.GPR[x86.RBP] = s.stack(stackMiddle+s.Uint64()%16*8, 8)
		s.c.State.GPR[x86.RSP] = s.stack(stackMiddle-32+s.Uint64()%16*8, 8)
	}
}

// slot is the size of what a stack operation of the instruction moves.
func (s *steering) slot() int {
	if s.long {
		return 8
	}
	return int(s.in.OpSize)
}

// far gives a far branch its target: in the code, or on the stack.
func (s *steering) far() {
	in := s.in
	if in.HasModRM {
		return // in memory: content sees to it
	}
	if in.Opcode == 0x9a || in.Opcode == 0xea {
		if s.patch && in.ImmOff+in.OpSize+2 <= in.Length {
			put(s.c.Code[in.ImmOff:], s.target(), int(in.OpSize))
			put(s.c.Code[in.ImmOff+in.OpSize:], s.codeSelector(), 2)
		}
		return
	}
	top, size := s.stackTop(), int(in.OpSize)
	s.poke(top, s.target(), size)
	s.poke(top+uint64(size), s.codeSelector(), 2)
	flags := uint64(s.flags())
	if s.Chance(24) {
		flags = s.Uint64()
	}
	s.poke(top+2*uint64(size), flags, size)
	if s.long {
		s.poke(top+3*uint64(size), s.c.State.GPR[x86.RSP]+64, size)
		ss := uint64(selectorSS)
		if s.Chance(32) {
			ss = s.selector()
		}
		s.poke(top+4*uint64(size), ss, 2)
	}
}
