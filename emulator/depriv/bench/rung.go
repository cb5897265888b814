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
	guests  *guests
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

// target is a rung in use: virtual CPUs, and the client that steps them.
type target struct {
	rung     *rung
	client   *depriv.Client // nil for Direct
	emulator *emulator.Emulator
	list     []*guest
	requests []depriv.Request
	release  func()
}

// errStep is a step that did not end as its class says.
var errStep = errors.New("bench: step with another outcome than expected")

// config is how a rung's client crosses.
func (r *rung) config(batch int) depriv.Config {
	return depriv.Config{
		Transport: r.kind, Protocol: r.protocol, Profile: profile(), Batch: batch, NoSpare: true, Allowed: sandbox.Namespaces,
		Memory: r.guests.memory,
	}
}

// open starts what a rung needs for n virtual CPUs from number first on. Who
// steps binds itself by settle.
func (r *rung) open(first, n int) (*target, error) {
	if !r.batches {
		n = 1
	}
	return r.openWith(r.config(n), first, n)
}

func (r *rung) openWith(cfg depriv.Config, first, n int) (*target, error) {
	t := &target{rung: r, list: r.guests.list[first : first+n], release: func() {}}
	if r.direct {
		t.emulator = emulator.New(cfg.Profile, t.list[0].m.Hooks())
		return t, nil
	}
	var err error
	if t.client, err = depriv.New(cfg); err != nil {
		return nil, err
	}
	for i := range n {
		t.requests = append(t.requests, r.guests.request(first+i))
	}
	return t, nil
}

// settle binds the calling goroutine to that CPU until close, and the worker
// where its transport is fastest. A goroutine that hands over to another one of
// its process is not bound: it would switch threads each time.
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

// load gives every virtual CPU the instructions of a class.
func (t *target) load(c *Class) error {
	for _, g := range t.list {
		if err := g.load(c); err != nil {
			return err
		}
	}
	return nil
}

// exchange steps the first n virtual CPUs, each at its next instruction.
func (t *target) exchange(n int) error {
	if t.client == nil {
		for _, g := range t.list[:n] {
			g.next()
			if out := t.emulator.Step(&g.state, g.m, &g.fx); out != g.want {
				return fmt.Errorf("%w: %v at %#x, want %v", errStep, out, g.state.RIP, g.want)
			}
		}
		return nil
	}
	for _, g := range t.list[:n] {
		g.next()
	}
	t.client.StepBatch(t.requests[:n])
	for i := range t.requests[:n] {
		if r := &t.requests[i]; r.Err != nil {
			return fmt.Errorf("bench: %s: %w", t.rung.Name, r.Err)
		}
		if g := t.list[i]; g.fx.Outcome != g.want {
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
