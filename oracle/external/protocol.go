package external

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// Hello is what an engine says of itself when it is started.
type Hello struct {
	// Protocol is the version that the engine speaks.
	Protocol int `json:"protocol"`
	// Name and Version are the engine's, as "zydis" and "4.0.0".
	Name    string `json:"name"`
	Version string `json:"version"`
	// Modes are names of the case schema, as "long64": those in which it can
	// decode or execute.
	Modes []string `json:"modes"`
	// Decode and Execute say what it is: one of them, or both.
	Decode  bool `json:"decode"`
	Execute bool `json:"execute"`
	// Unknown are fields that the engine can never tell: of a result (as
	// "accesses", "retire"), or of a decoded instruction ("length", "mnemonic",
	// "operands").
	Unknown []string `json:"unknown,omitempty"`
	// About says in a line what the engine is.
	About string `json:"about,omitempty"`
}

// hasMode says whether the engine takes a mode.
func (h *Hello) hasMode(m x86.Mode) bool { return slices.Contains(h.Modes, m.String()) }

// check tells what is wrong with a greeting.
func (h *Hello) check() error {
	switch {
	case h.Protocol != Version:
		return fmt.Errorf("hello: protocol %d: this program speaks protocol %d", h.Protocol, Version)
	case h.Name == "" || strings.ContainsAny(h.Name, ", \n"):
		return fmt.Errorf("hello: name %q: want a name without blanks and commas", h.Name)
	case len(h.Modes) == 0:
		return fmt.Errorf("hello: no modes: want names of the case schema, as long64")
	case !h.Decode && !h.Execute:
		return fmt.Errorf("hello: neither decode nor execute is true")
	}
	for _, name := range h.Modes {
		if m, err := x86.ParseMode(name); err != nil || m.String() != name {
			return fmt.Errorf("hello: modes: %q is no name of the case schema", name)
		}
	}
	for _, name := range h.Unknown {
		if _, ok := resultFields[name]; !ok && !isDecodedField(name) {
			return fmt.Errorf("hello: unknown: %q is no field of a result or of a decoded instruction", name)
		}
	}
	return nil
}

// resultFields are the fields of a result by name.
var resultFields = func() map[string]oracle.Field {
	m := map[string]oracle.Field{}
	for i := range oracle.NumFields {
		f := oracle.Field(1 << i)
		m[f.Names()[0]] = f
	}
	return m
}()

func isDecodedField(name string) bool {
	return name == "length" || name == "mnemonic" || name == "operands"
}

// request is what the near end sends: one of its fields but ID.
type request struct {
	ID      uint64            `json:"id,omitempty"`
	Hello   *greeting         `json:"hello,omitempty"`
	Decode  []decodeItem      `json:"decode,omitempty"`
	Execute []json.RawMessage `json:"execute,omitempty"`
}

// greeting opens the conversation.
type greeting struct {
	Protocol int    `json:"protocol"`
	Program  string `json:"program"`
}

type decodeItem struct {
	Mode string `json:"mode"`
	Code string `json:"code"`
}

// reply is what the engine sends: a greeting, answers in the order of the
// request (all in one frame or in several), or what is wrong with the request.
type reply[T any] struct {
	ID      uint64 `json:"id"`
	Hello   *Hello `json:"hello,omitempty"`
	Answers []T    `json:"answers,omitempty"`
	Error   string `json:"error,omitempty"`
}

// unmarshal reads exactly one JSON value, without unknown keys.
func unmarshal(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("more than one JSON value in the frame")
	}
	return nil
}
