// Package walled makes an engine of the emulator behind the wall: any campaign
// can run with the model de-privileged, and must find what it finds in-process.
package walled

import (
	"fmt"
	"strings"

	"github.com/seed-4e121ece/ringfence/emulator"
	"github.com/seed-4e121ece/ringfence/emulator/depriv"
	"github.com/seed-4e121ece/ringfence/emulator/depriv/transport"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/seed-4e121ece/ringfence/oracle/model"
)

// Prefix is what the names of these engines start with.
const Prefix = "depriv:"

// Parse takes the name of an engine apart: depriv:TRANSPORT, and after a plus
// sign the protocol, which by default is message.
func Parse(name string) (transport.Kind, depriv.Protocol, error) {
	rest, ok := strings.CutPrefix(name, Prefix)
	if !ok {
		return 0, 0, fmt.Errorf("engine %q: want %sTRANSPORT", name, Prefix)
	}
	kind, protocol, given := strings.Cut(rest, "+")
	k, err := transport.Parse(kind)
	if err != nil {
		return 0, 0, fmt.Errorf("engine %q: %w", name, err)
	}
	p := depriv.Message
	if given {
		if p, err = depriv.ParseProtocol(protocol); err != nil {
			return 0, 0, fmt.Errorf("engine %q: %w", name, err)
		}
	}
	return k, p, nil
}

// Executor runs cases on the emulator behind the wall.
type Executor struct {
	*model.Executor
	client *depriv.Client
}

var _ oracle.Executor = (*Executor)(nil)

// New starts a worker and returns its executor. name is what Parse takes; the
// transport and the protocol of cfg are set from it.
func New(name string, cfg depriv.Config, options ...model.Option) (*Executor, error) {
	var err error
	if cfg.Transport, cfg.Protocol, err = Parse(name); err != nil {
		return nil, err
	}
	c, err := depriv.New(cfg)
	if err != nil {
		return nil, err
	}
	options = append(options, model.WithName(name), model.WithStepper(func(step.Hooks) emulator.Stepper { return c }))
	return &Executor{Executor: model.New(cfg.Profile, options...), client: c}, nil
}

// Client is the near end of the wall.
func (e *Executor) Client() *depriv.Client { return e.client }

// Run implements oracle.Executor. Meanwhile the calling goroutine stays on one
// CPU, and the worker where it is fastest for the transport.
func (e *Executor) Run(cases []oracle.Case, results []oracle.Result) error {
	release, err := e.client.Settle()
	if err != nil {
		return err
	}
	defer release()
	return e.Executor.Run(cases, results)
}

// Close ends the workers.
func (e *Executor) Close() error { return e.client.Close() }
