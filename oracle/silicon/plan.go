package silicon

import (
	"encoding/binary"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// Stop is how the CPU is made to come back after one instruction.
type Stop uint8

// The stops. A landing pad is code of the runner's behind the instruction that
// jumps back to it: the cheapest, and the only one that enters no kernel. A
// breakpoint stop is the INT3 that fills the code pages, or the page fault of
// the fetch where nothing is executable: it shows where a branch went. The trap
// flag needs to know nothing of the instruction, but costs a #DB, is seen by
// PUSHF, and stops a REP after one iteration.
const (
	StopAuto Stop = iota
	StopPad
	StopBreakpoint
	StopTrap
)

var stopNames = [...]string{"auto", "pad", "breakpoint", "trap"}

// String returns the name, as "pad".
func (s Stop) String() string {
	if int(s) < len(stopNames) {
		return stopNames[s]
	}
	return "?"
}

// codeBytes is the size of the block in which the code of a case is written:
// 15 bytes, the pad, and the block's alignment to 8.
const codeBytes = 32

// verifyShift: one case in 2^verifyShift that could stop at a landing pad stops
// at the breakpoint instead, so that the CPU, not this package's table, says how
// long the instructions of a campaign are.
const verifyShift = 6

// plan is what is decided about a case before it runs.
type plan struct {
	stop Stop
	sh   shape
	// block is the block of code before the case, at blockAt; codeOff is where
	// the instruction begins in it.
	block   [codeBytes]byte
	blockAt uint64
	codeOff int
	length  int // bytes of code that lie in mapped pages
	run     int // the run of pages that holds RIP
	// start is the linear address of the instruction; RIP + base is start, and
	// next the RIP behind the instruction.
	start, base, next uint64
	limit             uint64 // of CS
	pad               int    // kind of landing pad
	pads              *pads
	flat              bool // every segment but FS and GS begins at 0
	// measured is the length that the CPU has found, where this package does
	// not know it, or one of the values below.
	measured int
	// trial: the length is not known and has not been asked for. It does not
	// matter if the instruction is not valid, as is most often the case.
	trial bool
}

// Values of plan.measured that are no length.
const (
	notAsked    = 0
	notValid    = -1 // #UD
	notMeasured = -2 // asked in vain
)

// compose decides how a case is stopped and makes its block of code; p.measured
// is set. It returns the field that is not supported, or "".
func (g *geometry) compose(p *plan, c *oracle.Case, want Stop, pads *pads) string {
	rip := c.CodeAddress()
	p.start, p.base = rip, rip-c.State.RIP
	p.run = g.find(rip)
	if p.run < 0 || g.runs[p.run].prot&oracle.ProtExec == 0 {
		return "rip: not in an executable page of the layout"
	}
	r := &g.runs[p.run]
	p.length = int(c.CodeLen)
	if left := r.end - rip; uint64(c.CodeLen) > left {
		if g.find(r.end) >= 0 {
			return "code: crosses from one run of pages into another"
		}
		p.length = int(left) // the rest is not mapped
	}
	p.pads = pads
	p.blockAt = rip &^ 7
	if rip%codeBytes+uint64(p.length)+maxPad <= codeBytes {
		p.blockAt = rip &^ (codeBytes - 1) // in one line of the cache
	}
	p.blockAt = min(p.blockAt, r.end-codeBytes)
	p.codeOff = int(rip - p.blockAt)
	p.segments(c)
	out := &p.block
	overlap := g.fillBlock(p, r, c, out)
	copy(out[p.codeOff:], c.Code[:p.length])

	room := min(codeBytes-p.codeOff, 15)
	p.sh.analyse(out[p.codeOff:p.codeOff+room], uint8(c.State.Mode.Width()), g.branches)
	if p.sh.class == classUnknown && p.measured > 0 {
		p.sh.length = p.measured
	}
	p.next = c.State.RIP + uint64(p.sh.length)
	m := memory{g: g, c: c, code: c.Code[:p.length], rip: rip}
	p.stop, p.trial = want, false
	if want == StopAuto {
		p.stop = choose(p, &m, overlap)
	}
	if p.stop == StopTrap && c.State.Mode != x86.Long64 && c.State.StackWidth == 16 && c.State.GPR[x86.RSP]>>16 != 0 {
		// IRET, by which the trap flag gets in, leaves bits 31 to 16 of ESP as
		// they were before (SDM vol. 2, IRET).
		return "rsp: more than 16 bits with a 16-bit stack and the trap flag"
	}
	if why := p.unstoppable(c, &m); why != "" && want == StopAuto {
		return why
	}
	if p.stop == StopPad {
		if p.sh.length == 0 || !p.padFits() {
			return "stop: no room for a landing pad"
		}
		pads.put(out[p.codeOff+p.sh.length:], p.pad, p.next+p.base)
	}
	return ""
}

// unstoppable says why the stop that was chosen would not give the instruction's
// own result, or "".
func (p *plan) unstoppable(c *oracle.Case, m *memory) string {
	s := &p.sh
	asked := c.State.RFLAGS&uint64(x86.TF) != 0
	switch {
	case p.stop == StopTrap && s.shadows():
		return "stop: the instruction holds off the trap that would end it"
	case p.stop == StopTrap && s.uses&storesFlags != 0 && !asked:
		return "stop: the instruction would store the trap flag that ends it"
	case p.stop == StopTrap && s.uses&repeats != 0 && !asked:
		return "stop: the trap would end the instruction after one iteration"
	case p.stop == StopTrap && c.State.Mode != x86.Long64 && c.State.StackWidth == 16 && c.State.GPR[x86.RSP]>>16 != 0:
		return "stop: the trap flag is set by IRET, which loads 16 bits of ESP with a 16-bit stack"
	case s.class == classIRET && !p.iretStops(m):
		return "stop: IRET goes to where nothing stops it"
	}
	return ""
}

// iretStops says that execution stops where an IRET goes, if it goes anywhere,
// and that what stops it there cannot be taken for a fault of its own.
func (p *plan) iretStops(m *memory) bool {
	top, size := m.stackTop(), uint64(p.sh.opBytes)
	if p.sh.rex&8 != 0 {
		size = 8
	}
	whole := true
	value := func(addr uint64) (v uint64) {
		for i := range size {
			b, ok := m.at(addr + i)
			v |= uint64(b) << (8 * i)
			whole = whole && ok
		}
		return v
	}
	rip := value(top)
	if value(top + 2*size); !whole {
		return true // it faults
	}
	return rip != m.c.State.RIP && m.stops(p.landed(m.c, uint16(value(top+size)), rip))
}

// segments notes what the mode and CS make of the code.
func (p *plan) segments(c *oracle.Case) {
	p.pad, p.limit, p.flat = padOf(c.State.Mode), ^uint64(0), true
	if c.State.Mode == x86.Long64 {
		return
	}
	p.limit = uint64(c.Segment(x86.CS).Limit)
	p.flat = c.State.Mode == x86.Compat32 && c.Segments == nil
}

// padFits says that the landing pad is within the block and the limit of CS.
func (p *plan) padFits() bool {
	n := padLength[p.pad]
	return p.codeOff+p.sh.length+n <= codeBytes && p.next+uint64(n)-1 <= p.limit && p.pads.reaches(p.pad, p.next+p.base)
}

// fillBlock fills a block with what is there without the code, and says whether
// some of it is windows'.
func (g *geometry) fillBlock(p *plan, r *run, c *oracle.Case, out *[codeBytes]byte) bool {
	fill := uint64(r.fill) * 0x0101010101010101
	for i := 0; i < codeBytes; i += 8 {
		binary.LittleEndian.PutUint64(out[i:], fill)
	}
	overlap := false
	memOff := 0
	for _, w := range g.layout.Windows {
		lo := max(w.Address, p.blockAt)
		hi := min(w.Address+uint64(w.Length), p.blockAt+codeBytes)
		if lo < hi {
			overlap = true
			copy(out[lo-p.blockAt:hi-p.blockAt], c.Memory[memOff+int(lo-w.Address):])
		}
		memOff += w.Length
	}
	return overlap
}

// choose picks the stop for a case whose block of code has been composed.
func choose(p *plan, m *memory, overlap bool) Stop {
	s := &p.sh
	if m.c.State.RFLAGS&uint64(x86.TF) != 0 {
		return StopTrap // the case itself asks for it
	}
	if (s.class == classRelative || s.class == classIndirect) && s.uses&usesRSP != 0 && p.touchesCode(m) {
		return StopTrap // a CALL may push over what stops it
	}
	switch s.class {
	case classUnknown:
		if p.measured == notAsked && !s.goes {
			p.trial = true
			return StopBreakpoint
		}
		// What is not known may overwrite what stops it.
		if p.measured == notValid || p.measured > 0 && !s.goes && !m.g.writableCode && m.stops(p.next+p.base) {
			return StopBreakpoint
		}
		return StopTrap
	case classPlain:
		return choosePlain(p, m, overlap)
	case classINT3, classINT1, classINT:
		return StopBreakpoint // they raise an event; nothing comes after
	case classIRET:
		return StopBreakpoint // it loads the flags, TF among them
	case classRelative:
		target := p.next + uint64(s.immediate)
		if s.cut {
			target = uint64(uint16(target))
		}
		if m.stops(p.next+p.base) && m.stops(p.linear(m.c, target)) {
			return StopBreakpoint
		}
	case classReturn:
		target, ok := p.readTarget(m, m.stackTop())
		if !ok || m.stops(p.linear(m.c, target)) {
			return StopBreakpoint
		}
	case classIndirect:
		if target, ok := m.indirectTarget(p); !ok || m.stops(p.linear(m.c, target)) {
			return StopBreakpoint
		}
	}
	return StopTrap
}

func choosePlain(p *plan, m *memory, overlap bool) Stop {
	s := &p.sh
	fits := p.padFits()
	if fits && !overlap && p.farFromCode(m) {
		if p.length > s.length || !p.verify(m.c) || !m.stops(p.next+p.base) {
			return StopPad
		}
		return StopBreakpoint
	}
	if m.stops(p.next+p.base) && !p.touchesCode(m) {
		return StopBreakpoint // which the instruction does not overwrite
	}
	if s.uses&storesFlags != 0 && fits && !overlap {
		return StopPad // PUSHF would store the trap flag; it reads no memory, and so no pad
	}
	return StopTrap
}

// verify picks cases whose length the CPU is to confirm, the same ones in every
// run.
func (p *plan) verify(c *oracle.Case) bool {
	h := binary.LittleEndian.Uint64(c.Code[:]) ^ c.State.GPR[x86.RAX] ^ c.State.RIP<<7
	return h*0x9e3779b97f4a7c15>>(64-verifyShift) == 0
}

const vsyscallPage = 0xffffffffff600000

// stops says whether execution that arrives at an address stops there by
// itself: INT3 that is not part of the instruction's own bytes, or nothing
// executable.
func (m *memory) stops(addr uint64) bool {
	if d := addr - m.rip; d < uint64(len(m.code)) {
		return false
	}
	if !m.executable(addr) {
		// Linux carries out what a call of the vsyscall page would have done.
		return addr>>12 != vsyscallPage>>12
	}
	b, _ := m.at(addr)
	return b == 0xcc
}

// linear is the address of the instruction at an offset of CS.
func (p *plan) linear(c *oracle.Case, rip uint64) uint64 {
	if c.State.Mode == x86.Long64 {
		return rip
	}
	return uint64(uint32(p.base + rip))
}

// stackTop is the linear address of the top of the stack.
func (m *memory) stackTop() uint64 {
	rsp := m.c.State.GPR[x86.RSP]
	if m.c.State.Mode == x86.Long64 {
		return rsp
	}
	if m.c.State.StackWidth == 16 {
		rsp = uint64(uint16(rsp))
	}
	return uint64(uint32(rsp + m.c.SegmentBase(x86.SS)))
}

// readTarget reads the target of a near branch; ok is false if that faults.
func (p *plan) readTarget(m *memory, addr uint64) (target uint64, ok bool) {
	if m.c.State.Mode == x86.Long64 {
		return m.read64(addr)
	}
	for i := range uint64(p.sh.opBytes) {
		b, ok := m.at(addr + i)
		if !ok {
			return 0, false
		}
		target |= uint64(b) << (8 * i)
	}
	return target, true
}

// indirectTarget returns where a near JMP or CALL through a register or memory
// goes; ok is false if the read of the target faults.
func (m *memory) indirectTarget(p *plan) (target uint64, ok bool) {
	s := &p.sh
	if !s.memory {
		target = m.c.State.GPR[s.modrm&7|s.rex&1<<3]
		if m.c.State.Mode != x86.Long64 && s.opBytes == 2 {
			target = uint64(uint16(target))
		}
		return target, true
	}
	return p.readTarget(m, s.effective(m.c, p.next))
}

// effective computes the linear address of the ModRM operand.
func (s *shape) effective(c *oracle.Case, next uint64) uint64 {
	ea := uint64(s.disp)
	switch {
	case s.base == ripRelative:
		ea += next
	case s.base >= 0:
		ea += c.State.GPR[s.base]
	}
	if s.index >= 0 {
		ea += c.State.GPR[s.index] * uint64(s.scale)
	}
	if s.uses&bitOffset != 0 {
		off := c.State.GPR[s.modrm>>3&7|s.rex&4<<1]
		switch {
		case s.rex&8 != 0:
		case s.opBytes == 2:
			off = uint64(int16(off))
		default:
			off = uint64(int32(off))
		}
		ea += uint64(int64(off) >> 3)
	}
	return s.linear(c, ea, s.segment())
}

// overrides are the segments of the override prefixes.
func segmentOf(prefix byte) x86.Segment {
	switch prefix {
	case 0x26:
		return x86.ES
	case 0x2e:
		return x86.CS
	case 0x36:
		return x86.SS
	case 0x64:
		return x86.FS
	case 0x65:
		return x86.GS
	}
	return x86.DS
}

// segment is that of the ModRM operand: SS where EBP or ESP is the base (SDM
// vol. 1, table 3-5).
func (s *shape) segment() x86.Segment {
	if s.seg == 0 && (s.base == x86.RBP || s.base == x86.RSP) {
		return x86.SS
	}
	return segmentOf(s.seg)
}

// linear cuts an effective address to the address size and adds the base of
// the segment.
func (s *shape) linear(c *oracle.Case, ea uint64, seg x86.Segment) uint64 {
	switch s.addrBytes {
	case 2:
		ea = uint64(uint16(ea))
	case 4:
		ea = uint64(uint32(ea))
	}
	ea += c.SegmentBase(seg)
	if c.State.Mode != x86.Long64 {
		ea = uint64(uint32(ea))
	}
	return ea
}

// touchesCode says that an operand of the instruction may be in code that can be
// written.
func (p *plan) touchesCode(m *memory) bool {
	if !m.g.writableCode {
		return false
	}
	const writable = oracle.ProtWrite | oracle.ProtExec
	for i := range m.g.runs {
		if r := &m.g.runs[i]; r.prot&writable == writable && p.touches(m.c, r.near, r.nearLen) {
			return true
		}
	}
	return false
}

// farFromCode says that no operand of the instruction is near the code pages,
// so that the test cannot see the landing pad.
func (p *plan) farFromCode(m *memory) bool {
	r := &m.g.runs[p.run]
	return !p.touches(m.c, r.near, r.nearLen)
}

// touches says that an operand of the instruction may be in a range of
// addresses. REP runs on only through mapped pages, and the range must have
// those that adjoin it.
func (p *plan) touches(c *oracle.Case, from, length uint64) bool {
	s := &p.sh
	within := func(addr uint64) bool { return addr-from < length }
	if s.memory && within(s.effective(c, p.next)) {
		return true
	}
	const implied = usesRAX | usesRBX | usesRSP | usesRBP | usesRSI | usesRDI | anywhere
	if s.uses&implied == 0 {
		return false
	}
	if s.uses&anywhere != 0 {
		return true
	}
	for i := range impliedRegisters {
		u := &impliedRegisters[i]
		if s.uses&u.bit != 0 && p.reaches(c, c.State.GPR[u.reg], from, length) {
			return true
		}
	}
	return false
}

var impliedRegisters = [...]struct {
	bit uint16
	reg int
}{{usesRAX, x86.RAX}, {usesRBX, x86.RBX}, {usesRSP, x86.RSP}, {usesRBP, x86.RBP}, {usesRSI, x86.RSI}, {usesRDI, x86.RDI}}

// reaches says that an address in a register may be in a range, whatever its
// segment and size.
func (p *plan) reaches(c *oracle.Case, v, from, length uint64) bool {
	s := &p.sh
	if c.State.Mode == x86.Long64 {
		return v-from < length || (s.seg != 0 || s.addrsize) && s.linear(c, v, segmentOf(s.seg))-from < length
	}
	if p.flat && s.seg == 0 {
		return v-from < length || v&0xffff-from < length
	}
	for seg := range x86.Segment(x86.NumSegment) {
		b := c.SegmentBase(seg)
		if uint64(uint32(v+b))-from < length || uint64(uint32(v&0xffff+b))-from < length {
			return true
		}
	}
	return false
}

// needsFPU says that the vector state must be put in its initial state first.
func (s *shape) needsFPU() bool { return s.class == classUnknown || s.uses&usesFPU != 0 }
