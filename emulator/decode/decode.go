package decode

import (
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// Bits of a REX prefix.
const (
	rexB = 1 << iota
	rexX
	rexR
	rexW
)

// modeInfo is what the code width decides.
type modeInfo struct {
	// not is the flag of a row that is not valid.
	not  hot
	ctx  uint8
	long uint8 // 1 in 64-bit mode
	set  isa.ModeSet
	// addr is the address size without and with 67h.
	addr [2]uint8
	// noVEX: C4, C5 and 62 are always LES, LDS and BOUND.
	noVEX bool
	// noBase is the base of ModRM with mod 0 and rm 5: none, or RIP.
	noBase uint8
}

// isREX is 1 if b, from 40 to 4F, is a REX prefix, else 0.
func (m *modeInfo) isREX(b byte) uint8 { return uint8((uint32(b^0x40)-16)>>31) & m.long }

func infoOf(mode x86.Mode, vendor isa.Vendor) *modeInfo {
	return &modeInfos[mode&7][vendor&1]
}

// modeInfos is by mode and vendor. Real mode and virtual-8086 mode have no VEX
// (SDM vol. 2, 2.3.1).
var modeInfos = func() (t [8][2]modeInfo) {
	code16 := modeInfo{not: hotNot16, set: isa.Mode16, addr: [2]uint8{2, 4}, noBase: x86.RegNone}
	code32 := modeInfo{not: hotNot32, ctx: 1 << ctxMode, set: isa.Mode32, addr: [2]uint8{4, 2}, noBase: x86.RegNone}
	intel64 := modeInfo{not: hotNot64, ctx: 2 << ctxMode, set: isa.Mode64, addr: [2]uint8{8, 4}, long: 1, noBase: x86.RegRIP}
	amd64 := modeInfo{not: hotNot64, ctx: 3 << ctxMode, set: isa.Mode64, addr: [2]uint8{8, 4}, long: 1, noBase: x86.RegRIP}
	for mode := range t {
		t[mode] = [2]modeInfo{code16, code16}
	}
	code16.noVEX = true
	t[x86.Real], t[x86.VM86] = [2]modeInfo{code16, code16}, [2]modeInfo{code16, code16}
	t[x86.Protected32], t[x86.Compat32] = [2]modeInfo{code32, code32}, [2]modeInfo{code32, code32}
	t[x86.Long64] = [2]modeInfo{isa.Intel: intel64, isa.AMD: amd64}
	return t
}()

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
	// checked are the bits of a row that check has to look at.
	checked hot
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
	c.code, c.info, c.p, c.ctx, c.segment, c.checked = code, info, p, info.ctx, x86.SegNone, hotChecked|info.not

	// Most instructions have no prefix, or REX alone. Which of the two it is
	// cannot be foreseen, so it is counted and not asked.
	kinds := &byteKinds[info.long&1]
	op, kind, pos := byte(0), byteKind(prefixLock), 0
	if len(code) >= 2 {
		first, rex := code[0], info.isREX(code[0])
		pos = int(rex)
		op = first ^ (first^code[1])&-rex
		c.rex = first & -rex
		in.REX = c.rex
		kind = kinds[op]
	}
	if kind > escapeByte || kind == prefixREX {
		var ok bool
		if op, ok = c.prefixes(in); !ok {
			return in.fail(&c, c.short())
		}
		pos, kind = c.pos-1, kinds[op]
	}
	in.PrefixLen = uint8(pos)
	in.OpcodeOff = in.PrefixLen
	pos++
	if kind == escapeByte {
		c.pos = pos
		return c.escaped(in, op)
	}
	in.Opcode = op
	return c.finish(in, int(op), pos, c.legacyContext())
}

// legacyContext is the context of the legacy maps.
func (c *cursor) legacyContext() uint8 { return c.ctx | (c.rex&rexW)<<1 | (c.rex&rexB)<<5 }

// escaped decodes what may be more than an opcode of the one-byte map.
func (c *cursor) escaped(in *Inst, op byte) Reason {
	key := int(op)
	switch {
	case op == 0x0f:
		var ok bool
		if key, ok = c.escape(in); !ok {
			return in.fail(c, c.short())
		}
	case op != 0xd5 || c.hasAPX():
		var r Reason
		if key, r = c.vex(in, op); r != Valid {
			return in.fail(c, r)
		}
	}
	in.Map, in.Opcode = isa.Map(key>>8), uint8(key)
	switch {
	case in.Map == isa.Map0F0F:
		return c.suffix(in)
	case in.Map == isa.MapEVEX5 && c.beforeAVX10Aux(in):
		return c.undefined(in)
	case in.Map < isa.MapVEX1 || in.Map == isa.MapREX2:
		return c.finish(in, key, c.pos, c.legacyContext())
	}
	return c.finish(in, key, c.pos, c.ctx)
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

// prefixes reads legacy prefixes and REX and returns the byte after them.
func (c *cursor) prefixes(in *Inst) (byte, bool) {
	kinds := &byteKinds[c.info.long&1]
	code := c.code
	prefix, ctx, segment, rex := Prefix(0), c.info.ctx, x86.SegNone, uint8(0)
	op, ok, pos := byte(0), false, len(code)
	for i, b := range code {
		k := kinds[b]
		if k <= escapeByte && k != prefixREX {
			op, ok, pos = b, i < MaxLength, i+1
			break
		}
		// REX counts only directly before the opcode.
		rex = b & -uint8(k&prefixREX)
		e := &prefixEffects[k%numByteKinds]
		prefix = prefix&^e.clears | e.sets
		ctx = ctx&^e.clearsContext | e.setsContext
		segment = segment&e.keeps | e.segment
	}
	in.Prefix, in.REX, in.AddrSize = prefix, rex, c.info.addr[prefix/PrefixAddrSize&1]
	c.ctx, c.segment, c.rex, c.pos = ctx, segment, rex, pos
	if prefix&PrefixLock != 0 {
		c.checked = everything
	}
	return op, ok
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
		if c.pos, ok = c.memory(in, modrm, 0, c.pos); !ok {
			return in.fail(c, c.short())
		}
	}
	op, ok := c.next()
	if !ok {
		return in.fail(c, c.short())
	}
	in.Opcode, in.OpcodeOff = op, uint8(c.pos-1)
	h := slots[entries[int(isa.Map0F0F)<<8|int(op)].slot(0, c.ctx)]
	if h == 0 {
		return in.fail(c, Undefined)
	}
	in.Row = h.row()
	in.OpSize = h.opSize(c.ctx)
	if c.segment != x86.SegNone {
		in.Segment = c.segment
	}
	return c.check(in, h, c.pos)
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
