package ptrace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/seed-4e121ece/ringfence/internal/seccomp"
	"github.com/seed-4e121ece/ringfence/internal/shm"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// callGate is all the code that is ever executed in the child beside the tests:
// SYSCALL; INT3. The tracer sets the registers of each call of the setup.
var callGate = []byte{0x0f, 0x05, 0xcc}

const (
	userEnd  = 0x7ffffffff000
	fdPages  = 3   // the child's descriptor of the pages
	fdFloor  = 100 // keeps other descriptors clear of those that the child is given
	dataAt   = 64  // where data of a setup call lies in the page of the gate
	tickTime = 10_000
)

// newTracee starts a child for a layout and a local descriptor table and sets it
// up. The calling thread
// becomes its tracer and must be locked to its goroutine.
func newTracee(l *oracle.Layout, table *ldt, unfiltered, listed bool) (_ *tracee, err error) {
	if err := l.Validate(); err != nil {
		return nil, fmt.Errorf("ptrace: layout: %w", err)
	}
	t := &tracee{cpu: -1, layout: l, table: *table}
	defer func() {
		if err != nil {
			t.close()
		}
	}()
	if t.pages, err = shm.New("ptrace-pages", pageBytes(l)); err != nil {
		return nil, fmt.Errorf("ptrace: %w", err)
	}
	t.memory = newMemory(l, t.pages.Bytes())
	base, err := freePage(l)
	if err != nil {
		return nil, err
	}
	if err = t.start(base); err != nil {
		return nil, err
	}
	s := setup{t: t, gate: base, unfiltered: unfiltered, listed: listed}
	if err = s.run(); err != nil {
		return nil, err
	}
	copy(t.memory.data, t.memory.clean)
	return t, t.xstate.init(t)
}

// freePage returns an address for the first page of the child's code that the
// layout does not use.
func freePage(l *oracle.Layout) (uint64, error) {
	for base := uint64(0x5a0000000000); base > 1<<32; base >>= 1 {
		free := true
		for _, p := range l.Pages {
			if p.Address < base+2*oracle.PageSize && base < p.End()+oracle.PageSize {
				free = false
			}
		}
		if free {
			return base, nil
		}
	}
	return 0, errors.New("ptrace: no room for a page beside the layout")
}

// start executes the gate, stopped before its first instruction.
func (t *tracee) start(base uint64) error {
	fd, err := unix.MemfdCreate("ptrace", unix.MFD_CLOEXEC|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3 every memfd is executable
		fd, err = unix.MemfdCreate("ptrace", unix.MFD_CLOEXEC)
	}
	if err != nil {
		return fmt.Errorf("ptrace: memfd_create (executable): %w", err)
	}
	defer func() { _ = unix.Close(fd) }() // nothing to lose
	high, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, fdFloor)
	if err != nil {
		return fmt.Errorf("ptrace: duplicate a descriptor above %d: %w", fdFloor, err)
	}
	defer func() { _ = unix.Close(high) }()
	if _, err := unix.Pwrite(high, gateFile(base), 0); err != nil {
		return fmt.Errorf("ptrace: write the child's image: %w", err)
	}
	none := ^uintptr(0)
	t.pid, err = syscall.ForkExec(fmt.Sprintf("/proc/self/fd/%d", high), []string{"ringfence-ptrace"}, &syscall.ProcAttr{
		Dir: "/", Env: []string{}, Files: []uintptr{none, none, none, uintptr(t.pages.FD())},
		Sys: &syscall.SysProcAttr{Ptrace: true, Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		t.pid = 0
		return fmt.Errorf("ptrace: start the child (a traced executable in memory): %w", err)
	}
	sig, err := t.wait()
	if err != nil {
		return fmt.Errorf("ptrace: the child ended before its first instruction: %w", err)
	}
	if sig != unix.SIGTRAP {
		return fmt.Errorf("ptrace: the child began with signal %v, expected SIGTRAP", sig)
	}
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PTRACE, unix.PTRACE_SETOPTIONS, uintptr(t.pid), 0, unix.PTRACE_O_EXITKILL, 0, 0); errno != 0 {
		return fmt.Errorf("ptrace: SETOPTIONS(EXITKILL): %w", errno)
	}
	return nil
}

// setup makes system calls in the child.
type setup struct {
	t    *tracee
	gate uint64 // where the gate is
	page []byte // the page of the gate, once it is one of the layout's
	used int    // bytes of data in it
	// For tests, see Executor.
	unfiltered, listed bool
}

// call makes one system call and returns what it returned.
func (s *setup) call(name string, nr uint64, args ...uint64) (uint64, error) {
	var a [6]uint64
	copy(a[:], args)
	t := s.t
	t.regs = syscall.PtraceRegs{
		Rip: s.gate, Cs: selCS64, Ss: selData, Eflags: flagsFixed, Rax: nr,
		Rdi: a[0], Rsi: a[1], Rdx: a[2], R10: a[3], R8: a[4], R9: a[5],
	}
	if err := t.setRegs(); err != nil {
		return 0, err
	}
	sig, err := t.resume(unix.PTRACE_CONT)
	if err != nil {
		return 0, fmt.Errorf("ptrace: %s in the child: %w", name, err)
	}
	if err := t.getRegs(); err != nil {
		return 0, err
	}
	if want := s.gate + uint64(len(callGate)); sig != unix.SIGTRAP || t.regs.Rip != want {
		return 0, fmt.Errorf("ptrace: %s in the child: signal %v at %#x, expected SIGTRAP at %#x", name, sig, t.regs.Rip, want)
	}
	s.used = 0
	if v := t.regs.Rax; v > ^uint64(4095) {
		return v, fmt.Errorf("ptrace: the child's %s was refused: %w", name, syscall.Errno(-v))
	}
	return t.regs.Rax, nil
}

// put places data for the next call and returns its address in the child.
func (s *setup) put(data []byte) uint64 {
	at := dataAt + (s.used+15)&^15
	s.used = at - dataAt + copy(s.page[at:], data)
	return s.gate + uint64(at)
}

func words(v ...uint64) []byte {
	var out []byte
	for _, w := range v {
		out = binary.LittleEndian.AppendUint64(out, w)
	}
	return out
}

// run maps the pages, moves the gate into the code page and unmaps all else,
// then closes, limits and filters. The filter is the last call.
func (s *setup) run() error {
	if err := s.mapPages(); err != nil {
		return err
	}
	code := &s.t.layout.Pages[s.t.layout.Code]
	at := s.t.memory.at[s.t.layout.Code]
	s.page, s.gate = s.t.memory.data[at:at+oracle.PageSize], code.Address
	copy(s.page, callGate)
	unmap := s.unmapRest
	if s.listed {
		unmap = s.unmapListed
	}
	if err := unmap(); err != nil {
		return err
	}
	// Older kernels and some containers do not know the call; then the
	// descriptors stay, out of the child's reach behind the filter.
	if _, err := s.call("close_range", unix.SYS_CLOSE_RANGE, 0, math.MaxUint32, 0); err != nil {
		for fd := range uint64(fdPages + 1) {
			_, _ = s.call("close", unix.SYS_CLOSE, fd) // those that are not open are refused
		}
	}
	for _, c := range []struct {
		name   string
		ignore bool
		nr     uint64
		args   []uint64
	}{
		{"prctl(SET_NAME)", true, unix.SYS_PRCTL, []uint64{unix.PR_SET_NAME, s.put([]byte("ringfence-step\x00"))}},
		{"setrlimit(CORE)", true, unix.SYS_SETRLIMIT, []uint64{unix.RLIMIT_CORE, s.put(words(0, 0))}},
		{"prctl(SET_TSC)", true, unix.SYS_PRCTL, []uint64{unix.PR_SET_TSC, unix.PR_TSC_SIGSEGV}}, // so that runs repeat
		{"prctl(NO_NEW_PRIVS)", false, unix.SYS_PRCTL, []uint64{unix.PR_SET_NO_NEW_PRIVS, 1}},
	} {
		if _, err := s.call(c.name, c.nr, c.args...); err != nil && !c.ignore {
			return err
		}
	}
	for i := range s.t.table {
		if d := &s.t.table[i]; *d != (userDesc{}) {
			if _, err := s.call("modify_ldt", unix.SYS_MODIFY_LDT, modifyLDTWrite, s.put(d.bytes()), 16); err != nil {
				return err
			}
		}
	}
	// The clock counts the CPU time of the child, in its own code and in the
	// kernel: some cases make the kernel try again for ever.
	tick := s.put(words(0, tickTime, 0, tickTime))
	if _, err := s.call("setitimer(PROF)", unix.SYS_SETITIMER, 2, tick, 0); err != nil {
		return err
	}
	if s.unfiltered {
		return nil
	}
	return s.filter()
}

func (s *setup) mapPages() error {
	offset := uint64(0)
	for _, p := range s.t.layout.Pages {
		prot := uint64(unix.PROT_READ)
		if p.Prot&oracle.ProtWrite != 0 {
			prot |= unix.PROT_WRITE
		}
		if p.Prot&oracle.ProtExec != 0 {
			prot |= unix.PROT_EXEC
		}
		size := uint64(p.Count) * oracle.PageSize
		got, err := s.call(fmt.Sprintf("mmap of the pages at %#x (%v)", p.Address, p.Prot), unix.SYS_MMAP,
			p.Address, size, prot, unix.MAP_SHARED|unix.MAP_FIXED_NOREPLACE|unix.MAP_POPULATE, fdPages, offset)
		if err != nil {
			return err
		}
		if got != p.Address { // before Linux 4.17 the flag is not known
			return fmt.Errorf("ptrace: pages were mapped at %#x, expected %#x", got, p.Address)
		}
		offset += size
	}
	return nil
}

// unmapRest unmaps what the kernel has put into the process, stack and vDSO
// included, and the first gate.
func (s *setup) unmapRest() error {
	at := uint64(0)
	unmap := func(end uint64) error {
		if at >= end {
			return nil
		}
		_, err := s.call("munmap", unix.SYS_MUNMAP, at, end-at)
		return err
	}
	for run := range s.t.memory.byAddress {
		p := &s.t.layout.Pages[run]
		if err := unmap(p.Address); err != nil {
			return s.unmapListed()
		}
		at = p.End()
	}
	if err := unmap(userEnd); err != nil {
		return s.unmapListed()
	}
	return nil
}

// unmapListed unmaps one by one what /proc lists. A kernel that seals its vDSO
// refuses to unmap that: it stays, and system calls from it are refused like any
// other.
func (s *setup) unmapListed() error {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", s.t.pid))
	if err != nil {
		return fmt.Errorf("ptrace: list of the child's mappings: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		var low, high uint64
		if _, err := fmt.Sscanf(line, "%x-%x", &low, &high); err != nil {
			return fmt.Errorf("ptrace: mapping of the child %q: %w", line, err)
		}
		if s.t.layout.Find(low) != nil || low >= userEnd {
			continue
		}
		if _, err := s.call("munmap", unix.SYS_MUNMAP, low, high-low); err != nil && !strings.Contains(line, "[v") {
			return err
		}
	}
	return nil
}

// filter refuses every system call from now on: SIGSYS, and nothing is done.
func (s *setup) filter() error {
	prog, err := seccomp.Policy{Otherwise: seccomp.Trap}.Program()
	if err != nil {
		return fmt.Errorf("ptrace: %w", err)
	}
	fprog := s.put(words(uint64(len(prog)), s.put(seccomp.Bytes(prog))))
	_, err = s.call("seccomp(SET_MODE_FILTER)", unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, fprog)
	return err
}

// gateFile is an ELF64 file that maps the gate at base and begins there (System
// V ABI, chapters 4 and 5).
func gateFile(base uint64) []byte {
	le := binary.LittleEndian
	out := make([]byte, oracle.PageSize, oracle.PageSize+len(callGate))
	copy(out, "\x7fELF\x02\x01\x01")
	le.PutUint16(out[16:], 2)    // ET_EXEC
	le.PutUint16(out[18:], 62)   // EM_X86_64
	le.PutUint32(out[20:], 1)    // version
	le.PutUint64(out[24:], base) // entry point
	le.PutUint64(out[32:], 64)   // program headers
	le.PutUint16(out[52:], 64)
	le.PutUint16(out[54:], 56)
	le.PutUint16(out[56:], 1)
	h := out[64:]
	le.PutUint32(h, 1) // PT_LOAD
	le.PutUint32(h[4:], 5)
	copy(h[8:], words(oracle.PageSize, base, base, uint64(len(callGate)), uint64(len(callGate)), oracle.PageSize))
	return append(out, callGate...)
}
