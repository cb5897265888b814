package main

import (
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/seed-4e121ece/ringfence/oracle/external"
	"github.com/seed-4e121ece/ringfence/oracle/external/clib"
)

// The struct cs_insn of capstone 4, by offset (capstone.h), and values.
const (
	capstoneInsnSize   = 240
	capstoneLength     = 16
	capstoneMnemonic   = 34
	capstoneOperands   = 66
	capstoneInsnDetail = 232

	capstoneArchX86 = 3
	capstoneMajor   = 4
)

// capstoneModes are the modes, by CS_MODE_16, 32 and 64.
var capstoneModes = map[x86.Mode]uintptr{x86.Compat16: 1 << 1, x86.Compat32: 1 << 2, x86.Long64: 1 << 3}

// capstone is the library.
type capstone struct {
	disassemble uintptr
	handles     map[x86.Mode]uintptr
	// in is a cs_insn without detail; the rest are the arguments that
	// cs_disasm_iter takes by address.
	in, code, at block
	ok           bool
}

func newCapstone() (*external.Engine, error) {
	c := &capstone{handles: map[x86.Mode]uintptr{}, in: newBlock(capstoneInsnSize), code: newBlock(16), at: newBlock(24)}
	lib, err := load("libcapstone.so.4", "libcapstone.4.dylib")
	if err != nil {
		return nil, absent(clib.Capstone, err)
	}
	var open, version uintptr
	if err := lib.symbols(map[string]*uintptr{"cs_open": &open, "cs_version": &version, "cs_disasm_iter": &c.disassemble}); err != nil {
		return nil, absent(clib.Capstone, err)
	}
	numbers := newBlock(16)
	call(version, numbers.address(), numbers.address()+8)
	if numbers.u32(0) != capstoneMajor {
		return nil, fmt.Errorf("capstone: version %d.%d: the layout of 4 is known alone", numbers.u32(0), numbers.u32(8))
	}
	var modes []string
	for mode, m := range capstoneModes {
		handle := newBlock(8)
		if e := call(open, capstoneArchX86, m, handle.address()); e != 0 {
			return nil, fmt.Errorf("capstone: cs_open for %s: error %d", mode, e)
		}
		c.handles[mode] = uintptr(handle.u64(0))
		modes = append(modes, mode.String())
	}
	slices.Sort(modes)
	hello := external.Hello{
		Name: clib.Capstone, Version: fmt.Sprintf("%d.%d", numbers.u32(0), numbers.u32(8)),
		Modes: modes, About: clib.Find(clib.Capstone).About, Unknown: []string{"operands"},
	}
	return &external.Engine{Hello: hello, Decoder: c, Text: c.text}, nil
}

// Name implements oracle.Decoder.
func (c *capstone) Name() string { return clib.Capstone }

// Decode implements oracle.Decoder. Of what capstone answers, validity, length
// and name are taken; its operands are in the text alone.
func (c *capstone) Decode(code []byte, mode x86.Mode, d *oracle.Decoded) {
	*d = oracle.Decoded{Covered: true}
	n := copy(c.code, code)
	c.at.putU64(0, uint64(c.code.address()))
	c.at.putU64(8, uint64(n))
	c.at.putU64(16, 0)
	r := call(c.disassemble, c.handles[mode], c.at.address(), c.at.address()+8, c.at.address()+16, c.in.address())
	runtime.KeepAlive(c)
	if c.ok = uint8(r) != 0; !c.ok {
		d.Reason = "invalid"
		return
	}
	if length := c.in.u16(capstoneLength); length >= 1 && int(length) <= min(n, 15) {
		d.Length = uint8(length)
	} else {
		d.Reason, c.ok = fmt.Sprintf("%d bytes", length), false
		return
	}
	d.Valid, d.UnknownOperands = true, true
	d.Mnemonic = capstoneName(text(c.in[capstoneMnemonic:capstoneOperands]))
	if m, ok := strings.CutPrefix(d.Mnemonic, "VPCMPEQ"); ok && comparesByImmediate(code, mode) {
		d.Mnemonic = "VPCMP" + m
	}
}

// comparesByImmediate says whether the string is EVEX with map 3, where VPCMPEQB
// and the like are not the instructions of that name but VPCMPB with 0 as its
// immediate.
func comparesByImmediate(code []byte, mode x86.Mode) bool {
	var l oracle.Lexed
	l.Lex(code, mode)
	return l.Escape == oracle.EscapeEVEX && l.MapNumber == 3
}

// capstoneName returns the manual's name: capstone writes prefixes before it.
func capstoneName(text string) string {
	words := strings.Fields(text)
	if len(words) == 0 {
		return "?"
	}
	name := strings.ToUpper(words[len(words)-1])
	if n, ok := capstoneNames[name]; ok {
		return n
	}
	for _, r := range capstonePredicates {
		if m := r.FindStringSubmatch(name); m != nil {
			return strings.Join(m[1:], "")
		}
	}
	return name
}

// capstonePredicates are names with the comparison that the immediate selects,
// or with the size of a memory operand (VCVTPD2DQX), in them.
var capstonePredicates = []*regexp.Regexp{
	regexp.MustCompile(`^(V?CMP)[A-Z_]+(PS|PD|SS|SD)$`),
	regexp.MustCompile(`^(VPCMP)(?:EQ|LT|LE|NEQ|NLT|NLE|GE|GT|FALSE|TRUE)(U[BWDQ])$`),
	regexp.MustCompile(`^(VPCMP)(?:LT|LE|NEQ|NLT|NLE)([BWDQ])$`),
	regexp.MustCompile(`^(VPCOM)(?:EQ|LT|LE|NEQ|GE|GT|FALSE|TRUE)(U?[BWDQ])$`),
	regexp.MustCompile(`^(VCVTT?PD2(?:DQ|PS))[XY]$`),
}

// capstoneNames are the names that are not the manual's, or not the one of
// several that the table has.
var capstoneNames = map[string]string{
	"MOVABS": "MOV", "WAIT": "FWAIT", "RETFQ": "RETF", "LJMP": "JMP", "LCALL": "CALL", "UD2B": "UD1",
	"PUSHAL": "PUSHAD", "POPAL": "POPAD", "PUSHAW": "PUSHA", "POPAW": "POPA",
	"FENI8087_NOP": "FNENI", "FDISI8087_NOP": "FNDISI", "FSETPM": "FNSETPM", "FSTPNCE": "FSTP", "XSTORERNG": "XSTORE",
}

// text returns what was decoded last.
func (c *capstone) text([]byte, x86.Mode) string {
	if !c.ok {
		return ""
	}
	return strings.TrimSpace(text(c.in[capstoneMnemonic:capstoneOperands]) + " " + text(c.in[capstoneOperands:capstoneInsnDetail]))
}
