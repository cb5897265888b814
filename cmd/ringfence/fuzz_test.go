package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/seed-4e121ece/ringfence/oracle/model"
	"github.com/seed-4e121ece/ringfence/oracle/silicon"
	"github.com/seed-4e121ece/ringfence/oracle/x86asm"
	"github.com/stretchr/testify/require"
)

// planted is the model with a flaw: CF is wrong after every instruction that
// retires with the byte 11 (ADC r/m, r) as its opcode.
type planted struct {
	oracle.Executor
	on *atomic.Bool
}

func (p planted) Name() string { return "planted" }

func (p planted) Run(cases []oracle.Case, results []oracle.Result) error {
	if err := p.Executor.Run(cases, results); err != nil {
		return err
	}
	for i := range results {
		r := &results[i]
		if p.on.Load() && r.Ending == oracle.Ended && r.Outcome == step.Okay && isADC(&cases[i]) {
			r.State.RFLAGS ^= uint64(x86.CF)
		}
	}
	return nil
}

func isADC(c *oracle.Case) bool {
	var in decode.Inst
	return decode.Decode(&in, c.CodeBytes(), x86.Long64, silicon.Profile()) == decode.Valid && in.Map == 0 && in.Opcode == 0x11
}

// plant adds the engine "planted" to the registry for a test. The flaw can be
// switched off.
func plant(t *testing.T) *atomic.Bool {
	t.Helper()
	before := registry
	t.Cleanup(func() { registry = before })
	on := new(atomic.Bool)
	on.Store(true)
	registry = append(append([]engine{}, before...), engine{
		name: "planted", about: "the model with a flaw",
		executor: func() (oracle.Executor, error) { return planted{model.New(silicon.Profile()), on}, nil },
	})
	return on
}

// A planted flaw is found, recorded, found again by replay, and no longer when
// it is mended.
func TestFuzzAndReplay(t *testing.T) {
	flaw := plant(t)
	dir := filepath.Join(t.TempDir(), "divergences")
	args := strings.Fields("fuzz --subject planted --reference model --cases 20000 --jobs 1 --seed 7 --only ADC --out " + dir)
	got := command(t, "", args...)
	require.Equal(t, statusFound, got.status, "stderr: %s", got.err)
	require.Contains(t, got.out, "planted against model")
	require.Regexp(t, `(?m)^  cases +20,000 \(`, got.out)
	require.Contains(t, got.out, "seed 7")
	require.Contains(t, got.out, "ringfence replay "+dir)
	folders, err := filepath.Glob(filepath.Join(dir, "*", "divergence.json"))
	require.NoError(t, err)
	require.NotEmpty(t, folders)

	// The command that the summary prints.
	_, rest, _ := strings.Cut(got.out, "ringfence replay ")
	one, _, _ := strings.Cut(rest, "\n")
	replayed := command(t, "", "replay", one)
	require.Equal(t, statusFound, replayed.status, "stderr: %s", replayed.err)
	require.Contains(t, replayed.out, "still diverges in rflags")
	require.Contains(t, replayed.out, "of CF")

	all := command(t, "", "replay", "--json", dir)
	require.Equal(t, statusFound, all.status)
	require.Len(t, all.lines(), len(folders))
	for _, l := range all.lines() {
		var a replayAnswer
		require.NoError(t, json.Unmarshal([]byte(l), &a))
		require.True(t, a.Diverges && a.Same, l)
		require.Equal(t, []string{"rflags"}, a.Fields)
		require.Contains(t, a.Results, "planted")
		require.Contains(t, a.Results, "model")
	}

	// A second campaign knows them, which is still a finding.
	again := command(t, "", append(args, "--json")...)
	require.Equal(t, statusFound, again.status)
	lines := again.lines()
	var sum struct {
		Type                    string
		Cases, New, Divergences int
	}
	require.NoError(t, json.Unmarshal([]byte(lines[len(lines)-1]), &sum))
	require.Equal(t, "summary", sum.Type)
	require.Equal(t, 20000, sum.Cases)
	require.Equal(t, len(lines)-1, sum.Divergences)
	require.Zero(t, sum.New)
	for _, l := range lines[:len(lines)-1] {
		require.Contains(t, l, `"type":"divergence"`)
		require.Contains(t, l, `"new":false`)
	}

	flaw.Store(false)
	mended := command(t, "", "replay", dir)
	require.Equal(t, statusFine, mended.status, "stderr: %s", mended.err)
	require.Equal(t, len(folders), strings.Count(mended.out, "no longer diverges"))
	require.NotContains(t, mended.out, "still diverges")
}

// The model does not diverge from itself, and the same seed gives the same
// campaign.
func TestFuzzFine(t *testing.T) {
	plant(t).Store(false)
	counts := func() map[string]any {
		got := command(t, "", strings.Fields("fuzz --json --subject planted --reference model --cases 30000 --jobs 1 --seed 3 --out "+t.TempDir())...)
		require.Equal(t, statusFine, got.status, "stdout: %s stderr: %s", got.out, got.err)
		require.Len(t, got.lines(), 1)
		var m map[string]any
		require.NoError(t, json.Unmarshal([]byte(got.out), &m))
		require.Equal(t, 0.0, m["divergences"])
		for _, timed := range []string{"run", "seconds", "cases_per_second"} {
			delete(m, timed)
		}
		return m
	}
	require.Equal(t, counts(), counts())
}

// Ctrl-C ends a campaign with what it has.
func TestFuzzInterrupted(t *testing.T) {
	plant(t).Store(false)
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	var out, errs bytes.Buffer
	status := run(ctx, strings.Fields("fuzz --subject planted --reference model --for 1h --out "+t.TempDir()),
		stdio{in: strings.NewReader(""), out: &out, err: &errs})
	require.Equal(t, statusFine, status, "stderr: %s", errs.String())
	require.Contains(t, out.String(), "no divergence")
}

func TestFuzzStrict(t *testing.T) {
	plant(t).Store(false)
	before := exactProfile
	defer func() { exactProfile = before }()
	const said = "--strict: no exact profile of this CPU"
	for _, known := range []bool{false, true} {
		exactProfile = func() bool { return known }
		got := command(t, "", strings.Fields("fuzz --subject planted --reference model --cases 1000 --strict --out "+t.TempDir())...)
		require.Equal(t, statusFine, got.status)
		require.Equal(t, !known, strings.Contains(got.err, said), got.err)
		// What is undefined is masked only where the choices are not known.
		masks := regexp.MustCompile(`(?m)^  flags-undefined +\d`).MatchString(got.out)
		require.Equal(t, !known, masks, got.out)
	}
}

func TestFuzzStates(t *testing.T) {
	plant(t).Store(false)
	args := "fuzz --subject planted --reference model --states 3 --mode 64,16 --only ADD,HLT --jobs 1 --out " + t.TempDir()
	got := command(t, "", strings.Fields(args)...)
	require.Equal(t, statusFine, got.status, got.err)
	require.Regexp(t, `arithmetic +\d+ +\d+ +\d+ +\d+`, got.out)
	require.Contains(t, got.out, "system, privileged")
	require.Contains(t, got.out, "outcomes that the table of faults does not have: none")
	got = command(t, "", strings.Fields(args+" --json")...)
	require.Contains(t, got.out, `"families":[{"family":"arithmetic","rows":`)
}

func TestFuzzBadInput(t *testing.T) {
	plant(t)
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	for _, tc := range []struct{ name, args, want string }{
		{"out is a file", "--out " + file, file},
		{"out below a file", "--out " + file + "/below", file + "/below"},
		{"unknown family", "--only ADDX --out " + t.TempDir(), `family "ADDX": no such mnemonic`},
		{"bad pattern", "--only [ --out " + t.TempDir(), `family "["`},
		{"subject that does not execute", "--subject x86asm", `--subject "x86asm" does not execute`},
		{"no reference", "--reference ,", `--reference ","`},
		{"states below 0", "--states -1", "--states -1: want 1 or more"},
		{"other width", "--mode 48", "want 16, 32 or 64"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := command(t, "", append(strings.Fields("fuzz --subject planted --reference model --cases 100"), strings.Fields(tc.args)...)...)
			require.Equal(t, statusBad, got.status, "stdout: %s", got.out)
			require.Contains(t, got.err, tc.want)
		})
	}
	t.Run("read-only", func(t *testing.T) {
		dir := t.TempDir()
		require.NoError(t, os.Chmod(dir, 0o555))
		if probe, err := os.MkdirTemp(dir, ""); err == nil {
			require.NoError(t, os.Remove(probe))
			if runtime.GOOS != "linux" {
				t.Skip("this user may write to a read-only folder")
			}
			dir = "/proc/self" // read-only for root too
		}
		got := command(t, "", "fuzz", "--subject", "planted", "--reference", "model", "--cases", "100", "--out", filepath.Join(dir, "new"))
		require.Equal(t, statusBad, got.status)
		require.Contains(t, got.err, dir)
		require.Empty(t, got.out)
	})
}

// Results that cannot be written are told.
func TestFullOutput(t *testing.T) {
	plant(t)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skipf("no /dev/full here: %v", err)
	}
	defer full.Close()
	for _, args := range []string{
		"decode 4801d8", "decode --json 4801d8", "exec -", "engines", "engines --json",
		"fuzz --subject planted --reference model --only MOV --cases 100 --out " + t.TempDir(),
	} {
		t.Run(strings.Fields(args)[0], func(t *testing.T) {
			var errs bytes.Buffer
			status := run(context.Background(), strings.Fields(args), stdio{in: strings.NewReader(`{"code":"90"}`), out: full, err: &errs})
			require.Equal(t, statusBad, status)
			require.Contains(t, errs.String(), "no space left on device")
		})
	}
}

// recordOf writes a record and returns its file.
func recordOf(t *testing.T, dir string, change func(string) string) string {
	t.Helper()
	c, err := oracle.ParseCase([]byte(`{"code":"4811d8","registers":{"rax":"0x1"}}`))
	require.NoError(t, err)
	var in decode.Inst
	decode.Decode(&in, c.CodeBytes(), c.State.Mode, silicon.Profile())
	results := []oracle.Result{{Memory: make([]byte, len(c.Memory))}, {Memory: make([]byte, len(c.Memory))}}
	d := oracle.NewDivergence("planted", "model", c, &in, &oracle.Diff{Fields: oracle.FieldFlags, Flags: x86.CF}, &results[0], &results[1])
	data, err := d.JSON()
	require.NoError(t, err)
	file := filepath.Join(dir, "divergence.json")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	require.NoError(t, os.WriteFile(file, []byte(change(string(data))), 0o644))
	return file
}

func TestReplayBadInput(t *testing.T) {
	plant(t)
	same := func(s string) string { return s }
	good := recordOf(t, filepath.Join(t.TempDir(), "good"), same)
	for _, tc := range []struct {
		name   string
		change func(string) string
		want   string
	}{
		{"other schema", func(s string) string { return strings.Replace(s, `"schema": 1`, `"schema": 9`, 1) }, "schema 9: this program reads schema 1"},
		{"no schema", func(string) string { return `{}` }, "this is no divergence record"},
		{"truncated", func(s string) string { return s[:len(s)/2] }, "byte "},
		{"empty", func(string) string { return "" }, "the input ends before the value does"},
		{"unknown key", func(s string) string { return strings.Replace(s, `"impact"`, `"inpact"`, 1) }, "inpact"},
		{"unknown engine", func(s string) string { return strings.ReplaceAll(s, `"planted"`, `"bochs"`) }, `engine "bochs": unknown; known are`},
		{"engine that does not execute", func(s string) string { return strings.ReplaceAll(s, `"planted"`, `"x86asm"`) }, `engine "x86asm" does not execute`},
		{"unknown kind", func(s string) string { return strings.Replace(s, `"execute"`, `"think"`, 1) }, `"think"`},
		{"bad case", func(s string) string { return strings.Replace(s, `"code": "4811d8"`, `"code": "4811d"`, 1) }, "case: "},
		{"case with what no engine can express", func(s string) string {
			return strings.Replace(s, `"code": "4811d8"`, `"code": "4811d8","msrs":{}`, 1)
		}, "cannot be compared, by the rule unsupported"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bad := recordOf(t, filepath.Join(t.TempDir(), "bad"), tc.change)
			got := command(t, "", "replay", "--json", bad, filepath.Dir(good))
			require.Equal(t, statusBad, got.status)
			lines := got.lines()
			require.Len(t, lines, 2, got.out)
			var e lineError
			require.NoError(t, json.Unmarshal([]byte(lines[0]), &e))
			require.Equal(t, bad, e.File)
			require.Contains(t, e.Error, tc.want)
			require.Contains(t, lines[1], `"diverges":true`, "the rest goes on")
			require.Contains(t, got.err, bad)
		})
	}
	for name, path := range map[string]string{"missing": filepath.Join(t.TempDir(), "missing"), "empty folder": t.TempDir()} {
		t.Run(name, func(t *testing.T) {
			got := command(t, "", "replay", path)
			require.Equal(t, statusBad, got.status)
			require.Contains(t, got.err, path)
			require.Contains(t, got.out, path)
		})
	}
}

// A decoder's divergence is replayed on decoders; one that a quirk explains by
// now is none.
func TestReplayDecode(t *testing.T) {
	code := []byte{0x48, 0x48, 0xc3}
	profile := silicon.Profile()
	var in decode.Inst
	decode.Decode(&in, code, x86.Long64, profile)
	var a, b oracle.Decoded
	model.NewDecoder(profile).Decode(code, x86.Long64, &a)
	x86asm.New().Decode(code, x86.Long64, &b)
	fields := oracle.CompareDecoded(&a, &b)
	require.NotZero(t, fields, "x86asm is still wrong about a REX prefix before another")
	data, err := oracle.NewDecodeDivergence("model", "x86asm", code, x86.Long64, &in, fields, &a, &b).JSON()
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "divergence.json")
	require.NoError(t, os.WriteFile(file, data, 0o644))

	got := command(t, "", "replay", file)
	require.Equal(t, statusFine, got.status, got.err)
	require.Contains(t, got.out, "no longer diverges: explained by the quirk x86asm/")

	// Without its quirks the reference is on its own.
	before := registry
	defer func() { registry = before }()
	registry = append([]engine{}, before...)
	for i := range registry {
		registry[i].quirks = nil
	}
	got = command(t, "", "replay", file)
	require.Equal(t, statusFound, got.status, got.err)
	require.Contains(t, got.out, "still diverges in "+strings.Join(fields.Names(), ", "))
}

func TestEngines(t *testing.T) {
	got := command(t, "", "engines", "--json")
	require.Equal(t, statusFine, got.status)
	lines := got.lines()
	all := allEngines()
	require.Len(t, lines, len(all))
	for i, l := range lines {
		var a struct {
			Engine, Why                  string
			Available, Executes, Decodes bool
			Facts                        map[string]string
		}
		require.NoError(t, json.Unmarshal([]byte(l), &a))
		require.Equal(t, all[i].name, a.Engine)
		require.Equal(t, a.Available, a.Why == "", l)
		require.Equal(t, a.Available, len(a.Facts) > 0, l)
		require.True(t, a.Executes || a.Decodes, l)
	}
	text := command(t, "", "engines")
	require.Equal(t, statusFine, text.status)
	for i := range registry {
		require.Contains(t, text.out, "\n"+registry[i].name+"  (")
	}
}

// An engine that this machine lacks is listed with the reason, and a campaign
// goes on without it.
func TestMissingEngine(t *testing.T) {
	plant(t).Store(false)
	registry = append(registry, engine{
		name: "absent", about: "an engine that is never there",
		executor: func() (oracle.Executor, error) { return nil, os.ErrPermission },
	})
	got := command(t, "", "engines")
	require.Equal(t, statusFine, got.status)
	require.Contains(t, got.out, "absent  (executes)  NOT AVAILABLE: permission denied")

	got = command(t, "", strings.Fields("fuzz --subject planted --reference absent --cases 1000 --jobs 1 --out "+t.TempDir())...)
	require.Equal(t, statusFine, got.status, got.err)
	require.Contains(t, got.err, "reference absent is not available: permission denied")

	got = command(t, `{"code":"90"}`, "exec", "--engine", "absent", "-")
	require.Equal(t, statusBad, got.status)
	require.Contains(t, got.err, `engine "absent": not available here: permission denied`)
}

// Each encoding says what its cases have reached.
func TestFuzzEncodings(t *testing.T) {
	args := strings.Fields("fuzz --reference model --cases 20000 --jobs 1 --seed 7 --only ADC --mode 64,16 --encodings --out " + t.TempDir())
	got := command(t, "", args...)
	require.Equal(t, statusFine, got.status, "stderr: %s", got.err)
	require.Regexp(t, `(?m)^  reached +[1-9][0-9,]* outcomes.*; [1-9][0-9,]* cases were kept`, got.out)
	require.Regexp(t, `(?m)^  64 +ADC r/m8, r8 \[10 /r\] .*\[retired .*#PF`, got.out)
	require.Regexp(t, `(?m)^  16 +ADC r/m16, r16 \[11 /r\] `, got.out)

	got = command(t, "", append(args, "--json")...)
	require.Equal(t, statusFine, got.status, "stderr: %s", got.err)
	rows := 0
	for line := range strings.Lines(got.out) {
		var l reachedLine
		require.NoError(t, json.Unmarshal([]byte(line), &l))
		if l.Type == "encoding" && strings.HasPrefix(l.Syntax, "ADC r/m") {
			rows++
			require.Positive(t, l.Retired, line)
			require.Contains(t, l.Outcomes, "retired")
			require.Positive(t, l.Patterns, line)
		}
	}
	require.Greater(t, rows, 10)
}
