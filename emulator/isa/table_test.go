package isa

import (
	"strings"
	"testing"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

func TestRows(t *testing.T) {
	if len(Rows()) != NumRows-1 {
		t.Fatalf("%d rows, want %d", len(Rows()), NumRows-1)
	}
	type key struct {
		text string
		mode ModeSet
	}
	seen := map[key]ID{}
	for i := range Rows() {
		r := &Rows()[i]
		if Get(r.ID) != r || int(r.ID) != i+1 {
			t.Errorf("%s: ID %d at place %d", r, r.ID, i+1)
		}
		name, _, _ := strings.Cut(r.Syntax, " ")
		if r.Mnemonic == MnemonicNone || r.Mnemonic.String() != name {
			t.Errorf("%s: mnemonic %q", r, r.Mnemonic)
		}
		for _, m := range []ModeSet{Mode16, Mode32, Mode64} {
			if r.Modes&m == 0 {
				continue
			}
			// Two rows of one text and mode differ in what the syntax does not
			// show (segment stores by operand size, MOV CR by ModRM).
			if other := Get(seen[key{r.String(), m}]); other.ID != 0 && other.Pattern == r.Pattern {
				t.Errorf("%s: twice", r)
			}
			seen[key{r.String(), m}] = r.ID
		}
		checkOperands(t, r)
	}
}

// checkOperands holds what the executor and the generator take for granted.
func checkOperands(t *testing.T, r *Row) {
	t.Helper()
	if r.Attr&AttrLock != 0 {
		d := r.Operands[0]
		if d.Kind != KindRM && d.Kind != KindMem || d.Access&Write == 0 {
			t.Errorf("%s: LOCK without a destination in memory", r)
		}
	}
	for i, o := range r.Operands {
		if (i < int(r.NumOperands)) != (o.Kind != KindNone) {
			t.Errorf("%s: %d operands, operand %d is of kind %d", r, r.NumOperands, i, o.Kind)
		}
		if (o.Kind == KindImm || o.Kind == KindRel) && o.ImmSize == 0 {
			t.Errorf("%s: operand %d has no size in the encoding", r, i)
		}
		if o.Kind == KindStack {
			t.Errorf("%s: the stack is an explicit operand", r)
		}
		gpr := o.Class == x86.ClassGPR && o.Size != 1 && o.Size != 2 && o.Size != 4 && o.Size != 8
		if gpr {
			t.Errorf("%s: operand %d is %d bytes of a general-purpose register", r, i, o.Size)
		}
	}
	if r.Attr&AttrNop != 0 {
		for _, o := range r.Operands[:r.NumOperands] {
			if o.Access != 0 {
				t.Errorf("%s: an operand of a no-operation is accessed", r)
			}
		}
	}
	if f := r.Flags; f.Modified&f.Undefined|f.Set&f.Cleared|f.Cleared&f.Undefined != 0 {
		t.Errorf("%s: a flag has two effects: %+v", r, f)
	}
}

// byText finds rows; a text may name several (of different modes).
func byText(t *testing.T, text string) *Row {
	t.Helper()
	for i := range Rows() {
		if Rows()[i].String() == text {
			return &Rows()[i]
		}
	}
	t.Fatalf("no row %q", text)
	return nil
}

// TestFlags repeats what the manual says of some rows, so that a slip in the
// text of the table shows.
func TestFlags(t *testing.T) {
	const (
		all   = x86.OF | x86.SF | x86.ZF | x86.AF | x86.PF | x86.CF
		logic = x86.SF | x86.ZF | x86.PF
	)
	tests := []struct {
		row  string
		want FlagEffects
	}{
		{"01 /r ADD r/m32, r32", FlagEffects{Modified: all}},
		{"11 /r ADC r/m32, r32", FlagEffects{Modified: all, Tested: x86.CF}},
		{"21 /r AND r/m32, r32", FlagEffects{Modified: logic, Cleared: x86.OF | x86.CF, Undefined: x86.AF}},
		{"FF /0 INC r/m32", FlagEffects{Modified: all &^ x86.CF}},
		{"F7 /2 NOT r/m32", FlagEffects{}},
		{"F7 /4 MUL r/m32", FlagEffects{Modified: x86.OF | x86.CF, Undefined: x86.SF | x86.ZF | x86.AF | x86.PF}},
		{"F7 /6 DIV r/m32", FlagEffects{Undefined: all}},
		{"D1 /4 SHL r/m32, 1", FlagEffects{Modified: all &^ x86.AF, Undefined: x86.AF}},
		{"C1 /4 ib SHL r/m32, imm8", FlagEffects{Modified: all &^ x86.AF, Rules: []UndefinedRule{
			{When: CountNotOne, Flags: x86.OF}, {When: CountNonZero, Flags: x86.AF},
		}}},
		{"C1 /4 ib SHL r/m16, imm8", FlagEffects{Modified: all &^ x86.AF, Rules: []UndefinedRule{
			{When: CountNotOne, Flags: x86.OF}, {When: CountNonZero, Flags: x86.AF}, {When: CountAtLeastSize, Flags: x86.CF},
		}}},
		{"C1 /7 ib SAR r/m16, imm8", FlagEffects{Modified: all &^ x86.AF, Rules: []UndefinedRule{
			{When: CountNotOne, Flags: x86.OF}, {When: CountNonZero, Flags: x86.AF},
		}}},
		{"D3 /2 RCL r/m32, CL", FlagEffects{Modified: x86.OF | x86.CF, Tested: x86.CF, Rules: []UndefinedRule{{When: CountNotOne, Flags: x86.OF}}}},
		{"D3 /0 ROL r/m32, CL", FlagEffects{Modified: x86.OF | x86.CF, Rules: []UndefinedRule{{When: CountNotOne, Flags: x86.OF}}}},
		{"0F BC /r BSF r32, r/m32", FlagEffects{Modified: x86.ZF, Undefined: all &^ x86.ZF, Rules: []UndefinedRule{{When: SourceZero, Result: true}}}},
		{"F3 0F BC /r TZCNT r32, r/m32", FlagEffects{Modified: x86.ZF | x86.CF, Undefined: x86.OF | x86.SF | x86.AF | x86.PF}},
		{"F3 0F B8 /r POPCNT r32, r/m32", FlagEffects{Modified: x86.ZF, Cleared: all &^ x86.ZF}},
		{"0F A3 /r BT r/m32, r32", FlagEffects{Modified: x86.CF, Undefined: x86.OF | x86.SF | x86.AF | x86.PF}},
		{"0F C8+rd BSWAP r16", FlagEffects{Rules: []UndefinedRule{{When: Size16, Result: true}}}},
		{"0F C7 /1 CMPXCHG8B m64", FlagEffects{Modified: x86.ZF}},
		{"77 cb JA rel8", FlagEffects{Tested: x86.CF | x86.ZF}},
		{"7C cb JL rel8", FlagEffects{Tested: x86.SF | x86.OF}},
		{"VEX.LZ.0F38.W0 F7 /r BEXTR r32a, r/m32, r32b", FlagEffects{Modified: x86.ZF, Cleared: x86.OF | x86.CF, Undefined: x86.SF | x86.AF | x86.PF}},
		{"VEX.LZ.0F38.W0 F3 /2 BLSMSK r32, r/m32", FlagEffects{Modified: x86.SF | x86.CF, Cleared: x86.OF | x86.ZF, Undefined: x86.AF | x86.PF}},
		{"A6 CMPSB", FlagEffects{Modified: all, Tested: x86.DF}},
		{"27 DAA", FlagEffects{Modified: all &^ x86.OF, Tested: x86.AF | x86.CF, Undefined: x86.OF}},
	}
	for _, tt := range tests {
		got := byText(t, tt.row).Flags
		if !sameFlags(got, tt.want) {
			t.Errorf("%s: %+v, want %+v", tt.row, got, tt.want)
		}
	}
}

func sameFlags(a, b FlagEffects) bool {
	if a.Tested != b.Tested || a.Modified != b.Modified || a.Set != b.Set || a.Cleared != b.Cleared || a.Undefined != b.Undefined || len(a.Rules) != len(b.Rules) {
		return false
	}
	for i := range a.Rules {
		if a.Rules[i] != b.Rules[i] {
			return false
		}
	}
	return true
}

// TestDoubleShiftRules: SHLD leaves everything undefined when the count is
// above the size, which only a 16-bit operand allows.
func TestDoubleShiftRules(t *testing.T) {
	for _, name := range []string{"0F A4 /r ib SHLD r/m16, r16, imm8", "0F AD /r SHRD r/m16, r16, CL"} {
		r := byText(t, name)
		found := false
		for _, rule := range r.Flags.Rules {
			if rule.When == CountAboveSize {
				found = rule.Result && rule.Flags == x86.OF|x86.SF|x86.ZF|x86.PF|x86.CF
			}
		}
		if !found || r.Attr&AttrUndefinedResult == 0 {
			t.Errorf("%s: %+v", name, r.Flags.Rules)
		}
	}
	if r := byText(t, "0F A4 /r ib SHLD r/m32, r32, imm8"); r.Attr&AttrUndefinedResult != 0 {
		t.Errorf("%s has an undefined result", r)
	}
}

func TestFeatureSet(t *testing.T) {
	s := FeatureSet{}.With(FeatureBMI1, FeatureALTMOVCR8)
	if !s.Has(FeatureNone) || !s.Has(FeatureBMI1) || s.Has(FeatureBMI2) {
		t.Errorf("wrong members: %s", s)
	}
	if got := s.String(); got != "BMI1 ALTMOVCR8" {
		t.Errorf("names %q", got)
	}
	if s = s.Without(FeatureBMI1); s.Has(FeatureBMI1) || !s.Has(FeatureALTMOVCR8) {
		t.Errorf("wrong members: %s", s)
	}
	all := AllFeatures()
	for f := Feature(1); f < NumFeatures; f++ {
		if !all.Has(f) {
			t.Errorf("%s is not in the set of all", f)
		}
		if got, err := ParseFeature(strings.ToLower(f.String())); err != nil || got != f {
			t.Errorf("%s parses as %s: %v", f, got, err)
		}
	}
	if int(NumFeatures) > 64*len(all) {
		t.Errorf("%d features do not fit", NumFeatures)
	}
	if _, err := ParseFeature("BMI9"); err == nil {
		t.Error("BMI9 is a feature")
	}
}

func TestFeaturesFromCPUID(t *testing.T) {
	asked := map[[2]uint32]bool{}
	s := FeaturesFromCPUID(func(leaf, subleaf uint32) [4]uint32 {
		asked[[2]uint32{leaf, subleaf}] = true
		switch {
		case leaf == 0:
			return [4]uint32{7}
		case leaf == 0x80000000:
			return [4]uint32{0x80000001}
		case leaf == 7 && subleaf == 0:
			return [4]uint32{0, 1 << 3} // EBX: BMI1
		case leaf == 0x80000001:
			return [4]uint32{0, 0, 1 << 5} // ECX: LZCNT
		}
		return [4]uint32{}
	})
	if got := s.String(); got != "BMI1 LZCNT" {
		t.Errorf("features %q, want BMI1 LZCNT", got)
	}
	if asked[[2]uint32{0xd, 1}] || asked[[2]uint32{0x80000008, 0}] {
		t.Error("a leaf above the limit was asked")
	}
}

// TestPrivilege: system rows say who may run them.
func TestPrivilege(t *testing.T) {
	for text, want := range map[string]Attr{
		"F4 HLT":                     AttrCPL0,
		"FA CLI":                     AttrIOPL,
		"EC IN AL, DX":               AttrIOPL,
		"0F 30 WRMSR":                AttrCPL0,
		"NP 0F 01 CA CLAC":           AttrCPL0Undefined,
		"0F A2 CPUID":                0,
		"0F 20 /r MOV r64, CR0-CR7":  AttrCPL0,
		"NP 0F AE 11:101:bbb LFENCE": 0,
	} {
		if got := byText(t, text).Attr & (AttrCPL0 | AttrIOPL | AttrCPL0Undefined); got != want {
			t.Errorf("%s: privilege %b, want %b", text, got, want)
		}
	}
}
