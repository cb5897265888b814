package ptrace

import (
	"encoding/binary"
	"fmt"
)

// xstate is the XSAVE image (SDM vol. 1, 13.4) in the tracer's hands.
type xstate struct {
	size  int // of the image of this kernel
	image [16384]byte
	clean [16384]byte // the initial state
}

const (
	xstateMXCSR  = 24
	initialMXCSR = 0x1f80 // SDM vol. 1, 10.2.3
	xstateFSW    = 2
	fswES        = 1 << 7
)

// init learns the size of the image and prepares the initial state: no component
// in XSTATE_BV.
func (x *xstate) init(t *tracee) error {
	if err := t.regSet(ptraceGetRegSet); err != nil {
		return fmt.Errorf("%w (the kernel offers no XSAVE image)", err)
	}
	binary.LittleEndian.PutUint32(x.clean[xstateMXCSR:], initialMXCSR)
	return nil
}

// reset puts the child's x87 and vector registers into the initial state.
func (x *xstate) reset(t *tracee) error {
	copy(x.image[:x.size], x.clean[:x.size])
	return t.regSet(ptraceSetRegSet)
}
