package oracle

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// Kind is what kind of comparison a divergence came from.
type Kind string

// The kinds.
const (
	// KindExecute: two executors differ on a case.
	KindExecute Kind = "execute"
	// KindDecode: two decoders differ on a byte string.
	KindDecode Kind = "decode"
	// KindContract: the subject broke a promise, whatever the reference says.
	KindContract Kind = "contract"
)

// Impact is what a divergence means for a hypervisor.
type Impact string

// The impacts.
const (
	// ImpactContained: crash, hang, access outside what was asked, broken
	// promise; a wall turns it into a dead worker.
	ImpactContained Impact = "contained"
	// ImpactDowngraded: harm to the host without a wall; with it, harm within
	// the authority of the guest concerned.
	ImpactDowngraded Impact = "downgraded"
	// ImpactGuest: a wrong architectural result; no wall helps.
	ImpactGuest Impact = "guest"
)

// Divergence is the record of a case on which subject and reference differ:
// the content of divergence.json.
type Divergence struct {
	Schema    int    `json:"schema"`
	Signature string `json:"signature"`
	Kind      Kind   `json:"kind"`
	Impact    Impact `json:"impact"`
	// Subject and Reference are names of engines; References are all that were
	// asked.
	Subject    string   `json:"subject"`
	Reference  string   `json:"reference"`
	References []string `json:"references"`
	// Encoding is the row's text, as "81 /0 id ADD r/m32, imm32".
	Encoding    string `json:"encoding"`
	Disassembly string `json:"disassembly"`
	// Outcomes are the subject's and the reference's, as "okay", "#PF".
	Outcomes [2]string `json:"outcomes"`
	// Fields are the names of the differing fields; Detail says more, as
	// "rflags: AF", "registers: rax".
	Fields []string `json:"fields"`
	Detail []string `json:"detail,omitempty"`
	Strict bool     `json:"strict,omitempty"`
	// Case is in the case schema; for KindDecode it has mode and code alone.
	Case json.RawMessage `json:"case"`
	// Results have what each engine answered, by its name.
	Results map[string]json.RawMessage `json:"results"`
	// Commit is of the program that found it, or "unknown".
	Commit string `json:"commit"`
	// CPU names the processor that answered, if one did.
	CPU string `json:"cpu,omitempty"`
	// Replay is the command that runs the record again, from its folder.
	Replay string `json:"replay"`
}

// OutcomeText names how a result ended, for records and signatures: "okay",
// "#PF", "died".
func OutcomeText(r *Result) string {
	switch {
	case r.Ending != Ended:
		return r.Ending.String()
	case r.Outcome != step.Exception:
		return r.Outcome.String()
	case r.Event.Type == x86.EventSoftwareInterrupt:
		return "INT"
	}
	return x86.VectorName(r.Event.Vector)
}

// EncodingText names the instruction for records and signatures: the row's
// text, or, where the table has none, map and opcode of the bytes.
func EncodingText(in *decode.Inst, code []byte, mode x86.Mode) string {
	if in != nil && in.Row != 0 {
		return isa.Get(in.Row).String()
	}
	var l Lexed
	l.Lex(code, mode)
	if !l.HasOpcode {
		return "none"
	}
	form := [...]string{"", "VEX ", "EVEX ", "XOP "}[l.Escape]
	switch {
	case l.Escape != EscapeLegacy:
		return fmt.Sprintf("none %smap %d %02X", form, l.MapNumber, l.Opcode)
	case l.Map == isa.MapOne:
		return fmt.Sprintf("none %02X", l.Opcode)
	case l.Map == isa.Map0F:
		return fmt.Sprintf("none 0F %02X", l.Opcode)
	case l.Map == isa.Map0F38:
		return fmt.Sprintf("none 0F 38 %02X", l.Opcode)
	}
	return fmt.Sprintf("none 0F 3A %02X", l.Opcode)
}

// Sign sets the signature: a hash of kind, subject, reference, encoding, the
// pair of outcomes and the differing fields, so that divergences of one cause
// have one signature. It has 16 hex digits.
func (d *Divergence) Sign() {
	h := sha256.New()
	for _, s := range []string{
		string(d.Kind), d.Subject, d.Reference, d.Encoding, d.Outcomes[0], d.Outcomes[1], strings.Join(d.Fields, ","),
	} {
		fmt.Fprintf(h, "%d:%s;", len(s), s)
	}
	d.Signature = hex.EncodeToString(h.Sum(nil)[:8])
}

// impactOf classifies a difference between executors. That a wrong result
// harms more than the guest is for a person to say.
func impactOf(diff *Diff, subject *Result) Impact {
	if diff.Fields&FieldPromise != 0 || diff.Fields&FieldEnding != 0 && subject.Ending != Ended {
		return ImpactContained
	}
	return ImpactGuest
}

// NewDivergence makes the record of a difference between two executors. in may
// be nil. Commit, CPU, References and Replay are the caller's to set.
func NewDivergence(subjectName, referenceName string, c *Case, in *decode.Inst, diff *Diff, subject, reference *Result) *Divergence {
	d := &Divergence{
		Schema: SchemaVersion, Kind: KindExecute, Impact: impactOf(diff, subject), Subject: subjectName, Reference: referenceName,
		References: []string{referenceName}, Encoding: EncodingText(in, c.CodeBytes(), c.State.Mode),
		Outcomes: [2]string{OutcomeText(subject), OutcomeText(reference)}, Fields: diff.Fields.Names(), Detail: detail(diff, subject),
		Case: AppendCase(nil, c), Commit: "unknown",
		Results: map[string]json.RawMessage{subjectName: AppendResult(nil, c, subject), referenceName: AppendResult(nil, c, reference)},
	}
	if diff.Fields == FieldPromise {
		d.Kind = KindContract
	}
	d.Disassembly = disassemble(in)
	d.Sign()
	return d
}

// detail tells which flags and registers differ.
func detail(diff *Diff, subject *Result) []string {
	var s []string
	if diff.Flags != 0 {
		s = append(s, "rflags: "+diff.Flags.String())
	}
	for n := range uint8(x86.NumGPR) {
		if diff.GPR>>n&1 != 0 {
			s = append(s, "registers: "+x86.GPRName(n, 8))
		}
	}
	if diff.Fields&FieldPromise != 0 {
		s = append(s, "promise: "+subject.Promise)
	}
	return s
}

// NewDecodeDivergence makes the record of a difference between two decoders.
func NewDecodeDivergence(subjectName, referenceName string, code []byte, mode x86.Mode, in *decode.Inst, diff DecodedField, subject, reference *Decoded) *Divergence {
	w := jsonWriter{}
	w.open('{')
	w.key("schema")
	w.num(SchemaVersion)
	w.key("mode")
	w.str(mode.String())
	w.key("code")
	w.bytes(code)
	w.close('}')
	d := &Divergence{
		Schema: SchemaVersion, Kind: KindDecode, Impact: ImpactGuest, Subject: subjectName, Reference: referenceName,
		References: []string{referenceName}, Encoding: EncodingText(in, code, mode),
		Outcomes: [2]string{validity(subject), validity(reference)}, Fields: diff.Names(), Case: w.b, Commit: "unknown",
		Results: map[string]json.RawMessage{subjectName: AppendDecoded(nil, subject), referenceName: AppendDecoded(nil, reference)},
	}
	if subject.Ending != Ended {
		d.Impact = ImpactContained
	}
	d.Disassembly = disassemble(in)
	d.Sign()
	return d
}

func validity(d *Decoded) string {
	if d.Ending != Ended {
		return d.Ending.String()
	}
	if d.Valid {
		return "valid"
	}
	return "invalid"
}

// AppendDecoded appends a decoder's answer, as records have it.
func AppendDecoded(dst []byte, d *Decoded) []byte {
	w := jsonWriter{b: dst}
	w.open('{')
	w.key("valid")
	w.boolean(d.Valid)
	if !d.Valid {
		if d.Ending != Ended {
			w.key("ending")
			w.str(d.Ending.String())
		}
		w.key("reason")
		w.str(d.Reason)
		w.close('}')
		return w.b
	}
	w.key("length")
	w.num(int64(d.Length))
	w.key("mnemonic")
	w.str(d.Mnemonic)
	w.key("operands")
	w.open('[')
	for i := range d.NumOperands {
		w.str(d.Operands[i].String())
	}
	w.close(']')
	w.close('}')
	return w.b
}

// ParseDivergence reads a record. Unknown keys and another version of the
// schema are errors.
func ParseDivergence(data []byte) (*Divergence, error) {
	var version struct {
		Schema *int `json:"schema"`
	}
	if err := json.Unmarshal(data, &version); err != nil {
		return nil, jsonError(data, err)
	}
	if version.Schema == nil {
		return nil, &InputError{Path: "schema", Message: "missing: this is no divergence record"}
	}
	if *version.Schema != SchemaVersion {
		return nil, &InputError{Path: "schema", Message: fmt.Sprintf("schema %d: this program reads schema %d", *version.Schema, SchemaVersion)}
	}
	d := new(Divergence)
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(d); err != nil {
		return nil, jsonError(data, err)
	}
	switch d.Kind {
	case KindExecute, KindDecode, KindContract:
	default:
		return nil, &InputError{Path: "kind", Message: fmt.Sprintf("%q: want execute, decode or contract", d.Kind)}
	}
	if len(d.Case) == 0 {
		return nil, &InputError{Path: "case", Message: "missing"}
	}
	return d, nil
}

// jsonError gives a json error its place.
func jsonError(data []byte, err error) error {
	s := newScanner(data)
	if e := s.skip(); e != nil {
		return e
	}
	return &InputError{Offset: s.dec.InputOffset(), Message: err.Error()}
}

// ParseCode reads mode and code from the case of a decode record.
func (d *Divergence) ParseCode() ([]byte, x86.Mode, error) {
	var v struct {
		Schema int    `json:"schema"`
		Mode   string `json:"mode"`
		Code   string `json:"code"`
	}
	dec := json.NewDecoder(bytes.NewReader(d.Case))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&v); err != nil {
		return nil, 0, fmt.Errorf("case: %w", jsonError(d.Case, err))
	}
	mode, err := x86.ParseMode(v.Mode)
	if err != nil {
		return nil, 0, fmt.Errorf("case: %w", err)
	}
	code, err := hex.DecodeString(v.Code)
	if err != nil {
		return nil, 0, fmt.Errorf("case: code %q: %w", v.Code, err)
	}
	return code, mode, nil
}

// JSON returns the record, indented, with a newline at its end.
func (d *Divergence) JSON() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(d); err != nil {
		return nil, fmt.Errorf("divergence %s: %w", d.Signature, err)
	}
	return b.Bytes(), nil
}

// Readme returns the record for a person, in Markdown.
func (d *Divergence) Readme() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s: %s and %s differ\n\n", d.Disassembly, d.Subject, d.Reference)
	fmt.Fprintf(&b, "| | |\n|---|---|\n")
	row := func(k, v string) { fmt.Fprintf(&b, "| %s | %s |\n", k, strings.ReplaceAll(v, "|", `\|`)) }
	row("signature", "`"+d.Signature+"`")
	row("kind", string(d.Kind))
	row("impact", string(d.Impact))
	row("encoding", "`"+d.Encoding+"`")
	row("outcomes", fmt.Sprintf("%s: %s, %s: %s", d.Subject, d.Outcomes[0], d.Reference, d.Outcomes[1]))
	row("differing fields", strings.Join(d.Fields, ", "))
	if len(d.Detail) > 0 {
		row("in detail", strings.Join(d.Detail, "; "))
	}
	row("commit", d.Commit)
	if d.CPU != "" {
		row("CPU", d.CPU)
	}
	fmt.Fprintf(&b, "\nReplay:\n\n    %s\n\nCase:\n\n    %s\n", d.Replay, d.Case)
	for _, name := range []string{d.Subject, d.Reference} {
		fmt.Fprintf(&b, "\n%s:\n\n    %s\n", name, d.Results[name])
	}
	return b.Bytes()
}
