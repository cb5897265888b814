package step

import "github.com/seed-4e121ece/ringfence/emulator/x86"

// Absent answers Unhandleable to everything, the mandatory questions too.
// Embed it in a Bus to get the methods of the hooks that are not offered.
type Absent struct{}

var _ Bus = Absent{}

// Hooks returns no hook.
func (Absent) Hooks() Hooks { return 0 }

// Begin does nothing.
func (Absent) Begin() {}

// Fetch answers Unhandleable.
func (Absent) Fetch(uint64, []byte, *x86.Event) (int, Outcome) { return 0, Unhandleable }

// Read answers Unhandleable.
func (Absent) Read(Access, *x86.Event) (uint64, Outcome) { return 0, Unhandleable }

// ReadBytes answers Unhandleable.
func (Absent) ReadBytes(Access, []byte, *x86.Event) Outcome { return Unhandleable }

// ProbeWrite answers Unhandleable.
func (Absent) ProbeWrite(Access, uint64, *x86.Event) Outcome { return Unhandleable }

// ProbeWriteBytes answers Unhandleable.
func (Absent) ProbeWriteBytes(Access, []byte, *x86.Event) Outcome { return Unhandleable }

// Write answers Unhandleable.
func (Absent) Write(Access, uint64, *x86.Event) Outcome { return Unhandleable }

// WriteBytes answers Unhandleable.
func (Absent) WriteBytes(Access, []byte, *x86.Event) Outcome { return Unhandleable }

// CompareExchange answers Unhandleable.
func (Absent) CompareExchange(Access, [2]uint64, [2]uint64, *x86.Event) Outcome { return Unhandleable }

// EnqueueCommand answers Unhandleable.
func (Absent) EnqueueCommand(Access, *[64]byte, *x86.Event) (bool, Outcome) {
	return false, Unhandleable
}

// ReadPort answers Unhandleable.
func (Absent) ReadPort(uint16, uint8, *x86.Event) (uint32, Outcome) { return 0, Unhandleable }

// WritePort answers Unhandleable.
func (Absent) WritePort(uint16, uint8, uint32, *x86.Event) Outcome { return Unhandleable }

// ReadSegment answers Unhandleable.
func (Absent) ReadSegment(x86.Segment, *x86.Event) (x86.SegmentRegister, Outcome) {
	return x86.SegmentRegister{}, Unhandleable
}

// WriteSegment answers Unhandleable.
func (Absent) WriteSegment(x86.Segment, x86.SegmentRegister, *x86.Event) Outcome {
	return Unhandleable
}

// ReadControl answers Unhandleable.
func (Absent) ReadControl(uint8, *x86.Event) (uint64, Outcome) { return 0, Unhandleable }

// WriteControl answers Unhandleable.
func (Absent) WriteControl(uint8, uint64, *x86.Event) Outcome { return Unhandleable }

// ReadDebug answers Unhandleable.
func (Absent) ReadDebug(uint8, *x86.Event) (uint64, Outcome) { return 0, Unhandleable }

// WriteDebug answers Unhandleable.
func (Absent) WriteDebug(uint8, uint64, *x86.Event) Outcome { return Unhandleable }

// ReadXCR answers Unhandleable.
func (Absent) ReadXCR(uint32, *x86.Event) (uint64, Outcome) { return 0, Unhandleable }

// WriteXCR answers Unhandleable.
func (Absent) WriteXCR(uint32, uint64, *x86.Event) Outcome { return Unhandleable }

// ReadMSR answers Unhandleable.
func (Absent) ReadMSR(uint32, *x86.Event) (uint64, Outcome) { return 0, Unhandleable }

// WriteMSR answers Unhandleable.
func (Absent) WriteMSR(uint32, uint64, bool, *x86.Event) Outcome { return Unhandleable }

// CPUID answers Unhandleable.
func (Absent) CPUID(uint32, uint32, *x86.Event) ([4]uint32, Outcome) {
	return [4]uint32{}, Unhandleable
}

// CacheOp answers Unhandleable.
func (Absent) CacheOp(uint8, Access, *x86.Event) Outcome { return Unhandleable }

// TLBOp answers Unhandleable.
func (Absent) TLBOp(uint8, uint64, uint64, *x86.Event) Outcome { return Unhandleable }

// LoadFPU answers Unhandleable.
func (Absent) LoadFPU(x86.Component, *x86.FPU, *x86.Event) Outcome { return Unhandleable }

// SaveFPU answers Unhandleable.
func (Absent) SaveFPU(x86.Component, *x86.FPU, *x86.Event) Outcome { return Unhandleable }

// ProbeRepeat answers Unhandleable.
func (Absent) ProbeRepeat(Repeat, *x86.Event) (uint64, Outcome) { return 0, Unhandleable }

// Repeat answers Unhandleable.
func (Absent) Repeat(Repeat, *x86.Event) Outcome { return Unhandleable }

// Validate answers Unhandleable.
func (Absent) Validate(uint16, uint8, *x86.Event) Outcome { return Unhandleable }

// Random answers Unhandleable.
func (Absent) Random(uint8, bool, *x86.Event) (uint64, bool, Outcome) {
	return 0, false, Unhandleable
}

// VMFunc answers Unhandleable.
func (Absent) VMFunc(uint32, uint32, *x86.Event) Outcome { return Unhandleable }
