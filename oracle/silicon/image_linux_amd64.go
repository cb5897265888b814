package silicon

import (
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"

	"golang.org/x/sys/cpu"
	"golang.org/x/sys/unix"

	"github.com/seed-4e121ece/ringfence/internal/seccomp"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// Descriptors of the child: its standard ones are closed.
const (
	fdRing  = 3
	fdPages = 4
)

// userEnd is the end of the user's half of the address space with four-level
// paging; nothing of the child lies above, with five levels either.
const userEnd = 0x7ffffffff000

// tickPeriod is the period of the CPU-time timer; a case that sees two ticks ran
// away. The kernel's tick makes it coarser.
const tickPeriod = 4_000_000 // ns

// image is the executable of a child and the names of its setup calls.
type image struct {
	elf   []byte
	steps []string
}

// builder collects the table of system calls.
type builder struct {
	img   []byte // what is mapped at base
	base  uint64
	calls []call
	names []string
	data  int // next free byte for data that calls point at
}

func (b *builder) call(name string, ignore bool, nr uint64, args ...uint64) {
	c := call{nr: nr, ordinal: uint64(len(b.calls))}
	copy(c.arg[:], args)
	if ignore {
		c.ignore = 1
	}
	b.calls = append(b.calls, c)
	b.names = append(b.names, name)
}

// put stores data for a call and returns its address in the child.
func (b *builder) put(data []byte) uint64 {
	b.data = (b.data + 15) &^ 15
	at := b.data
	b.data += copy(b.img[at:], data)
	return b.base + uint64(at)
}

func words(v ...uint64) []byte {
	var out []byte
	for _, w := range v {
		out = binary.LittleEndian.AppendUint64(out, w)
	}
	return out
}

func buildImage(g *geometry, base uint64, p pads, canary uint64, slots, slotSize int) (*image, error) {
	b := &builder{img: make([]byte, imageSize), base: base, data: offData}
	if err := copyText(b.img, base); err != nil {
		return nil, err
	}
	if err := writeConfig(b.img, g, base, canary, slots, slotSize); err != nil {
		return nil, err
	}
	binary.LittleEndian.PutUint32(b.img[offInit+24:], 0x1f80) // MXCSR after INIT (SDM vol. 1, 10.2.3)
	b.mapMemory(g, p, slots, slotSize)
	b.settle()
	if err := b.filter(); err != nil {
		return nil, err
	}
	if len(b.calls) >= maxCalls || b.data > imageSize {
		return nil, fmt.Errorf("silicon: layout needs %d setup calls, expected fewer than %d", len(b.calls), maxCalls)
	}
	at := offCalls
	for _, c := range append(b.calls, call{nr: callsDone}) {
		*(*call)(unsafe.Pointer(&b.img[at])) = c
		at += int(unsafe.Sizeof(c))
	}
	return &image{elf: elfFile(b.img, base), steps: b.names}, nil
}

// mapMemory maps the ring first, so that a later failure can be told through
// it, then the rest, unmapping all that the kernel has put into the process.
func (b *builder) mapMemory(g *geometry, p pads, slots, slotSize int) {
	const (
		rw     = unix.PROT_READ | unix.PROT_WRITE
		shared = unix.MAP_SHARED | unix.MAP_FIXED_NOREPLACE | unix.MAP_POPULATE
		anon   = unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_FIXED_NOREPLACE | unix.MAP_POPULATE
		none   = ^uint64(0)
	)
	ringSize := uint64(ringHeader + slots*slotSize)
	ringSize = (ringSize + 4095) &^ 4095
	b.call("mmap of the ring", false, unix.SYS_MMAP, b.base+offRing, ringSize, rw, shared, fdRing, 0)
	b.call("mmap of the runner's page", false, unix.SYS_MMAP, b.base+offPrivate, 4096, rw, anon, none, 0)
	b.call("mmap of the signal stack", false, unix.SYS_MMAP, b.base+offAltStk, altStkSize, rw, anon, none, 0)
	b.call("mmap of the pages' alias", false, unix.SYS_MMAP, b.base+offAlias, uint64(g.bytes), rw, shared, fdPages, 0)
	at := uint64(0)
	for _, keep := range [][2]uint64{
		{b.base, b.base + imageSize},
		{b.base + offPrivate, b.base + offPrivate + 4096},
		{b.base + offAltStk, b.base + offAltStk + altStkSize},
		{b.base + offRing, b.base + offRing + ringSize},
		{b.base + offAlias, b.base + offAlias + uint64(g.bytes)},
		{userEnd, userEnd},
	} {
		// A kernel that seals the vDSO refuses; then it stays, and system calls
		// from it are filtered like any other.
		b.call("munmap", true, unix.SYS_MUNMAP, at, keep[0]-at)
		at = keep[1]
	}
	trampolines := []uint64{p.low, p.near}
	if p.low == p.near {
		trampolines = trampolines[:1]
	}
	for _, at := range trampolines {
		b.call("mmap of the trampoline", false, unix.SYS_MMAP, at, oracle.PageSize, unix.PROT_READ|unix.PROT_EXEC, shared, fdPages, uint64(g.bytes))
	}
	for _, r := range g.runs {
		prot := uint64(unix.PROT_READ)
		if r.prot&oracle.ProtWrite != 0 {
			prot |= unix.PROT_WRITE
		}
		if r.prot&oracle.ProtExec != 0 {
			prot |= unix.PROT_EXEC
		}
		b.call(fmt.Sprintf("mmap of the pages at %#x (%v)", r.addr, r.prot), false, unix.SYS_MMAP,
			r.addr, r.end-r.addr, prot, shared, fdPages, r.file)
	}
}

// settle closes what was inherited and arms signals and timer.
func (b *builder) settle() {
	for fd := range uint64(5) {
		b.call("close", true, unix.SYS_CLOSE, fd)
	}
	// Whoever started this process may have left it descriptors without
	// close-on-exec. The child could not use them; where a container does not
	// know the call (Linux 5.9), they stay.
	b.call("close_range", true, unix.SYS_CLOSE_RANGE, 0, math.MaxUint32, 0)
	b.call("prctl(SET_NAME)", true, unix.SYS_PRCTL, unix.PR_SET_NAME, b.put([]byte("ringfence-cpu\x00")))
	b.call("setrlimit(CORE)", true, unix.SYS_SETRLIMIT, unix.RLIMIT_CORE, b.put(words(0, 0)))
	// Bytes that run behind an instruction of unknown length may be RDTSC: it
	// faults, so that runs repeat. CPUID repeats anyway on one machine, and to
	// make it fault (arch_prctl, ARCH_SET_CPUID) costs two writes of an MSR for
	// each batch, which a hypervisor intercepts: 12 µs were measured.
	b.call("prctl(SET_TSC)", true, unix.SYS_PRCTL, unix.PR_SET_TSC, unix.PR_TSC_SIGSEGV)
	b.call("sigaltstack", false, unix.SYS_SIGALTSTACK, b.put(words(b.base+offAltStk, 0, altStkSize)), 0)
	const (
		siginfo  = 0x4
		restorer = 0x04000000
		onStack  = 0x08000000
		noDefer  = 0x40000000
	)
	action := b.put(words(b.base+offHandler, siginfo|restorer|onStack|noDefer, b.base+offHandler, 0))
	for _, sig := range []uint64{sigILL, sigTRAP, sigBUS, sigFPE, sigSEGV, sigALRM, sigSYS} {
		b.call("rt_sigaction", false, unix.SYS_RT_SIGACTION, sig, action, 0, 8)
	}
	// struct sigevent: value, signo, notify = SIGEV_SIGNAL.
	event := b.put(append(words(0, sigALRM), make([]byte, 48)...))
	timer := b.base + offPrivate + uint64(unsafe.Offsetof(private{}.timer))
	b.call("timer_create(THREAD_CPUTIME)", false, unix.SYS_TIMER_CREATE, unix.CLOCK_THREAD_CPUTIME_ID, event, timer)
	b.call("timer_settime", false, unix.SYS_TIMER_SETTIME, 0, 0, b.put(words(0, tickPeriod, 0, tickPeriod)), 0)
}

// filter makes the last two calls: from then on only the runner may call, and
// only what it needs.
func (b *builder) filter() error {
	prog, err := seccomp.Policy{
		Calls:     []uint32{unix.SYS_FUTEX, unix.SYS_RT_SIGRETURN, unix.SYS_EXIT_GROUP, unix.SYS_MODIFY_LDT},
		Text:      b.base,
		TextSize:  offTextEnd,
		Otherwise: seccomp.Trap,
	}.Program()
	if err != nil {
		return fmt.Errorf("silicon: %w", err)
	}
	fprog := b.put(words(uint64(len(prog)), b.put(seccomp.Bytes(prog))))
	b.call("prctl(NO_NEW_PRIVS)", false, unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1)
	b.call("seccomp(SET_MODE_FILTER)", false, unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, fprog)
	return nil
}

func writeConfig(img []byte, g *geometry, base, canary uint64, slots, slotSize int) error {
	if unsafe.Sizeof(config{}) > offInit-offConfig {
		return fmt.Errorf("silicon: config is %d bytes, expected at most %d", unsafe.Sizeof(config{}), offInit-offConfig)
	}
	if len(g.windows) > maxWindows || len(g.runs) > maxRuns {
		return fmt.Errorf("silicon: layout has %d windows and %d runs of pages, expected at most %d and %d",
			len(g.windows), len(g.runs), maxWindows, maxRuns)
	}
	cfg := (*config)(unsafe.Pointer(&img[offConfig]))
	cfg.canary = canary
	cfg.slotMask = uint64(slots - 1)
	cfg.slotSize = uint64(slotSize)
	cfg.avx2 = oneIf(cpu.X86.HasAVX2 && g.narrow < 2)
	cfg.xrstor = oneIf(cpu.X86.HasOSXSAVE)
	cfg.vectors = min(vectorClass(), uint64(vectorsZMM-g.narrow))
	cfg.rewrite = oneIf(g.writableCode || g.codeWindow)
	for _, w := range g.windows {
		r := &g.runs[w.run]
		cfg.window[cfg.windows] = window{
			alias:  base + offAlias + r.file + (w.addr - r.addr),
			in:     uint64(windowsIn + w.offset),
			out:    uint64(windowsIn + g.winSize + w.offset),
			blocks: w.length / blockBytes,
			fill:   uint64(r.fill) * 0x0101010101010101,
		}
		cfg.windows++
	}
	for _, r := range g.runs {
		if r.prot&oracle.ProtWrite == 0 {
			continue // nothing can write there
		}
		cfg.run[cfg.runs] = checkedRun{
			alias:   base + offAlias + r.file,
			blocks:  (r.end - r.addr) / checkBytes,
			fill:    uint64(r.fill) * 0x0101010101010101,
			address: r.addr,
		}
		cfg.runs++
	}
	return nil
}

// vectorClass is how the vector registers are loaded and stored.
func vectorClass() uint64 {
	switch {
	case cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW:
		return vectorsZMM
	case cpu.X86.HasAVX:
		return vectorsYMM
	}
	return vectorsXMM
}

func oneIf(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// windowsIn is the offset of the windows in a slot.
const windowsIn = int((unsafe.Sizeof(slot{}) + 63) &^ 63)

// elfFile wraps what is to be mapped at base, readable and executable, in an
// ELF64 file whose entry point is base (System V ABI, chapter 4 and 5).
func elfFile(mapped []byte, base uint64) []byte {
	const (
		fileOff = 4096
		phentsz = 56
	)
	out := make([]byte, 0, fileOff+len(mapped))
	u16 := func(v ...uint16) {
		for _, w := range v {
			out = binary.LittleEndian.AppendUint16(out, w)
		}
	}
	u32 := func(v ...uint32) {
		for _, w := range v {
			out = binary.LittleEndian.AppendUint32(out, w)
		}
	}
	out = append(out, 0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	u16(2, 62) // ET_EXEC, EM_X86_64
	u32(1)
	out = append(out, words(base+offStart, 64, 0)...) // entry, program headers, no sections
	u32(0)
	u16(64, phentsz, 2, 0, 0, 0)
	u32(1, 5) // PT_LOAD, R+X
	out = append(out, words(fileOff, base, base, uint64(len(mapped)), uint64(len(mapped)), 4096)...)
	u32(0x6474e551, 6) // PT_GNU_STACK, RW
	out = append(out, words(0, 0, 0, 0, 0, 16)...)
	out = append(out, make([]byte, fileOff-len(out))...)
	return append(out, mapped...)
}
