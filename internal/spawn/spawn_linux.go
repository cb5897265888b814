package spawn

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Image is an executable file in memory.
type Image struct {
	file *os.File
}

// fdFloor keeps the image's descriptor above those that a child is given, which
// are numbered from 0 and would otherwise replace it before the exec.
const fdFloor = 100

// NewImage makes an executable file in memory from the bytes of an ELF file.
func NewImage(name string, elf []byte) (*Image, error) {
	low, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_EXEC)
	if err == unix.EINVAL { // before Linux 6.3 there is no MFD_EXEC, and every memfd is executable
		low, err = unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	}
	if err != nil {
		return nil, fmt.Errorf("spawn: memfd_create %s (executable): %w", name, err)
	}
	i, err := lift(name, low)
	if err != nil {
		return nil, err
	}
	if n, err := i.file.WriteAt(elf, 0); err != nil {
		i.file.Close()
		return nil, fmt.Errorf("spawn: write image %s: wrote %d of %d bytes: %w", name, n, len(elf), err)
	}
	return i, nil
}

// lift moves the descriptor of an image out of the way of those of a child.
func lift(name string, low int) (*Image, error) {
	fd, err := unix.FcntlInt(uintptr(low), unix.F_DUPFD_CLOEXEC, fdFloor)
	unix.Close(low)
	if err != nil {
		return nil, fmt.Errorf("spawn: duplicate descriptor of %s above %d: %w", name, fdFloor, err)
	}
	return &Image{file: os.NewFile(uintptr(fd), name)}, nil
}

// OpenImage opens the executable file of that path. What is started from the
// image is that file, whatever the path means later.
func OpenImage(path string) (*Image, error) {
	low, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("spawn: open %s: %w", path, err)
	}
	return lift(path, low)
}

// Close gives the memory back. Processes already started from it go on.
func (i *Image) Close() error { return i.file.Close() }

// Start runs the image with argv[0] = name, no environment, and files as
// descriptors 0, 1, 2 … (nil: closed). onExit, if not nil, is called once from
// another goroutine when the process has ended, before Done is closed.
func (i *Image) Start(name string, files []*os.File, onExit func()) (*Process, error) {
	return i.StartWith([]string{name}, &os.ProcAttr{Dir: "/", Env: []string{}, Files: files}, onExit)
}

// StartWith runs the image as Start runs a path.
func (i *Image) StartWith(argv []string, attr *os.ProcAttr, onExit func()) (*Process, error) {
	return Start(fmt.Sprintf("/proc/self/fd/%d", i.file.Fd()), argv, attr, onExit)
}

type request struct {
	path  string
	argv  []string
	attr  *os.ProcAttr
	reply chan reply
}

type reply struct {
	proc *os.Process
	err  error
}

var (
	requests  = make(chan request)
	startOnce sync.Once
)

// spawner starts every child from one thread that never ends: PR_SET_PDEATHSIG
// fires when the thread that forked ends, not the process (prctl(2)).
func spawner() {
	runtime.LockOSThread()
	for r := range requests {
		proc, err := os.StartProcess(r.path, r.argv, r.attr)
		r.reply <- reply{proc, err}
	}
}

// Start runs path with SIGKILL as its parent-death signal. attr.Sys may be set;
// its Pdeathsig is overwritten. onExit is as for Image.Start.
func Start(path string, argv []string, attr *os.ProcAttr, onExit func()) (*Process, error) {
	startOnce.Do(func() { go spawner() })
	a := *attr
	sys := syscall.SysProcAttr{}
	if a.Sys != nil {
		sys = *a.Sys
	}
	sys.Pdeathsig = syscall.SIGKILL
	a.Sys = &sys
	r := request{path: path, argv: argv, attr: &a, reply: make(chan reply, 1)}
	requests <- r
	got := <-r.reply
	if got.err != nil {
		return nil, fmt.Errorf("spawn: start %s: %w", argv[0], got.err)
	}
	p := &Process{proc: got.proc, done: make(chan struct{})}
	go func() {
		state, err := p.proc.Wait()
		if err != nil {
			state = &os.ProcessState{}
		}
		p.state.Store(state)
		if onExit != nil {
			onExit()
		}
		close(p.done)
	}()
	return p, nil
}

// Affinity is the list of CPUs on which the calling thread may run.
func Affinity() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("spawn: sched_getaffinity: %w", err)
	}
	var cpus []int
	for c := range len(set) * 64 {
		if set.IsSet(c) {
			cpus = append(cpus, c)
		}
	}
	return cpus, nil
}

// CurrentCPU is the CPU on which the calling thread is at the moment.
func CurrentCPU() (int, error) {
	var cpu uint32
	if _, _, errno := unix.RawSyscall(unix.SYS_GETCPU, uintptr(unsafe.Pointer(&cpu)), 0, 0); errno != 0 {
		return 0, fmt.Errorf("spawn: getcpu: %w", errno)
	}
	return int(cpu), nil
}

// Pin keeps a process, or the calling thread if pid is 0, on one CPU.
func Pin(pid, cpu int) error {
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(pid, &set); err != nil {
		return fmt.Errorf("spawn: sched_setaffinity of %d to CPU %d: %w", pid, cpu, err)
	}
	return nil
}
