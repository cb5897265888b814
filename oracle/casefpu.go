package oracle

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// fpuField is a register of the x87 and vector state in the case schema.
type fpuField struct {
	name string
	n    int // its number; in the table below, how many there are, 0 for one without number
	bits int
	// components has what a case that names the register loads.
	components x86.Component
}

// The registers. FTW is the abridged tag word, as FXSAVE has it: 8 bits.
var fpuFields = []fpuField{
	{"st", 8, 80, ComponentsBasic},
	{"fcw", 0, 16, ComponentsBasic},
	{"fsw", 0, 16, ComponentsBasic},
	{"ftw", 0, 8, ComponentsBasic},
	{"fop", 0, 16, ComponentsBasic},
	{"fip", 0, 64, ComponentsBasic},
	{"fdp", 0, 64, ComponentsBasic},
	{"mxcsr", 0, 32, ComponentsBasic},
	{"xmm", 32, 128, ComponentsBasic},
	{"ymm", 32, 256, ComponentsBasic | x86.ComponentAVX},
	{"zmm", 32, 512, componentsAVX512},
	{"k", 8, 64, componentsAVX512},
}

// componentsAVX512 are the components of AVX-512, which go together.
const componentsAVX512 = ComponentsBasic | x86.ComponentAVX | x86.ComponentOpmask | x86.ComponentZMMHigh | x86.ComponentZMM16

// fpuRegister finds a register by name.
func fpuRegister(name string) (fpuField, bool) {
	for _, f := range fpuFields {
		count := f.n
		if count == 0 {
			if f.name == name {
				return f, true
			}
			continue
		}
		for i := range count {
			if name == fmt.Sprint(f.name, i) {
				f.n = i
				if f.bits >= 128 && i >= 16 {
					f.components = componentsAVX512
				}
				return f, true
			}
		}
	}
	return fpuField{}, false
}

// fpuValue reads the value of a register of the x87 and vector state.
func (p *caseParser) fpuValue(f fpuField) error {
	text, at, err := p.str()
	if err != nil {
		return err
	}
	b, err := hexNumber(text, f.bits)
	if err != nil {
		return p.errorf(at, "%.40q: %v", text, err)
	}
	s := &p.c.State
	if s.FPU == nil {
		s.FPU = new(x86.FPU)
		InitFPU(s.FPU, ComponentsBasic)
	}
	s.FPU.Loaded |= f.components
	f.put(s.FPU, b)
	return nil
}

// hexNumber reads a hex number of at most bits bits, and returns it with the
// lowest byte first, padded with zeros to 64 bytes.
func hexNumber(text string, bits int) ([64]byte, error) {
	var b [64]byte
	digits, ok := strings.CutPrefix(text, "0x")
	if !ok || digits == "" {
		return b, fmt.Errorf("want a hex number with 0x")
	}
	digits = strings.TrimLeft(digits, "0")
	if n := bitLen(digits); n > bits {
		return b, fmt.Errorf("a value of %d bits: want at most %d", n, bits)
	}
	if len(digits)%2 != 0 {
		digits = "0" + digits
	}
	v, err := hex.DecodeString(digits)
	if err != nil {
		return b, err
	}
	slices.Reverse(v)
	copy(b[:], v)
	return b, nil
}

// put sets the register.
func (f *fpuField) put(s *x86.FPU, b [64]byte) {
	v := binary.LittleEndian.Uint64(b[:])
	switch f.name {
	case "st":
		s.ST[f.n].Significand, s.ST[f.n].SignExponent = v, binary.LittleEndian.Uint16(b[8:])
	case "fcw":
		s.FCW = uint16(v)
	case "fsw":
		s.FSW = uint16(v)
	case "ftw":
		s.FTW = uint8(v)
	case "fop":
		s.FOP = uint16(v)
	case "fip":
		s.FIP = v
	case "fdp":
		s.FDP = v
	case "mxcsr":
		s.MXCSR = uint32(v)
	case "k":
		s.K[f.n] = v
	default: // the low part of ZMM; what is wider stays
		for i := range f.bits / 64 {
			s.ZMM[f.n][i] = binary.LittleEndian.Uint64(b[8*i:])
		}
	}
}

// get returns the register, lowest byte first.
func (f *fpuField) get(s *x86.FPU) (b [64]byte) {
	v := uint64(0)
	switch f.name {
	case "st":
		v = s.ST[f.n].Significand
		binary.LittleEndian.PutUint16(b[8:], s.ST[f.n].SignExponent)
	case "fcw":
		v = uint64(s.FCW)
	case "fsw":
		v = uint64(s.FSW)
	case "ftw":
		v = uint64(s.FTW)
	case "fop":
		v = uint64(s.FOP)
	case "fip":
		v = s.FIP
	case "fdp":
		v = s.FDP
	case "mxcsr":
		v = uint64(s.MXCSR)
	case "k":
		v = s.K[f.n]
	default:
		for i := range f.bits / 64 {
			binary.LittleEndian.PutUint64(b[8*i:], s.ZMM[f.n][i])
		}
		return b
	}
	binary.LittleEndian.PutUint64(b[:], v)
	return b
}

// fpu writes the registers that differ from the initial state and, so that the
// components are those again when it is read, the first of each; all of them
// if all is set.
func (w *jsonWriter) fpu(s *x86.FPU, all bool) {
	var initial x86.FPU
	InitFPU(&initial, s.Loaded)
	vector := "xmm"
	if s.Loaded&x86.ComponentAVX != 0 {
		vector = "ymm"
	}
	if s.Loaded&x86.ComponentZMMHigh != 0 {
		vector = "zmm"
	}
	for _, f := range fpuFields {
		if f.bits >= 128 && f.name != vector {
			continue
		}
		count := f.n
		if f.bits >= 128 && s.Loaded&x86.ComponentZMM16 == 0 {
			count = 16
		}
		if f.name == "k" && s.Loaded&x86.ComponentOpmask == 0 {
			continue
		}
		for i := range max(count, 1) {
			f.n = i
			name := f.name
			if count > 0 {
				name = fmt.Sprint(f.name, i)
			}
			v := f.get(s)
			must := all || name == "mxcsr" || name == vector+"0" || name == "zmm16" || name == "k0"
			if must || v != f.get(&initial) {
				w.key(name)
				w.hexNumber(v[:f.bits/8])
			}
		}
	}
}

// hexNumber writes a number, lowest byte first in b, without leading zeros.
func (w *jsonWriter) hexNumber(b []byte) {
	v := slices.Clone(b)
	slices.Reverse(v)
	digits := strings.TrimLeft(hex.EncodeToString(v), "0")
	if digits == "" {
		digits = "0"
	}
	w.str("0x" + digits)
}
