package oracle

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// TestParseCase: the example of the schema, and what the defaults are.
func TestParseCase(t *testing.T) {
	c, err := ParseCase([]byte(`{"schema":1,"mode":"long64","code":"4801d8","registers":{"rax":"0x1","rbx":"0x2","rip":"0x10000000","rflags":"0x202"},
		"memory":[{"address":"0x20000000","bytes":"00ff"}],"steps":1}`))
	require.NoError(t, err)
	want := DefaultState()
	want.GPR[x86.RAX], want.GPR[x86.RBX] = 1, 2
	assert.Equal(t, want, c.State)
	assert.Equal(t, []byte{0x48, 0x01, 0xd8}, c.CodeBytes())
	assert.Equal(t, 1, c.Steps)
	assert.Equal(t, []Window{{0x20000000, 2}}, c.Given)
	assert.Equal(t, []Pages{{CodeBase, 1, ProtRead | ProtExec, 0}, {DataBase, 1, ProtRead | ProtWrite, 0}}, c.Layout.Pages)
	assert.Equal(t, []Window{{0x20000000, 8}}, c.Layout.Windows, "whole quadwords")
	assert.Equal(t, []byte{0, 0xff, 0, 0, 0, 0, 0, 0}, c.Memory)
	assert.Empty(t, c.Extra)

	c, err = ParseCase([]byte(`{"code":"90"}`))
	require.NoError(t, err)
	assert.Equal(t, DefaultState(), c.State)
	assert.Equal(t, uint64(DefaultRSP), c.State.GPR[x86.RSP])
	assert.Equal(t, uint16(0x33), c.State.Selector[x86.CS])
}

func TestParseCaseModes(t *testing.T) {
	rows := []struct {
		text  string
		mode  x86.Mode
		cpl   uint8
		width uint8
	}{
		{`"mode":"long64"`, x86.Long64, 3, 64},
		{`"mode":"64"`, x86.Long64, 3, 64},
		{`"mode":"compat32"`, x86.Compat32, 3, 32},
		{`"mode":"16"`, x86.Compat16, 3, 16},
		{`"mode":"real"`, x86.Real, 0, 16},
		{`"cpl":3,"mode":"real"`, x86.Real, 3, 16},
		{`"cpl":0`, x86.Long64, 0, 64},
	}
	for _, r := range rows {
		c, err := ParseCase([]byte(`{"code":"90",` + r.text + `}`))
		require.NoError(t, err, r.text)
		assert.Equal(t, r.mode, c.State.Mode, r.text)
		assert.Equal(t, r.cpl, c.State.CPL, r.text)
		assert.Equal(t, r.width, c.State.StackWidth, r.text)
	}
}

// TestParseCaseExtra: keys that no engine supports are named, not ignored.
func TestParseCaseExtra(t *testing.T) {
	rows := []struct {
		text string
		want []string
	}{
		{`"ports":[{"port":1}]`, []string{"ports"}},
		{`"hooks":{"absent":["write"],"answers":[]}`, []string{"hooks"}},
		{`"msrs":{"0x10":"0x1"}`, []string{"msrs"}},
		{`"segments":{"ldtr":{"base":"0x0"}}`, []string{"segments.ldtr"}},
		{`"nmi_blocked":true`, []string{"nmi_blocked"}},
		{`"nmi_blocked":false,"fill":false,"paging":"flat"`, nil},
		{`"paging":"tables"`, []string{"paging"}},
		{`"registers":{"cr0":"0x1","xmm3":"0xffffffffffffffffffffffffffffffff","st7":"0x7fff8000000000000000"}`, []string{"registers.cr0"}},
		{`"memory":[{"address":"0x1000","bytes":"00","access":"rw"}]`, []string{"memory.access"}},
		{`"memory":[{"address":"0x1000","bytes":"00","space":"physical"}]`, []string{"memory.space"}},
		{`"memory":[{"address":"0x1000","bytes":"00","device":true,"reads":["00"]}]`, []string{"memory.device", "memory.reads"}},
		{`"stop":"hlt","until":"0x1"`, []string{"stop", "until"}},
	}
	for _, r := range rows {
		c, err := ParseCase([]byte(`{"code":"90",` + r.text + `}`))
		require.NoError(t, err, r.text)
		assert.Equal(t, r.want, c.Extra, r.text)
	}
}

func TestParseCaseErrors(t *testing.T) {
	rows := []struct{ name, text, want string }{
		{"empty", ``, "byte 0: the input ends before the value does"},
		{"truncated", `{"code":"90","reg`, "byte 17: the input ends before the value does"},
		{"truncated in an object", `{"code":"90"`, "byte 12: the input ends before the value does"},
		{"not an object", `[1]`, "byte 0: want an object, got an array"},
		{"not JSON", `{"code" "90"}`, "byte 8: code: not JSON: invalid character '\"' after object key"},
		{"two objects", `{"code":"90"} {}`, "byte 14: more input after the object: want one object a line"},
		{"unknown key", `{"code":"90","kode":1}`, "byte 13: kode: no such key in the case schema"},
		{"key twice", `{"code":"90","code":"90"}`, "byte 13: code: the key is given twice"},
		{"schema", `{"schema":2,"code":"90"}`, "byte 1: schema: schema 2: this program reads schema 1"},
		{"schema is no number", `{"schema":"1"}`, `byte 10: schema: want a number, got the string "1"`},
		{"mode", `{"mode":"long32","code":"90"}`, `byte 8: mode: mode "long32": want 16, 32, 64 or one of [real vm86 protected16 protected32 compat16 compat32 long64]`},
		{"odd code", `{"code":"901"}`, "byte 8: code: 3 hex digits: want an even number, two a byte"},
		{"no hex", `{"code":"9x"}`, `byte 10: code: "x" is not a hex digit`},
		{"long code", `{"code":"90909090909090909090909090909090"}`, "byte 8: code: 16 bytes: want at most 15; longer code is a memory entry with access rxu"},
		{"no code", `{"steps":2}`, "byte 0: no code: want the key code, or memory with access x"},
		{"register", `{"registers":{"eax":"0x1"}}`, "byte 14: registers.eax: no such register: want rax to r15, rip, rflags, es to gs, fsbase, gsbase, a control, debug, x87 or vector register"},
		{"register too wide", `{"registers":{"rax":"0x10000000000000000"}}`, `byte 20: registers.rax: "0x10000000000000000": a value of 65 bits: want at most 64`},
		{"selector too wide", `{"registers":{"cs":"0x10000"}}`, `byte 19: registers.cs: "0x10000": a value of 17 bits: want at most 16`},
		{"mxcsr too wide", `{"registers":{"mxcsr":"0x100000000"}}`, `byte 22: registers.mxcsr: "0x100000000": a value of 33 bits: want at most 32`},
		{"register without 0x", `{"registers":{"rax":"12"}}`, `byte 20: registers.rax: "12": want hex digits after 0x`},
		{"register with a bad digit", `{"registers":{"rax":"0x1g"}}`, `byte 20: registers.rax: "0x1g": "g" is not a hex digit`},
		{"register is a number", `{"registers":{"rax":1}}`, "byte 20: registers.rax: want a string, got the number 1"},
		{"cpl", `{"cpl":4}`, "byte 7: cpl: 4: want a whole number from 0 to 3"},
		{"steps", `{"steps":0}`, "byte 9: steps: 0: want a whole number from 1 to 1048576"},
		{"steps are whole", `{"steps":1.5}`, "byte 9: steps: 1.5: want a whole number from 1 to 1048576"},
		{"paging", `{"paging":"none"}`, `byte 10: paging: "none": want flat or tables`},
		{"memory key", `{"memory":[{"adress":"0x0"}]}`, "byte 12: memory.0.adress: no such key in a memory entry: want address, bytes, length, access, space, device or reads"},
		{"memory without address", `{"memory":[{"bytes":"00"}]}`, "byte 11: memory.0: no address"},
		{"memory without bytes", `{"memory":[{"address":"0x1000"}]}`, "byte 11: memory.0: no bytes: want bytes, length, or both"},
		{"memory access", `{"memory":[{"address":"0x1000","bytes":"00","access":"rq"}]}`, `byte 53: memory.0.access: "rq": 'q' is no access: want letters of rwxu`},
		{"memory cannot be read", `{"memory":[{"address":"0x1000","bytes":"00","access":"wu"}]}`, `byte 53: memory.0.access: "wu": want r, then letters of wxu`},
		{"shorter length", `{"memory":[{"address":"0x1000","bytes":"0000","length":1}]}`, "byte 11: memory.0: 2 bytes with length 1: want no more bytes than the length"},
		{"overlap", `{"code":"90","memory":[{"address":"0x1004","bytes":"00"},{"address":"0x1000","bytes":"00","length":5}]}`, "byte 23: memory: 1 bytes at 0x1004 overlap 5 bytes at 0x1000"},
		{"two accesses", `{"code":"90","memory":[{"address":"0x1000","bytes":"00"},{"address":"0x1800","bytes":"00","access":"ru"}]}`, "byte 57: memory: the page at 0x1000 is given with access rw and r: want one access a page"},
		{"not canonical", `{"code":"90","memory":[{"address":"0x200000000000000","bytes":"00"}]}`, "byte 23: memory.0: 1 bytes at 0x200000000000000: not canonical addresses"},
		{"past the end", `{"code":"90","memory":[{"address":"0xffffffffffffffff","bytes":"0000"}]}`, "byte 23: memory.0: 2 bytes at 0xffffffffffffffff: run past the last address"},
		{"too long", `{"code":"90","memory":[{"address":"0x0","length":99999999}]}`, "byte 49: memory.0.length: 99999999: want a whole number from 1 to 4194304"},
		{"code in data", `{"code":"90","memory":[{"address":"0x10000000","bytes":"00"}]}`, "byte 13: memory: the code at 0x10000000 is in a page without x: want x in its access"},
		{"code nowhere", `{"code":"90","registers":{"rip":"0x8000000000000000"}}`, "byte 13: memory: rip 0x8000000000000000: code can be placed at canonical addresses only"},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			_, err := ParseCase([]byte(r.text))
			require.Error(t, err)
			assert.Equal(t, r.want, err.Error())
			var in *InputError
			assert.ErrorAs(t, err, &in)
		})
	}
}

func randomCase(r *rand.Rand) *Case {
	c := &Case{State: DefaultState(), Layout: DefaultLayout, Memory: make([]byte, DefaultLayout.WindowBytes()), Steps: 1 + r.IntN(2)}
	for i := range c.State.GPR {
		if r.IntN(2) == 0 {
			c.State.GPR[i] = r.Uint64()
		}
	}
	c.State.RIP += r.Uint64N(8192)
	c.State.Selector[x86.FS] = uint16(r.IntN(4))
	c.CodeLen = uint8(r.IntN(16))
	for i := range c.CodeLen {
		c.Code[i] = byte(r.Uint32())
	}
	c.FSBase = r.Uint64() >> r.IntN(64)
	if r.IntN(3) > 0 {
		for i := range c.Memory {
			c.Memory[i] = byte(r.Uint32())
		}
	}
	return c
}

// TestRoundTrip: a case of the default layout comes back the same, layout
// included.
func TestRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		c := randomCase(r)
		text := AppendCase(nil, c)
		require.True(t, json.Valid(text), "%s", text)
		d, err := ParseCase(text)
		require.NoError(t, err, "%s", text)
		require.Same(t, DefaultLayout, d.Layout, "%s", text)
		d.Given = nil
		require.Equal(t, c, d, "%s", text)
	}
}

// TestRoundTripLayouts: what a line of JSON makes of memory comes back the
// same, and equal lines share one layout.
func TestRoundTripLayouts(t *testing.T) {
	for _, memory := range []string{
		`{"address":"0x20000000","bytes":"00ff"}`,
		`{"address":"0x20000ffd","bytes":"0102030405"}`,
		`{"address":"0x20000000","bytes":"00","length":512}`,
		`{"address":"0x20000000","bytes":"00","length":8192}`,
		`{"address":"0x20000000","bytes":"aa","length":4096},{"address":"0x20001000","bytes":"aa","length":4096,"access":"ru"}`,
		`{"address":"0x20000000","bytes":"aabb","length":4096}`,
		`{"address":"0x10000000","bytes":"cc","length":8192,"access":"rxu"},{"address":"0x20000010","bytes":"aabb"}`,
		`{"address":"0x10000000","bytes":"90","length":16,"access":"rwxu"}`,
		`{"address":"0x7ffffffff000","bytes":"05","length":4096},{"address":"0x0","bytes":"11"}`,
		``,
	} {
		text := []byte(`{"code":"4801d8","memory":[` + memory + `]}`)
		c, err := ParseCase(text)
		require.NoError(t, err, memory)
		require.NoError(t, c.Layout.Validate())
		d, err := ParseCase(AppendCase(nil, c))
		require.NoError(t, err, memory)
		assert.Same(t, c.Layout, d.Layout, "%s\n%s", memory, AppendCase(nil, c))
		c.Given, d.Given = nil, nil
		assert.Equal(t, c, d, memory)
	}
}

// TestCodeOverMemory: the bytes of code stand over what memory says.
func TestCodeOverMemory(t *testing.T) {
	c, err := ParseCase([]byte(`{"code":"aabb","memory":[{"address":"0x10000000","bytes":"010203","access":"rxu"}]}`))
	require.NoError(t, err)
	assert.Equal(t, []byte{0xaa, 0xbb, 3, 0, 0, 0, 0, 0}, c.Memory)
	v, ok := c.ReadMemory(CodeBase, 4)
	assert.True(t, ok)
	assert.Equal(t, uint64(0x03bbaa), v)
	_, ok = c.ReadMemory(CodeBase+4094, 4)
	assert.False(t, ok, "the next page is not mapped")
}

func TestAppendResult(t *testing.T) {
	c, err := ParseCase([]byte(`{"code":"4801d8","memory":[{"address":"0x20000001","bytes":"00ff"},{"address":"0x20003000","bytes":"00","length":4096}]}`))
	require.NoError(t, err)
	r := &Result{State: c.State, Memory: bytes.Clone(c.Memory), Steps: 1}
	r.Memory[1] = 7
	r.Stray[0], r.NumStray = StrayWord{0x20003008, 0x99}, 1
	r.Accesses = []step.Access{{Offset: 0x10, Size: 4, Segment: x86.FS, Intent: step.IntentModify}}
	r.Retire = step.RetireSTI | step.RetireSingleStep
	var v map[string]any
	require.NoError(t, json.Unmarshal(AppendResult(nil, c, r), &v))
	assert.Equal(t, "okay", v["outcome"])
	assert.Equal(t, false, v["partial"])
	assert.Equal(t, []any{"sti", "singlestep"}, v["retire"])
	assert.Equal(t, []any{map[string]any{"segment": "fs", "offset": "0x10", "size": 4.0, "intent": "modify"}}, v["accesses"])
	assert.Len(t, v["registers"], 26)
	memory := v["memory"].([]any)
	assert.Equal(t, map[string]any{"address": "0x20000001", "bytes": "07ff"}, memory[0])
	page := memory[1].(map[string]any)
	assert.Equal(t, "0000000000000000990000", page["bytes"].(string)[:22], "a stray word in what was given as fill")

	r.Outcome, r.Event, r.Partial = step.Exception, x86.PageFault(2, 0), true
	r.Unknown = FieldRetire | FieldAccesses
	require.NoError(t, json.Unmarshal(AppendResult(nil, c, r), &v))
	assert.Equal(t, map[string]any{"type": "fault", "vector": 14.0, "error_code": 2.0, "address": "0x0"}, v["event"])
	assert.Equal(t, []any{"retire", "accesses"}, v["unknown"])

	r.Ending, r.Note = Unsupported, "ports"
	assert.Equal(t, `{"outcome":"unsupported","field":"ports"}`, string(AppendResult(nil, c, r)))
	r.Ending, r.Note = RanAway, "two ticks"
	assert.Equal(t, `{"outcome":"ran_away","note":"two ticks"}`, string(AppendResult(nil, c, r)))
}
