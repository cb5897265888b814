package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestBench measures for a moment and makes the report again from what was
// measured.
func TestBench(t *testing.T) {
	dir := t.TempDir()
	first, again := filepath.Join(dir, "first"), filepath.Join(dir, "again")
	got := command(t, "", "bench", "--for", "1ms", "--transport", "call", "--protocol", "message", "--class", "register,load", "--batch", "1,2", "--out", first)
	require.Equal(t, statusFine, got.status, got.err)
	require.Contains(t, got.out, "call/message")
	got = command(t, "", "bench", "--from", filepath.Join(first, benchRun), "--out", again, "--json")
	require.Equal(t, statusFine, got.status, got.err)
	require.True(t, strings.HasPrefix(got.out, `{"kind":"machine","schema":1,`), got.out)
	for _, name := range []string{benchRun, benchLines, benchReport} {
		a, err := os.ReadFile(filepath.Join(first, name))
		require.NoError(t, err)
		b, err := os.ReadFile(filepath.Join(again, name))
		require.NoError(t, err)
		require.Equal(t, string(a), string(b), name)
		require.NotEmpty(t, a, name)
	}
}

func TestBenchBad(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, []byte("not a run\n"), 0o600))
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"--for", "-1s"}, "--for -1s: want a time above 0"},
		{[]string{"--for", "soon"}, `invalid argument "soon" for "--for"`},
		{[]string{"--transport", "moon"}, `"moon"`},
		{[]string{"--protocol", "moon"}, `protocol "moon": want one of`},
		{[]string{"--class", "moon"}, `class "moon": want one of [register load`},
		{[]string{"--batch", "1,x"}, `--batch "1,x": want numbers`},
		{[]string{"--batch", "100000"}, "batches of 100000: want 1 to 512"},
		{[]string{"--exit", "-1ns"}, "--exit -1ns: want a time"},
		{[]string{"--exit", "700ns"}, "--exit 700ns without --exit-source"},
		{[]string{"--mix", "load=100"}, "want a name, a colon and shares"},
		{[]string{"--mix", "m: load"}, `share "load": want a class and its percent`},
		{[]string{"--mix", "m: load=30"}, "the shares come to 0.3: want 1"},
		{[]string{"--from", filepath.Join(dir, "none")}, "no such file"},
		{[]string{"--from", file}, "line 1: "},
		{[]string{"--from", file, "--for", "1s"}, "none of the others can be"},
		{[]string{"--out", filepath.Join(file, "below")}, "--out: "},
		{[]string{"extra"}, "extra"},
	} {
		got := command(t, "", append([]string{"bench", "--out", filepath.Join(dir, "out")}, tt.args...)...)
		require.Equal(t, statusBad, got.status, tt.args)
		require.Contains(t, got.err, tt.want)
		require.Empty(t, got.out)
	}
}

// TestBenchUnsaved: a run that cannot be saved is printed, so that it is not
// lost, and what stood there stays.
func TestBenchUnsaved(t *testing.T) {
	dir := t.TempDir()
	args := []string{"bench", "--for", "1ms", "--transport", "call", "--protocol", "message", "--class", "load", "--batch", "1"}
	require.Equal(t, statusFine, command(t, "", append(args, "--out", dir)...).status)
	blocked := filepath.Join(dir, benchReport)
	require.NoError(t, os.Remove(blocked))
	require.NoError(t, os.MkdirAll(filepath.Join(blocked, "in the way"), 0o755))
	got := command(t, "", append(args, "--out", dir)...)
	require.Equal(t, statusBad, got.status)
	require.Contains(t, got.err, "report.html was not written")
	require.True(t, strings.HasPrefix(got.out, `{"kind":"machine"`), got.out)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 3) // nothing half-written is left
}
