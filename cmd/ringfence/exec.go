package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/spf13/cobra"
)

// maxCaseLine is the longest line that exec reads, in bytes: a case with some
// hundred pages of memory.
const maxCaseLine = 4 << 20

// executing is one run of the exec command.
type executing struct {
	engine oracle.Executor
	json   bool
	out    *bufio.Writer
	enc    *json.Encoder
	buf    []byte
	files  int
	ran    int
	// bad counts the lines that could not be used; first is the first one.
	bad   int
	first string
}

func newExec(std stdio) *cobra.Command {
	var name string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "exec [--engine NAME] [--json] [FILE… | -]",
		Short: "run cases on one engine, one JSON object a line",
		Long: `exec reads cases, one JSON object a line, from files or standard input, runs each on
an engine, and answers with its outcome and the state after. A case says the
mode, the bytes, and whatever of registers and memory is not the default. A line that
is no case is answered in its place with what is wrong, and the rest go on; the exit
status is then 2.`,
		Example: `  echo '{"code":"4801d8","registers":{"rax":"0x1","rbx":"0x2"}}' | ringfence exec -
  ringfence exec --engine silicon --json cases.jsonl`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && isTerminal(std.in) {
				return badInput("exec: no case: give files, or - to read standard input")
			}
			engine, err := openExecutor(name)
			if err != nil {
				return err
			}
			out := bufio.NewWriterSize(std.out, 64<<10)
			e := &executing{engine: engine, json: asJSON, out: out, enc: json.NewEncoder(out), files: len(args)}
			e.enc.SetEscapeHTML(false)
			err = e.run(cmd, std, args)
			if ferr := out.Flush(); err == nil && ferr != nil {
				err = badInput("exec: writing the answers: %v", ferr)
			}
			if cerr := engine.Close(); err == nil && cerr != nil {
				err = badInput("exec: engine %s: %v", engine.Name(), cerr)
			}
			if err != nil {
				return err
			}
			return e.verdict()
		},
	}
	cmd.Flags().StringVar(&name, "engine", "model", "engine that runs the cases")
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line")
	return cmd
}

// run answers every line of the files, or of standard input.
func (e *executing) run(cmd *cobra.Command, std stdio, args []string) error {
	shown := newProgress(std.err)
	defer shown.close()
	err := eachLine(cmd.Context(), std, args, maxCaseLine, e.out.Flush, func(s *source, number int, line []byte, err error) error {
		shown.set("exec: %d cases, %d bad lines", e.ran, e.bad)
		if err == nil && len(strings.TrimSpace(string(line))) == 0 {
			err = errors.New("empty line: want a case")
		}
		var c *oracle.Case
		if err == nil {
			c, err = oracle.ParseCase(line)
		}
		if err != nil {
			return e.answerBad(s, number, err)
		}
		return e.answer(c)
	}, func(name string, err error) error {
		err = bare(err)
		e.note(fmt.Sprintf("%s: %v", name, err))
		if !e.json {
			_, err = fmt.Fprintf(e.out, "%s: error: %v\n", name, err)
			return err
		}
		return e.enc.Encode(lineError{File: name, Error: err.Error()})
	})
	if err != nil && cmd.Context().Err() != nil {
		fmt.Fprintf(std.err, "ringfence: exec: stopped after %d cases\n", e.ran)
		return nil
	}
	return err
}

// answer runs one case.
func (e *executing) answer(c *oracle.Case) error {
	e.ran++
	results := []oracle.Result{{Memory: make([]byte, len(c.Memory))}}
	if err := e.engine.Run([]oracle.Case{*c}, results); err != nil {
		return badInput("exec: engine %s: %v", e.engine.Name(), err)
	}
	r := &results[0]
	if e.json {
		e.buf = append(oracle.AppendResult(e.buf[:0], c, r), '\n')
		_, err := e.out.Write(e.buf)
		return err
	}
	return e.print(c, r)
}

// print writes the answer for a person: the outcome, and what changed.
func (e *executing) print(c *oracle.Case, r *oracle.Result) error {
	fmt.Fprintf(e.out, "%x: %s\n", c.CodeBytes(), endingText(r))
	if r.Ending != oracle.Ended {
		return nil
	}
	change := func(name string, before, after uint64) {
		if before != after {
			fmt.Fprintf(e.out, "  %-7s %#x -> %#x\n", name, before, after)
		}
	}
	for n := range uint8(x86.NumGPR) {
		change(x86.GPRName(n, 8), c.State.GPR[n], r.State.GPR[n])
	}
	change("rip", c.State.RIP, r.State.RIP)
	change("rflags", c.State.RFLAGS, r.State.RFLAGS)
	change("fsbase", c.FSBase, r.FSBase)
	change("gsbase", c.GSBase, r.GSBase)
	at := 0
	for _, w := range c.Layout.Windows {
		e.printWindow(w, c.Memory[at:at+w.Length], r.Memory[at:at+w.Length])
		at += w.Length
	}
	for _, s := range r.Stray[:min(r.NumStray, oracle.MaxStray)] {
		fmt.Fprintf(e.out, "  [%#x] = %#016x (outside what the case gave)\n", s.Address, s.Value)
	}
	return nil
}

// printWindow writes the runs of bytes that changed.
func (e *executing) printWindow(w oracle.Window, before, after []byte) {
	for i := 0; i < w.Length; i++ {
		if before[i] == after[i] {
			continue
		}
		j := i + 1
		for j < w.Length && before[j] != after[j] {
			j++
		}
		fmt.Fprintf(e.out, "  [%#x] %x -> %x\n", w.Address+uint64(i), before[i:j], after[i:j])
		i = j
	}
}

// endingText says in words how a case ended.
func endingText(r *oracle.Result) string {
	switch {
	case r.Ending != oracle.Ended && r.Note != "":
		return fmt.Sprintf("%s: %s", r.Ending, r.Note)
	case r.Ending != oracle.Ended:
		return r.Ending.String()
	case r.Outcome == step.Exception:
		return fmt.Sprintf("exception %v", r.Event)
	}
	return r.Outcome.String()
}

// answerBad answers a line that is no case.
func (e *executing) answerBad(s *source, number int, reason error) error {
	e.note(fmt.Sprintf("%s: %v", s.place(number), reason))
	if e.json {
		answer := lineError{Line: number, Error: reason.Error()}
		if e.files > 1 {
			answer.File = s.name
		}
		return e.enc.Encode(answer)
	}
	_, err := fmt.Fprintf(e.out, "%s: error: %v\n", s.place(number), reason)
	return err
}

// note counts what could not be used.
func (e *executing) note(text string) {
	if e.bad++; e.bad == 1 {
		e.first = text
	}
}

// verdict is the command's result after all lines.
func (e *executing) verdict() error {
	switch e.bad {
	case 0:
		return nil
	case 1:
		return badInput("exec: %s", e.first)
	}
	return badInput("exec: %d bad lines or files, the first: %s", e.bad, e.first)
}
