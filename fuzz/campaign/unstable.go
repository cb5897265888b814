package campaign

import (
	"bytes"
	"encoding/hex"
	"slices"

	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// again runs the batch of a pending divergence again and says whether the
// reference stands by its answer.
func (w *worker) again(p *pending) (bool, error) {
	for range 3 {
		reference, err := w.differ.Ask(w.cases[:w.batched])
		if err != nil {
			return false, err
		}
		if r := &reference[p.index]; !same(&p.reference, r) {
			w.unstable = append(w.unstable, unstable(p, r))
			return false, nil
		}
	}
	return true, nil
}

// unstable describes a reference's two answers to one case.
func unstable(p *pending, second *oracle.Result) Unstable {
	first := &p.reference
	u := Unstable{
		Code: hex.EncodeToString(p.kase.CodeBytes()), Text: p.inst.Text(),
		Outcomes: [2]string{oracle.OutcomeText(first), oracle.OutcomeText(second)},
	}
	if x := x86.Flags(first.State.RFLAGS ^ second.State.RFLAGS); x != 0 {
		u.Detail = "rflags: " + x.String()
	}
	return u
}

// same says whether two answers of one engine to one case are the same. The
// log of accesses is not compared.
func same(a, b *oracle.Result) bool {
	if a.Ending != b.Ending || a.Outcome != b.Outcome || a.Retire != b.Retire || a.NumStray != b.NumStray {
		return false
	}
	if a.Outcome == step.Exception && a.Event != b.Event {
		return false
	}
	n := min(a.NumStray, oracle.MaxStray)
	return a.State == b.State && a.FSBase == b.FSBase && a.GSBase == b.GSBase &&
		slices.Equal(a.Stray[:n], b.Stray[:n]) && bytes.Equal(a.Memory, b.Memory)
}
