package external

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// decodedAnswer is a decoder's answer. Bytes, Mode and Engine are those of
// `ringfence decode --json` and are ignored.
type decodedAnswer struct {
	Bytes  string `json:"bytes"`
	Mode   int    `json:"mode"`
	Engine string `json:"engine"`
	// Valid is null where the engine has no table for the bytes.
	Valid    *bool     `json:"valid"`
	Reason   string    `json:"reason"`
	Length   *int      `json:"length"`
	Mnemonic *string   `json:"mnemonic"`
	Operands *[]string `json:"operands"`
	Text     string    `json:"text"`
	Unknown  []string  `json:"unknown"`
	Error    string    `json:"error"`
}

// take turns the answer into canonical form. Its error is nonsense: what the
// engine must not say.
func (a *decodedAnswer) take(code []byte, hello *Hello, d *oracle.Decoded) error {
	*d = oracle.Decoded{Covered: true, Reason: a.Reason}
	switch {
	case a.Error != "":
		return fmt.Errorf("the engine answers with an error: %s", clip(a.Error))
	case a.Valid == nil && a.Reason == "":
		return fmt.Errorf(`no "valid": want true, false, or null with a reason`)
	case a.Valid == nil:
		d.Covered, d.Group, d.Reason = false, a.Reason, ""
		return nil
	case !*a.Valid:
		if d.Reason == "" {
			d.Reason = "invalid"
		}
		return nil
	}
	d.Valid, d.Reason = true, ""
	for _, list := range [][]string{hello.Unknown, a.Unknown} {
		for _, name := range list {
			switch name {
			case "length":
				d.UnknownLength = true
			case "mnemonic":
				d.UnknownMnemonic = true
			case "operands":
				d.UnknownOperands = true
			}
		}
	}
	for _, name := range a.Unknown {
		if !isDecodedField(name) {
			return fmt.Errorf("unknown: %q is no field of a decoded instruction", name)
		}
	}
	return a.takeFields(code, d)
}

// takeFields takes what the engine says that it can tell.
func (a *decodedAnswer) takeFields(code []byte, d *oracle.Decoded) error {
	if !d.UnknownLength {
		if a.Length == nil {
			return fmt.Errorf(`no "length"`)
		}
		if n := *a.Length; n < 1 || n > decode.MaxLength || n > len(code) {
			return fmt.Errorf("length %d of a string of %d bytes: want 1 to %d, and no more than were given", n, len(code), decode.MaxLength)
		}
		d.Length = uint8(*a.Length)
	}
	if !d.UnknownMnemonic {
		if a.Mnemonic == nil || !isMnemonic(*a.Mnemonic) {
			return fmt.Errorf("mnemonic: want the manual's name in capitals, as ADD")
		}
		d.Mnemonic = *a.Mnemonic
	}
	if d.UnknownOperands {
		return nil
	}
	if a.Operands == nil {
		return fmt.Errorf(`no "operands"`)
	}
	if n := len(*a.Operands); n > oracle.MaxOperands {
		return fmt.Errorf("%d operands: want at most %d", n, oracle.MaxOperands)
	}
	for i, text := range *a.Operands {
		o, err := oracle.ParseOperand(text)
		if err != nil {
			return err
		}
		d.Operands[i] = o
	}
	d.NumOperands = uint8(len(*a.Operands))
	return nil
}

func isMnemonic(s string) bool {
	if s == "" || len(s) > 32 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c != '_' && c != ' ' && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// appendDecodeRequest appends a request to decode the strings.
func appendDecodeRequest(dst []byte, id uint64, codes [][]byte, mode x86.Mode) []byte {
	dst = append(dst, `{"id":`...)
	dst = strconv.AppendUint(dst, id, 10)
	dst = append(dst, `,"decode":[`...)
	for i, code := range codes {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"mode":"`...)
		dst = append(dst, mode.String()...)
		dst = append(dst, `","code":"`...)
		dst = hex.AppendEncode(dst, code)
		dst = append(dst, `"}`...)
	}
	return append(dst, `]}`...)
}

// appendDecoded appends a decoder's answer as the protocol has it.
func appendDecoded(dst []byte, d *oracle.Decoded, text string) []byte {
	quote := func(key, v string) {
		b, err := json.Marshal(v)
		if err != nil {
			b = []byte(`""`)
		}
		dst = append(append(append(append(dst, ',', '"'), key...), '"', ':'), b...)
	}
	switch {
	case !d.Covered:
		dst = append(dst, `{"valid":null`...)
		quote("reason", d.Group)
		return append(dst, '}')
	case !d.Valid:
		dst = append(dst, `{"valid":false`...)
		quote("reason", d.Reason)
		return append(dst, '}')
	}
	dst = append(dst, `{"valid":true`...)
	var unknown []string
	if d.UnknownLength {
		unknown = append(unknown, `"length"`)
	} else {
		dst = strconv.AppendInt(append(dst, `,"length":`...), int64(d.Length), 10)
	}
	if d.UnknownMnemonic {
		unknown = append(unknown, `"mnemonic"`)
	} else {
		quote("mnemonic", d.Mnemonic)
	}
	if d.UnknownOperands {
		unknown = append(unknown, `"operands"`)
	} else {
		dst = append(dst, `,"operands":[`...)
		for i := range d.NumOperands {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = strconv.AppendQuote(dst, d.Operands[i].String())
		}
		dst = append(dst, ']')
	}
	if len(unknown) > 0 {
		dst = append(append(append(dst, `,"unknown":[`...), strings.Join(unknown, ",")...), ']')
	}
	if text != "" {
		quote("text", text)
	}
	return append(dst, '}')
}

// clip shortens what came from outside for a message.
func clip(s string) string {
	const most = 200
	s = strings.ToValidUTF8(strings.TrimSpace(s), "?")
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + " …"
	}
	return s
}
