package reach

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

func row(t *testing.T, syntax string, m isa.ModeSet) *isa.Row {
	t.Helper()
	rows := isa.Rows()
	for i := range rows {
		if rows[i].Syntax == syntax && rows[i].Modes&m != 0 {
			return &rows[i]
		}
	}
	t.Fatalf("no row %q", syntax)
	return nil
}

func TestPossible(t *testing.T) {
	every := Of(Fetch, Length)
	for _, d := range []struct {
		syntax string
		mode   x86.Mode
		want   Kinds
	}{
		{"CLC", x86.Long64, every | Of(Retired, Lock)},
		{"CLC", x86.Compat32, every | Of(Retired, Lock, GP)},
		{"ADD r/m8, r8", x86.Long64, every | Of(Retired, Lock, PF, GP, SS)},
		{"ADD r/m16, r16", x86.Long64, every | Of(Retired, Lock, PF, GP, SS, AC)},
		{"CMPXCHG8B m64", x86.Long64, every | Of(Retired, PF, GP, SS, AC)},
		{"CMPXCHG16B m128", x86.Long64, every | Of(Retired, PF, GP, SS)},
		{"LEA r64, m", x86.Long64, every | Of(Retired, Lock)},
		{"MOV AL, moffs8", x86.Long64, every | Of(Retired, Lock, PF, GP)},
		{"MOV AL, moffs8", x86.Compat32, every | Of(Retired, Lock, PF, GP, SS)},
		{"PUSH r64", x86.Long64, every | Of(Retired, Lock, PF, SS, AC)},
		{"DIV r/m8", x86.Long64, every | Of(Retired, Lock, PF, GP, SS, DE)},
		{"JMP rel8", x86.Long64, every | Of(Retired, Lock)},
		{"JMP rel8", x86.Compat16, every | Of(Retired, Lock, GP)},
		{"JMP r/m64", x86.Long64, every | Of(Retired, Lock, PF, GP, SS, AC)},
		{"HLT", x86.Long64, every | Of(Lock, GP)},
		{"IN AL, DX", x86.Long64, every | Of(Lock, GP)},
		{"UD2", x86.Long64, every | Of(Lock, UD)},
		{"INTO", x86.Compat32, every | Of(Retired, Lock, GP, OF)},
		{"LES r32, m16:32", x86.Compat32, every | Of(Retired, Lock, PF, GP, SS, AC, GPSelector, NP)},
		{"POP SS", x86.Compat32, every | Of(Retired, Lock, PF, GP, SS, AC, GPSelector, SSSelector)},
		{"RETF", x86.Long64, every | Of(Retired, Lock, PF, GP, SS, AC, GPSelector, NP)},
		{"PREFETCHNTA m8", x86.Long64, every | Of(Retired, Lock)},
	} {
		set := isa.Mode64
		if d.mode != x86.Long64 {
			set = isa.Mode32 | isa.Mode16
		}
		require.Equal(t, d.want.String(), Possible(row(t, d.syntax, set), d.mode, isa.Intel).String(), "%s in %v", d.syntax, d.mode)
	}
}

// Each general-purpose row has a family, and only system instructions have the
// last one.
func TestFamily(t *testing.T) {
	for syntax, want := range map[string]string{
		"ADD r/m8, r8": "arithmetic", "MOV Sreg, r/m16": "segment loads", "MOVSD": "strings", "CMPSB": "strings", "SETE r/m8": "conditional moves, sets",
		"JMP m16:32": "far branches", "JMP rel8": "near branches", "HLT": "system, privileged", "CPUID": "system, other", "POP SS": "segment loads",
		"IRETD": "far branches", "MFENCE": "hints, caches",
	} {
		require.Equal(t, want, Family(row(t, syntax, isa.ModeAll)), syntax)
	}
	rows := isa.Rows()
	for i := range rows {
		r := &rows[i]
		if r.Attr&(isa.AttrX87|isa.AttrVector|isa.AttrSystem|isa.AttrFar) == 0 && r.Feature == 0 {
			require.NotEqual(t, "system, other", Family(r), r.String())
		}
	}
}

func TestCell(t *testing.T) {
	var l Cell
	c := &oracle.Case{State: x86.State{RFLAGS: 0x202}}
	in := &decode.Inst{Row: 1}
	okay := &oracle.Result{Outcome: step.Okay, State: x86.State{RFLAGS: 0x202}}
	require.True(t, l.Take(c, in, okay, oracle.RuleNone), "the first case is something new")
	require.False(t, l.Take(c, in, okay, oracle.RuleNone), "the same again is not")

	bit := *okay
	bit.State.GPR[3] = 1 << 17
	require.True(t, l.Take(c, in, &bit, oracle.RuleNone), "a bit toggled")
	flag := *okay
	flag.State.RFLAGS |= uint64(x86.ZF)
	require.True(t, l.Take(c, in, &flag, oracle.RuleNone), "a flag was set")
	require.Equal(t, x86.ZF, l.Set)

	fault := func(e x86.Event) *oracle.Result {
		return &oracle.Result{Outcome: step.Exception, Event: e}
	}
	require.True(t, l.Take(c, in, fault(x86.FaultCode(x86.VectorGP, 0)), oracle.RuleNone))
	require.True(t, l.Take(c, in, fault(x86.FaultCode(x86.VectorGP, 0x30)), oracle.RuleNone), "another cause of the same vector")
	require.True(t, l.Take(c, in, fault(x86.PageFault(x86.PFUser|x86.PFFetch, 1)), oracle.RuleNone))
	require.Equal(t, Of(Retired, GP, GPSelector, Fetch), l.Kinds)

	gone := &oracle.Result{Ending: oracle.Quarantined, Note: "random"}
	require.False(t, l.Take(c, in, gone, oracle.RuleQuarantined))
	require.Equal(t, "random", l.Note)
	require.EqualValues(t, 8, l.Cases)
	require.EqualValues(t, 7, l.Compared)
	require.EqualValues(t, 4, l.Retired)
}
