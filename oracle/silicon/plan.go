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

// The landing pad: MOV [abs RAX store], RAX; MOV RAX, runnerLand; JMP RAX. It
// touches no flag, no memory of the test and no register but RAX, which it has
// saved.
const (
	padSize     = 10 + 10 + 2
	landFromPad = 10 // length of the pad's first instruction
)

// codeBytes is the size of the block in which the code of a case is written.
const codeBytes = 64

// verifyShift: one case in 2^verifyShift that could stop at a landing pad stops
// at the breakpoint instead, so that the CPU, not this package's table, says how
// long the instructions of a campaign are.
const verifyShift = 6

// plan is what is decided about a case before it runs.
type plan struct {
	stop Stop
	sh   shape
	// blockAt is the address of the block of code, code its offset there.
	blockAt uint64
	codeOff int
	length  int // bytes of code that lie in mapped pages
	run     int // the run of pages that holds RIP
	next    uint64
}

const intFlag = uint64(x86.IF | x86.FlagsFixed)

// settable are the flags that a case may choose: those of POPF at CPL 3.
const settable = uint64(x86.FlagsUser)

// Selectors of the 64-bit user segments of Linux (arch/x86/include/asm/segment.h).
const (
	SelectorCS64 = 0x33
	SelectorSS   = 0x2b
	selectorCS32 = 0x23
)

// unsupported names the field of a case that a CPU under a user process cannot
// take, or "".
func unsupported(c *oracle.Case) string {
	st := &c.State
	switch {
	case len(c.Extra) > 0:
		return c.Extra[0]
	case st.Mode != x86.Long64:
		return "mode: only long64 runs on the CPU so far"
	case st.CPL != 3:
		return "cpl: a user process runs at 3"
	case st.FPU != nil:
		return "fpu: vector state does not reach the CPU yet"
	case c.Steps > 1:
		return "steps: one instruction a case"
	case st.RFLAGS&^settable != intFlag:
		return "rflags: IF must be 1, IOPL, RF, VM, VIF and VIP 0, reserved bits fixed"
	case st.Selector[x86.CS] != SelectorCS64:
		return "cs: the kernel's 64-bit user code selector is 0x33"
	case st.Selector[x86.SS] != SelectorSS:
		return "ss: the kernel's user data selector is 0x2b"
	}
	for _, s := range [...]x86.Segment{x86.DS, x86.ES, x86.FS, x86.GS} {
		switch v := st.Selector[s]; {
		case v <= 3, v == SelectorCS64, v == SelectorSS, v == selectorCS32:
		default:
			return "segments: not a user selector of the kernel's descriptor table"
		}
	}
	if c.CodeLen > uint8(len(c.Code)) {
		return "code: longer than its array"
	}
	if len(c.Memory) != c.Layout.WindowBytes() {
		return "memory: not as long as the layout's windows"
	}
	return ""
}

// compose decides how a case is stopped and writes its block of code; pad is
// the landing pad. It returns the field that is not supported, or "".
func (g *geometry) compose(p *plan, c *oracle.Case, want Stop, pad *[padSize]byte, out *[codeBytes]byte) string {
	rip := c.State.RIP
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
	p.blockAt = min(rip&^7, r.end-codeBytes)
	p.codeOff = int(rip - p.blockAt)
	overlap := g.fillBlock(p, r, c, out)
	copy(out[p.codeOff:], c.Code[:p.length])

	room := min(codeBytes-p.codeOff, 15)
	p.sh.analyse(out[p.codeOff:p.codeOff+room], g.branches)
	p.next = rip + uint64(p.sh.length)
	m := memory{g: g, c: c, code: c.Code[:p.length], rip: rip}
	p.stop = want
	if want == StopAuto {
		p.stop = choose(p, &m, overlap)
	}
	if p.stop == StopPad {
		if p.sh.length == 0 || p.codeOff+p.sh.length+padSize > codeBytes {
			return "stop: no room for a landing pad"
		}
		copy(out[p.codeOff+p.sh.length:], pad[:])
	}
	return ""
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
	switch s.class {
	case classUnknown:
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
		if m.stops(p.next) && m.stops(target) {
			return StopBreakpoint
		}
	case classReturn:
		target, ok := m.read64(m.c.State.GPR[x86.RSP])
		if !ok || m.stops(target) {
			return StopBreakpoint
		}
	case classIndirect:
		if target, ok := m.indirectTarget(s, p.next); !ok || m.stops(target) {
			return StopBreakpoint
		}
	}
	return StopTrap
}

func choosePlain(p *plan, m *memory, overlap bool) Stop {
	s := &p.sh
	fits := p.codeOff+s.length+padSize <= codeBytes
	if fits && !overlap && p.farFromCode(m) {
		if p.length > s.length || !p.verify(m.c) {
			return StopPad
		}
		return StopBreakpoint
	}
	if m.stops(p.next) {
		return StopBreakpoint
	}
	if s.uses&(repeats|storesFlags) != 0 && fits {
		return StopPad // a trap would change the result for certain; the pad only if it is read
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

// indirectTarget returns where a near JMP or CALL through a register or memory
// goes; ok is false if the read of the target faults.
func (m *memory) indirectTarget(s *shape, next uint64) (target uint64, ok bool) {
	if !s.memory {
		return m.c.State.GPR[s.modrm&7|s.rex&1<<3], true
	}
	return m.read64(s.effective(m.c, next))
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
		case s.opsize:
			off = uint64(int16(off))
		default:
			off = uint64(int32(off))
		}
		ea += uint64(int64(off) >> 3)
	}
	return s.linear(c, ea)
}

// linear cuts an effective address to the address size and adds the base of an
// FS or GS override.
func (s *shape) linear(c *oracle.Case, ea uint64) uint64 {
	if s.addrsize {
		ea = uint64(uint32(ea))
	}
	switch s.seg {
	case 0x64:
		ea += c.FSBase
	case 0x65:
		ea += c.GSBase
	}
	return ea
}

// farFromCode says that no operand of the instruction is near the code pages,
// so that the test cannot see the landing pad. REP runs on only through mapped
// pages, and those that adjoin the code count as near.
func (p *plan) farFromCode(m *memory) bool {
	s := &p.sh
	r := &m.g.runs[p.run]
	far := func(addr uint64) bool { return addr-r.near >= r.nearLen }
	if s.memory && !far(s.effective(m.c, p.next)) {
		return false
	}
	const implied = usesRAX | usesRBX | usesRSP | usesRBP | usesRSI | usesRDI | anywhere
	if s.uses&implied == 0 {
		return true
	}
	if s.uses&anywhere != 0 {
		return false
	}
	gpr := &m.c.State.GPR
	for _, u := range [...]struct {
		bit uint16
		reg int
	}{{usesRAX, x86.RAX}, {usesRBX, x86.RBX}, {usesRSP, x86.RSP}, {usesRBP, x86.RBP}, {usesRSI, x86.RSI}, {usesRDI, x86.RDI}} {
		if s.uses&u.bit == 0 {
			continue
		}
		if !far(gpr[u.reg]) || (s.seg != 0 || s.addrsize) && !far(s.linear(m.c, gpr[u.reg])) {
			return false
		}
	}
	return true
}

// needsFPU says that the vector state must be put in its initial state first.
func (s *shape) needsFPU() bool { return s.class == classUnknown || s.uses&usesFPU != 0 }
