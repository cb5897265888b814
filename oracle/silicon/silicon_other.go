//go:build !linux || !amd64

package silicon

import (
	"errors"
	"runtime"

	"github.com/seed-4e121ece/ringfence/oracle"
)

// Executor does not exist on this machine.
type Executor struct{}

// Option changes how an Executor works.
type Option func(*Executor)

// WithStop has no effect here.
func WithStop(Stop) Option { return func(*Executor) {} }

// WithCPU has no effect here.
func WithCPU(int) Option { return func(*Executor) {} }

var errMachine = errors.New("silicon: needs Linux on x86-64, this is " + runtime.GOOS + "/" + runtime.GOARCH)

// New says why not.
func New(...Option) (*Executor, error) { return nil, errMachine }

// Name is "silicon".
func (e *Executor) Name() string { return "silicon" }

// Respawns is 0.
func (e *Executor) Respawns() int { return 0 }

// Pid is 0.
func (e *Executor) Pid() int { return 0 }

// Run says why not.
func (e *Executor) Run([]oracle.Case, []oracle.Result) error { return errMachine }

// Info says why not.
func (e *Executor) Info() (Info, error) { return Info{}, errMachine }

// Close does nothing.
func (e *Executor) Close() error { return nil }
