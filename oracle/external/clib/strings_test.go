package clib

import (
	"math/rand/v2"

	"github.com/seed-4e121ece/ringfence/corpus"
	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// source makes byte strings for decoders: uniform ones, ones put together like
// an instruction, encodings of the table with random fields, and seeds with a
// change. The same seed gives the same strings.
type source struct {
	r     *rand.Rand
	mode  x86.Mode
	seeds [][]byte
	buf   []byte
}

func newSource(seed uint64, mode x86.Mode) *source {
	s := &source{r: rand.New(rand.NewPCG(seed, 0x7a79646973)), mode: mode}
	for c := range corpus.Seeds() {
		s.seeds = append(s.seeds, c.Bytes)
	}
	return s
}

var prefixes = []byte{0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65}

func (s *source) random(n int) {
	for range n {
		s.buf = append(s.buf, byte(s.r.Uint32()))
	}
}

// next returns a string of 1 to 15 bytes, a copy.
func (s *source) next() []byte {
	s.buf = s.buf[:0]
	switch s.r.IntN(8) {
	case 0:
	case 1, 2:
		s.buf = append(s.buf, s.seeds[s.r.IntN(len(s.seeds))]...)
		if len(s.buf) > 0 && s.r.IntN(2) == 0 {
			s.buf[s.r.IntN(len(s.buf))] ^= 1 << s.r.IntN(8)
		}
	case 3, 4:
		s.encoded()
	default:
		s.structured()
	}
	s.random(15)
	n := 15
	if s.r.IntN(32) == 0 {
		n = 1 + s.r.IntN(15)
	}
	return append([]byte(nil), s.buf[:n]...)
}

func (s *source) encoded() {
	if s.r.IntN(4) == 0 {
		s.buf = append(s.buf, prefixes[s.r.IntN(len(prefixes))])
	}
	rows := isa.Rows()
	s.buf = decode.Encode(s.buf, rows[s.r.IntN(len(rows))].ID, s.mode, s.form())
}

func (s *source) form() decode.Form {
	v := s.r.Uint64()
	return decode.Form{
		REX: byte(v) & 15, Mod: byte(v>>8) & 3, Reg: byte(v>>16) & 15, RM: byte(v>>24) & 15, SIB: byte(v >> 32),
		VVVV: byte(v>>40) & 15, VEX3: v>>48&1 != 0, Disp: s.r.Uint64(), Imm: s.r.Uint64(), Imm2: uint16(v >> 48),
	}
}

func (s *source) structured() {
	for range s.r.IntN(6) / 2 {
		s.buf = append(s.buf, prefixes[s.r.IntN(len(prefixes))])
	}
	if s.r.IntN(3) == 0 {
		s.buf = append(s.buf, 0x40|byte(s.r.Uint32())&15)
	}
	switch s.r.IntN(9) {
	case 0, 1:
	case 2, 3:
		s.buf = append(s.buf, 0x0f)
	case 4:
		s.buf = append(s.buf, 0x0f, 0x38)
	case 5:
		s.buf = append(s.buf, 0x0f, 0x3a)
	case 6:
		s.buf = append(s.buf, 0xc5, byte(s.r.Uint32()))
	case 7:
		s.buf = append(s.buf, 0xc4, byte(s.r.Uint32())&0xe0|byte(1+s.r.IntN(3)), byte(s.r.Uint32()))
	case 8:
		s.buf = append(s.buf, 0x62, byte(s.r.Uint32())&0xf0|byte(1+s.r.IntN(6)), byte(s.r.Uint32())|4)
	}
}
