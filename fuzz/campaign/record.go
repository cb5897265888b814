package campaign

import (
	"encoding/hex"
	"time"

	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/fuzz/diff"
	"github.com/seed-4e121ece/ringfence/fuzz/minimise"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// maxMinimised is how many divergences of a campaign are made small: a subject
// that is broken throughout has thousands, and time is better spent on running.
const maxMinimised = 256

// minimiseRuns bounds the runs that one divergence takes.
const minimiseRuns = 4000

// settle makes the divergences of the last batch small, and records them.
func (w *worker) settle() error {
	for i := range w.pending {
		p := &w.pending[i]
		if p.key.fields != 0 && !w.c.cfg.KeepLarge && w.c.ctx.Err() == nil {
			w.minimise(p)
		}
		sig, err := w.record(p)
		if err != nil {
			return err
		}
		w.seen[p.key] = sig
	}
	w.pending = w.pending[:0]
	return nil
}

// minimise makes a divergent case small as long as it diverges in the same
// way. One that does not diverge when it runs alone stays as it is.
func (w *worker) minimise(p *pending) {
	if len(w.seen) > maxMinimised || !w.diverges(&p.kase, &p.key) {
		return
	}
	small := p.kase
	small.Memory = append([]byte(nil), p.kase.Memory...)
	minimise.Case(&small, w.c.cfg.Profile, minimiseRuns, func(c *oracle.Case) bool { return w.diverges(c, &p.key) })
	p.kase = small
}

func (w *worker) diverges(c *oracle.Case, k *key) bool {
	f, err := w.differ.Single(c)
	return err == nil && f.Diff.Fields != 0 && keyOf(&f, -1) == *k
}

// count adds cases to a divergence that has been recorded.
func (c *campaign) count(signature string, n uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := c.found[signature]; d != nil {
		d.Count += n
	}
}

// add makes a divergence known to the campaign and says whether it is the
// first of its signature.
func (c *campaign) add(d *Divergence) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.found[d.Signature]; old != nil {
		old.Count++
		return false
	}
	d.New = !c.cfg.Known[d.Signature] && (c.store == nil || !c.store.Known(d.Signature))
	d.Count = 1
	d.At = time.Since(c.start)
	c.found[d.Signature] = d
	c.order = append(c.order, d)
	if d.New {
		c.fresh++
		if c.cfg.StopAtFirst {
			c.stop()
		}
	}
	return true
}

func describe(d *Divergence, c *oracle.Case, in diff.Found) {
	d.Code = hex.EncodeToString(c.CodeBytes())
	d.Mnemonic = isa.Get(in.Inst.Row).Mnemonic.String()
	_ = d.Text
}
