package bench

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/seed-4e121ece/ringfence/emulator"
	"github.com/seed-4e121ece/ringfence/emulator/depriv"
	"github.com/seed-4e121ece/ringfence/emulator/depriv/sandbox"
	"github.com/seed-4e121ece/ringfence/emulator/depriv/transport"
)

// rung is a rung of the ladder with what is known of it.
type rung struct {
	Rung
	kind     transport.Kind
	protocol depriv.Protocol
	direct   bool
	// batches says that more than one request crosses at once.
	batches bool
}

// ladder is every rung that there is, from what depriv and transport list.
func ladder() []*rung {
	all := []*rung{{Rung: Rung{Name: Direct, Transport: Direct}, direct: true, batches: true}}
	for _, p := range depriv.Protocols() {
		for _, k := range transport.Kinds() {
			all = append(all, &rung{
				Rung:     Rung{Name: k.String() + "/" + p.String(), Transport: k.String(), Protocol: p.String(), Walled: k.Walled()},
				kind:     k,
				protocol: p,
				batches:  p != depriv.Hooks,
			})
		}
	}
	return all
}

// main says that a rung is its transport's with the default protocol.
func (r *rung) main() bool { return r.direct || r.protocol == depriv.Message }

// target is a rung in use: guests, and the client that steps them.
type target struct {
	rung     *rung
	client   *depriv.Client // nil for Direct
	emulator *emulator.Emulator
	guests   []*guest
	requests []depriv.Request
	release  func()
}

// errStep is a step that did not end as its class says.
var errStep = errors.New("bench: step with another outcome than expected")

// config is how a rung's client crosses.
func (r *rung) config(batch int) depriv.Config {
	if !r.batches {
		batch = 1
	}
	return depriv.Config{
		Transport: r.kind, Protocol: r.protocol, Profile: profile(), Batch: batch, NoSpare: true, Allowed: sandbox.Namespaces,
	}
}

// open starts what a rung needs for those guests, on that CPU, to which the
// calling goroutine is bound until close where that serves the rung.
func (r *rung) open(guests []*guest, cpu int) (*target, error) {
	t := &target{rung: r, guests: guests, release: func() {}}
	if r.direct {
		t.emulator = emulator.New(profile(), guests[0].m.Hooks())
		t.release = stay(cpu)
		return t, nil
	}
	var err error
	if t.client, err = depriv.New(r.config(len(guests))); err != nil {
		return nil, err
	}
	t.requests = make([]depriv.Request, len(guests))
	for i, g := range guests {
		t.requests[i] = depriv.Request{VCPU: uint32(i), State: &g.state, Bus: g.m, Fx: &g.fx}
	}
	return t, t.settle(cpu)
}

// settle binds the calling goroutine. A goroutine that hands over to another one
// of its process must not be bound to a thread.
func (t *target) settle(cpu int) error {
	switch {
	case t.rung.direct || t.rung.kind == transport.Call:
		t.release = stay(cpu)
		return nil
	case !t.rung.Walled:
		return nil
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	visit(cpu)
	release, err := t.client.Settle()
	if err != nil {
		t.client.Close()
		return fmt.Errorf("bench: %w", err)
	}
	t.release = release
	return nil
}

func (t *target) close() {
	t.release()
	if t.client != nil {
		t.client.Close() // a worker that is gone already is as good
	}
}

// load gives every guest the instructions of a class.
func (t *target) load(c *Class) error {
	for _, g := range t.guests {
		if err := g.load(c); err != nil {
			return err
		}
	}
	return nil
}

// exchange steps the first n guests, each at its next instruction.
func (t *target) exchange(n int) error {
	if t.client == nil {
		for _, g := range t.guests[:n] {
			g.next()
			if out := t.emulator.Step(&g.state, g.m, &g.fx); out != g.want {
				return fmt.Errorf("%w: %v at %#x, want %v", errStep, out, g.state.RIP, g.want)
			}
		}
		return nil
	}
	for _, g := range t.guests[:n] {
		g.next()
	}
	t.client.StepBatch(t.requests[:n])
	for i := range t.requests[:n] {
		if r := &t.requests[i]; r.Err != nil {
			return fmt.Errorf("bench: %s: %w", t.rung.Name, r.Err)
		}
		if g := t.guests[i]; g.fx.Outcome != g.want {
			return fmt.Errorf("%w: %v at %#x, want %v", errStep, g.fx.Outcome, g.state.RIP, g.want)
		}
	}
	return nil
}

// stats are the client's counts; zero without one.
func (t *target) stats() depriv.Stats {
	if t.client == nil {
		return depriv.Stats{}
	}
	return t.client.Stats()
}

// pid is the worker's process, 0 without one.
func (t *target) pid() int {
	if t.client == nil {
		return 0
	}
	return t.client.Pid()
}

// failed says that a rung cannot be measured on this machine, which is no
// failure of the run, and why.
func (r *rung) failed(err error) {
	if r.Missing == "" {
		r.Missing = err.Error()
	}
}

// openUnbound starts what a rung needs; who steps binds itself.
func (r *rung) openUnbound(guests []*guest) (*target, error) {
	t := &target{rung: r, guests: guests, release: func() {}}
	if r.direct {
		t.emulator = emulator.New(profile(), guests[0].m.Hooks())
		return t, nil
	}
	var err error
	t.client, err = depriv.New(r.config(len(guests)))
	return t, err
}
