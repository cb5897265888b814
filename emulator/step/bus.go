package step

import "github.com/seed-4e121ece/ringfence/emulator/x86"

// Intent is what an access to memory is for.
type Intent uint8

// The intents. IntentModify is a read with write intent: it faults as a write
// does (#PF with W=1).
const (
	IntentRead Intent = iota
	IntentModify
	IntentWrite
	IntentFetch
	// IntentSystem is an implicit supervisor access (descriptor tables, TSS).
	IntentSystem
)

var intentNames = [...]string{"read", "modify", "write", "fetch", "system"}

// String returns the name of the case schema, as "read".
func (i Intent) String() string {
	if int(i) < len(intentNames) {
		return intentNames[i]
	}
	return "?"
}

// Access is one access to memory: Size bytes (1 to 64) at Segment:Offset. The
// offset is already wrapped to the address size. Fault addresses are the
// Bus's business, by Tail.
type Access struct {
	Offset  uint64
	Size    uint8
	Segment x86.Segment
	Intent  Intent
	// Tail is the row's fault-address rule for an access that crosses a page
	// (rule 14); 0 reports the first byte that faults.
	Tail uint8
	// Align is the alignment in bytes of the linear address without which the
	// access is #GP(0) (CMPXCHG16B: 16); 0 asks for none.
	Align uint8
	// Check is the alignment without which the access is #AC(0) where CR0.AM
	// is set (SDM vol. 3, table 6-7); 0 unless EFLAGS.AC is set at CPL 3.
	Check uint8
}

// Hooks is the set of hooks that a Bus offers.
type Hooks uint32

// The hooks, by the names of the table in the package documentation. Fetch
// and Read are mandatory and have no bit.
const (
	HookWrite Hooks = 1 << iota // ProbeWrite and Write
	HookCompareExchange
	HookEnqueueCommand
	HookReadPort
	HookWritePort
	HookReadSegment
	HookWriteSegment
	HookReadControl
	HookWriteControl
	HookReadDebug
	HookWriteDebug
	HookReadXCR
	HookWriteXCR
	HookReadMSR
	HookWriteMSR
	HookCPUID
	HookCacheOp
	HookTLBOp
	HookLoadFPU
	HookSaveFPU
	HookRepeatIn
	HookRepeatOut
	HookRepeatMove
	HookRepeatStore
	HookValidate
	HookRandom
	HookVMFunc
	// HookAll is every hook.
	HookAll Hooks = 1<<iota - 1
)

// Bus is what the emulator may ask of its hypervisor. Each method mirrors a
// hook of Xen's x86_emulate_ops. A method that answers Exception fills ev;
// Unhandleable, Retry and (where the table allows) Done leave it alone. A Bus
// that lacks a hook clears its bit in Hooks; the emulator then never calls the
// method. Embed Absent to get the methods that are not offered.
//
// The answers may depend on the state before the step only: memory as it was,
// plus the step's own staged writes, which ProbeWrite announces and which
// reads of the same step must see (rule 7).
type Bus interface {
	// Hooks returns the hooks that are offered. It is read once, when a
	// Stepper is made.
	Hooks() Hooks
	// Begin starts a step: writes announced by an earlier step are forgotten.
	Begin()

	// Fetch fills buf (0 to 15 bytes) from CS:offset and returns how many
	// bytes are there. When n < len(buf) the outcome tells what the next byte
	// would give; the emulator returns it only if decoding needs that byte.
	// An empty buf validates a branch target: Okay or Exception.
	Fetch(offset uint64, buf []byte, ev *x86.Event) (n int, out Outcome)
	// Read returns up to eight bytes, little-endian, zero-extended.
	Read(a Access, ev *x86.Event) (uint64, Outcome)
	// ReadBytes fills buf (a.Size bytes), for operands over eight bytes.
	ReadBytes(a Access, buf []byte, ev *x86.Event) Outcome

	// ProbeWrite translates and checks a write without storing it, and holds
	// the value (up to eight bytes) for later reads of this step.
	ProbeWrite(a Access, value uint64, ev *x86.Event) Outcome
	ProbeWriteBytes(a Access, data []byte, ev *x86.Event) Outcome
	// Write stores. Only Apply calls it.
	Write(a Access, value uint64, ev *x86.Event) Outcome
	WriteBytes(a Access, data []byte, ev *x86.Event) Outcome
	// CompareExchange stores new if memory holds old, else answers
	// CmpxchgFailed. a.Size is 1, 2, 4, 8 or 16; the arrays hold it in
	// little-endian quadwords. Only Apply calls it.
	CompareExchange(a Access, old, new [2]uint64, ev *x86.Event) Outcome
	EnqueueCommand(a Access, data *[64]byte, ev *x86.Event) (zf bool, out Outcome)

	ReadPort(port uint16, size uint8, ev *x86.Event) (uint32, Outcome)
	WritePort(port uint16, size uint8, value uint32, ev *x86.Event) Outcome

	ReadSegment(seg x86.Segment, ev *x86.Event) (x86.SegmentRegister, Outcome)
	WriteSegment(seg x86.Segment, r x86.SegmentRegister, ev *x86.Event) Outcome
	ReadControl(n uint8, ev *x86.Event) (uint64, Outcome)
	WriteControl(n uint8, value uint64, ev *x86.Event) Outcome
	ReadDebug(n uint8, ev *x86.Event) (uint64, Outcome)
	WriteDebug(n uint8, value uint64, ev *x86.Event) Outcome
	ReadXCR(n uint32, ev *x86.Event) (uint64, Outcome)
	WriteXCR(n uint32, value uint64, ev *x86.Event) Outcome
	ReadMSR(n uint32, ev *x86.Event) (uint64, Outcome)
	WriteMSR(n uint32, value uint64, explicit bool, ev *x86.Event) Outcome
	// CPUID serves the CPUID instruction alone. r is EAX, EBX, ECX, EDX.
	CPUID(leaf, subleaf uint32, ev *x86.Event) (r [4]uint32, out Outcome)

	CacheOp(op uint8, a Access, ev *x86.Event) Outcome
	TLBOp(op uint8, address, aux uint64, ev *x86.Event) Outcome
	LoadFPU(want x86.Component, into *x86.FPU, ev *x86.Event) Outcome
	SaveFPU(have x86.Component, from *x86.FPU, ev *x86.Event) Outcome

	// ProbeRepeat checks up to r.Count iterations of a string instruction as
	// Read and ProbeWrite would check each, and does none of them. With Okay it
	// answers how many the step may stage at once: those before the first that
	// would fault, or fewer as the Bus likes. 0 and 1 ask for one iteration a
	// step, as Unhandleable does; Exception and Retry end the step, before the
	// first iteration.
	ProbeRepeat(r Repeat, ev *x86.Event) (n uint64, out Outcome)
	// Repeat does the r.Count iterations, one after another: what one has
	// written the next one reads. A Bus that has answered ProbeRepeat with that
	// many does them all. Only Apply calls it.
	Repeat(r Repeat, ev *x86.Event) Outcome
	// Validate sees the decoded instruction (row, length, memory operand) and
	// may refuse it: how a caller narrows what is emulated.
	Validate(row uint16, length uint8, ev *x86.Event) Outcome
	Random(size uint8, seed bool, ev *x86.Event) (value uint64, ok bool, out Outcome)
	VMFunc(eax, ecx uint32, ev *x86.Event) Outcome
}
