package transport

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/seed-4e121ece/ringfence/emulator/depriv/wire"
	"github.com/seed-4e121ece/ringfence/internal/shm"
)

// Shared memory: two files, each a page of words and then a slot a message.
//
//	requests  offset 0    the number of the batch that was handed over (futex)
//	          offset 64   1 while the caller sleeps
//	          offset 128  how many requests the batch has
//	replies   offset 0    the number of the batch that was answered (futex)
//	          offset 64   1 while the worker sleeps
//
// The worker maps the requests read-only, by a seal. What it writes into the
// replies is read once and never believed: a word that it sets to something else
// costs it its life at the latest when the time for an answer is over.
const (
	offBatch    = 0
	offSleeping = 64
	offCount    = 128
	slots       = shm.PageSize
	// stride is an odd number of cache lines, so that the slots of a batch do
	// not fall on the same sets of the cache.
	stride = (wire.BufferSize/64 | 1) * 64
	// sliceTime is how long a sleeper goes without looking around.
	sliceTime = 100 * time.Millisecond
)

func ringSize(batch int) int { return slots + batch*stride }

func word(data []byte, offset int) *atomic.Uint32 {
	return (*atomic.Uint32)(unsafe.Pointer(&data[offset]))
}

// ring is the near end.
type ring struct {
	requests, replies *shm.Memory
	out, in           []byte
	handed, callerSleeps,
	count, answered, workerSleeps *atomic.Uint32
	batch  uint32
	spins  int
	dead   atomic.Bool
	events *events // nil with a futex
}

// newRing makes the memory and returns the descriptors of the far end.
func newRing(batch, spins int, eventfd bool) (*ring, []*os.File, error) {
	r := &ring{spins: spins}
	var err error
	if r.requests, err = shm.NewSealed("depriv-requests", ringSize(batch), true); err != nil {
		return nil, nil, err
	}
	if r.replies, err = shm.NewSealed("depriv-replies", ringSize(batch), false); err != nil {
		r.Close()
		return nil, nil, err
	}
	r.out, r.in = r.requests.Bytes(), r.replies.Bytes()
	r.handed, r.callerSleeps, r.count = word(r.out, offBatch), word(r.out, offSleeping), word(r.out, offCount)
	r.answered, r.workerSleeps = word(r.in, offBatch), word(r.in, offSleeping)
	var files []*os.File
	for _, m := range []*shm.Memory{r.requests, r.replies} {
		f, err := duplicate(m.FD())
		if err != nil {
			closeAll(files)
			r.Close()
			return nil, nil, err
		}
		files = append(files, f)
	}
	if eventfd {
		var more []*os.File
		if r.events, more, err = newEvents(); err != nil {
			closeAll(files)
			r.Close()
			return nil, nil, err
		}
		files = append(files, more...)
	}
	return r, files, nil
}

// duplicate makes an os.File of a descriptor, which takes over one of its own.
func duplicate(fd int) (*os.File, error) {
	n, err := syscall.Dup(fd)
	if err != nil {
		return nil, fmt.Errorf("transport: dup: %w", err)
	}
	syscall.CloseOnExec(n)
	return os.NewFile(uintptr(n), "depriv"), nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

func (r *ring) Request(i int) []byte {
	return r.out[slots+i*stride : slots+i*stride+wire.BufferSize]
}

func (r *ring) Exchange(n int) error {
	r.batch++
	r.count.Store(uint32(n))
	r.handed.Store(r.batch)
	if r.events != nil {
		return r.exchangeEvents()
	}
	if r.workerSleeps.Load() != 0 {
		if err := shm.Wake(r.handed, 1); err != nil {
			return err
		}
	}
	if r.spins > 0 {
		shm.Spin(r.answered, r.batch-1, r.spins)
	}
	for {
		seen := r.answered.Load()
		if seen == r.batch {
			return nil
		}
		if r.dead.Load() {
			return ErrDied
		}
		r.callerSleeps.Store(1)
		err := shm.Wait(r.answered, seen, sliceTime)
		r.callerSleeps.Store(0)
		if err != nil {
			return err
		}
	}
}

func (r *ring) Reply(i int, b []byte) (int, error) {
	at := slots + i*stride
	n, err := length(word(r.in, at).Load())
	if err != nil {
		return 0, err
	}
	return copy(b, r.in[at:at+n]), nil
}

func (r *ring) Died() {
	r.dead.Store(true)
	if r.events != nil {
		r.events.wake()
		return
	}
	_ = shm.Wake(r.answered, 1) // or the caller finds out a slice later
}

func (r *ring) Close() error {
	err := r.requests.Close()
	if cerr := r.replies.Close(); err == nil {
		err = cerr
	}
	r.events.close()
	return err
}

// ringServer is the far end.
type ringServer struct {
	in, out []byte
	handed, callerSleeps,
	count, answered, workerSleeps *atomic.Uint32
	batch  uint32
	spins  int
	events *events
}

// serveRing maps what newRing has made.
func serveRing(fds []int, batch, spins int, eventfd bool) (*ringServer, error) {
	s := &ringServer{spins: spins}
	var err error
	if s.in, err = shm.Map(fds[0], ringSize(batch), false); err != nil {
		return nil, err
	}
	if s.out, err = shm.Map(fds[1], ringSize(batch), true); err != nil {
		return nil, err
	}
	s.handed, s.callerSleeps, s.count = word(s.in, offBatch), word(s.in, offSleeping), word(s.in, offCount)
	s.answered, s.workerSleeps = word(s.out, offBatch), word(s.out, offSleeping)
	if eventfd {
		s.events = &events{read: fds[2], write: fds[3]}
	}
	return s, nil
}

func (s *ringServer) Next() (int, error) {
	for {
		now := s.handed.Load()
		if now != s.batch {
			s.batch = now
			return int(s.count.Load()), nil
		}
		if s.events != nil {
			if err := s.events.wait(); err != nil {
				return 0, err
			}
			continue
		}
		if s.spins > 0 && shm.Spin(s.handed, now, s.spins) {
			continue
		}
		s.workerSleeps.Store(1)
		err := shm.Wait(s.handed, now, time.Second)
		s.workerSleeps.Store(0)
		if err != nil {
			return 0, err
		}
	}
}

func (s *ringServer) Request(i int) []byte {
	return s.in[slots+i*stride : slots+i*stride+wire.BufferSize]
}

func (s *ringServer) Reply(i int) []byte {
	return s.out[slots+i*stride : slots+i*stride+wire.BufferSize]
}

func (s *ringServer) Done(int) error {
	s.answered.Store(s.batch)
	if s.events != nil {
		return s.events.signal()
	}
	if s.callerSleeps.Load() != 0 {
		return shm.Wake(s.answered, 1)
	}
	return nil
}

// events is a pair of eventfds, one each way.
type events struct {
	read, write int
	buf         [8]byte
}

func newEvents() (*events, []*os.File, error) {
	var fds [2]int
	for i := range fds {
		fd, _, errno := syscall.RawSyscall(syscall.SYS_EVENTFD2, 0, syscall.O_CLOEXEC, 0)
		if errno != 0 {
			return nil, nil, fmt.Errorf("transport: eventfd: %w", errno)
		}
		fds[i] = int(fd)
	}
	e := &events{read: fds[1], write: fds[0]}
	var files []*os.File
	for _, fd := range fds { // the far end reads what this one writes
		f, err := duplicate(fd)
		if err != nil {
			closeAll(files)
			e.close()
			return nil, nil, err
		}
		files = append(files, f)
	}
	return e, files, nil
}

func (e *events) signal() error {
	binary.NativeEndian.PutUint64(e.buf[:], 1)
	if _, err := syscall.Write(e.write, e.buf[:]); err != nil {
		return fmt.Errorf("transport: write to eventfd: %w", err)
	}
	return nil
}

func (e *events) wait() error {
	_, err := syscall.Read(e.read, e.buf[:])
	if err != nil && err != syscall.EINTR {
		return fmt.Errorf("transport: read from eventfd: %w", err)
	}
	return nil
}

// wake makes a wait on this end return.
func (e *events) wake() {
	one := [8]byte{1}
	_, _ = syscall.Write(e.read, one[:]) // it fails only if there is something to read already
}

func (e *events) close() {
	if e != nil {
		syscall.Close(e.read)
		syscall.Close(e.write)
	}
}

func (r *ring) exchangeEvents() error {
	if err := r.events.signal(); err != nil {
		return err
	}
	for r.answered.Load() != r.batch {
		if r.dead.Load() {
			return ErrDied
		}
		if err := r.events.wait(); err != nil {
			return err
		}
	}
	return nil
}
