package silicon

// The length and the operands of an instruction as far as the choice of a stop
// needs them. This is deliberately not emulator/decode: the CPU is asked whether
// the model is right, so what prepares the question must not believe the model.
// Where this file does not know, it says so, and the CPU finds out by itself.
// Source: SDM vol. 2, appendix A.

// class is what an instruction may do to RIP.
type class uint8

const (
	classUnknown  class = iota // length not known
	classPlain                 // goes on behind itself
	classRelative              // may go to a target within the instruction
	classIndirect              // goes to a quadword in a register or memory
	classReturn                // goes to the quadword at RSP
	classFar                   // far CALL, JMP, RET
	classIRET
	classINT3
	classINT1
	classINT // INT n
)

// Registers and memory that an instruction uses beside its ModRM operand.
const (
	usesRAX = 1 << iota
	usesRBX
	usesRSP
	usesRBP
	usesRSI
	usesRDI
	usesFPU   // x87, MMX, SSE, AVX …
	bitOffset // BT and the like: the register moves the address
	storesFlags
	repeats
	anywhere // an address that is not worked out here
	loadsSegment
)

// Opcode maps.
const (
	mapOne = iota
	map0F
	map0F38
	map0F3A
)

// shape is one instruction.
type shape struct {
	length    int // in bytes; 0 if not known
	class     class
	uses      uint16
	opmap     uint8
	vex       bool
	opcode    byte
	modrm     byte
	hasModRM  bool
	memory    bool // the ModRM operand is in memory
	lock      bool
	rep       byte // 0, 0xf2 or 0xf3
	opsize    bool
	addrsize  bool
	seg       byte  // segment-override prefix that counts, or 0
	width     uint8 // of the code: 16, 32 or 64
	goes      bool  // of classUnknown: a branch all the same
	opBytes   uint8 // operand size, but for REX.W: 2 or 4
	addrBytes uint8 // address size: 2, 4 or 8
	rex       byte  // with the bits of a VEX prefix in the same places
	base      int8  // register, -1 none, ripRelative
	index     int8  // register, -1 none
	scale     uint8
	disp      int64
	rule      branchRule
	cut       bool  // the target of a relative branch is cut to 16 bits
	immediate int64 // sign-extended: relative displacement, INT's vector, moffs
}

const ripRelative = 16

// reader takes bytes one by one; once they run out, ok stays false.
type reader struct {
	b  []byte
	n  int
	ok bool
}

func (r *reader) byte() byte {
	if r.n >= len(r.b) {
		r.ok = false
		return 0
	}
	r.n++
	return r.b[r.n-1]
}

// value takes a little-endian signed number of size bytes.
func (r *reader) value(size int) int64 {
	v := uint64(0)
	for i := range size {
		v |= uint64(r.byte()) << (8 * i)
	}
	shift := 64 - 8*size
	return int64(v<<shift) >> shift
}

// branchRule is what a CPU makes of an operand-size prefix before a near relative
// branch in 64-bit mode.
type branchRule uint8

const (
	branchUnknown branchRule = iota
	// branchIgnores: the prefix does nothing (SDM vol. 2, Jcc and CALL: the
	// operand size is forced to 64 bits).
	branchIgnores
	// branchCuts: the displacement has 16 bits and so has the target (APM vol. 3,
	// 1.2.2 and the pages of the instructions).
	branchCuts
)

// analyse fills s from the bytes at RIP; class stays classUnknown where the
// length is not certain.
func (s *shape) analyse(code []byte, width uint8, rule branchRule) {
	*s = shape{base: -1, index: -1, scale: 1, rule: rule, width: width}
	if len(code) > 15 {
		code = code[:15]
	}
	r := reader{b: code, ok: true}
	op := s.prefixes(&r)
	s.sizes()
	// Outside 64-bit mode these are LES, LDS and BOUND with a memory operand.
	vector := width == 64 || r.n < len(code) && code[r.n] >= 0xc0
	switch {
	case op == 0x0f:
		s.escape(&r)
	case (op == 0xc4 || op == 0xc5) && vector:
		s.vexPrefix(&r, op)
	case op == 0x62 && vector:
		s.evexPrefix(&r)
	default:
		s.opmap, s.opcode = mapOne, op
		s.oneByte(&r)
	}
	if !r.ok {
		s.class = classUnknown
	}
	if s.class != classUnknown {
		s.length = r.n
	}
}

func (s *shape) prefixes(r *reader) byte {
	for {
		b := r.byte()
		switch {
		case b == 0x66:
			s.opsize = true
		case b == 0x67:
			s.addrsize = true
		case b == 0x64 || b == 0x65:
			s.seg = b
		case b == 0x26 || b == 0x2e || b == 0x36 || b == 0x3e:
			if s.width != 64 {
				s.seg = b
			}
			// Ignored in 64-bit mode. Whether one of them cancels an FS or GS
			// before it is a vendor's affair; the last FS or GS counts here.
		case b == 0xf0:
			s.lock = true
		case b == 0xf2 || b == 0xf3:
			s.rep = b
		case b >= 0x40 && b <= 0x4f && s.width == 64:
			s.rex = b
			if next := r.n; next < len(r.b) && isPrefix(r.b[next]) {
				s.rex = 0 // a REX that does not stand last has no effect
			}
			continue
		default:
			return b
		}
		if !r.ok {
			return 0
		}
	}
}

func isPrefix(b byte) bool {
	switch b {
	case 0x66, 0x67, 0x64, 0x65, 0x26, 0x2e, 0x36, 0x3e, 0xf0, 0xf2, 0xf3:
		return true
	}
	return b >= 0x40 && b <= 0x4f
}

// sizes works out operand and address size (SDM vol. 1, 3.6).
func (s *shape) sizes() {
	s.opBytes, s.addrBytes = 4, s.width/8
	if (s.width == 16) != s.opsize {
		s.opBytes = 2
	}
	if s.addrsize {
		s.addrBytes = 6 - s.addrBytes // 2 and 4
		if s.width == 64 {
			s.addrBytes = 4
		}
	}
}

// immZ is the size of an immediate that is 16 or 32 bits wide.
func (s *shape) immZ() int {
	if s.rex&8 != 0 {
		return 4
	}
	return int(s.opBytes)
}

func (s *shape) modRM(r *reader) {
	s.hasModRM = true
	s.modrm = r.byte()
	mod, rm := s.modrm>>6, s.modrm&7
	if mod == 3 {
		return
	}
	s.memory = true
	if s.addrBytes == 2 {
		s.modRM16(r, mod, rm)
		return
	}
	s.base = int8(rm | s.rex&1<<3)
	if rm == 4 {
		sib := r.byte()
		s.scale = 1 << (sib >> 6)
		s.index = int8(sib>>3&7 | s.rex&2<<2)
		if s.index == 4 {
			s.index = -1
		}
		s.base = int8(sib&7 | s.rex&1<<3)
		if sib&7 == 5 && mod == 0 {
			s.base = -1
			s.disp = r.value(4)
			return
		}
	} else if rm == 5 && mod == 0 {
		s.base = ripRelative
		if s.width != 64 {
			s.base = -1
		}
		s.disp = r.value(4)
		return
	}
	switch mod {
	case 1:
		s.disp = r.value(1)
	case 2:
		s.disp = r.value(4)
	}
}

// Base and index of 16-bit addressing (SDM vol. 2, table 2-1).
var base16 = [8][2]int8{{3, 6}, {3, 7}, {5, 6}, {5, 7}, {-1, 6}, {-1, 7}, {5, -1}, {3, -1}}

func (s *shape) modRM16(r *reader, mod, rm byte) {
	s.base, s.index = base16[rm][0], base16[rm][1]
	switch {
	case mod == 0 && rm == 6:
		s.base = -1
		s.disp = r.value(2)
	case mod == 1:
		s.disp = r.value(1)
	case mod == 2:
		s.disp = r.value(2)
	}
}

// What follows an opcode of the one-byte map: a letter each. m ModRM, b imm8,
// z imm16/32, M ModRM+imm8, Z ModRM+imm16/32, w imm16, v imm16/32/64, e ENTER,
// o moffs, j rel8, J rel32, f far pointer,
// '-' nothing, '.' not valid or handled before.
var oneByteForm = [16]string{
	"mmmmbz..mmmmbz..", // 00; 0f is an escape
	"mmmmbz..mmmmbz..",
	"mmmmbz..mmmmbz..",
	"mmmmbz..mmmmbz..",
	"................", // REX
	"----------------",
	"...m....zZbM----",
	"jjjjjjjjjjjjjjjj",
	"MZ.Mmmmmmmmmmmmm",
	"----------.-----",
	"oooo----bz------",
	"bbbbbbbbvvvvvvvv",
	"MMw-..MZe-w--b.-",
	"mmmm...-mmmmmmmm",
	"jjjjbbbbJJ.j----",
	".-..--MZ------mm", // f6, f7: the immediate only with /0 and /1
}

// The same outside 64-bit mode.
var oneByteForm32 = [16]string{
	"mmmmbz--mmmmbz-.",
	"mmmmbz--mmmmbz--",
	"mmmmbz.-mmmmbz.-",
	"mmmmbz.-mmmmbz.-",
	"----------------",
	"----------------",
	"--mm....zZbM----",
	"jjjjjjjjjjjjjjjj",
	"MZMMmmmmmmmmmmmm",
	"----------f-----",
	"oooo----bz------",
	"bbbbbbbbvvvvvvvv",
	"MMw-mmMZe-w--b--",
	"mmmmbb--mmmmmmmm",
	"jjjjbbbbJJfj----",
	".-..--MZ------mm",
}

func (s *shape) oneByte(r *reader) {
	op := s.opcode
	s.class = classPlain
	form := oneByteForm[op>>4][op&15]
	if s.width != 64 {
		form = oneByteForm32[op>>4][op&15]
	}
	switch form {
	case '.':
		s.class = classUnknown
		return
	case 'm', 'M', 'Z':
		s.modRM(r)
	}
	size := 0
	switch form {
	case 'b', 'M', 'j':
		size = 1
	case 'z', 'Z':
		size = s.immZ()
	case 'J':
		size = s.relativeSize()
	case 'w':
		size = 2
	case 'v':
		size = s.immZ()
		if s.rex&8 != 0 {
			size = 8
		}
	case 'e':
		size = 3
	case 'o':
		size = int(s.addrBytes)
	case 'f':
		size = int(s.opBytes) + 2
	}
	reg := s.modrm >> 3 & 7
	if (op == 0xf6 || op == 0xf7) && reg >= 2 {
		size = 0
	}
	s.immediate = r.value(size)
	if s.width != 64 {
		s.oneByteRules32(op)
	}
	s.oneByteRules(op, reg)
}

// oneByteRules32 has the opcodes that are something else in 64-bit mode.
func (s *shape) oneByteRules32(op byte) {
	switch op {
	case 0x06, 0x0e, 0x16, 0x1e, 0x60, 0x61:
		s.uses |= usesRSP
	case 0x07, 0x17, 0x1f:
		s.uses |= usesRSP | loadsSegment
	case 0xc4, 0xc5:
		s.uses |= loadsSegment
	case 0x9a, 0xea:
		s.uses |= usesRSP | loadsSegment
		s.class = classFar
	}
}

func (s *shape) oneByteRules(op, reg byte) {
	switch {
	case op >= 0x50 && op <= 0x5f, op == 0x68, op == 0x6a:
		s.uses |= usesRSP
	case op >= 0x6c && op <= 0x6f, op >= 0xa4 && op <= 0xa7, op >= 0xaa && op <= 0xaf:
		s.uses |= usesRSI | usesRDI
		if s.rep != 0 {
			s.uses |= repeats
		}
	case op == 0x8e:
		s.uses |= loadsSegment
	case op == 0x8d: // LEA accesses nothing
		if !s.memory {
			s.class = classUnknown
		}
		s.memory = false
	case op == 0x8f, op == 0xc6, op == 0xc7: // XOP, and XABORT and XBEGIN, are not here
		if reg != 0 {
			s.class = classUnknown
		}
		if op == 0x8f {
			s.uses |= usesRSP
			if s.memory && (s.base == 4 || s.index == 4) {
				s.uses |= anywhere // RSP counts after the pop
			}
		}
	case op == 0x9c:
		s.uses |= usesRSP | storesFlags
	case op == 0x9d:
		s.uses |= usesRSP
	case op == 0x9b, op >= 0xd8 && op <= 0xdf:
		s.uses |= usesFPU
	case op >= 0xa0 && op <= 0xa3:
		s.memory = true
		s.disp = s.immediate
	case op == 0xc8, op == 0xc9:
		s.uses |= usesRSP | usesRBP
	case op == 0xd7:
		s.uses |= usesRBX
	case op >= 0x70 && op <= 0x7f, op >= 0xe0 && op <= 0xe3, op == 0xe9, op == 0xeb:
		s.relative()
	case op == 0xe8:
		s.uses |= usesRSP
		s.relative()
	case op == 0xc2, op == 0xc3:
		s.uses |= usesRSP
		s.near(classReturn)
	case op == 0xca, op == 0xcb:
		s.uses |= usesRSP | loadsSegment
		s.class = classFar
	case op == 0xcc:
		s.class = classINT3
	case op == 0xcd:
		s.class = classINT
	case op == 0xcf:
		s.uses |= usesRSP | loadsSegment
		s.class = classIRET
	case op == 0xf1:
		s.class = classINT1
	case op == 0xfe && reg > 1, op == 0xff && reg == 7, op == 0xff && !s.memory && (reg == 3 || reg == 5):
		s.class = classUnknown
	case op == 0xff && reg >= 2:
		s.uses |= usesRSP
		switch reg {
		case 2, 4:
			s.near(classIndirect)
		case 3, 5:
			s.class = classFar
			s.uses |= loadsSegment
		}
	}
}

// relativeSize is the size of the displacement of a near relative branch that
// is not a byte.
func (s *shape) relativeSize() int {
	if s.width != 64 {
		return int(s.opBytes)
	}
	if s.opsize && s.rex&8 == 0 && s.rule == branchCuts {
		return 2
	}
	return 4
}

// relative marks a near relative branch.
func (s *shape) relative() {
	s.class = classRelative
	if s.width != 64 {
		s.cut = s.opBytes == 2
		return
	}
	if s.opsize {
		switch s.rule {
		case branchCuts:
			s.cut = s.rex&8 == 0
		case branchUnknown:
			s.class = classUnknown
		}
	}
}

// near marks an indirect near branch. How many bytes it takes from memory with
// an operand-size prefix differs likewise; that is left to the CPU.
func (s *shape) near(c class) {
	s.class = c
	if s.opsize && s.width == 64 {
		s.class, s.goes = classUnknown, true
	}
}

// shadows is true of MOV SS and POP SS, after which the CPU takes no trap until
// one instruction more is over (SDM vol. 3, 6.8.3).
func (s *shape) shadows() bool {
	const ssNumber = 2 // as ModRM encodes it
	if s.opmap != mapOne || s.vex {
		return false
	}
	return s.opcode == 0x17 && s.width != 64 || s.opcode == 0x8e && s.modrm>>3&7 == ssNumber
}

// The two-byte map: letters as above; '!' is not known here.
var twoByteForm = [16]string{
	"mmmm!-----!-!m-!",
	"mmmmmmmmmmmmmmmm",
	"!!!!....mmmmmmmm",
	"--------.!.!!!!!",
	"mmmmmmmmmmmmmmmm",
	"mmmmmmmmmmmmmmmm",
	"mmmmmmmmmmmmmmmm",
	"MMMMmmm-!!!!mmmm",
	"JJJJJJJJJJJJJJJJ",
	"mmmmmmmmmmmmmmmm",
	"---mMm!!---mMmmm",
	"mmmmmmmmm!Mmmmmm",
	"mmMmMMMm--------",
	"mmmmmmmmmmmmmmmm",
	"mmmmmmmmmmmmmmmm",
	"mmmmmmmmmmmmmmm!",
}

func (s *shape) escape(r *reader) {
	s.opmap, s.opcode = map0F, r.byte()
	switch s.opcode {
	case 0x38:
		s.opmap, s.opcode = map0F38, r.byte()
		s.threeByte(r)
		return
	case 0x3a:
		s.opmap, s.opcode = map0F3A, r.byte()
		s.threeByte(r)
		return
	}
	op := s.opcode
	s.class = classPlain
	switch twoByteForm[op>>4][op&15] {
	case '!', '.':
		s.class = classUnknown
	case 'm':
		s.modRM(r)
	case 'M':
		s.modRM(r)
		s.immediate = r.value(1)
	case 'J':
		s.immediate = r.value(s.relativeSize())
		s.relative()
	}
	s.twoByteRules(op, s.modrm>>3&7)
}

func (s *shape) twoByteRules(op, reg byte) {
	switch {
	case op == 0x01 && !s.memory, op == 0xae && !s.memory && s.rep != 0 && reg > 3, op == 0xc7 && !s.memory:
		s.class = classUnknown // WRFSBASE and the like are known, UMONITOR is not
	case op == 0xa0, op == 0xa8:
		s.uses |= usesRSP
	case op == 0xa1, op == 0xa9:
		s.uses |= usesRSP | loadsSegment
	case op == 0xb2, op == 0xb4, op == 0xb5, op == 0x00, op == 0x02, op == 0x03: // LSS, LFS, LGS; VERR, LAR, LSL …
		s.uses |= loadsSegment
	case op == 0xa3, op == 0xab, op == 0xb3, op == 0xbb:
		s.uses |= bitOffset
	case op == 0xf7:
		s.uses |= usesRDI | usesFPU
	case op >= 0x10 && op <= 0x17, op >= 0x28 && op <= 0x2f, op >= 0x50 && op <= 0x7f, op == 0xae, op == 0xc2,
		op >= 0xc4 && op <= 0xc6, op >= 0xd0:
		s.uses |= usesFPU
	}
	if op >= 0x18 && op <= 0x1f || op == 0x0d {
		s.memory = s.memory && op < 0x1c // hints and NOPs access nothing; MPX and CLDEMOTE are among them
	}
}

func (s *shape) threeByte(r *reader) {
	s.class = classPlain
	s.modRM(r)
	if s.opmap == map0F3A {
		s.immediate = r.value(1)
		s.uses |= usesFPU
		return
	}
	switch {
	case s.opcode == 0xf8, s.opcode >= 0xd0 && s.opcode <= 0xdf && s.rep != 0: // MOVDIR64B, ENQCMD, Key Locker: implied addresses
		s.uses |= anywhere | usesFPU
	case s.opcode < 0xf0:
		s.uses |= usesFPU
	}
}

// vexPrefix takes a VEX prefix, its opcode and operands (SDM vol. 2, 2.3).
func (s *shape) vexPrefix(r *reader, op byte) {
	s.vex = true
	s.class = classPlain
	s.uses |= usesFPU
	s.opmap = map0F
	p := r.byte()
	if op == 0xc5 {
		s.rex = ^p >> 5 & 4
	} else {
		s.opmap = p & 0x1f
		s.rex = ^p>>5&7 | r.byte()>>4&8
	}
	if s.width != 64 {
		s.rex &= 8 // only eight registers
	}
	s.opcode = r.byte()
	if s.opmap == map0F && s.opcode == 0x77 {
		return
	}
	s.modRM(r)
	switch s.opmap {
	case map0F:
		switch s.opcode {
		case 0x70, 0x71, 0x72, 0x73, 0xc2, 0xc4, 0xc5, 0xc6:
			s.immediate = r.value(1)
		case 0xf7:
			s.uses |= usesRDI
		}
	case map0F38:
		if op := s.opcode; op >= 0x90 && op <= 0x93 || op == 0x49 || op == 0x4b {
			s.uses |= anywhere // gathers, tiles
		}
	case map0F3A:
		s.immediate = r.value(1)
	default:
		s.class = classUnknown
	}
}

// evexPrefix takes an EVEX prefix, its opcode and operands (SDM vol. 2, 2.7).
// An 8-bit displacement counts in units of the operand here, which are not
// worked out: the address is up to 8 KiB away from what effective says, and who
// asks allows for more.
func (s *shape) evexPrefix(r *reader) {
	s.vex = true
	s.class = classPlain
	s.uses |= usesFPU
	p0, p1 := r.byte(), r.byte()
	r.byte()
	s.opmap = p0 & 7
	s.rex = ^p0>>5&7 | p1>>4&8
	if s.width != 64 {
		s.rex &= 8
	}
	s.opcode = r.byte()
	if p0&8 != 0 || p1&4 == 0 {
		s.class = classUnknown // reserved, or extensions that came later
		return
	}
	s.modRM(r)
	switch s.opmap {
	case map0F:
		switch s.opcode {
		case 0x70, 0x71, 0x72, 0x73, 0xc2, 0xc4, 0xc5, 0xc6:
			s.immediate = r.value(1)
		}
	case map0F38:
		switch op := s.opcode; {
		case op >= 0x90 && op <= 0x93, op >= 0xa0 && op <= 0xa3, op == 0xc6, op == 0xc7:
			s.uses |= anywhere // gathers, scatters
		}
	case map0F3A:
		s.immediate = r.value(1)
	case 5, 6:
	default:
		s.class = classUnknown
	}
}
