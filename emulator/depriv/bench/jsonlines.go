package bench

import (
	"encoding/json"
	"fmt"
	"io"
)

// WriteJSON writes the run as one object a line, each with a "kind": first the
// machine, last the answers.
func (r *Result) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	var err error
	put := func(kind string, v any) {
		if err == nil {
			err = enc.Encode(line{kind, v})
		}
	}
	put("machine", struct {
		Schema int `json:"schema"`
		Machine
	}{Schema, r.Machine})
	put("run", r.Run)
	put("parameters", r.Parameters)
	each(r.Trusted, "trusted", put)
	each(r.Floors, "floor", put)
	each(r.Rungs, "rung", put)
	each(r.Cells, "step", put)
	each(r.Echoes, "echo", put)
	each(r.Contention, "contention", put)
	each(r.Places, "place", put)
	each(r.Sparse, "sparse", put)
	each(r.Pollution, "pollution", put)
	each(r.Lives, "worker", put)
	each(r.BreakEvens(), "break_even", put)
	each(r.Mixeds(), "mix", put)
	each(r.Introspections(), "introspection", put)
	each(r.Goals(), "goal", put)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	return nil
}

func each[T any](list []T, kind string, put func(string, any)) {
	for i := range list {
		put(kind, &list[i])
	}
}

// line is a value with its kind before its own fields.
type line struct {
	kind  string
	value any
}

// MarshalJSON implements json.Marshaler.
func (l line) MarshalJSON() ([]byte, error) {
	text, err := json.Marshal(l.value)
	if err != nil {
		return nil, err
	}
	head, err := json.Marshal(l.kind)
	if err != nil {
		return nil, err
	}
	out := append([]byte(`{"kind":`), head...)
	if len(text) > 2 { // an object with fields
		out = append(out, ',')
	}
	return append(out, text[1:]...), nil
}
