package isa

import "fmt"

//go:generate go run ./internal/gen -isa . -decode ../decode

// rows is the table, row 0 being none. The generated file sets it, so that
// the package compiles without.
var rows []Row

// Rows returns the table, without row 0. The caller must not change it.
func Rows() []Row {
	if len(rows) == 0 {
		return nil
	}
	return rows[1:]
}

// Get returns the row with that ID. IDs of the table's own making are in
// range; 0 gives the empty row.
func Get(id ID) *Row { return &rows[id] }

// String returns what names the row in records: encoding and syntax, as
// "REX.W + 81 /0 id ADD r/m64, imm32".
func (r *Row) String() string {
	if r.ID == 0 {
		return "none"
	}
	return r.Encoding + " " + r.Syntax
}

// Mnemonic is the manual's name of an instruction. Where the manual gives one
// name to two (MOVSD, CMPSD), the vector instruction's constant ends in _XMM.
type Mnemonic uint16

var mnemonicNames []string

// String returns the manual's name, as "ADD"; "" for MnemonicNone.
func (m Mnemonic) String() string {
	if int(m) < len(mnemonicNames) {
		return mnemonicNames[m]
	}
	return fmt.Sprintf("Mnemonic(%d)", uint16(m))
}
