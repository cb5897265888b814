package transport

import "github.com/seed-4e121ece/ringfence/emulator/depriv/wire"

// Serve answers the n requests that a Server holds, and says whether the worker
// can go on.
type Serve func(s Server, n int) bool

// local is both ends in one process.
type local struct {
	requests, replies []wire.Buffer
	serve             Serve
	there, back       chan int
	dead              bool
}

// NewCall returns a Caller that calls serve for each exchange.
func NewCall(batch int, serve Serve) Caller { return newLocal(batch, serve) }

func newLocal(batch int, serve Serve) *local {
	return &local{requests: make([]wire.Buffer, batch), replies: make([]wire.Buffer, batch), serve: serve}
}

func (l *local) Request(i int) []byte { return l.requests[i].Bytes() }

func (l *local) Exchange(n int) error {
	if l.dead {
		return ErrDied
	}
	if l.there == nil {
		l.dead = !l.serve((*localServer)(l), n)
		return nil
	}
	l.there <- n
	if _, ok := <-l.back; !ok {
		l.dead = true
	}
	return nil
}

func (l *local) Reply(i int, b []byte) (int, error) {
	src := l.replies[i].Bytes()
	n, err := length(wire.Length(src))
	if err != nil {
		return 0, err
	}
	return copy(b, src[:n]), nil
}

func (l *local) Died() {}

func (l *local) Close() error {
	if l.there != nil && !l.dead {
		close(l.there)
	}
	l.dead = true
	return nil
}

// localServer is the far end of a local.
type localServer local

func (l *localServer) Next() (int, error) {
	n, ok := <-l.there
	if !ok {
		return 0, ErrDied
	}
	return n, nil
}
func (l *localServer) Request(i int) []byte { return l.requests[i].Bytes() }
func (l *localServer) Reply(i int) []byte   { return l.replies[i].Bytes() }

func (l *localServer) Done(n int) error {
	if l.there != nil {
		l.back <- n
	}
	return nil
}

// NewChan returns a Caller whose worker is a goroutine: it calls serve for each
// exchange until serve cannot go on. serve calls Server.Done itself, and may
// call Next to cross in the middle.
func NewChan(batch int, serve Serve) Caller {
	l := newLocal(batch, serve)
	l.there, l.back = make(chan int), make(chan int)
	go func() {
		defer close(l.back)
		s := (*localServer)(l)
		for {
			n, err := s.Next()
			if err != nil || !serve(s, n) {
				return
			}
		}
	}()
	return l
}
