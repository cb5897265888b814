package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// The exit statuses of every command.
const (
	statusFine = 0
	// statusFound: divergences or failures were found.
	statusFound = 1
	// statusBad: bad usage or bad input; the message tells where and why.
	statusBad = 2
)

// stdio is what a run of the command reads and writes: results go to out,
// everything else to err.
type stdio struct {
	in       io.Reader
	out, err io.Writer
}

// statusError is an error that sets the exit status; an empty message means
// that all has been said already.
type statusError struct {
	status  int
	message string
}

func (e *statusError) Error() string { return e.message }

// found ends a command with status 1.
func found() error { return &statusError{status: statusFound} }

// badInput ends a command with status 2 and a message.
func badInput(format string, args ...any) error {
	return &statusError{statusBad, fmt.Sprintf(format, args...)}
}

// run runs the command line and returns the exit status.
func run(ctx context.Context, args []string, std stdio) int {
	root := newRoot(std)
	root.SetArgs(args)
	root.SetIn(std.in)
	root.SetOut(std.out)
	root.SetErr(std.err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return statusFine
	}
	var s *statusError
	if !errors.As(err, &s) {
		// What is not a statusError comes from cobra, and so is bad usage, or
		// is a failure to read or write.
		s = &statusError{statusBad, err.Error()}
	}
	if s.message != "" {
		fmt.Fprintf(std.err, "ringfence: %s\n", s.message)
	}
	return s.status
}

// newRoot returns the command with all its subcommands.
func newRoot(std stdio) *cobra.Command {
	root := &cobra.Command{
		Use:   "ringfence",
		Short: "hold an x86 instruction emulator against the CPU and other decoders",
		Long: `ringfence runs a model of a hypervisor's x86 instruction emulator and the CPU
itself on the same machine code, and records every difference as something that
a person can read and replay.

Exit status: 0 fine, 1 divergences or failures found, 2 bad usage or input.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_ = cmd.Help()
			return badInput("which command? (see the list above)")
		},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return badInput("%s: %v (see %s --help)", cmd.Name(), err, cmd.CommandPath())
	})
	root.AddCommand(newDecode(std), newExec(std), newFuzz(std), newReplay(std), newSweep(std), newISA(std), newBench(std), newEngines(std))
	return root
}
