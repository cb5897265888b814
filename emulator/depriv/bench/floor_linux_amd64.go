package bench

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed-4e121ece/ringfence/internal/shm"
	"github.com/seed-4e121ece/ringfence/internal/spawn"
)

// systemFloor returns how a floor of the operating system is measured, or why it
// cannot be.
func systemFloor(name string) (func(time.Duration, int64, *histogram) (float64, error), string) {
	switch name {
	case FloorSyscall:
		return func(slice time.Duration, timer int64, h *histogram) (float64, error) {
			t, err := repeat(func() error {
				syscall.RawSyscall(syscall.SYS_GETPID, 0, 0, 0)
				return nil
			}, slice, 0, timer, h)
			return t.ns, err
		}, ""
	case FloorProcess:
		return measureProcess, ""
	}
	if (name == FloorLine || name == FloorPause) && len(cpus()) < 2 {
		return nil, "it needs two CPUs"
	}
	return func(slice time.Duration, timer int64, h *histogram) (float64, error) {
		return measurePeer(name, slice, timer, h)
	}, ""
}

// peerName is argv[0] of the process at the other end of a floor: the same
// executable, run again.
const peerName = "ringfence-bench-peer"

// The descriptors of a peer, and the words of the memory that it shares.
const (
	fdMemory   = 3
	fdRead     = 4
	fdWrite    = 5
	offAsk     = 0
	offReply   = 256
	peerMemory = shm.PageSize
	// patience is how long either end waits for the other.
	patience = 5 * time.Second
)

// The operations of futex(2), for a word that processes share.
const (
	futexWait = 0
	futexWake = 1
)

var errPeer = errors.New("bench: the process at the other end of a floor does not answer")

func init() {
	if len(os.Args) == 2 && os.Args[0] == peerName {
		servePeer(os.Args[1])
		os.Exit(0)
	}
}

func sharedWord(b []byte, at int) *atomic.Uint32 { return (*atomic.Uint32)(unsafe.Pointer(&b[at])) }

// servePeer answers each number with the same, as the floor's name says, until
// nothing comes for a while.
func servePeer(name string) {
	b, err := shm.Map(fdMemory, peerMemory, true)
	if err != nil {
		os.Exit(1)
	}
	ask, reply := sharedWord(b, offAsk), sharedWord(b, offReply)
	var buf [8]byte
	for seen := uint32(0); ; {
		switch name {
		case FloorPipe:
			if n, err := syscall.Read(fdRead, buf[:]); n != len(buf) || err != nil {
				return
			}
			if _, err := syscall.Write(fdWrite, buf[:]); err != nil {
				return
			}
			continue
		case FloorSwitches, FloorProcess:
			if !await(ask, seen) {
				return
			}
			seen = ask.Load()
			reply.Store(seen)
			rawFutex(reply, futexWake, 1, nil)
		default:
			if !look(ask, seen, name == FloorPause) {
				return
			}
			seen = ask.Load()
			reply.Store(seen)
		}
	}
}

func rawFutex(word *atomic.Uint32, op int, value uint32, timeout *unix.Timespec) {
	unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), uintptr(op), uintptr(value), uintptr(unsafe.Pointer(timeout)), 0, 0)
}

// await sleeps until a word is no longer old, and says whether that came.
func await(word *atomic.Uint32, old uint32) bool {
	for range 2 {
		if word.Load() != old {
			return true
		}
		slice := unix.NsecToTimespec(int64(patience))
		rawFutex(word, futexWait, old, &slice)
	}
	return word.Load() != old
}

// look looks at a word until it is no longer old, and says whether that came.
func look(word *atomic.Uint32, old uint32, pause bool) bool {
	const looks = 1 << 20
	for begin := clock(); clock()-begin < int64(patience); {
		if pause {
			if shm.Spin(word, old, looks/64) {
				return true
			}
			continue
		}
		for range looks {
			if word.Load() != old {
				return true
			}
		}
	}
	return false
}

// peer is a process at the other end of a floor.
type peer struct {
	proc        *spawn.Process
	memory      *shm.Memory
	ask, reply  *atomic.Uint32
	read, write *os.File
	turn        uint32
	buf         [8]byte
}

// startPeer starts a peer.
func startPeer(name string) (_ *peer, err error) {
	p := &peer{}
	defer func() {
		if err != nil {
			p.close()
			err = fmt.Errorf("bench: floor %s: %w", name, err)
		}
	}()
	if p.memory, err = shm.New("bench-floor", peerMemory); err != nil {
		return nil, err
	}
	p.ask, p.reply = sharedWord(p.memory.Bytes(), offAsk), sharedWord(p.memory.Bytes(), offReply)
	theirs, ours, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.write = ours
	defer theirs.Close()
	back, end, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.read = back
	defer end.Close()
	self, err := spawn.OpenImage("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	defer self.Close()
	fd, err := unix.FcntlInt(uintptr(p.memory.FD()), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	memory := os.NewFile(uintptr(fd), "memory")
	defer memory.Close()
	attr := &os.ProcAttr{
		Dir: "/", Env: []string{"GOGC=off", "GODEBUG=asyncpreemptoff=1", "GOMAXPROCS=1"},
		Files: []*os.File{nil, nil, nil, memory, theirs, end},
	}
	p.proc, err = self.StartWith([]string{peerName, name}, attr, nil)
	return p, err
}

func (p *peer) close() {
	if p.proc != nil {
		p.proc.Kill()
	}
	for _, f := range []*os.File{p.read, p.write} {
		if f != nil {
			f.Close()
		}
	}
	p.memory.Close()
}

// trip sends a number there and back.
func (p *peer) trip(name string) error {
	p.turn++
	ok := true
	switch name {
	case FloorPipe:
		binary.NativeEndian.PutUint64(p.buf[:], uint64(p.turn))
		n, err := syscall.Write(int(p.write.Fd()), p.buf[:])
		if err == nil && n == len(p.buf) {
			n, err = syscall.Read(int(p.read.Fd()), p.buf[:])
		}
		ok = err == nil && n == len(p.buf)
	case FloorSwitches, FloorProcess:
		p.ask.Store(p.turn)
		rawFutex(p.ask, futexWake, 1, nil)
		ok = await(p.reply, p.turn-1)
	default:
		p.ask.Store(p.turn)
		ok = look(p.reply, p.turn-1, name == FloorPause)
	}
	if !ok {
		return errPeer
	}
	return nil
}

// measurePeer measures trips to a process, on the caller's CPU or on another.
func measurePeer(name string, slice time.Duration, timer int64, h *histogram) (float64, error) {
	p, err := startPeer(name)
	if err != nil {
		return 0, err
	}
	defer p.close()
	here, err := spawn.CurrentCPU()
	if err != nil {
		return 0, err
	}
	there := here
	if name == FloorLine || name == FloorPause {
		for _, c := range cpus() {
			if c != here {
				there = c
			}
		}
	}
	defer stay(here)()
	if err := spawn.Pin(p.proc.Pid(), there); err != nil {
		return 0, err
	}
	t, err := repeat(func() error { return p.trip(name) }, slice, 0, timer, h)
	return t.ns, err
}

// measureProcess starts processes and waits until each has answered.
func measureProcess(slice time.Duration, _ int64, h *histogram) (float64, error) {
	var all []float64
	for begin := clock(); len(all) < 1 || clock()-begin < int64(slice); {
		a := clock()
		p, err := startPeer(FloorProcess)
		if err != nil {
			return 0, err
		}
		err = p.trip(FloorProcess)
		ns := clock() - a
		p.close()
		if err != nil {
			return 0, err
		}
		h.add(ns)
		all = append(all, float64(ns))
	}
	return median(all), nil
}
