package exec

import (
	"encoding/binary"

	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// Instructions that store system registers, which user code may do unless
// CR4.UMIP keeps them for CPL 0 (SDM vol. 2; vol. 3, 2.5).

const (
	cr4PCE     = 1 << 8
	cr4UMIP    = 1 << 11
	cr4OSXSAVE = 1 << 18
)

// storable raises #GP(0) where CR4.UMIP forbids the instruction.
func (c *Context) storable() bool {
	if c.State.CPL == 0 {
		return true
	}
	cr4, ok := c.readControl(4)
	if ok && cr4&cr4UMIP != 0 {
		c.raise(x86.FaultCode(x86.VectorGP, 0))
	}
	return c.outcome == step.Okay
}

// storeSystem gives back a system register: 16 bits in memory, the operand size
// in a register.
func (c *Context) storeSystem(v uint64) {
	if c.inst.IsMem {
		c.store(c.segment, c.offset, 2, v)
		return
	}
	c.setReg(c.inst.RM, c.inst.OpSize, v)
}

// storeSelector is SLDT and STR.
func (c *Context) storeSelector(s x86.Segment) {
	if !c.protectedOnly() || !c.storable() || !c.need(step.HookReadSegment) {
		return
	}
	if r := c.readSegment(s); c.outcome == step.Okay {
		c.storeSystem(uint64(r.Selector))
	}
}

func sldt(c *Context) { c.storeSelector(x86.LDTR) }
func str(c *Context)  { c.storeSelector(x86.TR) }

func smsw(c *Context) {
	if !c.storable() {
		return
	}
	if cr0, ok := c.readControl(0); ok {
		c.storeSystem(cr0)
	}
}

// storeTable is SGDT and SIDT: the limit, then the base in 32 bits, in 64-bit
// mode in 64.
func (c *Context) storeTable(s x86.Segment) {
	if !c.storable() || !c.need(step.HookReadSegment|step.HookWrite) {
		return
	}
	r := c.readSegment(s)
	if c.outcome != step.Okay {
		return
	}
	size := uint8(6)
	if c.State.Mode == x86.Long64 {
		size = 10
	}
	data := c.wide[:10]
	binary.LittleEndian.PutUint16(data, uint16(r.Limit))
	binary.LittleEndian.PutUint64(data[2:], r.Base)
	a := step.Access{Offset: c.offset, Size: size, Segment: c.segment, Intent: step.IntentWrite}
	c.log(a)
	if out := c.Bus.ProbeWriteBytes(a, data[:size], &c.Fx.Event); out != step.Okay {
		c.stop(out)
		return
	}
	c.stageWide(a, data[:size])
}

func sgdt(c *Context) { c.storeTable(x86.GDTR) }
func sidt(c *Context) { c.storeTable(x86.IDTR) }

// xgetbv reads an extended control register, once the system has said that it
// uses XSAVE.
func xgetbv(c *Context) {
	cr4, ok := c.readControl(4)
	if !ok {
		return
	}
	if cr4&cr4OSXSAVE == 0 {
		c.raise(x86.Fault(x86.VectorUD))
		return
	}
	if !c.need(step.HookReadXCR) {
		return
	}
	v, out := c.Bus.ReadXCR(uint32(c.State.GPR[x86.RCX]), &c.Fx.Event)
	if out != step.Okay {
		c.stop(out)
		return
	}
	c.setReg(x86.RAX, 4, v)
	c.setReg(x86.RDX, 4, v>>32)
}

// rdpmc is kept for CPL 0 without CR4.PCE; the counters are the hypervisor's.
func rdpmc(c *Context) {
	if c.State.CPL != 0 {
		cr4, ok := c.readControl(4)
		if ok && cr4&cr4PCE == 0 {
			c.raise(x86.FaultCode(x86.VectorGP, 0))
		}
	}
	if c.outcome == step.Okay {
		c.outcome = step.Unhandleable
	}
}

// Transactions are not begun here, so that none is ever active.

func xend(c *Context)  { c.raise(x86.FaultCode(x86.VectorGP, 0)) }
func xtest(c *Context) { c.setFlags(status, x86.ZF) }
