package silicon

import (
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/arch/x86/x86asm"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

func newDecoder(t testing.TB) *Decoder {
	d := &Decoder{e: newExecutor(t)}
	return d
}

func TestDecoder(t *testing.T) {
	d := newDecoder(t)
	for _, k := range []struct {
		mode   x86.Mode
		code   string
		length int // 0: not valid
		reason string
	}{
		{x86.Long64, "90", 1, ""},
		{x86.Long64, "4801d8cc", 3, ""},
		{x86.Long64, "48b81122334455667788", 10, ""},
		{x86.Long64, "48b811223344556677", 0, "truncated"},
		{x86.Long64, "", 0, "truncated"},
		{x86.Long64, "06", 0, "undefined"},
		{x86.Long64, "0f0b", 0, "undefined"},
		{x86.Long64, "f04801d8", 0, "undefined"},
		{x86.Long64, "488b0500000000", 7, ""},
		{x86.Long64, "488b03", 3, ""},
		{x86.Long64, "f4", 1, ""},
		{x86.Long64, "0f05", 2, ""},
		{x86.Long64, "cd80", 2, ""},
		{x86.Long64, "ebfe", 2, ""},
		{x86.Long64, "e2fe", 2, ""},
		{x86.Long64, "ffe0", 2, ""},
		{x86.Long64, "c3", 1, ""},
		{x86.Long64, "cc", 1, ""},
		{x86.Long64, "f1", 1, ""},
		{x86.Long64, "9d", 1, ""},
		{x86.Long64, "0fa2", 2, ""},
		{x86.Long64, "f3a4", 2, ""},
		{x86.Long64, "66f0480fc18c0311223344", 11, ""},
		{x86.Long64, "6666666666666666666666666666" + "90", 15, ""},
		{x86.Compat32, "40", 1, ""},
		{x86.Compat32, "06", 1, ""},
		{x86.Compat32, "c403", 2, ""},
		{x86.Compat32, "c4e37bf0c308", 6, ""},
		{x86.Compat32, "ea112233445566", 7, ""},
		{x86.Compat32, "8b0500000000", 6, ""},
		{x86.Compat32, "66b81122", 4, ""},
		{x86.Compat32, "678b4511", 4, ""},
		{x86.Compat32, "ebfe", 2, ""},
		{x86.Compat32, "0f0b", 0, "undefined"},
		{x86.Compat16, "b81122", 3, ""},
		{x86.Compat16, "66b811223344", 6, ""},
		{x86.Compat16, "8b061122", 4, ""},
		{x86.Compat16, "678b0500000000", 7, ""},
		{x86.Compat16, "9a11223344", 5, ""},
		{x86.Compat16, "9a112233", 0, "truncated"},
		{x86.Compat16, "ebfe", 2, ""},
		{x86.Compat16, "0f0b", 0, "undefined"},
	} {
		var out oracle.Decoded
		d.Decode(fromHex(t, k.code), k.mode, &out)
		assert.Equal(t, k.length != 0, out.Valid, "%v %s", k.mode, k.code)
		assert.Equal(t, k.length, int(out.Length), "%v %s", k.mode, k.code)
		assert.Equal(t, k.reason, out.Reason, "%v %s", k.mode, k.code)
		assert.True(t, out.Covered, "%v %s", k.mode, k.code)
	}
	assert.Zero(t, d.e.Respawns())
	var out oracle.Decoded
	d.Decode(fromHex(t, "66666666666666666666666666666690"), x86.Long64, &out)
	assert.False(t, out.Covered, "too long, or a #GP of its own")
}

// TestDecoderLengths holds the lengths that the CPU finds against x86asm's, over
// the strings of that package's test.
func TestDecoderLengths(t *testing.T) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "golang.org/x/arch").Output()
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "x86/x86asm/testdata/decode.txt"))
	if err != nil {
		t.Skip(err)
	}
	byMode := map[x86.Mode][][]byte{}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 3 || strings.HasPrefix(line, "#") {
			continue
		}
		b, err := hex.DecodeString(strings.ReplaceAll(f[0], "|", ""))
		require.NoError(t, err, line)
		m := x86.Long64
		if f[1] == "32" {
			m = x86.Compat32
		}
		byMode[m] = append(byMode[m], b)
	}
	d := newDecoder(t)
	for m, codes := range byMode {
		out := make([]oracle.Decoded, len(codes))
		d.DecodeBatch(codes, m, out)
		same, differ, valid := 0, 0, 0
		for i := range codes {
			require.NotEqual(t, oracle.Died, out[i].Ending, "% x", codes[i])
			if !out[i].Valid {
				continue
			}
			valid++
			in, err := x86asm.Decode(codes[i], m.Width())
			switch {
			case err != nil:
			case in.Len == int(out[i].Length):
				same++
			default:
				differ++
				t.Logf("%v % x: CPU %d, x86asm %d", m, codes[i], out[i].Length, in.Len)
			}
		}
		t.Logf("%v: %d strings, %d valid, %d of the length that x86asm says, %d of another", m, len(codes), valid, same, differ)
		assert.Greater(t, same, len(codes)/2)
		assert.Less(t, differ, len(codes)/50)
	}
	assert.Zero(t, d.e.Respawns())
}

func BenchmarkDecode(b *testing.B) {
	d := newDecoder(b)
	codes := make([][]byte, maxSlots)
	for i := range codes {
		codes[i] = []byte{0x48, 0x01, 0xd8}
	}
	out := make([]oracle.Decoded, len(codes))
	d.DecodeBatch(codes, x86.Long64, out)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		d.DecodeBatch(codes, x86.Long64, out)
		n += len(codes)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/string")
}
