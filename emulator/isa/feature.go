package isa

import (
	"fmt"
	"strings"
)

// Feature is an extension that CPUID announces. FeatureNone is what every
// x86-64 CPU has.
type Feature uint16

// featureInfo is a line of features.txt.
type featureInfo struct {
	name string
	// leaf and subleaf of CPUID; register is 0 EAX to 3 EDX. The feature is
	// there when the field of width bits from bit on is at least least; with
	// width 0 CPUID does not announce it.
	leaf, subleaf        uint32
	register, bit, width uint8
	least                uint32
}

var features []featureInfo

// String returns the name of the CPUID description, as "BMI1"; "" for
// FeatureNone.
func (f Feature) String() string {
	if int(f) < len(features) {
		return features[f].name
	}
	return fmt.Sprintf("Feature(%d)", uint16(f))
}

// ParseFeature returns the feature of that name, in any case.
func ParseFeature(name string) (Feature, error) {
	for i := range features {
		if i > 0 && strings.EqualFold(features[i].name, name) {
			return Feature(i), nil
		}
	}
	return 0, fmt.Errorf("feature %q: no such CPUID feature in the table", name)
}

// FeatureSet is a set of features. FeatureNone is a member of every set.
type FeatureSet [4]uint64

// Has says whether f is in the set.
func (s *FeatureSet) Has(f Feature) bool {
	return f == FeatureNone || s[f/64&3]>>(f%64)&1 != 0
}

// With returns the set with more members.
func (s FeatureSet) With(more ...Feature) FeatureSet {
	for _, f := range more {
		s[f/64&3] |= 1 << (f % 64)
	}
	return s
}

// Without returns the set with fewer members.
func (s FeatureSet) Without(fewer ...Feature) FeatureSet {
	for _, f := range fewer {
		s[f/64&3] &^= 1 << (f % 64)
	}
	return s
}

// List returns the members in the order of the table.
func (s *FeatureSet) List() []Feature {
	var out []Feature
	for f := Feature(1); int(f) < len(features); f++ {
		if s.Has(f) {
			out = append(out, f)
		}
	}
	return out
}

// String returns the members' names, as "BMI1 BMI2".
func (s FeatureSet) String() string {
	var names []string
	for _, f := range s.List() {
		names = append(names, f.String())
	}
	return strings.Join(names, " ")
}

// AllFeatures returns the set of every feature in the table: what a decoder
// that should know all rows is given.
func AllFeatures() FeatureSet {
	var s FeatureSet
	for f := range features {
		if f > 0 {
			s = s.With(Feature(f))
		}
	}
	return s
}

// FeaturesFromCPUID asks CPUID for each feature of the table. The function
// answers EAX, EBX, ECX, EDX of a leaf and subleaf.
func FeaturesFromCPUID(cpuid func(leaf, subleaf uint32) [4]uint32) FeatureSet {
	var s FeatureSet
	basic, extended := cpuid(0, 0)[0], cpuid(0x80000000, 0)[0]
	for i := 1; i < len(features); i++ {
		f := &features[i]
		if f.width == 0 || f.leaf < 0x80000000 && f.leaf > basic || f.leaf >= 0x80000000 && f.leaf > extended {
			continue
		}
		if cpuid(f.leaf, f.subleaf)[f.register]>>f.bit&(1<<f.width-1) >= f.least {
			s = s.With(Feature(i))
		}
	}
	return s
}
