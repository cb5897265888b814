package exec

import (
	"encoding/binary"

	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// Loading of ES, SS, DS, FS and GS (SDM vol. 2, MOV; vol. 3, 5.6 and 5.7).

// movToSegment is MOV to a segment register. ModRM.reg names it, without REX.
func movToSegment(c *Context) {
	c.loadSegment(x86.Segment(c.inst.Reg&7), uint16(c.in[1]))
}

// popSegment pops a selector: sixteen bits of a slot of the operand size.
func popSegment(c *Context) {
	sp := c.stackPointer()
	v := c.load(x86.SS, sp, 2, step.IntentRead)
	c.setStackPointer(sp + uint64(c.inst.OpSize))
	if c.outcome == step.Okay {
		c.loadSegment(x86.Segment(c.plan.ops[0].reg), uint16(v))
	}
}

// loadFar is LES, LSS, LDS, LFS and LGS: an offset, then a selector behind it.
func loadFar(c *Context) {
	size := c.inst.OpSize
	off := c.load(c.segment, c.offset, size, step.IntentRead)
	if c.outcome != step.Okay {
		return
	}
	sel := c.load(c.segment, (c.offset+uint64(size))&maskOf(c.inst.AddrSize), 2, step.IntentRead)
	if c.outcome != step.Okay {
		return
	}
	c.loadSegment(c.plan.segment, uint16(sel))
	c.setReg(c.inst.Reg, size, off)
}

// loadSegment checks a selector and its descriptor and stages the load, which
// goes with all the rest where the checks end the step.
func (c *Context) loadSegment(seg x86.Segment, selector uint16) {
	if !c.need(step.HookReadSegment | step.HookWriteSegment) {
		return
	}
	var r x86.SegmentRegister
	switch {
	case c.State.Mode == x86.Real || c.State.Mode == x86.VM86:
		r = c.readSegment(seg)
		r.Base = uint64(selector) << 4
	case selector&^3 == 0:
		r = c.nullSegment(seg, selector)
	default:
		r = c.descriptor(seg, selector)
	}
	r.Selector = selector
	if seg == x86.SS {
		c.retire |= step.RetireMovSS
	}
	if op := c.newOp(step.OpWriteSegment); op != nil {
		op.Index = uint32(seg)
		op.Segment = r
	}
}

func (c *Context) readSegment(seg x86.Segment) x86.SegmentRegister {
	r, out := c.Bus.ReadSegment(seg, &c.Fx.Event)
	if out != step.Okay {
		c.stop(out)
	}
	return r
}

// nullSegment is what a null selector loads: a segment that cannot be used,
// which in 64-bit mode is no hindrance. SS takes one only there, below CPL 3,
// with RPL equal to CPL. AMD's CPUs keep the base, Intel's clear it.
func (c *Context) nullSegment(seg x86.Segment, selector uint16) (r x86.SegmentRegister) {
	if seg == x86.SS && (c.State.Mode != x86.Long64 || c.State.CPL == 3 || uint8(selector&3) != c.State.CPL) {
		c.raise(x86.FaultCode(x86.VectorGP, 0))
		return r
	}
	if c.amd() {
		r = c.readSegment(seg)
	}
	r.Attributes |= x86.AttrUnusable
	return r
}

// descriptor reads the descriptor that a selector names, checks that the
// segment may be loaded, and marks it accessed.
func (c *Context) descriptor(seg x86.Segment, selector uint16) (r x86.SegmentRegister) {
	code := uint32(selector &^ 3)
	raw, a, found := c.lookUp(selector)
	if c.outcome != step.Okay {
		return r
	}
	if !found {
		c.raise(x86.FaultCode(x86.VectorGP, code))
		return r
	}
	r = x86.UnpackDescriptor(raw)
	if vector := c.checkDescriptor(seg, selector, r.Attributes); vector != 0 {
		c.raise(x86.FaultCode(vector, code))
		return r
	}
	c.markAccessed(&r, raw, a)
	return r
}

// markAccessed sets the accessed bit of a descriptor that is loaded.
func (c *Context) markAccessed(r *x86.SegmentRegister, raw uint64, a step.Access) {
	if r.Attributes&x86.AttrAccessed == 0 {
		r.Attributes |= x86.AttrAccessed
		c.stageCompareExchange(a, [2]uint64{raw}, [2]uint64{raw | x86.AttrAccessed<<40})
	}
}

// lookUp reads the descriptor that a selector, not null, names. found is false
// where it is beyond the limit of its table, or there is no such table.
func (c *Context) lookUp(selector uint16) (raw uint64, a step.Access, found bool) {
	a = step.Access{Offset: uint64(selector &^ 7), Size: 8, Segment: x86.GDTR, Intent: step.IntentSystem}
	if selector&4 != 0 {
		a.Segment = x86.LDTR
		ldt := c.readSegment(x86.LDTR)
		if c.outcome != step.Okay || ldt.Attributes&x86.AttrUnusable != 0 || ldt.Selector&^3 == 0 {
			return 0, a, false
		}
	}
	v, found := c.tableRead(a)
	return v[0], a, found
}

// tableRead reads an entry of a descriptor table, of 4, 8 or 16 bytes. found is
// false, and the step goes on, where it is beyond the limit.
func (c *Context) tableRead(a step.Access) (v [2]uint64, found bool) {
	c.log(a)
	var out step.Outcome
	if a.Size > 8 {
		buf := c.wide[:16]
		out = c.Bus.ReadBytes(a, buf, &c.Fx.Event)
		v[0], v[1] = binary.LittleEndian.Uint64(buf), binary.LittleEndian.Uint64(buf[8:])
	} else {
		v[0], out = c.Bus.Read(a, &c.Fx.Event)
	}
	switch {
	case out == step.Okay:
		return v, true
	case out != step.Exception || c.Fx.Event.Type != x86.EventNone:
		c.stop(out)
	}
	return [2]uint64{}, false
}

// checkDescriptor returns the vector that a load of seg raises, 0 for none.
func (c *Context) checkDescriptor(seg x86.Segment, selector uint16, attr uint32) uint8 {
	rpl, dpl := uint8(selector&3), uint8(attr>>x86.AttrDPLShift&3)
	code, writable := attr&x86.AttrCode != 0, attr&x86.AttrWritable != 0
	absent := attr&x86.AttrPresent == 0
	switch {
	case attr&x86.AttrS == 0:
		return x86.VectorGP
	case seg == x86.SS:
		if rpl != c.State.CPL || dpl != c.State.CPL || code || !writable {
			return x86.VectorGP
		}
		if absent {
			return x86.VectorSS
		}
		return 0
	case code && !writable: // code that cannot be read
		return x86.VectorGP
	case !(code && attr&x86.AttrExpand != 0) && (rpl > dpl || c.State.CPL > dpl):
		return x86.VectorGP
	case absent:
		return x86.VectorNP
	}
	return 0
}
