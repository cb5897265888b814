package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"github.com/seed-4e121ece/ringfence/emulator/depriv"
	"github.com/seed-4e121ece/ringfence/emulator/depriv/transport"
)

// DefaultBudget is how long a run takes by default.
const DefaultBudget = 4 * time.Minute

// rounds is how often everything is measured in the time that there is, unless
// the slices become too short or too long for that.
const rounds = 16

// The shortest and the longest time for which one thing is measured in one
// round.
const (
	minSlice = 400 * time.Microsecond
	maxSlice = 15 * time.Millisecond
)

// DefaultBatches are how many requests cross at once.
func DefaultBatches() []int { return []int{1, 8, 64, transport.MaxBatch} }

// Options say what is measured.
type Options struct {
	// Budget is how long the run may take; 0 means DefaultBudget.
	Budget time.Duration
	// Transports, Protocols and Classes restrict the run to those of these
	// names; nil means all. Direct is measured always.
	Transports, Protocols, Classes []string
	// Batches are how many requests cross at once; nil means DefaultBatches.
	Batches    []int
	Parameters Parameters
	// Seed is that of the order in which things are measured; 0 means another
	// each time.
	Seed uint64
	// Commit names the build, for the report.
	Commit string
	// Progress is told what is measured; done is the share of the budget that
	// has been used. nil tells nobody.
	Progress func(done float64, text string)
}

// complete fills in the defaults, or says what is wrong.
func (o Options) complete() (Options, error) {
	if o.Budget == 0 {
		o.Budget = DefaultBudget
	}
	if o.Batches == nil {
		o.Batches = DefaultBatches()
	}
	if o.Seed == 0 {
		o.Seed = rand.Uint64()
	}
	if o.Progress == nil {
		o.Progress = func(float64, string) {}
	}
	if o.Budget < 0 {
		return o, fmt.Errorf("budget %v: want a time above 0", o.Budget)
	}
	for _, b := range o.Batches {
		if b < 1 || b > transport.MaxBatch {
			return o, fmt.Errorf("batches of %d: want 1 to %d", b, transport.MaxBatch)
		}
	}
	if !slices.Contains(o.Batches, 1) {
		o.Batches = append([]int{1}, o.Batches...)
	}
	for _, name := range o.Transports {
		if _, err := transport.Parse(name); err != nil {
			return o, err
		}
	}
	for _, name := range o.Protocols {
		if _, err := depriv.ParseProtocol(name); err != nil {
			return o, err
		}
	}
	if o.Parameters.Mixes == nil {
		o.Parameters.Mixes = DefaultMixes()
	}
	if err := checkMixes(o.Parameters.Mixes); err != nil {
		return o, err
	}
	for _, name := range o.Classes {
		if !slices.ContainsFunc(classes, func(c Class) bool { return c.Name == name }) {
			return o, fmt.Errorf("class %q: want one of %s", name, classNames())
		}
	}
	return o, nil
}

func classNames() (names []string) {
	for _, c := range classes {
		names = append(names, c.Name)
	}
	return names
}

// runner is a run in progress.
type runner struct {
	opt     Options
	ctx     context.Context
	rng     *rand.Rand
	start   time.Time
	rungs   []*rung
	classes []*Class
	floors  []*floor
	sets    []*guests
	slice   time.Duration
	timer   int64
	round   int
	cpus    []int
	load    []float64
	others  []float64
	steal   []float64
	notes   []string
	sandbox []string

	cells      map[cellKey]*cell
	echoes     map[echoKey]*echo
	contention map[contentionKey]*contention
	places     map[placeKey]*placed
	sparse     map[sparseKey]*sparse
	pollution  map[pollutionKey]*pollution
	lives      map[string]*life
	works      []*work
}

// Run measures until the budget is used or ctx is done, and returns what it has
// then. An error means that nothing can be measured here.
func Run(ctx context.Context, opt Options) (*Result, error) {
	opt, err := opt.complete()
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	r := &runner{
		opt: opt, ctx: ctx, rng: rand.New(rand.NewPCG(opt.Seed, 0)), start: time.Now(), floors: floors(), cpus: cpus(),
		cells: map[cellKey]*cell{}, echoes: map[echoKey]*echo{}, contention: map[contentionKey]*contention{},
		places: map[placeKey]*placed{},
		sparse: map[sparseKey]*sparse{}, pollution: map[pollutionKey]*pollution{}, lives: map[string]*life{},
	}
	r.prepare()
	defer r.close()
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // garbage is collected between measurements
	var longest time.Duration
	for {
		begin := time.Now()
		if err := r.turn(); err != nil {
			return nil, err
		}
		if ctx.Err() != nil {
			break
		}
		r.round++
		longest = max(longest, time.Since(begin))
		if time.Since(r.start)+longest > opt.Budget {
			break
		}
	}
	return r.result(), nil
}

// wanted says whether a list names something; nil names everything.
func wanted(list []string, name string) bool { return list == nil || slices.Contains(list, name) }

// prepare makes what all rounds use.
func (r *runner) prepare() {
	for _, g := range ladder() {
		if g.direct || wanted(r.opt.Transports, g.Transport) && wanted(r.opt.Protocols, g.Protocol) {
			r.rungs = append(r.rungs, g)
		}
	}
	for i := range classes {
		if wanted(r.opt.Classes, classes[i].Name) {
			r.classes = append(r.classes, &classes[i])
		}
	}
	sets := map[depriv.Protocol]*guests{}
	for _, g := range r.rungs {
		p := g.protocol
		if p != depriv.Window && p != depriv.WindowWrite {
			p = depriv.Message // without a window it makes no difference
		}
		if sets[p] == nil {
			set, err := newGuests(max(slices.Max(r.opt.Batches), slices.Max(vcpuCounts)), p)
			if err != nil {
				g.failed(err)
				continue
			}
			sets[p] = set
			r.sets = append(r.sets, set)
		}
		g.guests = sets[p]
	}
	r.works = newWorks()
	r.timer = timerCost()
	n := 0
	for _, g := range r.rungs {
		if g.batches {
			n += len(r.opt.Batches) * len(r.classes)
		} else {
			n += len(r.classes)
		}
	}
	// The ladder is to get half of the time.
	r.slice = min(max(r.opt.Budget/2/rounds/time.Duration(n), minSlice), maxSlice)
}

func (r *runner) close() {
	for _, s := range r.sets {
		s.close()
	}
}

// turn measures everything once, in an order of its own.
func (r *runner) turn() error {
	tasks := []func() error{r.measureFloors, r.measureLives}
	for _, g := range r.rungs {
		tasks = append(tasks, func() error { return r.climb(g) })
		if g.main() {
			tasks = append(tasks, func() error { return r.contend(g) }, func() error { return r.measurePlaces(g) })
		}
	}
	r.rng.Shuffle(len(tasks), func(i, j int) { tasks[i], tasks[j] = tasks[j], tasks[i] })
	defer r.addDifferences()
	defer r.noteDisturbance()()
	for i, task := range tasks {
		if r.ctx.Err() != nil {
			return nil
		}
		done := min(time.Since(r.start).Seconds()/r.opt.Budget.Seconds(), 1)
		r.opt.Progress(done, fmt.Sprintf("round %d, %d of %d", r.round+1, i+1, len(tasks)))
		runtime.GC()
		if err := task(); err != nil {
			return err
		}
	}
	return nil
}

// noteDisturbance begins to watch what else the machine does; what it returns
// notes that.
func (r *runner) noteDisturbance() func() {
	all, busy, stolen := cpuTimes()
	own := ownTime()
	return func() {
		if v, ok := loadAverage(); ok {
			r.load = append(r.load, v)
		}
		all1, busy1, stolen1 := cpuTimes()
		if all1 <= all || own == 0 {
			return
		}
		others := busy1 - busy - (ownTime() - own)
		r.others = append(r.others, max(others, 0)/(all1-all))
		r.steal = append(r.steal, (stolen1-stolen)/(all1-all))
	}
}

// disturbed is how many rounds others have disturbed.
func (r *runner) disturbed() int {
	n := 0
	for i := range r.others {
		if r.others[i]+r.steal[i] > Quiet {
			n++
		}
	}
	return n
}

// cpu is the CPU of this round: each has its turn.
func (r *runner) cpu() int { return r.cpus[r.round%len(r.cpus)] }

// measureFloors measures each floor once.
func (r *runner) measureFloors() error {
	defer stay(r.cpu())()
	for _, f := range r.floors {
		if f.Missing != "" || r.ctx.Err() != nil {
			continue
		}
		v, err := f.measure(3*r.slice, r.timer, &f.h)
		if err != nil {
			f.Missing = err.Error()
			continue
		}
		f.values = append(f.values, v)
	}
	return nil
}
