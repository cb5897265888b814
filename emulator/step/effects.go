package step

import (
	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// Capacities of Effects. A test asserts them against the table: ENTER with
// nesting level 31 stages the most writes.
const (
	MaxOps      = 40
	MaxAccesses = 80
	MaxWide     = 2
)

// OpKind is the kind of a staged operation.
type OpKind uint8

// The kinds of operation, in no particular order: program order is the order
// of Effects.Ops.
const (
	OpWrite OpKind = iota
	OpWriteWide
	OpCompareExchange
	OpWritePort
	OpWriteSegment
	OpWriteControl
	OpWriteDebug
	OpWriteXCR
	OpWriteMSR
	OpCache
	OpTLB
	// OpRepeat does the iterations in Effects.Repeat.
	OpRepeat
)

// Op is one staged operation.
type Op struct {
	Kind OpKind
	// Index is the port, control, debug or extended control register, MSR,
	// segment, or the slot in Effects.Wide.
	Index  uint32
	Access Access
	// Value and Old are little-endian quadwords; Old is what a
	// compare-exchange expects.
	Value, Old [2]uint64
	Segment    x86.SegmentRegister
}

// Effects is what one step computed. It belongs to the caller, who reuses it;
// it is never zeroed: NumOps, NumAccesses and GPRDirty say what is valid.
type Effects struct {
	Outcome Outcome
	Retire  Retire
	// Event is valid if Outcome is Exception.
	Event x86.Event

	// GPRDirty has a bit for each valid member of GPR; FlagsDirty and
	// FPUDirty say the like. RIP is valid if Outcome is Okay.
	GPRDirty   uint16
	FlagsDirty bool
	FPUDirty   x86.Component
	GPR        [x86.NumGPR]uint64
	RIP        uint64
	RFLAGS     uint64

	NumOps      uint8
	NumAccesses uint8
	NumWide     uint8
	// Ops are to be carried out in this order, before the registers change.
	Ops [MaxOps]Op
	// Accesses is a log of every access to memory, in order.
	Accesses [MaxAccesses]Access
	// Wide holds the data of OpWriteWide.
	Wide [MaxWide][64]byte
	// Repeat is valid if OpRepeat is staged, which then is the only operation.
	// Accesses has the accesses of its first iteration alone.
	Repeat Repeat

	// Inst is the decoded instruction. It is the continuation too: when Again
	// is set after Okay, a REP has iterations left, RIP is unchanged, and the
	// caller may hand the same Effects back with Resume set, so that the next
	// step neither fetches nor decodes.
	Inst   decode.Inst
	Again  bool
	Resume bool
	// Partial says that operations and registers above are to be applied
	// although Outcome is Exception or Retry (rule 5).
	Partial bool
}

// Iterations returns how many iterations of a string instruction these effects
// are: more than one if a Repeat hook allowed them.
func (fx *Effects) Iterations() int {
	if fx.NumOps == 1 && fx.Ops[0].Kind == OpRepeat {
		return int(fx.Repeat.Count)
	}
	return 1
}
