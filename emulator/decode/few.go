package decode

import (
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// fewExist says whether the tiles that the fields name are among the eight, and
// the bound registers among the four, and for the latter that the address is one
// of MPX: of 64 bits in 64-bit code, where 67 is ignored, and elsewhere of 32 bits
// (SDM vol. 1, appendix E.5.1).
func (c *cursor) fewExist(in *Inst) bool {
	row := isa.Get(in.Row)
	bounds := false
	for i := range row.Operands[:row.NumOperands] {
		switch o := &row.Operands[i]; {
		case o.Class == x86.ClassTile && in.register(o).Reg >= 8:
			return false
		case o.Class != x86.ClassBound:
		case (o.Kind != isa.KindRM || !in.IsMem) && in.register(o).Reg >= 4:
			return false
		default:
			bounds = true
		}
	}
	if !bounds || !in.IsMem {
		return true
	}
	if c.info.long != 0 {
		in.AddrSize = 8
		// BNDMK, BNDLDX and BNDSTX, which have no register form, want base and
		// index themselves.
		return in.Base != x86.RegRIP || row.Pattern.Mod != isa.ModMemory
	}
	return in.AddrSize == 4
}

// existingBound replaces a bound register that there is not, and an address
// that MPX refuses.
func (e *encoder) existingBound() {
	if e.row.Feature != isa.FeatureMPX {
		return
	}
	e.reg &= 3
	if e.mod == 3 && e.row.Operands[0].Class == e.row.Operands[1].Class {
		e.rm &= 3
	}
	if e.mod == 0 && e.rm&7 == 5 && e.row.Pattern.Mod == isa.ModMemory {
		e.rm ^= 1
	}
}
