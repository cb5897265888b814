package x86

import "fmt"

// Mode is the operating mode in which an instruction is decoded and executed
// (SDM vol. 1, 3.1). The zero value is Real.
type Mode uint8

// The modes, by the names of the case schema.
const (
	Real Mode = iota
	VM86
	Protected16
	Protected32
	Compat16
	Compat32
	Long64
	numModes
)

var modeNames = [numModes]string{"real", "vm86", "protected16", "protected32", "compat16", "compat32", "long64"}

// String returns the name of the case schema, as "long64".
func (m Mode) String() string {
	if m < numModes {
		return modeNames[m]
	}
	return fmt.Sprintf("Mode(%d)", uint8(m))
}

// Width returns the width of code in bits: 16, 32 or 64.
func (m Mode) Width() int {
	switch m {
	case Long64:
		return 64
	case Protected32, Compat32:
		return 32
	default:
		return 16
	}
}

// ParseMode returns the mode with the given name. It accepts the names of the
// case schema and the code widths "16", "32" and "64", which mean compat16,
// compat32 and long64.
func ParseMode(name string) (Mode, error) {
	switch name {
	case "16":
		return Compat16, nil
	case "32":
		return Compat32, nil
	case "64":
		return Long64, nil
	}
	for m, n := range modeNames {
		if n == name {
			return Mode(m), nil
		}
	}
	return 0, fmt.Errorf("mode %q: want 16, 32, 64 or one of %v", name, modeNames)
}
