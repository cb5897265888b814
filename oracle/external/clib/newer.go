package clib

import (
	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// everything is a CPU with every feature of the table, and Intel's choices:
// what the libraries decode for.
var everything = &isa.Profile{Name: "everything", Vendor: isa.Intel, Features: isa.AllFeatures(), VirtualBits: 48}

// without is everything but the features of that name; those that the table
// does not have are passed over.
func without(names ...string) *isa.Profile {
	p := *everything
	for _, n := range names {
		if f, err := isa.ParseFeature(n); err == nil {
			p.Features = p.Features.Without(f)
		}
	}
	return &p
}

// needs says that the string is an instruction that a CPU of that profile
// lacks, and another has. The table decides, so that the condition is by
// feature and not by a list of opcodes.
func needs(p *isa.Profile) func(l *oracle.Lexed) bool {
	return func(l *oracle.Lexed) bool {
		var in decode.Inst
		if decode.Decode(&in, l.Code, l.Mode, everything) != decode.Valid {
			return false
		}
		row := in.Row
		return decode.Decode(&in, l.Code, l.Mode, p) != decode.Valid || in.Row != row
	}
}

// rejects says that the library rejects what is valid.
func rejects(_ *oracle.Lexed, right, wrong *oracle.Decoded) bool { return right.Valid && !wrong.Valid }

// named says that the library gives one of these wrong names: pairs of its
// name and the right one.
func named(pairs ...string) func(l *oracle.Lexed, right, wrong *oracle.Decoded) bool {
	return func(_ *oracle.Lexed, right, wrong *oracle.Decoded) bool {
		for i := 0; i+1 < len(pairs); i += 2 {
			if wrong.Mnemonic == pairs[i] && right.Mnemonic == pairs[i+1] {
				return true
			}
		}
		return false
	}
}

// lacks is a gap in a library's tables: it rejects the instructions of those
// features, or gives them the name that the opcode has without its prefix.
func lacks(name, reason string, features []string, evidence ...oracle.Evidence) oracle.Quirk {
	return oracle.Quirk{
		Name: name, When: needs(without(features...)), Decoded: oracle.DecodedAll, Reason: reason, Evidence: evidence,
		Wrong: func(_ *oracle.Lexed, right, wrong *oracle.Decoded) bool {
			return right.Valid && (!wrong.Valid || wrong.Mnemonic != right.Mnemonic)
		},
	}
}

// gaps are those of one library, of that version.
func gaps(engine, version string, rows ...oracle.Quirk) []oracle.Quirk {
	for i := range rows {
		rows[i].Engine, rows[i].Reason = engine, version+" "+rows[i].Reason
	}
	return rows
}

// rejected is evidence of an instruction that a library does not know.
func rejected(bytes, truth string, length uint8, source string) oracle.Evidence {
	return oracle.Evidence{Bytes: bytes, Mode: x86.Long64, Says: "invalid", Truth: truth, Source: source, Executes: oracle.CPUValid, Length: length}
}
