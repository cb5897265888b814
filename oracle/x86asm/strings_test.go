package x86asm

import (
	"math/rand/v2"

	"github.com/seed-4e121ece/ringfence/corpus"
	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// strings15 makes byte strings for a decoder: uniform ones, ones that are put
// together like an instruction, and mutated seeds. The same seed gives the
// same strings.
type strings15 struct {
	r     *rand.Rand
	seeds []corpus.Seed
	buf   [32]byte
	n     int
}

func newStrings(seed uint64) *strings15 {
	s := &strings15{r: rand.New(rand.NewPCG(seed, 0x72696e6766656e63))}
	for seed := range corpus.Seeds() {
		if seed.Mode == 64 {
			s.seeds = append(s.seeds, seed)
		}
	}
	return s
}

func (s *strings15) put(b ...byte) {
	for _, c := range b {
		if s.n < len(s.buf) {
			s.buf[s.n] = c
			s.n++
		}
	}
}

func (s *strings15) random(n int) {
	for range n {
		s.put(byte(s.r.Uint32()))
	}
}

func (s *strings15) chance(of int) bool { return s.r.IntN(of) == 0 }

var legacyPrefixes = []byte{0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65}

// next returns a string of 1 to 15 bytes that is valid until the next call.
func (s *strings15) next() []byte {
	s.n = 0
	switch s.r.IntN(8) {
	case 0, 1:
		s.random(15)
	case 2, 3:
		s.mutated()
	case 4:
		s.fromTable()
	default:
		s.structured()
	}
	n := min(s.n, 15)
	if s.chance(64) {
		n = 1 + s.r.IntN(n)
	}
	return s.buf[:n]
}

// structured puts prefixes, an escape, an opcode and random rest together.
func (s *strings15) structured() {
	for range s.r.IntN(6) / 2 {
		s.put(legacyPrefixes[s.r.IntN(len(legacyPrefixes))])
	}
	if s.chance(3) {
		s.put(0x40 | byte(s.r.Uint32())&15)
	}
	switch s.r.IntN(9) {
	case 8:
		s.put(0x62)
		s.random(1)
	case 0, 1:
	case 2, 3:
		s.put(0x0f)
	case 4:
		s.put(0x0f, 0x38)
	case 5:
		s.put(0x0f, 0x3a)
	case 6:
		s.put(0xc5)
		s.random(1)
	case 7:
		s.put(0xc4, byte(s.r.Uint32())&0xe0|byte(1+s.r.IntN(3)))
		s.random(1)
	}
	s.random(15)
}

// mutated changes a seed: a bit, a byte, a prefix more, a prefix less.
func (s *strings15) mutated() {
	seed := s.seeds[s.r.IntN(len(s.seeds))].Bytes
	if s.chance(4) {
		s.put(legacyPrefixes[s.r.IntN(len(legacyPrefixes))])
	}
	if s.chance(16) {
		s.put(0x40 | byte(s.r.Uint32())&15)
	}
	s.put(seed...)
	for range s.r.IntN(3) {
		i := s.r.IntN(s.n)
		if s.chance(2) {
			s.buf[i] ^= 1 << s.r.IntN(8)
		} else {
			s.buf[i] = byte(s.r.Uint32())
		}
	}
	s.random(8)
}

// fromTable encodes a row of the table with random fields.
func (s *strings15) fromTable() {
	rows := isa.Rows()
	id := rows[s.r.IntN(len(rows))].ID
	s.put(decode.Encode(nil, id, x86.Long64, s.form())...)
	s.random(4)
}

func (s *strings15) form() decode.Form {
	v := s.r.Uint64()
	return decode.Form{
		REX: byte(v) & 15, Mod: byte(v>>8) & 3, Reg: byte(v>>16) & 15, RM: byte(v>>24) & 15, SIB: byte(v >> 32),
		VVVV: byte(v>>40) & 15, VEX3: v>>48&1 != 0, Disp: s.r.Uint64(), Imm: s.r.Uint64(), Imm2: uint16(v >> 48),
	}
}
