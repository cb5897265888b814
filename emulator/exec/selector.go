package exec

import (
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// Instructions that look at a selector or its descriptor and load nothing: ARPL,
// LAR, LSL, VERR, VERW (SDM vol. 2, and vol. 3, 5.10).

// protectedOnly raises #UD in real and virtual-8086 mode.
func (c *Context) protectedOnly() bool {
	if c.State.Mode == x86.Real || c.State.Mode == x86.VM86 {
		c.raise(x86.Fault(x86.VectorUD))
		return false
	}
	return true
}

// arpl raises the RPL of the destination to that of the source. Memory is
// written, and checked for writing, only where it changes.
func arpl(c *Context) {
	if !c.protectedOnly() {
		return
	}
	d := c.reg(c.inst.RM, 2)
	if c.inst.IsMem {
		if d = c.load(c.segment, c.offset, 2, step.IntentRead); c.outcome != step.Okay {
			return
		}
	}
	s := c.in[1] & 3
	c.assign(x86.ZF, d&3 < s)
	switch {
	case d&3 >= s:
	case c.inst.IsMem:
		c.store(c.segment, c.offset, 2, d&^3|s)
	default:
		c.setReg(c.inst.RM, 2, d&^3|s)
	}
}

// visible returns the descriptor of a selector, if there is one that the
// privilege level and the selector's RPL may see. types are the system
// descriptors that count.
func (c *Context) visible(selector uint16, types uint16) (raw uint64, ok bool) {
	if !c.protectedOnly() || !c.need(step.HookReadSegment) || selector&^3 == 0 {
		return raw, false
	}
	raw, _, ok = c.lookUp(selector)
	if !ok {
		return raw, false
	}
	attr := uint32(raw >> 40)
	dpl := uint8(attr >> x86.AttrDPLShift & 3)
	const conforming = x86.AttrS | x86.AttrCode | x86.AttrExpand
	switch {
	case attr&x86.AttrS == 0 && types>>(attr&x86.AttrTypeMask)&1 == 0:
		return raw, false
	case attr&conforming != conforming && (c.State.CPL > dpl || uint8(selector&3) > dpl):
		return raw, false
	}
	return raw, true
}

// typesOf chooses the system descriptors that count, outside IA-32e mode and in
// it, from sets of types.
func (c *Context) typesOf(protected, long uint16) uint16 {
	if c.ia32e() {
		return long
	}
	return protected
}

const (
	limitTypes = 1<<typeTSS16 | 1<<typeLDT | 1<<typeBusyTSS16 | 1<<typeTSS | 1<<typeBusyTSS
	longTypes  = 1<<typeLDT | 1<<typeTSS | 1<<typeBusyTSS
)

// lookedUp ends LAR and LSL: without a descriptor the destination stays.
func (c *Context) lookedUp(v uint64, ok bool) {
	c.assign(x86.ZF, ok)
	if ok {
		c.setReg(c.inst.Reg, c.inst.OpSize, v)
	}
}

// lar gives the upper half of the descriptor but for the base. What it gives of
// bits 16 to 19 is undefined by the manual; CPUs show the limit's.
func lar(c *Context) {
	types := c.typesOf(limitTypes|1<<typeCallGate16|1<<typeTaskGate|1<<typeCallGate, longTypes|1<<typeCallGate)
	raw, ok := c.visible(uint16(c.in[1]), types)
	c.lookedUp(raw>>32&0xffff00, ok)
}

func lsl(c *Context) {
	raw, ok := c.visible(uint16(c.in[1]), c.typesOf(limitTypes, longTypes))
	c.lookedUp(uint64(x86.UnpackDescriptor(raw).Limit), ok)
}

func verr(c *Context) {
	raw, ok := c.visible(uint16(c.in[0]), 0)
	attr := uint32(raw >> 40)
	c.assign(x86.ZF, ok && (attr&x86.AttrCode == 0 || attr&x86.AttrWritable != 0))
}

func verw(c *Context) {
	raw, ok := c.visible(uint16(c.in[0]), 0)
	attr := uint32(raw >> 40)
	c.assign(x86.ZF, ok && attr&x86.AttrCode == 0 && attr&x86.AttrWritable != 0)
}
