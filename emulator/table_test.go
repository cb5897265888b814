package emulator_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/seed-4e121ece/ringfence/emulator"
	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// TestTableSaysWhatChanges runs random instructions: a flag changes only if
// the row's flags column says so, a register is written only if an operand of
// the row, named or implied, is.
func TestTableSaysWhatChanges(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	wrong := map[string]int{}
	var fx emulator.Effects
	for range 150_000 {
		p := profile(isa.Vendor(r.IntN(2)))
		e := emulator.New(p, step.HookAll&^step.HookValidate)
		w := &wild{rand: r, code: randomCode(r), asked: map[string]int{}}
		state := randomState(r)
		fx.Resume = false
		if e.Step(&state, w, &fx) != emulator.Okay {
			continue
		}
		row := isa.Get(fx.Inst.Row)
		if row.Mnemonic == isa.POPA || row.Mnemonic == isa.POPAD {
			continue // the row names the stack for all the registers
		}
		if fx.FlagsDirty {
			changed := x86.Flags(fx.RFLAGS^state.RFLAGS) &^ (x86.RF | mayChange(row))
			if changed != 0 {
				wrong[fmt.Sprintf("%v changes %v", row, changed)]++
			}
		}
		for n := range uint8(x86.NumGPR) {
			if fx.GPRDirty>>n&1 != 0 && !mayWrite(row, &fx.Inst, n) {
				wrong[fmt.Sprintf("%v writes %s", row, x86.GPRName(n, 8))]++
			}
		}
	}
	for what, n := range wrong {
		t.Errorf("%d times: %s", n, what)
	}
}

// mayChange are the flags that a row's column names.
func mayChange(r *isa.Row) x86.Flags {
	f := r.Flags.Modified | r.Flags.Set | r.Flags.Cleared | r.Flags.Undefined
	for _, u := range r.Flags.Rules {
		f |= u.Flags
	}
	return f
}

// mayWrite says whether general-purpose register n is an operand that the row
// writes.
func mayWrite(r *isa.Row, in *decode.Inst, n uint8) bool {
	for i := range r.Operands[:r.NumOperands] {
		if o := &r.Operands[i]; o.Access&isa.Write != 0 && registerOf(o, in, n) {
			return true
		}
	}
	for i := range r.Implicit {
		o := &r.Implicit[i]
		if o.Access&isa.Write != 0 && registerOf(o, in, n) {
			return true
		}
	}
	return false
}

func registerOf(o *isa.Operand, in *decode.Inst, n uint8) bool {
	at := uint8(0xff)
	switch o.Kind {
	case isa.KindReg:
		at = in.Reg
	case isa.KindRM, isa.KindRMReg, isa.KindOpcode:
		if !in.IsMem {
			at = in.RM
		}
	case isa.KindFixed:
		at = o.Reg
	case isa.KindVVVV:
		at = in.VVVV
	}
	switch o.Class {
	case x86.ClassHigh:
		return at-4 == n
	case x86.ClassGPR:
		return at == n || o.Size == 1 && in.REX == 0 && at >= 4 && at < 8 && at-4 == n
	}
	return false
}
