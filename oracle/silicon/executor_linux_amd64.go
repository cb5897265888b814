package silicon

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/internal/spawn"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// maxChildren is how many layouts an executor keeps a child for.
const maxChildren = 4

// Executor runs cases on the CPU. It is used by one goroutine at a time; several
// executors run side by side, each with children of its own, one CPU each.
//
// While Run is at work the calling goroutine is on one thread, and that thread
// on one CPU together with the child: the two take turns, and the cases stay in
// that CPU's cache.
type Executor struct {
	stop     Stop
	cpu      int         // fixed CPU, or -1
	now      int         // CPU of the Run in hand
	pinned   int         // thread that is on the fixed CPU
	mask     unix.CPUSet // where the caller's threads may run
	children []*child    // most recently used first
	pending  [maxSlots]plan
	index    [maxSlots]int // of the case that each slot in flight holds
	deferred []int         // of cases to run again once the length has been found
	lengths  [maxSlots]int // how long each of them is, as plan.measured
	codes    [maxSlots][15]byte
	codeLens [maxSlots]int
	seq      uint64
	retried  int // index in this Run of the case that was tried again, -1 none
	tries    int // how often it was
	replaced Replaced
	pid      atomic.Int64
	// splitLock says that the kernel detects locked accesses across cache lines.
	splitLock bool
	branches  branchRule
	reckless  bool // tests only: let a case reach the runner's memory
	narrow    int  // tests only: as geometry.narrow
	unchecked bool // run what is in quarantine too
	// lostCase, of tests, is told of each case whose answer was missing or not
	// right, and how the child ended.
	lostCase func(index int, how string)
	// refused is why the kernel does not build descriptors of 16-bit segments,
	// and of 32-bit ones, "" as far as is known that it does.
	refused [2]string
}

// Option changes how an Executor works.
type Option func(*Executor)

// WithoutQuarantine runs also what is in quarantine: what comes back is this
// machine's and may differ from run to run. SYSENTER, which goes through the
// kernel, ends as a system call.
func WithoutQuarantine() Option { return func(e *Executor) { e.unchecked = true } }

// WithStop makes every case end by one stop, where that is possible: to compare
// the stops with one another. The result of StopTrap shows its limits (see
// Stop).
func WithStop(s Stop) Option { return func(e *Executor) { e.stop = s } }

// WithCPU keeps the executor on one CPU, and with it the thread that calls Run:
// the caller should be locked to one (runtime.LockOSThread). Without it, each
// Run takes place on the CPU on which it finds the caller, so that the scheduler
// may spread several callers between Runs; that costs some microseconds a Run.
func WithCPU(cpu int) Option { return func(e *Executor) { e.cpu = cpu } }

// New starts the CPU as an executor, with a child for the default layout. The
// error names what this machine refuses.
func New(options ...Option) (*Executor, error) {
	if err := available(); err != nil {
		return nil, err
	}
	e := &Executor{cpu: -1, splitLock: cpuFlag("split_lock_detect"), branches: branchesOf(cpuInfo().Vendor)}
	if err := unix.SchedGetaffinity(0, &e.mask); err != nil {
		return nil, fmt.Errorf("silicon: sched_getaffinity: %w", err)
	}
	for _, o := range options {
		o(e)
	}
	if _, err := e.child(oracle.DefaultLayout); err != nil {
		return nil, err
	}
	return e, nil
}

// Name is "silicon".
func (e *Executor) Name() string { return "silicon" }

// Respawns is how many children had to be replaced so far.
func (e *Executor) Respawns() int {
	return e.replaced.Moved + e.replaced.Refused + e.replaced.Stuck + e.replaced.Lost
}

// Replaced is Respawns by reason.
func (e *Executor) Replaced() Replaced { return e.replaced }

// Pid is the process id of the child that was started last. It may be called
// from any goroutine, as by a test that kills the child.
func (e *Executor) Pid() int { return int(e.pid.Load()) }

// Close ends the children.
func (e *Executor) Close() error {
	for _, c := range e.children {
		c.close()
	}
	e.children = nil
	return nil
}

// child returns the child for a layout, starting one if there is none.
func (e *Executor) child(l *oracle.Layout) (*child, error) {
	for i, c := range e.children {
		if c.g.layout == l {
			copy(e.children[1:i+1], e.children[:i])
			e.children[0] = c
			return c, nil
		}
	}
	g, err := newGeometry(l)
	if err != nil {
		return nil, err
	}
	g.branches, g.narrow = e.branches, e.narrow
	c, err := newChild(g)
	for try := 1; err != nil && try < maxTries; try++ {
		c, err = newChild(g)
	}
	if err != nil {
		return nil, err
	}
	e.pid.Store(int64(c.proc.Pid()))
	if len(e.children) == maxChildren {
		e.children[maxChildren-1].close()
		e.children = e.children[:maxChildren-1]
	}
	e.children = append(e.children, nil)
	copy(e.children[1:], e.children)
	e.children[0] = c
	return c, nil
}

// replace starts another child in the place of the first, which is finished,
// and counts it under the reason.
func (e *Executor) replace(reason *int) (*child, error) {
	old := e.children[0]
	old.close()
	e.children = append(e.children[:0], e.children[1:]...)
	*reason++
	return e.child(old.g.layout)
}

// Run answers every case. An error means that no child could be started; what
// cannot be said about a single case is its result's Ending.
func (e *Executor) Run(cases []oracle.Case, results []oracle.Result) error {
	if len(cases) != len(results) {
		return fmt.Errorf("silicon: %d cases but %d results", len(cases), len(results))
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var err error
	if e.now, err = e.settle(); err != nil {
		return fmt.Errorf("silicon: %w", err)
	}
	if e.cpu < 0 {
		defer unix.SchedSetaffinity(0, &e.mask)
	}

	e.retried = -1
	for next := 0; next < len(cases); {
		l := cases[next].Layout
		if l == nil {
			reject(&cases[next], &results[next], "layout: none given")
			next++
			continue
		}
		c, err := e.child(l)
		if err != nil {
			if l == oracle.DefaultLayout {
				return err
			}
			reject(&cases[next], &results[next], err.Error())
			next++
			continue
		}
		if next, err = e.batch(c, cases, results, next); err != nil {
			return err
		}
	}
	return nil
}

// settle pins the calling thread to the CPU of this Run.
func (e *Executor) settle() (int, error) {
	cpu := e.cpu
	if cpu >= 0 {
		tid := unix.Gettid()
		if tid == e.pinned {
			return cpu, nil
		}
		e.pinned = tid
	} else {
		var err error
		if cpu, err = spawn.CurrentCPU(); err != nil {
			return 0, err
		}
	}
	return cpu, spawn.Pin(0, cpu)
}

// batch packs cases of one layout from index next on, runs them and reads the
// answers; it returns the index of the first that is not answered.
func (e *Executor) batch(c *child, cases []oracle.Case, results []oracle.Result, next int) (int, error) {
	layout := cases[next].Layout
	e.deferred = e.deferred[:0]
	n, v := 0, packed
	for ; next < len(cases) && n < c.slots && cases[next].Layout == layout; next++ {
		cs, r := &cases[next], &results[next]
		prepare(c.g, r)
		if v = e.pack(c, n, cs, r, 0); v == near {
			break // first let the cases before it be answered
		}
		if v == packed {
			e.index[n] = next
			n++
		}
	}
	if n == 0 && v == near {
		_, err := e.replace(&e.replaced.Moved) // another child lies elsewhere
		return next, err
	}
	got, stuck, err := e.fly(c, n, cases, results)
	if err == nil && got < n {
		next, err = e.lost(results, e.index[got], stuck)
	}
	if err != nil || len(e.deferred) == 0 {
		return next, err
	}
	return next, e.measured(layout, cases, results, next)
}

// fly submits the n cases that have been packed and reads the answers, up to
// the first that is missing or not right.
func (e *Executor) fly(c *child, n int, cases []oracle.Case, results []oracle.Result) (got int, stuck bool, err error) {
	if n == 0 {
		return 0, false, nil
	}
	if err := c.pin(e.now); err != nil {
		return 0, false, err
	}
	first := c.sent
	got, stuck, err = c.submit(n)
	if err != nil {
		return 0, false, fmt.Errorf("silicon: %w", err)
	}
	for i := range got {
		want := e.seq - uint64(n-1-i) // pack numbers the cases of a batch one by one
		if !e.collect(c, first+uint32(i), want, &e.pending[i], &cases[e.index[i]], &results[e.index[i]]) {
			return i, stuck, nil
		}
		if c.refused {
			return i + 1, stuck, nil // the others may have run without their descriptors
		}
		if p := &e.pending[i]; p.trial && !undefined(&cases[e.index[i]], &results[e.index[i]]) {
			e.deferred = append(e.deferred, e.index[i])
		}
	}
	return got, stuck, nil
}

// undefined says that a case ended with #UD and nothing else: whatever the length
// of the instruction, the CPU does not know it.
func undefined(c *oracle.Case, r *oracle.Result) bool {
	return r.Ending == oracle.Ended && r.Outcome == step.Exception && r.Event.Vector == x86.VectorUD &&
		r.State.RIP == c.State.RIP && r.State.GPR == c.State.GPR
}

// maxTries is how often a case is tried: a child may be killed from outside, and
// only a case that loses every one of them is to blame. Starting a child is
// tried as often.
const maxTries = 3

// lost deals with the case that a child has not answered properly.
func (e *Executor) lost(results []oracle.Result, index int, stuck bool) (int, error) {
	next := index
	if e.retried != index {
		e.retried, e.tries = index, 0
	}
	e.tries++
	c, reason := e.children[0], &e.replaced.Lost
	switch r := &results[index]; {
	case c.refused:
		reason = &e.replaced.Refused
		e.tries-- // the case before it is to blame
	case stuck:
		reason = &e.replaced.Stuck
		r.Ending, r.Note = oracle.RanAway, "the runner made no progress and was killed"
		next++
	case e.tries == maxTries:
		r.Ending, r.Note = oracle.Died, "the runner died or broke its protocol at every try"
		next++
	}
	if e.lostCase != nil && !c.refused {
		e.lostCase(index, c.ending())
	}
	_, err := e.replace(reason)
	return next, err
}

// prepare gives a result the fields that do not depend on the run.
func prepare(g *geometry, r *oracle.Result) {
	if n := g.memSize; len(r.Memory) != n {
		r.Memory = make([]byte, n)
	}
	r.Ending, r.Note, r.Promise = oracle.Ended, "", ""
	r.Retire, r.Accesses, r.Partial = 0, nil, false
	r.Unknown = oracle.FieldRetire | oracle.FieldAccesses | oracle.FieldPromise
	r.NumStray = 0
	r.Iterations = 0
}

// reject answers a case that cannot be run.
func reject(c *oracle.Case, r *oracle.Result, why string) {
	r.Ending, r.Note = oracle.Unsupported, why
	r.State = c.State
	r.SetFPU(c.State.FPU)
	r.FSBase, r.GSBase = c.FSBase, c.GSBase
}

// verdict is what pack has decided about a case.
type verdict uint8

const (
	packed   verdict = iota
	answered         // the result says why it is not run
	near             // an address points at the child's own memory
)

// pack writes a case into the n-th slot from the next on. measured is the
// length of its instruction if that has been found, as plan.measured.
func (e *Executor) pack(c *child, n int, cs *oracle.Case, r *oracle.Result, measured int) verdict {
	why := unsupported(cs)
	if why == "" && len(cs.Memory) != c.g.memSize {
		why = "memory: not as long as the layout's windows"
	}
	if why != "" {
		reject(cs, r, why)
		return answered
	}
	number := c.sent + uint32(n)
	s := c.slot(number)
	p := &e.pending[n]
	p.measured = measured
	if why := c.g.compose(p, cs, e.stop, &c.pads); why != "" {
		reject(cs, r, why)
		return answered
	}
	why = quarantined(&p.sh)
	if p.sh.class == classIRET || p.sh.looksUp() || e.splitLock {
		m := memory{g: c.g, c: cs, code: cs.Code[:p.length], rip: p.start}
		if w := quarantinedCase(&p.sh, &m, p.next, e.splitLock); w != "" {
			why = w
		}
	}
	if why != "" && !e.unchecked {
		reject(cs, r, why)
		r.Ending = oracle.Quarantined
		return answered
	}
	if e.near(c, cs, p) && !e.reckless {
		return near
	}
	if why := e.write(c, s, p, cs); why != "" {
		reject(cs, r, why)
		return answered
	}
	in := c.windows(int(number&uint32(c.slots-1)), windowsIn)
	m := 0
	for i := range c.g.pieces {
		w := &c.g.pieces[i]
		m += copy(in[w.offset:w.offset+w.length], cs.Memory[m:])
	}
	return packed
}

// near says that a register or an operand points at the child's own memory.
func (e *Executor) near(c *child, cs *oracle.Case, p *plan) bool {
	if cs.State.Mode == x86.Long64 {
		near := !c.clear(cs.FSBase) || !c.clear(cs.GSBase)
		for _, v := range cs.State.GPR {
			near = near || !c.clear(v)
		}
		if near || p.sh.memory && !c.clear(p.sh.effective(cs, p.next)) {
			return true
		}
	}
	if e.nearPage(cs, p, c.pads.low) || c.pads.near != c.pads.low && e.nearPage(cs, p, c.pads.near) {
		return true
	}
	return false
}

// nearPage says that an operand may be in a trampoline or next to it.
func (e *Executor) nearPage(cs *oracle.Case, p *plan, page uint64) bool {
	const around = 512
	if p.sh.class == classUnknown || p.sh.uses&anywhere != 0 {
		for _, v := range cs.State.GPR {
			if p.reaches(cs, v, page-around, oracle.PageSize+2*around) {
				return true
			}
		}
		return p.sh.memory && p.sh.effective(cs, p.next)-(page-around) < oracle.PageSize+2*around
	}
	return p.touches(cs, page-around, oracle.PageSize+2*around)
}

// write fills a slot, but for the windows.
func (e *Executor) write(c *child, s *slot, p *plan, cs *oracle.Case) string {
	run := &c.g.runs[p.run]
	s.gpr = cs.State.GPR
	s.rip = cs.State.RIP
	s.rflags = cs.State.RFLAGS
	s.far = uint64(uint32(cs.State.RIP)) | uint64(cs.State.Selector[x86.CS])<<32
	s.ss = uint64(cs.State.Selector[x86.SS])
	s.fsBase, s.gsBase = cs.FSBase, cs.GSBase
	s.code = p.block
	s.codeDst = c.base + offAlias + run.file + (p.blockAt - run.addr)
	s.codeFill = uint64(run.fill) * 0x0101010101010101
	s.mode = mode(p, cs)
	s.sel = selectors(&cs.State)
	if s.sel != 0 {
		s.mode |= modeSelectors
	}
	s.ldtCount = 0
	if cs.State.Mode != x86.Long64 || len(cs.LDT) > 0 || p.sh.uses&loadsSegment != 0 || p.sh.class == classUnknown {
		why := c.describe(s, p, cs)
		if why == "" && e.refused != [2]string{} {
			why = e.refusal(c, s)
		}
		if why != "" {
			return why
		}
	}
	if p.stop == StopTrap {
		s.rflags |= uint64(x86.TF)
	}
	if cs.State.FPU != nil {
		s.fpuIn.put(cs.State.FPU)
	}
	e.seq++
	s.seq = e.seq
	s.landRIP = p.next
	return ""
}

// refuse notes that the kernel has refused the last descriptor of a slot, and
// says why. Kernels may be built without modify_ldt, or without 16-bit segments
// (CONFIG_MODIFY_LDT_SYSCALL, CONFIG_X86_16BIT).
func (e *Executor) refuse(errno syscall.Errno) string {
	why := "segments: the kernel refuses descriptors: " + errno.Error()
	if errno == syscall.EINVAL {
		why = "segments: the kernel refuses 16-bit descriptors"
	} else {
		e.refused[1] = why
	}
	e.refused[0] = why
	return why
}

// refusal says that a descriptor of the slot will be refused, and forgets that
// the slot would have changed the table.
func (e *Executor) refusal(c *child, s *slot) string {
	why := ""
	for i := range s.ldtCount {
		d := &s.ldt[i]
		if d.flags != emptyFlags && e.refused[d.flags&descDB] != "" {
			why = e.refused[d.flags&descDB]
		}
	}
	if why != "" {
		for i := range s.ldtCount {
			c.ldt[s.ldt[i].entry] = userDesc{entry: ^uint32(0)}
		}
	}
	return why
}

// describe lists the descriptors that the local table must have for a case and
// does not. Entries that the case does not name are emptied if its instruction
// can tell.
func (c *child) describe(s *slot, p *plan, cs *oracle.Case) string {
	var t [maxLDT]userDesc
	named, why := ldtOf(cs, &t)
	if why != "" {
		return why
	}
	exact := p.sh.uses&loadsSegment != 0 || p.sh.class == classUnknown
	for i := range t {
		if named&(1<<i) == 0 {
			if !exact || c.ldt[i].flags == emptyFlags || c.ldt[i] == (userDesc{}) {
				continue
			}
			t[i] = userDesc{entry: uint32(i), flags: emptyFlags}
		}
		if c.ldt[i] != t[i] {
			c.ldt[i] = t[i]
			s.ldt[s.ldtCount] = t[i]
			s.ldtCount++
		}
	}
	return ""
}

func mode(p *plan, c *oracle.Case) uint64 {
	m := uint64(0)
	if p.stop == StopTrap {
		m |= modeTrap
	}
	if p.sh.needsFPU() {
		m |= modeFPU
	}
	if c.State.FPU != nil {
		m |= modeVector
	}
	if c.State.Mode != x86.Long64 {
		m |= modeCompat
	}
	// A segment of the local table brings its base.
	if c.FSBase != 0 && c.State.Selector[x86.FS]&4 == 0 {
		m |= modeFSBase
	}
	if c.GSBase != 0 && c.State.Selector[x86.GS]&4 == 0 {
		m |= modeGSBase
	}
	return m
}

// selectors packs DS, ES, FS and GS as a slot has them; null ones are 0, as
// they are between cases.
func selectors(s *x86.State) uint64 {
	return uint64(nullSelector(s.Selector[x86.DS])) | uint64(nullSelector(s.Selector[x86.ES]))<<16 |
		uint64(nullSelector(s.Selector[x86.FS]))<<32 | uint64(nullSelector(s.Selector[x86.GS]))<<48
}

// collect reads the answer to the case with that number. It returns false if it
// is not the answer to this case. Each field is read once: the child may still
// be alive and its memory is not trusted.
func (e *Executor) collect(c *child, number uint32, seq uint64, p *plan, cs *oracle.Case, r *oracle.Result) bool {
	s := c.slot(number)
	if s.outSeq != seq+c.canary {
		return false
	}
	a := answer{kind: s.outKind, signo: s.outSigno, code: s.outCode, trap: s.outTrap, err: s.outErr, cr2: s.outCR2, rip: s.outRIP, rflags: s.outRFLAGS}
	switch {
	case a.kind == kindRefused:
		// What the table holds now is not known: not this child again.
		c.refused = true
		c.proc.Kill()
		reject(cs, r, e.refuse(syscall.Errno(-int64(a.err))))
		return true
	case a.kind == kindLanded && p.stop != StopPad:
		return false // a branch that found the trampoline
	case a.kind != kindLanded && a.kind != kindSignal:
		return false
	}
	if a.kind == kindSignal && a.signo != sigALRM && int32(a.code) <= 0 {
		return false // SI_USER and the like: a process sent it, no exception is behind it
	}
	r.State = cs.State // mode, stack width, CPL
	r.State.GPR = s.outGPR
	r.FSBase, r.GSBase = s.outFSBase, s.outGSBase
	sel, csss := s.outSel, s.outCSSS
	r.State.Selector[x86.DS] = nullSelector(uint16(sel))
	r.State.Selector[x86.ES] = nullSelector(uint16(sel >> 16))
	r.State.Selector[x86.FS] = nullSelector(uint16(sel >> 32))
	r.State.Selector[x86.GS] = nullSelector(uint16(sel >> 48))
	r.State.Selector[x86.CS] = uint16(csss)
	r.State.Selector[x86.SS] = uint16(csss >> 48)
	if a.kind == kindLanded {
		// The pad is 64-bit code; what it follows has not changed CS.
		r.State.Selector[x86.CS] = cs.State.Selector[x86.CS]
	}
	r.State.FPU = nil
	if cs.State.FPU != nil {
		s.fpuOut.get(r.OwnFPU(), cs.State.FPU.Loaded)
	}
	interpret(&a, p, cs, r)

	out := c.windows(int(number&uint32(c.slots-1)), windowsIn+c.g.winSize)
	m := 0
	for i := range c.g.pieces {
		w := &c.g.pieces[i]
		m += copy(r.Memory[m:], out[w.offset:w.offset+w.length])
	}
	strays := s.outStrays
	r.NumStray = int(min(strays, uint64(c.g.bytes/8)))
	for i := range min(r.NumStray, maxStray) {
		r.Stray[i] = oracle.StrayWord{Address: s.stray[i].address, Value: s.stray[i].value}
	}
	if len(c.g.margins) > 0 {
		c.g.addMargins(p, out, r)
	}
	if c.g.writableCode {
		c.g.addCode(p, &s.outBytes, r)
	}
	return true
}
