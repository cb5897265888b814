package campaign

import (
	"encoding/hex"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/fuzz/diff"
	"github.com/seed-4e121ece/ringfence/fuzz/store"
	"github.com/seed-4e121ece/ringfence/internal/hostcpu"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// maxMinimised is how many divergences a worker makes small: a subject that is
// broken throughout has thousands, and time is better spent on running.
const maxMinimised = 256

// minimiseRuns bounds the runs that one divergence takes.
const minimiseRuns = 4000

// settle makes the divergences of the last batch small, and records them.
func (w *worker) settle() error {
	for i := range w.pending {
		p := &w.pending[i]
		d, err := w.divergence(p)
		if err != nil {
			return err
		}
		if d == nil {
			continue // noted as unstable
		}
		// Cases by which one broken instruction diverges in many ways are one
		// key each; what is recorded already is only counted.
		if err := w.c.record(d, p, w.cases64()); err != nil {
			return err
		}
		w.seen[p.key] = d.Signature
	}
	w.pending = w.pending[:0]
	return nil
}

// cases64 is how many cases the campaign has run, as far as this worker knows.
func (w *worker) cases64() uint64 { return w.c.cases.Load() + w.differ.Counts.Cases - w.published }

// divergence makes the record of a pending divergence, small if that can be.
// A case that does not diverge alone runs again with its batch: if it diverges
// then, what came before it matters, and the record has the batch's answers.
// If it does not, an engine contradicts itself. A subject that does so has
// diverged; of a reference it is noted as unstable, and nil is returned.
func (w *worker) divergence(p *pending) (*oracle.Divergence, error) {
	if p.key.decoder >= 0 {
		return w.decodeDivergence(p)
	}
	limit := minimiseRuns
	if w.c.cfg.KeepLarge || w.c.ctx.Err() != nil || len(w.seen) >= maxMinimised {
		limit = 0
	}
	f, ok := w.differ.Reduce(&p.kase, p.key.key, limit)
	if !ok {
		if same, err := w.again(p); err != nil || !same {
			return nil, err
		}
		f = p.found()
	}
	d := oracle.NewDivergence(w.c.cfg.Subject.Name, w.c.reference.Name, f.Case, f.Inst, &f.Diff, f.Subject, f.Reference)
	d.Strict = w.c.cfg.Strict
	w.c.complete(d, w.c.reference.Name)
	return d, nil
}

func (w *worker) decodeDivergence(p *pending) (*oracle.Divergence, error) {
	dec := w.decoders[p.key.decoder]
	compare := func(c *oracle.Case) diff.Found {
		return diff.Found{Case: c, Inst: w.inst(c), Decoded: dec.Compare(c.CodeBytes(), c.State.Mode)}
	}
	f := compare(&p.kase)
	if f.Decoded == nil {
		return nil, fmt.Errorf("decoders %s and %s: % x differed and no longer do", dec.Subject.Name(), dec.Reference.Name(), p.kase.CodeBytes())
	}
	f = dec.ReduceBytes(&f, compare)
	dd := f.Decoded
	d := oracle.NewDecodeDivergence(dd.SubjectName, dd.ReferenceName, f.Case.CodeBytes(), f.Case.State.Mode, f.Inst, dd.Fields, dd.Subject, dd.Reference)
	w.c.complete(d, "")
	return d, nil
}

// complete sets what a record has of the campaign.
func (c *campaign) complete(d *oracle.Divergence, reference string) {
	d.Commit = c.commit()
	if reference == "silicon" {
		d.CPU = hostcpu.Brand()
	}
	d.Replay = "ringfence replay " + d.Signature
	if c.store != nil {
		d.Replay = "ringfence replay " + filepath.ToSlash(filepath.Join(c.cfg.Out, d.Signature))
	}
}

// commit is the revision that the program was built from, as the go command
// recorded it, or "unknown".
func (c *campaign) commit() string {
	if c.cfg.Commit != "" {
		return c.cfg.Commit
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return "unknown"
}

// record makes a divergence known to the campaign and writes it unless it was
// known.
func (c *campaign) record(r *oracle.Divergence, p *pending, after uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.found[r.Signature]; old != nil {
		old.Count++
		return nil
	}
	d := &Divergence{
		Signature: r.Signature, Kind: string(r.Kind), Mnemonic: isa.Get(p.key.key.Row()).Mnemonic.String(),
		Code: hex.EncodeToString(p.kase.CodeBytes()), Text: r.Disassembly, Fields: r.Fields, Detail: r.Detail,
		Outcomes: r.Outcomes, Reference: r.Reference, Replay: r.Replay,
		Count: 1, After: after, At: time.Since(c.start),
	}
	d.New = !c.cfg.Known[d.Signature]
	if c.store != nil {
		added, err := c.write(r)
		if err != nil {
			return err
		}
		d.New = d.New && added
		d.Path = c.store.Path(d.Signature)
		if err := c.store.Count(d.Signature, c.run, 1); err != nil {
			return err
		}
	}
	c.found[d.Signature] = d
	c.order = append(c.order, d)
	if d.New {
		c.fresh++
		if c.cfg.StopAtFirst {
			c.stop()
		}
	}
	return nil
}

func (c *campaign) write(r *oracle.Divergence) (added bool, err error) {
	b, err := r.JSON()
	if err != nil {
		return false, err
	}
	return c.store.Add(store.Record{Signature: r.Signature, JSON: b, Readme: r.Readme()})
}

// count adds cases to a divergence that has been recorded.
func (c *campaign) count(signature string, n uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := c.found[signature]; d != nil {
		d.Count += n
	}
}

// recordHang records a case on which a subject does not answer.
func (c *campaign) recordHang(w *worker, k *oracle.Case) (string, error) {
	in := w.inst(k)
	f := diff.Found{Case: k, Inst: in, Subject: &oracle.Result{Memory: k.Memory}, Reference: &oracle.Result{Memory: k.Memory}}
	f.Subject.Ending, f.Subject.Note = oracle.RanAway, fmt.Sprintf("no answer in %v", hangAfter)
	f.Reference.State = k.State
	f.Diff.Fields = oracle.FieldEnding
	r := oracle.NewDivergence(c.cfg.Subject.Name, c.reference.Name, k, in, &f.Diff, f.Subject, f.Reference)
	c.complete(r, c.reference.Name)
	p := &pending{key: seenKey{diff.KeyOf(&f), -1}, kase: *k}
	return r.Signature, c.record(r, p, c.cases.Load())
}
