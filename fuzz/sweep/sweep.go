// Package sweep walks the encoding space of x86 in a fixed order and holds
// decoders against each other on every string: every opcode of every map with
// prefixes, ModRM, SIB, edges of displacement and immediate, edges of the
// payloads of VEX, EVEX, XOP and REX2, instructions cut by one byte, and
// tunnels that follow changes of length.
//
// A string is counted once: within a block by a set, between blocks because
// no two have the same prefixes, map and opcode. The same engines give the
// same table, whatever the number of workers and however often the sweep was
// stopped and resumed.
package sweep

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// Engine is a decoder that takes part.
type Engine struct {
	Name string
	// New makes the decoder; each worker has its own. One that is an io.Closer
	// is closed.
	New func() (oracle.Decoder, error)
	// Quirks are its known faults.
	Quirks []oracle.Quirk
	// CPU says that it is the CPU of this machine, which has only its own
	// features and answers for what a process may do.
	CPU bool
}

// Config says what to sweep.
type Config struct {
	Mode x86.Mode
	// Every subject is held against every reference. The engine that is named
	// as the model is the table's decoder, with All features, and with those
	// of Host where it is held against the CPU.
	Subjects, References []Engine
	All, Host            *isa.Profile
	// Shard of Shards, from 0: the blocks whose number has that remainder.
	// Shards 0 means 1.
	Shard, Shards int
	// Sample thins every block out: of the strings that it begins with, one in
	// so many is kept, with what follows from it. 0 and 1 keep all.
	Sample int
	// Limit ends the sweep after the block in which the number of strings
	// reaches it; 0 for none. For ends it after a time; 0 for none.
	Limit uint64
	For   time.Duration
	Jobs  int
	// Checkpoint is the file that the state is written to now and then and at
	// the end, "" for none. Resume is the state to go on from, or nil.
	Checkpoint string
	Resume     *State
	// Progress is told of the state from time to time; nil for nobody.
	Progress func(*Progress)
}

// Progress is how far a sweep is.
type Progress struct {
	Elapsed                      time.Duration
	Strings, Differ, Unexplained uint64
	// Done of Blocks are behind it.
	Done, Blocks int
	PerSecond    float64
}

// Run sweeps and returns the table. It is not nil if the sweep began; the
// error then tells why it did not go on. A context that is done is no error:
// Table.State.Done tells that there is more to do.
func Run(ctx context.Context, cfg Config) (*Table, error) {
	walk, err := NewWalk(cfg.Mode)
	if err != nil {
		return nil, err
	}
	r := &runner{cfg: &cfg, walk: walk, started: time.Now()}
	if err := r.prepare(); err != nil {
		return nil, err
	}
	err = r.run(ctx)
	if cfg.Checkpoint != "" {
		err = errors.Join(err, r.state.Write(cfg.Checkpoint))
	}
	t := &Table{State: r.state, Elapsed: time.Since(r.started), Stopped: ctx.Err() != nil}
	return t, err
}

// Table is the outcome of a sweep.
type Table struct {
	*State
	// Elapsed is the time of this run, without what a resumed one took before.
	Elapsed time.Duration
	Stopped bool
}

// runner is one run of a sweep.
type runner struct {
	cfg     *Config
	walk    *Walk
	state   *State
	started time.Time
	before  uint64 // strings of the runs before this one
	written time.Time
	shown   time.Time
}

func (r *runner) prepare() error {
	cfg := r.cfg
	if cfg.Shards == 0 {
		cfg.Shards = 1
	}
	if cfg.Shard < 0 || cfg.Shard >= cfg.Shards {
		return fmt.Errorf("shard %d of %d: want 0 to %d", cfg.Shard, cfg.Shards, cfg.Shards-1)
	}
	if cfg.Sample < 0 {
		return fmt.Errorf("sample %d: want 1 or more, or 0 for all", cfg.Sample)
	}
	if len(cfg.Subjects) == 0 || len(cfg.References) == 0 {
		return errors.New("sweep: want at least one subject and one reference")
	}
	if cfg.Jobs < 1 {
		cfg.Jobs = 1
	}
	r.state = newState(cfg, r.walk)
	if cfg.Resume != nil {
		if err := cfg.Resume.fits(r.state); err != nil {
			return err
		}
		r.state = cfg.Resume
		r.before = r.state.Strings
	}
	r.written, r.shown = r.started, r.started
	return nil
}

// job is a block to be done, by its place in the shard; outcome what came of
// it.
type (
	job     struct{ at int }
	outcome struct {
		at  int
		res *blockResult
		err error
	}
)

// run hands blocks to the workers and adds up their results in the order of
// the walk.
func (r *runner) run(parent context.Context) error {
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	if r.cfg.For > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, r.cfg.For)
		defer stop()
	}
	workers, err := r.workers()
	if err != nil {
		return err
	}
	jobs, results := make(chan job), make(chan outcome)
	// ahead bounds how far the workers are ahead of what is added up.
	ahead := make(chan struct{}, 4*len(workers)+4)
	go func() {
		defer close(jobs)
		for at := r.state.Done; at < r.state.Blocks; at++ {
			select {
			case ahead <- struct{}{}:
			case <-ctx.Done():
				return
			}
			select {
			case jobs <- job{at}:
			case <-ctx.Done():
				return
			}
		}
	}()
	var wg sync.WaitGroup
	for _, w := range workers {
		wg.Go(func() {
			for j := range jobs {
				res, err := w.safely(r.walk.at(r.cfg.Shard + j.at*r.cfg.Shards))
				results <- outcome{j.at, res, err}
			}
		})
	}
	go func() {
		wg.Wait()
		close(results)
	}()
	err = r.collect(results, ahead, cancel)
	for _, w := range workers {
		err = errors.Join(err, w.close())
	}
	return err
}

func (r *runner) workers() ([]*worker, error) {
	var all []*worker
	for range r.cfg.Jobs {
		w, err := newWorker(r.cfg, r.walk)
		if err != nil {
			for _, v := range all {
				err = errors.Join(err, v.close())
			}
			return nil, err
		}
		all = append(all, w)
	}
	return all, nil
}

// safely does a block; a panic of an engine in this process is an error with
// the block's name.
func (w *worker) safely(b *block) (res *blockResult, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("sweep: panic in the block of prefixes %x, space %d, map %d, opcode %02x: %v", w.walk.prefixes[b.prefix], b.space, b.opmap, b.opcode, p)
		}
	}()
	return w.block(b), nil
}

// collect adds the results up until the workers have ended, calling stop when
// there are enough. Results behind the last one that is added are dropped: the
// table is that of the first blocks, all of them.
func (r *runner) collect(results <-chan outcome, ahead <-chan struct{}, stop func()) error {
	waiting := map[int]*blockResult{}
	var failed error
	enough := false
	for o := range results {
		if o.err != nil && failed == nil {
			failed = o.err
			stop()
		}
		if failed != nil || enough {
			continue
		}
		waiting[o.at] = o.res
		for res := waiting[r.state.Done]; res != nil && !enough; res = waiting[r.state.Done] {
			delete(waiting, r.state.Done)
			r.state.add(res)
			<-ahead
			if r.cfg.Limit > 0 && r.state.Strings >= r.cfg.Limit {
				enough = true
				stop()
			}
		}
		if err := r.report(); err != nil && failed == nil {
			failed = err
			stop()
		}
	}
	return failed
}

// How often the checkpoint is written and progress is shown.
const (
	checkpointEvery = 10 * time.Second
	progressEvery   = time.Second
)

func (r *runner) report() error {
	now := time.Now()
	if r.cfg.Progress != nil && now.Sub(r.shown) >= progressEvery {
		r.shown = now
		elapsed := now.Sub(r.started)
		r.cfg.Progress(&Progress{
			Elapsed: elapsed, Strings: r.state.Strings, Differ: r.state.Differ, Unexplained: r.state.Unexplained,
			Done: r.state.Done, Blocks: r.state.Blocks, PerSecond: float64(r.state.Strings-r.before) / elapsed.Seconds(),
		})
	}
	if r.cfg.Checkpoint != "" && now.Sub(r.written) >= checkpointEvery {
		r.written = now
		return r.state.Write(r.cfg.Checkpoint)
	}
	return nil
}
