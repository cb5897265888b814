package silicon

import (
	"sync"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/internal/hostcpu"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// Profile returns the profile of the CPU that answers: CPUID's, and the
// features that CPUID does not show although their instructions run. A
// hypervisor can hide a CPUID bit but often not the instruction (PTWRITE,
// HRESET and ENQCMD were seen so). Where the CPU cannot be asked it is hostcpu.Profile.
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
	d, err := NewDecoder()
	if err != nil {
		return &p, nil
	}
	defer d.Close()
	hidden := hiddenFrom(d, p.Features)
	p.Features = p.Features.With(hidden...)
	return &p, hidden
})

// hiddenFrom tries the rows of each feature that is not in shown, and returns those
// of which the CPU, as a decoder, takes none for undefined: VMCALL alone, which
// leaves the guest before all else, is not VMX. A row that is another valid
// instruction without its feature tells nothing, nor does one that is undefined
// for user code with it (SEAMRET).
func hiddenFrom(d oracle.BatchDecoder, shown isa.FeatureSet) []isa.Feature {
	var features []isa.Feature
	var codes [][]byte
	for _, r := range isa.Rows() {
		if r.Feature == 0 || shown.Has(r.Feature) || !shown.Has(r.Also) || r.Fallback != 0 || r.Modes&isa.Mode64 == 0 || r.Attr&(isa.AttrX87|isa.AttrVector|isa.AttrCPL0Undefined) != 0 {
			continue
		}
		for _, mod := range []uint8{0, 3} {
			if code := decode.Encode(nil, r.ID, x86.Long64, decode.Form{Mod: mod, RM: x86.RBX}); len(code) > 0 {
				features, codes = append(features, r.Feature), append(codes, code)
			}
		}
	}
	answers := make([]oracle.Decoded, len(codes))
	d.DecodeBatch(codes, x86.Long64, answers)
	var hidden, partly isa.FeatureSet
	for i, f := range features {
		if answers[i].Valid {
			hidden = hidden.With(f)
		} else {
			partly = partly.With(f)
		}
	}
	hidden = hidden.Without(partly.List()...)
	return hidden.List()
}
