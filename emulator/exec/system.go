package exec

import (
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// ioplAllows says that the privilege level is at most IOPL.
func (c *Context) ioplAllows() bool {
	return c.State.CPL <= uint8(x86.Flags(c.State.RFLAGS)&x86.IOPL>>12)
}

// portAllowed checks the right to a port: IOPL, else the I/O permission
// bitmap of the TSS (SDM vol. 1, 19.5.2). A bitmap that does not reach the
// port, or no TSS, is #GP(0).
func (c *Context) portAllowed(port uint16) bool {
	if c.State.Mode == x86.Real || c.State.Mode != x86.VM86 && c.ioplAllows() {
		return true
	}
	if !c.need(step.HookReadSegment) {
		return false
	}
	tr, out := c.Bus.ReadSegment(x86.TR, &c.Fx.Event)
	if out != step.Okay {
		c.stop(out)
		return false
	}
	const minimum = 103
	typ := tr.Attributes & x86.AttrTypeMask
	usable := tr.Attributes&(x86.AttrUnusable|x86.AttrS) == 0 && tr.Attributes&x86.AttrPresent != 0
	if usable && (typ == 9 || typ == 11) && tr.Limit >= minimum {
		base, ok := c.taskRead(0x66)
		if !ok {
			return false
		}
		at := base + uint64(port>>3)
		if at+1 <= uint64(tr.Limit) {
			bitmap, ok := c.taskRead(at)
			if !ok {
				return false
			}
			if bitmap>>(port&7)&(1<<c.size-1) == 0 {
				return true
			}
		}
	}
	c.raise(x86.FaultCode(x86.VectorGP, 0))
	return false
}

// taskRead reads two bytes of the TSS. An exception without an event means
// beyond its limit, which is #GP(0) here.
func (c *Context) taskRead(off uint64) (uint64, bool) {
	a := step.Access{Offset: off, Size: 2, Segment: x86.TR, Intent: step.IntentSystem}
	c.log(a)
	v, out := c.Bus.Read(a, &c.Fx.Event)
	switch {
	case out == step.Okay:
		return v & 0xffff, true
	case out == step.Exception && c.Fx.Event.Type == x86.EventNone:
		c.raise(x86.FaultCode(x86.VectorGP, 0))
	default:
		c.stop(out)
	}
	return 0, false
}

// port returns the port of IN and OUT, from operand i.
func (c *Context) port(i int) uint16 {
	if c.plan.ops[i].from == fromImm {
		return uint16(c.inst.Imm & 0xff)
	}
	return uint16(c.State.GPR[x86.RDX])
}

func in(c *Context) {
	c.setSize(min(c.plan.ops[0].size, 4))
	port := c.port(1)
	if !c.portAllowed(port) || !c.need(step.HookReadPort) {
		return
	}
	c.setReg(x86.RAX, c.size, c.readPortAt(port))
}

func out(c *Context) {
	c.setSize(min(c.plan.ops[1].size, 4))
	port := c.port(0)
	if !c.portAllowed(port) || !c.need(step.HookWritePort) {
		return
	}
	c.writePortAt(port, c.State.GPR[x86.RAX]&c.mask)
}

// readPort and writePort serve INS and OUTS, whose port is in DX.
func (c *Context) readPort() uint64   { return c.readPortAt(uint16(c.State.GPR[x86.RDX])) }
func (c *Context) writePort(v uint64) { c.writePortAt(uint16(c.State.GPR[x86.RDX]), v) }

func (c *Context) readPortAt(port uint16) uint64 {
	v, out := c.Bus.ReadPort(port, c.size, &c.Fx.Event)
	if out != step.Okay {
		c.stop(out)
	}
	return uint64(v) & c.mask
}

func (c *Context) writePortAt(port uint16, v uint64) {
	if op := c.newOp(step.OpWritePort); op != nil {
		op.Index = uint32(port)
		op.Access = step.Access{Size: c.size, Segment: x86.SegNone, Intent: step.IntentWrite}
		op.Value[0] = v
	}
}

// readControl reads a control register.
func (c *Context) readControl(n uint8) (uint64, bool) {
	if !c.need(step.HookReadControl) {
		return 0, false
	}
	v, out := c.Bus.ReadControl(n, &c.Fx.Event)
	if out != step.Okay {
		c.stop(out)
		return 0, false
	}
	return v, true
}

// readMSR reads a model-specific register.
func (c *Context) readMSR(n uint32) (uint64, bool) {
	if !c.need(step.HookReadMSR) {
		return 0, false
	}
	v, out := c.Bus.ReadMSR(n, &c.Fx.Event)
	if out != step.Okay {
		c.stop(out)
		return 0, false
	}
	return v, true
}

// Control register bits and MSRs (SDM vol. 3, 2.5; vol. 4).
const (
	cr4TSD      = 1 << 2
	cr4FSGSBASE = 1 << 16
	msrTSC      = 0x10
	msrTSCAux   = 0xc0000103
)

// timestamp reads the time-stamp counter, which CR4.TSD keeps for CPL 0.
func (c *Context) timestamp() (uint64, bool) {
	if c.State.CPL != 0 {
		cr4, ok := c.readControl(4)
		if !ok {
			return 0, false
		}
		if cr4&cr4TSD != 0 {
			c.raise(x86.FaultCode(x86.VectorGP, 0))
			return 0, false
		}
	}
	return c.readMSR(msrTSC)
}

func rdtsc(c *Context) {
	if v, ok := c.timestamp(); ok {
		c.setReg(x86.RAX, 4, v)
		c.setReg(x86.RDX, 4, v>>32)
	}
}

func rdtscp(c *Context) {
	v, ok := c.timestamp()
	if !ok {
		return
	}
	aux, ok := c.readMSR(msrTSCAux)
	if !ok {
		return
	}
	c.setReg(x86.RAX, 4, v)
	c.setReg(x86.RDX, 4, v>>32)
	c.setReg(x86.RCX, 4, aux)
}

func rdpid(c *Context) {
	if v, ok := c.readMSR(msrTSCAux); ok {
		size := uint8(4)
		if c.State.Mode == x86.Long64 {
			size = 8
		}
		c.setReg(c.inst.RM, size, v&0xffffffff)
	}
}

func cpuid(c *Context) {
	if !c.need(step.HookCPUID) {
		return
	}
	leaf, subleaf := uint32(c.State.GPR[x86.RAX]), uint32(c.State.GPR[x86.RCX])
	r, out := c.Bus.CPUID(leaf, subleaf, &c.Fx.Event)
	if out != step.Okay {
		c.stop(out)
		return
	}
	for i, n := range [4]uint8{x86.RAX, x86.RBX, x86.RCX, x86.RDX} {
		c.setReg(n, 4, uint64(r[i]))
	}
}

// random is RDRAND and RDSEED: CF says that there was a number; without one
// the destination is 0. The other status flags are cleared.
func (c *Context) random(seed bool) {
	if !c.need(step.HookRandom) {
		return
	}
	size := c.inst.OpSize
	v, ok, out := c.Bus.Random(size, seed, &c.Fx.Event)
	if out != step.Okay {
		c.stop(out)
		return
	}
	if !ok {
		v = 0
	}
	c.setReg(c.inst.RM, size, v)
	c.setFlags(status, 0)
	c.assign(x86.CF, ok)
}

func rdrand(c *Context) { c.random(false) }
func rdseed(c *Context) { c.random(true) }

// base reads FS or GS with its base, by ModRM.reg (0 and 2 FS, 1 and 3 GS).
// Without CR4.FSGSBASE the instruction is undefined.
func (c *Context) base() (x86.Segment, x86.SegmentRegister, bool) {
	seg := x86.FS + x86.Segment(c.inst.Reg&1)
	cr4, ok := c.readControl(4)
	if !ok {
		return seg, x86.SegmentRegister{}, false
	}
	if cr4&cr4FSGSBASE == 0 {
		c.raise(x86.Fault(x86.VectorUD))
		return seg, x86.SegmentRegister{}, false
	}
	if !c.need(step.HookReadSegment) {
		return seg, x86.SegmentRegister{}, false
	}
	r, out := c.Bus.ReadSegment(seg, &c.Fx.Event)
	if out != step.Okay {
		c.stop(out)
		return seg, r, false
	}
	return seg, r, true
}

func rdbase(c *Context) {
	if _, r, ok := c.base(); ok {
		c.setReg(c.inst.RM, c.inst.OpSize, r.Base)
	}
}

func wrbase(c *Context) {
	seg, r, ok := c.base()
	if !ok || !c.need(step.HookWriteSegment) {
		return
	}
	r.Base = c.reg(c.inst.RM, c.inst.OpSize)
	if !c.canonical(r.Base) {
		c.raise(x86.FaultCode(x86.VectorGP, 0))
	}
	if op := c.newOp(step.OpWriteSegment); op != nil {
		op.Index = uint32(seg)
		op.Segment = r
	}
}

// canonical says that the upper bits of an address repeat its highest
// translated one (SDM vol. 1, 3.3.7.1).
func (c *Context) canonical(address uint64) bool {
	shift := 64 - uint(c.Profile.VirtualBits)
	return uint64(int64(address<<shift)>>shift) == address
}

// CLI and STI are #GP(0) above IOPL. The virtual interrupt flag (CR4.VME,
// CR4.PVI) is not modelled yet.

func cli(c *Context) {
	if c.ioplChecked() {
		c.flags &^= x86.IF
	}
}

func (c *Context) ioplChecked() bool {
	if !c.ioplAllows() {
		c.raise(x86.FaultCode(x86.VectorGP, 0))
		return false
	}
	return true
}

func sti(c *Context) {
	if !c.ioplChecked() {
		return
	}
	if c.flags&x86.IF == 0 {
		c.retire |= step.RetireSTI
	}
	c.flags |= x86.IF
}

// supervisor is CLAC and STAC, which are undefined above CPL 0 (SDM vol. 2).
func supervisor(c *Context) {
	if c.State.CPL != 0 {
		c.raise(x86.Fault(x86.VectorUD))
		return
	}
	c.assign(x86.AC, c.inst.ModRM&1 != 0)
}

func hlt(c *Context) { c.retire |= step.RetireHLT }

// Numbers of cache operations, as OpCache carries them.
const (
	CacheFlush = iota
	CacheFlushOpt
	CacheWriteBack
)

// flush is CLFLUSH, CLFLUSHOPT and CLWB. It faults as a load of a byte does, but
// reaches execute-only segments too, as a fetch does (SDM vol. 2, CLFLUSH).
func (c *Context) flush(kind uint32) {
	if !c.need(step.HookCacheOp) {
		return
	}
	c.load(c.segment, c.offset, 1, step.IntentFetch)
	if c.outcome != step.Okay {
		return
	}
	if op := c.newOp(step.OpCache); op != nil {
		op.Index = kind
		op.Access = step.Access{Offset: c.offset, Size: 1, Segment: c.segment, Intent: step.IntentFetch}
	}
}

func clflush(c *Context)    { c.flush(CacheFlush) }
func clflushopt(c *Context) { c.flush(CacheFlushOpt) }
func clwb(c *Context)       { c.flush(CacheWriteBack) }
