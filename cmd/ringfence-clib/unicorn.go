package main

import (
	"fmt"
	"runtime"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/seed-4e121ece/ringfence/oracle/external"
	"github.com/seed-4e121ece/ringfence/oracle/external/clib"
)

// Values of unicorn.h of version 2.
const (
	unicornMajor  = 2
	unicornX86    = 4
	unicornMode64 = 1 << 3

	unicornProtRead  = 1
	unicornProtWrite = 2
	unicornProtExec  = 4

	unicornHookInterrupt = 1 << 0
	unicornHookCode      = 1 << 2
	// unicornHookMemory is all accesses that are not allowed.
	unicornHookMemory = 0x3f << 4

	unicornInsnInvalid = 10

	// uc_ctl: the model of the CPU, and the removal of translated code.
	unicornSetModel    = 7 | 1<<26 | 1<<30
	unicornRemoveCache = 9 | 2<<26 | 1<<30
	// unicornCPU is Icelake-Client: what matters is that it is Intel's.
	unicornCPU = 25
)

// Kinds of access that the hook of memory is told (uc_mem_type).
const (
	unicornReadUnmapped = 19 + iota
	unicornWriteUnmapped
	unicornFetchUnmapped
	unicornWriteProtected
	unicornReadProtected
	unicornFetchProtected
)

// unicorn is the library, with one machine in long mode on which code of the
// three modes runs.
type unicorn struct {
	f struct {
		version, open, mapMemory, unmapMemory, write, read, writeReg, readReg, start, stop, hook, control uintptr
		allocContext, saveContext, restoreContext                                                         uintptr
	}
	engine, fresh uintptr
	// layout are the pages that are mapped.
	layout []oracle.Pages
	// buf is what registers and memory cross in; page has a page as it was.
	buf  block
	page []byte
	in   decode.Inst
	// What the hooks were told in the run in hand: how many instructions began,
	// of which left are still to come, and where the one after the last is.
	vector      int
	fault       x86.Event
	faulted     bool
	start, next uint64
	left, steps int
	done        bool
}

// unicornProfile has every instruction of the table; what the library lacks is
// told apart by feature.
var unicornProfile = isa.Profile{Name: "all", Features: isa.AllFeatures(), VirtualBits: 48}

func newUnicorn() (*external.Engine, error) {
	lib, err := load("libunicorn.so.2", "libunicorn.2.dylib")
	if err != nil {
		return nil, absent(clib.Unicorn, err)
	}
	u := &unicorn{buf: newBlock(oracle.PageSize), page: make([]byte, oracle.PageSize)}
	f := &u.f
	err = lib.symbols(map[string]*uintptr{
		"uc_version": &f.version, "uc_open": &f.open, "uc_mem_map": &f.mapMemory, "uc_mem_unmap": &f.unmapMemory,
		"uc_mem_write": &f.write, "uc_mem_read": &f.read, "uc_reg_write": &f.writeReg, "uc_reg_read": &f.readReg,
		"uc_emu_start": &f.start, "uc_emu_stop": &f.stop, "uc_hook_add": &f.hook, "uc_ctl": &f.control,
		"uc_context_alloc": &f.allocContext, "uc_context_save": &f.saveContext, "uc_context_restore": &f.restoreContext,
	})
	if err != nil {
		return nil, absent(clib.Unicorn, err)
	}
	version := uint32(call(f.version, 0, 0))
	if version>>24 != unicornMajor {
		return nil, fmt.Errorf("unicorn: version %d: the constants of %d are known alone", version>>24, unicornMajor)
	}
	if err := u.open(); err != nil {
		return nil, err
	}
	hello := external.Hello{
		Name: clib.Unicorn, Version: fmt.Sprintf("%d.%d.%d", version>>24, version>>16&0xff, version>>8&0xff),
		Modes: []string{x86.Long64.String(), x86.Compat32.String(), x86.Compat16.String()}, About: clib.Find(clib.Unicorn).About,
		Unknown: unicornUnknown.Names(),
	}
	return &external.Engine{Hello: hello, Executor: u}, nil
}

// unicornUnknown is what the library's interface does not tell; of a page fault
// it tells what makes the error code.
const unicornUnknown = oracle.FieldRetire | oracle.FieldAccesses | oracle.FieldFPU

// open makes the machine and its hooks.
func (u *unicorn) open() error {
	f := &u.f
	if err := u.check("uc_open", call(f.open, unicornX86, unicornMode64, u.buf.address())); err != nil {
		return err
	}
	u.engine = uintptr(u.buf.u64(0))
	if err := u.check("uc_ctl", call(f.control, u.engine, unicornSetModel, unicornCPU)); err != nil {
		return err
	}
	if err := u.check("uc_mem_map", call(f.mapMemory, u.engine, unicornSystem, oracle.PageSize, unicornProtRead|unicornProtWrite|unicornProtExec)); err != nil {
		return err
	}
	interrupt := callback(func(_ uintptr, vector uint32, _ uintptr) {
		if u.vector < 0 {
			u.vector = int(vector)
		}
		call(f.stop, u.engine)
	})
	memory := callback(func(_ uintptr, kind uint32, address uintptr, _ uint32, _, _ uintptr) uintptr {
		if !u.faulted {
			u.fault, u.faulted = unicornFault(kind, uint64(address)), true
		}
		return 0
	})
	code := callback(func(_ uintptr, address uintptr, _ uint32, _ uintptr) { u.instruction(uint64(address)) })
	for hook, cb := range map[uintptr]uintptr{unicornHookInterrupt: interrupt, unicornHookMemory: memory, unicornHookCode: code} {
		if err := u.check("uc_hook_add", call(f.hook, u.engine, u.buf.address(), hook, cb, 0, 1, 0)); err != nil {
			return err
		}
	}
	if err := u.controls(); err != nil {
		return err
	}
	if err := u.check("uc_context_alloc", call(f.allocContext, u.engine, u.buf.address())); err != nil {
		return err
	}
	u.fresh = uintptr(u.buf.u64(0))
	return u.check("uc_context_save", call(f.saveContext, u.engine, u.fresh))
}

func (u *unicorn) check(what string, code uintptr) error {
	runtime.KeepAlive(u)
	if uint32(code) != 0 {
		return fmt.Errorf("unicorn: %s: error %d", what, uint32(code))
	}
	return nil
}

// unicornFault is the #PF of an access that is not allowed.
func unicornFault(kind uint32, address uint64) x86.Event {
	code := uint32(x86.PFUser)
	switch kind {
	case unicornWriteUnmapped, unicornWriteProtected:
		code |= x86.PFWrite
	case unicornFetchUnmapped, unicornFetchProtected:
		code |= x86.PFFetch
	}
	if kind >= unicornWriteProtected {
		code |= x86.PFPresent
	}
	return x86.PageFault(code, address)
}

// Name implements oracle.Executor.
func (u *unicorn) Name() string { return clib.Unicorn }

// Close implements oracle.Executor. The process ends with the conversation.
func (u *unicorn) Close() error { return nil }

// Run implements oracle.Executor.
func (u *unicorn) Run(cases []oracle.Case, results []oracle.Result) error {
	for i := range cases {
		c, r := &cases[i], &results[i]
		*r = oracle.Result{Memory: r.Memory, Unknown: unicornUnknown, State: c.State, FSBase: c.FSBase, GSBase: c.GSBase}
		var buf [decode.MaxLength]byte
		decode.Decode(&u.in, c.Instruction(&buf), c.State.Mode, &unicornProfile)
		if why := u.unsupported(c); why != "" {
			r.Ending, r.Note = oracle.Unsupported, why
			continue
		}
		if err := u.run(c, r); err != nil {
			return err
		}
	}
	return nil
}

// run runs a case: it enters user mode as a kernel does, and then makes the one
// instruction.
func (u *unicorn) run(c *oracle.Case, r *oracle.Result) error {
	if err := u.load(c); err != nil {
		return err
	}
	u.begin(unicornSystem+unicornStub, len(unicornEntry))
	if code := u.emulate(unicornSystem + unicornStub); code != 0 || u.vector >= 0 || u.faulted {
		r.Ending, r.Note = oracle.Unsupported, fmt.Sprintf("segments: IRET to the case's state gives error %d, vector %d", code, u.vector)
		return nil
	}
	if err := u.registers(c); err != nil {
		return err
	}
	u.begin(c.CodeAddress(), 1)
	code := u.emulate(c.State.RIP)
	if u.left < 0 && u.next == u.start && u.steps > unicornIterations {
		r.Ending, r.Note = oracle.RanAway, "iterations of a REP"
		return nil
	}
	if err := u.save(c, r); err != nil {
		return err
	}
	u.outcome(c, r, code)
	return nil
}

// unicornIterations bounds the iterations of a REP, by the bytes that are
// mapped.
const unicornIterations = 16 * oracle.PageSize

// begin prepares the hooks for a run of some instructions from an address.
func (u *unicorn) begin(start uint64, instructions int) {
	u.vector, u.faulted = -1, false
	u.start, u.left, u.steps, u.done = start, instructions, 0, false
}

// emulate runs until the hooks stop it.
func (u *unicorn) emulate(at uint64) uint32 {
	return uint32(call(u.f.start, u.engine, uintptr(at), unicornUntil, 0, 0))
}

// unicornUntil is an address that no case comes to.
const unicornUntil = unicornSystem + 0xff0

// instruction is called before each instruction with its linear address, of one
// with a REP before each iteration.
func (u *unicorn) instruction(at uint64) {
	u.steps++
	repeats := u.start != unicornSystem+unicornStub && u.in.Prefix&(decode.PrefixRep|decode.PrefixRepne) != 0 && isa.Get(u.in.Row).Attr&(isa.AttrRep|isa.AttrRepZ) != 0
	if repeats && at == u.start && u.steps <= unicornIterations {
		u.left = 0
		return
	}
	if u.left--; u.left < 0 && !u.done {
		u.next, u.done = at, true
		call(u.f.stop, u.engine)
	}
}

// outcome says how the instruction ended, by what the hooks were told. The
// library's own RIP is a linear address or an offset, by how it came to stop.
func (u *unicorn) outcome(c *oracle.Case, r *oracle.Result, code uint32) {
	r.State.RIP = c.State.RIP
	switch {
	case u.vector >= 0:
		r.Outcome = step.Exception
		u.event(c, r)
	case u.faulted && u.steps > 0 && u.fault.ErrorCode&x86.PFFetch != 0:
		// The instruction is done; it is the next that cannot be fetched.
		r.Outcome, r.Steps = step.Okay, 1
		r.State.RIP = u.offset(c, r, u.fault.Address)
	case u.faulted:
		r.Outcome, r.Event = step.Exception, u.fault
	case code == unicornInsnInvalid && u.in.Valid() && u.in.Map == isa.MapOne && u.in.Opcode == 0xcd && u.in.Imm == x86.VectorUD:
		u.vector = x86.VectorUD // INT 6
		r.Outcome = step.Exception
		u.event(c, r)
	case code == unicornInsnInvalid:
		r.Outcome, r.Event = step.Exception, x86.Fault(x86.VectorUD)
	case code != 0:
		r.Ending, r.Note = oracle.Died, fmt.Sprintf("uc_emu_start: error %d", code)
	default:
		r.Outcome, r.Steps = step.Okay, 1
		r.State.RIP = u.offset(c, r, u.next)
	}
}

// offset is RIP at a linear address, in the CS that a result has.
func (u *unicorn) offset(c *oracle.Case, r *oracle.Result, linear uint64) uint64 {
	cs := r.State.Selector[x86.CS]
	base := uint64(0)
	if cs == c.State.Selector[x86.CS] {
		base = c.SegmentBase(x86.CS)
	} else {
		for i := range c.LDT {
			if c.LDT[i].Selector>>3 == cs>>3 && cs&4 != 0 {
				base = c.LDT[i].Base
			}
		}
	}
	if cs == oracle.SelectorCS64 {
		return linear
	}
	return uint64(uint32(linear - base))
}

// event is the exception or interrupt of the vector that the hook was told.
func (u *unicorn) event(c *oracle.Case, r *oracle.Result) {
	in := &u.in
	v := uint8(u.vector)
	software := x86.EventNone
	if in.Valid() && in.Map == isa.MapOne {
		switch {
		case in.Opcode == 0xcd && uint8(in.Imm) == v:
			software = x86.EventSoftwareInterrupt
		case in.Opcode == 0xcc && v == x86.VectorBP, in.Opcode == 0xce && v == x86.VectorOF:
			software = x86.EventSoftwareException
		case in.Opcode == 0xf1 && v == x86.VectorDB:
			software = x86.EventPrivSoftwareException
		}
	}
	if software != x86.EventNone {
		r.Event = x86.Event{Type: software, Vector: v, Length: in.Length}
		return
	}
	r.Event = x86.Fault(v)
	r.Unknown |= oracle.FieldErrorCode // the hook is told the vector alone
}
