package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"

	"github.com/spf13/cobra"
)

// fact is something that `engines` tells of an engine.
type fact struct{ name, value string }

// engineFacts are the facts, in the order in which they are printed.
type engineFacts []fact

// MarshalJSON writes the facts as an object, in their order.
func (f engineFacts) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, x := range f {
		if i > 0 {
			b = append(b, ',')
		}
		name, err := json.Marshal(x.name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(x.value)
		if err != nil {
			return nil, err
		}
		b = append(append(append(b, name...), ':'), value...)
	}
	return append(b, '}'), nil
}

// engineAnswer is one line of `engines --json`.
type engineAnswer struct {
	Engine    string `json:"engine"`
	Available bool   `json:"available"`
	// Why tells why it is not available.
	Why      string      `json:"why,omitempty"`
	Executes bool        `json:"executes"`
	Decodes  bool        `json:"decodes"`
	About    string      `json:"about"`
	Facts    engineFacts `json:"facts,omitempty"`
}

func newEngines(std stdio) *cobra.Command {
	var asJSON bool
	var check string
	cmd := &cobra.Command{
		Use:   "engines [--check ENGINE] [--json]",
		Short: "what this machine offers, and why not the rest",
		Long: `engines lists the engines, what each can do, and why this machine does not offer one.

With --check it tests whether a program keeps to the protocol of foreign engines
(docs/ENGINES.md) instead: --check 'exec:COMMAND', or the name of an engine that
is such a program. The exit status is 1 if it does not.`,
		Example: `  ringfence engines
  ringfence engines --check 'exec:./my-engine --verbose'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("check") {
				return checkEngine(std, check, asJSON)
			}
			out := bufio.NewWriter(std.out)
			enc := json.NewEncoder(out)
			enc.SetEscapeHTML(false)
			if !asJSON {
				fmt.Fprintf(out, "machine: %s/%s, %d CPUs, %s\n", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
			}
			all := allEngines()
			for i := range all {
				a := all[i].inspectAll()
				if asJSON {
					if err := enc.Encode(&a); err != nil {
						return err
					}
					continue
				}
				printEngine(out, &a)
			}
			return out.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line")
	cmd.Flags().StringVar(&check, "check", "", "test whether this engine, as exec:COMMAND, keeps to the protocol")
	return cmd
}

// inspectAll makes the engine, in order to see whether this machine offers it,
// and asks what there is to know.
func (e *engine) inspectAll() engineAnswer {
	a := engineAnswer{Engine: e.name, Available: true, Executes: e.executor != nil, Decodes: e.decoder != nil, About: e.about}
	err := e.try()
	if err == nil && e.inspect != nil {
		a.Facts, err = e.inspect()
	}
	if err != nil {
		a.Available, a.Why = false, err.Error()
	}
	return a
}

// try makes the engine and throws it away.
func (e *engine) try() error {
	if e.decoder != nil {
		if _, err := e.decoder(); err != nil {
			return err
		}
	}
	if e.executor != nil {
		x, err := e.executor()
		if err != nil {
			return err
		}
		return x.Close()
	}
	return nil
}

// printEngine prints an engine for a person.
func printEngine(out *bufio.Writer, a *engineAnswer) {
	var does []string
	if a.Executes {
		does = append(does, "executes")
	}
	if a.Decodes {
		does = append(does, "decodes")
	}
	state := "available"
	if !a.Available {
		state = "NOT AVAILABLE: " + a.Why
	}
	fmt.Fprintf(out, "\n%s  (%s)  %s\n  %s\n", a.Engine, strings.Join(does, ", "), state, a.About)
	for _, f := range a.Facts {
		fmt.Fprintf(out, "  %-18s %s\n", f.name+":", f.value)
	}
}
