package transport

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"

	"github.com/seed-4e121ece/ringfence/emulator/depriv/wire"
)

// Descriptors that are read and written: a frame a batch, which is its head and
// then the messages, each padded to eight bytes.
//
//	offset 0  the number of messages
//	offset 4  the length of the frame in bytes, head included
const (
	frameHead = 8
	// chunk is how much is written at once: a packet of a seqpacket socket.
	chunk = 64 << 10
)

func frameSize(batch int) int { return frameHead + batch*(wire.BufferSize+8) }

// frames is one end of a pair of descriptors.
type frames struct {
	read, write int
	batch       int
	in, out     []byte
	place       []int // where each message of the frame that came starts
	lengths     []int
	mine        []wire.Buffer // what this end writes
	dead        atomic.Bool
}

func newFrames(read, write, batch int) *frames {
	return &frames{
		read: read, write: write, batch: batch,
		in: make([]byte, frameSize(batch)+chunk), out: make([]byte, frameSize(batch)),
		place: make([]int, batch), lengths: make([]int, batch), mine: make([]wire.Buffer, batch),
	}
}

// send writes the first n messages of this end.
func (f *frames) send(n int) error {
	at := frameHead
	for i := range n {
		b := f.mine[i].Bytes()
		size, err := length(wire.Length(b))
		if err != nil {
			return err
		}
		at += (copy(f.out[at:], b[:size]) + 7) &^ 7
	}
	binary.NativeEndian.PutUint32(f.out, uint32(n))
	binary.NativeEndian.PutUint32(f.out[4:], uint32(at))
	for out := f.out[:at]; len(out) > 0; {
		k, err := syscall.Write(f.write, out[:min(len(out), chunk)])
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EPIPE || err == syscall.ECONNRESET:
			return ErrDied
		case err != nil:
			return fmt.Errorf("transport: write: %w", err)
		}
		out = out[k:]
	}
	return nil
}

// receive reads a frame and finds its messages. It believes nothing that the
// bytes do not show.
func (f *frames) receive() (int, error) {
	have, total := 0, frameHead
	for have < total {
		k, err := syscall.Read(f.read, f.in[have:])
		switch {
		case err == syscall.EINTR:
			continue
		case errors.Is(err, syscall.ECONNRESET) || err == nil && k == 0:
			return 0, ErrDied
		case err != nil:
			return 0, fmt.Errorf("transport: read: %w", err)
		}
		have += k
		if have >= frameHead && total == frameHead {
			total = int(binary.NativeEndian.Uint32(f.in[4:]))
			if total < frameHead || total > frameSize(f.batch) {
				return 0, fmt.Errorf("%w: of %d bytes, want %d to %d", ErrFrame, total, frameHead, frameSize(f.batch))
			}
		}
	}
	if have != total {
		return 0, fmt.Errorf("%w: %d bytes after one of %d", ErrFrame, have-total, total)
	}
	n := int(binary.NativeEndian.Uint32(f.in))
	if n < 0 || n > f.batch {
		return 0, fmt.Errorf("%w: with %d messages, want at most %d", ErrFrame, n, f.batch)
	}
	at := frameHead
	for i := range n {
		if at+8 > total {
			return 0, fmt.Errorf("%w: message %d of %d is not there", ErrFrame, i, n)
		}
		size, err := length(binary.NativeEndian.Uint32(f.in[at:]))
		if err != nil {
			return 0, err
		}
		if at+size > total {
			return 0, fmt.Errorf("%w: message %d has %d bytes, %d are there", ErrFrame, i, size, total-at)
		}
		f.place[i], f.lengths[i] = at, size
		at += (size + 7) &^ 7
	}
	if at != total {
		return 0, fmt.Errorf("%w: %d bytes after the last message", ErrFrame, total-at)
	}
	return n, nil
}

// framesCaller is the near end.
type framesCaller struct {
	*frames
}

func (f framesCaller) Request(i int) []byte { return f.mine[i].Bytes() }

func (f framesCaller) Exchange(n int) error {
	if f.dead.Load() {
		return ErrDied
	}
	if err := f.send(n); err != nil {
		return err
	}
	got, err := f.receive()
	if err == nil && got != n {
		err = fmt.Errorf("%w: %d replies to %d requests", ErrFrame, got, n)
	}
	return err
}

func (f framesCaller) Reply(i int, b []byte) (int, error) {
	return copy(b, f.in[f.place[i]:f.place[i]+f.lengths[i]]), nil
}

// Died needs no more than that the next Exchange knows: the far end of what one
// in progress waits for has been closed.
func (f framesCaller) Died() { f.dead.Store(true) }

func (f framesCaller) Close() error {
	err := syscall.Close(f.read)
	if f.write != f.read {
		if werr := syscall.Close(f.write); err == nil {
			err = werr
		}
	}
	if err != nil {
		return fmt.Errorf("transport: close: %w", err)
	}
	return nil
}

// framesServer is the far end.
type framesServer struct {
	*frames
}

func (f framesServer) Next() (int, error)   { return f.receive() }
func (f framesServer) Request(i int) []byte { return f.in[f.place[i] : f.place[i]+f.lengths[i]] }
func (f framesServer) Reply(i int) []byte   { return f.mine[i].Bytes() }
func (f framesServer) Done(n int) error     { return f.send(n) }

// newPipes makes a pipe each way and returns the far end's descriptors.
func newPipes(batch int) (Caller, []*os.File, error) {
	var there, back [2]int
	if err := syscall.Pipe2(there[:], syscall.O_CLOEXEC); err != nil {
		return nil, nil, fmt.Errorf("transport: pipe: %w", err)
	}
	if err := syscall.Pipe2(back[:], syscall.O_CLOEXEC); err != nil {
		syscall.Close(there[0])
		syscall.Close(there[1])
		return nil, nil, fmt.Errorf("transport: pipe: %w", err)
	}
	files := []*os.File{os.NewFile(uintptr(there[0]), "depriv"), os.NewFile(uintptr(back[1]), "depriv")}
	return framesCaller{newFrames(back[0], there[1], batch)}, files, nil
}

// newSocket makes a pair of Unix sockets.
func newSocket(batch, kind int) (Caller, []*os.File, error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, kind|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("transport: socketpair: %w", err)
	}
	return framesCaller{newFrames(fds[0], fds[0], batch)}, []*os.File{os.NewFile(uintptr(fds[1]), "depriv")}, nil
}
