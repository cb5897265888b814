package decode

import "github.com/seed-4e121ece/ringfence/emulator/isa"

// entry says how the opcode of one map selects among its rows; see the
// generator's index.go for the formula. It is 0 for an opcode without rows. The
// parts are packed, so that one load has them all; the first slot is in the
// lowest 16 bits.
type entry uint64

// Where the parts of an entry begin.
const (
	entryStride  = 16 // 16 bits: slots a ModRM class
	entryClass   = 32 // index in modrmClasses
	entryContext = 40 // index in contextClasses
	// entryMask: ff if a ModRM byte follows, else 0.
	entryMask = 48
	// entryRegister: C0 if ModRM.mod is ignored and taken as 3, and C0 with the
	// opcode's register if there is no ModRM byte; else 0. With it, whatever is
	// no memory operand reads as ModRM with mod 3.
	entryRegister = 56
)

// slot returns the index in slots of the row that ModRM and context select.
func (e entry) slot(modrm, ctx uint8) int {
	class := modrmClasses[uint8(e>>entryClass)][modrm]
	return int(uint16(e)) + int(class)*int(uint16(e>>entryStride)) + int(contextClasses[uint8(e>>entryContext)][ctx])
}

// modRM is the mask of the ModRM byte: ff if there is one, else 0.
func (e entry) modRM() uint8 { return uint8(e >> entryMask) }

// register is what makes a ModRM byte one with mod 3.
func (e entry) register() uint8 { return uint8(e >> entryRegister) }

// hot is what decoding needs of a row, packed as an entry is; 0 is no row. The
// lowest 16 bits are the row's ID.
type hot uint64

// The parts of hot.
const (
	hotNot16 hot = 1 << (16 + iota) // not valid in 16-bit code
	hotNot32
	hotNot64
	hotLock
	hotNoVVVV
	hotVSIB
	hotControl
	hotDebug
	hotMask // ModRM.reg is an opmask register, or VEX.vvvv is
	hotDistinct
	hotFew      // a register field names a tile or a bound register
	hotIs4      // the immediate names a register
	hotFallback // there is another row without the feature
	hotEVEX
	hotRare // two immediates, or an absolute offset

	hotImm    = 32      // 4 bits: size of the first immediate in bytes
	hotSigned = 1 << 36 // it is sign-extended
	hotSecond = 37      // 3 bits: size of the second immediate
	hotSize   = 40      // index in operandSizes
	// hotFeature and hotAlso are what the row needs, or 0.
	hotFeature = 48
	hotAlso    = 56

	// hotRegisters: registersValid has something to say.
	hotRegisters = hotVSIB | hotControl | hotDebug | hotMask | hotDistinct | hotFew | hotIs4
	// hotChecked: check has something to say.
	hotChecked = hotRegisters | hotNoVVVV | hotEVEX | 0xffff<<hotFeature
	everything = ^hot(0)
)

func (h hot) row() isa.ID { return isa.ID(h) }

// form is how the first immediate is read.
func (h hot) form() *immediateForm { return &immediateForms[h>>hotImm&(2*maxImmediate-1)] }

// imm and second are the sizes of the immediates in bytes.
func (h hot) imm() int    { return int(h >> hotImm & 15) }
func (h hot) second() int { return int(h >> hotSecond & 7) }

// noVVVV is the mask of what must be 0 where vvvv names no register.
func (h hot) noVVVV() uint8 { return -uint8(h / hotNoVVVV & 1) }

// opSize is the operand size in bytes.
func (h hot) opSize(ctx uint8) uint8 { return operandSizes[h>>hotSize&7][ctx] }

// lacking says whether the CPU lacks the row's first feature, missing whether it
// lacks any that the row needs.
func (h hot) lacking(p *isa.Profile) bool {
	return !p.Features.Has(isa.Feature(uint8(h >> hotFeature)))
}

func (h hot) missing(p *isa.Profile) bool {
	return h.lacking(p) || !p.Features.Has(isa.Feature(uint8(h>>hotAlso)))
}

// slots holds for every slot of the index what decoding needs of its row, so
// that one load finds it.
var slots = func() (s [len(slotRows)]hot) {
	for i, row := range slotRows {
		s[i] = hots[row]
	}
	return s
}()

// The bits of a context, by which a row is selected among those of an opcode.
const (
	ctxOpSize   = 1 << 0
	ctxAddrSize = 1 << 1
	ctxRep      = 1 << 2
	ctxRepne    = 1 << 3
	ctxW        = 1 << 4
	ctxB        = 1 << 5
	ctxMode     = 6 // 0 is 16-bit code, 1 32-bit, 2 64-bit on Intel, 3 64-bit on AMD

	vexW        = 1 << 2
	vexL        = 3
	vexAddrSize = 1 << 5
)
