package shm

import (
	"fmt"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Memory is an anonymous file in memory (memfd) that this process has mapped
// read-write. The file is what another process maps to share it.
type Memory struct {
	fd   int
	data []byte
}

// New creates a memfd of size bytes, rounded up to whole pages, zeroed, and
// maps it. The name only shows in /proc. The descriptor closes on exec.
func New(name string, size int) (*Memory, error) { return create(name, size, 0) }

func create(name string, size, flags int) (*Memory, error) {
	size = (size + PageSize - 1) &^ (PageSize - 1)
	if size <= 0 {
		return nil, fmt.Errorf("shm: %s: size is %d bytes, expected more than 0", name, size)
	}
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|flags)
	if err == unix.EINVAL && flags&unix.MFD_NOEXEC_SEAL != 0 { // before Linux 6.3
		fd, err = unix.MemfdCreate(name, unix.MFD_CLOEXEC|flags&^unix.MFD_NOEXEC_SEAL)
	}
	if err != nil {
		return nil, fmt.Errorf("shm: memfd_create %s: %w", name, err)
	}
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("shm: ftruncate %s to %d bytes: %w", name, size, err)
	}
	data, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("shm: mmap %s, %d bytes: %w", name, size, err)
	}
	return &Memory{fd: fd, data: data}, nil
}

// FD is the descriptor of the file; Close closes it.
func (m *Memory) FD() int { return m.fd }

// Bytes is the mapping. It must not be used after Close.
func (m *Memory) Bytes() []byte { return m.data }

// At is the address of the byte at offset; the caller keeps to the mapping.
func (m *Memory) At(offset uintptr) unsafe.Pointer {
	return unsafe.Pointer(&m.data[offset])
}

// Close unmaps the memory and closes the file. A second Close does nothing.
func (m *Memory) Close() error {
	if m == nil || m.data == nil {
		return nil
	}
	err := unix.Munmap(m.data)
	m.data = nil
	if cerr := unix.Close(m.fd); err == nil {
		err = cerr
	}
	m.fd = -1
	if err != nil {
		return fmt.Errorf("shm: close: %w", err)
	}
	return nil
}

const (
	futexWait = 0 // FUTEX_WAIT, not the PRIVATE form: the word is shared between processes
	futexWake = 1 // FUTEX_WAKE
)

// Wait sleeps while *word equals value, until it is woken or the timeout has
// passed; it also returns early on a signal. The caller looks at the word again.
func Wait(word *atomic.Uint32, value uint32, timeout time.Duration) error {
	ts := unix.NsecToTimespec(int64(timeout))
	_, _, errno := unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexWait,
		uintptr(value), uintptr(unsafe.Pointer(&ts)), 0, 0)
	switch errno {
	case 0, unix.EAGAIN, unix.EINTR, unix.ETIMEDOUT:
		return nil
	}
	return fmt.Errorf("shm: futex wait: %w", errno)
}

// Wake wakes up to n sleepers on word, in whatever process they are. It does not
// block, so it does not tell the Go scheduler.
func Wake(word *atomic.Uint32, n int) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexWake, uintptr(n), 0, 0, 0)
	if errno != 0 {
		return fmt.Errorf("shm: futex wake: %w", errno)
	}
	return nil
}
