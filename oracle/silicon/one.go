package silicon

import (
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// NewCase returns a case in the default layout with the given code at CodeBase,
// all registers zero but RSP, which is in the middle of the stack, and all
// windows zero.
func NewCase(code []byte) oracle.Case {
	l := oracle.DefaultLayout
	c := oracle.Case{Layout: l, Memory: make([]byte, l.WindowBytes()), CodeLen: uint8(min(len(code), 16))}
	copy(c.Code[:], code)
	c.State = x86.State{Mode: x86.Long64, StackWidth: 64, CPL: 3, RIP: oracle.CodeBase, RFLAGS: intFlag}
	c.State.GPR[x86.RSP] = oracle.StackBase + oracle.PageSize
	c.State.Selector[x86.CS] = SelectorCS64
	c.State.Selector[x86.SS] = SelectorSS
	return c
}

// One runs a single case and returns its result: the simple way in, some
// hundred times slower a case than a batch.
func (e *Executor) One(c oracle.Case) (oracle.Result, error) {
	results := make([]oracle.Result, 1)
	err := e.Run([]oracle.Case{c}, results)
	return results[0], err
}
