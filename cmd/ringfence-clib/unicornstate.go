package main

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// The system's own page, where no case has one: descriptor tables, the IRET by
// which user mode is entered, and what it pops.
const (
	unicornSystem = 0x0000_6fff_dead_0000
	unicornGDT    = 0x000
	unicornLDT    = 0x400
	unicornStub   = 0x800
	unicornFrame  = 0x900

	unicornLDTEntries = 64
	// Selectors of the kernel's own segments.
	unicornKernelCS, unicornKernelSS = 0x08, 0x10
)

// Numbers of registers in unicorn/x86.h, version 2.
const (
	unicornCS     = 11
	unicornDS     = 17
	unicornEFLAGS = 25
	unicornES     = 28
	unicornFS     = 32
	unicornGS     = 33
	unicornSS     = 49
	unicornCR4    = 54
	unicornGDTR   = 243
	unicornLDTR   = 244
	unicornFSBase = 250
	unicornGSBase = 251
)

// unicornGPR are the general registers, in the order of their numbers.
var unicornGPR = [x86.NumGPR]int{35, 38, 40, 37, 44, 36, 43, 39, 106, 107, 108, 109, 110, 111, 112, 113}

// unicornSegments are the segment registers.
var unicornSegments = [x86.NumSegment]int{
	x86.ES: unicornES, x86.CS: unicornCS, x86.SS: unicornSS, x86.DS: unicornDS, x86.FS: unicornFS, x86.GS: unicornGS,
}

func (u *unicorn) reg(number int) uint64 {
	u.buf.putU64(0, 0)
	call(u.f.readReg, u.engine, uintptr(number), u.buf.address())
	return u.buf.u64(0)
}

func (u *unicorn) setReg(number int, v uint64) error {
	u.buf.putU64(0, v)
	return u.check(fmt.Sprintf("uc_reg_write of register %d", number), call(u.f.writeReg, u.engine, uintptr(number), u.buf.address()))
}

// setTable sets GDTR or LDTR: a uc_x86_mmr.
func (u *unicorn) setTable(number int, selector uint16, base uint64, limit uint32, flags uint32) error {
	u.buf.putU64(0, uint64(selector))
	u.buf.putU64(8, base)
	u.buf.putU64(16, uint64(limit)|uint64(flags)<<32)
	return u.check(fmt.Sprintf("uc_reg_write of table %d", number), call(u.f.writeReg, u.engine, uintptr(number), u.buf.address()))
}

// unicornControl4 is CR4: PAE, OSFXSR, OSXMMEXCPT, UMIP, FSGSBASE, OSXSAVE.
const unicornControl4 = 1<<5 | 1<<9 | 1<<10 | 1<<11 | 1<<16 | 1<<18

// controls sets what all cases have in common.
func (u *unicorn) controls() error {
	if err := u.setReg(unicornCR4, unicornControl4); err != nil {
		return err
	}
	if err := u.setTable(unicornGDTR, 0, unicornSystem+unicornGDT, 0x7f, 0); err != nil {
		return err
	}
	const present = 0x8200 // a present LDT, as QEMU keeps the second word of a descriptor
	return u.setTable(unicornLDTR, 0x40, unicornSystem+unicornLDT, unicornLDTEntries*8-1, present)
}

// unsupported names what of a case the library cannot take, or "".
func (u *unicorn) unsupported(c *oracle.Case) string {
	st := &c.State
	switch {
	case len(c.Extra) > 0:
		return c.Extra[0]
	case st.CPL != 3:
		return "cpl: 3 alone"
	case c.Steps > 1:
		return "steps: one instruction a case"
	case st.FPU != nil:
		return "fpu"
	}
	if !u.in.Valid() {
		return ""
	}
	row := isa.Get(u.in.Row)
	if row.Attr&(isa.AttrX87|isa.AttrVector) != 0 {
		return "code: x87 and vector state is not set"
	}
	if f := row.Missing(&unicornFeatures); f != isa.FeatureNone {
		return "code: the library has no " + f.String()
	}
	if row.Attr&isa.AttrFar != 0 && row.Attr&isa.AttrSystem != 0 && row.Attr&isa.AttrCPL0 == 0 && u.in.Opcode != 0xcf {
		return "code: enters a system that is not there" // SYSCALL, SYSENTER
	}
	return ""
}

// unicornFeatures are what its CPUID shows, the same with every model of CPU.
var unicornFeatures = func() isa.FeatureSet {
	var s isa.FeatureSet
	for _, name := range []string{
		"CMOV", "CX8", "CX16", "LAHF", "LZCNT", "BMI1", "BMI2", "ADX", "SSE", "SSE2", "SSE4_2", "CLFSH", "RDTSCP", "SMAP", "SEP", "SYSCALL", "TSC", "MSR",
	} {
		if f, err := isa.ParseFeature(name); err == nil {
			s = s.With(f)
		}
	}
	return s
}()

// load puts a case into the machine, at the IRET that enters it.
func (u *unicorn) load(c *oracle.Case) error {
	if err := u.check("uc_context_restore", call(u.f.restoreContext, u.engine, u.fresh)); err != nil {
		return err
	}
	if err := u.mapPages(c.Layout.Pages); err != nil {
		return err
	}
	for i := range c.Layout.Pages {
		p := &c.Layout.Pages[i]
		for n := range p.Count {
			at := p.Address + uint64(n)*oracle.PageSize
			u.initial(c, p, at)
			copy(u.buf, u.page)
			if err := u.check("uc_mem_write", call(u.f.write, u.engine, uintptr(at), u.buf.address(), oracle.PageSize)); err != nil {
				return err
			}
		}
		if p.Prot&oracle.ProtExec != 0 {
			call(u.f.control, u.engine, unicornRemoveCache, uintptr(p.Address), uintptr(p.End()))
		}
	}
	if err := u.system(c); err != nil {
		return err
	}
	for i, s := range unicornLoaded {
		if err := u.setReg(unicornGPR[i], uint64(c.State.Selector[s])); err != nil {
			return err
		}
	}
	return u.setReg(unicornGPR[x86.RSP], unicornSystem+unicornFrame)
}

// unicornLoaded are the segment registers that the entry to user mode loads, from
// the general registers in their order; CS and SS come with the IRET.
var unicornLoaded = [...]x86.Segment{x86.DS, x86.ES, x86.FS, x86.GS}

// unicornEntry enters user mode: MOV DS, EAX; MOV ES, ECX; MOV FS, EDX; MOV GS, EBX;
// IRETQ. The library's own way to set a segment register leaves its hidden part.
var unicornEntry = [...][]byte{{0x8e, 0xd8}, {0x8e, 0xc1}, {0x8e, 0xe2}, {0x8e, 0xeb}, {0x48, 0xcf}}

// registers sets what the entry to user mode has used.
func (u *unicorn) registers(c *oracle.Case) error {
	for i, n := range unicornGPR {
		if err := u.setReg(n, c.State.GPR[i]); err != nil {
			return err
		}
	}
	if c.Segments != nil || c.State.Mode == x86.Compat16 {
		return nil
	}
	if err := u.setReg(unicornFSBase, c.FSBase); err != nil {
		return err
	}
	return u.setReg(unicornGSBase, c.GSBase)
}

// mapPages maps a case's pages in place of those of the one before.
func (u *unicorn) mapPages(pages []oracle.Pages) error {
	if slices.Equal(u.layout, pages) {
		return nil
	}
	for _, p := range u.layout {
		if err := u.check("uc_mem_unmap", call(u.f.unmapMemory, u.engine, uintptr(p.Address), uintptr(p.Count*oracle.PageSize))); err != nil {
			return err
		}
	}
	u.layout = u.layout[:0]
	for _, p := range pages {
		prot := uintptr(0)
		for bit, to := range map[oracle.Protection]uintptr{oracle.ProtRead: unicornProtRead, oracle.ProtWrite: unicornProtWrite, oracle.ProtExec: unicornProtExec} {
			if p.Prot&bit != 0 {
				prot |= to
			}
		}
		if err := u.check("uc_mem_map", call(u.f.mapMemory, u.engine, uintptr(p.Address), uintptr(p.Count*oracle.PageSize), prot)); err != nil {
			return err
		}
		u.layout = append(u.layout, p)
	}
	return nil
}

// initial fills u.page with the page at an address as the case has it.
func (u *unicorn) initial(c *oracle.Case, p *oracle.Pages, at uint64) {
	for i := range u.page {
		u.page[i] = p.Fill
	}
	from := 0
	for _, w := range c.Layout.Windows {
		overlay(u.page, at, c.Memory[from:from+w.Length], w.Address)
		from += w.Length
	}
	overlay(u.page, at, c.CodeBytes(), c.CodeAddress())
}

// overlay copies the part of data, which lies at an address, that a page holds.
func overlay(page []byte, at uint64, data []byte, address uint64) {
	for i := range data {
		if off := address + uint64(i) - at; off < uint64(len(page)) {
			page[off] = data[i]
		}
	}
}

// system makes the system's page: the descriptors and the frame of the IRET.
func (u *unicorn) system(c *oracle.Case) error {
	clear(u.buf)
	gdt := func(selector int, base uint64, attributes uint32) {
		u.buf.putU64(unicornGDT+selector&^7, descriptor(&x86.SegmentRegister{Limit: 0xffffffff, Base: base, Attributes: attributes}))
	}
	const kernel = x86.AttrS | x86.AttrPresent | x86.AttrAccessed | x86.AttrWritable | x86.AttrG
	gdt(unicornKernelCS, 0, kernel|x86.AttrCode|x86.AttrL)
	gdt(unicornKernelSS, 0, kernel|x86.AttrDB)
	gdt(oracle.SelectorCS32, 0, oracle.AttrCode32)
	gdt(oracle.SelectorSS, 0, oracle.AttrData32)
	gdt(oracle.SelectorCS64, 0, oracle.AttrCode32&^x86.AttrDB|x86.AttrL)
	local := func(r *x86.SegmentRegister) {
		if i := int(r.Selector >> 3); r.Selector&4 != 0 && i < unicornLDTEntries {
			u.buf.putU64(unicornLDT+8*i, descriptor(r))
		}
	}
	if c.State.Mode != x86.Long64 {
		for s := range x86.Segment(x86.NumSegment) {
			r := c.Segment(s)
			local(&r)
		}
	}
	for i := range c.LDT {
		local(&c.LDT[i])
	}
	copy(u.buf[unicornStub:], slices.Concat(unicornEntry[:]...))
	st := &c.State
	for i, v := range [...]uint64{st.RIP, uint64(st.Selector[x86.CS]), st.RFLAGS, st.GPR[x86.RSP], uint64(st.Selector[x86.SS])} {
		u.buf.putU64(unicornFrame+8*i, v)
	}
	return u.check("uc_mem_write", call(u.f.write, u.engine, unicornSystem, u.buf.address(), oracle.PageSize))
}

// descriptor packs a segment (SDM vol. 3, 3.4.5).
func descriptor(r *x86.SegmentRegister) uint64 {
	limit := uint64(r.Limit)
	if r.Attributes&x86.AttrG != 0 {
		limit >>= 12
	}
	return limit&0xffff | limit&0xf0000<<32 | r.Base&0xffffff<<16 | r.Base>>24&0xff<<56 | uint64(r.Attributes)&0xf0ff<<40
}

// save reads the machine into a result.
func (u *unicorn) save(c *oracle.Case, r *oracle.Result) error {
	st := &r.State
	for i, n := range unicornGPR {
		st.GPR[i] = u.reg(n)
	}
	st.RFLAGS = u.reg(unicornEFLAGS)
	for s, n := range unicornSegments {
		st.Selector[s] = uint16(u.reg(n))
	}
	r.FSBase, r.GSBase = u.reg(unicornFSBase), u.reg(unicornGSBase)
	if c.State.Mode != x86.Long64 {
		for i := range st.GPR { // what 32-bit code cannot see
			st.GPR[i] &= 0xffffffff
			if i >= 8 {
				st.GPR[i] = c.State.GPR[i]
			}
		}
	}
	for i := range c.Layout.Pages {
		p := &c.Layout.Pages[i]
		for n := range p.Count {
			at := p.Address + uint64(n)*oracle.PageSize
			if err := u.check("uc_mem_read", call(u.f.read, u.engine, uintptr(at), u.buf.address(), oracle.PageSize)); err != nil {
				return err
			}
			u.initial(c, p, at)
			u.compare(c, r, at)
		}
	}
	slices.SortFunc(r.Stray[:min(r.NumStray, oracle.MaxStray)], func(a, b oracle.StrayWord) int {
		if a.Address < b.Address {
			return -1
		}
		return 1
	})
	return nil
}

// compare takes the windows of a page that was read into u.buf, and the words
// that changed outside them: u.page is the page as it was.
func (u *unicorn) compare(c *oracle.Case, r *oracle.Result, at uint64) {
	from := 0
	for _, w := range c.Layout.Windows {
		for i := range w.Length {
			if off := w.Address + uint64(i) - at; off < oracle.PageSize {
				r.Memory[from+i] = u.buf[off]
				u.page[off] = u.buf[off] // no stray byte
			}
		}
		from += w.Length
	}
	for off := 0; off < oracle.PageSize; off += 8 {
		v := u.buf.u64(off)
		if v == binary.NativeEndian.Uint64(u.page[off:]) {
			continue
		}
		if r.NumStray < oracle.MaxStray {
			r.Stray[r.NumStray] = oracle.StrayWord{Address: at + uint64(off), Value: v}
		}
		r.NumStray++
	}
}
