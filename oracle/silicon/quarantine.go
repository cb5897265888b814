package silicon

// Instructions whose result depends on this machine, its kernel or its
// hypervisor rather than on the case. They are not run.

// Conditions of a quarantine row on the last F2 or F3 and the 66 prefix; 0 is any.
const (
	with66 = 1 << iota
	withF2
	withF3
	withNone
)

// Conditions on the ModRM byte beside its bits.
const (
	formAny = iota
	formMemory
	formRegister
)

type quarantineRow struct {
	opmap    uint8
	opcode   byte
	modrm    byte // compared under mask; mask 0 compares nothing
	mask     byte
	form     uint8
	prefixes uint8
	reason   string
}

const (
	reasonTime      = "the time-stamp and performance counters differ at every run"
	reasonTables    = "descriptor tables are the kernel's"
	reasonUMIP      = "emulated by the kernel (UMIP), with constants"
	reasonRandom    = "random"
	reasonHyper     = "answered by the hypervisor"
	reasonProcessor = "tells the CPU's number, features or components"
	reasonTSX       = "transactions abort at random"
	reasonWait      = "waits for time or for a store"
	reasonKeys      = "protection keys belong to the process"
	reasonEntry     = "goes to the kernel's entry point, which loses the return address"
	reasonXState    = "its image depends on the components that CPU and kernel offer"
	reasonPASID     = "depends on the process's address space identifier"
)

const (
	reg = 0x38 // mask of ModRM.reg
	all = 0xff
)

var quarantine = []quarantineRow{
	{map0F, 0x31, 0, 0, formAny, 0, reasonTime},                                        // RDTSC
	{map0F, 0x33, 0, 0, formAny, 0, reasonTime},                                        // RDPMC: CR4.PCE is the kernel's
	{map0F, 0x01, 0xf9, all, formRegister, 0, reasonTime},                              // RDTSCP
	{map0F, 0x01, 0xfd, all, formRegister, 0, reasonTime},                              // RDPRU
	{map0F, 0xa2, 0, 0, formAny, 0, reasonProcessor},                                   // CPUID
	{map0F, 0xc7, 7 << 3, reg, formRegister, withF3, reasonProcessor},                  // RDPID
	{map0F, 0x01, 0xd0, all, formRegister, 0, reasonProcessor},                         // XGETBV
	{map0F, 0xc7, 6 << 3, reg, formRegister, 0, reasonRandom},                          // RDRAND
	{map0F, 0xc7, 7 << 3, reg, formRegister, with66 | withF2 | withNone, reasonRandom}, // RDSEED
	{map0F, 0x00, 0 << 3, reg, formAny, 0, reasonUMIP},                                 // SLDT
	{map0F, 0x00, 1 << 3, reg, formAny, 0, reasonUMIP},                                 // STR
	{map0F, 0x01, 0 << 3, reg, formMemory, 0, reasonUMIP},                              // SGDT
	{map0F, 0x01, 1 << 3, reg, formMemory, 0, reasonUMIP},                              // SIDT
	{map0F, 0x01, 4 << 3, reg, formAny, 0, reasonUMIP},                                 // SMSW
	{map0F, 0x01, 0xc0, all, formRegister, 0, reasonHyper},                             // ENCLV
	{map0F, 0x01, 0xc1, all, formRegister, 0, reasonHyper},                             // VMCALL
	{map0F, 0x01, 0xd9, all, formRegister, 0, reasonHyper},                             // VMMCALL
	{map0F, 0x01, 0xd4, all, formRegister, 0, reasonHyper},                             // VMFUNC
	{map0F, 0x01, 0xd7, all, formRegister, 0, reasonHyper},                             // ENCLU
	{map0F, 0x01, 0xd5, all, formRegister, 0, reasonTSX},                               // XEND
	{map0F, 0x01, 0xd6, all, formRegister, 0, reasonTSX},                               // XTEST
	{mapOne, 0xc7, 0xf8, all, formRegister, 0, reasonTSX},                              // XBEGIN
	{mapOne, 0xc6, 0xf8, all, formRegister, 0, reasonTSX},                              // XABORT
	{map0F, 0x01, 0xc8, 0xfe, formRegister, 0, reasonWait},                             // MONITOR, MWAIT
	{map0F, 0x01, 0xfa, 0xfe, formRegister, 0, reasonWait},                             // MONITORX, MWAITX, MCOMMIT
	{map0F, 0xae, 6 << 3, reg, formRegister, with66 | withF2 | withF3, reasonWait},     // TPAUSE, UMWAIT, UMONITOR
	{map0F, 0x01, 0xee, 0xfe, formRegister, 0, reasonKeys},                             // RDPKRU, WRPKRU
	{map0F, 0x34, 0, 0, formAny, 0, reasonEntry},                                       // SYSENTER
	{map0F, 0xae, 4 << 3, reg, formMemory, withNone, reasonXState},                     // XSAVE; F3 is PTWRITE
	{map0F, 0xae, 5 << 3, reg, formMemory, withNone, reasonXState},                     // XRSTOR
	{map0F, 0xae, 6 << 3, reg, formMemory, withNone, reasonXState},                     // XSAVEOPT
	{map0F, 0xc7, 3 << 3, reg, formMemory, 0, reasonXState},                            // XRSTORS
	{map0F, 0xc7, 4 << 3, reg, formMemory, 0, reasonXState},                            // XSAVEC
	{map0F, 0xc7, 5 << 3, reg, formMemory, 0, reasonXState},                            // XSAVES
	{map0F38, 0xf8, 0, 0, formMemory, withF2 | withF3, reasonPASID},                    // ENQCMD, ENQCMDS
}

// prefixSet is the bit of a row's prefixes that an instruction has.
func (s *shape) prefixSet() uint8 {
	switch {
	case s.rep == 0xf2:
		return withF2
	case s.rep == 0xf3:
		return withF3
	case s.opsize:
		return with66
	}
	return withNone
}

// quarantined returns the reason why an instruction is not run, or "".
func quarantined(s *shape) string {
	if s.vex || s.opmap == mapOne && s.opcode != 0xc6 && s.opcode != 0xc7 {
		return ""
	}
	for i := range quarantine {
		q := &quarantine[i]
		if q.opmap != s.opmap || q.opcode != s.opcode || (s.modrm^q.modrm)&q.mask != 0 {
			continue
		}
		if q.form == formMemory && s.modrm >= 0xc0 || q.form == formRegister && s.modrm < 0xc0 {
			continue
		}
		if q.prefixes != 0 && q.prefixes&s.prefixSet() == 0 {
			continue
		}
		return q.reason
	}
	return ""
}

// Cases, rather than instructions, that Linux does not let through. It takes
// every #AC that comes while RFLAGS.AC is clear for a locked access that
// crosses a cache line (handle_user_split_lock in arch/x86/kernel).
const (
	reasonIRETAlign = "IRET loads AC and then pops from a misaligned stack; the kernel takes the #AC for a split lock and tries again for ever"
	reasonSplitLock = "a locked access crosses a cache line, which this kernel detects and slows down or refuses"
)

// quarantinedCase returns the reason why a case is not run, or "". splitLock
// says that the kernel detects split locks.
func quarantinedCase(s *shape, m *memory, next uint64, splitLock bool) string {
	switch {
	case s.looksUp() && !knownSelector(s.selector(m, next)):
		return reasonTables
	case s.class == classIRET && iretAligns(s, m):
		return reasonIRETAlign
	case splitLock && s.memory && (s.lock || s.exchanges()):
		if size := s.lockedSize(); s.effective(m.c, next)%64+size > 64 {
			return reasonSplitLock
		}
	}
	return ""
}

// looksUp is true of VERR, VERW, LAR and LSL, which look at the descriptor of a
// selector.
func (s *shape) looksUp() bool {
	if s.opmap != map0F || s.vex {
		return false
	}
	return s.opcode == 0x00 && s.modrm>>4&3 == 2 || s.opcode == 0x02 || s.opcode == 0x03
}

// selector reads the r/m operand of such an instruction; 0 if it is not there.
func (s *shape) selector(m *memory, next uint64) uint16 {
	if !s.memory {
		return uint16(m.c.State.GPR[s.modrm&7|s.rex&1<<3])
	}
	at := s.effective(m.c, next)
	low, ok := m.at(at)
	high, both := m.at(at + 1)
	if !ok || !both {
		return 0
	}
	return uint16(low) | uint16(high)<<8
}

// knownSelector says that what a selector names is the same on every machine:
// nothing, the user segments of the kernel, or an entry of the local table.
func knownSelector(v uint16) bool {
	switch v &^ 3 {
	case 0, selectorCS32 &^ 3, SelectorSS &^ 3, SelectorCS64 &^ 3:
		return true
	}
	return v&4 != 0
}

// iretAligns says that the image of an IRET sets AC and the stack is not
// aligned to the operand size. The 16-bit image has no AC.
func iretAligns(s *shape, m *memory) bool {
	size := uint64(4)
	switch {
	case s.rex&8 != 0:
		size = 8
	case s.opBytes == 2:
		return false
	}
	rsp := m.stackTop()
	b, ok := m.at(rsp + 2*size + 2)
	return ok && b&(1<<2) != 0 && rsp%size != 0
}

// exchanges is true of XCHG, which locks without being asked.
func (s *shape) exchanges() bool {
	return s.opmap == mapOne && !s.vex && (s.opcode == 0x86 || s.opcode == 0x87)
}

// lockedSize is the size of the operand of a locked instruction.
func (s *shape) lockedSize() uint64 {
	wide := uint64(0)
	if s.rex&8 != 0 {
		wide = 1
	}
	switch {
	case s.opmap == map0F && s.opcode == 0xc7:
		return 8 << wide
	case s.opcode&1 == 0 && !(s.opmap == map0F && s.opcode == 0xba):
		return 1
	case s.opBytes == 2 && wide == 0:
		return 2
	}
	return 4 << wide
}
