package sweep

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

var modes = []x86.Mode{x86.Long64, x86.Compat32, x86.Compat16}

// The strings of the first wave that each walk has: a change of the walk has
// to be meant, and to come with another WalkVersion.
func TestWalkCounts(t *testing.T) {
	require.Equal(t, 1, WalkVersion)
	for _, tc := range []struct {
		mode            x86.Mode
		blocks, strings int
	}{
		{x86.Long64, 135894, 30829972},
		{x86.Compat32, 91970, 20629238},
		{x86.Compat16, 91970, 15853094},
	} {
		w, err := NewWalk(tc.mode)
		require.NoError(t, err)
		require.Equal(t, tc.blocks, w.Blocks(), "%v", tc.mode)
		if testing.Short() {
			continue
		}
		n := 0
		for i := range w.blocks {
			w.strings(&w.blocks[i], func(*text) { n++ })
		}
		require.Equal(t, tc.strings, n, "%v", tc.mode)
	}
}

// Every block is visited once, and no two blocks share a string: neither the
// strings of the first wave, nor what is left of them when they are cut behind
// the opcode.
func TestWalkBlocksAreDisjoint(t *testing.T) {
	for _, mode := range modes {
		w, err := NewWalk(mode)
		require.NoError(t, err)
		visited := make([]bool, w.Blocks())
		for i := range visited {
			at := int(uint64(i) * uint64(w.stride) % uint64(len(w.blocks)))
			require.False(t, visited[at])
			visited[at] = true
		}
		owner := map[[maxString + 1]byte]int{}
		for i := 0; i < w.Blocks(); i += 1 + w.Blocks()/3000 { // a sample
			w.strings(w.at(i), func(s *text) {
				var k [maxString + 1]byte
				copy(k[:], s.bytes[:s.opcodeEnd])
				k[maxString] = s.opcodeEnd
				if o, ok := owner[k]; ok && o != i {
					t.Fatalf("%v: %x is in two blocks, %+v and %+v", mode, s.bytes[:s.opcodeEnd], *w.at(o), *w.at(i))
				}
				owner[k] = i
			})
		}
	}
}

// The walk reaches every opcode of every map, all ModRM bytes, and prefixes in
// both orders.
func TestWalkReaches(t *testing.T) {
	for _, tc := range []struct {
		mode x86.Mode
		code []byte
	}{
		{x86.Long64, []byte{0x0f, 0x0f, 0xc1}},
		{x86.Long64, []byte{0x66, 0xf3, 0x0f, 0xb8, 0x03}},
		{x86.Long64, []byte{0xf3, 0x66, 0x0f, 0xb8, 0x03}},
		{x86.Long64, []byte{0x48, 0x66, 0x01, 0x03}},
		{x86.Long64, []byte{0xc4, 0xe2, 0x79, 0x18, 0x03}},
		{x86.Long64, []byte{0x62, 0xf1, 0x7c, 0x48, 0x58, 0xc2}},
		{x86.Long64, []byte{0x8f, 0xe9, 0x78, 0x01, 0x0b}},
		{x86.Long64, []byte{0xd5, 0x08, 0x01, 0x03}},
		{x86.Compat32, []byte{0xc4, 0x03}},
		{x86.Compat32, []byte{0x62, 0x44}},
		{x86.Compat32, []byte{0x40}},
		{x86.Compat32, []byte{0xd5}},
		{x86.Compat16, []byte{0x67, 0x8b, 0x04, 0x25}},
		{x86.Compat16, []byte{0xc5, 0xf8, 0x77}},
	} {
		w, err := NewWalk(tc.mode)
		require.NoError(t, err)
		found := false
		for i := range w.blocks {
			w.strings(&w.blocks[i], func(s *text) {
				found = found || string(s.bytes[:len(tc.code)]) == string(tc.code)
			})
			if found {
				break
			}
		}
		require.True(t, found, "%v %x", tc.mode, tc.code)
	}
}
