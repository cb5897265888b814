// Package walled makes an engine of the emulator behind the wall: any campaign
// can run with the model de-privileged, and must find what it finds in-process.
package walled

import (
	"errors"
	"fmt"
	"strings"

	"github.com/seed-4e121ece/ringfence/emulator"
	"github.com/seed-4e121ece/ringfence/emulator/depriv"
	"github.com/seed-4e121ece/ringfence/emulator/depriv/transport"
	"github.com/seed-4e121ece/ringfence/emulator/machine"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
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
	memory *depriv.Memory
}

var _ oracle.Executor = (*Executor)(nil)

// New starts a worker and returns its executor. name is what Parse takes; the
// transport and the protocol of cfg are set from it.
func New(name string, cfg depriv.Config, options ...model.Option) (*Executor, error) {
	var err error
	if cfg.Transport, cfg.Protocol, err = Parse(name); err != nil {
		return nil, err
	}
	e := &Executor{}
	if cfg.Protocol == depriv.Window || cfg.Protocol == depriv.WindowWrite {
		if e.memory, err = depriv.NewMemory(windowSize, cfg.Protocol == depriv.WindowWrite); err != nil {
			return nil, err
		}
		cfg.Memory = e.memory
		options = append(options, model.WithMachine(e.configure, e.stepper))
	} else {
		options = append(options, model.WithStepper(func(step.Hooks) emulator.Stepper { return e.client }))
	}
	if e.client, err = depriv.New(cfg); err != nil {
		e.closeMemory()
		return nil, err
	}
	e.Executor = model.New(cfg.Profile, append(options, model.WithName(name))...)
	return e, nil
}

// windowSize is how much memory the worker sees of the cases, in bytes: that of
// some thirty layouts.
const windowSize = 4 << 20

// configure has a machine keep its pages in the window.
func (e *Executor) configure(c *machine.Config) {
	c.Storage, c.Foreign = e.memory.Alloc, e.client.WritesMemory()
}

// stepper shows the worker a machine.
func (e *Executor) stepper(m *machine.Machine) emulator.Stepper {
	var list []depriv.Mapping
	for i, p := range m.Pages() {
		list = append(list, depriv.Mapping{
			Linear: p.Address, Memory: m.Storage(i), Write: p.Protection&machine.Write != 0, User: p.Protection&machine.User != 0,
		})
	}
	space, err := e.memory.Space(list)
	if err != nil {
		space = 0 // a layout too many: its cases have no window, and are right all the same
	}
	return &inSpace{e.client, space}
}

// inSpace is the client with the memory of one machine in its window.
type inSpace struct {
	*depriv.Client
	space uint32
}

// Step implements emulator.Stepper.
func (s *inSpace) Step(state *x86.State, bus step.Bus, fx *step.Effects) step.Outcome {
	s.Enter(s.space)
	return s.Client.Step(state, bus, fx)
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
func (e *Executor) Close() error { return errors.Join(e.client.Close(), e.closeMemory()) }

func (e *Executor) closeMemory() error {
	if e.memory == nil {
		return nil
	}
	return e.memory.Close()
}
