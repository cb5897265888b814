package ptrace

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// maxChildren is how many children an executor keeps: one for each layout and
// local descriptor table.
const maxChildren = 4

// maxTries is how often a case is tried when its child is lost: it may have been
// killed from outside, and only a case that loses every one is to blame.
const maxTries = 3

// Executor runs cases by ptrace(2). It is used by one goroutine at a time. It has
// a thread of its own, the tracer of its children, until Close.
type Executor struct {
	unfiltered bool // tests only: let system calls through
	// tests only: see tracee
	neverStep, stepRepeats bool
	listed                 bool // tests only: unmap what /proc lists, as where the vDSO is sealed
	children               []*tracee
	respawns               int
	pid                    atomic.Int64
	mask                   unix.CPUSet
	work                   chan job
	done                   chan error
}

// job is one call for the tracer's thread.
type job struct {
	cases   []oracle.Case
	results []oracle.Result
	start   bool
}

// Option changes how an Executor works.
type Option func(*Executor)

// New starts the executor with a child for the default layout. The error names
// what this machine refuses.
func New(options ...Option) (*Executor, error) {
	e := &Executor{work: make(chan job), done: make(chan error)}
	for _, o := range options {
		o(e)
	}
	go e.trace()
	e.work <- job{start: true}
	if err := <-e.done; err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// Name is "ptrace".
func (e *Executor) Name() string { return "ptrace" }

// Pid is the process id of the child that was started last. It may be called
// from any goroutine, as by a test that kills the child.
func (e *Executor) Pid() int { return int(e.pid.Load()) }

// Respawns is how many children had to be replaced so far.
func (e *Executor) Respawns() int { return e.respawns }

// Run answers every case. An error means that no child could be started; what
// cannot be said about a single case is its result's Ending.
func (e *Executor) Run(cases []oracle.Case, results []oracle.Result) error {
	switch {
	case len(cases) != len(results):
		return fmt.Errorf("ptrace: %d cases but %d results", len(cases), len(results))
	case e.work == nil:
		return errors.New("ptrace: the executor is closed")
	}
	e.work <- job{cases: cases, results: results}
	return <-e.done
}

// Close ends the children and the tracer's thread. A second Close does nothing.
func (e *Executor) Close() error {
	if e.work != nil {
		close(e.work)
		err := <-e.done
		e.work = nil
		return err
	}
	return nil
}

// trace is the tracer. Its thread ends with it, and with the thread any child
// that is left.
func (e *Executor) trace() {
	runtime.LockOSThread()
	for j := range e.work {
		if j.start {
			e.done <- e.open()
			continue
		}
		e.done <- e.run(j.cases, j.results)
	}
	for _, t := range e.children {
		t.close()
	}
	close(e.done)
}

func (e *Executor) open() error {
	if err := unix.SchedGetaffinity(0, &e.mask); err != nil {
		return fmt.Errorf("ptrace: sched_getaffinity: %w", err)
	}
	_, err := e.child(oracle.DefaultLayout, &ldt{})
	return err
}

// child returns the child for a layout and a descriptor table, starting one if
// there is none; it is then the first.
func (e *Executor) child(l *oracle.Layout, table *ldt) (*tracee, error) {
	for i, t := range e.children {
		if t.layout == l && t.table == *table {
			copy(e.children[1:i+1], e.children[:i])
			e.children[0] = t
			return t, nil
		}
	}
	t, err := newTracee(l, table, e.unfiltered, e.listed)
	for try := 1; errors.Is(err, errDead) && try < maxTries; try++ {
		t, err = newTracee(l, table, e.unfiltered, e.listed)
	}
	if err != nil {
		return nil, err
	}
	t.neverStep, t.stepRepeats = e.neverStep, e.stepRepeats
	e.pid.Store(int64(t.pid))
	if len(e.children) == maxChildren {
		e.children[maxChildren-1].close()
		e.children = e.children[:maxChildren-1]
	}
	e.children = append(e.children, nil)
	copy(e.children[1:], e.children)
	e.children[0] = t
	return t, nil
}

// run answers the cases on the tracer's thread, with tracer and child on one
// CPU: they take turns.
func (e *Executor) run(cases []oracle.Case, results []oracle.Result) error {
	cpu, err := settle()
	if err != nil {
		return err
	}
	defer func() { _ = unix.SchedSetaffinity(0, &e.mask) }() // a thread that stays on its CPU is only slower
	for i := range cases {
		c, r := &cases[i], &results[i]
		if why := e.unsupported(c); why != "" {
			reject(c, r, why)
			continue
		}
		if err := e.one(c, r, cpu); err != nil {
			return err
		}
	}
	return nil
}

// settle keeps the tracer on the CPU on which it is.
func settle() (int, error) {
	var cpu uint32
	if _, _, errno := unix.RawSyscall(unix.SYS_GETCPU, uintptr(ptr(&cpu)), 0, 0); errno != 0 {
		return 0, fmt.Errorf("ptrace: getcpu: %w", errno)
	}
	var set unix.CPUSet
	set.Set(int(cpu))
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return 0, fmt.Errorf("ptrace: sched_setaffinity to CPU %d: %w", cpu, err)
	}
	return int(cpu), nil
}

// one runs a case, with another child if one is lost.
func (e *Executor) one(c *oracle.Case, r *oracle.Result, cpu int) error {
	table, why := tableOf(c)
	if why != "" {
		reject(c, r, why)
		return nil
	}
	for range maxTries {
		t, err := e.child(c.Layout, &table)
		if err != nil {
			if c.Layout == oracle.DefaultLayout && table == (ldt{}) {
				return err
			}
			reject(c, r, err.Error())
			return nil
		}
		if err := t.pin(cpu); err != nil {
			return err
		}
		prepare(c, r)
		if err = t.do(c, r); err == nil {
			return nil
		}
		if refused, ok := errors.AsType[unsettable](err); ok {
			reject(c, r, string(refused))
			return nil
		}
		t.close()
		e.children = append(e.children[:0], e.children[1:]...)
		e.respawns++
		if !errors.Is(err, errDead) {
			return err
		}
	}
	r.Ending, r.Note = oracle.Died, "the child died at every try"
	return nil
}

// prepare gives a result the fields that do not depend on the run.
func prepare(c *oracle.Case, r *oracle.Result) {
	if n := c.Layout.WindowBytes(); len(r.Memory) != n {
		r.Memory = make([]byte, n)
	}
	r.Note, r.Promise = "", ""
	r.Retire, r.Accesses, r.Partial = 0, nil, false
	r.State = c.State // mode, stack width, CPL
	r.State.FPU = nil
	r.NumStray, r.Iterations = 0, 0
}

// reject answers a case that cannot be run.
func reject(c *oracle.Case, r *oracle.Result, why string) {
	r.Ending, r.Note = oracle.Unsupported, why
	r.State = c.State
	r.FSBase, r.GSBase = c.FSBase, c.GSBase
}

// unsupported names the field of a case that the child cannot take, or "".
func (e *Executor) unsupported(c *oracle.Case) string {
	st := &c.State
	switch {
	case len(c.Extra) > 0:
		return c.Extra[0]
	case c.Layout == nil:
		return "layout: none given"
	case c.CodeLen > uint8(len(c.Code)):
		return "code: longer than its array"
	case len(c.Memory) != c.Layout.WindowBytes():
		return "memory: not as long as the layout's windows"
	case st.CPL != 3:
		return "cpl: a user process runs at 3"
	case c.Steps > 1:
		return "steps: one instruction a case"
	case st.RFLAGS&^uint64(x86.FlagsUser) != flagsFixed:
		return "rflags: IF must be 1, IOPL, RF, VM, VIF and VIP 0, reserved bits fixed"
	case c.FSBase >= userEnd || c.GSBase >= userEnd:
		return "fsbase, gsbase: ptrace sets none beyond the user's half"
	case st.FPU != nil && (st.FPU.Loaded&oracle.ComponentsBasic != oracle.ComponentsBasic || st.FPU.MXCSR>>16 != 0):
		return "fpu: x87 and SSE state go together, and the reserved bits of MXCSR are 0"
	}
	switch st.Mode {
	case x86.Long64:
		switch {
		case c.Segments != nil:
			return "segments: in 64-bit mode only selectors, fsbase and gsbase"
		case st.Selector[x86.CS] != selCS64 || st.Selector[x86.SS] != selData:
			return "cs, ss: the kernel's user selectors of 64-bit mode are 0x33 and 0x2b"
		}
	case x86.Compat32, x86.Compat16:
		if why := unsupportedCompat(c); why != "" {
			return why
		}
	default:
		return "mode: a user process under a 64-bit kernel has long64, compat32 and compat16"
	}
	return unsettableSegment(c)
}

// unsupportedCompat is for 32- and 16-bit code.
func unsupportedCompat(c *oracle.Case) string {
	st := &c.State
	wide := st.RIP | c.FSBase | c.GSBase
	for _, v := range st.GPR[:8] {
		wide |= v
	}
	if wide>>32 != 0 {
		return "registers: 32 bits outside 64-bit mode"
	}
	cs, ss := c.Segment(x86.CS), c.Segment(x86.SS)
	width := uint8(16)
	if ss.Attributes&x86.AttrDB != 0 {
		width = 32
	}
	switch {
	case (cs.Attributes&x86.AttrDB != 0) != (st.Mode == x86.Compat32) || cs.Attributes&x86.AttrL != 0:
		return "cs: D and the mode differ"
	case st.StackWidth != width:
		return "ss: B and the width of the stack differ"
	case st.RIP > uint64(cs.Limit):
		return "rip: beyond the limit of cs"
	}
	for _, s := range [...]struct {
		seg  x86.Segment
		base uint64
	}{{x86.FS, c.FSBase}, {x86.GS, c.GSBase}} {
		r := c.Segment(s.seg)
		if (c.Segments != nil || r.Selector&4 != 0) && r.Base != s.base {
			return "fsbase, gsbase: not as in segments"
		}
	}
	return ""
}
