package executable

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSeedFiles(t *testing.T) {
	elfs, machos, err := SeedFiles()
	if err != nil {
		t.Skip("no seed module:", err)
	}
	require.Len(t, elfs, 12)
	require.Len(t, machos, 1)
	for _, f := range append(elfs, machos...) {
		total := 0
		for _, s := range f.Sections {
			total += len(s.Code)
		}
		require.Positive(t, total, f.Path)
	}
}

func TestGoCommand(t *testing.T) {
	f, err := GoCommand()
	if errors.Is(err, ErrNotX86) || errors.Is(err, os.ErrNotExist) {
		t.Skip(err)
	}
	require.NoError(t, err)
	require.NotEmpty(t, f.Sections)
}

func TestOpenErrors(t *testing.T) {
	_, err := Open(filepath.Join(t.TempDir(), "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
	text := filepath.Join(t.TempDir(), "text")
	require.NoError(t, os.WriteFile(text, []byte("hello"), 0o600))
	_, err = Open(text)
	require.ErrorContains(t, err, "neither ELF nor Mach-O")
}

func TestSweep(t *testing.T) {
	// Lengths of a toy machine: the low nibble; 0 is no instruction.
	length := func(b []byte) int { return int(b[0] & 15) }
	for _, c := range []struct {
		name string
		code []byte
		want []int
	}{
		{"whole", []byte{2, 0, 1, 3, 0, 0}, []int{0, 2, 3}},
		{"bad byte is stepped over", []byte{0, 0, 2, 1}, []int{2}},
		{"cut at the end", []byte{1, 5, 1}, []int{0, 2}},
		{"empty", nil, nil},
	} {
		var got []int
		Sweep(c.code, length, func(off int, _ []byte) bool { got = append(got, off); return true })
		require.Equal(t, c.want, got, c.name)
	}
	n := 0
	Sweep([]byte{1, 1, 1}, length, func(int, []byte) bool { n++; return n < 2 })
	require.Equal(t, 2, n, "stops when told")
}
