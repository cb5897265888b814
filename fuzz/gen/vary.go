package gen

import (
	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// Vary fills c with another case of the same instruction in a state near that
// of kept: one to four registers, flags or bytes of memory differ. It returns
// false, and leaves c as it is, where kept needs another descriptor table than
// the one in use, which would cost more than the case.
func (g *Generator) Vary(c, kept *oracle.Case) bool {
	if kept.LDT != nil && (g.current == nil || &g.current.ldt[0] != &kept.LDT[0]) {
		return false
	}
	memory := c.Memory
	*c = *kept
	c.Memory = memory
	copy(memory, kept.Memory)
	r := &g.rand
	for n := 1 + r.N(4); n > 0; n-- {
		v := r.Uint64()
		reg := &c.State.GPR[v>>8&15]
		switch v & 7 {
		case 0, 1:
			*reg ^= 1 << (v >> 16 & 63)
		case 2:
			*reg = r.Value()
		case 3:
			*reg = c.State.GPR[v>>16&15]
		case 4:
			*reg += v>>16&31 - 16
		case 5:
			c.State.RFLAGS ^= v >> 16 & uint64(x86.FlagsStatus)
		default:
			if len(memory) > 0 {
				memory[v>>16%uint64(len(memory))] ^= 1 << (v >> 56 & 7)
			}
		}
	}
	if g.mode != x86.Long64 {
		for i := range 8 {
			c.State.GPR[i] &= offsetMask32
		}
		for i := 8; i < len(c.State.GPR); i++ {
			c.State.GPR[i] = kept.State.GPR[i]
		}
	}
	decode.Decode(&g.inst, c.CodeBytes(), g.mode, g.profile)
	return true
}
