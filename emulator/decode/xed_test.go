package decode_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
)

// xedVariable names the folder of Intel's data files for XED (datafiles of
// github.com/intelxed/xed, Apache 2.0). They check the table and are no part of
// it.
const xedVariable = "RINGFENCE_XED"

// TestXED makes bytes of every encoding that Intel's data files define and
// wants each to be a row, of that name and length. What is not, and why, is
// said in xedAbsent.
func TestXED(t *testing.T) {
	dir := os.Getenv(xedVariable)
	if dir == "" {
		t.Skipf("%s does not name the folder of XED's data files", xedVariable)
	}
	patterns := readXED(t, dir)
	require.NotEmpty(t, patterns, "%s: no patterns below %s", xedVariable, dir)
	intel, amd := allFeatures(isa.Intel), allFeatures(isa.AMD)
	options, listed := 0, map[string]int{}
	names := map[string]int{}
	var missing []string
	for i := range patterns {
		p := &patterns[i]
		if p.option != "" {
			options++
			continue
		}
		var in decode.Inst
		if decode.Decode(&in, p.code, p.mode, intel) != decode.Valid && decode.Decode(&in, p.code, p.mode, amd) != decode.Valid {
			if why := xedReason(p); why != "" {
				listed[why]++
				continue
			}
			missing = append(missing, fmt.Sprintf("%s (%s): %x in %v: %v\n  %s", p.class, p.extension, p.code[:min(p.length, 15)], p.mode, in.Err, p.pattern))
			continue
		}
		if int(in.Length) != p.length {
			missing = append(missing, fmt.Sprintf("%s (%s): %x in %v: %d bytes, want %d\n  %s", p.class, p.extension, p.code[:min(p.length, 15)], p.mode, in.Length, p.length, p.pattern))
		}
		if have := isa.Get(in.Row).Mnemonic.String(); have != xedName(p.class) {
			names[fmt.Sprintf("%s is %s", p.class, have)]++
		}
	}
	slices.Sort(missing)
	t.Logf("%d patterns, %d of them for options that no such CPU has, %d listed as absent, %d missing", len(patterns), options, sum(listed), len(missing))
	for why, n := range listed {
		t.Logf("%5d absent: %s", n, why)
	}
	for _, n := range sortedKeys(names) {
		t.Logf("%5d named: %s", names[n], n)
	}
	require.Empty(t, missing, strings.Join(missing, "\n"))
}

func sum(m map[string]int) (n int) {
	for _, v := range m {
		n += v
	}
	return n
}

func sortedKeys(m map[string]int) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// xedReason tells why the table does not have a pattern, "" if it should.
func xedReason(p *xedPattern) string {
	return xedAbsent[p.extension]
}

// xedAbsent are the extensions that the table does not have, by XED's name.
var xedAbsent = map[string]string{
	"ACE": "announced, no CPU is known yet; the gaps of the table list it",
}

// xedName is the manual's name of XED's class.
func xedName(class string) string {
	for _, suffix := range []string{"_LOCK", "_NEAR", "_FAR", "_CR", "_DR", "_XMM"} {
		class = strings.TrimSuffix(class, suffix)
	}
	for _, prefix := range []string{"REP_", "REPE_", "REPNE_"} {
		class = strings.TrimPrefix(class, prefix)
	}
	for _, family := range []string{"J", "CMOV", "SET"} {
		if c, ok := strings.CutPrefix(class, family); ok {
			if n, ok := map[string]string{"NZ": "NE", "Z": "E", "NBE": "A", "NB": "AE", "NL": "GE", "NLE": "G"}[c]; ok {
				return family + n
			}
		}
	}
	return class
}
