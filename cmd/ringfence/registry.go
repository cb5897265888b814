package main

import (
	"fmt"
	"sort"
	"strings"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/seed-4e121ece/ringfence/oracle/external"
	"github.com/seed-4e121ece/ringfence/oracle/walled"
)

// engine is a row of the registry: what a name on the command line stands for.
type engine struct {
	name string
	// about says in a line what the engine is.
	about string
	// executor and decoder make the engine; nil if it is no such thing. Their
	// errors tell why this machine does not offer it.
	executor func() (oracle.Executor, error)
	decoder  func() (decoder, error)
	// detailed is executor with everything that the engine can tell of a run,
	// which a campaign has no use for; nil if that is no more.
	detailed func() (oracle.Executor, error)
	// quirks are the known faults of the decoder; nil if there are none.
	quirks func() []oracle.Quirk
	// inspect tells more for `engines`; nil if there is nothing to tell.
	inspect func() (engineFacts, error)
}

// decoder is a Decoder that can print what it decoded.
type decoder struct {
	oracle.Decoder
	// text returns the instruction in the engine's own words, lower case,
	// Intel syntax. d is what Decode answered.
	text func(code []byte, mode x86.Mode, d *oracle.Decoded) string
}

// lookup returns the engine of that name. One that is a command line is started
// to ask what it can do.
func lookup(name string) (*engine, error) {
	if strings.HasPrefix(name, external.Prefix) {
		return commandEngine(name)
	}
	if strings.HasPrefix(name, walled.Prefix) {
		return walledEngine(name)
	}
	var known []string
	for i := range registry {
		if registry[i].name == name {
			return &registry[i], nil
		}
		known = append(known, registry[i].name)
	}
	sort.Strings(known)
	return nil, badInput("engine %q: unknown; known are %s, depriv:TRANSPORT and exec:COMMAND", name, strings.Join(known, ", "))
}

// openDecoders makes the decoders of a list of names.
func openDecoders(list string) ([]decoder, error) {
	names := splitList(list)
	if len(names) == 0 {
		return nil, badInput("--engine %q: want the name of a decoder", list)
	}
	var out []decoder
	for _, name := range names {
		e, err := lookup(name)
		if err != nil {
			return nil, err
		}
		if e.decoder == nil {
			return nil, badInput("engine %q is no decoder; %s", name, capable("decoders", func(e *engine) bool { return e.decoder != nil }))
		}
		d, err := e.decoder()
		if err != nil {
			return nil, badInput("engine %q: %v", name, err)
		}
		out = append(out, d)
	}
	return out, nil
}

// openExecutor makes the executor of that name, detailed if it can be. The
// caller closes it.
func openExecutor(name string) (oracle.Executor, error) {
	e, err := lookup(name)
	if err != nil {
		return nil, err
	}
	if e.executor == nil {
		return nil, badInput("engine %q does not execute; %s", name, capable("executors", func(e *engine) bool { return e.executor != nil }))
	}
	open := e.executor
	if e.detailed != nil {
		open = e.detailed
	}
	x, err := open()
	if err != nil {
		return nil, badInput("engine %q: not available here: %v", name, err)
	}
	return x, nil
}

// capable lists the engines that a condition holds for.
func capable(what string, ok func(*engine) bool) string {
	var names []string
	for i := range registry {
		if ok(&registry[i]) {
			names = append(names, registry[i].name)
		}
	}
	return fmt.Sprintf("%s are %s", what, strings.Join(names, ", "))
}
