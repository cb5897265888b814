package ptrace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/seed-4e121ece/ringfence/oracle/silicon"
)

// The ways into the kernel.
const (
	bySyscall  = "0f05"
	byInt80    = "cd80"
	bySysenter = "0f34"
)

// callCase is a system call with up to six arguments, as the two conventions
// have them. The code that follows is INT3.
func callCase(t testing.TB, mode x86.Mode, way string, nr uint64, args ...uint64) oracle.Case {
	t.Helper()
	c := newCase(mode, fromHex(t, way))
	order := []int{x86.RDI, x86.RSI, x86.RDX, 10, 8, 9}
	if way != bySyscall || mode != x86.Long64 {
		order = []int{x86.RBX, x86.RCX, x86.RDX, x86.RSI, x86.RDI, x86.RBP}
	}
	c.State.GPR[x86.RAX] = nr
	if way == bySysenter {
		c.State.GPR[x86.RBP] = stack + page // where the kernel looks for the sixth argument
	}
	for i, a := range args {
		c.State.GPR[order[i]] = a
	}
	return c
}

// nothing is a number that is no descriptor, process, or address.
const nothing = 0x7ffffff0

// unseen are the calls that no filter sees since Linux 6.14 (__secure_computing
// in kernel/seccomp.c): they serve the kernel's own probes, from its own code, and
// fail elsewhere.
var unseen = map[uint64]bool{335: true, 336: true} // uretprobe, uprobe

// refused says whether the result of a way into the kernel is that the call was
// not made. What else may come: an AMD CPU has no SYSENTER in long mode, an
// Intel CPU has SYSCALL in 64-bit mode only, and a kernel may have no 32-bit
// calls.
func refused(c *oracle.Case, r *oracle.Result) bool {
	way := fmt.Sprintf("%x", c.CodeBytes())
	switch r.Ending {
	case oracle.SystemCall:
		// The kernel gives RAX back: a call that was made would have left its
		// result. INT 80h and SYSENTER take EAX.
		before, after := c.State.GPR[x86.RAX], r.State.GPR[x86.RAX]
		switch {
		case way != bySyscall:
			return uint32(after) == uint32(before)
		case c.State.Mode != x86.Long64: // SYSCALL on AMD: it may come back anywhere
			return true
		case unseen[before]:
			return after == before || int64(after) < 0 && int64(after) > -4096
		}
		return after == before
	case oracle.Ended:
		if r.Outcome != step.Exception || r.State.RIP != c.State.RIP {
			return false
		}
		switch r.Event.Vector {
		case x86.VectorUD:
			return way == bySysenter || way == bySyscall && c.State.Mode != x86.Long64
		case x86.VectorGP:
			return way == byInt80
		}
	}
	return false
}

// TestEscape tries every way out of a child, as an unprivileged user in
// namespaces of its own, so that a call that got through would do no harm.
func TestEscape(t *testing.T) {
	inside(t, sandbox{user: true, network: true, process: true, shareNothing: true}, func(t *testing.T) {
		t.Run("engine=silicon", func(t *testing.T) { escape(t, newRunner(t, silicon.WithoutQuarantine())) })
		t.Run("engine=ptrace", func(t *testing.T) { escape(t, newExecutor(t)) })
		t.Run("engine=ptrace/filter=off", escapeUnfiltered)
	})
}

// escape makes every call by number, then those that would matter.
func escape(t *testing.T, e engine) {
	var cases []oracle.Case
	numbers := []uint64{1<<31 - 1, 1 << 31, 1<<32 - 1, 1 << 32, ^uint64(0)}
	for nr := range uint64(600) {
		numbers = append(numbers, nr)
		if nr%8 == 1 || nr >= 512 && nr < 550 {
			numbers = append(numbers, 1<<30|nr) // the x32 numbers
		}
	}
	for _, mode := range []x86.Mode{x86.Long64, x86.Compat32} {
		for _, nr := range numbers {
			for _, way := range []string{bySyscall, byInt80, bySysenter} {
				if mode == x86.Long64 || nr>>32 == 0 {
					cases = append(cases, callCase(t, mode, way, nr, nothing))
				}
			}
		}
	}
	made := 0
	ways := map[string]int{}
	for i, r := range run(t, e, cases) {
		key := fmt.Sprintf("%x %v %v", cases[i].CodeBytes(), cases[i].State.Mode, r.Ending)
		if r.Ending == oracle.Ended {
			key += " " + x86.VectorName(r.Event.Vector)
		}
		ways[key]++
		if !refused(&cases[i], &r) {
			made++
			assert.LessOrEqual(t, made, 10)
			if made <= 10 {
				t.Errorf("% x with number %#x: %s", cases[i].CodeBytes(), cases[i].State.GPR[x86.RAX], describe(&r))
			}
		}
	}
	t.Logf("%d calls, %d made; endings by way: %v", len(cases), made, ways)

	tries := attempts(t)
	for _, a := range tries.list {
		r := one(t, e, &a.call)
		assert.True(t, refused(&a.call, r), "%s: %s", a.name, describe(r))
	}
	assert.Empty(t, tries.done(), "what was achieved")
	assert.Zero(t, e.Respawns())
	after := newCase(x86.Long64, fromHex(t, "4801d8"))
	after.State.GPR[x86.RAX], after.State.GPR[x86.RBX] = 40, 2
	assert.Equal(t, uint64(42), one(t, e, &after).State.GPR[x86.RAX])
}

// escapeUnfiltered: without the filter the harmless ones of the same attempts
// succeed, so that the test above can fail.
func escapeUnfiltered(t *testing.T) {
	e := newExecutor(t, unfiltered)
	for _, way := range []string{bySyscall, byInt80, bySysenter} {
		nr := uint64(unix.SYS_GETPID)
		if way != bySyscall {
			nr = 20 // getpid of the 32-bit table
		}
		pid := callCase(t, x86.Long64, way, nr)
		r := one(t, e, &pid)
		if way != bySyscall && r.Ending == oracle.Ended {
			t.Logf("%s: %v: this CPU or kernel has no such call", way, r.Event)
			continue
		}
		assert.Equal(t, uint64(e.Pid()), r.State.GPR[x86.RAX], "%s: %s", way, describe(r))
		assert.False(t, refused(&pid, r), way)
	}

	tries := attempts(t)
	for _, a := range tries.list {
		if a.harmless {
			r := one(t, e, &a.call)
			assert.False(t, refused(&a.call, r), "%s: %s", a.name, describe(r))
			if a.name == "socketpair" {
				assert.Zero(t, r.State.GPR[x86.RAX], describe(r))
			}
		}
	}
	assert.Equal(t, []string{"a file was made", "the parent got a signal"}, tries.done())
}

// attempt is a call that would matter.
type attempt struct {
	name     string
	harmless bool // may be made by a child that is not filtered
	call     oracle.Case
}

type attemptList struct {
	list    []attempt
	path    string
	signals chan os.Signal
}

const pathAt = middle - 256 // where the default layout's first window begins

// attempts are opens, sockets, signals to the parent, processes and mappings.
func attempts(t *testing.T) *attemptList {
	l := &attemptList{path: filepath.Join(t.TempDir(), "made-by-the-child"), signals: make(chan os.Signal, 8)}
	signal.Notify(l.signals, syscall.SIGUSR2)
	t.Cleanup(func() { signal.Stop(l.signals) })
	parent := uint64(os.Getpid())
	const create, mode = unix.O_CREAT | unix.O_RDWR, 0o600
	cwd := uint64(1<<64 - 100) // AT_FDCWD
	add := func(name string, harmless bool, nr uint64, args ...uint64) {
		l.list = append(l.list, attempt{name, harmless, l.withPath(callCase(t, x86.Long64, bySyscall, nr, args...))})
	}
	add("open", true, unix.SYS_OPENAT, cwd, pathAt, create, mode)
	add("open, old", false, unix.SYS_OPEN, pathAt, create, mode)
	add("socket", true, unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_DGRAM, 0)
	add("socketpair", true, unix.SYS_SOCKETPAIR, unix.AF_UNIX, unix.SOCK_STREAM, 0, pathAt+128)
	add("kill", true, unix.SYS_KILL, parent, uint64(unix.SIGUSR2))
	add("tgkill", false, unix.SYS_TGKILL, parent, parent, uint64(unix.SIGUSR2))
	add("fork", false, unix.SYS_FORK)
	add("clone", false, unix.SYS_CLONE, uint64(unix.SIGCHLD))
	add("execve", false, unix.SYS_EXECVE, pathAt, 0, 0)
	add("mmap", false, unix.SYS_MMAP, 0, page, 7, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS, nothing)
	add("mprotect", false, unix.SYS_MPROTECT, code, page, 7)
	add("prctl", false, unix.SYS_PRCTL, unix.PR_SET_SECCOMP, 0)
	add("ptrace", false, unix.SYS_PTRACE, 16, parent)
	add("memfd_create", false, unix.SYS_MEMFD_CREATE, pathAt, 0)
	add("io_uring_setup", false, unix.SYS_IO_URING_SETUP, 1, pathAt)
	add("futex", false, unix.SYS_FUTEX, data, 1, 1)
	add("rt_sigreturn", false, unix.SYS_RT_SIGRETURN)
	add("exit_group", false, unix.SYS_EXIT_GROUP, 0)
	// The 32-bit numbers: open, kill, socketcall(socketpair), mmap2, exit.
	for _, c := range []oracle.Case{
		callCase(t, x86.Long64, byInt80, 5, pathAt, create, mode),
		callCase(t, x86.Long64, byInt80, 37, parent, uint64(unix.SIGUSR2)),
		callCase(t, x86.Long64, byInt80, 102, 8, pathAt+128),
		callCase(t, x86.Long64, byInt80, 192, 0, page, 7, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS, nothing),
		callCase(t, x86.Long64, byInt80, 1, 0),
	} {
		l.list = append(l.list, attempt{fmt.Sprintf("int 80h, %d", c.State.GPR[x86.RAX]), false, l.withPath(c)})
	}
	return l
}

// withPath puts the name of the file into the first window, and the arguments of
// a socketcall behind it.
func (l *attemptList) withPath(c oracle.Case) oracle.Case {
	copy(c.Memory[:127], l.path)
	for i, v := range []uint32{unix.AF_UNIX, unix.SOCK_STREAM, 0, pathAt + 160} {
		binary.LittleEndian.PutUint32(c.Memory[128+4*i:], v)
	}
	return c
}

// done lists what the attempts have achieved.
func (l *attemptList) done() []string {
	var list []string
	if _, err := os.Stat(l.path); !errors.Is(err, fs.ErrNotExist) {
		list = append(list, "a file was made")
	}
	select {
	case <-l.signals:
		list = append(list, "the parent got a signal")
	case <-time.After(50 * time.Millisecond):
	}
	return list
}

// TestNothingLeaks: closing an executor gives everything back.
func TestNothingLeaks(t *testing.T) {
	count := func() int {
		fds, err := os.ReadDir("/proc/self/fd")
		require.NoError(t, err)
		return len(fds)
	}
	require.NoError(t, newExecutor(t).Close()) // what is opened once for all
	before := count()
	for range 10 {
		e := newExecutor(t)
		pid := e.Pid()
		require.NoError(t, e.Close())
		require.NoError(t, e.Close())
		_, err := os.Stat(fmt.Sprintf("/proc/%d", pid))
		assert.ErrorIs(t, err, os.ErrNotExist)
		assert.Error(t, e.Run(nil, nil))
	}
	assert.Equal(t, before, count())
}
