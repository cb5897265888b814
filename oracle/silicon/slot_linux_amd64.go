package silicon

// The layouts below are shared with the runner, which is machine code in
// another process: the assembler reads their offsets from go_asm.h, so there is
// one source. A test holds what the runner assumes beyond offsets (alignment,
// order of the registers, places that must not cross a cache line).

// The child's own part of its address space, as offsets from its base: a random
// multiple of 4 GiB, so that the low half of every address below is fixed. In
// the runner's text such an address is baseMagic plus the offset; the magic
// upper half is replaced when the image is built.
const (
	baseMagic = 0x5afec0de00000000

	offStart   = 0x0000 // runnerStart: entry point, makes the system calls of the table
	offLoop    = 0x0400 // runnerLoop: takes the next case and enters it
	offEnter   = 0x0800 // runnerEnter: code and registers, then the test
	offLand    = 0x1400 // runnerLand: the landing pad jumps here
	offHandler = 0x1800 // runnerHandler: every signal arrives here
	offTail    = 0x2000 // runnerTail: completes the answer
	offTextEnd = 0x3000 // the runner's text ends before this

	offConfig = 0x3000 // config, windows, pages
	offInit   = 0x7000 // XRSTOR image of the initial state, 64-aligned
	offCalls  = 0x8000 // table of system calls
	offData   = 0xb000 // what the system calls point at
	imageSize = 0xd000

	offPrivate = 0xf000 // private: one page, read-write
	offAltStk  = 0x100000
	altStkSize = 0x10000
	offRing    = 0x10000000
	offAlias   = 0x40000000
	spanSize   = 0x100000000 // nothing of the child's own lies beyond

	maxWindows = 128
	maxRuns    = 64
	maxCalls   = (offData - offCalls) / 72
	ripCell    = 0x5afec311 // placeholder of the displacement of JMP [RIP+d] through private.cell
	endOfText  = 0x5afe0e0d // follows each function of the runner
	ringHeader = 4096
	blockBytes = 64  // windows are copied in blocks of this size
	checkBytes = 256 // pages are checked in blocks of this size
	maxStray   = 16
	notReady   = ^uint32(0)
	exitFault  = 99  // the runner's exit status after a fault of its own
	exitSetup  = 100 // plus the index of the system call that failed
	callsDone  = ^uint64(0)
)

// Mode bits of a slot.
const (
	modeTrap      = 1 << 0 // enter through IRETQ, with TF as in the slot's flags
	modeSelectors = 1 << 1 // load DS, ES, FS and GS
	modeFPU       = 1 << 2 // initialise the x87, SSE, AVX … state first
	modeVector    = 1 << 3 // load and store the x87 and vector state
	modeCompat    = 1 << 4 // enter through a far JMP, SS loaded
	modeFSBase    = 1 << 5 // write the base of FS
	modeGSBase    = 1 << 6 // write the base of GS
	modeGrow      = 1 << 7 // as long as the fetch runs off the page, move down by a byte
)

// Registers that are loaded and stored by plain moves, in config.vectors.
const (
	vectorsXMM = 0 // XMM0 to XMM15
	vectorsYMM = 1 // YMM0 to YMM15
	vectorsZMM = 2 // ZMM0 to ZMM31, k0 to k7
)

// header is the first page of the ring.
type header struct {
	req  uint32 // cases submitted so far; written by the parent, futex of the child
	_    [60]byte
	done uint32 // cases answered when the child last went idle; futex of the parent
	_    [60]byte
	ack  uint32 // cases answered so far; written by the child after each
	_    [60]byte

	failStep  uint64 // 1 + index of the system call that failed during setup
	failErrno uint64 // what it returned
	failRIP   uint64 // a fault within the runner: where
	failSigno uint64 // and which signal
}

// slot is one case on its way to the child and its answer on the way back. The
// windows follow: all that go in, then all that come out. Everything is at a
// multiple of eight bytes, since RFLAGS.AC may be set while it is accessed.
type slot struct {
	gpr      [16]uint64
	rip      uint64
	rflags   uint64
	fsBase   uint64
	gsBase   uint64
	sel      uint64 // DS, ES, FS, GS from the low word up
	codeDst  uint64 // where the code goes, in the alias mapping
	codeFill uint64 // what takes its place afterwards
	mode     uint64
	seq      uint64 // number of the case
	landRIP  uint64 // RIP to report when the pad is reached
	far      uint64 // EIP in the low half, CS above: what a far JMP takes
	ss       uint64
	grow     uint64 // how many bytes more there are with modeGrow
	growEnd  uint64 // linear address at which the page of the code ends
	ldtCount uint64 // descriptors to change first
	_        [1]uint64
	code     [codeBytes]byte

	outGPR    [16]uint64
	outRIP    uint64
	outRFLAGS uint64
	outFSBase uint64
	outGSBase uint64
	outSel    uint64 // as sel
	outCSSS   uint64 // CS in the low word, SS in the next but two (as in a signal frame)
	outKind   uint64
	outSigno  uint64
	outCode   uint64 // si_code, 32 bits
	outTrap   uint64
	outErr    uint64
	outCR2    uint64
	outAddr   uint64
	outStrays uint64 // how many quadwords outside the windows changed
	outSeq    uint64 // seq + config.canary, written last
	_         [1]uint64
	outBytes  [codeBytes]byte // the code bytes after the run
	stray     [maxStray]strayWord
	ldt       [maxLDT]userDesc
	fpuIn     fpuArea
	fpuOut    fpuArea
}

// private is the child's scratch page. The runner, in assembler, uses the fields
// that nothing here does.
//
//lint:ignore U1000 the layout is shared with the assembler
type private struct {
	rax      uint64 // RAX of the test, stored by the landing pad
	cell     uint64 // RIP of the test, for JMP [RIP+d]
	current  uint64 // address of the slot in hand
	ack      uint64 // cases answered so far
	tick     uint64 // 1 + ack when the timer last fired within a test
	iret     [5]uint64
	lastDst  uint64 // where code of an earlier case still lies, 0 nowhere
	lastFill uint64
	_        [4]uint64
	timer    uint64
	_        [64]uint64
	stackTop uint64
}

// config tells the runner about slots, windows and pages. It is read-only in
// the child. The tables follow it: maxWindows of window, maxRuns of run.
type config struct {
	canary   uint64
	slotMask uint64 // number of slots - 1; a power of two less one
	slotSize uint64
	windows  uint64 // number of windows
	runs     uint64 // number of runs to check
	avx2     uint64 // check with 32-byte loads
	xrstor   uint64 // XRSTOR exists
	vectors  uint64 // vectorsXMM …
	rewrite  uint64 // code pages are writable or have windows: put the fill back after each case
	_        [7]uint64
	window   [maxWindows]window
	run      [maxRuns]checkedRun
}

// window is a range of whole blocks that travels with each case.
type window struct {
	alias  uint64 // address in the alias mapping
	in     uint64 // offset in the slot of what goes in
	out    uint64 // and of what comes out
	blocks uint64 // length in blockBytes
	fill   uint64 // what takes its place afterwards
}

// checkedRun is a run of writable pages that must be all fill between cases.
type checkedRun struct {
	alias   uint64
	blocks  uint64 // length in checkBytes
	fill    uint64
	address uint64 // as the test sees it
}

// call is one system call of the setup.
type call struct {
	nr      uint64 // callsDone ends the table
	arg     [6]uint64
	ignore  uint64 // 1: go on if it fails
	ordinal uint64 // its index in the table
}
