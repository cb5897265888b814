package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/spf13/cobra"
)

// maxHexLine is the longest line that decode reads, in bytes.
const maxHexLine = 64 << 10

// decodeAnswer is one line of `decode --json`.
type decodeAnswer struct {
	// Bytes echoes the input.
	Bytes string `json:"bytes"`
	// Mode is the code width in bits.
	Mode   int    `json:"mode"`
	Engine string `json:"engine"`
	// Valid is null where the engine has no table for the bytes; Reason then
	// names the group.
	Valid    *bool  `json:"valid"`
	Reason   string `json:"reason,omitempty"`
	Length   uint8  `json:"length,omitempty"`
	Mnemonic string `json:"mnemonic,omitempty"`
	Text     string `json:"text,omitempty"`
}

// lineError is the answer to a line that cannot be used, in its place.
type lineError struct {
	// Line counts from 1; arguments count as lines.
	Line  int    `json:"line,omitempty"`
	File  string `json:"file,omitempty"`
	Error string `json:"error"`
}

// decoding is one run of the decode command.
type decoding struct {
	mode     x86.Mode
	decoders []decoder
	json     bool
	out      *bufio.Writer
	enc      *json.Encoder
	code     []byte
	// bad counts the lines that could not be used; first is the first one.
	bad   int
	first string
}

func newDecode(std stdio) *cobra.Command {
	var mode, engines string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "decode [--mode 16|32|64] [--engine LIST] [--json] [HEX… | -]",
		Short: "decode instructions, one a line or argument",
		Long: `decode reads instructions as hex digits, one an argument, or one a line of
standard input ("-", or no arguments), and answers each with its length, mnemonic and
text. Of a longer string only the first instruction is answered; the length
tells where it ended. A line that is not hex is answered in its place with what
is wrong, and the rest go on; the exit status is then 2.`,
		Example: `  ringfence decode 4801d8
  ringfence decode --engine model,x86asm --json - < bytes.txt`,
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := parseWidth(mode)
			if err != nil {
				return err
			}
			decoders, err := openDecoders(engines)
			if err != nil {
				return err
			}
			out := bufio.NewWriterSize(std.out, 64<<10)
			d := &decoding{mode: m, decoders: decoders, json: asJSON, out: out, enc: json.NewEncoder(out)}
			d.enc.SetEscapeHTML(false)
			if err := d.run(cmd, std, args); err != nil {
				return errors.Join(err, out.Flush())
			}
			if err := out.Flush(); err != nil {
				return badInput("decode: writing the answers: %v", err)
			}
			return d.verdict()
		},
	}
	cmd.Flags().StringVar(&mode, "mode", "64", "width of the code in bits: 16, 32 or 64")
	cmd.Flags().StringVar(&engines, "engine", "model", "decoders that answer, separated by commas")
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line")
	return cmd
}

// parseWidth returns the mode of --mode: 16, 32 or 64.
func parseWidth(s string) (x86.Mode, error) {
	switch s {
	case "16", "32", "64":
		return x86.ParseMode(s)
	}
	return 0, badInput("--mode %q: want 16, 32 or 64", s)
}

// run answers the arguments, or the lines of standard input.
func (d *decoding) run(cmd *cobra.Command, std stdio, args []string) error {
	if len(args) > 1 || len(args) == 1 && args[0] != "-" {
		for i, a := range args {
			if err := d.line(i+1, []byte(a)); err != nil {
				return err
			}
		}
		return nil
	}
	if len(args) == 0 && isTerminal(std.in) {
		return badInput("decode: nothing to decode: give hex digits, or - to read standard input")
	}
	shown := newProgress(std.err)
	defer shown.close()
	last := 0
	err := eachLine(cmd.Context(), std, nil, maxHexLine, d.out.Flush, func(_ *source, number int, text []byte, err error) error {
		if last = number; number%4096 == 0 {
			shown.set("decode: %d lines, %d bad", number, d.bad)
		}
		if err != nil {
			return d.answerBad(number, err)
		}
		return d.line(number, text)
	}, func(_ string, err error) error {
		return badInput("decode: standard input after line %d: %v", last, err)
	})
	if err != nil && cmd.Context().Err() != nil {
		fmt.Fprintf(std.err, "ringfence: decode: stopped after line %d\n", last)
		return nil
	}
	return err
}

// line answers one line. Its error is a failure to write.
func (d *decoding) line(number int, text []byte) error {
	text = bytes.TrimSpace(text)
	var err error
	if d.code, err = parseHex(d.code[:0], text); err != nil {
		return d.answerBad(number, err)
	}
	for i := range d.decoders {
		if err := d.answer(&d.decoders[i], text); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoding) answer(e *decoder, text []byte) error {
	var got oracle.Decoded
	e.Decode(d.code, d.mode, &got)
	a := decodeAnswer{Bytes: string(text), Mode: d.mode.Width(), Engine: e.Name()}
	switch {
	case !got.Covered:
		a.Reason = "not covered: " + got.Group
	case !got.Valid:
		a.Valid, a.Reason = new(bool), got.Reason
	default:
		yes := true
		a.Valid, a.Length, a.Mnemonic, a.Text = &yes, got.Length, got.Mnemonic, e.text(d.code, d.mode, &got)
	}
	if d.json {
		return d.enc.Encode(&a)
	}
	engine := ""
	if len(d.decoders) > 1 {
		engine = a.Engine + ": "
	}
	if a.Text == "" {
		_, err := fmt.Fprintf(d.out, "%-30s %s(bad) %s\n", a.Bytes, engine, a.Reason)
		return err
	}
	_, err := fmt.Fprintf(d.out, "%-30s %s%2d  %s\n", a.Bytes, engine, a.Length, a.Text)
	return err
}

// answerBad answers a line that cannot be used.
func (d *decoding) answerBad(number int, reason error) error {
	if d.bad++; d.bad == 1 {
		d.first = fmt.Sprintf("line %d, %v", number, reason)
	}
	if d.json {
		return d.enc.Encode(lineError{Line: number, Error: reason.Error()})
	}
	_, err := fmt.Fprintf(d.out, "line %d: error: %v\n", number, reason)
	return err
}

// verdict is the command's result after all lines.
func (d *decoding) verdict() error {
	switch d.bad {
	case 0:
		return nil
	case 1:
		return badInput("decode: %s", d.first)
	}
	return badInput("decode: %d bad lines, the first: %s", d.bad, d.first)
}

// parseHex appends the bytes that text says to dst. Its errors count bytes of
// the line from 1.
func parseHex(dst, text []byte) ([]byte, error) {
	if len(text) == 0 {
		return dst, errors.New("empty line: want hex digits")
	}
	for i, c := range text {
		if hexDigit(c) < 0 {
			r, _ := utf8.DecodeRune(text[i:])
			return dst, fmt.Errorf("byte %d: %q is not a hex digit", i+1, r)
		}
	}
	if len(text)%2 != 0 {
		return dst, fmt.Errorf("byte %d: odd number of hex digits (%d)", len(text), len(text))
	}
	for i := 0; i < len(text); i += 2 {
		dst = append(dst, byte(hexDigit(text[i])<<4|hexDigit(text[i+1])))
	}
	return dst, nil
}

// hexDigit returns the value of a hex digit, or -1.
func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// splitList splits a list of names at its commas, without blanks. Quotes keep the
// commas of a command line together: exec:'./engine a,b'.
func splitList(list string) []string {
	var names []string
	quote := rune(0)
	split := func(c rune) bool {
		switch {
		case quote == 0 && (c == '\'' || c == '"'):
			quote = c
		case c == quote:
			quote = 0
		}
		return c == ',' && quote == 0
	}
	for _, n := range strings.FieldsFunc(list, split) {
		if n = strings.TrimSpace(n); n != "" {
			names = append(names, n)
		}
	}
	return names
}
