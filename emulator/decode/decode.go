package decode

import (
	"encoding/binary"

	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// entry says how the opcode of one map selects among its rows; see the
// generator's index.go for the formula.
type entry struct {
	base   uint16 // first slot
	stride uint16 // slots a ModRM class
	modrm  uint8  // index in modrmClasses
	ctx    uint8  // index in contextClasses
	flags  uint8
}

// Flags of an entry.
const (
	entryUsed = 1 << iota
	entryModRM
	// entryRegister: ModRM.mod is ignored and taken as 3.
	entryRegister
)

// hot is what decoding needs of a row.
type hot struct {
	fallback uint16
	// feature and also are what the row needs, or 0.
	feature, also uint16

	modes isa.ModeSet
	// imm and imm2 are the sizes of the immediates in bytes.
	imm, imm2 uint8
	flags     uint16
	// size is an index in operandSizes.
	size uint8
}

// Flags of a row.
const (
	hotLock = 1 << iota
	hotSigned
	hotMoffs
	hotNoVVVV
	hotVSIB
	hotControl
	hotDebug
	hotMask // ModRM.reg is an opmask register, or VEX.vvvv is
	hotDistinct
	hotFew // a register field names a tile or a bound register
	hotIs4 // the immediate names a register
)

// The bits of a context, by which a row is selected among those of an opcode.
const (
	ctxOpSize   = 1 << 0
	ctxAddrSize = 1 << 1
	ctxRep      = 1 << 2
	ctxRepne    = 1 << 3
	ctxW        = 1 << 4
	ctxB        = 1 << 5
	ctxMode     = 6 // 0 is 16-bit code, 1 32-bit, 2 64-bit on Intel, 3 64-bit on AMD

	vexW        = 1 << 2
	vexL        = 3
	vexAddrSize = 1 << 5
)

// Bits of a REX prefix.
const (
	rexB = 1 << iota
	rexX
	rexR
	rexW
)

// prefixKind classifies a first byte.
type prefixKind uint8

const (
	notPrefix prefixKind = iota
	prefixOpSize
	prefixAddrSize
	prefixRep
	prefixRepne
	prefixLock
	prefixSegment // an override that is ignored in 64-bit mode
	prefixFSGS
	prefixREX // in 64-bit mode
)

// prefixKinds classifies bytes, in 16 or 32-bit code [0] and 64-bit code [1].
var prefixKinds = func() (t [2][256]prefixKind) {
	for i := range t {
		t[i][0x66], t[i][0x67], t[i][0xf3], t[i][0xf2], t[i][0xf0] = prefixOpSize, prefixAddrSize, prefixRep, prefixRepne, prefixLock
		t[i][0x26], t[i][0x2e], t[i][0x36], t[i][0x3e] = prefixSegment, prefixSegment, prefixSegment, prefixSegment
		t[i][0x64], t[i][0x65] = prefixFSGS, prefixFSGS
	}
	for b := 0x40; b < 0x50; b++ {
		t[1][b] = prefixREX
	}
	return t
}()

// modeInfo is what the code width decides.
type modeInfo struct {
	ctx  uint8
	long uint8 // 1 in 64-bit mode
	set  isa.ModeSet
	// addr is the address size without and with 67h.
	addr [2]uint8
	// noVEX: C4, C5 and 62 are always LES, LDS and BOUND.
	noVEX bool
}

func infoOf(mode x86.Mode, vendor isa.Vendor) *modeInfo {
	return &modeInfos[infoIndex[mode&7][vendor&1]]
}

// infoIndex gives the index in modeInfos by mode and vendor.
var infoIndex = [8][2]uint8{
	x86.Real:        {4, 4},
	x86.VM86:        {4, 4},
	x86.Protected32: {1, 1},
	x86.Compat32:    {1, 1},
	x86.Long64:      {2, 3},
}

// modeInfos has 16-bit and 32-bit code, 64-bit code on Intel and on AMD, and
// real mode and virtual-8086 mode, which have no VEX (SDM vol. 2, 2.3.1).
var modeInfos = [5]modeInfo{
	{set: isa.Mode16, addr: [2]uint8{2, 4}},
	{ctx: 1 << ctxMode, set: isa.Mode32, addr: [2]uint8{4, 2}},
	{ctx: 2 << ctxMode, set: isa.Mode64, addr: [2]uint8{8, 4}, long: 1},
	{ctx: 3 << ctxMode, set: isa.Mode64, addr: [2]uint8{8, 4}, long: 1},
	{set: isa.Mode16, addr: [2]uint8{2, 4}, noVEX: true},
}

// cursor is the state of one decoding that does not go into Inst as it is.
type cursor struct {
	code []byte
	info *modeInfo
	p    *isa.Profile
	pos  int
	// ctx is the selecting context so far.
	ctx uint8
	// rex holds REX or its VEX equivalent (W, R, X, B).
	rex uint8
	// segment is the override in force, or SegNone.
	segment x86.Segment
	// forbidden: a prefix stands before VEX that must not, or a bit of EVEX is
	// not as it must be.
	forbidden bool
	// spare is bit 3 of vvvv outside 64-bit mode: no part of a register's
	// number there, but where vvvv names none, all of it must be ones (SDM
	// vol. 2, 2.3.5.6).
	spare uint8
	// high is EVEX.R' or REX2.R4, base B4 and index X4 (APX): 16 or 0.
	high, base, index uint8
}

// Decode decodes the first instruction of code, which may be longer than the
// instruction and need not be longer than MaxLength. It fills in completely,
// whatever it held, and returns in.Err. It allocates nothing.
//
// p gives vendor and features: an encoding of a missing feature decodes to
// what it is without (TZCNT is BSF then) or gives MissingFeature.
func Decode(in *Inst, code []byte, mode x86.Mode, p *isa.Profile) Reason {
	info := infoOf(mode, p.Vendor)
	// Fields are set one by one: a literal with values is built elsewhere and
	// copied, and the copy waits for the stores.
	*in = Inst{}
	in.Base, in.Index, in.Segment, in.AddrSize = x86.RegNone, x86.RegNone, x86.DS, info.addr[0]
	var c cursor
	c.code, c.info, c.p, c.ctx, c.segment = code, info, p, info.ctx, x86.SegNone

	op, ok := c.start(in)
	if !ok {
		return in.fail(&c, c.short())
	}
	in.PrefixLen = uint8(c.pos - 1)
	in.OpcodeOff = in.PrefixLen
	key := int(op)
	switch {
	case op == 0x0f:
		if key, ok = c.escape(in); !ok {
			return in.fail(&c, c.short())
		}
	case op&^1 == 0xc4 || op == 0x62 || op == 0x8f || op == 0xd5 && c.hasAPX():
		var r Reason
		if key, r = c.vex(in, op); r != Valid {
			return in.fail(&c, r)
		}
	}
	in.Map, in.Opcode = isa.Map(key>>8), uint8(key)
	if in.Map == isa.Map0F0F {
		return c.suffix(in)
	}
	return c.finish(in, key, p)
}

// fail ends decoding with a reason.
func (in *Inst) fail(c *cursor, r Reason) Reason {
	in.Row = 0
	in.Err = r
	in.Length = uint8(min(c.pos, len(c.code), MaxLength))
	return r
}

// short is the reason why a byte is not there: more than 15 bytes are needed,
// or the code ends.
func (c *cursor) short() Reason {
	if len(c.code) >= MaxLength {
		return TooLong
	}
	return Truncated
}

// start reads what stands before the opcode, and returns the opcode or escape
// byte. Most instructions have no prefix, or REX alone.
func (c *cursor) start(in *Inst) (byte, bool) {
	if len(c.code) < 2 {
		return c.prefixes(in)
	}
	kinds := &prefixKinds[c.info.long]
	b := c.code[0]
	if kinds[b] == notPrefix {
		c.pos = 1
		return b, true
	}
	if op := c.code[1]; kinds[b] == prefixREX && kinds[op] == notPrefix {
		c.rex, in.REX = b, b
		c.pos = 2
		return op, true
	}
	return c.prefixes(in)
}

// prefixes reads legacy prefixes and REX and returns the byte after them.
func (c *cursor) prefixes(in *Inst) (byte, bool) {
	kinds := &prefixKinds[c.info.long]
	code := c.code
	for i, b := range code {
		k := kinds[b]
		if k == notPrefix {
			c.pos = i + 1
			return b, i < MaxLength
		}
		if k == prefixREX {
			// It counts only directly before the opcode.
			c.rex = b
			in.REX = b
			continue
		}
		c.rex, in.REX = 0, 0
		c.prefix(in, k, b)
	}
	c.pos = len(code)
	return 0, false
}

func (c *cursor) prefix(in *Inst, k prefixKind, b byte) {
	switch k {
	case prefixOpSize:
		in.Prefix |= PrefixOpSize
		c.ctx |= ctxOpSize
	case prefixAddrSize:
		in.Prefix |= PrefixAddrSize
		in.AddrSize = c.info.addr[1]
		c.ctx |= ctxAddrSize
	case prefixRep:
		in.Prefix = in.Prefix&^PrefixRepne | PrefixRep
		c.ctx = c.ctx&^ctxRepne | ctxRep
	case prefixRepne:
		in.Prefix = in.Prefix&^PrefixRep | PrefixRepne
		c.ctx = c.ctx&^ctxRep | ctxRepne
	case prefixLock:
		in.Prefix |= PrefixLock
	case prefixSegment:
		// Ignored in 64-bit mode, where it does not cancel FS or GS either.
		if c.info.long == 0 {
			in.Prefix |= PrefixSegment
			c.segment = x86.Segment(b >> 3 & 3)
		}
	case prefixFSGS:
		in.Prefix |= PrefixSegment
		c.segment = x86.FS + x86.Segment(b&1)
	}
}

// escape reads the opcode of a map behind 0F and returns map and opcode.
func (c *cursor) escape(in *Inst) (int, bool) {
	b, ok := c.next()
	if !ok {
		return 0, false
	}
	in.OpcodeOff = uint8(c.pos - 1)
	m := isa.Map0F
	switch b {
	case 0x38:
		m = isa.Map0F38
	case 0x3a:
		m = isa.Map0F3A
	case 0x0f:
		// 3DNow!: the opcode is the last byte; see suffix.
		return int(isa.Map0F0F) << 8, true
	default:
		return int(m)<<8 | int(b), true
	}
	b, ok = c.next()
	in.OpcodeOff = uint8(c.pos - 1)
	return int(m)<<8 | int(b), ok
}

// suffix decodes a 3DNow! instruction: ModRM and its operand come before the
// opcode (APM vol. 3, appendix A.1.2).
func (c *cursor) suffix(in *Inst) Reason {
	if !c.p.Features.Has(isa.Feature3DNOW) {
		return c.undefined(in)
	}
	modrm, ok := c.next()
	if !ok {
		return in.fail(c, c.short())
	}
	in.ModRM, in.HasModRM = modrm, true
	in.Reg = modrm >> 3 & 7
	in.RM = modrm & 7
	if modrm < 0xc0 {
		if r := c.memory(in, modrm, &hots[0]); r != Valid {
			return in.fail(c, r)
		}
	}
	op, ok := c.next()
	if !ok {
		return in.fail(c, c.short())
	}
	in.Opcode, in.OpcodeOff = op, uint8(c.pos-1)
	e := &entries[int(isa.Map0F0F)<<8|int(op)]
	if e.flags == 0 {
		return in.fail(c, Undefined)
	}
	id := slots[int(e.base)+int(contextClasses[e.ctx][c.ctx])]
	h := &hots[id]
	if id == 0 {
		return in.fail(c, Undefined)
	}
	in.Row = isa.ID(id)
	in.OpSize = operandSizes[h.size][c.ctx]
	if c.segment != x86.SegNone {
		in.Segment = c.segment
	}
	return c.check(in, h, c.p)
}

func (c *cursor) next() (byte, bool) {
	if c.pos >= len(c.code) || c.pos >= MaxLength {
		c.pos++
		return 0, false
	}
	b := c.code[c.pos]
	c.pos++
	return b, true
}

// finish selects the row and reads the rest.
func (c *cursor) finish(in *Inst, key int, p *isa.Profile) Reason {
	e := &entries[key]
	if e.flags == 0 || in.Map == isa.MapEVEX5 && c.beforeAVX10Aux(in) {
		return c.undefined(in)
	}
	modrm := uint8(0)
	if e.flags&entryModRM != 0 {
		var ok bool
		if modrm, ok = c.next(); !ok {
			return in.fail(c, c.short())
		}
		in.ModRM, in.HasModRM = modrm, true
		in.Reg = modrm>>3&7 | c.rex<<1&8
	}
	slot := int(e.base) + int(modrmClasses[e.modrm][modrm])*int(e.stride)
	ctx := c.ctx | (c.rex&rexW)<<1 | (c.rex&rexB)<<5
	if in.Map >= isa.MapVEX1 && in.Map != isa.MapREX2 {
		ctx = c.ctx
	}
	id := slots[slot+int(contextClasses[e.ctx][ctx])]
	h := &hots[id]
	if id == 0 {
		return c.undefined(in)
	}
	if h.feature != 0 && !p.Features.Has(isa.Feature(h.feature)) && h.fallback != 0 {
		id = h.fallback
		h = &hots[id]
	}
	in.Row = isa.ID(id)
	in.OpSize = operandSizes[h.size][ctx]
	if in.HasREX2 {
		return c.finishREX2(in, h, e.flags)
	}

	switch {
	case !in.HasModRM:
		in.RM = in.Opcode&7 | c.rex<<3&8
	case modrm >= 0xc0 || e.flags&entryRegister != 0:
		in.RM = modrm&7 | c.rex<<3&8
	default:
		if r := c.memory(in, modrm, h); r != Valid {
			return in.fail(c, r)
		}
	}
	if c.segment != x86.SegNone {
		in.Segment = c.segment
	}
	if h.imm != 0 || h.flags&hotMoffs != 0 {
		if h.imm2 != 0 && h.feature != 0 && !p.Features.Has(isa.Feature(h.feature)) {
			return c.check(in, h, p) // SSE4A's two immediates are of AMD's opcode alone
		}
		c.immediates(in, h)
	}
	return c.check(in, h, p)
}

// check applies what does not depend on the encoding's shape: length, mode,
// feature, LOCK, VEX.vvvv.
func (c *cursor) check(in *Inst, h *hot, p *isa.Profile) Reason {
	if c.pos > len(c.code) || c.pos > MaxLength {
		return in.fail(c, c.short())
	}
	in.Length = uint8(c.pos)
	if c.forbidden {
		return in.fail(c, Undefined)
	}
	if in.Prefix&PrefixLock != 0 && (h.flags&hotLock == 0 || !in.IsMem) && !in.alternateCR8(p) {
		return in.fail(c, BadLock)
	}
	if h.modes&c.info.set == 0 {
		return in.fail(c, WrongMode)
	}
	if in.Row >= firstEVEX && !c.evexOperands(in, h, &evexForms[in.Row-firstEVEX]) {
		return in.fail(c, Undefined)
	}
	if h.flags&(hotNoVVVV|hotVSIB|hotControl|hotDebug|hotMask|hotDistinct|hotFew|hotIs4) != 0 && !c.registersValid(in, h) {
		return in.fail(c, Undefined)
	}
	if h.feature != 0 && (!p.Features.Has(isa.Feature(h.feature)) || !p.Features.Has(isa.Feature(h.also))) {
		return in.fail(c, MissingFeature)
	}
	return Valid
}

// alternateCR8 says whether LOCK is the one of AMD's LOCK MOV CR0, which
// means CR8 (APM vol. 3, MOV CRn), and then makes ModRM.reg CR8.
func (in *Inst) alternateCR8(p *isa.Profile) bool {
	if in.Map != isa.Map0F || in.Opcode&^2 != 0x20 || in.Reg != 0 || !p.Features.Has(isa.FeatureALTMOVCR8) {
		return false
	}
	in.Reg = 8
	return true
}

// registersValid checks what some rows ask of register fields: VEX.vvvv
// unused, a vector index, and no extension of a register number where there
// are eight registers: only CR8 exists beyond. (That of ModRM.rm is ignored.)
func (c *cursor) registersValid(in *Inst, h *hot) bool {
	if h.flags&hotMask != 0 && (in.Reg >= 8 || in.Map < isa.MapEVEX1 && in.VVVV >= 8) {
		return false
	}
	if h.flags&hotFew != 0 && !c.fewExist(in) {
		return false
	}
	if h.flags&hotIs4 != 0 && c.info.long == 0 {
		in.Imm &= 0x7f // there are eight registers
	}
	switch {
	case h.flags&hotNoVVVV != 0 && in.VVVV|c.spare != 0:
		return false
	case h.flags&hotDistinct != 0:
		return in.distinct()
	case h.flags&hotVSIB != 0:
		// A gather's destination, index and mask must differ (SDM vol. 2,
		// VGATHERDPS).
		if in.Map >= isa.MapEVEX1 {
			return in.VVVV == 0 && (in.Reg != in.Index || c.storesMemory(in))
		}
		return in.HasSIB && in.Reg != in.Index && in.Reg != in.VVVV && in.Index != in.VVVV
	case h.flags&hotControl != 0:
		return in.Reg <= 8
	case h.flags&hotDebug != 0:
		return in.Reg < 8
	}
	return true
}

// distinct says whether the destination differs from the sources, and, with
// tiles, the sources from each other.
func (in *Inst) distinct() bool {
	if in.Reg == in.VVVV || !in.IsMem && in.Reg == in.RM {
		return false
	}
	return in.Map >= isa.MapEVEX1 || in.RM != in.VVVV
}

// immediates reads the immediates of the row, and the offset of moffs.
func (c *cursor) immediates(in *Inst, h *hot) {
	if h.flags&hotMoffs != 0 {
		in.DispOff, in.DispLen = uint8(c.pos), in.AddrSize
		in.Disp = c.load(int(in.AddrSize))
		return
	}
	in.ImmOff, in.ImmLen = uint8(c.pos), h.imm+h.imm2
	v := c.load(int(h.imm))
	if h.flags&hotSigned != 0 {
		shift := 64 - 8*uint(h.imm)
		v = uint64(int64(v<<(shift&63)) >> (shift & 63))
	}
	in.Imm = v
	if h.imm2 != 0 {
		in.Imm2 = uint16(c.load(int(h.imm2)))
	}
}

// load reads n bytes (0 to 8), little-endian, zero-extended. Past the end it
// reads zeros; check sees it by the position.
func (c *cursor) load(n int) uint64 {
	pos := c.pos
	c.pos += n
	if pos+8 <= len(c.code) {
		return binary.LittleEndian.Uint64(c.code[pos:]) & (^uint64(0) >> ((64 - 8*uint(n)) & 63))
	}
	var v uint64
	for i := 0; i < n && pos+i < len(c.code); i++ {
		v |= uint64(c.code[pos+i]) << (8 * i)
	}
	return v
}
