package ptrace

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// unsettable is the field of a case that the child turned out not to take.
type unsettable string

func (u unsettable) Error() string { return string(u) }

func ptr[T any](p *T) unsafe.Pointer { return unsafe.Pointer(p) }

// maxIterations is how many iterations of a REP that has to be stepped are
// waited for; more than the pages of a layout allow at 16 MiB a run.
const maxIterations = 1 << 20

// do runs one case.
func (t *tracee) do(c *oracle.Case, r *oracle.Result) error {
	linear := c.CodeAddress()
	p := c.Layout.Find(linear)
	if p == nil || p.Prot&oracle.ProtExec == 0 {
		return unsettable("rip: not in an executable page of the layout")
	}
	if linear+uint64(c.CodeLen) > p.End() && c.Layout.Find(p.End()) != nil {
		return unsettable("code: crosses from one run of pages into another")
	}
	t.memory.load(c, linear)
	var buf [decode.MaxLength]byte
	o := scan(c.Instruction(&buf), c.State.Mode)
	s := stopped{how: stopStep, breakAt: -1}
	if err := t.chooseStop(c, &o, &s); err != nil {
		copy(t.memory.data, t.memory.clean)
		return err
	}
	if err := t.enter(c); err != nil {
		if errors.Is(err, syscall.EIO) || errors.Is(err, syscall.EINVAL) { // a value that the kernel does not let a tracer set
			copy(t.memory.data, t.memory.clean)
			return unsettable("registers: " + err.Error())
		}
		return err
	}
	if err := t.leave(c, &o, &s); err != nil {
		return err
	}
	if s.breakAt >= 0 {
		t.memory.data[s.breakAt] = s.covered
	}
	t.state(r)
	interpret(&s, &o, c, r)
	r.Iterations = s.iterations
	if c.State.FPU != nil {
		if err := t.xstate.get(t, r.OwnFPU()); err != nil {
			return err
		}
	}
	t.memory.collect(c, r)
	// A REP that overwrites itself may become POPF on the way: TF shows it.
	tf := (c.State.RFLAGS | s.flags) & uint64(x86.TF)
	if s.signo == sigSYS || tf != 0 || o.entersKernel() || o.loadsFlags() {
		return t.drain(c.Layout)
	}
	return nil
}

// chooseStop decides how the case is stopped. It may put an INT3 behind the
// instruction.
func (t *tracee) chooseStop(c *oracle.Case, o *opcode, s *stopped) error {
	length := o.hidesTrap(c.State.Mode)
	if t.neverStep {
		s.how = stopContinue
	}
	if length == 0 || c.State.RFLAGS&uint64(x86.TF) != 0 || t.stepRepeats && o.isString() {
		return nil
	}
	linear := c.CodeAddress() + uint64(length)
	at := t.memory.offset(linear)
	p := c.Layout.Find(linear)
	switch {
	case p == nil || p.Prot&oracle.ProtExec == 0 || t.memory.data[at] == 0xcc:
	case o.isString():
		return nil // each iteration is stepped: what lies behind may be what it reads
	case o.readsMemory() || p.Prot&oracle.ProtWrite != 0:
		return unsettable("code: no room for a breakpoint behind an instruction that may see it")
	default:
		s.breakAt, s.covered = at, t.memory.data[at]
		t.memory.data[at] = 0xcc
	}
	s.how, s.next = stopContinue, c.State.RIP+uint64(length)
	return nil
}

// enter gives the child the registers of the case.
func (t *tracee) enter(c *oracle.Case) error {
	st := &c.State
	fpu := st.FPU
	if fpu == nil {
		fpu = initial
	}
	if err := t.xstate.set(t, fpu); err != nil {
		return err
	}
	if (t.regs.Eflags^st.RFLAGS)&uint64(x86.ID) != 0 {
		if err := t.setID(c.Layout, st.RFLAGS); err != nil {
			return err
		}
	}
	g := &st.GPR
	r := &t.regs
	r.Rax, r.Rcx, r.Rdx, r.Rbx, r.Rsp, r.Rbp, r.Rsi, r.Rdi = g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7]
	r.R8, r.R9, r.R10, r.R11, r.R12, r.R13, r.R14, r.R15 = g[8], g[9], g[10], g[11], g[12], g[13], g[14], g[15]
	r.Rip, r.Eflags = st.RIP, st.RFLAGS
	r.Fs_base, r.Gs_base = c.FSBase, c.GSBase
	sel := &st.Selector
	r.Cs, r.Ss = uint64(sel[x86.CS]), uint64(sel[x86.SS])
	r.Ds, r.Es, r.Fs, r.Gs = nullSelector(sel[x86.DS]), nullSelector(sel[x86.ES]), nullSelector(sel[x86.FS]), nullSelector(sel[x86.GS])
	return t.setRegs()
}

// nullSelector: ptrace sets no null selector but 0, and the kernel makes the
// others 0 on its way in.
func nullSelector(v uint16) uint64 {
	if v <= 3 {
		return 0
	}
	return uint64(v)
}

// leave lets the child run the instruction and reads what became of it.
func (t *tracee) leave(c *oracle.Case, o *opcode, s *stopped) error {
	how := uintptr(unix.PTRACE_SINGLESTEP)
	if s.how == stopContinue {
		how = unix.PTRACE_CONT
	}
	for range maxIterations {
		counter := t.regs.Rcx
		sig, err := t.resume(how)
		if err != nil {
			return err
		}
		s.signo, s.code, s.addr = int(sig), int(t.info.code), t.info.addr
		if err := t.getRegs(); err != nil {
			return err
		}
		s.rip, s.flags = t.regs.Rip, t.regs.Eflags
		if o.rep && o.isString() {
			s.iterations += o.count(counter - t.regs.Rcx)
		}
		again := s.stepped(o) && o.iterates() && s.rip == c.State.RIP
		if !again || c.State.RFLAGS&uint64(x86.TF) != 0 {
			return t.fpuStatus(s)
		}
	}
	s.signo = 0 // ran away
	return nil
}

// fpuStatus reads FSW.ES where the signal does not say which unit it came from.
func (t *tracee) fpuStatus(s *stopped) error {
	if s.signo != sigFPE {
		return nil
	}
	if err := t.regSet(unix.PTRACE_GETREGSET); err != nil {
		return err
	}
	s.pendingFPU = t.xstate.image[xFSW]&fswES != 0
	return nil
}

// state copies the registers into a result.
func (t *tracee) state(res *oracle.Result) {
	r := &t.regs
	res.State.GPR = [x86.NumGPR]uint64{
		r.Rax, r.Rcx, r.Rdx, r.Rbx, r.Rsp, r.Rbp, r.Rsi, r.Rdi, r.R8, r.R9, r.R10, r.R11, r.R12, r.R13, r.R14, r.R15,
	}
	res.FSBase, res.GSBase = r.Fs_base, r.Gs_base
	sel := &res.State.Selector
	sel[x86.ES], sel[x86.CS], sel[x86.SS] = uint16(nullSelector(uint16(r.Es))), uint16(r.Cs), uint16(r.Ss)
	sel[x86.DS], sel[x86.FS], sel[x86.GS] = uint16(nullSelector(uint16(r.Ds))), uint16(nullSelector(uint16(r.Fs))), uint16(nullSelector(uint16(r.Gs)))
}

// inCodePage runs a few bytes, ending in INT3, in the child's first code page in
// 64-bit mode, and puts the page back.
func (t *tracee) inCodePage(l *oracle.Layout, code []byte, flags uint64) error {
	at := t.memory.at[l.Code]
	page := t.memory.data[at : at+64]
	var saved [64]byte
	copy(saved[:], page)
	copy(page, code)
	addr := l.Pages[l.Code].Address
	r := &t.regs
	r.Rip, r.Rsp, r.Rax, r.Eflags = addr, addr+32, flags, flagsFixed
	r.Cs, r.Ss, r.Ds, r.Es, r.Fs, r.Gs, r.Fs_base, r.Gs_base = selCS64, selData, 0, 0, 0, 0, 0, 0
	for i := range 8 {
		page[32+i] = byte(flags >> (8 * i))
	}
	if err := t.setRegs(); err != nil {
		return err
	}
	end := addr + uint64(len(code))
	// A trap that is still pending comes first.
	for range 4 {
		sig, err := t.resume(unix.PTRACE_CONT)
		if err != nil {
			return err
		}
		if err := t.getRegs(); err != nil {
			return err
		}
		if sig == unix.SIGTRAP && t.info.code == codeKernel && t.regs.Rip == end {
			copy(page, saved[:])
			return nil
		}
	}
	return fmt.Errorf("ptrace: a breakpoint at %#x was not reached, the child is at %#x: %w", end, t.regs.Rip, errDead)
}

// setID changes RFLAGS.ID, which SETREGS leaves alone: the child itself executes
// POPF.
func (t *tracee) setID(l *oracle.Layout, flags uint64) error {
	return t.inCodePage(l, []byte{0x9d, 0xcc}, flags&uint64(x86.ID)|flagsFixed) // POPFQ; INT3
}

// drain lets the child run to a breakpoint without being stepped, after cases
// that leave something behind for the next: a system call that was stepped
// leaves a SIGTRAP; where TF is the child's own (a case with TF, POPF, IRET) the
// kernel goes on showing TF as the child's until a step is followed by none.
func (t *tracee) drain(l *oracle.Layout) error {
	return t.inCodePage(l, []byte{0xcc}, t.regs.Eflags)
}
