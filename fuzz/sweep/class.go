package sweep

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// Class is a group of disagreements: of two engines, in the same fields, either
// explained by one quirk or, without one, on one opcode with the same pair of
// answers.
type Class struct {
	Subject   string `json:"subject"`
	Reference string `json:"reference"`
	// Quirk names the rule that explains the class, as "x86asm/vex-rip"; ""
	// means that nothing does.
	Quirk string `json:"quirk,omitempty"`
	// Fields are what differs, as "validity" or "length,operands".
	Fields string `json:"fields"`
	// Opcode is the opcode of an unexplained class, as "66 0F38 F6".
	Opcode string `json:"opcode,omitempty"`
	// Says and Against are the answers of subject and reference to the example.
	Says    string `json:"says"`
	Against string `json:"against"`
	Count   uint64 `json:"count"`
	// Example is the shortest string, in hex, the first in the walk's order of
	// several.
	Example string `json:"example"`
	// Opcodes counts the strings of an explained class by opcode, with an
	// example of each.
	Opcodes map[string]*OpcodeCount `json:"opcodes,omitempty"`
	// CPU is what the CPU says of the example, "" if it was not asked.
	CPU string `json:"cpu,omitempty"`
}

// OpcodeCount is the share of one opcode in a class.
type OpcodeCount struct {
	Count   uint64 `json:"count"`
	Example string `json:"example"`
}

// classKey is what strings of one class have in common.
type classKey struct {
	subject, reference, quirk, fields, opcode, says, against string
}

// classes are the classes of some blocks.
type classes map[classKey]*Class

// maxClasses bounds the unexplained classes that are told apart.
const maxClasses = 20000

// add counts a string, of which opcode, says and against tell.
func (c classes) add(k classKey, opcode, says, against string, code []byte) {
	e := c[k]
	if e == nil {
		if len(c) >= maxClasses {
			k = classKey{subject: k.subject, reference: k.reference, quirk: k.quirk, fields: k.fields, opcode: "others"}
		}
		if e = c[k]; e == nil {
			e = &Class{Subject: k.subject, Reference: k.reference, Quirk: k.quirk, Fields: k.fields, Opcode: k.opcode}
			c[k] = e
		}
	}
	e.Count++
	if e.Example == "" || 2*len(code) < len(e.Example) {
		e.Example, e.Says, e.Against = fmt.Sprintf("%x", code), says, against
	}
	if k.quirk == "" {
		return
	}
	if e.Opcodes == nil {
		e.Opcodes = map[string]*OpcodeCount{}
	}
	o := e.Opcodes[opcode]
	if o == nil {
		o = &OpcodeCount{}
		e.Opcodes[opcode] = o
	}
	o.Count++
	if o.Example == "" || 2*len(code) < len(o.Example) {
		o.Example = fmt.Sprintf("%x", code)
	}
}

// merge adds the classes of a later block.
func (c classes) merge(d classes) {
	for k, e := range d {
		f := c[k]
		if f == nil {
			c[k] = e
			continue
		}
		f.Count += e.Count
		if len(e.Example) < len(f.Example) {
			f.Example, f.Says, f.Against = e.Example, e.Says, e.Against
		}
		for op, n := range e.Opcodes {
			o := f.Opcodes[op]
			if o == nil {
				f.Opcodes[op] = n
				continue
			}
			o.Count += n.Count
			if len(n.Example) < len(o.Example) {
				o.Example = n.Example
			}
		}
	}
}

// key is the class's key; what add was given.
func (e *Class) key() classKey {
	k := classKey{subject: e.Subject, reference: e.Reference, quirk: e.Quirk, fields: e.Fields, opcode: e.Opcode}
	if e.Quirk == "" && e.Opcode != "others" {
		k.says, k.against = verdictOf(e.Says), verdictOf(e.Against)
	}
	return k
}

// list returns the classes, those that nothing explains first, then by count.
func (c classes) list() []*Class {
	return slices.SortedFunc(maps.Values(c), func(a, b *Class) int {
		if (a.Quirk == "") != (b.Quirk == "") {
			if a.Quirk == "" {
				return -1
			}
			return 1
		}
		return cmp.Or(
			cmp.Compare(b.Count, a.Count), cmp.Compare(a.Reference, b.Reference), cmp.Compare(a.Subject, b.Subject),
			cmp.Compare(a.Quirk, b.Quirk), cmp.Compare(a.Opcode, b.Opcode), cmp.Compare(a.Fields, b.Fields), cmp.Compare(a.Example, b.Example),
		)
	})
}

// answer is what a decoder says, as "4 ADD", "4" (no name known) or "invalid".
func answer(d *oracle.Decoded) string {
	switch {
	case d.Ending != oracle.Ended:
		return d.Ending.String()
	case !d.Valid:
		return "invalid"
	case d.UnknownLength:
		return d.Mnemonic
	case d.UnknownMnemonic:
		return fmt.Sprint(d.Length)
	}
	return fmt.Sprintf("%d %s", d.Length, d.Mnemonic)
}

// verdictOf is the part of an answer that strings of one class share: the name,
// without the length.
func verdictOf(answer string) string {
	i := 0
	for i < len(answer) && answer[i] >= '0' && answer[i] <= '9' {
		i++
	}
	if i > 0 && i == len(answer) {
		return "valid"
	}
	if i > 0 && answer[i] == ' ' {
		return answer[i+1:]
	}
	return answer
}

var mapNames = map[oracle.Escape]string{oracle.EscapeVEX: "VEX", oracle.EscapeEVEX: "EVEX", oracle.EscapeXOP: "XOP"}

// opcodeName names the opcode of a string, as "F3 0F 1E" or "VEX.66.2 F7".
func opcodeName(code []byte, mode x86.Mode) string {
	var l oracle.Lexed
	l.Lex(code, mode)
	if !l.HasOpcode {
		return "no opcode"
	}
	if n := mapNames[l.Escape]; n != "" {
		pp := "NP"
		if l.PP != 0 {
			pp = fmt.Sprintf("%02X", l.PP)
		}
		return fmt.Sprintf("%s.%s.%d %02X", n, pp, l.MapNumber, l.Opcode)
	}
	prefix := ""
	switch {
	case l.Rep != 0:
		prefix = fmt.Sprintf("%02X ", l.Rep)
	case l.OpSize:
		prefix = "66 "
	}
	return prefix + [4]string{"", "0F ", "0F38 ", "0F3A "}[l.MapNumber&3] + fmt.Sprintf("%02X", l.Opcode)
}
