package exec

import (
	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// Delivery of events through the vector table of real mode (SDM vol. 3, 21.1.4)
// or the interrupt descriptor table (vol. 3, 6.10 to 6.14). The order of the
// checks is that of the Operation section of INT n (vol. 2), which holds for
// all events. Task gates, a change of privilege, stacks of the interrupt stack
// table and virtual-8086 mode are unhandleable.

// delivery is an event on its way to its handler.
type delivery struct {
	event x86.Event
	// software: INT n, INT3 and INTO, which obey the privilege level of the
	// gate. INT1 does not.
	software bool
	// ext is bit 0 of the error code of a fault on the way: the event came from
	// without the program (SDM vol. 3, 6.13).
	ext uint32
	// code is an error code that names the event's entry in the table.
	code uint32
}

// gate is an entry of the table (SDM vol. 3, 6.11 and 6.14.1).
type gate struct {
	selector uint16
	offset   uint64
	// attr has the layout of x86.SegmentRegister.Attributes.
	attr uint32
	// slot is the width of what is pushed, in bytes.
	slot uint8
	// stack is the index into the interrupt stack table, 0 for none.
	stack uint8
}

// Deliver stages what the delivery of an event does, in the manner of Execute.
func (c *Context) Deliver(ev x86.Event) step.Outcome {
	c.inst = &c.Fx.Inst
	c.outcome = step.Okay
	c.flags = x86.Flags(c.State.RFLAGS)
	c.checked = c.flags&x86.AC != 0 && c.State.CPL == 3
	d := delivery{event: ev, software: ev.Type == x86.EventSoftwareInterrupt || ev.Type == x86.EventSoftwareException}
	if !d.software {
		d.ext = 1
	}
	d.code = uint32(ev.Vector)<<3 | 2 | d.ext
	switch {
	case ev.Type == x86.EventNone || ev.Type > x86.EventPrivSoftwareException || ev.Length > decode.MaxLength, c.State.Mode == x86.VM86:
		c.outcome = step.Unhandleable
	case c.State.Mode == x86.Real:
		c.deliverReal(&d)
	default:
		c.deliverProtected(&d)
	}
	if c.outcome == step.Okay {
		c.Fx.RIP = c.rip
		c.Fx.RFLAGS = uint64(c.flags)
		c.Fx.FlagsDirty = c.Fx.RFLAGS != c.State.RFLAGS
	}
	return c.outcome
}

// deliverReal goes through the vector table, four bytes a vector. No error code
// is pushed. RF, on which the manual says nothing here, is cleared as in the
// other modes.
func (c *Context) deliverReal(d *delivery) {
	entry, found := c.tableRead(step.Access{Offset: 4 * uint64(d.event.Vector), Size: 4, Segment: x86.IDTR, Intent: step.IntentSystem})
	if c.outcome != step.Okay {
		return
	}
	if !found {
		c.raise(x86.FaultCode(x86.VectorGP, 0))
		return
	}
	r, ok := c.codeSegment(uint16(entry[0]>>16), false)
	if !ok {
		return
	}
	c.pushAll(farStack{x86.SS, c.stackSize()}, 2, uint64(c.flags), uint64(c.State.Selector[x86.CS]), c.returnAddress(d))
	if c.outcome == step.Okay {
		c.flags &^= x86.IF | x86.TF | x86.AC | x86.RF
		c.goTo(&r, entry[0]&0xffff)
	}
}

// deliverProtected goes through an interrupt or trap gate to code of the same
// privilege level.
func (c *Context) deliverProtected(d *delivery) {
	if !c.need(step.HookReadSegment | step.HookWriteSegment) {
		return
	}
	g, ok := c.readGate(d)
	if !ok {
		return
	}
	r, ok := c.handler(d, &g)
	if !ok {
		return
	}
	offset, reachable := c.reachable(&r, g.offset)
	c.pushFrame(d, &g)
	switch ev := &c.Fx.Event; {
	case c.outcome == step.Exception && ev.Vector == x86.VectorSS:
		ev.ErrorCode |= d.ext
	case c.outcome != step.Okay && c.outcome != step.Exception:
	case !reachable:
		// Room on the stack is checked before the target, which is checked
		// before anything is pushed.
		c.raise(x86.FaultCode(x86.VectorGP, d.ext))
	case c.outcome == step.Exception && ev.Vector == x86.VectorAC:
		ev.ErrorCode |= d.ext // SDM vol. 3, 6.15, interrupt 17
	}
	if c.outcome != step.Okay {
		return
	}
	if g.attr&1 == 0 { // an interrupt gate
		c.flags &^= x86.IF
	}
	c.flags &^= x86.TF | x86.NT | x86.RF | x86.VM
	c.goTo(&r, offset)
}

// Types of gates (SDM vol. 3, table 3-2 and 6.11).
const (
	typeInterrupt16 = 6
	typeTrap16      = 7
	typeInterrupt   = 14
	typeTrap        = 15
)

// readGate reads and checks the event's entry.
func (c *Context) readGate(d *delivery) (g gate, ok bool) {
	size := uint8(8)
	if c.ia32e() {
		size = 16
	}
	v, found := c.tableRead(step.Access{Offset: uint64(size) * uint64(d.event.Vector), Size: size, Segment: x86.IDTR, Intent: step.IntentSystem})
	if c.outcome != step.Okay {
		return g, false
	}
	g = gate{selector: uint16(v[0] >> 16), offset: v[0]&0xffff | v[0]>>32&0xffff0000, attr: uint32(v[0] >> 40 & 0xff), slot: 4}
	switch g.attr & (x86.AttrS | x86.AttrTypeMask) {
	case typeInterrupt, typeTrap:
		if c.ia32e() {
			g.slot, g.stack = 8, uint8(v[0]>>32&7)
			g.offset |= v[1] << 32
		}
	case typeInterrupt16, typeTrap16:
		found = found && !c.ia32e()
		g.slot = 2
		g.offset &= 0xffff
	case typeTaskGate:
		found = found && !c.ia32e()
	default:
		found = false
	}
	switch dpl := uint8(g.attr >> x86.AttrDPLShift & 3); {
	case !found, d.software && dpl < c.State.CPL:
		c.raise(x86.FaultCode(x86.VectorGP, d.code))
	case g.attr&x86.AttrPresent == 0:
		c.raise(x86.FaultCode(x86.VectorNP, d.code))
	case g.attr&x86.AttrTypeMask == typeTaskGate:
		c.outcome = step.Unhandleable
	}
	return g, c.outcome == step.Okay
}

// handler checks that the gate's code segment may be entered, and gives it. In
// IA-32e mode it has 64 bits, else the error code names the vector (SDM vol. 3,
// 6.14.1).
func (c *Context) handler(d *delivery, g *gate) (r x86.SegmentRegister, ok bool) {
	if g.selector&^3 == 0 {
		c.raise(x86.FaultCode(x86.VectorGP, d.ext))
		return r, false
	}
	raw, a, found := c.lookUp(g.selector)
	if c.outcome != step.Okay {
		return r, false
	}
	r = x86.UnpackDescriptor(raw)
	r.Selector = g.selector&^3 | uint16(c.State.CPL)
	const code = x86.AttrS | x86.AttrCode
	errorCode := uint32(g.selector&^3) | d.ext
	dpl := uint8(r.Attributes >> x86.AttrDPLShift & 3)
	switch {
	case !found, r.Attributes&code != code, dpl > c.State.CPL:
		c.raise(x86.FaultCode(x86.VectorGP, errorCode))
	case c.ia32e() && r.Attributes&(x86.AttrL|x86.AttrDB) != x86.AttrL:
		c.raise(x86.FaultCode(x86.VectorGP, d.code))
	case r.Attributes&x86.AttrPresent == 0:
		c.raise(x86.FaultCode(x86.VectorNP, errorCode))
	case r.Attributes&x86.AttrExpand == 0 && dpl < c.State.CPL: // to an inner level
		c.outcome = step.Unhandleable
	case g.stack != 0:
		c.outcome = step.Unhandleable
	default:
		c.markAccessed(&r, raw, a)
	}
	return r, c.outcome == step.Okay
}

// pushFrame pushes what the handler returns to, and the error code. In IA-32e
// mode the stack pointer is aligned to 16 bytes first, and SS and RSP are
// pushed always (SDM vol. 3, 6.14.2 and 6.14.4).
func (c *Context) pushFrame(d *delivery, g *gate) {
	frame := [6]uint64{
		uint64(c.State.Selector[x86.SS]), c.State.GPR[x86.RSP], uint64(c.flagsImage(d)), uint64(c.State.Selector[x86.CS]), c.returnAddress(d),
		uint64(d.event.ErrorCode),
	}
	last := 5
	if d.event.HasError && (d.event.Type == x86.EventFault || d.event.Type == x86.EventTrap) {
		last = 6
	}
	if g.slot != 8 {
		c.pushAll(farStack{x86.SS, c.stackSize()}, g.slot, frame[2:last]...)
		return
	}
	stack := farStack{x86.SS, 8}
	if c.State.Mode != x86.Long64 {
		stack.segment = x86.SegNone // 64-bit code has no base and no limit of the stack
	}
	sp := c.State.GPR[x86.RSP] &^ 15
	if !c.canonical(sp) || !c.canonical(sp-8*uint64(last)) {
		c.raise(x86.FaultCode(x86.VectorSS, d.ext))
		return
	}
	c.setReg(x86.RSP, 8, sp)
	c.pushAll(stack, 8, frame[:last]...)
}

// pushAll pushes values one after another.
func (c *Context) pushAll(stack farStack, size uint8, values ...uint64) {
	for _, v := range values {
		if c.outcome != step.Okay {
			return
		}
		c.pushSlot(stack, size, v)
	}
}

// returnAddress is the instruction pointer that is pushed: a fault's
// instruction is to run again, all else goes on behind the instruction.
func (c *Context) returnAddress(d *delivery) uint64 {
	if d.event.Type == x86.EventFault {
		return c.State.RIP
	}
	return c.wrapRIP(c.State.RIP + uint64(d.event.Length))
}

// flagsImage is the image of RFLAGS that is pushed, by its RF (SDM vol. 3,
// 18.3.1.1): 1 for a fault, but for a #DB, which is an instruction breakpoint;
// 0 for what the program raises itself; else as it is, so that the caller sets
// it for a trap between two iterations of a REP.
func (c *Context) flagsImage(d *delivery) x86.Flags {
	switch d.event.Type {
	case x86.EventFault:
		if d.event.Vector != x86.VectorDB {
			return c.flags | x86.RF
		}
	case x86.EventSoftwareInterrupt, x86.EventSoftwareException, x86.EventPrivSoftwareException:
		return c.flags &^ x86.RF
	}
	return c.flags
}
