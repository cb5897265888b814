package external

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/seed-4e121ece/ringfence/oracle/model"
)

// engineVariable makes the test binary an engine: a good one, or one that fails
// in the way that it names.
const engineVariable = "RINGFENCE_TEST_ENGINE"

func TestMain(m *testing.M) {
	if kind := os.Getenv(engineVariable); kind != "" {
		os.Exit(beEngine(kind))
	}
	os.Exit(m.Run())
}

var everything = &isa.Profile{Name: "all", Vendor: isa.Intel, Features: isa.AllFeatures(), VirtualBits: 48}

// testEngine is the model as an engine.
func testEngine() *Engine {
	return &Engine{
		Hello:    Hello{Name: "test", Version: "1", Modes: []string{"long64", "compat32"}},
		Decoder:  model.NewDecoder(everything),
		Executor: model.New(everything, model.WithAccesses()),
		Text:     func([]byte, x86.Mode) string { return "some text" },
	}
}

// faulty is an engine that fails on code with the byte F4 in front.
type faulty struct {
	oracle.Decoder
	oracle.Executor
	kind string
}

func (f *faulty) Name() string { return "test" }

func (f *faulty) fail(code []byte) {
	if len(code) == 0 || code[0] != 0xf4 {
		return
	}
	switch f.kind {
	case "crash":
		fmt.Fprintln(os.Stderr, "assertion failed: it is F4")
		os.Exit(3)
	case "panic":
		panic("it is F4")
	case "hang":
		time.Sleep(time.Hour)
	case "garbage":
		fmt.Print("Segmentation fault, or so\n")
	case "flood":
		b := bytes.Repeat([]byte{0xff}, 1<<16)
		for {
			if _, err := os.Stdout.Write(b); err != nil {
				os.Exit(0)
			}
		}
	case "stderr flood":
		b := bytes.Repeat([]byte("noise\n"), 1<<12)
		for range 1 << 6 {
			_, _ = os.Stderr.Write(b)
		}
		os.Exit(1)
	case "silent end":
		os.Exit(0)
	}
}

func (f *faulty) Decode(code []byte, mode x86.Mode, d *oracle.Decoded) {
	f.fail(code)
	f.Decoder.Decode(code, mode, d)
}

func (f *faulty) Run(cases []oracle.Case, results []oracle.Result) error {
	for i := range cases {
		f.fail(cases[i].CodeBytes())
	}
	return f.Executor.Run(cases, results)
}

func (f *faulty) Close() error { return nil }

// beEngine is the far end.
func beEngine(kind string) int {
	e := testEngine()
	switch kind {
	case "good":
	case "one by one":
		return oneByOne()
	case "no hello":
		time.Sleep(time.Hour)
	case "ends at once":
		fmt.Fprintln(os.Stderr, "libnothing.so.1: cannot open shared object file")
		return 127
	case "says hello in words":
		fmt.Println("Welcome to the engine, version 2.")
		time.Sleep(time.Hour)
	default:
		if answer, ok := scripted[kind]; ok {
			return script(answer)
		}
		e.Decoder, e.Executor = &faulty{Decoder: e.Decoder, kind: kind}, &faulty{Executor: e.Executor, kind: kind}
	}
	if err := Serve(os.Stdin, os.Stdout, e); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

const goodHello = `{"id":0,"hello":{"protocol":1,"name":"script","version":"0","modes":["long64"],"decode":true,"execute":true}}`

// scripted are engines that answer every request with the same text, in which
// ID stands for the request's; the first line is the greeting if it is one.
var scripted = map[string]string{
	"no JSON":            `answers`,
	"another id":         `{"id":999,"answers":[{"valid":false,"reason":"x"}]}`,
	"no answers":         `{"id":ID,"answers":[]}`,
	"too many answers":   `{"id":ID,"answers":[{"valid":false},{"valid":false},{"valid":false}]}`,
	"unknown key":        `{"id":ID,"answers":[{"valid":false,"colour":"red"}]}`,
	"length 0":           `{"id":ID,"answers":[{"valid":true,"length":0,"mnemonic":"NOP","operands":[]}]}`,
	"length beyond":      `{"id":ID,"answers":[{"valid":true,"length":9,"mnemonic":"NOP","operands":[]}]}`,
	"no length":          `{"id":ID,"answers":[{"valid":true,"mnemonic":"NOP","operands":[]}]}`,
	"mnemonic in small":  `{"id":ID,"answers":[{"valid":true,"length":1,"mnemonic":"nop","operands":[]}]}`,
	"no such register":   `{"id":ID,"answers":[{"valid":true,"length":1,"mnemonic":"NOP","operands":["reg rbz"]}]}`,
	"refusal":            `{"id":ID,"error":"I would rather not"}`,
	"refusal of an item": `{"id":ID,"answers":[{"error":"I would rather not"}]}`,
	"no outcome":         `{"id":ID,"answers":[{}]}`,
	"no registers":       `{"id":ID,"answers":[{"outcome":"okay","steps":1}]}`,
	"wide register":      `{"id":ID,"answers":[{"outcome":"okay","steps":1,"registers":{"rax":"0x10000000000000000"}}]}`,
	"no event":           `{"id":ID,"answers":[{"outcome":"exception"}]}`,
	"memory not mapped":  `{"id":ID,"answers":[{"outcome":"unhandleable","memory":[{"address":"0x1","bytes":"00"}]}]}`,
	"steps":              `{"id":ID,"answers":[{"outcome":"unhandleable","steps":7}]}`,
	"two values":         `{"id":ID,"answers":[{"valid":false}]} {}`,
	"old":                `{"hello":{"protocol":2,"name":"script","version":"0","modes":["long64"],"decode":true,"execute":true}}`,
	"bad modes":          `{"hello":{"protocol":1,"name":"script","version":"0","modes":["64 bits"],"decode":true,"execute":true}}`,
	"neither":            `{"hello":{"protocol":1,"name":"script","version":"0","modes":["long64"]}}`,
	"bad unknown":        `{"hello":{"protocol":1,"name":"script","version":"0","modes":["long64"],"decode":true,"execute":true,"unknown":["everything"]}}`,
	"bad name":           `{"hello":{"protocol":1,"name":"","version":"0","modes":["long64"],"decode":true,"execute":true}}`,
}

// script answers with a text.
func script(answer string) int {
	in, out := bufio.NewReader(os.Stdin), bufio.NewWriter(os.Stdout)
	var frame []byte
	for {
		var err error
		if frame, err = readFrame(in, frame); err != nil {
			return 0
		}
		var q request
		_ = json.Unmarshal(frame, &q)
		text := strings.ReplaceAll(answer, "ID", fmt.Sprint(q.ID))
		if q.Hello != nil && !strings.Contains(answer, `"hello"`) {
			text = goodHello
		}
		if writeFrame(out, []byte(text)) != nil || out.Flush() != nil {
			return 0
		}
	}
}

// oneByOne is an engine that sends a frame an answer, and dies on F4.
func oneByOne() int {
	e := testEngine()
	s := &server{e: e, w: bufio.NewWriter(os.Stdout)}
	e.Hello.Protocol, e.Hello.Decode = Version, true
	in := bufio.NewReader(os.Stdin)
	var frame []byte
	for {
		var err error
		if frame, err = readFrame(in, frame); err != nil {
			return 0
		}
		var q request
		if err := json.Unmarshal(frame, &q); err != nil {
			return 1
		}
		if q.Hello != nil {
			_ = s.answer(frame)
			continue
		}
		for _, item := range slices.Clone(q.Decode) {
			if strings.HasPrefix(item.Code, "f4") {
				return 5
			}
			if err := s.decode(&request{ID: q.ID, Decode: []decodeItem{item}}); err != nil {
				return 1
			}
		}
	}
}

// engine returns the command line of an engine of this binary.
func engine(t *testing.T, kind string) []string {
	t.Helper()
	t.Setenv(engineVariable, kind)
	return selfCommand(t)
}

func selfCommand(t testing.TB) []string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return []string{self}
}
