package silicon

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// Decoder asks the CPU whether strings of bytes are instructions, and how long
// they are. It knows no mnemonics and no operands. A string is not valid if it
// raises #UD, for whatever reason: there is no such instruction, this CPU does
// not have it, or the kernel has not enabled it. It is used by one goroutine at
// a time.
type Decoder struct {
	e     *Executor
	codes [maxSlots][]byte
	out   [maxSlots]probed
	one   [1][]byte
	first [1]oracle.Decoded
}

var _ oracle.BatchDecoder = (*Decoder)(nil)

// NewDecoder starts the CPU as a decoder.
func NewDecoder(options ...Option) (*Decoder, error) {
	e, err := New(options...)
	if err != nil {
		return nil, err
	}
	return &Decoder{e: e}, nil
}

// Name is "silicon".
func (d *Decoder) Name() string { return "silicon" }

// Close ends the child.
func (d *Decoder) Close() error { return d.e.Close() }

// Decode decodes one string. A batch costs a fraction of it a string.
func (d *Decoder) Decode(code []byte, mode x86.Mode, out *oracle.Decoded) {
	d.one[0] = code
	d.DecodeBatch(d.one[:], mode, d.first[:])
	*out = d.first[0]
}

// DecodeBatch decodes the first instruction of each string. The modes are
// Long64, Compat32 and Compat16, and those of the same code width. A string on
// which the child is lost time and again has the ending Died.
func (d *Decoder) DecodeBatch(codes [][]byte, mode x86.Mode, out []oracle.Decoded) {
	switch mode.Width() {
	case 32:
		mode = x86.Compat32
	case 16:
		mode = x86.Compat16
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	e := d.e
	var err error
	if e.now, err = e.settle(); err == nil && e.cpu < 0 {
		defer unix.SchedSetaffinity(0, &e.mask)
	}
	tries := 0
	for next := 0; err == nil && next < len(codes); {
		n := 0
		for ; n < maxSlots && next+n < len(codes); n++ {
			code := codes[next+n]
			if len(code) == 0 {
				code = emptyCode
			}
			d.codes[n] = code[:min(len(code), 15)]
		}
		var c *child
		if c, err = e.child(oracle.DefaultLayout); err != nil {
			break
		}
		n = min(n, c.slots)
		if err = e.probeAll(c, d.codes[:n], mode, d.out[:n]); err != nil {
			break
		}
		got := 0
		for got < n && d.out[got].ok {
			describeDecoded(&d.out[got], codes[next+got], &out[next+got])
			got++
		}
		next += got
		if got == n {
			continue
		}
		if _, err = e.replace(&e.replaced.Lost); err != nil {
			break
		}
		if tries++; got > 0 {
			tries = 1
		}
		if tries == maxTries {
			out[next] = unanswered("the runner died or broke its protocol at every try")
			next++
			tries = 0
		}
	}
	if err != nil {
		for i := range out {
			out[i] = unanswered(fmt.Sprint(err))
		}
	}
}

var emptyCode = []byte{0x90}

func unanswered(why string) oracle.Decoded {
	return oracle.Decoded{Ending: oracle.Died, Reason: why, UnknownLength: true, UnknownMnemonic: true, UnknownOperands: true}
}

// describeDecoded translates what the CPU made of a string.
func describeDecoded(p *probed, code []byte, d *oracle.Decoded) {
	*d = oracle.Decoded{Covered: true, UnknownMnemonic: true, UnknownOperands: true}
	switch {
	case len(code) == 0, p.length == 0:
		d.Reason = "truncated"
	case p.undefined:
		d.Reason = "undefined"
	case p.unclear:
		// #GP(0) after the fifteenth byte is the instruction's own, or says that
		// it is too long.
		d.Covered, d.Group = false, "fifteen bytes and #GP(0)"
	default:
		d.Valid, d.Length = true, uint8(p.length)
	}
}
