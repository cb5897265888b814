package silicon

import (
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// NewCase returns a case of 64-bit code; see NewCaseIn.
func NewCase(code []byte) oracle.Case { return NewCaseIn(x86.Long64, code) }

// NewCaseIn returns a case in a mode and the default layout with the given code
// at CodeBase, all registers zero but RSP, which is in the middle of the stack,
// all windows zero, and the segments that oracle.Case.Segment describes.
func NewCaseIn(m x86.Mode, code []byte) oracle.Case {
	l := oracle.DefaultLayout
	c := oracle.Case{Layout: l, Memory: make([]byte, l.WindowBytes()), CodeLen: uint8(min(len(code), 16)), State: oracle.DefaultStateOf(m)}
	copy(c.Code[:], code)
	return c
}

// One runs a single case and returns its result: the simple way in, some
// hundred times slower a case than a batch.
func (e *Executor) One(c oracle.Case) (oracle.Result, error) {
	results := make([]oracle.Result, 1)
	err := e.Run([]oracle.Case{c}, results)
	return results[0], err
}

// Replaced says how many children an executor has replaced, by reason.
type Replaced struct {
	// Moved: a case pointed at the child's own memory; another child lies
	// elsewhere.
	Moved int
	// Refused: the kernel refused a descriptor of the local table.
	Refused int
	// Stuck: no progress in several seconds.
	Stuck int
	// Lost: the child died, or what it answered was not right.
	Lost int
}
