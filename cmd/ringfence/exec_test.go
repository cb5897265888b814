package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/stretchr/testify/require"
)

// registersAfter is the answer's registers, all of them, with some changed.
const registersAfter = `"registers":{"rax":"RAX","rcx":"0x0","rdx":"0x0","rbx":"RBX","rsp":"0x30001000","rbp":"0x0","rsi":"0x0","rdi":"0x0",` +
	`"r8":"0x0","r9":"0x0","r10":"0x0","r11":"0x0","r12":"0x0","r13":"0x0","r14":"0x0","r15":"0x0","rip":"RIP","rflags":"RFLAGS",` +
	`"es":"0x0","cs":"0x33","ss":"0x2b","ds":"0x0","fs":"0x0","gs":"0x0","fsbase":"0x0","gsbase":"0x0"}`

func registers(rax, rbx, rip, rflags string) string {
	return strings.NewReplacer("RAX", rax, "RBX", rbx, "RIP", rip, "RFLAGS", rflags).Replace(registersAfter)
}

// execExamples are cases with the answer of the model.
var execExamples = []struct{ name, in, want string }{
	{
		"the example of the documentation",
		`{"schema":1,"mode":"long64","code":"4801d8","registers":{"rax":"0x1","rbx":"0x2","rip":"0x10000000","rflags":"0x202"},"memory":[{"address":"0x20000000","bytes":"00ff"}],"steps":1}`,
		`{"outcome":"okay","partial":false,"steps":1,` + registers("0x3", "0x2", "0x10000003", "0x206") + `,"memory":[{"address":"0x20000000","bytes":"00ff"}],"retire":[],"accesses":[]}`,
	},
	{
		"a store",
		`{"code":"488903","registers":{"rax":"0x1234","rbx":"0x20000ffc"},"memory":[{"address":"0x20000ff8","bytes":"00ff00ff00ff00ff00ff00ff00ff00ff"}]}`,
		`{"outcome":"okay","partial":false,"steps":1,` + registers("0x1234", "0x20000ffc", "0x10000003", "0x202") +
			`,"memory":[{"address":"0x20000ff8","bytes":"00ff00ff341200000000000000ff00ff"}],"retire":[],"accesses":[{"segment":"ds","offset":"0x20000ffc","size":8,"intent":"write"}]}`,
	},
	{
		"a page fault",
		`{"code":"488903"}`,
		`{"outcome":"exception","event":{"type":"fault","vector":14,"error_code":6,"address":"0x0"},"partial":false,"steps":0,` + registers("0x0", "0x0", "0x10000000", "0x202") +
			`,"memory":[],"retire":[],"accesses":[{"segment":"ds","offset":"0x0","size":8,"intent":"write"}]}`,
	},
	{
		"an invalid instruction",
		`{"code":"0f0b"}`,
		`{"outcome":"exception","event":{"type":"fault","vector":6},"partial":false,"steps":0,` + registers("0x0", "0x0", "0x10000000", "0x202") + `,"memory":[],"retire":[],"accesses":[]}`,
	},
	{
		"several steps",
		`{"code":"48ffc048ffc3","steps":2}`,
		`{"outcome":"okay","partial":false,"steps":2,` + registers("0x1", "0x1", "0x10000006", "0x202") + `,"memory":[],"retire":[],"accesses":[]}`,
	},
	{
		"what no engine can express yet",
		`{"code":"90","msrs":{"0xc0000080":"0x500"}}`,
		`{"outcome":"unsupported","field":"msrs"}`,
	},
}

func TestExecJSON(t *testing.T) {
	for _, tc := range execExamples {
		t.Run(tc.name, func(t *testing.T) {
			got := command(t, tc.in+"\n", "exec", "--json", "-")
			require.Equal(t, tc.want+"\n", got.out)
			require.Empty(t, got.err)
			require.Equal(t, statusFine, got.status)
		})
	}
}

// The CPU gives the same answers as the model, but for what it cannot tell.
func TestExecSilicon(t *testing.T) {
	need(t, "silicon")
	for _, tc := range execExamples {
		if strings.Contains(tc.in, `"steps":2`) {
			continue // the CPU runs one instruction a case
		}
		t.Run(tc.name, func(t *testing.T) {
			got := command(t, tc.in+"\n", "exec", "--json", "--engine", "silicon", "-")
			require.Empty(t, got.err)
			require.Equal(t, statusFine, got.status)
			var model, silicon map[string]any
			require.NoError(t, json.Unmarshal([]byte(tc.want), &model))
			require.NoError(t, json.Unmarshal([]byte(got.out), &silicon))
			if unknown, ok := silicon["unknown"].([]any); ok {
				require.Subset(t, []any{"retire", "accesses", "promise"}, unknown)
				for _, name := range unknown {
					delete(model, name.(string))
				}
				delete(silicon, "unknown")
			}
			if silicon["outcome"] == "exception" {
				// The comparison rule resume-flag: RF of a fault's image is how the
				// CPU would resume, not what the instruction did.
				r := silicon["registers"].(map[string]any)
				flags, err := strconv.ParseUint(r["rflags"].(string), 0, 64)
				require.NoError(t, err)
				r["rflags"] = fmt.Sprintf("%#x", flags&^uint64(x86.RF))
			}
			require.Equal(t, model, silicon)
		})
	}
}

// A case that asks for more than an engine can do is told so, never run in
// part.
func TestExecStepsOnSilicon(t *testing.T) {
	need(t, "silicon")
	got := command(t, `{"code":"48ffc048ffc3","steps":2}`, "exec", "--json", "--engine", "silicon", "-")
	var a struct{ Outcome, Field string }
	require.NoError(t, json.Unmarshal([]byte(got.out), &a))
	if a.Outcome != "okay" {
		require.Equal(t, "unsupported", a.Outcome)
		require.Equal(t, "steps", a.Field)
	}
}

func TestExecBadLines(t *testing.T) {
	good := `{"code":"90"}`
	for _, tc := range []struct{ name, in, want string }{
		{"empty", "", "empty line: want a case"},
		{"blank", "  ", "empty line: want a case"},
		{"not JSON", "code 90", "not JSON"},
		{"truncated", `{"code":"90`, "the input ends before the value does"},
		{"two objects", good + good, "more input after the object"},
		{"no object", `"90"`, "byte 0"},
		{"unknown key", `{"code":"90","cod":"90"}`, "byte 13: cod: no such key in the case schema"},
		{"other schema", `{"schema":2,"code":"90"}`, "schema 2: this program reads schema 1"},
		{"unknown mode", `{"mode":"long65","code":"90"}`, `mode "long65"`},
		{"unknown register", `{"code":"90","registers":{"rzx":"0x0"}}`, "rzx: no such register"},
		{"value too wide", `{"code":"90","registers":{"rax":"0x10000000000000000"}}`, "want at most 64"},
		{"selector too wide", `{"code":"90","registers":{"es":"0x10000"}}`, "want at most 16"},
		{"odd hex", `{"code":"909"}`, "code"},
		{"not hex", `{"code":"9g"}`, "code"},
		{"no code", `{"mode":"long64"}`, "no code"},
		{"too much code", `{"code":"` + strings.Repeat("90", 16) + `"}`, "16 bytes: want at most 15"},
		{
			"overlapping memory", `{"code":"90","memory":[{"address":"0x20000000","bytes":"00ff"},{"address":"0x20000001","bytes":"00"}]}`,
			"1 bytes at 0x20000001 overlap 2 bytes at 0x20000000",
		},
		{"memory without address", `{"code":"90","memory":[{"bytes":"00ff"}]}`, "no address"},
		{"memory past the end", `{"code":"90","memory":[{"address":"0xffffffffffffffff","bytes":"00ff"}]}`, "run past the last address"},
		{"memory not canonical", `{"code":"90","memory":[{"address":"0x8000000000000000","bytes":"00ff"}]}`, "not canonical"},
		{"too long", `{"code":"` + strings.Repeat("90", maxCaseLine/2) + `"}`, "line longer than 4194304 bytes"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := command(t, good+"\n"+tc.in+"\n"+good+"\n", "exec", "--json", "-")
			require.Equal(t, statusBad, got.status)
			lines := got.lines()
			require.Len(t, lines, 3, "%s", got.out)
			for _, i := range []int{0, 2} {
				require.Contains(t, lines[i], `"outcome":"okay"`, "the rest goes on")
			}
			var bad lineError
			require.NoError(t, json.Unmarshal([]byte(lines[1]), &bad))
			require.Equal(t, 2, bad.Line)
			require.Contains(t, bad.Error, tc.want)
			require.Contains(t, got.err, "standard input, line 2: ")
		})
	}
}

func TestExecFiles(t *testing.T) {
	dir := t.TempDir()
	a, b, missing := filepath.Join(dir, "a.jsonl"), filepath.Join(dir, "b.jsonl"), filepath.Join(dir, "missing.jsonl")
	require.NoError(t, os.WriteFile(a, []byte(`{"code":"90"}`), 0o644))
	require.NoError(t, os.WriteFile(b, []byte("{\"code\":\"90\"}\n{\n"), 0o644))
	got := command(t, "", "exec", "--json", a, missing, dir, b)
	require.Equal(t, statusBad, got.status)
	lines := got.lines()
	require.Len(t, lines, 5, "%s", got.out)
	require.Contains(t, lines[0], `"outcome":"okay"`)
	require.Contains(t, lines[1], "missing.jsonl")
	require.Contains(t, lines[2], "directory")
	require.Contains(t, lines[3], `"outcome":"okay"`)
	require.Contains(t, lines[4], `"line":2`)
	require.Contains(t, got.err, "3 bad lines or files, the first: "+missing)

	got = command(t, "", "exec", a)
	require.Equal(t, "90: okay\n  rip     0x10000000 -> 0x10000001\n", got.out)
	require.Equal(t, statusFine, got.status)
}

// What an engine cannot express is told by name, and stands beside the rest.
func TestExecText(t *testing.T) {
	got := command(t, `{"code":"488903","registers":{"rax":"0x11","rbx":"0x20000000"},"memory":[{"address":"0x20000000","bytes":"0000"}]}
{"code":"90","ports":{}}
{"code":"f4"}
{`, "exec", "-")
	require.Equal(t, `488903: okay
  rip     0x10000000 -> 0x10000003
  [0x20000000] 00 -> 11
90: unsupported: ports
f4: exception #GP(0x0)
standard input, line 4: error: byte 1: the input ends before the value does
`, got.out)
	require.Equal(t, statusBad, got.status)
}
