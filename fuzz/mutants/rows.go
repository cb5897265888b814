package mutants

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Tables is the text of the instruction table with the program that turns it
// into Go. A mutant of a row is a change of the text: the generated rows and
// the decoder's index follow from it, as they would for a slip of the pen.
type Tables struct {
	src *Source
	// Dir and Decode are the folders, below the module's, of package isa and
	// of package decode.
	Dir, Decode string
	// Draw names the tables that mutants are drawn from, as "gp.txt".
	Draw []string

	generator string
	texts     map[string]string // all tables and what goes with them, by base name
	generated map[string]string // what the generator makes of them unchanged, by path
	files     map[string]*File
}

// The columns of a table.
const (
	colOpcode = iota
	colInstruction
	colModes
	colOperands
	colAttributes
	colFeature
	colFlags
	colImplicit
	numColumns
)

// LoadTables reads the tables and builds their generator in the folder work.
func (s *Source) LoadTables(work, dir, decode string, draw ...string) (*Tables, error) {
	t := &Tables{src: s, Dir: dir, Decode: decode, Draw: draw, texts: map[string]string{}, files: map[string]*File{}}
	t.generator = filepath.Join(work, "gen.exe")
	if _, err := goCommand(s.Root, "build", "-o", t.generator, "./"+dir+"/internal/gen"); err != nil {
		return nil, err
	}
	paths, err := filepath.Glob(filepath.Join(s.Root, filepath.FromSlash(dir), "*.txt"))
	if err != nil {
		return nil, err
	}
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			return nil, err
		}
		t.texts[filepath.Base(p)] = string(b)
	}
	for _, name := range draw {
		text, ok := t.texts[name]
		if !ok {
			return nil, fmt.Errorf("table %s/%s: no such file", dir, name)
		}
		t.files[name] = &File{Rel: dir + "/" + name, Src: []byte(text)}
	}
	t.generated, err = t.generate("", "")
	return t, err
}

// generate runs the generator on the tables with one of them replaced. An
// error of the table is an *exec.ExitError.
func (t *Tables) generate(name, text string) (map[string]string, error) {
	tmp, err := os.MkdirTemp("", "tables")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	dirs := map[string]string{filepath.Join(tmp, "isa"): t.Dir, filepath.Join(tmp, "decode"): t.Decode}
	for d := range dirs {
		if err := os.Mkdir(d, 0o755); err != nil {
			return nil, err
		}
	}
	for base, content := range t.texts {
		if base == name {
			content = text
		}
		if err := os.WriteFile(filepath.Join(tmp, "isa", base), []byte(content), 0o644); err != nil {
			return nil, err
		}
	}
	cmd := exec.Command(t.generator, "-isa", filepath.Join(tmp, "isa"), "-decode", filepath.Join(tmp, "decode"))
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	files := map[string]string{}
	for d, rel := range dirs {
		list, err := filepath.Glob(filepath.Join(d, "*.go"))
		if err != nil {
			return nil, err
		}
		for _, p := range list {
			b, err := os.ReadFile(p)
			if err != nil {
				return nil, err
			}
			files[rel+"/"+filepath.Base(p)] = string(b)
		}
	}
	return files, nil
}

// regenerate gives a mutant of a table the generated files that it leads to.
// It returns the generator's words if the table is in error, "" otherwise.
func (t *Tables) regenerate(m *Mutant) (reason string, err error) {
	src := m.File.Src
	text := string(src[:m.Start]) + m.Text + string(src[m.End:])
	files, err := t.generate(filepath.Base(m.File.Rel), text)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return err.Error(), nil
	} else if err != nil {
		return "", err
	}
	m.own = map[string]string{}
	for name, content := range files {
		if content != t.generated[name] {
			m.own[name] = content
		}
	}
	if len(m.own) == 0 {
		return "changes nothing in the generated files", nil
	}
	return "", nil
}

// Candidates lists the mutants of the tables that scope allows.
func (t *Tables) Candidates(scope *Scope) []*Mutant {
	var all []*Mutant
	for _, name := range t.Draw {
		f := t.files[name]
		at := 0
		for i, line := range strings.SplitAfter(string(f.Src), "\n") {
			if cols := strings.Split(line, "|"); len(cols) == numColumns && !strings.HasPrefix(line, "#") {
				r := &rowFinder{t: t, file: f, line: i + 1, start: at, text: line, cols: cols, scope: scope}
				r.find()
				all = append(all, r.found...)
			}
			at += len(line)
		}
	}
	return all
}

// rowFinder lists the mutants of one row.
type rowFinder struct {
	t     *Tables
	file  *File
	line  int
	start int // of the line, in bytes
	text  string
	cols  []string
	scope *Scope
	found []*Mutant
}

// add records the row with one column replaced.
func (r *rowFinder) add(kind string, col int, text string) {
	start := r.start
	for _, c := range r.cols[:col] {
		start += len(c) + 1
	}
	if text == "" {
		text = "-"
	}
	m := &Mutant{
		Package: r.t.Dir, File: r.file, Line: r.line, Func: strings.TrimSpace(r.cols[colInstruction]), Kind: kind,
		Start: start, End: start + len(strings.TrimSuffix(r.cols[col], "\n")), Text: " " + text + " ",
		tables: r.t,
	}
	if col == numColumns-1 {
		m.Text = " " + text
	}
	if r.scope.allows(&site{Mutant: m, row: r}) {
		r.found = append(r.found, m)
	}
}

// words returns the words of a column; none for "-".
func (r *rowFinder) words(col int) []string {
	w := strings.Fields(r.cols[col])
	if len(w) == 1 && w[0] == "-" {
		return nil
	}
	return w
}

// replaceWord returns the words with one replaced, or dropped.
func replaceWord(words []string, i int, with ...string) string {
	out := append([]string(nil), words[:i]...)
	out = append(out, with...)
	return strings.Join(append(out, words[i+1:]...), " ")
}

func (r *rowFinder) find() {
	r.operands()
	r.attributes()
	r.opcode()
	r.syntax()
	for i, m := range r.words(colModes) {
		if w := r.words(colModes); m == "64" && len(w) > 1 {
			r.add("row-modes", colModes, replaceWord(w, i))
		}
	}
	r.flags()
	for i := range r.words(colImplicit) {
		r.add("row-implicit", colImplicit, replaceWord(r.words(colImplicit), i))
	}
	if len(r.words(colFeature)) > 0 {
		r.add("row-feature", colFeature, "")
	}
}

// operands changes what is done to an operand. Whether a register or an
// immediate is read is no question that the model asks, and a store that reads
// first shows in nothing: such changes are not made.
func (r *rowFinder) operands() {
	w := r.words(colOperands)
	_, list, _ := strings.Cut(strings.TrimSpace(r.cols[colInstruction]), " ")
	names := strings.Split(list, ", ")
	other := map[string][]string{"rw": {"r"}, "w": {"r"}, "r": {"rw"}, "crw": {"r"}, "cw": {"r"}}
	inMemory := map[string][]string{"rw": {"w"}, "r": {"n"}, "n": {"r"}}
	for i, a := range w {
		change := other[a]
		if a == "r" && i < len(names) && (names[i] == "1" || strings.HasPrefix(names[i], "imm") || strings.HasPrefix(names[i], "rel")) {
			continue // not a place that could be written
		}
		if i < len(names) && (strings.Contains(names[i], "/m") || strings.HasPrefix(names[i], "m")) {
			change = append(change[:len(change):len(change)], inMemory[a]...)
		}
		for _, b := range change {
			r.add("row-access", colOperands, replaceWord(w, i, b))
		}
	}
}

// attributes drops one, and allows LOCK where it is not.
func (r *rowFinder) attributes() {
	w := r.words(colAttributes)
	locked := false
	for i, a := range w {
		r.add("row-attribute", colAttributes, replaceWord(w, i))
		locked = locked || strings.HasSuffix(a, "lock")
	}
	if ops := strings.Fields(r.cols[colInstruction]); !locked && len(ops) > 1 && strings.Contains(ops[1], "/m") {
		r.add("row-attribute", colAttributes, strings.Join(append(w, "lock"), " "))
	}
}

// opcode drops a word (REX.W, NP), and moves a digit or the opcode's last
// byte by one.
func (r *rowFinder) opcode() {
	w := r.words(colOpcode)
	for i, word := range w {
		switch {
		case word == "NP" || word == "NFx":
			r.add("row-opcode", colOpcode, replaceWord(w, i))
		case len(word) == 2 && word[0] == '/' && word[1] >= '0' && word[1] <= '7':
			r.add("row-opcode", colOpcode, replaceWord(w, i, fmt.Sprintf("/%d", (word[1]-'0'+1)%8)))
		case len(word) == 2 && (i+1 == len(w) || len(w[i+1]) != 2 || strings.ToLower(w[i+1]) == w[i+1]):
			var b uint8
			if n, err := fmt.Sscanf(word, "%02X", &b); n == 1 && err == nil && strings.ToUpper(word) == word {
				r.add("row-opcode", colOpcode, replaceWord(w, i, fmt.Sprintf("%02X", b+1)))
			}
		}
	}
}

// syntax changes the width of an operand or swaps two.
func (r *rowFinder) syntax() {
	text := strings.TrimSpace(r.cols[colInstruction])
	for _, s := range [][2]string{
		{"r/m8", "r/m16"},
		{"r/m16", "r/m32"},
		{"r/m32", "r/m64"},
		{"r/m64", "r/m32"},
		{"r/m32", "r/m16"},
		{"r/m16", "r/m8"},
		{" r8", " r16"},
		{" r16", " r32"},
		{" r32", " r64"},
		{" r64", " r32"},
		{" r32", " r16"},
		{" AX", " EAX"},
		{" RAX", " EAX"},
		{", CL", ", 1"},
		{" m8", " m16"},
		{" m64", " m32"},
	} {
		if strings.Contains(text+" ", s[0]+",") || strings.Contains(text+" ", s[0]+" ") {
			r.add("row-size", colInstruction, strings.Replace(text, s[0], s[1], 1))
		}
	}
	name, ops, ok := strings.Cut(text, " ")
	if list := strings.Split(ops, ", "); ok && len(list) == 2 && list[0] != list[1] {
		r.add("row-swap", colInstruction, name+" "+list[1]+", "+list[0])
	}
}

// flags changes what happens to one flag.
func (r *rowFinder) flags() {
	w := r.words(colFlags)
	for i, f := range w {
		name, what, ok := strings.Cut(f, "=")
		if !ok {
			continue
		}
		for _, other := range []string{"m", "0", "1", "u"} {
			if what != other {
				r.add("row-flags", colFlags, replaceWord(w, i, name+"="+other))
			}
		}
		r.add("row-flags", colFlags, replaceWord(w, i))
	}
}

// patch returns what a woven table needs to become the mutant's, if the
// mutant changes rows in place and nothing else: a list of "table[i] = Row{…}".
func (t *Tables) patch(m *Mutant) (string, bool) {
	rows := t.Dir + "/zrows.go"
	if len(m.own) != 1 || m.own[rows] == "" {
		return "", false
	}
	before, after := strings.Split(t.generated[rows], "\n"), strings.Split(m.own[rows], "\n")
	if len(before) != len(after) {
		return "", false
	}
	var b strings.Builder
	for i, l := range after {
		if l == before[i] {
			continue
		}
		l = strings.TrimSuffix(strings.TrimSpace(l), ",")
		var id int
		if n, err := fmt.Sscanf(l, "{ID: %d,", &id); n != 1 || err != nil {
			return "", false
		}
		fmt.Fprintf(&b, "table[%d] = Row%s\n", id, l)
	}
	return b.String(), true
}
