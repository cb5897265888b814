// Package model makes engines of the emulator: any Stepper is an Executor, on
// the reference Bus of package machine, and the decoder is a Decoder.
package model

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/seed-4e121ece/ringfence/emulator"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/machine"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// Name is the engine's name.
const Name = "model"

// maxRetries is how often a step that answers RETRY is tried again: the
// machine has one CPU, so that no retry is due.
const maxRetries = 8

// Executor runs cases on a Stepper. It is used by one goroutine at a time.
type Executor struct {
	name    string
	profile *isa.Profile
	make    func(*machine.Machine) emulator.Stepper
	// configure changes how the machine of a layout is made; nil leaves it.
	configure func(*machine.Config)
	fx        *step.Effects
	// beds are the machines, one a layout; bed is the one used last.
	beds     []*bed
	bed      *bed
	accesses bool
	log      []step.Access
	// ldt is the local descriptor table of the case in hand.
	ldt [ldtEntries]uint64
}

// bed is a machine for one layout with the stepper that runs on it.
type bed struct {
	layout  *oracle.Layout
	machine *machine.Machine
	stepper emulator.Stepper
	// fallible is stepper, if it is one that can fail.
	fallible Fallible
	// maxIterations bounds the iterations of a REP: no more bytes than are
	// mapped can be gone through without a fault, twice for good measure.
	maxIterations int
	stray         [oracle.MaxStray]machine.Stray
}

var _ oracle.Executor = (*Executor)(nil)

// Fallible is a Stepper that cannot always say what an instruction does: one in
// another process. Failure returns why the last Step has no answer, nil if it
// has; the case has then died.
type Fallible interface{ Failure() error }

// Option changes an Executor.
type Option func(*Executor)

// WithName gives the engine another name than "model".
func WithName(name string) Option { return func(e *Executor) { e.name = name } }

// WithStepper makes the executor run another Stepper than the emulator: new is
// called once for each layout of memory, with the hooks that its Bus offers.
func WithStepper(new func(step.Hooks) emulator.Stepper) Option {
	return func(e *Executor) {
		e.make = func(m *machine.Machine) emulator.Stepper { return new(m.Hooks()) }
	}
}

// WithMachine has the executor run a Stepper that must know the machine: before
// one is made for a layout of memory, configure may change how, and then new
// makes the stepper for it.
func WithMachine(configure func(*machine.Config), new func(*machine.Machine) emulator.Stepper) Option {
	return func(e *Executor) { e.configure, e.make = configure, new }
}

// WithAccesses makes the executor report the log of memory accesses in
// Result.Accesses; without, that field is unknown.
func WithAccesses() Option { return func(e *Executor) { e.accesses = true } }

// New returns an executor of the emulator with that profile.
func New(p *isa.Profile, options ...Option) *Executor {
	e := &Executor{name: Name, profile: p, fx: new(step.Effects)}
	e.make = func(m *machine.Machine) emulator.Stepper { return emulator.New(p, m.Hooks()) }
	for _, o := range options {
		o(e)
	}
	return e
}

// Name implements oracle.Executor.
func (e *Executor) Name() string { return e.name }

// Close implements oracle.Executor.
func (e *Executor) Close() error { return nil }

// Run implements oracle.Executor.
func (e *Executor) Run(cases []oracle.Case, results []oracle.Result) error {
	if len(cases) != len(results) {
		return fmt.Errorf("%s: %d cases and %d results: want one result a case", e.name, len(cases), len(results))
	}
	e.log = e.log[:0]
	for i := 0; i < len(cases); {
		if err := e.runFrom(&i, cases, results); err != nil {
			return fmt.Errorf("%s: case %d: %w", e.name, i, err)
		}
	}
	return nil
}

// runFrom answers the cases from *i on, up to the end or to one on which the
// Stepper panics: that one has died, and the rest go on.
func (e *Executor) runFrom(i *int, cases []oracle.Case, results []oracle.Result) (err error) {
	defer func() {
		if p := recover(); p != nil {
			r := &results[*i]
			r.Ending, r.Note = oracle.Died, fmt.Sprintf("panic: %v%s", p, where())
			*i++
		}
	}()
	for ; *i < len(cases); *i++ {
		if err := e.run(&cases[*i], &results[*i]); err != nil {
			return err
		}
	}
	return nil
}

// where names the function that panicked.
func where() string {
	var pc [16]uintptr
	frames := runtime.CallersFrames(pc[:runtime.Callers(3, pc[:])])
	for {
		f, more := frames.Next()
		if !strings.HasPrefix(f.Function, "runtime.") {
			return " in " + f.Function
		}
		if !more {
			return ""
		}
	}
}

// maxBeds is how many machines are kept.
const maxBeds = 16

// bedFor returns the machine of a layout, made on its first use.
func (e *Executor) bedFor(l *oracle.Layout) (*bed, error) {
	for _, b := range e.beds {
		if b.layout == l {
			return b, nil
		}
	}
	b, err := e.newBed(l)
	if err != nil {
		return nil, err
	}
	if len(e.beds) == maxBeds {
		e.beds = append(e.beds[:0], e.beds[1:]...)
	}
	e.beds = append(e.beds, b)
	return b, nil
}

func (e *Executor) newBed(l *oracle.Layout) (*bed, error) {
	if err := l.Validate(); err != nil {
		return nil, fmt.Errorf("layout: %w", err)
	}
	cfg := machine.Config{VirtualBits: e.profile.VirtualBits, AlignmentMask: true, Control: controls(e.profile), GDT: descriptors[:]}
	bytes := 0
	for _, p := range l.Pages {
		prot := machine.User
		if p.Prot&oracle.ProtWrite != 0 {
			prot |= machine.Write
		}
		if p.Prot&oracle.ProtExec != 0 {
			prot |= machine.Exec
		}
		cfg.Pages = append(cfg.Pages, machine.Pages{Address: p.Address, Count: p.Count, Protection: prot, Fill: p.Fill})
		bytes += p.Count * oracle.PageSize
	}
	for _, w := range l.Windows {
		cfg.Windows = append(cfg.Windows, machine.Window{Address: w.Address, Length: w.Length})
	}
	if e.configure != nil {
		e.configure(&cfg)
	}
	m, err := machine.New(cfg)
	if err != nil {
		return nil, err
	}
	b := &bed{layout: l, machine: m, stepper: e.make(m), maxIterations: 2 * bytes}
	b.fallible, _ = b.stepper.(Fallible)
	return b, nil
}

// descriptors is the global descriptor table as user code finds it under Linux
// (arch/x86/include/asm/segment.h): kernel code and data, the three user
// segments, the task state segment, empty slots for thread-local storage, and
// the one whose limit is the number of the CPU. All are marked accessed.
var descriptors = [16]uint64{
	1:  0x00cf9b000000ffff,
	2:  0x00af9b000000ffff,
	3:  0x00cf93000000ffff,
	4:  0x00cffb000000ffff,
	5:  0x00cff3000000ffff,
	6:  0x00affb000000ffff,
	8:  0x00008b0000002087,
	15: 0x0040f50000000000,
}

// controls answers reads of the control registers as user code finds them: PE,
// MP, ET, NE, WP, AM and PG of CR0; of CR4 what lets it use its features.
func controls(p *isa.Profile) func(n uint8) (uint64, bool) {
	cr4 := uint64(1<<5 | 1<<7 | 1<<9 | 1<<10) // PAE, PGE, OSFXSR, OSXMMEXCPT
	if p.Features.Has(isa.FeatureFSGSBASE) {
		cr4 |= 1 << 16
	}
	return func(n uint8) (uint64, bool) {
		switch n {
		case 0:
			return 0x80050033, true
		case 4:
			return cr4, true
		}
		return 0, false
	}
}

// unsupported returns the name of what the model cannot express, or "".
func unsupported(c *oracle.Case) string {
	switch {
	case len(c.Extra) > 0:
		return c.Extra[0]
	case c.State.Mode != x86.Long64 && c.State.Mode != x86.Compat32 && c.State.Mode != x86.Compat16:
		return "mode"
	case c.Layout == nil:
		return "memory"
	case c.State.FPU != nil:
		return "fpu"
	}
	return ""
}

// run answers one case. An error is one of the caller's making: a layout that
// does not validate, memory of another length than the layout's.
func (e *Executor) run(c *oracle.Case, r *oracle.Result) error {
	r.Ending, r.Outcome, r.Steps, r.NumStray, r.Retire = oracle.Ended, step.Okay, 0, 0, 0
	r.Partial, r.Unknown, r.Promise, r.Note, r.Accesses = false, 0, "", "", nil
	r.State = c.State
	r.FSBase, r.GSBase = c.FSBase, c.GSBase
	if field := unsupported(c); field != "" {
		r.Ending, r.Note = oracle.Unsupported, field
		return nil
	}
	if e.bed == nil || e.bed.layout != c.Layout {
		b, err := e.bedFor(c.Layout)
		if err != nil {
			return err
		}
		e.bed = b
	}
	b := e.bed
	if n := c.Layout.WindowBytes(); len(c.Memory) != n || len(r.Memory) != n {
		return fmt.Errorf("%d bytes of memory in, %d out: want %d, the sum of the layout's windows", len(c.Memory), len(r.Memory), n)
	}
	b.machine.Load(&r.State, c.FSBase, c.GSBase, c.Memory, c.Code[:c.CodeLen], c.CodeAddress())
	e.segments(b, c)
	first := len(e.log)
	for range max(c.Steps, 1) {
		if !e.instruction(b, r) {
			break
		}
	}
	if e.accesses {
		r.Accesses = e.log[first:len(e.log):len(e.log)]
	} else {
		r.Unknown |= oracle.FieldAccesses
	}
	b.machine.Save(r.Memory)
	r.FSBase, r.GSBase = b.machine.Bases()
	r.NumStray = b.machine.Strays(b.stray[:])
	for i := range min(r.NumStray, oracle.MaxStray) {
		r.Stray[i] = oracle.StrayWord(b.stray[i])
	}
	return nil
}

// instruction runs one instruction, a REP to its end, and says whether
// another may follow.
func (e *Executor) instruction(b *bed, r *oracle.Result) bool {
	fx := e.fx
	fx.Resume = false
	retries := 0
	for i := 0; ; i++ {
		if i > b.maxIterations {
			r.Ending, r.Note = oracle.RanAway, "iterations of a REP"
			return false
		}
		out := b.stepper.Step(&r.State, b.machine, fx)
		if b.fallible != nil {
			if err := b.fallible.Failure(); err != nil {
				r.Ending, r.Note = oracle.Died, err.Error()
				return false
			}
		}
		if err := emulator.CheckPromises(&r.State, fx, out); err != nil {
			r.Promise = err.Error()
		}
		if e.accesses {
			e.log = append(e.log, fx.Accesses[:fx.NumAccesses]...)
		}
		partial := fx.Partial && out != step.Okay
		out = fx.Apply(&r.State, b.machine)
		if err := emulator.CheckApplied(fx, out); err != nil {
			r.Promise = err.Error()
		}
		r.Outcome = out
		switch out {
		case step.Okay:
			if fx.Again {
				fx.Resume = true
				continue
			}
			r.Steps++
			r.Retire = fx.Retire
			if fx.NumOps > 0 {
				derive(&r.State, b.machine)
			}
			return true
		case step.Exception:
			r.Event = fx.Event
			r.Partial = r.Partial || partial || i > 0
			return false
		case step.Retry:
			if retries++; retries <= maxRetries {
				fx.Resume = false
				continue
			}
		}
		return false
	}
}
