//go:build !linux || !amd64

package silicon

import (
	"errors"
	"runtime"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// Executor does not exist on this machine.
type Executor struct{}

// Option changes how an Executor works.
type Option func(*Executor)

// WithStop has no effect here.
func WithStop(Stop) Option { return func(*Executor) {} }

// WithoutQuarantine has no effect here.
func WithoutQuarantine() Option { return func(*Executor) {} }

// WithCPU has no effect here.
func WithCPU(int) Option { return func(*Executor) {} }

var errMachine = errors.New("silicon: needs Linux on x86-64, this is " + runtime.GOOS + "/" + runtime.GOARCH)

// New says why not.
func New(...Option) (*Executor, error) { return nil, errMachine }

// Name is "silicon".
func (e *Executor) Name() string { return "silicon" }

// Respawns is 0.
func (e *Executor) Respawns() int { return 0 }

// Replaced is nothing.
func (e *Executor) Replaced() Replaced { return Replaced{} }

// Pid is 0.
func (e *Executor) Pid() int { return 0 }

// Run says why not.
func (e *Executor) Run([]oracle.Case, []oracle.Result) error { return errMachine }

// Info says why not.
func (e *Executor) Info() (Info, error) { return Info{}, errMachine }

// Close does nothing.
func (e *Executor) Close() error { return nil }

// Decoder does not exist on this machine.
type Decoder struct{}

// NewDecoder says why not.
func NewDecoder(...Option) (*Decoder, error) { return nil, errMachine }

// Name is "silicon".
func (d *Decoder) Name() string { return "silicon" }

// Close does nothing.
func (d *Decoder) Close() error { return nil }

// Decode says that there is no answer.
func (d *Decoder) Decode(_ []byte, _ x86.Mode, out *oracle.Decoded) {
	*out = oracle.Decoded{Ending: oracle.Died, Reason: errMachine.Error(), UnknownLength: true, UnknownMnemonic: true, UnknownOperands: true}
}

// DecodeBatch says that there are no answers.
func (d *Decoder) DecodeBatch(codes [][]byte, mode x86.Mode, out []oracle.Decoded) {
	for i := range out {
		d.Decode(codes[i], mode, &out[i])
	}
}
