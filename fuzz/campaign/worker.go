package campaign

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/fuzz/diff"
	"github.com/seed-4e121ece/ringfence/fuzz/gen"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// worker runs batches on engines of its own.
type worker struct {
	c     *campaign
	index int
	// source makes the cases of the batch in hand; sources has one a mode,
	// which take turns.
	*source
	sources []*source
	turn    int
	differ  *diff.Differ
	cases   []oracle.Case
	// decoders are compared on each case's bytes, besides the differ's first.
	decoders []*diff.Decoders
	// engines has the index in Config.Decoders of each of them.
	engines []int
	// scratch is a case that only decoders see.
	scratch oracle.Case
	// seen are the divergences that this worker has recorded, by key; pending
	// those of the batch in hand.
	seen    map[seenKey]string
	pending []pending
	// busy is the number of batches begun, for the watchdog.
	busy atomic.Uint64
	// stuck says that the goroutine is lost and may be using its engines.
	stuck bool
	// batched is the number of cases in the batch in hand.
	batched int
	// dealt are the rows that the cases of the batch were made for, in a
	// campaign of states.
	dealt []isa.ID
	// unstable are cases to which the reference gave two answers.
	unstable []Unstable
	// lost is the number of cases without an answer, as an engine died.
	lost uint64
	// decoded is the instruction that inst decoded last.
	decoded decode.Inst
	// published is what the campaign has been told.
	published uint64
}

// source makes the cases of one mode.
type source struct {
	gen *gen.Generator
	// bytes generates what only decoders see, so that the cases that run do
	// not depend on it.
	bytes *gen.Generator
	mode  x86.Mode
	// seeds are the instructions to start with, decodeSeeds those that only
	// decoders are given.
	seeds, decodeSeeds [][]byte
	// seed is the next seed, and state how many states of it have run;
	// decodeSeed is the next of those for decoders alone.
	seed, state, decodeSeed int
	// rows are those that a campaign of states runs, and row is the next.
	rows []isa.ID
	row  int
	kept kept
}

// pending is a divergence to be made small and recorded when the batch is
// done: the differ's storage is in use until then.
type pending struct {
	key  seenKey
	kase oracle.Case
	// index is its place in the batch.
	index int
	// What the batch said of it.
	inst               decode.Inst
	diff               oracle.Diff
	subject, reference oracle.Result
}

func (p *pending) found() diff.Found {
	return diff.Found{Case: &p.kase, Inst: &p.inst, Diff: p.diff, Subject: &p.subject, Reference: &p.reference}
}

// maxPending is how many new divergences of one batch are recorded; what a
// broken subject has beyond that turns up again.
const maxPending = 32

// seenKey is a difference of the executors (decoder -1) or of a decoder.
type seenKey struct {
	key     diff.Key
	decoder int
}

func (w *worker) found(f *diff.Found, decoder int) {
	k := seenKey{diff.KeyOf(f), decoder}
	if sig, ok := w.seen[k]; ok {
		w.c.count(sig, 1)
		return
	}
	if len(w.pending) == maxPending {
		return
	}
	for i := range w.pending {
		if w.pending[i].key == k {
			return
		}
	}
	p := pending{key: k, kase: *f.Case, inst: *f.Inst, diff: f.Diff, index: f.Index}
	p.kase.Memory = append([]byte(nil), f.Case.Memory...)
	if f.Subject != nil {
		p.subject, p.reference = keep(f.Subject), keep(f.Reference)
	}
	w.pending = append(w.pending, p)
}

// keep copies a result out of an engine's storage.
func keep(r *oracle.Result) oracle.Result {
	c := *r
	c.Memory = append([]byte(nil), r.Memory...)
	c.Accesses = append([]step.Access(nil), r.Accesses...)
	return c
}

// run runs batches until the campaign ends.
func (w *worker) run() error {
	for {
		n := w.c.claim(len(w.cases))
		w.source = w.sources[w.turn%len(w.sources)]
		w.turn++
		if n == 0 {
			return nil
		}
		if n = w.fillBatch(n); n == 0 {
			if w.drop() {
				continue
			}
			return nil
		}
		cases := w.cases[:n]
		w.batched = n
		w.busy.Add(1)
		if err := w.batch(cases); err != nil {
			return err
		}
		w.busy.Add(1)
		if err := w.settle(); err != nil {
			return err
		}
		if w.differ.Counts.Cases-w.published >= publishEvery {
			w.publish()
		}
	}
}

// publishEvery is how many cases a worker runs before it tells the campaign.
const publishEvery = 1 << 13

func (w *worker) publish() {
	w.c.publish(w.differ.Counts.Cases-w.published, w.differ.Counts.Rows)
	w.published = w.differ.Counts.Cases
}

// fillBatch makes the next n cases, or those that are left, and returns how
// many there are.
func (w *worker) fillBatch(n int) int {
	w.differ.Dealt = nil
	if w.c.cfg.States > 0 {
		return w.fillStates(n)
	}
	for i := range w.cases[:n] {
		w.fill(&w.cases[i])
	}
	return n
}

// fill makes the next case: this worker's share of the seeds first.
func (w *worker) fill(c *oracle.Case) {
	if seeds := w.seeds; w.seed < len(seeds) && w.c.cfg.seedStates() > 0 {
		w.gen.Seed(c, seeds[w.seed])
		if w.state++; w.state >= w.c.cfg.seedStates() {
			w.state = 0
			w.seed += w.c.cfg.jobs()
		}
		return
	}
	if w.vary(c) {
		return
	}
	w.gen.Next(c)
	if w.c.wanted == nil {
		return
	}
	for range 8 {
		if row := w.gen.Row(); row != 0 && w.c.wanted(isa.Get(row).Mnemonic) {
			return
		}
		w.gen.Next(c)
	}
	w.gen.Deal(c)
}

// batch runs cases; an engine that dies is started again and the batch run
// once more. If it dies again the cases are lost, and said to be.
func (w *worker) batch(cases []oracle.Case) error {
	for try := range 2 {
		err := w.differ.Run(cases)
		if err == nil {
			break
		}
		var gone *diff.EngineError
		if !errors.As(err, &gone) {
			return err
		}
		w.c.message(fmt.Sprintf("%v; starting it again", gone))
		if err := w.restart(gone.Subject); err != nil {
			return err
		}
		if try == 1 {
			w.lost += uint64(len(cases))
			w.c.message(fmt.Sprintf("%d cases have no answer: the %s died twice on them", len(cases), gone.Name))
		}
	}
	if len(w.decoders) > 0 {
		for i := range cases {
			w.compareDecoders(&cases[i])
		}
		for range len(cases) / 4 {
			if w.decodeOnly() {
				w.compareDecoders(&w.scratch)
			}
		}
	}
	return nil
}

// decodeOnly makes the code of a case that no executor runs: the seeds that
// the executor is not given, then rows without semantics.
func (w *worker) decodeOnly() bool {
	w.scratch.State.Mode = w.mode
	if seeds := w.decodeSeeds; w.decodeSeed < len(seeds) {
		c := &w.scratch
		c.Code = [16]byte{}
		c.CodeLen = uint8(copy(c.Code[:decode.MaxLength], seeds[w.decodeSeed]))
		w.decodeSeed += w.c.cfg.jobs()
		return true
	}
	return w.c.wanted == nil && w.bytes.Undealt(&w.scratch)
}

func (w *worker) compareDecoders(c *oracle.Case) {
	for i, d := range w.decoders {
		if e := w.decoderOf(i); e != nil && !e.compares(c.State.Mode) {
			continue
		}
		if dd := d.Compare(c.CodeBytes(), c.State.Mode); dd != nil {
			w.foundDecoded(c, dd, i)
		}
	}
}

// decoderOf returns what the campaign was given for the i-th decoder.
func (w *worker) decoderOf(i int) *DecoderEngine {
	if i >= len(w.engines) {
		return nil
	}
	return &w.c.cfg.Decoders[w.engines[i]]
}

func (w *worker) foundDecoded(c *oracle.Case, dd *diff.DecodeDiff, decoder int) {
	w.found(&diff.Found{Case: c, Inst: w.inst(c), Decoded: dd}, decoder)
}

func (w *worker) restart(subject bool) error {
	if subject {
		_ = w.differ.Subject.Close()
		e, err := w.c.cfg.Subject.New()
		if err != nil {
			return fmt.Errorf("subject %s: cannot be started again: %w", w.c.cfg.Subject.Name, err)
		}
		w.differ.Subject = e
		return nil
	}
	_ = w.differ.Reference.Close()
	e, err := w.c.reference.New()
	if err != nil {
		return fmt.Errorf("reference %s: cannot be started again: %w", w.c.reference.Name, err)
	}
	w.differ.Reference = e
	return nil
}

// close closes the worker's engines, but for those that a lost goroutine may be
// using: they end with the process.
func (w *worker) close() error {
	if w.stuck {
		return nil
	}
	var err error
	if w.differ.Subject != nil {
		err = w.differ.Subject.Close()
	}
	if w.differ.Reference != nil {
		err = errors.Join(err, w.differ.Reference.Close())
	}
	return err
}
