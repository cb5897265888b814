// Package x86asm adapts golang.org/x/arch/x86/x86asm, the reference decoder in
// Go, to oracle.Decoder. It is one voter and never the last word: where it is
// known to be wrong, a quirk row of this package says so with its evidence.
//
// Two decoders are compared on canonical values, never on text. What only
// differs in naming between x86asm and the manual is turned into the manual's
// form here, each rule once and with its reason (canonical.go); what is wrong
// stays as it is and is a quirk.
package x86asm

import (
	"golang.org/x/arch/x86/x86asm"

	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// Name is the engine's name.
const Name = "x86asm"

// Decoder is the reference decoder. The zero value is ready; it keeps no
// state, so that any number of goroutines may use it.
type Decoder struct{}

// New returns the decoder.
func New() *Decoder { return &Decoder{} }

// profile is what Profile returns.
var profile = isa.Profile{Name: "x86asm", Vendor: isa.Intel, Features: isa.AllFeatures().Without(isa.FeatureAPXF), VirtualBits: 48}

// Profile returns the CPU that x86asm decodes for: one with every feature but
// APX, which gives encodings that x86asm knows another meaning, and
// Intel's where the vendors differ (near branches with 66). A decoder that asks
// the CPU at hand must be given this one, or the two differ for what that CPU
// lacks. The caller must not change it.
func Profile() *isa.Profile { return &profile }

// Name returns "x86asm".
func (*Decoder) Name() string { return Name }

// Decode decodes the first instruction of code. x86asm itself allocates for
// memory operands and large immediates; the rest does not.
//
// An answer counts as an instruction if there is no error, an Op (x86asm
// answers a prefix that it cannot place as an instruction of one byte without
// Op), and a length of at most 15. A LOCK that x86asm only marks as invalid is
// taken as accepted.
func (*Decoder) Decode(code []byte, mode x86.Mode, d *oracle.Decoded) {
	*d = oracle.Decoded{Covered: true}
	in, err := x86asm.Decode(code, mode.Width())
	switch {
	case err != nil:
		d.Reason = reasonOf(err)
	case in.Op == 0:
		d.Reason = "a prefix without an instruction"
	case in.Len > 15:
		d.Reason = "more than 15 bytes"
	default:
		canonical(&in, mode, code, d)
	}
}

// reasonOf returns a static text for an error of x86asm, so that the hot path
// does not build one.
func reasonOf(err error) string {
	switch err {
	case x86asm.ErrTruncated:
		return "truncated"
	case x86asm.ErrUnrecognized:
		return "unrecognized"
	}
	return err.Error()
}
