package reach

import (
	"strings"

	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// families are the general-purpose families, each with the mnemonics that make
// it up where no attribute does; * ends a prefix.
var families = []struct {
	name, mnemonics string
}{
	{"arithmetic", "ADD ADC SUB SBB CMP INC DEC NEG ADCX ADOX"},
	{"logic", "AND OR XOR TEST NOT ANDN"},
	{"multiply, divide", "MUL IMUL MULX DIV IDIV"},
	{"decimal", "AAA AAS AAD AAM DAA DAS"},
	{"shifts, rotates", "SHL SHR SAR SAL ROL ROR RCL RCR SHLD SHRD SHLX SHRX SARX RORX"},
	{"bits", "BT BTS BTR BTC BSF BSR LZCNT TZCNT POPCNT BSWAP BEXTR BLS* BLC* T1MSKC TZMSK BZHI PDEP PEXT CRC32"},
	{"conditional moves, sets", "CMOV* SET*"},
	{"exchanges", "XCHG XADD CMPXCHG* AADD AAND AOR AXOR CMP*XADD"},
	{"stack", "PUSH* POP* ENTER LEAVE"},
	{"flags", "CLC STC CMC CLD STD CLI STI LAHF SAHF SALC"},
	{"software interrupts", "INT INT1 INT3 INTO BOUND UD0 UD1 UD2 UDB"},
	{"ports", "IN OUT INS* OUTS*"},
	{"strings", "MOVSB MOVSW MOVSQ CMPS* SCAS* STOS* LODS*"},
	{"moves", "MOV MOVZX MOVSX MOVSXD MOVBE MOVNTI MOVDIR* MOVRS LEA XLATB CBW CWDE CDQE CWD CDQ CQO"},
	{"selectors", "LAR LSL VERR VERW ARPL"},
	{"hints, caches", "NOP PAUSE PREFETCH* ENDBR* CLFLUSH* CLWB CLDEMOTE *FENCE SERIALIZE PTWRITE RDSSP*"},
}

// Family returns the family of a row, for tables.
func Family(row *isa.Row) string {
	name := row.Mnemonic.String()
	switch {
	case row.Attr&isa.AttrFar != 0 && (row.Attr&isa.AttrSystem == 0 || strings.HasPrefix(name, "IRET")):
		return "far branches"
	case row.Attr&isa.AttrBranch != 0 && row.Attr&isa.AttrFar == 0 && row.Attr&isa.AttrSystem == 0:
		return "near branches"
	case row.Attr&isa.AttrCPL0 != 0:
		return "system, privileged"
	case name == "MOVSD" || name == "CMPSD":
		return "strings"
	}
	for _, o := range operands(row) {
		if o.Class == x86.ClassSegment && o.Access&isa.Write != 0 {
			return "segment loads"
		}
	}
	for _, f := range families {
		for m := range strings.FieldsSeq(f.mnemonics) {
			if matches(m, name) {
				return f.name
			}
		}
	}
	return "system, other"
}

// matches compares a name with a pattern with at most one *.
func matches(pattern, name string) bool {
	before, after, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == name
	}
	return len(name) >= len(before)+len(after) && strings.HasPrefix(name, before) && strings.HasSuffix(name, after)
}
