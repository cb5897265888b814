package gen

import (
	"strings"

	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// trait is what a row needs of the state beyond its explicit operands.
type trait uint32

const (
	traitString      trait = 1 << iota // RSI, RDI, and RCX when repeated
	traitShiftCL                       // the count in CL
	traitDivide                        // RDX:RAX and a divisor
	traitSigned                        // IDIV
	traitRelative                      // a relative branch
	traitIndirect                      // a near branch through r/m
	traitReturn                        // a near return
	traitLeave                         // RBP holds a stack pointer
	traitEnter                         // RBP too, and small immediates
	traitPopFlags                      // flags on the stack
	traitXlat                          // RBX+AL
	traitCmpxchg                       // RAX against the destination
	traitCmpxchg8                      // RDX:RAX against the destination
	traitBitString                     // a register offset that moves the address
	traitMoffs                         // an absolute offset
	traitSegmentLoad                   // a selector
	traitAligned                       // #GP unless aligned to 16 bytes
	traitCount                         // branches on RCX
	traitFarPointer                    // a selector behind an offset in memory
	traitFar                           // a far branch: a target with its selector
	traitSelector                      // a selector that is looked up, not loaded
	traitBound                         // two bounds in memory
)

// traitsSegment are those of instructions that look at descriptors.
const traitsSegment = traitSegmentLoad | traitFarPointer | traitFar | traitSelector

// rowInfo is what the generator derives of a row once.
type rowInfo struct {
	trait trait
	// memSize is the size of the memory operand in bytes.
	memSize uint8
	// lock says that LOCK is allowed with memory.
	lock bool
}

// infos is indexed by row.
var infos = makeInfos()

func makeInfos() []rowInfo {
	rows := isa.Rows()
	infos := make([]rowInfo, len(rows)+1)
	for i := range rows {
		infos[rows[i].ID] = infoOf(&rows[i])
	}
	return infos
}

func infoOf(row *isa.Row) rowInfo {
	info := rowInfo{lock: row.Attr&isa.AttrLock != 0}
	for i := range row.NumOperands {
		op := &row.Operands[i]
		switch op.Kind {
		case isa.KindRM, isa.KindMem, isa.KindMoffs, isa.KindSource, isa.KindDest, isa.KindXlat:
			info.memSize = max(info.memSize, op.Size)
		}
		info.trait |= operandTraits(op)
	}
	for i := range row.Implicit {
		if op := &row.Implicit[i]; op.Kind == isa.KindSource || op.Kind == isa.KindDest {
			info.memSize = max(info.memSize, op.Size)
			info.trait |= operandTraits(op)
		}
	}
	info.trait |= mnemonicTraits(row)
	return info
}

func operandTraits(op *isa.Operand) trait {
	switch op.Kind {
	case isa.KindSource, isa.KindDest:
		return traitString
	case isa.KindMoffs:
		return traitMoffs
	case isa.KindXlat:
		return traitXlat
	case isa.KindRel:
		return traitRelative
	}
	return 0
}

func mnemonicTraits(row *isa.Row) trait {
	name := row.Mnemonic.String()
	var t trait
	switch name {
	case "SHL", "SHR", "SAR", "SAL", "ROL", "ROR", "RCL", "RCR", "SHLD", "SHRD":
		for i := range row.NumOperands {
			if op := &row.Operands[i]; op.Kind == isa.KindFixed && op.Reg == x86.RCX {
				t |= traitShiftCL
			}
		}
	case "DIV":
		t |= traitDivide
	case "IDIV":
		t |= traitDivide | traitSigned
	case "LSS", "LFS", "LGS", "LES", "LDS":
		t |= traitFarPointer
	case "LAR", "LSL", "VERR", "VERW", "ARPL":
		t |= traitSelector
	case "BOUND":
		t |= traitBound
	case "IRET", "IRETD", "IRETQ":
		t |= traitFar
	case "LEAVE":
		t |= traitLeave
	case "ENTER":
		t |= traitEnter
	case "CMPXCHG":
		t |= traitCmpxchg
	case "CMPXCHG8B":
		t |= traitCmpxchg8
	case "CMPXCHG16B":
		t |= traitCmpxchg8 | traitAligned
	case "BT", "BTS", "BTR", "BTC":
		if row.NumOperands == 2 && row.Operands[1].Kind == isa.KindReg {
			t |= traitBitString
		}
	}
	switch {
	case strings.HasPrefix(name, "POPF"):
		t |= traitPopFlags
	case strings.HasPrefix(name, "LOOP"), strings.HasSuffix(name, "CXZ"):
		t |= traitCount
	case strings.HasPrefix(name, "MOVS"), strings.HasPrefix(name, "CMPS"), strings.HasPrefix(name, "STOS"),
		strings.HasPrefix(name, "LODS"), strings.HasPrefix(name, "SCAS"):
		if row.Attr&(isa.AttrRep|isa.AttrRepZ) != 0 {
			t |= traitString
		}
	case name == "XLAT" || name == "XLATB":
		t |= traitXlat
	}
	if row.Attr&isa.AttrBranch != 0 && row.Attr&isa.AttrFar == 0 && t&traitRelative == 0 {
		if row.NumOperands == 1 && (row.Operands[0].Kind == isa.KindRM || row.Operands[0].Kind == isa.KindRMReg) {
			t |= traitIndirect
		} else if strings.HasPrefix(name, "RET") {
			t |= traitReturn
		}
	}
	if row.Attr&isa.AttrFar != 0 && (name == "CALL" || name == "JMP" || name == "RETF") {
		t |= traitFar
	}
	for i := range row.NumOperands {
		if op := &row.Operands[i]; op.Class == x86.ClassSegment && op.Access&isa.Write != 0 {
			t |= traitSegmentLoad
		}
	}
	return t
}
