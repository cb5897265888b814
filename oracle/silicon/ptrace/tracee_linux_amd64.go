package ptrace

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed-4e121ece/ringfence/internal/shm"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// tracee is a stopped child. All that is done to it is done by the one thread
// that started it, since ptrace(2) knows threads, not processes.
type tracee struct {
	pid    int
	cpu    int // on which it is pinned, or -1
	layout *oracle.Layout
	table  ldt
	memory *memory
	pages  *shm.Memory
	xstate xstate
	regs   syscall.PtraceRegs
	info   siginfo
	iov    syscall.Iovec
	// neverStep is for tests: what does not end by itself is not ended.
	neverStep bool
	// stepRepeats is for tests: every REP is stepped.
	stepRepeats bool
}

// errDead is returned when the child is gone: killed from outside, or by the
// kernel.
var errDead = errors.New("ptrace: the child has ended")

// siginfo is the start of struct siginfo_t of <asm-generic/siginfo.h>.
type siginfo struct {
	signo int32
	errno int32
	code  int32
	_     int32
	addr  uint64 // si_addr of a fault
	_     [104]byte
}

const noteXState = 0x202 // NT_X86_XSTATE of <elf.h>

// request makes a ptrace request. None of those used here blocks.
func (t *tracee) request(what, addr uintptr, data unsafe.Pointer) error {
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PTRACE, what, uintptr(t.pid), addr, uintptr(data), 0, 0)
	switch errno {
	case 0:
		return nil
	case syscall.ESRCH: // the child is no longer stopped: it was killed
		return errDead
	}
	return errno
}

func (t *tracee) getRegs() error {
	if err := t.request(unix.PTRACE_GETREGS, 0, unsafe.Pointer(&t.regs)); err != nil {
		return fmt.Errorf("ptrace: GETREGS: %w", err)
	}
	return nil
}

func (t *tracee) setRegs() error {
	t.regs.Orig_rax = ^uint64(0) // no system call to restart
	if err := t.request(unix.PTRACE_SETREGS, 0, unsafe.Pointer(&t.regs)); err != nil {
		return fmt.Errorf("ptrace: SETREGS: %w", err)
	}
	return nil
}

func (t *tracee) getSiginfo() error {
	if err := t.request(unix.PTRACE_GETSIGINFO, 0, unsafe.Pointer(&t.info)); err != nil {
		return fmt.Errorf("ptrace: GETSIGINFO: %w", err)
	}
	return nil
}

// regSet reads or writes the XSAVE image in the tracee's buffer.
func (t *tracee) regSet(what uintptr) error {
	t.iov = syscall.Iovec{Base: &t.xstate.image[0], Len: uint64(len(t.xstate.image))}
	if t.xstate.size != 0 {
		t.iov.Len = uint64(t.xstate.size)
	}
	if err := t.request(what, noteXState, unsafe.Pointer(&t.iov)); err != nil {
		return fmt.Errorf("ptrace: NT_X86_XSTATE: %w", err)
	}
	t.xstate.size = int(t.iov.Len)
	return nil
}

// wait waits for the child to stop and returns the signal.
func (t *tracee) wait() (unix.Signal, error) {
	for {
		var status syscall.WaitStatus
		_, err := syscall.Wait4(t.pid, &status, syscall.WALL, nil)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.ECHILD: // there is no such child any more
			t.pid = 0
			return 0, errDead
		case err != nil:
			return 0, fmt.Errorf("ptrace: wait4: %w", err)
		case status.Stopped():
			return status.StopSignal(), nil
		}
		t.pid = 0 // it has been waited for
		return 0, errDead
	}
}

// stopTicks is how many ticks of its clock a child may see in one case. One tick
// may come at any time.
const stopTicks = 3

// resume lets the child go on (unix.PTRACE_SINGLESTEP or unix.PTRACE_CONT) until an exception or a
// refused system call stops it, and says which signal the kernel made of it; 0
// means that it ran away. Signals that others have sent are thrown away.
func (t *tracee) resume(how uintptr) (unix.Signal, error) {
	for ticks := 0; ticks < stopTicks; {
		if err := t.request(how, 0, nil); err != nil {
			return 0, fmt.Errorf("ptrace: resume: %w", err)
		}
		sig, err := t.wait()
		if err != nil {
			return 0, err
		}
		if err := t.getSiginfo(); err != nil {
			return 0, err
		}
		switch {
		case sig == unix.SIGPROF && t.info.code > 0:
			ticks++
		case t.info.code <= 0:
			// SI_USER, SI_TKILL, SI_QUEUE …: not the CPU's.
		case sig == unix.SIGILL, sig == unix.SIGTRAP, sig == unix.SIGBUS, sig == unix.SIGFPE, sig == unix.SIGSEGV, sig == unix.SIGSYS:
			return sig, nil
		}
	}
	return 0, nil
}

// pin moves the child to a CPU. It is no error if it is gone; that shows later.
func (t *tracee) pin(cpu int) error {
	if cpu == t.cpu {
		return nil
	}
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(t.pid, &set); err != nil && err != unix.ESRCH {
		return fmt.Errorf("ptrace: sched_setaffinity of the child to CPU %d: %w", cpu, err)
	}
	t.cpu = cpu
	return nil
}

// close ends the child and gives its memory back.
func (t *tracee) close() {
	if t.pid > 0 {
		_ = syscall.Kill(t.pid, syscall.SIGKILL)
		for {
			_, err := t.wait()
			if err != nil {
				break
			}
		}
		t.pid = 0
	}
	_ = t.pages.Close() // a mapping that cannot be undone is lost, and harms nothing
}
