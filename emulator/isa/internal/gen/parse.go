package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// row is one line of a table, parsed. The strings of the last group are Go
// source: names of constants of package isa.
type row struct {
	id       int
	file     string
	line     int
	encoding string
	syntax   string
	mnemonic string // constant name
	name     string // what the manual calls it
	modes    int    // bits: 1 is 16-bit code, 2 is 32-bit, 4 is 64-bit
	operands []operand
	implicit []operand
	attrs    []string
	feature  string
	also     string // a second feature that the row needs
	flags    flagEffects
	partial  string

	enc  encoding
	evex evexForm
	// fallback is the row that the encoding selects on a CPU without feature.
	fallback *row
	// reached says that some bytes select the row in one of its modes.
	reached bool
	// wide says that W chooses the size of a general-purpose register.
	wide bool
}

// operand mirrors isa.Operand; kind, class and access name its constants.
type operand struct {
	kind, class string
	reg         int
	size        int
	immSize     int
	signExtend  bool
	access      string
	// opSize is the operand size that the operand's syntax implies, or 0.
	opSize int
	// pure says that the token names a register operand and nothing else.
	pure bool
}

func (r *row) String() string {
	return fmt.Sprintf("%s:%d: %s | %s", r.file, r.line, r.encoding, r.syntax)
}

func (r *row) errorf(format string, args ...any) error {
	return fmt.Errorf("%s:%d: %w", r.file, r.line, fmt.Errorf(format, args...))
}

// evexOrder is 1 for EVEX rows, 0 for others.
func (r *row) evexOrder() int {
	if r.enc.isEVEX {
		return 1
	}
	return 0
}

func (r *row) has(attr string) bool {
	for _, a := range r.attrs {
		if a == attr {
			return true
		}
	}
	return false
}

const numColumns = 8

// parseTable reads one table. It goes on after an error, so that one run
// shows them all.
func parseTable(path string, features []feature) ([]*row, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var rows []*row
	var errs []error
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		r := &row{file: path, line: i + 1}
		if err := r.parse(line, features); err != nil {
			errs = append(errs, err)
			continue
		}
		rows = append(rows, r)
	}
	return rows, errors.Join(errs...)
}

func (r *row) parse(line string, features []feature) error {
	cols := strings.Split(line, "|")
	if len(cols) != numColumns {
		return r.errorf("%d columns, want %d: opcode | instruction | modes | operands | attributes | feature | flags | implicit", len(cols), numColumns)
	}
	for i := range cols {
		cols[i] = strings.Join(strings.Fields(cols[i]), " ")
		if cols[i] == "-" {
			cols[i] = ""
		}
	}
	r.encoding, r.syntax = cols[0], cols[1]
	steps := []func() error{
		func() error { return r.parseModes(cols[2]) },
		func() error { return r.parseAttrs(cols[4]) },
		func() error { return r.parseEncoding(cols[0]) },
		func() error { return r.parseFeature(cols[5], features) },
		func() error { return r.parseSyntax(cols[1], cols[3]) },
		func() error { return r.parseFlags(cols[6]) },
		func() error { return r.parseImplicit(cols[7]) },
		r.finish,
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (r *row) parseModes(s string) error {
	for _, m := range strings.Fields(s) {
		switch m {
		case "16":
			r.modes |= 1
		case "32":
			r.modes |= 2
		case "64":
			r.modes |= 4
		default:
			return r.errorf("mode %q: want 16, 32 or 64", m)
		}
	}
	if r.modes == 0 {
		return r.errorf("no mode: want some of 16, 32, 64")
	}
	return nil
}

// attributes maps the words of the attribute column that become bits of
// isa.Attr.
var attributes = map[string]string{
	"lock": "AttrLock", "implicit-lock": "AttrImplicitLock", "rep": "AttrRep", "repz": "AttrRepZ",
	"default64": "AttrDefault64", "force64": "AttrForce64", "branch": "AttrBranch", "conditional": "AttrConditional",
	"far": "AttrFar", "cpl0": "AttrCPL0", "iopl": "AttrIOPL", "nop": "AttrNop", "system": "AttrSystem",
	"x87": "AttrX87", "vector": "AttrVector", "undefined-result": "AttrUndefinedResult",
	"vsib": "AttrVSIB", "cpl0-ud": "AttrCPL0Undefined", "distinct": "AttrDistinct",
}

// selectors are the words of the attribute column that say what the opcode
// column of the manual leaves to its text: operand size, address size, REX.B,
// and the order of the operands (the manual's Op/En column).
var selectors = map[string]bool{
	"o16": true, "o32": true, "o64": true, "oany": true, "no66": true, "a16": true, "a32": true, "a64": true,
	"rex.b=0": true, "rex.b=1": true, "mod-ignored": true, "mask-required": true,
	"RM": true, "MR": true, "RVM": true, "RMV": true, "VM": true, "MVR": true, "RVMR": true, "VMR": true, "VRM": true, "RVRM": true, "MRV": true, "RMI": true, "MRI": true,
}

var partials = map[string]string{
	"registers": "PartialRegisters", "stack": "PartialStack", "iteration": "PartialIteration", "elements": "PartialElements",
}

func (r *row) parseAttrs(s string) error {
	for _, a := range strings.Fields(s) {
		if p, ok := strings.CutPrefix(a, "partial="); ok {
			if r.partial = partials[p]; r.partial == "" {
				return r.errorf("partial=%q: want registers, stack, iteration or elements", p)
			}
			continue
		}
		if n, ok := strings.CutPrefix(a, "n="); ok {
			scale, err := strconv.Atoi(n)
			if err != nil || scale < 1 || scale > 64 || scale&(scale-1) != 0 {
				return r.errorf("n=%q: want a power of two up to 64", n)
			}
			r.evex.scale = scale
			continue
		}
		if attributes[a] == "" && !selectors[a] {
			return r.errorf("unknown attribute %q", a)
		}
		r.attrs = append(r.attrs, a)
	}
	return nil
}

// parseFeature reads one feature or two, as "AVX512BW AVX512VL".
func (r *row) parseFeature(s string, features []feature) error {
	words := strings.Fields(s)
	if len(words) > 2 {
		return r.errorf("features %q: want at most two", s)
	}
	for _, w := range words {
		if !slices.ContainsFunc(features, func(f feature) bool { return f.name == w }) {
			return r.errorf("feature %q is not in features.txt", w)
		}
	}
	if len(words) > 0 {
		r.feature = words[0]
	}
	if len(words) > 1 {
		r.also = words[1]
	}
	return nil
}

// finish derives what needs more than one column.
func (r *row) finish() error {
	if r.flags.result && !r.has("undefined-result") {
		r.attrs = append(r.attrs, "undefined-result")
	}
	e := &r.enc
	if e.isEVEX != (r.evex.scale != 0) {
		return r.errorf("EVEX rows, and no others, have n=")
	}
	switch {
	case r.has("o16"):
		e.opSize = 2
	case r.has("o32"):
		e.opSize = 4
	case r.has("o64"), e.rexW:
		e.opSize = 8
	case r.has("oany"), e.isVEX, r.has("vector"), r.has("x87"):
	case len(r.operands) > 0:
		e.opSize = r.operands[0].opSize
	}
	for i, a := range []string{"a16", "a32", "a64"} {
		if r.has(a) {
			e.addrSize = 2 << i
		}
	}
	for i := range 2 {
		if r.has("rex.b=" + strconv.Itoa(i)) {
			e.rexB = i + 1
		}
	}
	return nil
}

// feature is a line of features.txt.
type feature struct {
	name string
	// leaf, subleaf, register (0 EAX to 3 EDX) and bit of CPUID. The feature is
	// there when the field of width bits is at least least; it has no bit when
	// width is 0.
	leaf, subleaf        uint64
	register, bit, width int
	least                uint64
}

// parseFeatures reads lines as "BMI1 | 07H.0:EBX[3]".
func parseFeatures(path string) ([]feature, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var out []feature
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f, err := parseFeature(line)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, i+1, err)
		}
		out = append(out, f)
	}
	return out, nil
}

var featureLine = regexp.MustCompile(`^(\w+)\s*\|\s*(?:none|([0-9A-F]+)(?:\.([0-9A-F]+))?H:(EAX|EBX|ECX|EDX)\[(\d+)(?::(\d+)\]>=(\d+)|\]))$`)

func parseFeature(line string) (feature, error) {
	bad := fmt.Errorf("%q: want NAME | LEAF[.SUBLEAF]H:REG[BIT], or REG[HIGH:LOW]>=N, or none", line)
	m := featureLine.FindStringSubmatch(line)
	if m == nil {
		return feature{}, bad
	}
	f := feature{name: m[1]}
	if m[2] == "" {
		return f, nil
	}
	number := func(s string, base int) uint64 {
		n, err := strconv.ParseUint(s, base, 32)
		if s != "" && err != nil {
			f.width = -1
		}
		return n
	}
	f.leaf, f.subleaf, f.least, f.width = number(m[2], 16), number(m[3], 16), 1, 1
	f.register = slices.Index([]string{"EAX", "EBX", "ECX", "EDX"}, m[4])
	f.bit = int(number(m[5], 10))
	if m[6] != "" {
		high := f.bit
		f.bit = int(number(m[6], 10))
		f.width, f.least = high-f.bit+1, number(m[7], 10)
	}
	if f.bit < 0 || f.width < 1 || f.bit+f.width > 32 {
		return f, bad
	}
	return f, nil
}
