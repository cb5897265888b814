package depriv

import (
	"errors"
	"fmt"

	"github.com/seed-4e121ece/ringfence/emulator"
	"github.com/seed-4e121ece/ringfence/emulator/depriv/sandbox"
	"github.com/seed-4e121ece/ringfence/emulator/depriv/transport"
	"github.com/seed-4e121ece/ringfence/emulator/depriv/worker"
	"github.com/seed-4e121ece/ringfence/internal/spawn"
)

// peer is a worker with the near end of its transport.
type peer struct {
	conn   transport.Caller
	proc   *spawn.Process // nil without a process of its own
	report sandbox.Report
	cpu    int
	// executable is the file that it was started from, "" for the running one.
	executable string
}

// newPeer starts a worker, and returns when it is ready.
func newPeer(cfg *Config) (*peer, error) {
	switch cfg.Transport {
	case transport.Call:
		return &peer{conn: transport.NewCall(cfg.Batch, serving(newWorker(cfg))), cpu: -1}, nil
	case transport.Chan:
		return &peer{conn: transport.NewChan(cfg.Batch, serving(newWorker(cfg))), cpu: -1}, nil
	}
	return startPeer(cfg)
}

func newWorker(cfg *Config) *worker.Worker {
	var options []emulator.Option
	if cfg.ForceWriteback {
		options = append(options, emulator.ForceWriteback())
	}
	return worker.New(cfg.Profile, cfg.Memory.view(), options...)
}

// serving answers the requests that a server holds.
func serving(w *worker.Worker) transport.Serve {
	var s transport.Server
	cross := func(int) []byte {
		if s.Done(1) != nil {
			return nil
		}
		if n, err := s.Next(); err != nil || n != 1 {
			return nil
		}
		return s.Request(0)
	}
	return func(server transport.Server, n int) bool {
		s = server
		alive := true
		for i := range n {
			if _, alive = w.Answer(s.Request(i), s.Reply(i), cross); !alive {
				break
			}
		}
		return s.Done(n) == nil && alive
	}
}

// pid is the id of the process, 0 without one.
func (p *peer) pid() int {
	if p == nil || p.proc == nil {
		return 0
	}
	return p.proc.Pid()
}

// kill ends the process without waiting for it.
func (p *peer) kill() {
	if p.proc != nil {
		p.proc.Signal()
	}
}

// close ends the process and gives everything back. nil has nothing.
func (p *peer) close() {
	if p == nil {
		return
	}
	if p.proc != nil {
		p.proc.Kill()
	}
	_ = p.conn.Close() // what was mapped and open goes with this process at the latest
}

// explain makes a finding of an exchange that failed.
func (p *peer) explain(err error, g *guard) Finding {
	switch {
	case g.ended():
		return Finding{Kind: Hung, Err: errors.New("no answer in time")}
	case !errors.Is(err, transport.ErrDied):
		return Finding{Kind: Refused, Err: err}
	case p.proc == nil:
		return Finding{Kind: Died, Err: err}
	}
	<-p.proc.Done()
	return Finding{Kind: Died, Err: fmt.Errorf("%w: %s", err, ending(p.proc))}
}
