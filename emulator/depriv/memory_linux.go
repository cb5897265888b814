package depriv

import (
	"fmt"
	"os"
	"syscall"

	"github.com/seed-4e121ece/ringfence/internal/shm"
)

// shared is memory that a worker can map.
type shared struct{ *shm.Memory }

func share(size int, write bool) ([]byte, *shared, error) {
	m, err := shm.NewSealed("depriv-window", size, !write)
	if err != nil {
		return nil, nil, err
	}
	return m.Bytes(), &shared{m}, nil
}

func (s *shared) close() error { return s.Close() }

// file is a descriptor of the memory for a worker, which the caller closes.
func (m *Memory) file() (*os.File, error) {
	n, err := syscall.Dup(m.shared.FD())
	if err != nil {
		return nil, fmt.Errorf("dup: %w", err)
	}
	syscall.CloseOnExec(n)
	return os.NewFile(uintptr(n), "depriv-window"), nil
}
