// Package spawn starts helper processes that must not outlive this one: from a
// path or from an executable image in memory, without any inherited file but
// those that are named, and with a watcher that says at once when they end.
package spawn

import (
	"os"
	"sync/atomic"
)

// Process is a started helper. Its methods may be called from any goroutine.
type Process struct {
	proc  *os.Process
	state atomic.Pointer[os.ProcessState]
	done  chan struct{}
}

// Pid is the process id, valid at least until Done is closed.
func (p *Process) Pid() int { return p.proc.Pid }

// Done is closed when the process has ended and has been waited for.
func (p *Process) Done() <-chan struct{} { return p.done }

// Exited says whether the process has ended.
func (p *Process) Exited() bool { return p.state.Load() != nil }

// State is how the process ended, or nil while it runs.
func (p *Process) State() *os.ProcessState { return p.state.Load() }

// Signal sends SIGKILL and does not wait.
func (p *Process) Signal() { _ = p.proc.Kill() }

// Kill ends the process with SIGKILL and waits until it is gone.
func (p *Process) Kill() {
	_ = p.proc.Kill() // it may have ended already, which is as good
	<-p.done
}
