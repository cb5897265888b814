package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/fuzz/diff"
	"github.com/seed-4e121ece/ringfence/fuzz/store"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/seed-4e121ece/ringfence/oracle/silicon"
	"github.com/spf13/cobra"
)

// replayAnswer is one line of `replay --json`.
type replayAnswer struct {
	File        string `json:"file"`
	Signature   string `json:"signature"`
	Disassembly string `json:"disassembly"`
	// Diverges says whether the engines still differ; Same whether they do so as
	// the record says.
	Diverges bool `json:"diverges"`
	Same     bool `json:"same"`
	// Fields are the fields that differ now.
	Fields []string `json:"fields"`
	// Rule is the rule or quirk by which there is no difference any more, if
	// one is.
	Rule    string                     `json:"rule,omitempty"`
	Results map[string]json.RawMessage `json:"results"`

	// rows are what differs, for a person: name, subject, reference.
	rows [][3]string
}

// replaying is one run of the replay command.
type replaying struct {
	json bool
	out  *bufio.Writer
	enc  *json.Encoder
	// executors are those that have been opened, by name.
	executors map[string]oracle.Executor
	ran       int
	diverged  int
	bad       int
	first     string
}

func newReplay(std stdio) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "replay DIVERGENCE…",
		Short: "run recorded divergences again",
		Long: `replay runs the case of each divergence on its engines again, and says whether they
still differ (exit status 1) or not (0), with the fields that differ. A DIVERGENCE is a
divergence.json, its folder, or a folder of such folders.`,
		Example: `  ringfence replay divergences
  ringfence replay divergences/0123456789abcdef`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			out := bufio.NewWriter(std.out)
			r := &replaying{json: asJSON, out: out, enc: json.NewEncoder(out), executors: map[string]oracle.Executor{}}
			r.enc.SetEscapeHTML(false)
			err := r.run(cmd, std, args)
			if ferr := out.Flush(); err == nil && ferr != nil {
				err = badInput("replay: writing the answers: %v", ferr)
			}
			for name, e := range r.executors {
				if cerr := e.Close(); err == nil && cerr != nil {
					err = badInput("replay: engine %s: %v", name, cerr)
				}
			}
			if err != nil {
				return err
			}
			return r.verdict()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line")
	return cmd
}

// run replays every record that the arguments name. One that cannot be used is
// answered as such, and the rest go on.
func (r *replaying) run(cmd *cobra.Command, std stdio, args []string) error {
	shown := newProgress(std.err)
	defer shown.close()
	for _, arg := range args {
		files, err := recordFiles(arg)
		if err != nil {
			if err := r.answerBad(arg, err); err != nil {
				return err
			}
			continue
		}
		for _, file := range files {
			if cmd.Context().Err() != nil {
				fmt.Fprintf(std.err, "ringfence: replay: stopped after %d divergences\n", r.ran)
				return nil
			}
			shown.set("replay: %d divergences, %d still diverge", r.ran, r.diverged)
			a, err := r.record(file)
			if err != nil {
				err = r.answerBad(file, err)
			} else {
				err = r.answer(a)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// recordFiles returns the divergence.json that a path names, or those of the
// folders in it.
func recordFiles(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, bare(err)
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	file := filepath.Join(path, store.RecordName)
	if _, err := os.Stat(file); err == nil {
		return []string{file}, nil
	}
	names, err := store.List(path)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("no %s in this folder or the folders in it", store.RecordName)
	}
	var files []string
	for _, n := range names {
		files = append(files, filepath.Join(path, n, store.RecordName))
	}
	return files, nil
}

// bare returns what a file operation failed with, without the path that the
// message names anyway.
func bare(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// record replays one record.
func (r *replaying) record(file string) (*replayAnswer, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, bare(err)
	}
	d, err := oracle.ParseDivergence(data)
	if err != nil {
		return nil, err
	}
	a := &replayAnswer{File: file, Signature: d.Signature, Disassembly: d.Disassembly, Fields: []string{}, Results: map[string]json.RawMessage{}}
	if d.Kind == oracle.KindDecode {
		err = r.decode(d, a)
	} else {
		err = r.execute(d, a)
	}
	return a, err
}

// executor returns the engine of that name, opened once.
func (r *replaying) executor(name string) (oracle.Executor, error) {
	if e := r.executors[name]; e != nil {
		return e, nil
	}
	e, err := openExecutor(name)
	if err == nil {
		r.executors[name] = e
	}
	return e, err
}

// execute runs the case of a record on both executors.
func (r *replaying) execute(d *oracle.Divergence, a *replayAnswer) error {
	c, err := oracle.ParseCase(d.Case)
	if err != nil {
		return fmt.Errorf("case: %w", err)
	}
	subject, err := r.executor(d.Subject)
	if err != nil {
		return err
	}
	reference, err := r.executor(d.Reference)
	if err != nil {
		return err
	}
	differ := diff.New(subject, reference, silicon.Profile(), 1, len(c.Memory))
	differ.Comparer.Strict = d.Strict
	f, err := differ.Single(c)
	if err != nil {
		return err
	}
	a.Results[d.Subject] = oracle.AppendResult(nil, c, f.Subject)
	a.Results[d.Reference] = oracle.AppendResult(nil, c, f.Reference)
	if f.Diff.Skipped != oracle.RuleNone {
		return fmt.Errorf("cannot be compared, by the rule %s: %s: %s, %s: %s", f.Diff.Skipped,
			d.Subject, endingText(f.Subject), d.Reference, endingText(f.Reference))
	}
	a.Diverges = f.Diff.Fields != 0
	if a.Diverges {
		now := oracle.NewDivergence(d.Subject, d.Reference, c, f.Inst, &f.Diff, f.Subject, f.Reference)
		a.Fields, a.Same = now.Fields, sameWay(now, d)
		a.rows = differences(c, &f.Diff, f.Subject, f.Reference)
	}
	return nil
}

// decode has both decoders answer the bytes of a record.
func (r *replaying) decode(d *oracle.Divergence, a *replayAnswer) error {
	code, mode, err := d.ParseCode()
	if err != nil {
		return err
	}
	decoders, err := openDecoders(d.Subject + "," + d.Reference)
	if err != nil {
		return err
	}
	var got [2]oracle.Decoded
	for i := range got {
		decoders[i].Decode(code, mode, &got[i])
		if !got[i].Covered {
			return fmt.Errorf("cannot be compared: %s has no table for it (%s)", decoders[i].Name(), got[i].Group)
		}
		a.Results[decoders[i].Name()] = oracle.AppendDecoded(nil, &got[i])
	}
	fields := oracle.CompareDecoded(&got[0], &got[1])
	if e, err := lookup(d.Reference); err == nil && e.quirks != nil {
		var by *oracle.Quirk
		if fields, by = oracle.NewQuirkSet(e.quirks()).ExplainDecoded(code, mode, fields, &got[0], &got[1]); by != nil && fields == 0 {
			a.Rule = by.String()
		}
	}
	if a.Diverges = fields != 0; !a.Diverges {
		return nil
	}
	var in decode.Inst
	decode.Decode(&in, code, mode, decodeProfile)
	now := oracle.NewDecodeDivergence(d.Subject, d.Reference, code, mode, &in, fields, &got[0], &got[1])
	a.Fields, a.Same = now.Fields, sameWay(now, d)
	a.rows = [][3]string{{"answer", string(a.Results[d.Subject]), string(a.Results[d.Reference])}}
	return nil
}

// sameWay says whether two records have the same outcomes and fields. Their
// signatures may differ on another CPU, whose table of instructions is another.
func sameWay(a, b *oracle.Divergence) bool {
	return a.Outcomes == b.Outcomes && slices.Equal(a.Fields, b.Fields)
}

// answer prints what became of a record.
func (r *replaying) answer(a *replayAnswer) error {
	if r.ran++; a.Diverges {
		r.diverged++
	}
	if r.json {
		return r.enc.Encode(a)
	}
	state := "no longer diverges"
	switch {
	case a.Diverges && a.Same:
		state = "still diverges in " + strings.Join(a.Fields, ", ")
	case a.Diverges:
		state = "diverges in another way than recorded, in " + strings.Join(a.Fields, ", ")
	case a.Rule != "":
		state += ": explained by the quirk " + a.Rule
	}
	fmt.Fprintf(r.out, "%s: %s: %s\n", a.File, a.Disassembly, state)
	return printDifferences(r.out, a.rows)
}

// answerBad answers a record that cannot be used.
func (r *replaying) answerBad(file string, reason error) error {
	if r.bad++; r.bad == 1 {
		r.first = fmt.Sprintf("%s: %v", file, reason)
	}
	if r.json {
		return r.enc.Encode(lineError{File: file, Error: reason.Error()})
	}
	_, err := fmt.Fprintf(r.out, "%s: error: %v\n", file, reason)
	return err
}

// verdict is the command's result after all records.
func (r *replaying) verdict() error {
	switch {
	case r.bad > 1:
		return badInput("replay: %d records could not be used, the first: %s", r.bad, r.first)
	case r.bad == 1:
		return badInput("replay: %s", r.first)
	case r.diverged > 0:
		return found()
	}
	return nil
}
