package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// example compiles the engine of docs/engine-example, or skips the test where
// there is no C compiler.
func example(t *testing.T) string {
	t.Helper()
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("no C compiler: ", err)
	}
	path := filepath.Join(t.TempDir(), "example engine")
	out, err := exec.Command(cc, "-O1", "-Wall", "-Wextra", "-Werror", "-o", path, "../../docs/engine-example/engine.c").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return "exec:'" + path + "'"
}

// checkPasses runs the conformance test.
func checkPasses(t *testing.T, engine string) {
	t.Helper()
	got := command(t, "", "engines", "--json", "--check", engine)
	t.Log(got.out)
	require.Equal(t, statusFine, got.status, "%s%s", got.out, got.err)
	for _, line := range got.lines() {
		var a checkAnswer
		require.NoError(t, json.Unmarshal([]byte(line), &a))
		require.True(t, a.OK, line)
	}
	require.Greater(t, len(got.lines()), 5)
}

// TestExampleEngine: the C engine keeps to the protocol, and is an engine
// wherever the name of one is asked for.
func TestExampleEngine(t *testing.T) {
	engine := example(t)
	checkPasses(t, engine)

	got := command(t, "", "decode", "--engine", "model,"+engine, "4801d8")
	require.Equal(t, statusFine, got.status, got.err)
	require.Contains(t, got.out, "add rax, rbx")
	require.Contains(t, got.out, engine+":  3  add rax, rbx")

	kase := `{"code":"4801d8","registers":{"rax":"0x1","rbx":"0x2"}}` + "\n" + `{"code":"8801","registers":{"rcx":"0x5"}}` + "\n" + `{"code":"90","ports":[]}` + "\n"
	got = command(t, kase, "exec", "--json", "--engine", engine, "-")
	require.Equal(t, statusFine, got.status, got.err)
	require.Len(t, got.lines(), 3)
	require.Contains(t, got.lines()[0], `"rax":"0x3"`)
	require.Contains(t, got.lines()[1], `"event":{"type":"fault","vector":14,"error_code":6,"address":"0x5"}`)
	require.Equal(t, `{"outcome":"unsupported","field":"ports"}`, got.lines()[2])
}

// TestExampleEngineFuzz: a campaign with the C engine as subject and the model as
// reference finds nothing, and with a flaw in it finds the flaw, which replays.
func TestExampleEngineFuzz(t *testing.T) {
	engine := example(t)
	dir := t.TempDir()
	args := []string{"fuzz", "--reference", "model", "--only", "ADD,UD2,NOP", "--cases", "3000", "--jobs", "1", "--seed", "5", "--subject"}
	got := command(t, "", append(args, engine, "--out", filepath.Join(dir, "none"))...)
	require.Equal(t, statusFine, got.status, "%s%s", got.out, got.err)

	source, err := os.ReadFile("../../docs/engine-example/engine.c")
	require.NoError(t, err)
	flawed := strings.Replace(string(source), "m->r[RAX] = a + b;", "m->r[RAX] = a | b;", 1)
	require.NotEqual(t, string(source), flawed)
	header, err := os.ReadFile("../../docs/engine-example/ringfence_engine.h")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "engine.c"), []byte(flawed), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "ringfence_engine.h"), header, 0o600))
	path := filepath.Join(dir, "flawed")
	out, err := exec.Command("cc", "-o", path, filepath.Join(dir, "engine.c")).CombinedOutput()
	require.NoError(t, err, "%s", out)
	found := filepath.Join(dir, "found")
	got = command(t, "", append(args, "exec:"+path, "--out", found)...)
	require.Equal(t, statusFound, got.status, "%s%s", got.out, got.err)
	got = command(t, "", "replay", found)
	require.Equal(t, statusFound, got.status, "%s%s", got.out, got.err)
	require.Contains(t, got.out, "still diverges in registers")
}

// TestLibraries: the engines that are C libraries keep to the protocol.
func TestLibraries(t *testing.T) {
	for _, name := range []string{"zydis", "capstone"} {
		t.Run(name, func(t *testing.T) {
			need(t, name)
			checkPasses(t, name)
			got := command(t, "", "decode", "--json", "--engine", name, "4801d8", "0f38")
			require.Equal(t, statusFine, got.status, got.err)
			require.Contains(t, got.lines()[0], `"engine":"`+name+`","valid":true,"length":3,"mnemonic":"ADD","text":"add rax, rbx"`)
			require.Contains(t, got.lines()[1], `"valid":false`)
			got = command(t, "", "engines", "--json")
			require.Contains(t, got.out, `"engine":"`+name+`","available":true`)
		})
	}
}

// TestUnicorn: the emulator keeps to the protocol, and is a subject.
func TestUnicorn(t *testing.T) {
	need(t, "unicorn")
	checkPasses(t, "unicorn")
	got := command(t, `{"mode":"compat32","code":"40"}`, "exec", "--engine", "unicorn", "-")
	require.Equal(t, statusFine, got.status, got.err)
	require.Contains(t, got.out, "rax     0x0 -> 0x1")
	need(t, "silicon")
	got = command(t, "", strings.Fields("fuzz --subject unicorn --reference silicon --states 4 --only STC,ADD --jobs 1 --out "+t.TempDir())...)
	require.Contains(t, got.out, "unicorn against silicon")
}

func TestSplitList(t *testing.T) {
	for list, want := range map[string][]string{
		"":                              nil,
		"model, x86asm":                 {"model", "x86asm"},
		",,model":                       {"model"},
		"exec:'./a b,c' -d,model":       {"exec:'./a b,c' -d", "model"},
		`exec:./a "x,'y" ,silicon,`:     {`exec:./a "x,'y"`, "silicon"},
		"model,exec:./a 'no end, of it": {"model", "exec:./a 'no end, of it"},
	} {
		require.Equal(t, want, splitList(list), list)
	}
}
