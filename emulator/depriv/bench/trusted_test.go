package bench

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

func TestCodeLines(t *testing.T) {
	for _, tt := range []struct {
		source string
		want   int
	}{
		{"", 0},
		{"// only a comment\n\n/* another */\n", 0},
		{"package a\n\nvar x = 1 // one\n", 2},
		{"package a\nvar x = `a\nb\nc`\n", 4},
		{"package a\nfunc f() {\n\n}\n", 3},
	} {
		require.Equal(t, tt.want, codeLines([]byte(tt.source)), tt.source)
	}
	require.Equal(t, 2, rows("# comment\n\nADD r, r\n  SUB r, r\n"))
}

// TestCountTrusted: each part is there in this source, and has code.
func TestCountTrusted(t *testing.T) {
	all, err := CountTrusted()
	require.NoError(t, err)
	for _, p := range all {
		require.Positive(t, p.Lines+p.Rows, p.Part)
		t.Logf("%-40s %-28s %6d %6d", p.Part, p.Side, p.Lines, p.Rows)
	}
	_, err = countIn(fstest.MapFS{})
	require.ErrorContains(t, err, "sandbox: no code in")
}
