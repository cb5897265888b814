package bench

import (
	"errors"
	"fmt"
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
)

// Trusted is a part of the program with its size, and which side of the wall it
// is on.
type Trusted struct {
	Part string `json:"part"`
	// Side is SideReads, SideBuilds or SideBehind.
	Side string `json:"side"`
	// Lines are lines with code on them: no comments, blanks or tests, and no
	// files for other systems.
	Lines int `json:"lines"`
	// Rows are rows of the instruction table, which is data.
	Rows int `json:"rows,omitempty"`
}

// The sides of the wall.
const (
	// SideReads is what reads a worker's bytes in the caller: a flaw there is a
	// flaw of the caller.
	SideReads = "reads what a worker sends"
	// SideBuilds is what makes the wall before the worker runs a first step.
	SideBuilds = "builds the wall"
	// SideBehind is what runs behind the wall.
	SideBehind = "runs behind the wall"
)

// parts lists files and their side; a file belongs to the first part that names
// it.
var parts = []struct {
	name, side string
	files      []string
}{
	{"sandbox", SideBuilds, []string{"emulator/depriv/sandbox/*.go", "internal/seccomp/*.go"}},
	{"start, supervision, replacement", SideBuilds, []string{"emulator/depriv/peer*.go", "emulator/depriv/start*.go", "emulator/depriv/place*.go", "emulator/depriv/config*.go", "internal/spawn/*.go"}},
	{"decoder", SideBehind, []string{"emulator/decode/*.go"}},
	{"execution", SideBehind, []string{"emulator/exec/*.go"}},
	{"the step: journal, promises, delivery", SideBehind, []string{"emulator/*.go"}},
	{"worker: answers requests", SideBehind, []string{"emulator/depriv/worker/*.go", "emulator/depriv/child*.go"}},
	{"instruction table", SideBehind, []string{"emulator/isa/*.txt"}},
	{"judge: what a reply may say", SideReads, []string{"emulator/depriv/judge/*.go"}},
	{"wire: the message, taken apart", SideReads, []string{"emulator/depriv/wire/*.go"}},
	{"effects: a reply applied to the guest", SideReads, []string{"emulator/step/*.go"}},
	{"transports, all of them together", SideReads, []string{"emulator/depriv/transport/*.go", "internal/shm/*.go"}},
	{"client: asks, answers, applies", SideReads, []string{"emulator/depriv/*.go"}},
}

const modulePath = "github.com/seed-4e121ece/ringfence"

var errNoSource = errors.New("bench: the program's source is not here, so that its lines cannot be counted: run it in a clone")

// CountTrusted counts the lines on each side of the wall in the source of this
// program: in the module around the working directory, or where the program was
// built. Without its source there is nothing to count.
func CountTrusted() ([]Trusted, error) {
	root, err := sourceRoot()
	if err != nil {
		return nil, err
	}
	return countIn(os.DirFS(root))
}

// sourceRoot finds the source.
func sourceRoot() (string, error) {
	var starts []string
	if wd, err := os.Getwd(); err == nil {
		starts = append(starts, wd)
	}
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) {
		starts = append(starts, filepath.Dir(file))
	}
	for _, dir := range starts {
		for {
			text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
			if err == nil && strings.HasPrefix(string(text), "module "+modulePath+"\n") {
				return dir, nil
			}
			up := filepath.Dir(dir)
			if up == dir {
				break
			}
			dir = up
		}
	}
	return "", errNoSource
}

func countIn(source fs.FS) ([]Trusted, error) {
	all := make([]Trusted, len(parts))
	seen := map[string]bool{}
	for i, p := range parts {
		t := &all[i]
		t.Part, t.Side = p.name, p.side
		for _, pattern := range p.files {
			names, err := fs.Glob(source, pattern)
			if err != nil {
				return nil, fmt.Errorf("bench: %w", err)
			}
			for _, name := range names {
				if seen[name] || elsewhere(name) {
					continue
				}
				seen[name] = true
				if err := t.count(source, name); err != nil {
					return nil, err
				}
			}
		}
		if t.Lines+t.Rows == 0 {
			return nil, fmt.Errorf("bench: %s: no code in %v: %w", p.name, p.files, fs.ErrNotExist)
		}
	}
	return all, nil
}

// count adds a file.
func (t *Trusted) count(source fs.FS, name string) error {
	text, err := fs.ReadFile(source, name)
	switch {
	case err != nil:
		return fmt.Errorf("bench: %w", err)
	case path.Ext(name) == ".txt":
		t.Rows += rows(string(text))
	case !generated(text):
		t.Lines += codeLines(text)
	}
	return nil
}

// elsewhere says whether a file is a test's or for other systems.
func elsewhere(name string) bool {
	base := path.Base(name)
	return strings.HasSuffix(base, "_test.go") || strings.HasSuffix(base, "_other.go") || strings.HasSuffix(base, "_windows.go") || strings.HasSuffix(base, "_darwin.go") || base == "probe.go"
}

// generated says whether a file is made from the table.
func generated(text []byte) bool {
	return strings.HasPrefix(string(text), "// Code generated ")
}

// rows counts the lines of a table's file that are no comment.
func rows(text string) (n int) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			n++
		}
	}
	return n
}

// codeLines counts the lines that a token of Go begins or ends on.
func codeLines(text []byte) int {
	var s scanner.Scanner
	files := token.NewFileSet()
	f := files.AddFile("", -1, len(text))
	s.Init(f, text, nil, 0)
	lines := map[int]bool{}
	for {
		pos, tok, literal := s.Scan()
		if tok == token.EOF {
			return len(lines)
		}
		if tok == token.SEMICOLON && literal != ";" {
			continue // the scanner's own
		}
		from := f.Line(pos)
		for i := range 1 + strings.Count(literal, "\n") {
			lines[from+i] = true
		}
	}
}

// TrustedLines adds up the lines of a side.
func (r *Result) TrustedLines(side string) (n int) {
	for _, t := range r.Trusted {
		if t.Side == side {
			n += t.Lines
		}
	}
	return n
}
