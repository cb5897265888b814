package silicon

import (
	"sync"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/internal/hostcpu"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// Profile returns the profile of the CPU that answers: CPUID's, and the
// features that CPUID does not show although their instructions run. A
// hypervisor can hide a CPUID bit but often not the instruction (PTWRITE and
// HRESET were seen so). Where the CPU cannot be asked it is hostcpu.Profile.
// The caller must not change it.
func Profile() *isa.Profile {
	p, _ := profile()
	return p
}

// HiddenFeatures returns the features that Profile has and CPUID does not
// show.
func HiddenFeatures() []isa.Feature {
	_, hidden := profile()
	return hidden
}

var profile = sync.OnceValues(func() (*isa.Profile, []isa.Feature) {
	p := *hostcpu.Profile()
	e, err := New()
	if err != nil {
		return &p, nil
	}
	defer e.Close()
	hidden, err := e.hidden(p.Features)
	if err != nil {
		return &p, nil
	}
	p.Features = p.Features.With(hidden...)
	return &p, hidden
})

// hidden tries a row of each feature that is not in shown, and returns those
// whose row the CPU does not take for undefined. A row that is another valid
// instruction without its feature tells nothing.
func (e *Executor) hidden(shown isa.FeatureSet) ([]isa.Feature, error) {
	var features []isa.Feature
	var cases []oracle.Case
	for _, r := range isa.Rows() {
		if r.Feature == 0 || shown.Has(r.Feature) || !shown.Has(r.Also) || r.Fallback != 0 || r.Modes&isa.Mode64 == 0 || r.Attr&(isa.AttrX87|isa.AttrVector) != 0 {
			continue
		}
		for _, mod := range []uint8{0, 3} {
			code := decode.Encode(nil, r.ID, x86.Long64, decode.Form{Mod: mod, RM: x86.RBX})
			if len(code) == 0 {
				continue
			}
			c := NewCase(code)
			c.State.GPR[x86.RBX] = oracle.DataBase
			features, cases = append(features, r.Feature), append(cases, c)
		}
	}
	results := make([]oracle.Result, len(cases))
	for i := range results {
		results[i].Memory = make([]byte, len(cases[i].Memory))
	}
	if err := e.Run(cases, results); err != nil {
		return nil, err
	}
	var hidden []isa.Feature
	var seen isa.FeatureSet
	for i := range results {
		r, f := &results[i], features[i]
		undefined := r.Outcome == step.Exception && r.Event.Vector == x86.VectorUD
		if r.Ending == oracle.Ended && !undefined && !seen.Has(f) {
			seen = seen.With(f)
			hidden = append(hidden, f)
		}
	}
	return hidden, nil
}
