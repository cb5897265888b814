package silicon

import (
	"fmt"
	"strings"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// QuarantineEntry is an entry of the quarantine list.
type QuarantineEntry struct {
	// Encoding is the opcode with its map and what it is restricted to, as
	// "0F C7 /6 register".
	Encoding string
	Reason   string
	// Instead is what of such an instruction is compared all the same.
	Instead string
}

// insteadOfResult: the Decoder runs these instructions too, for their length.
const insteadOfResult = "validity and length, by the decoder"

// Quarantine returns the list of what is not run, or not compared, because its
// result is this machine's.
func Quarantine() []QuarantineEntry {
	var list []QuarantineEntry
	for i := range quarantine {
		list = append(list, QuarantineEntry{quarantine[i].encoding(), quarantine[i].reason, insteadOfResult})
	}
	return append(list,
		QuarantineEntry{"CF", reasonIRETAlign, "every other IRET"},
		QuarantineEntry{"F0, 86, 87", reasonSplitLock, "the same within a cache line"},
	)
}

func (q *quarantineRow) encoding() string {
	var b strings.Builder
	for bit, name := range []string{"66 ", "F2 ", "F3 "} {
		if q.prefixes&(1<<bit) != 0 {
			b.WriteString(name)
		}
	}
	b.WriteString([]string{mapOne: "", map0F: "0F ", map0F38: "0F 38 ", map0F3A: "0F 3A "}[q.opmap])
	fmt.Fprintf(&b, "%02X", q.opcode)
	switch q.mask {
	case 0:
	case reg:
		fmt.Fprintf(&b, " /%d", q.modrm>>3)
	default:
		fmt.Fprintf(&b, " %02X", q.modrm)
	}
	switch q.form {
	case formMemory:
		b.WriteString(" memory")
	case formRegister:
		if q.mask == reg {
			b.WriteString(" register")
		}
	}
	return b.String()
}

// QuarantineShare counts the rows of the instruction table of which some form is
// in quarantine, and all rows.
func QuarantineShare() (quarantinedRows, rows int) {
	var buf [32]byte
	table := isa.Rows()
	for i := range table {
		rows++
		if rowQuarantined(buf[:0], table[i].ID) {
			quarantinedRows++
		}
	}
	return quarantinedRows, rows
}

func rowQuarantined(buf []byte, id isa.ID) bool {
	for _, m := range []x86.Mode{x86.Long64, x86.Compat32, x86.Compat16} {
		for mod := range uint8(4) {
			code := decode.Encode(buf, id, m, decode.Form{Mod: mod})
			if len(code) == 0 {
				continue
			}
			var s shape
			s.analyse(code[:min(len(code), 15)], uint8(m.Width()), branchIgnores)
			if quarantined(&s) != "" {
				return true
			}
		}
	}
	return false
}
