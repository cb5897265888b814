//go:build !(linux && amd64)

package depriv

type placement int

const nowhere placement = -1

func (p *peer) pin(placement) {}

// Settle does nothing here.
func (c *Client) Settle() (release func(), err error) { return func() {}, nil }
