package decode

import "github.com/seed-4e121ece/ringfence/emulator/isa"

// Uncovered returns the group of the gap in the table (isa.Gaps) that an
// undefined encoding lies in, or "": then no CPU that the table describes has
// such an instruction. code is what in was decoded from.
func (in *Inst) Uncovered(code []byte) string {
	start := int(in.PrefixLen)
	if in.Err != Undefined || start+1 >= len(code) {
		return ""
	}
	switch op := code[start]; {
	case op == 0x62:
		return in.evexGap(code[start:])
	case op == 0xc4 || op == 0xc5:
		return in.vexGap(code[start:])
	}
	return in.gap(in.mandatory(), in.ModRM)
}

// vexGap looks an undefined VEX encoding up; vex begins with C4 or C5.
func (in *Inst) vexGap(vex []byte) string {
	if in.prefixForbidsVEX() || len(vex) < 3 {
		return ""
	}
	last := vex[1]
	if vex[0] == 0xc4 {
		last = vex[2]
	}
	prefix := vexRules[last&3]
	if in.HasModRM {
		return in.gap(prefix, in.ModRM)
	}
	if off := int(in.OpcodeOff) - int(in.PrefixLen) + 1; off < len(vex) {
		return in.gap(prefix, vex[off])
	}
	return ""
}

// evexGap looks an undefined EVEX encoding up; evex begins with 62.
func (in *Inst) evexGap(evex []byte) string {
	if in.prefixForbidsVEX() || len(evex) < 6 {
		return ""
	}
	return in.gap(vexRules[evex[2]&3], evex[5])
}

// vexRules is the mandatory prefix by VEX.pp.
var vexRules = [4]isa.PrefixRule{isa.PrefixNP, isa.Prefix66, isa.PrefixF3, isa.PrefixF2}

// gap looks opcode, mandatory prefix and ModRM up in the gaps of the table.
func (in *Inst) gap(prefix isa.PrefixRule, modrm uint8) string {
	for i := range isa.Gaps {
		g := &isa.Gaps[i]
		if g.Map != in.Map || in.Opcode < g.First || in.Opcode > g.Last {
			continue
		}
		if (g.Prefix == isa.PrefixAny || g.Prefix == prefix) && modrm >= g.ModRMFirst && modrm <= g.ModRMLast {
			return g.Group
		}
	}
	return ""
}

// mandatory is the prefix that selects in the legacy maps.
func (in *Inst) mandatory() isa.PrefixRule {
	switch {
	case in.Prefix&PrefixRepne != 0:
		return isa.PrefixF2
	case in.Prefix&PrefixRep != 0:
		return isa.PrefixF3
	case in.Prefix&PrefixOpSize != 0:
		return isa.Prefix66
	}
	return isa.PrefixNP
}

// prefixForbidsVEX says whether a prefix stands before VEX, EVEX or XOP that
// makes it #UD.
func (in *Inst) prefixForbidsVEX() bool {
	return in.Prefix&(PrefixOpSize|PrefixRep|PrefixRepne|PrefixLock) != 0 || in.REX != 0
}
