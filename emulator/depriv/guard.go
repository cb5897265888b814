package depriv

import (
	"sync"
	"sync/atomic"
	"time"
)

// guard ends a worker whose answer takes too long. It looks at a counter now and
// then, so that an exchange costs it two additions and no clock.
type guard struct {
	// count is odd during an exchange.
	count atomic.Uint64
	// hung is the count of the exchange that was ended.
	hung atomic.Uint64
	quit chan struct{}

	mu   sync.Mutex
	peer *peer
}

func newGuard(timeout time.Duration) *guard {
	g := &guard{quit: make(chan struct{})}
	go g.run(timeout)
	return g
}

func (g *guard) run(timeout time.Duration) {
	const looks = 8 // in a timeout
	tick := time.NewTicker(max(timeout/looks, time.Millisecond))
	defer tick.Stop()
	last, same := uint64(0), 0
	for {
		select {
		case <-g.quit:
			return
		case <-tick.C:
		}
		now := g.count.Load()
		if now != last || now&1 == 0 {
			last, same = now, 0
			continue
		}
		if same++; same == looks {
			g.mu.Lock()
			if p := g.peer; p != nil && g.count.Load() == now {
				g.hung.Store(now)
				p.kill()
			}
			g.mu.Unlock()
		}
	}
}

// watch makes p the worker that is ended.
func (g *guard) watch(p *peer) {
	if g == nil {
		return
	}
	g.mu.Lock()
	g.peer = p
	g.mu.Unlock()
}

func (g *guard) enter() {
	if g != nil {
		g.count.Add(1)
	}
}

func (g *guard) leave() {
	if g != nil {
		g.count.Add(1)
	}
}

// ended says whether the exchange that has just been left was ended.
func (g *guard) ended() bool { return g != nil && g.hung.Load() == g.count.Load()-1 }

func (g *guard) stop() {
	if g != nil {
		close(g.quit)
	}
}
