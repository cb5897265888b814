// Package clib knows the C libraries that the program ringfence-clib hosts as
// engines: how to start it, and the libraries' known faults.
package clib

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/seed-4e121ece/ringfence/oracle"
)

// Names of the engines.
const (
	Zydis    = "zydis"
	Capstone = "capstone"
	Unicorn  = "unicorn"
)

// Library is a C library that is an engine.
type Library struct {
	// Name is the engine's, as "zydis".
	Name string
	// About says in a line what it is.
	About string
	// Package is the package of Debian that has it.
	Package string
	// Quirks are its known faults; nil if it is no decoder.
	Quirks func() []oracle.Quirk
	// Executes says that it is an executor.
	Executes bool
}

// Libraries are those that ringfence-clib hosts.
var Libraries = []Library{
	{Zydis, "the C library Zydis, in a process of its own", "libzydis4.0", ZydisQuirks, false},
	{Capstone, "the C library capstone, in a process of its own", "libcapstone4", CapstoneQuirks, false},
	{Unicorn, "the C library Unicorn, QEMU's translator, in a process of its own", "libunicorn2", nil, true},
}

// Find returns the library of that name, or nil.
func Find(name string) *Library {
	for i := range Libraries {
		if Libraries[i].Name == name {
			return &Libraries[i]
		}
	}
	return nil
}

// Program is the name of the program that hosts the libraries.
const Program = "ringfence-clib"

// importPath is the package of the program.
const importPath = "github.com/seed-4e121ece/ringfence/cmd/ringfence-clib"

// Command returns the command line that starts the engine: the program beside
// this one, or in PATH, or else, where the source and Go are at hand, `go run`,
// which builds it on first use and remembers it. The error tells what to do.
func Command(name string) ([]string, error) {
	if Find(name) == nil {
		return nil, fmt.Errorf("%s hosts no library %q", Program, name)
	}
	program, err := find()
	if err != nil {
		return nil, err
	}
	return append(program[:len(program):len(program)], name), nil
}

// find looks for the program once.
var find = sync.OnceValues(func() ([]string, error) {
	file := Program
	if runtime.GOOS == "windows" {
		file += ".exe"
	}
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), file)
		if info, err := os.Stat(beside); err == nil && info.Mode().IsRegular() {
			return []string{beside}, nil
		}
	}
	if path, err := exec.LookPath(file); err == nil {
		return []string{path}, nil
	}
	goCommand, err := exec.LookPath("go")
	if err == nil {
		cmd := exec.Command(goCommand, "list", "-f", "{{.Name}}", importPath)
		var out []byte
		if out, err = cmd.Output(); err == nil && strings.TrimSpace(string(out)) == "main" {
			return []string{goCommand, "run", importPath}, nil
		}
	}
	return nil, errors.New(Program + " is neither beside this program nor in PATH: go install " + importPath + "@latest, or run this from the source tree")
})
