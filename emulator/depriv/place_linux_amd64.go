package depriv

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/seed-4e121ece/ringfence/emulator/depriv/transport"
	"github.com/seed-4e121ece/ringfence/internal/spawn"
)

// placement is the CPU of the worker; -1 is any.
type placement int

const nowhere placement = -1

// pin moves the worker to its place. It is no error if it is gone: that shows.
func (p *peer) pin(at placement) {
	if p.proc == nil || at < 0 || p.cpu == int(at) {
		return
	}
	if spawn.Pin(p.proc.Pid(), int(at)) == nil {
		p.cpu = int(at)
	}
}

// Settle keeps the calling goroutine on the CPU on which it is, and the worker
// where its transport is fastest: on the same one, or for Spin on another. What
// it returns takes that back. It matters much for speed and for nothing else.
func (c *Client) Settle() (release func(), err error) {
	if !c.cfg.Transport.Walled() {
		return func() {}, nil
	}
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return nil, fmt.Errorf("depriv: sched_getaffinity: %w", err)
	}
	runtime.LockOSThread()
	cpu, err := spawn.CurrentCPU()
	if err == nil {
		err = spawn.Pin(0, cpu)
	}
	if err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("depriv: %w", err)
	}
	c.place = placement(cpu)
	if c.cfg.Transport == transport.Spin {
		for other := range len(before) * 64 {
			if other != cpu && before.IsSet(other) {
				c.place = placement(other)
				break
			}
		}
	}
	if c.peer != nil {
		c.peer.pin(c.place)
	}
	return func() {
		_ = unix.SchedSetaffinity(0, &before) // as it was; it can only have become impossible
		runtime.UnlockOSThread()
	}, nil
}
