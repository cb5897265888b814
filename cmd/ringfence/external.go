package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/seed-4e121ece/ringfence/oracle/external"
	"github.com/seed-4e121ece/ringfence/oracle/external/clib"
)

// commands are the engines that are command lines, by name: each is asked once
// what it can do.
var commands = struct {
	sync.Mutex
	known map[string]*engine
}{known: map[string]*engine{}}

// commandEngine returns the engine that a command line is.
func commandEngine(name string) (*engine, error) {
	commands.Lock()
	defer commands.Unlock()
	if e := commands.known[name]; e != nil {
		return e, nil
	}
	argv, err := external.SplitCommand(strings.TrimPrefix(name, external.Prefix))
	if err != nil {
		return nil, badInput("engine %q: %v", name, err)
	}
	hello, err := external.Probe(argv)
	if err != nil {
		return nil, badInput("engine %q: not available here: %v", name, err)
	}
	e := &engine{
		name: name, about: hello.About,
		inspect: func() (engineFacts, error) { return helloFacts(&hello), nil },
	}
	if hello.Decode {
		e.decoder = func() (decoder, error) { return externalDecoder(name, argv) }
	}
	if hello.Execute {
		e.executor = func() (oracle.Executor, error) {
			x, err := external.NewExecutor(name, argv)
			if err != nil {
				return nil, err
			}
			return x, nil
		}
	}
	commands.known[name] = e
	return e, nil
}

// externalDecoder starts a decoder in a process of its own. Its text is what
// came with the answer.
func externalDecoder(name string, argv []string) (decoder, error) {
	d, err := external.NewDecoder(name, argv)
	if err != nil {
		return decoder{}, err
	}
	return decoder{d, func(_ []byte, _ x86.Mode, got *oracle.Decoded) string {
		if text := d.Text(); text != "" {
			return text
		}
		return strings.ToLower(got.Mnemonic)
	}}, nil
}

// libraryEngine returns the engine that ringfence-clib hosts.
func libraryEngine(l *clib.Library) engine {
	e := engine{
		name: l.Name, about: l.About, quirks: l.Quirks,
		inspect: func() (engineFacts, error) {
			argv, err := clib.Command(l.Name)
			if err != nil {
				return nil, err
			}
			hello, err := external.Probe(argv)
			if err != nil {
				return nil, err
			}
			facts := helloFacts(&hello)
			if l.Quirks != nil {
				facts = append(facts, fact{"known faults", fmt.Sprintf("%d rules", len(l.Quirks()))})
			}
			return append(facts, fact{"command", strings.Join(argv, " ")}), nil
		},
	}
	if l.Executes {
		e.executor = func() (oracle.Executor, error) {
			argv, err := clib.Command(l.Name)
			if err != nil {
				return nil, err
			}
			x, err := external.NewExecutor(l.Name, argv)
			if err != nil {
				return nil, err
			}
			return x, nil
		}
		return e
	}
	e.decoder = func() (decoder, error) {
		argv, err := clib.Command(l.Name)
		if err != nil {
			return decoder{}, err
		}
		return externalDecoder(l.Name, argv)
	}
	return e
}

// helloFacts is what an engine says of itself.
func helloFacts(h *external.Hello) engineFacts {
	f := engineFacts{{"version", strings.TrimSpace(h.Name + " " + h.Version)}, {"modes", strings.Join(h.Modes, ", ")}}
	if len(h.Unknown) > 0 {
		f = append(f, fact{"cannot tell", strings.Join(h.Unknown, ", ")})
	}
	return f
}

// checkAnswer is one line of `engines --check --json`.
type checkAnswer struct {
	Point string `json:"point"`
	OK    bool   `json:"ok"`
	Note  string `json:"note,omitempty"`
	Error string `json:"error,omitempty"`
}

// checkEngine tests whether an engine keeps to the protocol.
func checkEngine(std stdio, name string, asJSON bool) error {
	var argv []string
	var err error
	switch {
	case strings.HasPrefix(name, external.Prefix):
		argv, err = external.SplitCommand(strings.TrimPrefix(name, external.Prefix))
	case clib.Find(name) != nil:
		argv, err = clib.Command(name)
	default:
		return badInput("--check %q: want exec:COMMAND, or an engine that is a program of its own", name)
	}
	if err != nil {
		return badInput("--check %q: %v", name, err)
	}
	out := bufio.NewWriter(std.out)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	var lost error
	failed := external.Check(argv, func(p external.Point) {
		a := checkAnswer{Point: p.Name, OK: p.Err == nil, Note: p.Note}
		state, more := "ok  ", p.Note
		if p.Err != nil {
			state, a.Error = "FAIL", p.Err.Error()
			more = a.Error
		}
		if asJSON {
			lost = enc.Encode(&a)
		} else {
			if more != "" {
				more = ": " + more
			}
			_, lost = fmt.Fprintf(out, "%s  %s%s\n", state, p.Name, more)
		}
		if err := out.Flush(); lost == nil {
			lost = err
		}
	})
	if lost != nil {
		return badInput("engines: writing the answers: %v", lost)
	}
	if failed > 0 {
		return found()
	}
	return nil
}
