package ptrace

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/seed-4e121ece/ringfence/oracle/silicon"
)

// decodeStrings are the distinct strings of a mode in the decoding tests of
// golang.org/x/arch/x86/x86asm: bytes with a bar where the instruction ends.
func decodeStrings(t *testing.T, mode x86.Mode) [][]byte {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "golang.org/x/arch").Output()
	needed(t, "x86asm", err)
	f, err := os.Open(filepath.Join(strings.TrimSpace(string(dir)), "x86", "x86asm", "testdata", "decode.txt"))
	needed(t, "x86asm", err)
	defer f.Close()
	// There are none of 16-bit code: those of 32-bit code are run there too.
	width := map[x86.Mode]string{x86.Long64: "64", x86.Compat32: "32", x86.Compat16: "32"}[mode]
	var all [][]byte
	seen := map[string]bool{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		field := strings.Fields(lines.Text())
		if len(field) < 3 || field[1] != width || seen[field[0]] {
			continue
		}
		seen[field[0]] = true
		head, _, ok := strings.Cut(field[0], "|")
		if !ok || seen[head] {
			continue
		}
		seen[head] = true
		b, err := hex.DecodeString(head)
		require.NoError(t, err, lines.Text())
		if len(b) > 0 && len(b) <= 15 {
			all = append(all, b)
		}
	}
	require.NoError(t, lines.Err())
	return all
}

var pool = []uint64{
	0, 1, 2, 7, 8, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0x7fffffff, 0x80000000, 0xffffffff, 1<<63 - 1, 1 << 63, ^uint64(0), 1<<47 - 8, 1 << 47,
	data, data + 1, data + 8, middle, middle - 1, middle - 4, middle - 64, data + 2*page - 8, data + 2*page - 1, data + 2*page, data + 0x400,
	stack, stack + page, stack + page - 64, stack + 2*page - 8, stack + 2*page, stack + 0x300, ro, ro + 16, ro + page - 4,
	code, code + 1, code + page, code + 2*page - 1, 0x1000, 0xffff800000000000,
}

// pool16 are offsets from the bases of the default segments of 16-bit code.
var pool16 = []uint64{
	0, 1, 2, 7, 8, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0xfffe, 0x7fffffff, 0x80000000, 0xffffffff, 0x10000, 0x12345,
	0x100, page, page - 1, page - 2, page - 64, page + 1, 2*page - 1, 2*page - 2, 2*page - 4, 2*page - 8, 2 * page, 0x300, 0x1f0, 0x07, 0x0f, 0x17,
}

// states gives a case random registers, flags and memory, most of which point at
// something.
func states(r *rand.Rand, c *oracle.Case) {
	from, base := pool, uint64(code)
	if c.State.Mode == x86.Compat16 {
		from, base = pool16, 0
	}
	rsp := c.State.GPR[x86.RSP]
	for i := range c.State.GPR {
		c.State.GPR[i] = r.Uint64()
		if r.IntN(8) != 0 {
			c.State.GPR[i] = from[r.IntN(len(from))]
		}
	}
	if r.IntN(4) != 0 {
		c.State.GPR[x86.RSP] = rsp + uint64(r.IntN(16)-8)*8
	}
	if r.IntN(4) != 0 {
		c.State.GPR[x86.RCX] = uint64(r.IntN(40))
	}
	c.State.RFLAGS = r.Uint64()&uint64(x86.FlagsStatus|x86.DF) | flagsFixed
	if r.IntN(8) == 0 {
		c.State.RFLAGS |= r.Uint64() & uint64(x86.AC|x86.NT|x86.ID)
	}
	if r.IntN(64) == 0 {
		c.State.RFLAGS |= uint64(x86.TF)
	}
	if c.State.Mode == x86.Long64 {
		c.FSBase, c.GSBase = pool[r.IntN(16)]&(1<<46-1), data
	} else {
		for i := range c.State.GPR {
			c.State.GPR[i] = uint64(uint32(c.State.GPR[i]))
		}
	}
	for i := 0; i+8 <= len(c.Memory); i += 8 {
		binary.LittleEndian.PutUint64(c.Memory[i:], from[r.IntN(len(from))])
	}
	if r.IntN(2) == 0 {
		c.State.FPU = randomFPU(r)
	}
	switch r.IntN(8) {
	case 0:
		c.State.RIP = base + 2*page - uint64(1+r.IntN(40))
	case 1:
		c.State.RIP = base + uint64(r.IntN(2*page))
	}
}

// words of vector registers: numbers of both widths that are special, and
// addresses, for gathers.
var vectorPool = []uint64{
	0, 1, ^uint64(0), 1 << 63, 0x7f800000_ff800000, 0x7fc00000_00000001, 0x3f800000_bf800000, 0x00800000_7f7fffff, 0x7fa00000_80000000,
	0x3ff0000000000000, 0x7ff0000000000000, 0xfff8000000000000, 0x7ff4000000000000, 0x0010000000000000, 0x000fffffffffffff, 0xbff8000000000000,
	data, middle, 8, 0x40_00000010, 0x0102030405060708,
}

// randomFPU is an x87 and vector state with everything that this CPU has. In one
// of four the exceptions are not masked, or some wait.
func randomFPU(r *rand.Rand) *x86.FPU {
	f := new(x86.FPU)
	oracle.InitFPU(f, silicon.AllComponents())
	word := func() uint64 {
		if r.IntN(4) == 0 {
			return r.Uint64()
		}
		return vectorPool[r.IntN(len(vectorPool))]
	}
	has := func(c x86.Component) bool { return f.Loaded&c != 0 }
	for n := range f.ZMM {
		for w := range f.ZMM[n] {
			switch {
			case n >= 16 && !has(x86.ComponentZMM16), w >= 4 && !has(x86.ComponentZMMHigh), w >= 2 && !has(x86.ComponentAVX):
			default:
				f.ZMM[n][w] = word()
			}
		}
	}
	if has(x86.ComponentOpmask) {
		for n := range f.K {
			f.K[n] = word()
		}
	}
	for i := range f.ST {
		f.ST[i].Significand, f.ST[i].SignExponent = word(), uint16(r.Uint32())
		if r.IntN(2) == 0 {
			f.ST[i].Significand, f.ST[i].SignExponent = 1<<63|r.Uint64(), 0x3ff0+uint16(r.IntN(32))
		}
	}
	f.FTW = byte(r.Uint32())
	f.FSW = uint16(r.Uint32()) & 0x7f00 // conditions and top
	f.FCW |= uint16(r.Uint32()) & 0x0f00
	f.MXCSR = uint32(initialMXCSR | r.IntN(0x80)&^0x40 | r.IntN(4)<<13)
	if r.IntN(4) == 0 {
		f.FCW &^= uint16(r.IntN(64))
		f.MXCSR &^= uint32(r.IntN(64)) << 7
		f.MXCSR |= uint32(r.IntN(2))<<15 | uint32(r.IntN(2))<<6
	}
	return f
}

const initialMXCSR = oracle.InitialMXCSR

// randomString makes bytes out of nothing, or begins with what leads into one of
// the opcode maps.
func randomString(r *rand.Rand) []byte {
	b := make([]byte, 15)
	binary.LittleEndian.PutUint64(b, r.Uint64())
	binary.LittleEndian.PutUint64(b[7:], r.Uint64())
	switch r.IntN(10) {
	case 0, 1:
	case 2:
		b[0] = 0x48
	case 3, 4:
		b[0] = 0x0f
	case 5:
		b[0], b[1] = 0x66, 0x0f
	case 6:
		b[0] &= 0x3b // the classic ALU rows
	case 7:
		b[0], b[1] = 0x0f, 0x38|b[1]&2
	case 8:
		b[0], b[1] = 0xc4, b[1]&0xe0|1+b[1]%3
		if r.IntN(2) == 0 {
			b[0] = 0xc5
		}
	case 9:
		b[0], b[1], b[2] = 0x62, b[1]&0xf0|1+b[1]%3, b[2]|4
	}
	if r.IntN(8) == 0 {
		p := []byte{0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x2e, 0x64, 0x65}
		copy(b[1:], b)
		b[0] = p[r.IntN(len(p))]
	}
	return b[:1+r.IntN(15)]
}
