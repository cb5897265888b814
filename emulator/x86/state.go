package x86

// State is what a step reads and Apply changes: the registers of one virtual
// CPU, and what the caller derives from its control registers once for the
// step. All else (memory, ports, descriptors, control and debug registers) is
// behind the Bus.
type State struct {
	GPR    [NumGPR]uint64
	RIP    uint64
	RFLAGS uint64
	// Selector holds the visible part of ES to GS, by Segment. The hidden part
	// is behind the Bus.
	Selector [NumSegment]uint16
	Mode     Mode
	// StackWidth is the width of the stack pointer in bits: 16, 32 or 64.
	StackWidth uint8
	// CPL is the current privilege level, 0 to 3.
	CPL uint8
	// FPU holds the components that have been loaded so far; nil when no step
	// has asked for any.
	FPU *FPU
}

// Component is a set of state components, by their bits in XCR0 (SDM vol. 1,
// 13.1).
type Component uint64

// The components of the floating-point and vector state.
const (
	ComponentX87     Component = 1 << 0
	ComponentSSE     Component = 1 << 1
	ComponentAVX     Component = 1 << 2
	ComponentOpmask  Component = 1 << 5
	ComponentZMMHigh Component = 1 << 6
	ComponentZMM16   Component = 1 << 7
)

// FPU is the x87 and vector state. Loaded tells which parts are valid.
type FPU struct {
	Loaded Component

	FCW, FSW uint16
	// FTW is the abridged tag word: one bit a physical register, 1 in use.
	FTW      uint8
	FOP      uint16
	FIP, FDP uint64
	// ST holds the stack registers ST(0) to ST(7): significand, then sign and
	// exponent.
	ST [8]struct {
		Significand  uint64
		SignExponent uint16
	}

	MXCSR uint32
	// ZMM holds the vector registers, lowest quadword first; XMM and YMM are
	// their low parts.
	ZMM [32][8]uint64
	K   [8]uint64
}
