package sweep

import "github.com/seed-4e121ece/ringfence/emulator/x86"

// maxString is the longest string, that of an instruction.
const maxString = 15

// text is a string of the walk: bytes[:n]. The first fixed of them were chosen,
// the others are zero.
type text struct {
	bytes [maxString]byte
	n     uint8
	// opcodeEnd is the number of bytes up to and with the opcode.
	opcodeEnd uint8
	fixed     uint8
	// seed marks the strings from which tunnels are dug.
	seed bool
}

// code is the string.
func (t *text) code() []byte { return t.bytes[:t.n] }

// builder puts the strings of a block together.
type builder struct {
	w    *Walk
	b    *block
	emit func(*text)
	t    text
	// payload holds the escape bytes before the opcode.
	payload [4]byte
	length  int
}

// strings hands the strings of the first wave to emit: every choice of
// payload, ModRM and SIB, with zeros behind. emit must copy what it keeps.
func (w *Walk) strings(b *block, emit func(*text)) {
	s := builder{w: w, b: b, emit: emit}
	switch b.space {
	case spaceLegacy:
		s.legacy()
	case spaceVEX2:
		s.vex2()
	case spaceVEX3, spaceXOP:
		s.vex3()
	case spaceEVEX:
		s.evex()
	case spaceREX2:
		s.rex2()
	}
}

func (s *builder) legacy() {
	switch s.b.opmap {
	case 1:
		s.escape(0x0f)
	case 2:
		s.escape(0x0f, 0x38)
	case 3:
		s.escape(0x0f, 0x3a)
	}
	one := s.b.opmap == 0
	for _, m := range s.modrms() {
		switch {
		case one && s.b.opcode == 0x8f && m&0x1f >= 8:
			continue // XOP
		case one && s.w.mode != x86.Long64 && m >= 0xc0 && (s.b.opcode == 0x62 || s.b.opcode == 0xc4 || s.b.opcode == 0xc5):
			continue // EVEX and VEX
		}
		s.withModRM(m)
	}
}

// Choices of payload fields. Outside 64-bit mode the top two bits of the first
// payload byte are set, or it is no VEX prefix.
var (
	fullRXB  = []byte{0xe0, 0x00, 0xc0, 0x60}
	thinRXB  = []byte{0xe0}
	fullVVVV = []byte{0x78, 0x00, 0x38}
	thinVVVV = []byte{0x78, 0x00}
	// fullP0 are EVEX.RXBR' with bit 3, which only APX gives a meaning.
	fullP0 = []byte{0xf0, 0x70, 0xb0, 0xd0, 0xe0, 0x00, 0xf8}
	// fullP2 are z, V' and aaa of EVEX.
	fullP2 = []byte{0x08, 0x09, 0x89, 0x88, 0x00, 0x0f}
)

// vectorRXB says whether the byte can follow C4, C5 or 62 in this mode.
func (s *builder) vectorRXB(p byte) bool { return s.w.mode == x86.Long64 || p >= 0xc0 }

func (s *builder) vex2() {
	for p := range 256 {
		v := p & 0x78
		if v != 0x78 && v != 0 && v != 0x38 || !s.b.full && p&0x84 != 0x80 || !s.vectorRXB(byte(p)) {
			continue
		}
		s.escape(0xc5, byte(p))
		s.each(s.modrms())
	}
}

func (s *builder) vex3() {
	rxb, vvvv, pps, first := thinRXB, thinVVVV, []byte{0, 1, 2, 3, 4, 5, 6, 7}, byte(0xc4)
	if s.b.space == spaceXOP {
		first = 0x8f
	}
	if s.b.full {
		rxb, vvvv = fullRXB, fullVVVV
		pps = []byte{0, 1, 4} // XOP.pp is 0
		if s.b.space == spaceVEX3 {
			pps = []byte{s.b.pp}
		}
	}
	for _, r := range rxb {
		if first == 0xc4 && !s.vectorRXB(r) {
			continue
		}
		for _, v := range vvvv {
			for _, pp := range pps {
				for l := range byte(2) {
					s.escape(first, r|s.b.opmap, v|l<<2|pp&3|pp<<5&0x80)
					s.each(s.modrms())
				}
			}
		}
	}
}

// evex walks L'L and b in full, and of the other fields one after the other.
func (s *builder) evex() {
	pps := []byte{s.b.pp}
	if !s.b.full {
		pps = []byte{0, 1, 5, 6}
	}
	for _, pp := range pps {
		p1 := pp&3 | pp<<5&0x80
		for lb := range byte(8) {
			p2 := lb << 4 // L'L and b: bits 6, 5 and 4
			s.evexString(0xf0, p1|0x7c, p2|0x08)
			if !s.b.full {
				continue
			}
			for _, p0 := range fullP0[1:] {
				s.evexString(p0, p1|0x7c, p2|0x08)
			}
			s.evexString(0xf0, p1|0x04, p2|0x08)
			s.evexString(0xf0, p1|0x74, p2|0x08)
			s.evexString(0xf0, p1|0x78, p2|0x08) // bit 2 clear
			for _, q := range fullP2[1:] {
				s.evexString(0xf0, p1|0x7c, p2|q)
			}
			s.evexString(0x00, p1|0x04, p2|0x01)
		}
	}
}

func (s *builder) evexString(p0, p1, p2 byte) {
	if p0 |= s.b.opmap; s.vectorRXB(p0) {
		s.escape(0x62, p0, p1, p2)
		s.each(s.modrms())
	}
}

func (s *builder) rex2() {
	for p := range 256 {
		if s.b.full && p&0x77 != 0 && p&0x77 != 0x08 && p&0x0f != 0x0f || !s.b.full && p&0x7f != 0 {
			continue
		}
		s.escape(0xd5, byte(p))
		s.each(s.modrms())
	}
}

// escape sets the bytes before the opcode.
func (s *builder) escape(b ...byte) {
	s.length = copy(s.payload[:], b)
}

// every is all ModRM bytes.
var every = func() []byte {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}()

// Shorter lists of ModRM bytes: each /digit with the forms that are told
// apart.
var (
	digits  = forms(0x03, 0x44, 0x05, 0x86, 0xc1, 0xc6)
	vectors = forms(0x03, 0x44, 0xc2)
	evexes  = []byte{0x03, 0x44, 0x05, 0x9c, 0xc2}
	few     = []byte{0x03, 0x4c, 0xd1}
)

func forms(low ...byte) []byte {
	var b []byte
	for reg := range byte(8) {
		for _, m := range low {
			b = append(b, m|reg<<3)
		}
	}
	return b
}

// modrms returns the ModRM bytes that the block walks.
func (s *builder) modrms() []byte {
	switch {
	case s.b.space == spaceLegacy && s.b.full:
		return every
	case s.b.space == spaceLegacy:
		return digits
	case !s.b.full || s.b.space == spaceREX2:
		return few
	case s.b.space == spaceEVEX:
		return evexes
	}
	return vectors
}

func (s *builder) each(modrms []byte) {
	for _, m := range modrms {
		s.withModRM(m)
	}
}

// sibs are edges of SIB: no index, base 5, index and base 4, both.
var sibs = []byte{0x00, 0x24, 0x25, 0x05, 0xe5, 0x64, 0x9c, 0xff}

// withModRM emits the string with that ModRM, and with each SIB where ModRM asks
// for one.
func (s *builder) withModRM(m byte) {
	t := &s.t
	*t = text{n: maxString}
	at := copy(t.bytes[:], s.w.prefixes[s.b.prefix])
	at += copy(t.bytes[at:], s.payload[:s.length])
	at = put(t, at, s.b.opcode)
	t.opcodeEnd = uint8(at)
	at = put(t, at, m)
	t.fixed = uint8(at)
	t.seed = m == 0x04 || m == 0xc1 || s.b.space != spaceLegacy && (m == 0x44 || m == 0xc2 || m == 0xd1)
	if s.sibFollows(m) && at < maxString {
		list := sibs
		switch {
		case s.b.space == spaceEVEX:
			list = sibs[6:7]
		case s.b.space != spaceLegacy || !s.b.full:
			list = sibs[1:4]
		}
		t.fixed++
		for _, sib := range list {
			t.bytes[at] = sib
			s.emit(t)
			t.seed = false
		}
		return
	}
	s.emit(t)
}

// put adds a byte if there is room.
func put(t *text, at int, b byte) int {
	if at < maxString {
		t.bytes[at] = b
		at++
	}
	return at
}

// sibFollows says that ModRM asks for a SIB byte with 32- or 64-bit addresses.
func (s *builder) sibFollows(m byte) bool {
	if m>>6 == 3 || m&7 != 4 {
		return false
	}
	other := false
	for _, p := range s.w.prefixes[s.b.prefix] {
		other = other || p == 0x67
	}
	return (s.w.mode == x86.Compat16) == other
}
