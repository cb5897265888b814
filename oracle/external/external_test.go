package external

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/corpus"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/seed-4e121ece/ringfence/oracle/model"
)

func newDecoder(t *testing.T, kind string) *Decoder {
	t.Helper()
	d, err := NewDecoder("exec:"+kind, engine(t, kind))
	require.NoError(t, err)
	d.timeout = time.Minute // a busy machine is no fault
	if kind == "hang" {
		d.timeout = time.Second
	}
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}

// TestDecodeRoundTrip: what the far end's decoder answers arrives unchanged, for
// every seed.
func TestDecodeRoundTrip(t *testing.T) {
	d, m := newDecoder(t, "good"), model.NewDecoder(everything)
	var codes [][]byte
	for s := range corpus.Seeds() {
		codes = append(codes, s.Bytes)
	}
	if testing.Short() {
		codes = codes[:2000]
	}
	for _, mode := range []x86.Mode{x86.Long64, x86.Compat32} {
		got := make([]oracle.Decoded, len(codes))
		d.DecodeBatch(codes, mode, got)
		for i, code := range codes {
			var want oracle.Decoded
			m.Decode(code, mode, &want)
			switch {
			case !want.Covered:
				want = oracle.Decoded{Group: want.Group}
			case !want.Valid:
				want = oracle.Decoded{Covered: true, Reason: want.Reason}
			}
			require.Equal(t, want, got[i], "%x in %s", code, mode)
		}
	}
	require.Zero(t, d.Restarts())
	var one oracle.Decoded
	d.Decode([]byte{0x90}, x86.Long64, &one)
	require.Equal(t, "NOP", one.Mnemonic)
	require.Equal(t, "some text", d.Text())
	d.Decode([]byte{0x90}, x86.Real, &one)
	require.False(t, one.Covered, "a mode that the engine does not have")
	require.Equal(t, "mode real", one.Group)
}

// TestFaultyDecoder: of a batch in which three strings make the engine fail,
// those three are answered with the failure and all others as they should be.
func TestFaultyDecoder(t *testing.T) {
	for _, c := range []struct {
		kind   string
		ending oracle.Ending
		reason string
	}{
		{"crash", oracle.Died, "the process ended: exit status 3; standard error ends: assertion failed: it is F4"},
		{"panic", oracle.Died, "the process ended: exit status 2"},
		{"hang", oracle.RanAway, "no answer in 1s; the process was killed"},
		{"garbage", oracle.Died, "nonsense: not a frame: a length of"},
		{"flood", oracle.Died, "nonsense: not a frame: a length of"},
		{"stderr flood", oracle.Died, "the process ended: exit status 1; standard error ends: noise"},
		{"silent end", oracle.Died, "the process ended with status 0 before it had answered"},
		{"one by one", oracle.Died, "the process ended: exit status 5"},
	} {
		t.Run(strings.ReplaceAll(c.kind, " ", "-"), func(t *testing.T) {
			d := newDecoder(t, c.kind)
			codes := make([][]byte, 40)
			for i := range codes {
				codes[i] = []byte{0x48, 0x83, 0xc0, byte(i)}
			}
			bad := map[int]bool{0: true, 17: true, 39: true}
			if c.ending == oracle.RanAway {
				bad = map[int]bool{17: true} // each costs the whole timeout
			}
			for i := range bad {
				codes[i] = []byte{0xf4}
			}
			got := make([]oracle.Decoded, len(codes))
			d.DecodeBatch(codes, x86.Long64, got)
			for i := range got {
				if !bad[i] {
					require.True(t, got[i].Valid, "%d: %+v", i, got[i])
					require.Equal(t, oracle.Ended, got[i].Ending)
					require.Equal(t, int64(i), got[i].Operands[1].Value)
					continue
				}
				require.Equal(t, c.ending, got[i].Ending, "%+v", got[i])
				require.Contains(t, got[i].Reason, c.reason)
				require.False(t, got[i].Valid)
				right := oracle.Decoded{Covered: true, Reason: "undefined"}
				require.Equal(t, oracle.DecodedValidity, oracle.CompareDecoded(&right, &got[i]), "a dead decoder agrees with nobody")
			}
			require.GreaterOrEqual(t, d.Restarts(), len(bad))
		})
	}
}

// TestNonsense: whatever an engine answers that it must not is the recorded
// result of the string or case.
func TestNonsense(t *testing.T) {
	t.Setenv(TimeoutVariable, "1m")
	for _, c := range []struct {
		kind    string
		execute bool
		want    string
	}{
		{"no JSON", false, "nonsense: invalid character 'a'"},
		{"two values", false, "nonsense: more than one JSON value"},
		{"another id", false, "nonsense: an answer to request 999"},
		{"no answers", false, "nonsense: no answers in the frame"},
		{"too many answers", false, "nonsense: 3 answers where 1 are due"},
		{"unknown key", false, `nonsense: json: unknown field "colour"`},
		{"length 0", false, "nonsense: length 0"},
		{"length beyond", false, "nonsense: length 9 of a string of 1 bytes"},
		{"no length", false, `nonsense: no "length"`},
		{"mnemonic in small", false, "nonsense: mnemonic: want the manual's name in capitals"},
		{"no such register", false, `nonsense: operand "reg rbz": want the name of a register`},
		{"refusal", false, "nonsense: the engine answers with an error: I would rather not"},
		{"refusal of an item", false, "nonsense: the engine answers with an error: I would rather not"},
		{"no outcome", true, `nonsense: outcome "": want one of`},
		{"no registers", true, "nonsense: registers: no rax"},
		{"wide register", true, "nonsense: registers: "},
		{"no event", true, `nonsense: outcome "exception" without "event"`},
		{"memory not mapped", true, "nonsense: memory[0]: address 0x1: not mapped in the case"},
		{"steps", true, "nonsense: steps 7 of a case with 1"},
		{"refusal of an item", true, "nonsense: the engine answers with an error: I would rather not"},
	} {
		t.Run(strings.ReplaceAll(c.kind, " ", "-"), func(t *testing.T) {
			argv := engine(t, c.kind)
			if !c.execute {
				d, err := NewDecoder("exec:x", argv)
				require.NoError(t, err)
				var got oracle.Decoded
				d.Decode([]byte{0x90}, x86.Long64, &got)
				require.Equal(t, oracle.Died, got.Ending)
				require.Contains(t, got.Reason, c.want)
				require.NoError(t, d.Close())
				return
			}
			e, err := NewExecutor("exec:x", argv)
			require.NoError(t, err)
			k, err := oracle.ParseCase([]byte(`{"code":"90"}`))
			require.NoError(t, err)
			results := []oracle.Result{{Memory: make([]byte, len(k.Memory))}}
			require.NoError(t, e.Run([]oracle.Case{*k}, results))
			require.Equal(t, oracle.Died, results[0].Ending)
			require.Contains(t, results[0].Note, c.want)
			require.NoError(t, e.Close())
		})
	}
}

// TestStart: an engine that cannot be started, or whose greeting is wrong, says
// why.
func TestStart(t *testing.T) {
	defer func(d time.Duration) { helloTime = d }(helloTime)
	for _, c := range []struct{ kind, want string }{
		{"no hello", "no answer in 2s"},
		{"ends at once", "exit status 127; standard error ends: libnothing.so.1: cannot open"},
		{"says hello in words", "not a frame: a length of"},
		{"old", "hello: protocol 2: this program speaks protocol 1"},
		{"bad modes", `hello: modes: "64 bits" is no name`},
		{"neither", "hello: neither decode nor execute"},
		{"bad unknown", `hello: unknown: "everything" is no field`},
		{"bad name", `hello: name ""`},
		{"no JSON", ""},
	} {
		t.Run(strings.ReplaceAll(c.kind, " ", "-"), func(t *testing.T) {
			if helloTime = time.Minute; c.kind == "no hello" {
				helloTime = 2 * time.Second
			}
			_, err := Probe(engine(t, c.kind))
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.want)
		})
	}
	_, err := Probe([]string{"/no/such/program"})
	require.ErrorContains(t, err, "no such file")
}

// cases are of every kind that the protocol has to carry.
var cases = []string{
	`{"code":"4801d8","registers":{"rax":"0xffffffffffffffff","rbx":"0x2"}}`,
	`{"code":"8801","registers":{"rax":"0x5a","rcx":"0x20000003"},"memory":[{"address":"0x20000000","bytes":"0011223344556677"}]}`,
	`{"code":"8801","registers":{"rax":"0x5a","rcx":"0x20000803"},"memory":[{"address":"0x20000000","bytes":"0011223344556677"}]}`,
	`{"code":"8b01","registers":{"rcx":"0x50000000"}}`,
	`{"code":"0f0b"}`,
	`{"code":"cc"}`,
	`{"code":"cd80"}`,
	`{"code":"f3aa","registers":{"rcx":"0x10","rdi":"0x20000000"},"memory":[{"address":"0x20000000","bytes":"ff","length":4096}]}`,
	`{"code":"c3","registers":{"rsp":"0x20000ff8"},"memory":[{"address":"0x20000ff8","bytes":"0000001000000000"}]}`,
	`{"mode":"compat32","code":"01d8","registers":{"rax":"0x1","rbx":"0x2"}}`,
	`{"code":"90","registers":{"xmm3":"0x0123456789abcdef0123456789abcdef"}}`,
}

// TestExecuteRoundTrip: what the far end's executor answers arrives unchanged.
func TestExecuteRoundTrip(t *testing.T) {
	t.Setenv(TimeoutVariable, "1m")
	e, err := NewExecutor("exec:good", engine(t, "good"))
	require.NoError(t, err)
	defer func() { require.NoError(t, e.Close()) }()
	direct := model.New(everything, model.WithAccesses())
	var batch []oracle.Case
	var got, want []oracle.Result
	for _, text := range cases {
		c, err := oracle.ParseCase([]byte(text))
		require.NoError(t, err)
		batch = append(batch, *c)
		got = append(got, oracle.Result{Memory: make([]byte, len(c.Memory))})
		want = append(want, oracle.Result{Memory: make([]byte, len(c.Memory))})
	}
	require.NoError(t, e.Run(batch, got))
	for i := range batch {
		require.NoError(t, direct.Run(batch[i:i+1], want[i:i+1]))
		c := &batch[i]
		if want[i].Ending == oracle.Ended && want[i].Outcome == step.Okay {
			assert.Equal(t, want[i].Memory, got[i].Memory, cases[i])
			assert.Equal(t, want[i].NumStray, got[i].NumStray, cases[i])
		}
		a, b := oracle.AppendResult(nil, c, &want[i]), oracle.AppendResult(nil, c, &got[i])
		assert.Equal(t, string(a), string(b), cases[i])
		var k oracle.Comparer
		assert.Zero(t, k.Compare(c, nil, &want[i], &got[i]).Fields, cases[i])
	}
}

// TestUnsupported: what the protocol or the engine cannot express is said to be
// unsupported, and never run in part.
func TestUnsupported(t *testing.T) {
	t.Setenv(TimeoutVariable, "1m")
	e, err := NewExecutor("exec:good", engine(t, "good"))
	require.NoError(t, err)
	defer func() { require.NoError(t, e.Close()) }()
	for _, c := range []struct{ kase, note string }{
		{`{"code":"90","msrs":{}}`, "msrs"},
		{`{"mode":"vm86","code":"90"}`, "mode: the engine does not execute vm86"},
	} {
		k, err := oracle.ParseCase([]byte(c.kase))
		require.NoError(t, err)
		good, err := oracle.ParseCase([]byte(cases[0]))
		require.NoError(t, err)
		results := []oracle.Result{{Memory: make([]byte, len(k.Memory))}, {Memory: make([]byte, len(good.Memory))}}
		require.NoError(t, e.Run([]oracle.Case{*k, *good}, results))
		require.Equal(t, oracle.Unsupported, results[0].Ending)
		require.Equal(t, c.note, results[0].Note)
		require.Equal(t, oracle.Ended, results[1].Ending)
	}
}

// TestFaultyExecutor: a case on which the engine fails is answered with the
// failure; the rest of the batch goes on.
func TestFaultyExecutor(t *testing.T) {
	for _, c := range []struct {
		kind   string
		ending oracle.Ending
		note   string
	}{
		{"crash", oracle.Died, "exit status 3"},
		{"hang", oracle.RanAway, "no answer in"},
		{"garbage", oracle.Died, "nonsense"},
	} {
		t.Run(c.kind, func(t *testing.T) {
			e, err := NewExecutor("exec:x", engine(t, c.kind))
			require.NoError(t, err)
			defer func() { require.NoError(t, e.Close()) }()
			if e.timeout = time.Minute; c.kind == "hang" {
				e.timeout = time.Second
			}
			var batch []oracle.Case
			var results []oracle.Result
			for i := range 9 {
				text := cases[0]
				if i == 3 {
					text = `{"code":"f4"}`
				}
				k, err := oracle.ParseCase([]byte(text))
				require.NoError(t, err)
				batch, results = append(batch, *k), append(results, oracle.Result{Memory: make([]byte, len(k.Memory))})
			}
			require.NoError(t, e.Run(batch, results))
			for i := range results {
				if i == 3 {
					require.Equal(t, c.ending, results[i].Ending)
					require.Contains(t, results[i].Note, c.note)
					continue
				}
				require.Equal(t, oracle.Ended, results[i].Ending, results[i].Note)
				require.Equal(t, uint64(1), results[i].State.GPR[x86.RAX])
			}
		})
	}
}

// TestCheck: the conformance test passes the good engine and fails the others
// at the right point.
func TestCheck(t *testing.T) {
	for _, c := range []struct{ kind, fails string }{
		{"good", ""},
		{"ends at once", "greeting"},
		{"no JSON", "decodes what nobody doubts"},
		{"no answers", "decodes what nobody doubts"},
		{"refusal of an item", "executes what nobody doubts"},
		{"another id", "refuses what is not JSON, and goes on"},
	} {
		t.Run(strings.ReplaceAll(c.kind, " ", "-"), func(t *testing.T) {
			var failed []string
			n := Check(engine(t, c.kind), func(p Point) {
				if p.Err != nil {
					failed = append(failed, p.Name)
					t.Logf("%s: %v", p.Name, p.Err)
				}
			})
			require.Len(t, failed, n)
			if c.fails == "" {
				require.Empty(t, failed)
				return
			}
			require.Contains(t, failed, c.fails)
		})
	}
}

// TestFrames: whatever bytes arrive, Serve answers or ends, and does not panic.
func TestFrames(t *testing.T) {
	frame := func(payload string) []byte {
		var b bytes.Buffer
		require.NoError(t, writeFrame(&b, []byte(payload)))
		return b.Bytes()
	}
	for _, c := range []struct {
		name   string
		input  []byte
		answer string
		err    string
	}{
		{"nothing", nil, "", ""},
		{"half a length", []byte{1, 0}, "", "the stream ended after 2 of the 4 bytes"},
		{"length 0", []byte{0, 0, 0, 0}, "", "a length of 0 bytes"},
		{"length too large", []byte{0, 0, 0, 0xff}, "", "a length of 4278190080 bytes"},
		{"half a frame", []byte{9, 0, 0, 0, '{'}, "", "the stream ended after 1 of 9 bytes"},
		{"a large claim", []byte{0, 0, 0, 1, '{'}, "", "the stream ended after 1 of 16777216 bytes"},
		{"empty object", frame(`{}`), `{"id":0,"error":"want one of hello, decode and execute"}`, ""},
		{"two kinds", frame(`{"id":4,"decode":[],"execute":[]}`), `{"id":4,"error":"want one of hello, decode and execute"}`, ""},
		{"bad mode", frame(`{"id":5,"decode":[{"mode":"65","code":"90"}]}`), `{"id":5,"answers":[{"error":"mode \"65\"`, ""},
		{"no bytes", frame(`{"id":5,"decode":[{"mode":"64","code":""}]}`), `{"id":5,"answers":[{"valid":false,"reason":"truncated"}]}`, ""},
		{"too many bytes", frame(`{"id":5,"decode":[{"mode":"64","code":"` + strings.Repeat("90", 4000) + `"}]}`), `"length":1`, ""},
		{"bad case", frame(`{"id":6,"execute":[{"code":"90","steps":0}]}`), `{"id":6,"answers":[{"error":"byte`, ""},
		{"a null case", frame(`{"id":6,"execute":[null]}`), `{"id":6,"answers":[{"error":"`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			err := Serve(bytes.NewReader(c.input), &out, testEngine())
			if c.err == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.err)
			}
			require.Contains(t, out.String(), c.answer)
		})
	}
	// Each byte of a conversation, changed in turn.
	good := append(frame(`{"id":7,"decode":[{"mode":"long64","code":"4801d8"}]}`), frame(`{"id":8,"execute":[`+cases[0]+`]}`)...)
	for i := range good {
		for _, flip := range []byte{1, 0x80, 0xff} {
			bad := bytes.Clone(good)
			bad[i] ^= flip
			err := Serve(bytes.NewReader(bad), &bytes.Buffer{}, testEngine())
			if err != nil && !errors.Is(err, errFrame) {
				t.Fatalf("byte %d ^ %#x: %v", i, flip, err)
			}
		}
	}
}

func TestSplitCommand(t *testing.T) {
	for _, c := range []struct {
		line string
		want []string
		err  string
	}{
		{"engine", []string{"engine"}, ""},
		{"  ./engine  -v\tx ", []string{"./engine", "-v", "x"}, ""},
		{`'my engine' "a,b" c'd e'`, []string{"my engine", "a,b", "cd e"}, ""},
		{`engine ''`, []string{"engine", ""}, ""},
		{"", nil, "want a program"},
		{"engine 'x", nil, "without its end"},
	} {
		got, err := SplitCommand(c.line)
		if c.err != "" {
			require.ErrorContains(t, err, c.err, c.line)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, c.want, got, c.line)
	}
}

// BenchmarkDecode is the cost of a string by the size of the batch.
func BenchmarkDecode(b *testing.B) {
	for _, size := range []int{1, 64, 4096} {
		b.Run("batch="+map[int]string{1: "1", 64: "64", 4096: "4096"}[size], func(b *testing.B) {
			b.Setenv(engineVariable, "good")
			d, err := NewDecoder("exec:good", selfCommand(b))
			require.NoError(b, err)
			defer func() { require.NoError(b, d.Close()) }()
			codes, out := make([][]byte, size), make([]oracle.Decoded, size)
			for i := range codes {
				codes[i] = []byte{0x48, 0x03, 0x44, 0x8b, byte(i)}
			}
			b.ReportAllocs()
			for b.Loop() {
				d.DecodeBatch(codes, x86.Long64, out)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*size), "ns/string")
		})
	}
}
