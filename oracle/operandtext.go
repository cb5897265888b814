package oracle

import (
	"fmt"
	"strings"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// String returns the operand with every field that counts in comparison, as
// "reg rax", "imm8 0x5", "mem8 fs:[rax+rcx*4-0x10] a64", "rel -0x2", "far32
// 0x1234:0x5678". ParseOperand reads it back. An index is written as a
// general-purpose register whatever its file, but for the numbers above 15.
func (o Operand) String() string {
	switch o.Kind {
	case OperandRegister:
		return "reg " + decode.RegisterName(o.Class, o.Register, o.Size)
	case OperandImmediate:
		return fmt.Sprintf("imm%d %#x", int(o.Size)*8, uint64(o.Value))
	case OperandRelative:
		return fmt.Sprintf("rel %#x", o.Value)
	case OperandFar:
		return fmt.Sprintf("far%d %#x:%#x", int(o.Size)*8, uint64(o.Value)>>32, uint32(o.Value))
	case OperandMemory:
		return o.memoryText()
	}
	return "none"
}

func (o Operand) memoryText() string {
	var parts []string
	switch o.Base {
	case x86.RegNone:
	case x86.RegRIP:
		parts = append(parts, "rip")
	default:
		parts = append(parts, x86.GPRName(o.Base, o.AddrSize))
	}
	if o.Index != x86.RegNone {
		name := x86.GPRName(o.Index, o.AddrSize)
		if o.Index >= x86.NumGPR {
			name = fmt.Sprintf("zmm%d", o.Index)
		}
		parts = append(parts, fmt.Sprintf("%s*%d", name, o.Scale))
	}
	text := strings.Join(parts, "+")
	switch {
	case text == "":
		text = fmt.Sprintf("%#x", uint64(o.Value))
	case o.Value != 0:
		text += fmt.Sprintf("%+#x", o.Value)
	}
	return fmt.Sprintf("mem%d %s:[%s] a%d", int(o.Size)*8, o.Segment, text, int(o.AddrSize)*8)
}

// disassemble returns the instruction in Intel's syntax, "(bad)" for none.
func disassemble(in *decode.Inst) string {
	if in == nil {
		return "(bad)"
	}
	return in.Text()
}
