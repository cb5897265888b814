package transport

import (
	"fmt"
	"os"
	"syscall"
)

// Open makes the near end of a transport to another process, for batches of up
// to so many requests, and the descriptors that the far end needs, which the
// caller closes. spins is how often Spin looks before it sleeps.
func Open(k Kind, batch, spins int) (Caller, []*os.File, error) {
	if batch < 1 || batch > MaxBatch {
		return nil, nil, fmt.Errorf("transport: batches of %d: want 1 to %d", batch, MaxBatch)
	}
	switch k {
	case Spin:
		return opened(newRing(batch, spins, false))
	case Futex:
		return opened(newRing(batch, 0, false))
	case Eventfd:
		return opened(newRing(batch, 0, true))
	case Pipe:
		return newPipes(batch)
	case Stream:
		return newSocket(batch, syscall.SOCK_STREAM)
	case Seqpacket:
		return newSocket(batch, syscall.SOCK_SEQPACKET)
	}
	return nil, nil, fmt.Errorf("transport: %v leads to no other process", k)
}

func opened(r *ring, files []*os.File, err error) (Caller, []*os.File, error) {
	if err != nil {
		return nil, nil, err
	}
	return r, files, nil
}

// Accept makes the far end from the descriptors that Open returned.
func Accept(k Kind, fds []int, batch, spins int) (Server, error) {
	want := map[Kind]int{Spin: 2, Futex: 2, Eventfd: 4, Pipe: 2, Stream: 1, Seqpacket: 1}[k]
	if want == 0 || len(fds) != want || batch < 1 || batch > MaxBatch {
		return nil, fmt.Errorf("transport: %v with %d descriptors, batches of %d: want %d descriptors", k, len(fds), batch, want)
	}
	switch k {
	case Spin:
		return serveRing(fds, batch, spins, false)
	case Futex:
		return serveRing(fds, batch, 0, false)
	case Eventfd:
		return serveRing(fds, batch, 0, true)
	case Pipe:
		return framesServer{newFrames(fds[0], fds[1], batch)}, nil
	}
	return framesServer{newFrames(fds[0], fds[0], batch)}, nil
}
