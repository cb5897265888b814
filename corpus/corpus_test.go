package corpus

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	// The seed executables; pinned in go.mod by these imports alone.
	_ "github.com/dvyukov/go-fuzz-corpus/elf"
	_ "github.com/dvyukov/go-fuzz-corpus/macho"
	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/corpus/executable"
)

func TestEmbeddedSeeds(t *testing.T) {
	h := Info()
	require.Greater(t, h.Count, 50000)
	bySource := make([]int, len(h.Sources))
	byMode := map[int]int{}
	n := 0
	for s := range Seeds() {
		require.Less(t, s.Source, len(h.Sources))
		bySource[s.Source]++
		byMode[s.Mode]++
		require.NotEmpty(t, s.Bytes)
		n++
	}
	require.Equal(t, h.Count, n)
	for i, s := range h.Sources {
		require.Equal(t, s.Seeds, bySource[i], s.Name)
		t.Logf("%-10s %9d instructions, %6d new encodings (%s)", s.Name, s.Instructions, s.Seeds, s.Version)
	}
	require.Greater(t, byMode[64], 50000)
	require.Positive(t, byMode[32])
	require.Less(t, len(file), 1<<20, "the embedded file is meant to be small")
	require.NoError(t, walk(loaded().body, func(Seed) bool { return true }))
}

func TestSeedsAreSortedAndDistinct(t *testing.T) {
	var last Seed
	for i, s := range All() {
		if i > 0 && s.Source == last.Source && s.Mode == last.Mode {
			require.Negative(t, bytes.Compare(last.Bytes, s.Bytes), "seed %d", i)
		}
		last = s
	}
}

func TestSeedsStopsEarly(t *testing.T) {
	n := 0
	for range Seeds() {
		if n++; n == 7 {
			break
		}
	}
	require.Equal(t, 7, n)
}

func TestFormatAndParse(t *testing.T) {
	seeds := []Seed{
		{Mode: 32, Bytes: []byte{0x90}, Source: 0},
		{Mode: 64, Bytes: []byte{0x48, 0x01, 0xd8}, Source: 0},
		{Mode: 64, Bytes: bytes.Repeat([]byte{0x66}, 15), Source: 1},
	}
	want := Header{Count: 3, Sources: []Source{{"a", "v1", 5, 2}, {"b", "v2", 1, 1}}}
	data := Format(want, seeds)
	h, body, err := parse(data)
	require.NoError(t, err)
	require.Equal(t, want, h)
	var got []Seed
	require.NoError(t, walk(body, func(s Seed) bool { got = append(got, s); return true }))
	require.Equal(t, seeds, got)

	// Every cut inside the body is noticed, but for the cuts between groups.
	for cut := 1; cut < len(body); cut++ {
		whole := cut == groupHeader+2 || cut == 2*groupHeader+2+4
		err := walk(body[:cut], func(Seed) bool { return true })
		require.Equal(t, whole, err == nil, "cut at %d: %v", cut, err)
	}
}

func TestParseErrors(t *testing.T) {
	for _, c := range []struct{ data, want string }{
		{"", "no empty line"},
		{"other 1\n\n", "line 1"},
		{magic + "\ncount x\n\n", "line 2"},
		{magic + "\ncount 1\nsource a b 1\n\n", "line 3"},
		{magic + "\nsource a b 1 y\n\n", "line 2"},
	} {
		_, _, err := parse([]byte(c.data))
		require.ErrorContains(t, err, c.want)
	}
}

func TestSeedsAllocateNothing(t *testing.T) {
	total := 0
	require.Zero(t, testing.AllocsPerRun(3, func() {
		for s := range Seeds() {
			total += len(s.Bytes)
		}
	}))
	require.Positive(t, total)
}

// TestReproducible distils again. It needs the go command and the modules of
// the sources, and the Go release that the file was made with.
func TestReproducible(t *testing.T) {
	if testing.Short() {
		t.Skip("short")
	}
	version, err := exec.Command("go", "env", "GOVERSION").Output()
	if err != nil {
		t.Skip("no go command:", err)
	}
	self, err := executable.GoCommand()
	if err != nil {
		t.Skip("no x86-64 go command:", err)
	}
	goVersion := strings.TrimSpace(string(version))
	for _, s := range Info().Sources {
		if s.Name == "gocommand" && s.Version != goVersion+",sha256:"+self.SHA256[:16] {
			t.Skipf("seeds were distilled with %s, this is %s (%s)", s.Version, goVersion, self.SHA256[:16])
		}
	}
	cmd := exec.Command("go", "run", "./corpus/internal/distil", "-check")
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Logf("%s", out)
}

func BenchmarkSeeds(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for s := range Seeds() {
			n += len(s.Bytes)
		}
		if n == 0 {
			b.Fatal("no seeds")
		}
	}
}
