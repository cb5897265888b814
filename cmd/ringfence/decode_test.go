package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDecodeJSON(t *testing.T) {
	for _, tc := range []struct {
		name, args, in, want string
		status               int
	}{
		{
			"valid", "4801d8", "",
			`{"bytes":"4801d8","mode":64,"engine":"model","valid":true,"length":3,"mnemonic":"ADD","text":"add rax, rbx"}`, 0,
		},
		{
			"truncated", "0f38", "",
			`{"bytes":"0f38","mode":64,"engine":"model","valid":false,"reason":"truncated"}`, 0,
		},
		{
			"echoes the input", "4801D8", "",
			`{"bytes":"4801D8","mode":64,"engine":"model","valid":true,"length":3,"mnemonic":"ADD","text":"add rax, rbx"}`, 0,
		},
		{
			"mode 32", "--mode 32 40", "",
			`{"bytes":"40","mode":32,"engine":"model","valid":true,"length":1,"mnemonic":"INC","text":"inc eax"}`, 0,
		},
		{
			"mode 16", "--mode 16 40", "",
			`{"bytes":"40","mode":16,"engine":"model","valid":true,"length":1,"mnemonic":"INC","text":"inc ax"}`, 0,
		},
		{
			"a REX prefix alone", "40", "",
			`{"bytes":"40","mode":64,"engine":"model","valid":false,"reason":"truncated"}`, 0,
		},
		{
			"only the first instruction of more than 15 bytes", "4801d8" + strings.Repeat("90", 20), "",
			`{"bytes":"4801d8` + strings.Repeat("90", 20) + `","mode":64,"engine":"model","valid":true,"length":3,"mnemonic":"ADD","text":"add rax, rbx"}`, 0,
		},
		{
			"more than 15 bytes needed", strings.Repeat("66", 15) + "90", "",
			`{"bytes":"` + strings.Repeat("66", 15) + `90","mode":64,"engine":"model","valid":false,"reason":"too long"}`, 0,
		},
		{
			"bad argument between good ones", "90 9 90", "",
			`{"bytes":"90","mode":64,"engine":"model","valid":true,"length":1,"mnemonic":"NOP","text":"nop"}
{"line":2,"error":"byte 1: odd number of hex digits (1)"}
{"bytes":"90","mode":64,"engine":"model","valid":true,"length":1,"mnemonic":"NOP","text":"nop"}`, 2,
		},
		{
			"lines", "-", "90\n\n9g\r\n90",
			`{"bytes":"90","mode":64,"engine":"model","valid":true,"length":1,"mnemonic":"NOP","text":"nop"}
{"line":2,"error":"empty line: want hex digits"}
{"line":3,"error":"byte 2: 'g' is not a hex digit"}
{"bytes":"90","mode":64,"engine":"model","valid":true,"length":1,"mnemonic":"NOP","text":"nop"}`, 2,
		},
		{
			"a line that is too long", "", strings.Repeat("90", maxHexLine) + "\n90\n",
			`{"line":1,"error":"line longer than 65536 bytes"}
{"bytes":"90","mode":64,"engine":"model","valid":true,"length":1,"mnemonic":"NOP","text":"nop"}`, 2,
		},
		{
			"two engines", "--engine model,x86asm 4801d8", "",
			`{"bytes":"4801d8","mode":64,"engine":"model","valid":true,"length":3,"mnemonic":"ADD","text":"add rax, rbx"}
{"bytes":"4801d8","mode":64,"engine":"x86asm","valid":true,"length":3,"mnemonic":"ADD","text":"add rax, rbx"}`, 0,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := command(t, tc.in, append([]string{"decode", "--json"}, strings.Fields(tc.args)...)...)
			require.Equal(t, tc.want+"\n", got.out)
			require.Equal(t, tc.status, got.status)
			require.Equal(t, tc.status == 0, got.err == "", "stderr: %s", got.err)
		})
	}
}

func TestDecodeText(t *testing.T) {
	got := command(t, "4801d8\n\n0f38\n", "decode", "-")
	require.Equal(t, statusBad, got.status)
	require.Equal(t, `4801d8                          3  add rax, rbx
line 2: error: empty line: want hex digits
0f38                           (bad) truncated
`, got.out)
	require.Equal(t, "ringfence: decode: line 2, empty line: want hex digits\n", got.err)
}

// Each of 100,000 lines is answered in its place, the bad ones too.
func TestDecodeManyLines(t *testing.T) {
	const n = 100_000
	good := []string{"4801d8", "90", "488b04cb", "0f38", "c3", "e800000000", "f3a4", "66b83412"}
	bad := []string{"", "9", "zz", "48 01"}
	isBad := func(i int) bool { return i%97 == 5 }
	var in strings.Builder
	for i := range n {
		if isBad(i) {
			in.WriteString(bad[i%len(bad)])
		} else {
			in.WriteString(good[i%len(good)])
		}
		in.WriteByte('\n')
	}
	got := command(t, in.String(), "decode", "--json", "-")
	require.Equal(t, statusBad, got.status)
	lines := got.lines()
	require.Len(t, lines, n)
	for i, l := range lines {
		var a struct {
			Bytes, Error string
			Line         int
			Valid        *bool
		}
		if err := json.Unmarshal([]byte(l), &a); err != nil {
			t.Fatalf("line %d is no JSON: %s: %v", i+1, l, err)
		}
		if isBad(i) && (a.Line != i+1 || a.Error == "") {
			t.Fatalf("line %d: want an error with its number, got %s", i+1, l)
		}
		if !isBad(i) && (a.Bytes != good[i%len(good)] || a.Valid == nil) {
			t.Fatalf("line %d: want an answer for %s, got %s", i+1, good[i%len(good)], l)
		}
	}
	require.Contains(t, got.err, "the first: line 6, ")
}

func BenchmarkDecodeCommand(b *testing.B) {
	const n = 10_000
	in := strings.Repeat("4801d8\n488b04cb\n0f38\nf3a4\n", n/4)
	for _, asJSON := range []bool{false, true} {
		b.Run(fmt.Sprintf("json=%v/lines=%d", asJSON, n), func(b *testing.B) {
			args := []string{"decode", fmt.Sprintf("--json=%v", asJSON), "-"}
			for b.Loop() {
				status := run(b.Context(), args, stdio{in: strings.NewReader(in), out: discard{}, err: discard{}})
				if status != statusFine {
					b.Fatalf("exit status %d", status)
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
		})
	}
}

// discard is a writer that is not io.Discard, whose shortcuts a real output
// does not have.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
