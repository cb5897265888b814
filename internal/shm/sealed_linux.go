package shm

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// NewSealed is New for memory that another process is given and must not change
// in size. With readOnly, that process can map it for reading alone, whatever
// it asks for; this process keeps its own mapping.
func NewSealed(name string, size int, readOnly bool) (*Memory, error) {
	m, err := create(name, size, unix.MFD_ALLOW_SEALING|unix.MFD_NOEXEC_SEAL)
	if err != nil {
		return nil, err
	}
	seals := unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL
	if readOnly {
		seals |= unix.F_SEAL_FUTURE_WRITE
	}
	if _, err := unix.FcntlInt(uintptr(m.fd), unix.F_ADD_SEALS, seals); err != nil {
		m.Close()
		return nil, fmt.Errorf("shm: seal %s: %w", name, err)
	}
	return m, nil
}

// Map maps memory that another process has made, from its descriptor, which it
// does not take over.
func Map(fd, size int, write bool) ([]byte, error) {
	prot := unix.PROT_READ
	if write {
		prot |= unix.PROT_WRITE
	}
	data, err := unix.Mmap(fd, 0, size, prot, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return nil, fmt.Errorf("shm: mmap descriptor %d, %d bytes: %w", fd, size, err)
	}
	return data, nil
}
