package oracle

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// InputError is a fault in a case or record that was read: where it is and
// what was expected there.
type InputError struct {
	// Offset is the byte in the input at which the value begins.
	Offset int64
	// Path is the key, as "registers.rax", or "".
	Path    string
	Message string
}

// Error implements error.
func (e *InputError) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("byte %d: %s", e.Offset, e.Message)
	}
	return fmt.Sprintf("byte %d: %s: %s", e.Offset, e.Path, e.Message)
}

// scanner walks through one JSON value, knowing where it is.
type scanner struct {
	data []byte
	dec  *json.Decoder
	path []string
}

func newScanner(data []byte) *scanner {
	s := &scanner{data: data, dec: json.NewDecoder(bytes.NewReader(data))}
	s.dec.UseNumber()
	return s
}

// here is the offset of the next value.
func (s *scanner) here() int64 {
	at := s.dec.InputOffset()
	for at < int64(len(s.data)) && strings.IndexByte(" \t\r\n:,", s.data[at]) >= 0 {
		at++
	}
	return at
}

func (s *scanner) errorf(at int64, format string, args ...any) error {
	return &InputError{Offset: at, Path: strings.Join(s.path, "."), Message: fmt.Sprintf(format, args...)}
}

// token returns the next token. The end of the input is an error.
func (s *scanner) token() (json.Token, int64, error) {
	at := s.here()
	t, err := s.dec.Token()
	if err == nil {
		return t, at, nil
	}
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return nil, at, s.errorf(int64(len(s.data)), "the input ends before the value does")
	case errors.As(err, &syntax):
		return nil, at, s.errorf(syntax.Offset, "not JSON: %s", strings.TrimPrefix(syntax.Error(), "json: "))
	}
	return nil, at, s.errorf(at, "not JSON: %v", err)
}

// end checks that nothing follows the value.
func (s *scanner) end() error {
	at := s.here()
	if _, err := s.dec.Token(); !errors.Is(err, io.EOF) {
		return s.errorf(at, "more input after the object: want one object a line")
	}
	return nil
}

func describe(t json.Token) string {
	switch v := t.(type) {
	case json.Delim:
		if v == '{' {
			return "an object"
		}
		return "an array"
	case string:
		return fmt.Sprintf("the string %.40q", v)
	case json.Number:
		return "the number " + v.String()
	case nil:
		return "null"
	}
	return fmt.Sprint(t)
}

// object calls f for each key; f must read the value.
func (s *scanner) object(f func(key string, at int64) error) error {
	t, at, err := s.token()
	if err != nil {
		return err
	}
	if t != json.Delim('{') {
		return s.errorf(at, "want an object, got %s", describe(t))
	}
	seen := map[string]bool{}
	for s.dec.More() {
		t, at, err := s.token()
		if err != nil {
			return err
		}
		key := t.(string)
		s.path = append(s.path, key)
		if seen[key] {
			return s.errorf(at, "the key is given twice")
		}
		seen[key] = true
		if err := f(key, at); err != nil {
			return err
		}
		s.path = s.path[:len(s.path)-1]
	}
	_, _, err = s.token()
	return err
}

// array calls f for each element; f must read it.
func (s *scanner) array(f func(i int) error) error {
	t, at, err := s.token()
	if err != nil {
		return err
	}
	if t != json.Delim('[') {
		return s.errorf(at, "want an array, got %s", describe(t))
	}
	for i := 0; s.dec.More(); i++ {
		s.path = append(s.path, strconv.Itoa(i))
		if err := f(i); err != nil {
			return err
		}
		s.path = s.path[:len(s.path)-1]
	}
	_, _, err = s.token()
	return err
}

func (s *scanner) str() (string, int64, error) {
	t, at, err := s.token()
	if err != nil {
		return "", at, err
	}
	v, ok := t.(string)
	if !ok {
		return "", at, s.errorf(at, "want a string, got %s", describe(t))
	}
	return v, at, nil
}

// integer reads a JSON number from low to high.
func (s *scanner) integer(low, high int64) (int64, error) {
	t, at, err := s.token()
	if err != nil {
		return 0, err
	}
	n, ok := t.(json.Number)
	if !ok {
		return 0, s.errorf(at, "want a number, got %s", describe(t))
	}
	v, err := strconv.ParseInt(n.String(), 10, 64)
	if err != nil || v < low || v > high {
		return 0, s.errorf(at, "%s: want a whole number from %d to %d", n, low, high)
	}
	return v, nil
}

func (s *scanner) boolean() (bool, error) {
	t, at, err := s.token()
	if err != nil {
		return false, err
	}
	v, ok := t.(bool)
	if !ok {
		return false, s.errorf(at, "want true or false, got %s", describe(t))
	}
	return v, nil
}

// skip reads a value of any kind.
func (s *scanner) skip() error {
	depth := 0
	for {
		t, _, err := s.token()
		if err != nil {
			return err
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}

// hexValue reads a string "0x…" of at most that many bits (up to 512) and
// returns its low 64.
func (s *scanner) hexValue(bits int) (uint64, error) {
	text, at, err := s.str()
	if err != nil {
		return 0, err
	}
	digits, ok := strings.CutPrefix(text, "0x")
	if !ok || digits == "" {
		return 0, s.errorf(at, "%.40q: want hex digits after 0x", text)
	}
	for i := range len(digits) {
		if _, err := strconv.ParseUint(digits[i:i+1], 16, 8); err != nil {
			return 0, s.errorf(at, "%.40q: %q is not a hex digit", text, digits[i:i+1])
		}
	}
	digits = strings.TrimLeft(digits, "0")
	if n := bitLen(digits); n > bits {
		return 0, s.errorf(at, "%.40q: a value of %d bits: want at most %d", text, n, bits)
	}
	if len(digits) > 16 {
		digits = digits[len(digits)-16:]
	}
	if digits == "" {
		return 0, nil
	}
	v, err := strconv.ParseUint(digits, 16, 64)
	if err != nil {
		return 0, s.errorf(at, "%.40q: %v", text, err)
	}
	return v, nil
}

// bitLen is the length in bits of a hex number without leading zeros.
func bitLen(digits string) int {
	if digits == "" {
		return 0
	}
	n := 4 * (len(digits) - 1)
	for v, _ := strconv.ParseUint(digits[:1], 16, 8); v != 0; v >>= 1 {
		n++
	}
	return n
}

// hexBytes reads a string of hex digits, two a byte, without 0x.
func (s *scanner) hexBytes() ([]byte, error) {
	text, at, err := s.str()
	if err != nil {
		return nil, err
	}
	for i := range len(text) {
		if _, err := strconv.ParseUint(text[i:i+1], 16, 8); err != nil {
			return nil, s.errorf(at+1+int64(i), "%q is not a hex digit", text[i:i+1])
		}
	}
	if len(text)%2 != 0 {
		return nil, s.errorf(at, "%d hex digits: want an even number, two a byte", len(text))
	}
	return hex.DecodeString(text)
}
