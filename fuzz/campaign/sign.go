package campaign

import (
	"crypto/sha256"
	"fmt"

	"github.com/seed-4e121ece/ringfence/oracle"
)

func (w *worker) record(p *pending) (string, error) {
	sum := sha256.Sum256(fmt.Append(nil, p.key))
	d := &Divergence{Signature: fmt.Sprintf("%x", sum[:8]), After: w.c.cases.Load() + w.differ.Counts.Cases - w.published, Kind: "result"}
	f, _ := w.differ.Single(&p.kase)
	describe(d, &p.kase, f)
	d.Fields = p.key.fields.Names()
	w.c.add(d)
	return d.Signature, nil
}

func (c *campaign) recordHang(w *worker, k *oracle.Case) (string, error) { return "", nil }
