package oracle

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// SchemaVersion is the version of the case schema and of the divergence
// record.
const SchemaVersion = 1

// Defaults of the case schema.
const (
	// DefaultRIP and DefaultRSP, of all modes but 16-bit, are in the code and stack pages of the default
	// layout; all other general-purpose registers are 0.
	DefaultRIP = CodeBase
	DefaultRSP = StackBase + PageSize
	// DefaultRFLAGS is IF and the bit that is always 1.
	DefaultRFLAGS = uint64(x86.IF | x86.FlagsFixed)
	// DefaultCS and DefaultSS are the selectors of 64-bit user code under
	// Linux; the other selectors are 0.
	DefaultCS, DefaultSS = 0x33, 0x2b
	// MaxSteps bounds the key "steps".
	MaxSteps = 1 << 20
)

// DefaultState is the state of a case that says nothing of it.
func DefaultState() x86.State {
	s := x86.State{Mode: x86.Long64, StackWidth: 64, CPL: 3, RIP: DefaultRIP, RFLAGS: DefaultRFLAGS}
	s.GPR[x86.RSP] = DefaultRSP
	s.Selector[x86.CS], s.Selector[x86.SS] = DefaultCS, DefaultSS
	return s
}

// ParseCase reads a case from JSON: one object, in the schema of `ringfence
// exec`. Registers have the defaults of DefaultStateOf. A memory entry maps the whole
// pages that it touches, with zero outside it; its access is letters of "rwxu"
// (default "rwu"; u is needed at CPL 3), and with "length" its bytes are
// repeated to that length. When no entry is executable, the pages of "code"
// are mapped too. The bytes of "code" stand over what the memory says.
//
// Keys of the schema that a Case cannot express yet are checked and named in
// Case.Extra. An error is an *InputError.
func ParseCase(data []byte) (*Case, error) {
	p := caseParser{scanner: newScanner(data), c: &Case{State: DefaultState(), Steps: 1}, given: map[string]bool{}}
	if err := p.object(p.key); err != nil {
		return nil, err
	}
	if err := p.end(); err != nil {
		return nil, err
	}
	if err := p.finish(); err != nil {
		return nil, err
	}
	return p.c, nil
}

// caseParser is a case being read.
type caseParser struct {
	*scanner
	c       *Case
	entries []entry
	hasCode bool
	hasCPL  bool
	// regAt and memAt are where those keys stood.
	regAt, memAt, segAt int64
	// given are the registers that the case names, segments those with a
	// hidden part.
	given    map[string]bool
	segments map[x86.Segment]x86.SegmentRegister
}

// extraKeys are keys of the schema that no engine supports yet.
var extraKeys = []string{
	"profile", "vendor", "features", "gdtr", "idtr", "msrs", "cpuid", "shadow", "ports", "hooks", "race", "options", "until", "stop",
}

func (p *caseParser) key(key string, at int64) error {
	var err error
	var n int64
	switch key {
	case "schema":
		if n, err = p.integer(0, 1<<31); err == nil && n != SchemaVersion {
			return p.errorf(at, "schema %d: this program reads schema %d", n, SchemaVersion)
		}
	case "mode":
		var name string
		if name, at, err = p.str(); err == nil {
			if p.c.State.Mode, err = x86.ParseMode(name); err != nil {
				return p.errorf(at, "%v", err)
			}
		}
	case "code":
		p.hasCode = true
		return p.code()
	case "registers":
		p.regAt = at
		return p.object(p.register)
	case "segments":
		p.segAt = at
		return p.object(p.segment)
	case "ldt":
		return p.array(p.descriptor)
	case "memory":
		p.memAt = at
		return p.array(p.memory)
	case "cpl":
		n, err = p.integer(0, 3)
		p.c.State.CPL, p.hasCPL = uint8(n), true
	case "steps":
		n, err = p.integer(1, MaxSteps)
		p.c.Steps = int(n)
	case "nmi_blocked", "fill":
		var set bool
		if set, err = p.boolean(); set {
			p.extra(key)
		}
	case "paging":
		var v string
		if v, at, err = p.str(); err == nil {
			switch v {
			case "flat":
			case "tables":
				p.extra(key)
			default:
				return p.errorf(at, "%q: want flat or tables", v)
			}
		}
	default:
		if !slices.Contains(extraKeys, key) {
			return p.errorf(at, "no such key in the case schema")
		}
		p.extra(key)
		return p.skip()
	}
	return err
}

func (p *caseParser) extra(name string) { p.c.Extra = append(p.c.Extra, name) }

func (p *caseParser) code() error {
	at := p.here()
	b, err := p.hexBytes()
	if err != nil {
		return err
	}
	if len(b) > 15 {
		return p.errorf(at, "%d bytes: want at most 15; longer code is a memory entry with access rxu", len(b))
	}
	p.c.CodeLen = uint8(copy(p.c.Code[:], b))
	return nil
}

// wideRegisters are registers of the schema that a Case cannot hold, by name
// or by name without number, with their width in bits.
var wideRegisters = []struct {
	name  string
	count int // numbered 0 to count-1; 0: no number
	bits  int
}{
	{"cr0", 0, 64},
	{"cr2", 0, 64},
	{"cr3", 0, 64},
	{"cr4", 0, 64},
	{"cr8", 0, 64},
	{"efer", 0, 64},
	{"xcr0", 0, 64},
	{"dr", 8, 64},
}

func wideRegister(name string) (bits int) {
	for _, w := range wideRegisters {
		if w.count == 0 && name == w.name {
			return w.bits
		}
		for i := range w.count {
			if name == fmt.Sprint(w.name, i) {
				return w.bits
			}
		}
	}
	return 0
}

// registerOf returns where a register of the schema is kept, nil if nowhere.
func (c *Case) registerOf(name string) *uint64 {
	switch name {
	case "rip":
		return &c.State.RIP
	case "rflags":
		return &c.State.RFLAGS
	case "fsbase":
		return &c.FSBase
	case "gsbase":
		return &c.GSBase
	}
	for n := range uint8(x86.NumGPR) {
		if x86.GPRName(n, 8) == name {
			return &c.State.GPR[n]
		}
	}
	return nil
}

func (p *caseParser) register(name string, at int64) error {
	p.given[name] = true
	if to := p.c.registerOf(name); to != nil {
		v, err := p.hexValue(64)
		*to = v
		return err
	}
	for s := range x86.Segment(x86.NumSegment) {
		if s.String() == name {
			v, err := p.hexValue(16)
			p.c.State.Selector[s] = uint16(v)
			return err
		}
	}
	if f, ok := fpuRegister(name); ok {
		return p.fpuValue(f)
	}
	bits := wideRegister(name)
	if bits == 0 {
		return p.errorf(at, "no such register: want rax to r15, rip, rflags, es to gs, fsbase, gsbase, a control, debug, x87 or vector register")
	}
	p.extra("registers." + name)
	_, err := p.hexValue(bits)
	return err
}

// finish checks what concerns several keys and lays out the memory.
func (p *caseParser) finish() error {
	c := p.c
	p.path = nil
	if !p.hasCPL && c.State.Mode == x86.Real {
		c.State.CPL = 0
	}
	if err := p.defaults(); err != nil {
		return err
	}
	c.State.RFLAGS |= uint64(x86.FlagsFixed)
	if !p.hasCode && !slices.ContainsFunc(p.entries, func(e entry) bool { return e.prot&ProtExec != 0 }) {
		return p.errorf(0, "no code: want the key code, or memory with access x")
	}
	return p.layOut()
}

// memory reads one memory entry.
func (p *caseParser) memory(int) error {
	e := entry{prot: ProtRead | ProtWrite, at: p.here()}
	hasAddress, user := false, true
	length := int64(-1)
	err := p.object(func(key string, at int64) error {
		var err error
		var text string
		switch key {
		case "address":
			hasAddress = true
			e.address, err = p.hexValue(64)
		case "bytes":
			e.bytes, err = p.hexBytes()
		case "length":
			length, err = p.integer(1, maxPages*PageSize)
		case "access":
			if text, at, err = p.str(); err == nil {
				if e.prot, user, err = parseAccess(text); err != nil {
					return p.errorf(at, "%v", err)
				}
			}
		case "space":
			if text, at, err = p.str(); err == nil {
				switch text {
				case "linear":
				case "physical":
					p.extra("memory.space")
				default:
					return p.errorf(at, "%q: want linear or physical", text)
				}
			}
		case "device", "reads":
			p.extra("memory." + key)
			return p.skip()
		default:
			return p.errorf(at, "no such key in a memory entry: want address, bytes, length, access, space, device or reads")
		}
		return err
	})
	if err != nil {
		return err
	}
	if !hasAddress {
		return p.errorf(e.at, "no address")
	}
	if !user {
		p.extra("memory.access")
	}
	if err := e.repeat(length); err != nil {
		return p.errorf(e.at, "%v", err)
	}
	p.entries = append(p.entries, e)
	return nil
}

// parseAccess reads the letters of a memory entry's access.
func parseAccess(text string) (prot Protection, user bool, err error) {
	for _, l := range text {
		switch l {
		case 'r':
			prot |= ProtRead
		case 'w':
			prot |= ProtWrite
		case 'x':
			prot |= ProtExec
		case 'u':
			user = true
		default:
			return 0, false, fmt.Errorf("%q: %q is no access: want letters of rwxu", text, l)
		}
	}
	if prot&ProtRead == 0 || strings.Count(text, "r") > 1 {
		return 0, false, fmt.Errorf("%q: want r, then letters of wxu", text)
	}
	return prot, user, nil
}
