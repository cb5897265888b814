//go:build !linux

package shm

import (
	"errors"
	"sync/atomic"
	"time"
	"unsafe"
)

// ErrUnsupported is returned where the system has no memfd and no futex.
var ErrUnsupported = errors.New("shm: shared memory between processes needs Linux (memfd_create, futex)")

// Memory does not exist on this system.
type Memory struct{}

// New reports ErrUnsupported.
func New(string, int) (*Memory, error) { return nil, ErrUnsupported }

// FD is -1.
func (m *Memory) FD() int { return -1 }

// Bytes is empty.
func (m *Memory) Bytes() []byte { return nil }

// At is nil.
func (m *Memory) At(uintptr) unsafe.Pointer { return nil }

// Close does nothing.
func (m *Memory) Close() error { return nil }

// Wait reports ErrUnsupported.
func Wait(*atomic.Uint32, uint32, time.Duration) error { return ErrUnsupported }

// Wake reports ErrUnsupported.
func Wake(*atomic.Uint32, int) error { return ErrUnsupported }
