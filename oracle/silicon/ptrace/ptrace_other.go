//go:build !linux || !amd64

package ptrace

import (
	"errors"
	"runtime"

	"github.com/seed-4e121ece/ringfence/oracle"
)

// Executor does not exist on this machine.
type Executor struct{}

// Option changes how an Executor works.
type Option func(*Executor)

var errMachine = errors.New("ptrace: needs Linux on x86-64, this is " + runtime.GOOS + "/" + runtime.GOARCH)

// New says why not.
func New(...Option) (*Executor, error) { return nil, errMachine }

// Name is "ptrace".
func (e *Executor) Name() string { return "ptrace" }

// Pid is 0.
func (e *Executor) Pid() int { return 0 }

// Respawns is 0.
func (e *Executor) Respawns() int { return 0 }

// Run says why not.
func (e *Executor) Run([]oracle.Case, []oracle.Result) error { return errMachine }

// Close does nothing.
func (e *Executor) Close() error { return nil }
