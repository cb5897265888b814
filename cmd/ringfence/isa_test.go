package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator/exec"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
)

// isaRows asks the isa command and returns its rows.
func isaRows(t *testing.T, args ...string) []rowAnswer {
	t.Helper()
	got := command(t, "", append([]string{"isa", "--json"}, args...)...)
	require.Equal(t, statusFine, got.status, got.err)
	var rows []rowAnswer
	for _, line := range got.lines() {
		var r rowAnswer
		d := json.NewDecoder(strings.NewReader(line))
		d.DisallowUnknownFields()
		require.NoError(t, d.Decode(&r), line)
		rows = append(rows, r)
	}
	return rows
}

func TestISA(t *testing.T) {
	all := isaRows(t)
	require.Len(t, all, len(isa.Rows()))
	for _, tc := range []struct {
		args string
		ok   func(r *rowAnswer) bool
	}{
		{"add", func(r *rowAnswer) bool { return r.Mnemonic == "ADD" }},
		{"shl shr", func(r *rowAnswer) bool { return r.Mnemonic == "SHL" || r.Mnemonic == "SHR" }},
		{"CMOV*", func(r *rowAnswer) bool { return strings.HasPrefix(r.Mnemonic, "CMOV") }},
		{"--feature bmi2", func(r *rowAnswer) bool { return slices.Contains(r.Features, "BMI2") }},
		{"--feature -", func(r *rowAnswer) bool { return len(r.Features) == 0 }},
		{"--map 0f38", func(r *rowAnswer) bool { return r.Map == "0F38" }},
		{"--map VEX.0F38", func(r *rowAnswer) bool { return r.Map == "VEX.0F38" }},
		{"--mode 16", func(r *rowAnswer) bool { return r.Modes[0] == 16 }},
		{"--executed yes", func(r *rowAnswer) bool { return r.Executed }},
		{"--executed no --mode 64 v*", func(r *rowAnswer) bool {
			return !r.Executed && r.Modes[len(r.Modes)-1] == 64 && r.Mnemonic[0] == 'V'
		}},
	} {
		t.Run(tc.args, func(t *testing.T) {
			want := 0
			for i := range all {
				if tc.ok(&all[i]) {
					want++
				}
			}
			rows := isaRows(t, strings.Fields(tc.args)...)
			require.NotZero(t, want)
			require.Len(t, rows, want)
			for i := range rows {
				require.True(t, tc.ok(&rows[i]), rows[i].Encoding)
			}
		})
	}
}

func TestISAText(t *testing.T) {
	got := command(t, "", "isa", "cmpxchg8b")
	require.Equal(t, statusFine, got.status)
	require.Contains(t, got.out, "0F C7 /1")
	require.Contains(t, got.out, "1 of ")
	got = command(t, "", "isa", "nosuch*")
	require.Equal(t, statusFound, got.status)
	require.Contains(t, got.out, "0 of ")
}

// Every map has a name, and the coverage page counts every row once by map and
// once by feature.
func TestCoverage(t *testing.T) {
	executed := 0
	for _, r := range isa.Rows() {
		require.NotContains(t, mapOf(&r), "map ", r.Encoding)
		if exec.Implemented(r.ID) {
			executed++
		}
	}
	got := command(t, "", "isa", "--coverage")
	require.Equal(t, statusFine, got.status)
	require.Contains(t, got.out, "Code generated")
	require.Contains(t, got.out, commas(uint64(executed))+" rows are executed")
	require.NotContains(t, got.out, "map 1")
}
