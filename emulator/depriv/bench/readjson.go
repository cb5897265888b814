package bench

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxLine is the longest line that ReadJSON takes.
const maxLine = 16 << 20

// ReadJSON reads what WriteJSON has written. What follows from the measurements
// is not read but made anew.
func ReadJSON(r io.Reader) (*Result, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	res := &Result{}
	n := 0
	for lines.Scan() {
		n++
		if err := res.readLine(lines.Bytes(), n); err != nil {
			return nil, fmt.Errorf("bench: line %d: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("bench: line %d: %w", n+1, err)
	}
	if n == 0 {
		return nil, errors.New("bench: nothing to read: want what ringfence bench --json writes")
	}
	return res, nil
}

// readLine reads a line; the first must be of the machine and tell a schema that
// is known.
func (r *Result) readLine(text []byte, n int) error {
	var head struct {
		Kind   string `json:"kind"`
		Schema int    `json:"schema"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return err
	}
	switch {
	case n == 1 && (head.Kind != "machine" || head.Schema == 0):
		return fmt.Errorf("kind %q, schema %d: want a machine first, of schema %d", head.Kind, head.Schema, Schema)
	case n == 1 && head.Schema != Schema:
		return fmt.Errorf("schema %d: want %d", head.Schema, Schema)
	}
	switch head.Kind {
	case "machine":
		return json.Unmarshal(text, &r.Machine)
	case "run":
		return json.Unmarshal(text, &r.Run)
	case "parameters":
		return json.Unmarshal(text, &r.Parameters)
	case "trusted":
		return readInto(text, &r.Trusted)
	case "floor":
		return readInto(text, &r.Floors)
	case "rung":
		return readInto(text, &r.Rungs)
	case "step":
		return readInto(text, &r.Cells)
	case "echo":
		return readInto(text, &r.Echoes)
	case "contention":
		return readInto(text, &r.Contention)
	case "place":
		return readInto(text, &r.Places)
	case "sparse":
		return readInto(text, &r.Sparse)
	case "pollution":
		return readInto(text, &r.Pollution)
	case "worker":
		return readInto(text, &r.Lives)
	case "break_even", "mix", "introspection", "goal":
		return nil
	}
	return fmt.Errorf("kind %q is not known", head.Kind)
}

func readInto[T any](text []byte, list *[]T) error {
	var v T
	if err := json.Unmarshal(text, &v); err != nil {
		return err
	}
	*list = append(*list, v)
	return nil
}
