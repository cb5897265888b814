package reach

import (
	"slices"
	"strings"

	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// Possible returns in which ways a general-purpose row can end at CPL 3 with
// IOPL 0 in a mode, on a CPU that has it (SDM vol. 2, the exceptions of each
// instruction). Any row can be fetched from a page that is not there, have a
// LOCK that is not allowed or be too long; code outside 64-bit mode can run
// over the limit of its segment.
func Possible(row *isa.Row, m x86.Mode, vendor isa.Vendor) Kinds {
	long := m == x86.Long64
	k := Of(Fetch, Length)
	if !long {
		k |= Of(GP)
	}
	if lockable := row.Attr&isa.AttrLock != 0; !lockable || row.Pattern.Mod != isa.ModMemory && hasRM(row) {
		k |= Of(Lock)
	}
	if refused, only := refusal(row, long, vendor); only {
		return k | refused
	}
	k |= Of(Retired) | special(row)
	k |= memoryKinds(row, long)
	if uses(row, isa.KindStack) || row.Mnemonic.String() == "ENTER" {
		k |= Of(SS, PF, AC)
		if row.Mnemonic.String() == "POPF" && !long {
			k |= Of(AC)
		}
	}
	if row.Attr&isa.AttrBranch != 0 && (!long || !relative(row)) {
		k |= Of(GP)
	}
	if row.Attr&isa.AttrFar != 0 {
		k |= Of(GP, GPSelector, NP)
		if long && strings.HasPrefix(row.Mnemonic.String(), "IRET") { // which loads SS too
			k |= Of(SSSelector)
		}
	}
	return k | loads(row)
}

// refusal is how a row ends that user code may not use at all.
func refusal(row *isa.Row, long bool, vendor isa.Vendor) (k Kinds, only bool) {
	name := row.Mnemonic.String()
	switch {
	case name == "RSM", name == "SEAMRET", name == "SEAMOPS": // outside SMM and SEAM
		return Of(UD), true
	case vendor == isa.Intel && !long && (name == "SYSCALL" || name == "SYSRET"):
		return Of(UD), true
	case row.Attr&isa.AttrCPL0Undefined != 0, strings.HasPrefix(name, "UD"):
		return Of(UD), true
	case row.Attr&(isa.AttrCPL0|isa.AttrIOPL) != 0:
		return Of(GP), true
	}
	switch name {
	case "INT":
		// INT3 and INTO by another name have gates that are open.
		return Of(Gate, BP, OF), true
	case "INT3":
		return Of(BP), true
	case "INT1":
		return Of(DB), true
	}
	return 0, false
}

// special are the exceptions that belong to single instructions.
func special(row *isa.Row) Kinds {
	switch row.Mnemonic.String() {
	case "DIV", "IDIV", "AAM":
		return Of(DE)
	case "BOUND":
		return Of(BR)
	case "INTO":
		return Of(OF)
	case "WRFSBASE", "WRGSBASE":
		if row.Operands[0].Size == 8 {
			return Of(GP)
		}
	case "CMPXCHG16B", "MOVDIR64B":
		return Of(GP)
	}
	return 0
}

// memoryKinds are the exceptions of the row's explicit memory operand and of
// those of string instructions.
func memoryKinds(row *isa.Row, long bool) Kinds {
	if row.Attr&isa.AttrNop != 0 {
		return 0
	}
	var k Kinds
	for _, o := range operands(row) {
		if o.Size == 0 || o.Access == 0 {
			continue
		}
		switch o.Kind {
		case isa.KindMem, isa.KindRM:
			if row.Pattern.Mod == isa.ModRegister {
				continue
			}
			k |= Of(PF, GP, SS)
		case isa.KindMoffs, isa.KindSource, isa.KindXlat:
			k |= Of(PF, GP)
			if !long {
				k |= Of(SS)
			}
		case isa.KindDest:
			k |= Of(PF, GP)
		default:
			continue
		}
		if o.Size > 1 && aligned(row) {
			k |= Of(AC)
		}
	}
	return k
}

// aligned says that alignment is checked with #AC, and not with #GP or not at
// all.
func aligned(row *isa.Row) bool {
	name := row.Mnemonic.String()
	return name != "CMPXCHG16B" && name != "MOVDIR64B" && !strings.HasPrefix(name, "CLFLUSH") && name != "CLWB"
}

// loads are the exceptions of a segment register that is loaded.
func loads(row *isa.Row) Kinds {
	var k Kinds
	for _, o := range operands(row) {
		if o.Class != x86.ClassSegment || o.Access&isa.Write == 0 || row.Attr&isa.AttrFar != 0 {
			continue
		}
		switch {
		case o.Kind == isa.KindFixed && o.Reg == uint8(x86.SS):
			k |= Of(GP, GPSelector, SSSelector)
		case o.Kind == isa.KindFixed:
			k |= Of(GPSelector, NP)
		default: // any of them
			k |= Of(GP, GPSelector, SSSelector, NP)
		}
	}
	return k
}

func operands(row *isa.Row) []isa.Operand {
	return slices.Concat(row.Operands[:row.NumOperands], row.Implicit)
}

func uses(row *isa.Row, kind isa.Kind) bool {
	return slices.ContainsFunc(operands(row), func(o isa.Operand) bool { return o.Kind == kind })
}

func hasRM(row *isa.Row) bool { return uses(row, isa.KindRM) }

func relative(row *isa.Row) bool { return uses(row, isa.KindRel) }
