package bench

import (
	"fmt"
	"os"
	"time"

	"github.com/seed-4e121ece/ringfence/emulator/depriv"
	"github.com/seed-4e121ece/ringfence/emulator/depriv/sandbox"
)

// The names of what is measured in the life of a worker.
const (
	LifeStart    = "start"
	LifeBare     = "start-no-namespaces"
	LifeSpare    = "recovery-spare"
	LifeCold     = "recovery-cold"
	LifeReplace  = "replace-pause"
	LifeMemory   = "memory"
	LifeOwn      = "memory-own"
	unitTime     = "ns"
	unitBytes    = "bytes"
	spareIsReady = 30 * time.Millisecond
)

type life struct{ values []float64 }

// lifeNames lists what is measured, with what it means.
var lifeNames = []struct{ name, about, unit string }{
	{LifeStart, "a worker started, with every mechanism of the sandbox, until it is ready", unitTime},
	{LifeBare, "the same without namespaces", unitTime},
	{LifeSpare, "SIGKILL of the worker until the first answer, from a spare one", unitTime},
	{LifeCold, "the same without a spare one", unitTime},
	{LifeReplace, "the longest step under full load while the worker is replaced by another build", unitTime},
	{LifeMemory, "resident memory of a worker (batches of 1), all of it", unitBytes},
	{LifeOwn, "what of that it shares with no file and no other process", unitBytes},
}

// measureLives measures the life of workers once. Without walls it does nothing.
func (r *runner) measureLives() error {
	g := find(r.rungs, func(g *rung) bool { return g.Walled && g.main() && g.kind == bestWall })
	if g == nil {
		g = find(r.rungs, func(g *rung) bool { return g.Walled && g.main() })
	}
	if g == nil || g.Missing != "" {
		return nil
	}
	for _, task := range []func(*rung) error{r.measureStart, r.measureRecovery, r.measureReplace} {
		if r.ctx.Err() != nil {
			return nil
		}
		if err := task(g); err != nil {
			g.failed(err)
			return nil
		}
	}
	return nil
}

func (r *runner) live(name string, v float64) {
	k := of(r.lives, name)
	k.values = append(k.values, v)
}

func (r *runner) measureStart(g *rung) error {
	for _, name := range []string{LifeStart, LifeBare} {
		cfg := g.config(1)
		if name == LifeBare {
			cfg.Asked = sandbox.All &^ sandbox.Namespaces
		}
		a := clock()
		c, err := depriv.New(cfg)
		if err != nil {
			return err
		}
		ns := clock() - a
		if name == LifeStart {
			all, own := residentMemory(c.Pid())
			if all > 0 {
				r.live(LifeMemory, all)
				r.live(LifeOwn, own)
			}
		}
		c.Close()
		r.live(name, float64(ns))
	}
	return nil
}

// alone opens a client with one virtual CPU.
func (r *runner) alone(g *rung, spare bool) (*target, error) {
	cfg := g.config(1)
	cfg.NoSpare = !spare
	t, err := g.openWith(cfg, 0, 1)
	if err != nil {
		return nil, err
	}
	err = t.load(&classes[1])
	if err == nil {
		err = t.settle(r.cpu())
	}
	if err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

func (r *runner) measureRecovery(g *rung) error {
	for _, spare := range []bool{true, false} {
		name := LifeCold
		if spare {
			name = LifeSpare
		}
		if err := r.recover(g, name, spare); err != nil {
			return err
		}
	}
	return nil
}

func (r *runner) recover(g *rung, name string, spare bool) error {
	t, err := r.alone(g, spare)
	if err != nil {
		return err
	}
	defer t.close()
	if spare {
		time.Sleep(spareIsReady)
	}
	for range 100 {
		if err := t.exchange(1); err != nil {
			return err
		}
	}
	p, err := os.FindProcess(t.pid())
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	replaced := t.stats().Replaced
	a := clock()
	if err := p.Kill(); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	for t.stats().Replaced == replaced {
		if err := t.exchange(1); err != nil {
			return err
		}
	}
	r.live(name, float64(clock()-a))
	return nil
}

func (r *runner) measureReplace(g *rung) error {
	t, err := r.alone(g, false)
	if err != nil {
		return err
	}
	defer t.close()
	done := make(chan error, 1)
	go func() { done <- t.client.Replace("/proc/self/exe") }()
	longest := int64(0)
	replaced := t.stats().Replaced
	for after, begin := 0, clock(); after < 1000; {
		a := clock()
		if a-begin > int64(10*time.Second) {
			return fmt.Errorf("bench: no worker of another build within 10 s")
		}
		if err := t.exchange(1); err != nil {
			return err
		}
		longest = max(longest, clock()-a)
		if t.stats().Replaced != replaced {
			after++
			continue
		}
		select {
		case err := <-done:
			if err != nil {
				return err
			}
		default:
		}
	}
	r.live(LifeReplace, float64(longest))
	return nil
}
