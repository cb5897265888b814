package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seed-4e121ece/ringfence/emulator/depriv"
	"github.com/seed-4e121ece/ringfence/emulator/depriv/sandbox"
	"github.com/seed-4e121ece/ringfence/emulator/depriv/transport"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/seed-4e121ece/ringfence/oracle/model"
	"github.com/seed-4e121ece/ringfence/oracle/silicon"
	"github.com/seed-4e121ece/ringfence/oracle/walled"
)

// walledConfig is how the command line runs a worker. Namespaces are what some
// containers do not give; the report says so, and what holds without them.
func walledConfig() depriv.Config {
	return depriv.Config{Profile: silicon.Profile(), Allowed: sandbox.Namespaces}
}

// walledEngine is the model behind the wall, by a name like depriv:futex.
func walledEngine(name string) (*engine, error) {
	k, p, err := walled.Parse(name)
	if err != nil {
		return nil, badInput("%v", err)
	}
	open := func(options ...model.Option) (oracle.Executor, error) {
		e, err := walled.New(name, walledConfig(), options...)
		if err != nil {
			return nil, err
		}
		return e, nil
	}
	e := &engine{
		name:     name,
		about:    fmt.Sprintf("the model behind a wall, by %s: %s", k, transportAbout[k]),
		executor: func() (oracle.Executor, error) { return open() },
		detailed: func() (oracle.Executor, error) { return open(model.WithAccesses()) },
		inspect:  func() (engineFacts, error) { return inspectWalled(name, p) },
	}
	return e, nil
}

// transportAbout says in a line what each rung of the ladder is.
var transportAbout = map[transport.Kind]string{
	transport.Call:      "no process of its own, only the messages and their judge",
	transport.Chan:      "a goroutine and two channels",
	transport.Spin:      "shared memory, polled on a CPU of its own, then a futex",
	transport.Futex:     "shared memory and a futex, on the caller's CPU",
	transport.Eventfd:   "shared memory and two eventfds",
	transport.Pipe:      "two pipes",
	transport.Seqpacket: "a Unix socket of packets",
	transport.Stream:    "a Unix stream socket",
}

// walledEngines are the engines of every transport, with the default protocol.
func walledEngines() []engine {
	var all []engine
	for _, k := range transport.Kinds() {
		if e, err := walledEngine(walled.Prefix + k.String()); err == nil {
			all = append(all, *e)
		}
	}
	return all
}

// allEngines are the engines that have a name of their own.
func allEngines() []engine { return slices.Concat(registry, walledEngines()) }

// inspectWalled starts a worker and tells what holds it.
func inspectWalled(name string, p depriv.Protocol) (engineFacts, error) {
	cfg := walledConfig()
	cfg.NoSpare = true
	e, err := walled.New(name, cfg)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	plain, _, _ := strings.Cut(name, "+")
	facts := engineFacts{{"protocol", fmt.Sprintf("%s (%s+hooks crosses for each call of the Bus; +window and +window-rw show the worker the guest's RAM)", p, plain)}}
	for _, i := range e.Client().Report() {
		state := i.Detail
		if !i.On {
			state = "REFUSED: " + i.Detail
		}
		facts = append(facts, fact{i.Mechanism, state})
	}
	return facts, nil
}
