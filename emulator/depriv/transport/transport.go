// Package transport carries messages over the wall and back: one interface, and
// a rung of the ladder behind each name. It looks at nothing in a message but
// its length.
package transport

import (
	"errors"
	"fmt"
	"strings"

	"github.com/seed-4e121ece/ringfence/emulator/depriv/wire"
)

// Kind is a rung of the ladder.
type Kind uint8

// The kinds, from none to the heaviest wall.
const (
	// Call calls the worker: no wall at all, but its messages and its judge.
	Call Kind = iota
	// Chan is a goroutine and two channels: no wall either.
	Chan
	// Spin is shared memory that both ends poll for a while before they sleep on
	// a futex: for two processes on two CPUs.
	Spin
	// Futex is shared memory, and sleep on a futex: for two processes on one CPU.
	Futex
	// Eventfd is shared memory with an eventfd each way.
	Eventfd
	// Pipe is a pipe each way.
	Pipe
	// Seqpacket is a Unix socket that keeps packets apart.
	Seqpacket
	// Stream is a Unix stream socket.
	Stream
	numKinds
)

var names = [numKinds]string{"call", "chan", "spin", "futex", "eventfd", "pipe", "seqpacket", "stream"}

// String returns the name, as "futex".
func (k Kind) String() string {
	if k < numKinds {
		return names[k]
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Parse returns the kind of that name.
func Parse(name string) (Kind, error) {
	for k, n := range names {
		if n == name {
			return Kind(k), nil
		}
	}
	return 0, fmt.Errorf("transport %q: want one of %s", name, strings.Join(names[:], ", "))
}

// Kinds are all kinds.
func Kinds() []Kind {
	all := make([]Kind, numKinds)
	for i := range all {
		all[i] = Kind(i)
	}
	return all
}

// Walled says that the worker is a process of its own.
func (k Kind) Walled() bool { return k > Chan }

// MaxBatch is how many requests may cross at once.
const MaxBatch = 512

var (
	// ErrDied means that the worker is gone.
	ErrDied = errors.New("the worker has died")
	// ErrFrame means that the worker's answer has not the form of one.
	ErrFrame = errors.New("malformed frame")
)

// Caller is the near end. It is used by one goroutine at a time, but for Died.
type Caller interface {
	// Request is where request i of the next exchange is written, from 0 on.
	Request(i int) []byte
	// Exchange hands over the first n requests and waits for the replies. It
	// returns ErrDied if the worker is gone, ErrFrame if it talks nonsense.
	Exchange(n int) error
	// Reply copies reply i of the last exchange into b, which has room for the
	// longest, and returns its length. It reads what the worker can still
	// change once.
	Reply(i int, b []byte) (int, error)
	// Died tells an Exchange in progress that the worker is gone. It may be
	// called from any goroutine, but not after Close.
	Died()
	Close() error
}

// Server is the far end.
type Server interface {
	// Next waits for requests and returns how many there are.
	Next() (n int, err error)
	// Request is request i, Reply where its reply is written.
	Request(i int) []byte
	Reply(i int) []byte
	// Done hands over n replies.
	Done(n int) error
}

// length returns the length that a message in memory says of itself, or an
// error if no message has that length.
func length(n uint32) (int, error) {
	if n < 8 || n > uint32(wire.BufferSize) {
		return 0, fmt.Errorf("%w: a message of %d bytes, want 8 to %d", ErrFrame, n, wire.BufferSize)
	}
	return int(n), nil
}
