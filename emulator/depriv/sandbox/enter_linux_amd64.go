package sandbox

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed-4e121ece/ringfence/internal/seccomp"
)

// spares is how many idle threads the Go runtime finds when it wants one: it
// cannot make a thread once the filter is on.
const spares = 8

// headroom is what the address space may still grow by, in bytes.
const headroom = 256 << 20

// prSetMDWE is PR_SET_MDWE of <linux/prctl.h>, with PR_MDWE_REFUSE_EXEC_GAIN.
const (
	prSetMDWE        = 65
	mdweNoExecGain   = 1
	landlockAllFiles = 1<<16 - 1 // every right on files that ABI 5 and later know
)

// Enter takes the privileges of this process away, for good. keep are the
// descriptors that stay open, calls the system calls that are allowed beside
// those that an idle Go runtime makes. The environment must say GOGC=off,
// GODEBUG=asyncpreemptoff=1,updatemaxprocs=0 and GOMAXPROCS=1: then the runtime
// needs no more than these. Nothing can be allocated afterwards, since the heap
// cannot grow: text makes what is to be said of the report beforehand, and Enter
// returns it.
func Enter(asked Mechanism, keep []int, calls []uint32, text func(Report) []byte) []byte {
	growStack(stackPages)
	var r Report
	e := entry{asked: asked, r: &r}
	_ = e.spare(spares + 2) // no thread is born later: the rest goes to these; nothing fails that is not asked
	awaitThreads()
	e.statm = openStatm() // nothing in /proc can be opened once Landlock is on
	if asked&ParentDeath != 0 {
		err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0)
		r.add(ParentDeath, err, "SIGKILL")
	}
	if asked&NoNewPrivs != 0 {
		threads, err := e.noNewPrivs()
		r.add(NoNewPrivs, err, "%s", threads)
	}
	if asked&Landlock != 0 {
		e.landlock()
	}
	if asked&(NoNewPrivs|Seccomp) == Seccomp { // which insists on it, and gives it to every thread
		_ = errno3(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0)
	}
	if err := e.spare(spares); err != nil {
		r.add(Landlock, fmt.Errorf("on a spare thread: %w", err), "")
	}
	e.size = addressSpace(e.statm) // with all that has been allocated
	for _, fd := range []int{e.ruleset, e.statm} {
		if fd > 0 {
			unix.Close(fd)
		}
	}
	if asked&Descriptors != 0 {
		r.add(Descriptors, closeOthers(keep), "%d open", len(keep))
	}
	if asked&NotDumpable != 0 {
		r.add(NotDumpable, unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0), "no core, no attaching")
	}
	if asked&DenyWriteExec != 0 {
		r.add(DenyWriteExec, unix.Prctl(prSetMDWE, mdweNoExecGain, 0, 0, 0), "no memory becomes executable")
	}
	if asked&Limits != 0 {
		e.limits()
	}
	if asked&Seccomp == 0 {
		return text(r)
	}
	return e.seccomp(calls, text)
}

// stackPages is how much stack a worker has to begin with, in KiB.
const stackPages = 64

// growStack makes the goroutine's stack as large as it will ever be: it shrinks
// in a collection only.
//
//go:noinline
func growStack(kib int) byte {
	var frame [1024]byte
	if kib > 0 {
		frame[kib&1023] = growStack(kib - 1)
	}
	return frame[kib&511]
}

// entry is an Enter in progress.
type entry struct {
	asked Mechanism
	r     *Report
	statm int
	size  uint64
	// ruleset is Landlock's, while spare threads need it; 0 is none.
	ruleset int
	// own are the calls that each thread made for itself: four words each.
	own [][4]uintptr
	// released is a futex on which the spare threads wait.
	released      atomic.Uint32
	waiting, idle atomic.Int32
	failed        atomic.Pointer[error]
}

// each makes a system call that holds for one thread alone: without cgo on
// every thread. With cgo, on this thread, which is the one that serves, and on
// the spare ones as they are made; the runtime's monitor then has the filter
// alone, which stops it from opening anything.
func (e *entry) each(call, a, b, c uintptr) (threads string, err error) {
	_, _, errno := syscall.AllThreadsSyscall(call, a, b, c)
	if errno == 0 {
		return "every thread", nil
	}
	if errno != syscall.ENOTSUP {
		return "", errno
	}
	if err := errno3(call, a, b, c); err != nil {
		return "", err
	}
	e.own = append(e.own, [4]uintptr{call, a, b, c})
	return fmt.Sprintf("the thread that serves and %d spare ones (with cgo the runtime's monitor has seccomp alone)", spares), nil
}

// noNewPrivs is what Landlock and seccomp insist on.
func (e *entry) noNewPrivs() (threads string, err error) {
	return e.each(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0)
}

// spare makes the spare threads: it has that many goroutines wait in a system
// call at once. They are not locked to their threads, since the runtime then
// would have another thread make new ones, at a time of its own.
func (e *entry) spare(count int32) error {
	e.released.Store(0)
	e.waiting.Store(0)
	e.idle.Store(0)
	for range count {
		go func() {
			for _, c := range e.own {
				if err := errno3(c[0], c[1], c[2], c[3]); err != nil {
					e.failed.Store(&err)
				}
			}
			e.waiting.Add(1)
			for e.released.Load() == 0 {
				_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&e.released)), futexWaitPrivate, 0, 0, 0, 0)
			}
			e.idle.Add(1)
		}()
	}
	for e.waiting.Load() < count {
		runtime.Gosched()
	}
	e.released.Store(1)
	_, _, _ = unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&e.released)), futexWakePrivate, uintptr(count), 0, 0, 0)
	for e.idle.Load() < count {
		runtime.Gosched()
	}
	for range 2 * count { // each turn is another thread's, which then is idle
		runtime.Gosched()
	}
	if err := e.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// Operations of futex(2) on a word of this process alone.
const (
	futexWaitPrivate = 128
	futexWakePrivate = 129
)

func errno3(call, a, b, c uintptr) error {
	if _, _, errno := unix.RawSyscall6(call, a, b, c, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// landlock forbids every file, TCP port, and signals and abstract sockets that
// lead out of the sandbox.
func (e *entry) landlock() {
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		e.r.add(Landlock, fmt.Errorf("not offered: %w", errno), "")
		return
	}
	attr := unix.LandlockRulesetAttr{Handled_access_fs: filesOf(int(abi))}
	size := uintptr(8)
	if abi >= 4 {
		attr.Handled_access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
		size = 16
	}
	if abi >= 6 {
		attr.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
		size = 24
	}
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), size, 0)
	if errno != 0 {
		e.r.add(Landlock, fmt.Errorf("create ruleset: %w", errno), "")
		return
	}
	e.ruleset = int(fd)
	if e.asked&NoNewPrivs == 0 {
		if _, err := e.noNewPrivs(); err != nil {
			e.r.add(Landlock, err, "")
			return
		}
	}
	threads, err := e.each(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0)
	e.r.add(Landlock, err, "ABI %d, %s", abi, threads)
}

// filesOf are the rights on files that a version of Landlock knows.
func filesOf(abi int) uint64 {
	bits := [...]int{1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
	if abi >= len(bits) {
		return landlockAllFiles
	}
	return 1<<bits[abi] - 1
}

// closeOthers closes all descriptors but those to keep.
func closeOthers(keep []int) error {
	from := uint(0)
	for from < 1<<31 {
		next := uint(1 << 31)
		for _, k := range keep {
			if uint(k) >= from && uint(k) < next {
				next = uint(k)
			}
		}
		if next > from {
			if err := unix.CloseRange(from, next-1, 0); err != nil {
				return fmt.Errorf("close_range %d to %d: %w", from, next-1, err)
			}
		}
		from = next + 1
	}
	return nil
}

// limits sets resource limits that no longer let anything grow.
func (e *entry) limits() {
	type limit struct {
		name     string
		resource int
		value    uint64
	}
	list := []limit{
		{"processes", unix.RLIMIT_NPROC, 0},
		{"file size", unix.RLIMIT_FSIZE, 0},
		{"core", unix.RLIMIT_CORE, 0},
		{"locked memory", unix.RLIMIT_MEMLOCK, 0},
		{"message queues", unix.RLIMIT_MSGQUEUE, 0},
		{"descriptors", unix.RLIMIT_NOFILE, 0},
	}
	if e.size > 0 {
		list = append(list, limit{"address space", unix.RLIMIT_AS, e.size + headroom})
	}
	var errs []error
	for _, l := range list {
		if err := unix.Prlimit(0, l.resource, &unix.Rlimit{Cur: l.value, Max: l.value}, nil); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", l.name, err))
		}
	}
	e.r.add(Limits, errors.Join(errs...), "no descriptor, process, file, core; %d MiB of address space", (e.size+headroom)>>20)
}

// openStatm opens what tells the size of the address space; 0 if it cannot be.
// Without package os, which would start the runtime's poller.
func openStatm() int {
	fd, err := unix.Open("/proc/self/statm", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	return fd
}

// addressSpace is the size of the address space in bytes, 0 if it cannot be
// told.
func addressSpace(statm int) uint64 {
	var b [64]byte
	n, err := unix.Read(statm, b[:])
	if statm == 0 || err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(b[:n]), " ")
	pages, err := strconv.ParseUint(first, 10, 64)
	if err != nil {
		return 0
	}
	return pages * uint64(os.Getpagesize())
}

// awaitThreads waits until the threads that the runtime started with are
// asleep, two seconds at most on a machine that is busy with other things: one
// that had not come so far would still make system calls of its start when the
// filter is on.
func awaitThreads() {
	dir, err := unix.Open("/proc/self/task", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(dir)
	// Not gettid: in a process namespace of its own a thread has another number
	// than the /proc of the one around it shows.
	var link [64]byte
	n, err := unix.Readlink("/proc/thread-self", link[:])
	if err != nil {
		return
	}
	self := string(link[strings.LastIndexByte(string(link[:n]), '/')+1 : n])
	for range 20000 {
		if asleep(dir, self) {
			return
		}
		pause := unix.Timespec{Nsec: 100e3}
		_, _, _ = unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&pause)), 0, 0)
	}
}

// asleep says whether every thread of this process but this one waits for
// something that may take long.
func asleep(dir int, self string) bool {
	var buf [1024]byte
	if _, err := unix.Seek(dir, 0, 0); err != nil {
		return true
	}
	n, err := unix.ReadDirent(dir, buf[:])
	if err != nil {
		return true
	}
	_, _, names := unix.ParseDirent(buf[:n], -1, nil)
	for _, name := range names {
		if name == self {
			continue
		}
		fd, err := unix.Openat(dir, name+"/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		var stat [256]byte
		n, err := unix.Read(fd, stat[:])
		unix.Close(fd)
		// The state follows the name, which is in parentheses.
		if _, rest, ok := strings.Cut(string(stat[:max(n, 0)]), ") "); err == nil && ok && rest[0] != 'S' {
			return false
		}
	}
	return true
}

// idle are the calls of an idle Go runtime, and of one that ends. The last two
// change nothing but the signals of a thread: one that has made another, or has
// answered a signal, a moment before the filter came on has yet to make them.
var idle = []uint32{unix.SYS_EXIT_GROUP, unix.SYS_NANOSLEEP, unix.SYS_SCHED_YIELD, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN}

// futexes allows to wait and to wake, and none of the operations that move
// waiters or hand over locks.
var futexes = seccomp.Arg{
	Call: unix.SYS_FUTEX, Argument: 1, Ignore: 0x180, // FUTEX_PRIVATE_FLAG, FUTEX_CLOCK_REALTIME
	Values: []uint32{0, 1}, // FUTEX_WAIT, FUTEX_WAKE
}

// policy is what the filter allows to a worker that needs these calls.
func policy(calls []uint32) seccomp.Policy {
	return seccomp.Policy{Calls: append(append([]uint32{}, calls...), idle...), Args: []seccomp.Arg{futexes}, Otherwise: seccomp.Kill}
}

// seccomp puts the filter on every thread.
func (e *entry) seccomp(calls []uint32, text func(Report) []byte) []byte {
	p := policy(calls)
	prog, err := p.Program()
	if err != nil {
		e.r.add(Seccomp, err, "")
		return text(*e.r)
	}
	code := seccomp.Bytes(prog)
	fprog := struct {
		length uint16
		filter *byte
	}{uint16(len(prog)), &code[0]}
	e.r.add(Seccomp, nil, "%d calls, any other ends the process", len(p.Calls)+len(p.Args))
	done := text(*e.r)
	const setModeFilter, flagTSync = 1, 1
	tid, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, setModeFilter, flagTSync, uintptr(unsafe.Pointer(&fprog)))
	runtime.KeepAlive(code)
	if errno == 0 && tid == 0 {
		return done
	}
	last := &(*e.r)[len(*e.r)-1]
	last.On, last.Detail = false, fmt.Sprintf("seccomp: %v", errno)
	if errno == 0 {
		last.Detail = fmt.Sprintf("seccomp: thread %d cannot take the filter", tid)
	}
	return text(*e.r)
}
