package oracle

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

func testQuirk(change func(*Quirk)) Quirk {
	q := Quirk{
		Engine: "engine", Name: "name", Map: isa.Map0F, Opcodes: []byte{0x20}, Decoded: DecodedLength, Reason: "reason",
		Evidence: []Evidence{{Bytes: "0f2040", Mode: x86.Long64, Says: "length 4", Truth: "length 3", Source: "CPU"}},
	}
	if change != nil {
		change(&q)
	}
	return q
}

func TestCheckQuirks(t *testing.T) {
	rows := []struct {
		name   string
		change func(*Quirk)
		want   string
	}{
		{"complete", nil, ""},
		{"no name", func(q *Quirk) { q.Name = "" }, "quirk 0: no engine or no name"},
		{"no reason", func(q *Quirk) { q.Reason = "" }, "quirk engine/name: no reason"},
		{"no evidence", func(q *Quirk) { q.Evidence = nil }, "quirk engine/name: no evidence"},
		{"explains nothing", func(q *Quirk) { q.Decoded = 0 }, "quirk engine/name: explains no field"},
		{"bad bytes", func(q *Quirk) { q.Evidence[0].Bytes = "0f2" }, "encoding/hex: odd length hex string"},
		{"no truth", func(q *Quirk) { q.Evidence[0].Truth = "" }, "want what the reference says, what is true and who says so"},
		{"evidence beside the rule", func(q *Quirk) { q.Evidence[0].Bytes = "0f2140" }, "does not match its own evidence"},
	}
	for _, row := range rows {
		err := CheckQuirks([]Quirk{testQuirk(row.change)})
		if row.want == "" {
			assert.NoError(t, err)
			continue
		}
		assert.ErrorContains(t, err, row.want, row.name)
	}
	assert.ErrorContains(t, CheckQuirks([]Quirk{testQuirk(nil), testQuirk(nil)}), "two rows of that name")
}

// TestExplainDecoded: a quirk explains its fields under its condition, no
// more, and counts.
func TestExplainDecoded(t *testing.T) {
	right := Decoded{Covered: true, Valid: true, Length: 3, Mnemonic: "MOV"}
	wrong := Decoded{Covered: true, Valid: true, Length: 4, Mnemonic: "MOV"}
	code := []byte{0x0f, 0x20, 0x40, 0}
	rows := []struct {
		name   string
		change func(*Quirk)
		code   []byte
		diff   DecodedField
		left   DecodedField
	}{
		{"explains", nil, code, DecodedLength, 0},
		{"only its field", nil, code, DecodedLength | DecodedMnemonic, DecodedMnemonic},
		{"only its opcode", nil, []byte{0x0f, 0x21, 0x40}, DecodedLength, DecodedLength},
		{"only its map", nil, []byte{0x20, 0x40}, DecodedLength, DecodedLength},
		{"only under its condition", func(q *Quirk) { q.When = func(l *Lexed) bool { return l.OpSize } }, code, DecodedLength, DecodedLength},
		{"under its condition", func(q *Quirk) { q.When = func(l *Lexed) bool { return l.Mod() == 1 } }, code, DecodedLength, 0},
		{"only its wrong answer", func(q *Quirk) {
			q.Wrong = func(_ *Lexed, right, wrong *Decoded) bool { return wrong.Length == right.Length+2 }
		}, code, DecodedLength, DecodedLength},
		{"any opcode", func(q *Quirk) { q.Opcodes = nil }, []byte{0x90}, DecodedLength, 0},
		{"nothing to explain", nil, code, 0, 0},
	}
	for _, row := range rows {
		s := NewQuirkSet([]Quirk{testQuirk(row.change)})
		left, by := s.ExplainDecoded(row.code, x86.Long64, row.diff, &right, &wrong)
		assert.Equal(t, row.left, left, row.name)
		assert.Equal(t, left != row.diff, by != nil, row.name)
		want := uint64(0)
		if left != row.diff {
			want = 1
		}
		assert.Equal(t, want, s.Counts[0], row.name)
		u := NewQuirkSet(s.Rows)
		u.Merge(s)
		u.Merge(s)
		assert.Equal(t, 2*want, u.Counts[0])
	}
	s := NewQuirkSet([]Quirk{testQuirk(nil)})
	assert.Zero(t, testing.AllocsPerRun(100, func() { s.ExplainDecoded(code, x86.Long64, DecodedLength, &right, &wrong) }))
}

func TestLex(t *testing.T) {
	rows := []struct {
		name string
		mode x86.Mode
		code []byte
		want Lexed
	}{
		{"nothing", x86.Long64, nil, Lexed{}},
		{"prefixes alone", x86.Long64, []byte{0x66, 0x67}, Lexed{NumPrefix: 2, OpSize: true, AddrSize: true}},
		{"one byte", x86.Long64, []byte{0x01, 0xd8}, Lexed{HasOpcode: true, Opcode: 1, HasModRM: true, ModRM: 0xd8}},
		{"rex", x86.Long64, []byte{0xf3, 0x48, 0x90}, Lexed{NumPrefix: 2, Rep: 0xf3, REX: 0x48, HasOpcode: true, Opcode: 0x90}},
		{"lost rex", x86.Long64, []byte{0x48, 0xf2, 0xf3, 0x90}, Lexed{NumPrefix: 3, Rep: 0xf3, LostREX: true, HasOpcode: true, Opcode: 0x90}},
		{"inc ax", x86.Compat32, []byte{0x48, 0x90}, Lexed{HasOpcode: true, Opcode: 0x48, HasModRM: true, ModRM: 0x90}},
		{"0f", x86.Long64, []byte{0x64, 0x0f, 0xaf, 0xc1}, Lexed{NumPrefix: 1, Segment: 0x64, Map: isa.Map0F, MapNumber: 1, HasOpcode: true, Opcode: 0xaf, HasModRM: true, ModRM: 0xc1}},
		{"0f38", x86.Long64, []byte{0x0f, 0x38, 0xf0}, Lexed{Map: isa.Map0F38, MapNumber: 2, HasOpcode: true, Opcode: 0xf0}},
		{"0f3a", x86.Long64, []byte{0xf0, 0x0f, 0x3a, 0x0f}, Lexed{NumPrefix: 1, Lock: true, Map: isa.Map0F3A, MapNumber: 3, HasOpcode: true, Opcode: 0x0f}},
		{"vex2", x86.Long64, []byte{0xc5, 0xfc, 0x77}, Lexed{Escape: EscapeVEX, Map: isa.MapVEX1, MapNumber: 1, L: 1, HasOpcode: true, Opcode: 0x77}},
		{"vex3", x86.Long64, []byte{0xc4, 0xe2, 0xf3, 0xf7, 0xc0}, Lexed{Escape: EscapeVEX, Map: isa.MapVEX2, MapNumber: 2, PP: 0xf2, W: true, VVVV: 1, HasOpcode: true, Opcode: 0xf7, HasModRM: true, ModRM: 0xc0}},
		{"les", x86.Compat32, []byte{0xc4, 0x02}, Lexed{HasOpcode: true, Opcode: 0xc4, HasModRM: true, ModRM: 2}},
		{"evex", x86.Long64, []byte{0x62, 0xf1, 0x7c, 0x48, 0x58, 0xc2}, Lexed{Escape: EscapeEVEX, Map: isa.MapVEX1, MapNumber: 1, L: 2, HasOpcode: true, Opcode: 0x58, HasModRM: true, ModRM: 0xc2}},
		{"xop", x86.Long64, []byte{0x8f, 0xe8, 0x78, 0xc0}, Lexed{Escape: EscapeXOP, Map: isa.NumMaps, MapNumber: 8, HasOpcode: true, Opcode: 0xc0}},
		{"pop", x86.Long64, []byte{0x8f, 0xc0}, Lexed{HasOpcode: true, Opcode: 0x8f, HasModRM: true, ModRM: 0xc0}},
	}
	for _, row := range rows {
		var l Lexed
		l.Lex(row.code, row.mode)
		row.want.Mode, row.want.Code = row.mode, row.code
		assert.Equal(t, row.want, l, row.name)
	}
}
