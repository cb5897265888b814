package exec

import (
	"encoding/binary"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// locate computes the address of the ModRM memory operand, wrapped to the
// address size, from the registers as staged so far.
func (c *Context) locate() {
	in := c.inst
	off := in.Disp
	if in.Base < x86.NumGPR {
		off += c.current(in.Base)
	} else if in.Base == x86.RegRIP {
		off += c.next
	}
	if in.Index != x86.RegNone {
		off += c.current(in.Index) * uint64(in.Scale)
	}
	if c.plan.bitString {
		off += c.bitOffset()
	}
	c.segment = in.Segment
	c.offset = off & maskOf(in.AddrSize)
}

// access describes an access by the instruction itself.
func (c *Context) access(seg x86.Segment, off uint64, size uint8, intent step.Intent) step.Access {
	a := step.Access{Offset: off, Size: size, Segment: seg, Intent: intent}
	if c.checked {
		a.Check = min(size, 8)
	}
	return a
}

// log notes an access.
func (c *Context) log(a step.Access) {
	if n := c.Fx.NumAccesses; n < step.MaxAccesses {
		c.Fx.Accesses[n] = a
		c.Fx.NumAccesses = n + 1
	}
}

// load reads size bytes, zero-extended. On failure the step has ended.
func (c *Context) load(seg x86.Segment, off uint64, size uint8, intent step.Intent) uint64 {
	a := c.access(seg, off, size, intent)
	c.log(a)
	v, out := c.Bus.Read(a, &c.Fx.Event)
	if out != step.Okay {
		c.stop(out)
	}
	return v & maskOf(size)
}

// store probes a write of size bytes and stages it.
func (c *Context) store(seg x86.Segment, off uint64, size uint8, v uint64) {
	if !c.need(step.HookWrite) {
		return
	}
	v &= maskOf(size)
	a := c.access(seg, off, size, step.IntentWrite)
	c.log(a)
	if out := c.Bus.ProbeWrite(a, v, &c.Fx.Event); out != step.Okay {
		c.stop(out)
		return
	}
	c.stageWrite(a, v)
}

// stageWrite stages a write that has been probed.
func (c *Context) stageWrite(a step.Access, v uint64) {
	op := c.newOp(step.OpWrite)
	if op == nil {
		return
	}
	op.Access = a
	op.Value[0] = v
}

// newOp takes the next staged operation; nil, and the step ends, if there is
// no room (which the capacity rules out).
func (c *Context) newOp(kind step.OpKind) *step.Op {
	n := c.Fx.NumOps
	if n >= step.MaxOps {
		c.outcome = step.Unhandleable
		return nil
	}
	c.Fx.NumOps = n + 1
	op := &c.Fx.Ops[n]
	op.Kind = kind
	return op
}

// locked says that the instruction's memory destination is changed as one.
func (c *Context) locked() bool {
	return c.inst.Prefix&decode.PrefixLock != 0 || c.plan.implicitLock
}

// writeMemory writes out[i] to the ModRM memory operand. One that was read
// with write intent has been probed by that read.
func (c *Context) writeMemory(o *operand, i int) {
	if c.kept>>i&1 != 0 && !c.ForceWriteback {
		return
	}
	if !o.load {
		c.store(c.segment, c.offset, o.size, c.out[i])
		return
	}
	a := c.access(c.segment, c.offset, o.size, step.IntentWrite)
	v := c.out[i] & maskOf(o.size)
	if c.locked() {
		c.stageCompareExchange(a, [2]uint64{c.in[i]}, [2]uint64{v})
		return
	}
	if c.need(step.HookWrite) {
		c.stageWrite(a, v)
	}
}

// stageCompareExchange stages a locked change of what was read.
func (c *Context) stageCompareExchange(a step.Access, old, new [2]uint64) {
	if !c.need(step.HookCompareExchange) {
		return
	}
	if op := c.newOp(step.OpCompareExchange); op != nil {
		op.Access = a
		op.Old = old
		op.Value = new
	}
}

// load16 reads 16 bytes as two quadwords, low one first.
func (c *Context) load16(a step.Access) (v [2]uint64) {
	c.log(a)
	buf := c.wide[:16]
	if out := c.Bus.ReadBytes(a, buf, &c.Fx.Event); out != step.Okay {
		c.stop(out)
		return v
	}
	v[0] = binary.LittleEndian.Uint64(buf)
	v[1] = binary.LittleEndian.Uint64(buf[8:])
	return v
}

// stageWide stages a write of len(data) bytes, over eight, that has been
// probed.
func (c *Context) stageWide(a step.Access, data []byte) {
	n := c.Fx.NumWide
	if n >= step.MaxWide {
		c.outcome = step.Unhandleable
		return
	}
	if op := c.newOp(step.OpWriteWide); op != nil {
		copy(c.Fx.Wide[n][:], data)
		c.Fx.NumWide = n + 1
		op.Access = a
		op.Index = uint32(n)
	}
}

// push stages a value of size bytes on the stack and moves rSP.
func (c *Context) push(v uint64, size uint8) {
	sp := (c.stackPointer() - uint64(size)) & maskOf(c.stackSize())
	c.store(x86.SS, sp, size, v)
	c.setStackPointer(sp)
}

// pop reads size bytes from the stack and moves rSP.
func (c *Context) pop(size uint8) uint64 {
	sp := c.stackPointer()
	v := c.load(x86.SS, sp, size, step.IntentRead)
	c.setStackPointer(sp + uint64(size))
	return v
}

// dataSegment is the segment of a DS:rSI operand, which an override changes.
func (c *Context) dataSegment() x86.Segment {
	if c.inst.Prefix&decode.PrefixSegment != 0 {
		return c.inst.Segment
	}
	return x86.DS
}
