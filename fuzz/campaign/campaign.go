package campaign

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/fuzz/diff"
	"github.com/seed-4e121ece/ringfence/fuzz/gen"
	"github.com/seed-4e121ece/ringfence/fuzz/store"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// campaign is what the workers share.
type campaign struct {
	cfg    *Config
	run    string
	start  time.Time
	ctx    context.Context
	stop   context.CancelFunc
	wanted func(isa.Mnemonic) bool
	// seeds is the number of seeds that run.
	seeds     int
	reference Engine
	store     *store.Store
	// table is the number of rows that count.
	table int

	claimed atomic.Uint64
	cases   atomic.Uint64

	// mu guards what follows, and the calls of Message.
	mu       sync.Mutex
	covered  []bool
	ncovered int
	found    map[string]*Divergence
	order    []*Divergence
	fresh    int
	failed   error
}

// Run runs a campaign to its end or until the context ends, which is no
// error. What it has found by then is in the summary, which is valid with an
// error too unless it is nil.
func Run(ctx context.Context, cfg Config) (*Summary, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	c := &campaign{cfg: &cfg, start: time.Now(), found: map[string]*Divergence{}, covered: make([]bool, len(isa.Rows())+1)}
	c.run = fmt.Sprintf("%s-%x", c.start.UTC().Format("20060102-150405"), c.start.UnixNano()&0xfffff)
	var err error
	if c.wanted, err = cfg.Filter(); err != nil {
		return nil, err
	}
	for _, row := range isa.Rows() {
		if c.inTable(&row) {
			c.table++
		}
	}
	weight := c.weight()
	if cfg.Out != "" {
		if c.store, err = store.Open(cfg.Out); err != nil {
			return nil, err
		}
	}
	c.ctx, c.stop = context.WithCancel(ctx)
	if cfg.For > 0 {
		c.ctx, c.stop = context.WithTimeout(ctx, cfg.For)
	}
	defer c.stop()

	workers, err := c.workers(weight)
	if err != nil {
		return nil, err
	}
	c.work(workers)
	summary := c.summarise(workers)
	for _, w := range workers {
		err = errors.Join(err, w.close())
	}
	if c.store != nil {
		err = errors.Join(err, c.countRuns())
	}
	return summary, errors.Join(c.failed, err)
}

// inTable says whether a row counts: it is one of the modes and of the wanted
// family.
func (c *campaign) inTable(row *isa.Row) bool {
	var modes isa.ModeSet
	for _, m := range c.cfg.modes() {
		modes |= gen.Modes(m)
	}
	return row.Modes&modes != 0 && (c.wanted == nil || c.wanted(row.Mnemonic))
}

// countRuns writes how often this run met each divergence; recording wrote
// the first.
func (c *campaign) countRuns() error {
	for _, d := range c.order {
		if d.Count > 1 {
			if err := c.store.Count(d.Signature, c.run, d.Count-1); err != nil {
				return err
			}
		}
	}
	return c.store.Flush()
}

// weight restricts the generator's weights to the wanted family.
func (c *campaign) weight() func(*isa.Row) int {
	if c.wanted == nil {
		return gen.DefaultWeight
	}
	return func(row *isa.Row) int {
		if !c.wanted(row.Mnemonic) {
			return 0
		}
		return max(gen.DefaultWeight(row), 1)
	}
}

// workers makes the workers with their engines. The first one decides which
// reference is used.
func (c *campaign) workers(weight func(*isa.Row) int) (workers []*worker, err error) {
	defer func() {
		if err != nil {
			for _, w := range workers {
				_ = w.close()
			}
		}
	}()
	for i := range c.cfg.jobs() {
		w := &worker{c: c, index: i, scratch: gen.NewCases(1)[0], seen: map[seenKey]string{}}
		w.makeSources(weight)
		w.cases = gen.NewCases(c.cfg.batch())
		subject, err := c.cfg.Subject.New()
		if err != nil {
			return workers, fmt.Errorf("subject %s: %w", c.cfg.Subject.Name, err)
		}
		memory := len(w.cases[0].Memory)
		w.differ = diff.New(subject, nil, c.cfg.Profile, len(w.cases), memory)
		w.differ.Comparer.Strict = c.cfg.Strict
		w.differ.Found = func(f *diff.Found) { w.found(f, -1) }
		if cfg := c.cfg; !cfg.NoFeedback && cfg.States == 0 {
			w.differ.Fresh = w.keep
		}
		workers = append(workers, w)
		if err := w.references(i == 0); err != nil {
			return workers, err
		}
	}
	return workers, nil
}

// makeSources makes what generates the worker's cases, one for each mode.
func (w *worker) makeSources(weight func(*isa.Row) int) {
	cfg := w.c.cfg
	w.c.seeds = 0
	for _, m := range cfg.modes() {
		s := &source{mode: m, seed: w.index, decodeSeed: w.index}
		if cfg.States > 0 {
			s.rows = w.rowsOf(m, weight)
		} else {
			s.seeds, s.decodeSeeds = cfg.seeds(m, w.c.wanted, weight)
		}
		w.c.seeds += len(s.seeds)
		g := gen.Config{Profile: cfg.Profile, Seed: mixSeed(cfg.Seed, w.index), Weight: weight, Seeds: s.seeds, Mode: m}
		s.gen = gen.New(g)
		g.Seed = ^g.Seed
		s.bytes = gen.New(g)
		w.sources = append(w.sources, s)
	}
	w.source = w.sources[0]
}

// references makes the worker's reference engines.
func (w *worker) references(first bool) error {
	c := w.c
	if first {
		for _, e := range c.cfg.References {
			r, err := e.New()
			if err != nil {
				c.message(fmt.Sprintf("reference %s is not available: %v", e.Name, err))
				continue
			}
			w.differ.Reference, c.reference = r, e
			break
		}
		if w.differ.Reference == nil {
			c.message("no reference executor: the subject runs, but only decoders are compared")
		}
	} else if c.reference.New != nil {
		r, err := c.reference.New()
		if err != nil {
			return fmt.Errorf("reference %s, worker %d: %w", c.reference.Name, w.index, err)
		}
		w.differ.Reference = r
	}
	if c.cfg.SubjectDecoder.New == nil {
		return nil
	}
	for i, e := range c.cfg.Decoders {
		s, err := c.cfg.SubjectDecoder.New()
		if err != nil {
			return fmt.Errorf("decoder %s: %w", c.cfg.SubjectDecoder.Name, err)
		}
		r, err := e.New()
		if err != nil {
			if first {
				c.message(fmt.Sprintf("decoder %s is not available: %v", e.Name, err))
			}
			continue
		}
		w.decoders = append(w.decoders, diff.NewDecoders(s, r, e.Quirks))
		w.engines = append(w.engines, i)
	}
	return nil
}

// mixSeed gives each worker a seed of its own; the first one's is the
// campaign's.
func mixSeed(seed uint64, worker int) uint64 { return seed + uint64(worker)*0x9e3779b97f4a7c15 }

// work runs the workers until all have ended, and reports progress.
func (c *campaign) work(workers []*worker) {
	done := make(chan error, len(workers))
	for _, w := range workers {
		go func() { done <- w.run() }()
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	p := progress{c: c, at: c.start}
	watch := newWatchdog(workers)
	for left := len(workers); left > 0; {
		select {
		case err := <-done:
			left--
			if err != nil {
				c.fail(err)
			}
		case <-tick.C:
			p.report()
			if w := watch.hung(); w != nil {
				err := c.hang(w)
				if err == nil {
					c.message(fmt.Sprintf("a batch of %d cases takes more than %v, and none of them hangs alone: the campaign waits", len(w.cases), hangAfter))
					watch.again(w)
					continue
				}
				w.stuck = true
				c.fail(err)
				drain(done, left-1)
				return
			}
		}
	}
	for _, w := range workers {
		w.publish()
	}
	p.report()
}

// drain waits for the other workers when one is lost.
func drain(done <-chan error, n int) {
	late := time.After(2 * hangAfter)
	for range n {
		select {
		case <-done:
		case <-late:
			return
		}
	}
}

func (c *campaign) fail(err error) {
	c.mu.Lock()
	if c.failed == nil {
		c.failed = err
	}
	c.mu.Unlock()
	c.stop()
}

// claim returns how many cases of at most n a worker may run, 0 to end.
func (c *campaign) claim(n int) int {
	if c.ctx.Err() != nil {
		return 0
	}
	if c.cfg.Cases == 0 {
		return n
	}
	before := c.claimed.Add(uint64(n)) - uint64(n)
	if before >= c.cfg.Cases {
		return 0
	}
	return int(min(uint64(n), c.cfg.Cases-before))
}

// publish takes a worker's news: cases that it ran, and its rows.
func (c *campaign) publish(cases uint64, rows []diff.RowCount) {
	c.cases.Add(cases)
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range rows {
		if rows[i].Retired > 0 && i > 0 && !c.covered[i] {
			c.covered[i] = true
			c.ncovered++
		}
	}
}

func (c *campaign) message(text string) {
	if c.cfg.Message == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cfg.Message(text)
}

// progress calls the progress function.
type progress struct {
	c     *campaign
	at    time.Time
	cases uint64
}

func (p *progress) report() {
	if p.c.cfg.Progress == nil {
		return
	}
	now, cases := time.Now(), p.c.cases.Load()
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	report := Progress{
		Elapsed: now.Sub(p.c.start), Cases: cases, Covered: p.c.ncovered, Table: p.c.table,
		Divergences: len(p.c.order), New: p.c.fresh,
	}
	if d := now.Sub(p.at).Seconds(); d > 0 {
		report.PerSecond = float64(cases-p.cases) / d
	}
	p.at, p.cases = now, cases
	p.c.cfg.Progress(report)
}

// inst decodes a case's instruction.
func (w *worker) inst(c *oracle.Case) *decode.Inst {
	diff.Instruction(c, w.c.cfg.Profile, &w.decoded)
	return &w.decoded
}
