package decode_test

import (
	"bufio"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// xedPattern is an encoding of Intel's data files for XED, made concrete: bytes
// that it describes.
type xedPattern struct {
	class, extension, pattern, file string

	mode x86.Mode
	code []byte
	// length is that of the instruction; code goes on behind it.
	length int
	// option is a token that asks for a CPU of old, or for an option that a
	// CPU with all features has not: nothing is expected of the pattern then.
	option string
}

// readXED reads the patterns of all files below a folder.
func readXED(t *testing.T, dir string) []xedPattern {
	t.Helper()
	var all []xedPattern
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".txt") {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		list, err := readXEDFile(path, name)
		all = append(all, list...)
		return err
	}))
	return all
}

func readXEDFile(path, name string) ([]xedPattern, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []xedPattern
	var class, extension string
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line, _, _ := strings.Cut(lines.Text(), "#")
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		switch strings.TrimSpace(key) {
		case "ICLASS":
			class = strings.TrimSpace(value)
		case "EXTENSION":
			extension = strings.TrimSpace(value)
		case "PATTERN":
			if class != "" {
				e := xedEncoder{mod: -1, reg: 2, rm: -1, srm: 1, vvvv: 4, masked: 0}
				p := xedPattern{class: class, extension: extension, pattern: strings.Join(strings.Fields(value), " "), file: name}
				e.build(&p)
				all = append(all, p)
			}
		}
	}
	return all, lines.Err()
}

// xedEncoder collects what the tokens of a pattern say.
type xedEncoder struct {
	prefixes            []byte
	opcode              []byte
	rexW, rexB, modes   int // modes: 64, 32, 16 or 0
	space               byte
	mapNumber, pp, l    byte
	hasModRM, memory    bool
	mod, reg, rm, srm   int
	vsib                bool
	vvvv                byte
	masked              byte
	b, nd, nf, scc, apx bool
	condition           byte
	imm                 []string
}

var xedMaps = map[string]byte{
	"V0F": 1, "V0F38": 2, "V0F3A": 3, "MAP4": 4, "MAP5": 5, "MAP6": 6, "MAP7": 7, "XMAP8": 8, "XMAP9": 9, "XMAPA": 10,
}

var xedPrefixes = map[string]byte{
	"osz_refining_prefix": 0x66, "66_prefix": 0x66, "f3_refining_prefix": 0xf3, "refining_f3": 0xf3, "repe": 0xf3, "REP=3": 0xf3,
	"f2_refining_prefix": 0xf2, "repne": 0xf2, "REP=2": 0xf2, "lock_prefix": 0xf0,
}

// xedOptions are the tokens of patterns that are not for a CPU with everything.
var xedOptions = map[string]bool{
	"TZCNT=0": true, "LZCNT=0": true, "WBNOINVD=0": true, "CET=0": true, "PREFETCHIT=0": true, "PREFETCHRST=0": true, "MPXMODE=0": true,
	"MODE_SHORT_UD0=1": true, "MODEP5=1": true, "P4=0": true, "IBHF=1": true, "CLDEMOTE=0": true,
}

func (e *xedEncoder) build(p *xedPattern) {
	for _, tok := range strings.Fields(p.pattern) {
		if xedOptions[tok] {
			p.option = tok
		}
		e.token(tok)
	}
	p.mode = x86.Long64
	switch e.modes {
	case 32:
		p.mode = x86.Compat32
	case 16:
		p.mode = x86.Compat16
	}
	e.encode(p)
}

// token takes one word of a pattern.
func (e *xedEncoder) token(tok string) {
	if b, ok := xedPrefixes[tok]; ok {
		e.prefixes = append(e.prefixes, b)
		return
	}
	if m, ok := xedMaps[tok]; ok {
		e.mapNumber = m
		return
	}
	if n, err := strconv.ParseUint(tok, 0, 16); err == nil && strings.HasPrefix(tok, "0x") {
		e.opcode = append(e.opcode, byte(n))
		return
	}
	if strings.HasPrefix(tok, "0b") { // the upper five bits
		n, _ := strconv.ParseUint(strings.ReplaceAll(tok[2:], "_", ""), 2, 8)
		e.opcode = append(e.opcode, byte(n<<3))
		e.srm = max(e.srm, 0) | 0x100
		return
	}
	if bits, ok := strings.CutSuffix(tok, "]"); ok {
		e.field(bits)
		return
	}
	if n, ok := strings.CutPrefix(tok, "SCC"); ok {
		c, _ := strconv.Atoi(n)
		e.scc, e.condition = true, byte(c)
		return
	}
	e.word(tok)
}

// field takes REG[0b001] and the like.
func (e *xedEncoder) field(s string) {
	name, bits, _ := strings.Cut(s, "[")
	n, err := strconv.ParseUint(strings.TrimPrefix(bits, "0b"), 2, 8)
	fixed := err == nil && strings.HasPrefix(bits, "0b")
	switch name {
	case "MOD":
		e.hasModRM = true
		if fixed {
			e.mod = int(n)
		}
	case "REG":
		if fixed {
			e.reg = int(n)
		}
	case "RM":
		if fixed {
			e.rm = int(n)
		}
	case "SRM":
		if fixed {
			e.srm = int(n) | 0x100
		}
	}
}

func (e *xedEncoder) word(tok string) {
	switch tok {
	case "mode64":
		e.modes = 64
	case "mode32", "not64":
		e.modes = 32
	case "mode16":
		e.modes = 16
	case "eamode32":
		if e.modes == 16 {
			e.prefixes = append(e.prefixes, 0x67)
		}
	case "rexw_prefix", "W1":
		e.rexW = 1
	case "rexb_prefix":
		e.rexB = 1
	case "rex2_refining_prefix":
		e.space = 0xd5
	case "VV1":
		e.space = 0xc4
	case "XOPV":
		e.space = 0x8f
	case "EVV":
		e.space = 0x62
	case "V66":
		e.pp = 1
	case "VF3":
		e.pp = 2
	case "VF2":
		e.pp = 3
	case "VL256":
		e.l = 1
	case "VL512":
		e.l = 2
	case "NOVSR", "NOEVSR":
		e.vvvv = 0
	case "MOD=3", "MOD!=3", "MOD=0", "MOD=1", "MOD=2":
		e.memory = tok != "MOD=3"
		if e.mod = 3; e.memory {
			e.mod = 0
			if n, err := strconv.Atoi(tok[4:]); err == nil {
				e.mod = n
			}
		}
	case "RM=4", "SIB":
		e.rm = 4
	case "SRM=0":
		e.srm = 0x100
	case "BCRC=1":
		e.b = true
	case "MASK!=0":
		e.masked = 1
	case "ND=1":
		e.nd = true
	case "NF=1":
		e.nf = true
	case "EVAPX()", "EVAPX_SCC()":
		e.apx = true
	case "UIMM8()", "SIMM8()", "SE_IMM8()", "UIMM8_1()", "UIMM16()", "UIMM32()", "SIMMz()", "UIMMv()", "BRDISP8()", "BRDISPz()", "BRDISP32()", "BRDISP64()", "MEMDISPv()":
		e.imm = append(e.imm, strings.TrimSuffix(tok, "()"))
	}
	if strings.Contains(tok, "VMODRM_") {
		e.vsib = true
	}
}

// encode writes the bytes.
func (e *xedEncoder) encode(p *xedPattern) {
	if e.mod < 0 {
		e.mod = 3
	}
	if e.vsib {
		e.rm = 4
	}
	if e.rm < 0 {
		e.rm = 1
		if e.mod != 3 {
			e.rm = 3
		}
	}
	p.code = append(p.code, e.prefixes...)
	op := e.opcode
	last := len(op) - 1
	if last < 0 {
		p.option = "no opcode"
		return
	}
	if e.srm >= 0x100 {
		op[last] |= byte(e.srm) & 7
	}
	suffix := len(op) == 3 && op[0] == 0x0f && op[1] == 0x0f // 3DNow!: the opcode comes last
	switch e.space {
	case 0:
		if rex := byte(0x40 | e.rexW<<3 | e.rexB); rex != 0x40 {
			p.code = append(p.code, rex)
		}
	case 0xd5:
		p.code = append(p.code, 0xd5, 0)
	case 0x62:
		e.evex(p)
	default:
		p.code = append(p.code, e.space, 0xe0|e.mapNumber, byte(e.rexW)<<7|^e.vvvv&15<<3|e.l<<2|e.pp)
	}
	if suffix {
		op, last = op[:2], 1
	}
	p.code = append(p.code, op[:last+1]...)
	if e.hasModRM {
		e.modrm(p)
	}
	if suffix {
		p.code = append(p.code, e.opcode[2])
	}
	p.length = len(p.code)
	for _, kind := range e.imm {
		p.length += e.immediate(kind, p.mode)
	}
	p.code = append(p.code, make([]byte, 16)...)
}

func (e *xedEncoder) evex(p *xedPattern) {
	p2 := e.l<<5 | 8 | e.masked
	if e.vsib {
		p2 |= 1
	}
	if e.b || e.nd {
		p2 |= 0x10
	}
	if e.nf {
		p2 |= 4
	}
	if e.scc {
		p2 = p2&^0xf | e.condition
	}
	p.code = append(p.code, 0x62, 0xf0|e.mapNumber, byte(e.rexW)<<7|^e.vvvv&15<<3|4|e.pp, p2)
}

func (e *xedEncoder) modrm(p *xedPattern) {
	p.code = append(p.code, byte(e.mod<<6|e.reg<<3|e.rm))
	if e.mod == 3 {
		return
	}
	if e.rm == 4 && p.mode != x86.Compat16 {
		p.code = append(p.code, 0x0b) // RBX, and RCX or a vector as index
	}
	switch {
	case e.mod == 1:
		p.code = append(p.code, 0)
	case e.mod == 2 && p.mode == x86.Compat16:
		p.code = append(p.code, 0, 0)
	case e.mod == 2 || e.mod == 0 && e.rm == 5 && p.mode != x86.Compat16:
		p.code = append(p.code, 0, 0, 0, 0)
	}
}

// immediate is the size of an immediate or displacement.
func (e *xedEncoder) immediate(kind string, mode x86.Mode) int {
	word := mode == x86.Compat16
	if e.apx && e.pp == 1 {
		word = true
	}
	for _, b := range e.prefixes {
		if b == 0x66 {
			word = !word
		}
	}
	switch kind {
	case "UIMM16":
		return 2
	case "UIMM32", "BRDISP32":
		return 4
	case "BRDISP64":
		return 8
	case "MEMDISPv":
		return mode.Width() / 8
	case "SIMMz", "UIMMv", "BRDISPz":
		switch {
		case kind == "UIMMv" && e.rexW == 1:
			return 8
		case word && e.rexW == 0:
			return 2
		}
		return 4
	}
	return 1
}
