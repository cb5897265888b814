package depriv

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/seed-4e121ece/ringfence/emulator"
	"github.com/seed-4e121ece/ringfence/emulator/depriv/sandbox"
	"github.com/seed-4e121ece/ringfence/emulator/depriv/wire"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// Request is a step of one virtual CPU in a batch.
type Request struct {
	// VCPU names the virtual CPU. A worker serves one guest, and wipes what it
	// holds between its virtual CPUs.
	VCPU uint32
	// Space is the address space of Config.Memory that the step is in, as
	// Memory.Space has numbered it; 0 is none.
	Space uint32
	State *x86.State
	Bus   step.Bus
	// Fx is filled as Stepper.Step fills it.
	Fx *step.Effects
	// Err is why no worker has answered; Fx then says Unhandleable.
	Err error
}

// Client is the emulator behind the wall. It is used by one goroutine at a time,
// but for Replace.
type Client struct {
	cfg      Config
	peer     *peer
	lanes    []lane
	pending  []int
	reply    wire.Buffer
	view     wire.ReplyView
	one      [1]Request
	err      error
	sequence uint32
	stats    Stats
	place    placement
	space    uint32

	spare chan started
	// next is the worker that Replace has put in line.
	next atomic.Pointer[peer]
	// guard watches exchanges that take too long.
	guard  *guard
	mu     sync.Mutex // of closed, against Replace
	closed bool
}

var _ emulator.Stepper = (*Client)(nil)

// started is what has come of starting a worker.
type started struct {
	peer *peer
	err  error
}

// ErrClosed is returned after Close.
var ErrClosed = errors.New("depriv: the client is closed")

// New starts a worker and returns its client. The error names what this machine
// refuses.
func New(cfg Config) (*Client, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg, lanes: make([]lane, cfg.Batch), pending: make([]int, 0, cfg.Batch), place: nowhere}
	if c.peer, err = newPeer(&cfg); err != nil {
		return nil, err
	}
	if cfg.Transport.Walled() {
		c.guard = newGuard(cfg.Timeout)
		c.guard.watch(c.peer)
		if !cfg.NoSpare {
			c.spare = make(chan started, 1)
			c.startSpare()
		}
	}
	return c, nil
}

// startSpare starts the worker that will be the next, in the background.
func (c *Client) startSpare() {
	cfg, spare := c.cfg, c.spare
	go func() {
		p, err := newPeer(&cfg)
		spare <- started{p, err}
	}()
}

// Report tells which mechanisms hold the worker; nil without a process.
func (c *Client) Report() sandbox.Report { return c.peer.report }

// Pid is the process of the worker, 0 without.
func (c *Client) Pid() int { return c.peer.pid() }

// Stats returns what has been counted so far.
func (c *Client) Stats() Stats { return c.stats }

// Failure returns why the last Step has failed, and forgets it: a *Finding, or
// why no worker could be started. It is nil if a worker has answered.
func (c *Client) Failure() error {
	err := c.err
	c.err = nil
	return err
}

// Step implements emulator.Stepper. A step that no worker has answered is
// Unhandleable, and Failure tells why.
func (c *Client) Step(state *x86.State, bus step.Bus, fx *step.Effects) step.Outcome {
	c.one[0] = Request{State: state, Bus: bus, Fx: fx, Space: c.space}
	c.StepBatch(c.one[:])
	c.err = c.one[0].Err
	return fx.Outcome
}

// WritesMemory says that the worker may write to Config.Memory.
func (c *Client) WritesMemory() bool { return c.cfg.Protocol == WindowWrite }

// Enter says in which address space of Config.Memory the steps that follow are;
// 0 is none.
func (c *Client) Enter(space uint32) { c.space = space }

// StepBatch steps virtual CPUs that do not depend on one another: the requests
// cross together, as many at once as Config.Batch says.
func (c *Client) StepBatch(requests []Request) {
	for len(requests) > 0 {
		n := min(len(requests), len(c.lanes))
		c.batch(requests[:n])
		requests = requests[n:]
	}
}

func (c *Client) batch(requests []Request) {
	c.pending = c.pending[:0]
	for i := range requests {
		c.lanes[i].start(&requests[i], c.cfg.Profile.VirtualBits, c.cfg.Protocol)
		c.pending = append(c.pending, i)
	}
	c.stats.Requests += uint64(len(requests))
	for len(c.pending) > 0 {
		c.cross()
		rest := c.pending[:0]
		for _, i := range c.pending {
			if !c.lanes[i].done {
				rest = append(rest, i)
			}
		}
		c.pending = rest
	}
	for i := range requests {
		requests[i].Err = c.lanes[i].err
	}
}

// cross sends the requests that wait over the wall and takes the replies in.
func (c *Client) cross() {
	if err := c.settle(); err != nil {
		for _, i := range c.pending {
			c.lanes[i].fail(err)
			c.stats.Failed++
		}
		return
	}
	going := c.pending
	if c.lanes[going[0]].lost > 0 {
		going = going[:1] // one of them may be what kills workers: find out which
	}
	conn := c.peer.conn
	for k, i := range going {
		c.sequence++
		l := &c.lanes[i]
		l.sequence = c.sequence
		l.write(conn.Request(k), c.cfg.Protocol)
	}
	c.stats.Crossings += uint64(len(going))
	c.stats.Exchanges++
	c.guard.enter()
	err := conn.Exchange(len(going))
	c.guard.leave()
	if err != nil {
		c.lose(going, c.peer.explain(err, c.guard), nil)
		return
	}
	buf := c.reply.Bytes()
	for k, i := range going {
		n, err := conn.Reply(k, buf)
		if err == nil {
			err = wire.ParseReply(buf[:n], &c.view)
		}
		if err == nil && c.view.Kind == wire.ReplyFailed {
			c.lose(going[k:k+1], Finding{Kind: Failed, Err: errors.New(string(c.view.Note))}, nil)
			return
		}
		if err == nil {
			err = c.lanes[i].read(&c.view, c.cfg.Protocol)
		}
		if err != nil {
			c.lose(going[k:k+1], Finding{Kind: Refused, Err: err}, buf[:n])
			return
		}
	}
}

// lose ends the worker for what it did to the requests, which are run again on
// another, or fail. Others that it had not answered yet wait on.
func (c *Client) lose(requests []int, f Finding, reply []byte) {
	f.Sequence, f.Reply = c.lanes[requests[0]].sequence, reply
	if f.Kind == Refused {
		c.stats.Refused++
	}
	c.peer.close()
	c.peer = nil
	if c.cfg.Finding != nil {
		c.cfg.Finding(f)
	}
	for _, i := range requests {
		l := &c.lanes[i]
		l.again(c.cfg.Protocol, f.Kind == Refused)
		if c.cfg.Protocol == WindowWrite || l.lost >= c.cfg.Attempts && (len(requests) == 1 || c.cfg.Attempts == 1) {
			failed := f
			failed.Reply = nil
			l.fail(&failed)
			c.stats.Failed++
		}
	}
	for _, i := range c.pending { // a hook that waited has nobody to wait for it any more
		c.lanes[i].waiting = false
	}
}

// settle makes sure that there is a worker: the one that Replace has put in
// line, the one in use, the spare, or a new one.
func (c *Client) settle() error {
	if c.next.Load() != nil && (c.peer == nil || !c.lanes[c.pending[0]].waiting) {
		if p := c.next.Swap(nil); p != nil {
			c.peer.close()
			c.adopt(p)
			c.renew(p.executable)
			return nil
		}
	}
	if c.peer != nil {
		return nil
	}
	if c.closed {
		return ErrClosed
	}
	var s started
	if c.spare != nil {
		s = <-c.spare
		c.startSpare()
	}
	if s.peer == nil {
		s.peer, s.err = newPeer(&c.cfg)
	}
	if s.err != nil {
		return fmt.Errorf("depriv: no worker in place of the one that is gone: %w", s.err)
	}
	c.adopt(s.peer)
	return nil
}

// renew has all later workers started from another executable.
func (c *Client) renew(executable string) {
	c.cfg.Executable = executable
	if c.spare == nil {
		return
	}
	old := c.spare
	c.spare = make(chan started, 1)
	c.startSpare()
	go func() {
		s := <-old
		s.peer.close()
	}()
}

// adopt makes a worker the one in use.
func (c *Client) adopt(p *peer) {
	c.peer = p
	c.stats.Replaced++
	c.guard.watch(p)
	p.pin(c.place)
}

// Replace starts a worker from another executable (a new build), and has it take
// the place of the one in use between two exchanges: no request is lost. It
// returns when the new one is ready and in line, or why it cannot be; then
// nothing has changed. Later workers are started from it too. It may be called
// while another goroutine steps.
func (c *Client) Replace(executable string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	cfg := c.cfg
	cfg.Executable = executable
	p, err := newPeer(&cfg)
	if err != nil {
		return err
	}
	if old := c.next.Swap(p); old != nil {
		old.close()
	}
	return nil
}

// Close ends the workers.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	c.guard.stop()
	c.peer.close()
	c.peer = nil
	c.next.Swap(nil).close()
	if c.spare != nil {
		if s := <-c.spare; s.peer != nil {
			s.peer.close()
		}
	}
	return nil
}
