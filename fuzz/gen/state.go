package gen

import (
	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// Selectors that Linux gives user code; the hidden parts of all data segments
// are flat in 64-bit mode.
const (
	selectorCS = 0x33
	selectorSS = 0x2b
)

// Fill gives c a state that suits the instruction in c.Code: registers and
// memory such that its operands lie somewhere interesting, most often where
// it can retire. It may change the displacement or immediate of the
// instruction when patch is set, and cuts the code where the code pages end.
// c.Memory must have the length of the default layout's windows.
func (g *Generator) Fill(c *oracle.Case, patch bool) {
	decode.Decode(&g.inst, c.CodeBytes(), g.mode, g.profile)
	g.fill(c, patch)
}

// fill is Fill for an instruction that has been decoded.
func (g *Generator) fill(c *oracle.Case, patch bool) {
	r := &g.rand
	c.Layout = oracle.DefaultLayout
	c.Steps = 1
	in := &g.inst
	if in.Err == decode.Truncated {
		g.complete(c, in)
	}
	s := steering{Rand: r, c: c, in: in, patch: patch, info: &infos[in.Row], long: g.mode == x86.Long64, code0: oracle.CodeBase}
	if s.long && r.Chance(48) {
		s.code0 = oracle.HighCodeBase
	}
	c.State = x86.State{Mode: g.mode, StackWidth: 64, CPL: 3}
	if s.long {
		c.State.Selector[x86.CS], c.State.Selector[x86.SS] = selectorCS, selectorSS
		c.Segments, c.LDT = nil, nil
		if s.info.trait&traitsSegment != 0 && r.Chance(128) {
			c.LDT = g.cast().ldt
		}
		s.registers()
		s.bases()
	} else {
		s.segments(g.cast())
		s.registers()
	}
	copy(c.Memory, pool[r.N(poolSize-len(c.Memory)):])
	s.placeCode()
	if in.Valid() {
		s.traits()
		s.memory()
	}
	if !s.long {
		for i := range 8 {
			c.State.GPR[i] &= offsetMask32
		}
	}
	if end := s.code0 + 2*oracle.PageSize - c.CodeAddress(); uint64(c.CodeLen) > end {
		c.CodeLen = uint8(end)
	}
	for i := int(c.CodeLen); i < len(c.Code); i++ {
		c.Code[i] = 0
	}
}

// complete makes a cut instruction whole with the bytes that would follow it
// in the code pages, so that it can be steered.
func (g *Generator) complete(c *oracle.Case, in *decode.Inst) {
	code := c.Code
	for i := int(c.CodeLen); i < decode.MaxLength; i++ {
		code[i] = codeFill
	}
	if decode.Decode(in, code[:decode.MaxLength], g.mode, g.profile); in.Valid() {
		c.Code, c.CodeLen = code, in.Length
	}
}

// codeFill is the fill of the code pages: INT3.
const codeFill = 0xcc

// steering is the work on one case.
type steering struct {
	*Rand
	c     *oracle.Case
	in    *decode.Inst
	info  *rowInfo
	patch bool
	// long is 64-bit mode.
	long bool
	// code0 is the linear address of the code pages, start that of the
	// instruction.
	code0, start uint64
}

func (s *steering) registers() {
	st := &s.c.State
	// Most come from a table: what is drawn anew for each would cost as much
	// as the rest of the case.
	var v uint64
	for i := range st.GPR {
		if i%4 == 0 {
			v = s.Uint64()
		}
		st.GPR[i] = registerPool[v%registerPoolSize]
		v >>= 16
	}
	v = s.Uint64()
	st.GPR[v&15] = s.Value()
	st.GPR[v>>4&15] = s.Value()
	st.GPR[v>>8&15] = s.Uint64()
	st.GPR[v>>12&15] = st.GPR[v>>16&15]
	st.GPR[v>>20&15] = st.GPR[v>>24&15]
	if v>>28&1 != 0 {
		st.GPR[v>>32&15] = s.code()
	}
	v = s.Uint64()
	switch {
	case v&63 == 0: // anything
	case v&63 < 5:
		st.GPR[x86.RSP] = s.stack(s.address(8), 8)
	case v&63 < 10:
		st.GPR[x86.RSP] = s.stack(s.addressIn(placeStack, 8), 8)
	default:
		st.GPR[x86.RSP] = s.stack(stackMiddle-96+v>>8%24*8, 8)
	}
	st.RFLAGS = uint64(s.flags())
}

// flags returns user flags: random status flags, sometimes the direction
// flag, seldom AC, ID and NT, never TF, which is not the instruction's.
func (s *steering) flags() x86.Flags {
	v := s.Uint64()
	f := x86.Flags(v)&x86.FlagsStatus | x86.IF | x86.FlagsFixed
	if v>>32&7 == 0 {
		f |= x86.DF
	}
	if v>>36&31 == 0 {
		f |= x86.AC
	}
	if v>>42&31 == 0 {
		f |= x86.ID
	}
	if v>>48&63 == 0 {
		f |= x86.NT
	}
	return f
}

// bases sets the bases of FS and GS to canonical addresses.
func (s *steering) bases() {
	s.c.FSBase, s.c.GSBase = s.base(), s.base()
}

func (s *steering) base() uint64 {
	v := s.Uint64()
	switch v & 7 {
	case 0:
		return 0
	case 1:
		return v >> 8 & 0xffff
	case 2:
		return -(v >> 8 & 0xffff)
	case 3:
		return oracle.StackBase
	case 4:
		return dataMiddle + v>>8&0xff - 128
	case 5:
		return v >> 18
	default:
		return oracle.DataBase
	}
}

// code returns an address in the code pages.
func (s *steering) code() uint64 {
	return s.code0 + s.Uint64()%(2*oracle.PageSize)
}

// target returns where to branch to, as RIP has it: in the code pages and not
// within the instruction itself, but for one in 64; else where fetching faults.
func (s *steering) target() uint64 {
	v := s.Uint64()
	switch v & 63 {
	case 0:
		return s.rip(s.address(1))
	case 1:
		return s.rip(s.nonCanonical(v, 8))
	case 2:
		return s.rip(s.start + v>>8%16)
	case 3:
		return s.rip(s.code0 + 2*oracle.PageSize + v>>8%8 - 4)
	case 4:
		if !s.long {
			r := s.c.Segment(x86.CS)
			return (s.edge(&r, 1) + v>>8%4) & offsetMask32
		}
	}
	t := s.code()
	if t-s.start < decode.MaxLength {
		t -= decode.MaxLength
	}
	return s.rip(t)
}

// rip is RIP at a linear address.
func (s *steering) rip(linear uint64) uint64 {
	if s.long {
		return linear
	}
	return (linear - s.segmentBase(x86.CS)) & offsetMask32
}

// placeCode chooses where the instruction starts: mostly within one page, else
// over the boundary, at the very end of the code pages, or running off it.
func (s *steering) placeCode() {
	n := uint64(s.c.CodeLen)
	if s.in.Valid() {
		n = uint64(s.in.Length)
	}
	v := s.Uint64()
	at := v >> 8
	end := s.code0 + 2*oracle.PageSize
	switch k := v & 255; {
	case k < 200 || n == 0:
		s.start = s.code0 + 512 + at%3072
	case k < 232:
		s.start = s.code0 + oracle.PageSize - at%(n+1)
	case k < 246:
		s.start = s.code0 + at%(2*oracle.PageSize-n)
	case k < 252 || n == 1:
		s.start = end - n
	default:
		s.start = end - 1 - at%(n-1)
	}
	if !s.long {
		s.withinLimit(v>>48, n)
	}
	s.c.State.RIP = s.rip(s.start)
}

// withinLimit moves an instruction of n bytes below the limit of CS, or, once
// in a while, over it.
func (s *steering) withinLimit(v, n uint64) {
	cs := s.c.Segment(x86.CS)
	limit := (cs.Base + uint64(cs.Limit)) & offsetMask32 // the linear address
	inside := limit >= s.code0 && limit < s.code0+2*oracle.PageSize
	if inside && v&15 == 0 {
		s.start = limit - v>>4%(n+2)
	}
	if s.rip(s.start) > uint64(cs.Limit) || s.start < s.code0 {
		s.start = s.code0 + 512 + v%3072
	}
}

// segmentBase returns the base of a segment.
func (s *steering) segmentBase(seg x86.Segment) uint64 { return s.c.SegmentBase(seg) }

// poke stores the low size bytes of v at a linear address, as far as the
// windows reach.
func (s *steering) poke(address, v uint64, size int) {
	at := 0
	for i := range s.c.Layout.Windows {
		w := &s.c.Layout.Windows[i]
		if off := address - w.Address; off < uint64(w.Length) {
			put(s.c.Memory[at+int(off):], v, min(size, w.Length-int(off)))
			return
		}
		at += w.Length
	}
}
