// Package diff runs batches of cases on a subject and on a reference, compares
// the results by the rules of package oracle, and counts what was covered.
package diff

import (
	"fmt"
	"runtime/debug"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/fuzz/reach"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// EngineError tells which engine is gone. The batch in hand has no answer.
type EngineError struct {
	// Subject says that it is the subject, else the reference.
	Subject bool
	Name    string
	Err     error
}

func (e *EngineError) Error() string {
	who := "reference"
	if e.Subject {
		who = "subject"
	}
	return fmt.Sprintf("%s %s: %v", who, e.Name, e.Err)
}

func (e *EngineError) Unwrap() error { return e.Err }

// Found is a case on which the results differ. It is valid during the call
// that reports it.
type Found struct {
	// Index is the case's place in its batch.
	Index              int
	Case               *oracle.Case
	Inst               *decode.Inst
	Subject, Reference *oracle.Result
	Diff               oracle.Diff
	// Decoded is set if it is the decoders that differ; the results are not,
	// then.
	Decoded *DecodeDiff
}

// Differ compares a subject with a reference. It is used by one goroutine at a
// time.
type Differ struct {
	Subject   oracle.Executor
	Reference oracle.Executor
	Comparer  oracle.Comparer
	Counts    Counts
	// Found is called for each difference; nil ignores them.
	Found func(f *Found)
	// Reach is what the cases of each row have reached. Fresh is called with
	// the place in the batch of each case that reached what none before it
	// had; nil ignores them.
	Reach *reach.Table
	Fresh func(index int)
	// Dealt are the rows that the cases of a batch were made for, which count
	// what those reached whose bytes are no instruction; nil leaves them out.
	Dealt []isa.ID

	profile            *isa.Profile
	insts              []decode.Inst
	subject, reference []oracle.Result
	found              Found
}

// New returns a Differ for batches of up to batch cases with memory bytes
// each. Without a reference only decoders are compared; the subject still runs.
func New(subject, reference oracle.Executor, profile *isa.Profile, batch, memory int) *Differ {
	return &Differ{
		Subject: subject, Reference: reference, profile: profile,
		insts:   make([]decode.Inst, batch),
		subject: NewResults(batch, memory), reference: NewResults(batch, memory),
		Comparer: oracle.Comparer{Profile: profile},
		Counts:   NewCounts(),
		Reach:    reach.NewTable(),
	}
}

// NewResults returns n results, each with room for memory bytes.
func NewResults(n, memory int) []oracle.Result {
	all := make([]byte, n*memory)
	r := make([]oracle.Result, n)
	for i := range r {
		r[i].Memory = all[i*memory : (i+1)*memory : (i+1)*memory]
	}
	return r
}

// Run runs the cases on both engines and compares. The error is an
// *EngineError.
func (d *Differ) Run(cases []oracle.Case) error {
	n := len(cases)
	sub, ref := d.subject[:n], d.reference[:n]
	if err := d.ask(cases, ref); err != nil {
		return err
	}
	if err := d.run(d.Subject, cases, sub, true); err != nil {
		return err
	}
	for i := range cases {
		d.compare(&cases[i], i)
	}
	return nil
}

func (d *Differ) compare(c *oracle.Case, i int) {
	in := &d.insts[i]
	Instruction(c, d.profile, in)
	sub, ref := &d.subject[i], &d.reference[i]
	diff := d.Comparer.Compare(c, in, sub, ref)
	d.Counts.count(in, sub, ref, &diff)
	d.reach(c, i, &diff)
	if diff.Fields != 0 && d.Found != nil {
		d.found = Found{Index: i, Case: c, Inst: in, Subject: sub, Reference: ref, Diff: diff}
		d.Found(&d.found)
	}
}

// reach counts what a case reached for its row.
func (d *Differ) reach(c *oracle.Case, i int, diff *oracle.Diff) {
	in := &d.insts[i]
	row := in.Row
	if d.Dealt != nil && row == 0 {
		row = d.Dealt[i]
	}
	if row == 0 {
		return
	}
	cell := d.Reach.Cell(c.State.Mode, row)
	fresh := cell.Take(c, in, &d.reference[i], diff.Skipped)
	if fresh && d.Fresh != nil {
		d.Fresh(i)
	}
	if diff.Fields == 0 {
		return
	}
	if d.Comparer.Strict {
		lenient := oracle.Comparer{Profile: d.profile}
		if plain := lenient.Compare(c, in, &d.subject[i], &d.reference[i]); plain.Fields == 0 {
			cell.Strict++
			return
		}
	}
	cell.Diverged++
}

// Instruction decodes what is at RIP: the bytes of the case and, where they
// end too early, the bytes that the layout has behind them.
func Instruction(c *oracle.Case, profile *isa.Profile, in *decode.Inst) {
	if decode.Decode(in, c.CodeBytes(), c.State.Mode, profile) != decode.Truncated {
		return
	}
	var buf [decode.MaxLength]byte
	n := copy(buf[:], c.CodeBytes())
	for n < len(buf) {
		b, ok := c.Byte(c.CodeAddress() + uint64(n))
		if !ok {
			break
		}
		buf[n] = b
		n++
	}
	decode.Decode(in, buf[:n], c.State.Mode, profile)
}

// ask runs the reference; without one, every case is unsupported.
func (d *Differ) ask(cases []oracle.Case, results []oracle.Result) error {
	if d.Reference != nil {
		return d.run(d.Reference, cases, results, false)
	}
	for i := range results {
		results[i].Ending, results[i].Note = oracle.Unsupported, "no reference executor"
	}
	return nil
}

// run runs a batch. A subject that panics is run again case by case, so that
// the panic is an answer to the case that caused it.
func (d *Differ) run(e oracle.Executor, cases []oracle.Case, results []oracle.Result, subject bool) error {
	note, err := guarded(e, cases, results)
	if err != nil {
		return &EngineError{subject, e.Name(), err}
	}
	if note == "" {
		return nil
	}
	if !subject {
		return &EngineError{subject, e.Name(), fmt.Errorf("panic: %s", note)}
	}
	for i := range cases {
		note, err := guarded(e, cases[i:i+1], results[i:i+1])
		if err != nil {
			return &EngineError{subject, e.Name(), err}
		}
		if note != "" {
			r := &results[i]
			*r = oracle.Result{Ending: oracle.Died, Note: note, Memory: r.Memory}
		}
	}
	return nil
}

// guarded runs a batch and returns what a panic said, if there was one.
func guarded(e oracle.Executor, cases []oracle.Case, results []oracle.Result) (note string, err error) {
	defer func() {
		if v := recover(); v != nil {
			note = fmt.Sprintf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	return "", e.Run(cases, results)
}

// Ask runs the cases on the reference alone. The answers are valid until the
// next run.
func (d *Differ) Ask(cases []oracle.Case) ([]oracle.Result, error) {
	r := d.reference[:len(cases)]
	return r, d.ask(cases, r)
}

// Single runs one case on both engines and returns what differs, without
// counting it.
func (d *Differ) Single(c *oracle.Case) (Found, error) {
	cases := []oracle.Case{*c}
	keep, comparer := d.Found, d.Comparer
	counts := d.Comparer.Counts
	d.Found = nil
	defer func() { d.Found, d.Comparer.Counts = keep, counts }()
	sub, ref := d.subject[:1], d.reference[:1]
	f := Found{Case: c, Inst: &d.insts[0], Subject: &sub[0], Reference: &ref[0]}
	if err := d.ask(cases, ref); err != nil {
		return f, err
	}
	if err := d.run(d.Subject, cases, sub, true); err != nil {
		return f, err
	}
	Instruction(c, d.profile, f.Inst)
	f.Diff = comparer.Compare(c, f.Inst, f.Subject, f.Reference)
	return f, nil
}
