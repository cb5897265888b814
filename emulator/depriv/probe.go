package depriv

import (
	"fmt"

	"github.com/seed-4e121ece/ringfence/emulator/depriv/wire"
)

// Echo sends n requests without a step over the wall and back, at most
// Config.Batch: what the transport costs by itself. An error costs the worker
// its life.
func (c *Client) Echo(n int) error {
	c.pending = c.pending[:0]
	for i := range min(n, len(c.lanes)) {
		c.lanes[i].waiting = false
		c.pending = append(c.pending, i)
	}
	if len(c.pending) == 0 {
		return nil
	}
	if err := c.settle(); err != nil {
		return err
	}
	conn, first := c.peer.conn, c.sequence+1
	for i := range c.pending {
		c.sequence++
		b := conn.Request(i)
		*wire.NewRequest(b) = wire.Request{Sequence: c.sequence, Kind: wire.RequestEcho}
		wire.FinishRequest(b, nil, nil, c.lanes[0].record.Wide[:1]) // 256 bytes
	}
	c.guard.enter()
	err := conn.Exchange(len(c.pending))
	c.guard.leave()
	buf := c.reply.Bytes()
	for i := range c.pending {
		var k int
		if err == nil {
			k, err = conn.Reply(i, buf)
		}
		if err == nil {
			err = wire.ParseReply(buf[:k], &c.view)
		}
		if err == nil && (c.view.Kind != wire.ReplyEcho || c.view.Sequence != first+uint32(i)) {
			err = fmt.Errorf("%w: kind %d and sequence number %d, want an echo of %d", errMalformed, c.view.Kind, c.view.Sequence, first+uint32(i))
		}
	}
	if err != nil {
		f := c.peer.explain(err, c.guard)
		c.peer.close()
		c.peer = nil
		return &f
	}
	return nil
}
