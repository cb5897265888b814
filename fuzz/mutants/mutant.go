package mutants

import (
	"bytes"
	"fmt"
	"strings"
)

// Mutant is one piece of damage: a replacement of a range of bytes of one
// file: Go source, or a row of the instruction table.
type Mutant struct {
	// ID chooses the mutant in a woven probe; 0 is the unmutated model.
	ID int
	// Name is set for named flaws; Breaks says what it breaks.
	Name, Breaks string
	// Package is the path below the module's folder, as "emulator/exec".
	Package string
	File    *File
	Line    int
	// Func is the function, or variable, that holds the site.
	Func string
	// Kind is the operator that made the mutant, as "compare".
	Kind string
	// Start, End and Text say it: Src[Start:End] becomes Text.
	Start, End int
	Text       string

	unit unit
	// tables is set for a mutant of the table; then own holds the generated
	// files that it leads to, or patch the statements that stand for them.
	tables *Tables
	own    map[string]string
	patch  string
}

// Where returns "file:line".
func (m *Mutant) Where() string { return fmt.Sprintf("%s:%d", m.File.Rel, m.Line) }

// lineRange returns the bytes of the lines that the mutant touches, without
// the last newline.
func (m *Mutant) lineRange() (start, end int) {
	src := m.File.Src
	start = bytes.LastIndexByte(src[:m.Start], '\n') + 1
	end = len(src)
	if i := bytes.IndexByte(src[m.End:], '\n'); i >= 0 {
		end = m.End + i
	}
	return start, end
}

// Change returns the lines before and after, trimmed, on one line each.
func (m *Mutant) Change() (before, after string) {
	start, end := m.lineRange()
	src := m.File.Src
	before = string(src[start:end])
	after = string(src[start:m.Start]) + m.Text + string(src[m.End:end])
	return oneLine(before), oneLine(after)
}

// Diff returns the change in the form of a unified diff.
func (m *Mutant) Diff() string {
	start, end := m.lineRange()
	before := string(m.File.Src[start:end])
	after := string(m.File.Src[start:m.Start]) + m.Text + string(m.File.Src[m.End:end])
	var b strings.Builder
	fmt.Fprintf(&b, "--- %s\n+++ %s (%s, %s)\n@@ line %d @@\n", m.File.Rel, m.File.Rel, m.Kind, m.Func, m.Line)
	for _, l := range strings.Split(before, "\n") {
		fmt.Fprintf(&b, "-%s\n", l)
	}
	for _, l := range strings.Split(after, "\n") {
		fmt.Fprintf(&b, "+%s\n", l)
	}
	return b.String()
}

// Key names a mutant independently of line numbers: it is how the list of
// explained survivors refers to it.
func (m *Mutant) Key() string {
	before, after := m.Change()
	return strings.Join([]string{m.File.Rel, m.Func, before, after}, "\n")
}

func oneLine(s string) string {
	return strings.Join(strings.Fields(s), " ")
}
