package external

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// Point is one point of the conformance test.
type Point struct {
	// Name says what must hold.
	Name string
	// Err tells how it does not, nil if it does.
	Err error
	// Note tells what was seen, "" for nothing of interest.
	Note string
}

// Check runs the conformance test on the engine argv[0]: whether it keeps to the
// protocol, and whether it knows a few instructions that no engine gets wrong.
// report is called for each point as it is decided. The result is the number of
// points that failed.
func Check(argv []string, report func(Point)) int {
	k := &checker{argv: argv, report: report}
	k.run()
	if k.p != nil {
		k.p.kill()
	}
	return k.failed
}

// checker is a conformance test.
type checker struct {
	argv   []string
	report func(Point)
	p      *process
	id     uint64
	failed int
}

// point decides one point. do talks to a running process and returns a note.
func (k *checker) point(name string, do func() (string, error)) bool {
	note, err := "", error(nil)
	if k.p == nil {
		if k.p, err = start(k.argv); err != nil {
			err = fmt.Errorf("starting it again: %w", err)
		}
	}
	if err == nil {
		k.p.timer.Reset(checkTime)
		note, err = do()
	}
	if err != nil {
		k.failed++
	}
	if k.p != nil {
		if !k.p.timer.Stop() || err != nil {
			k.p.kill()
			k.p = nil
		}
	}
	k.report(Point{name, err, note})
	return err == nil
}

// checkTime is how long a point may take.
const checkTime = 20 * time.Second

func (k *checker) run() {
	p, err := start(k.argv)
	note := ""
	if err == nil {
		k.p = p
		h := &p.hello
		note = fmt.Sprintf("%s %s, modes %v, decodes: %v, executes: %v, unknown: %v", h.Name, h.Version, h.Modes, h.Decode, h.Execute, h.Unknown)
	} else {
		k.failed++
	}
	k.report(Point{"greeting", err, note})
	if err != nil {
		return
	}
	hello := p.hello
	if hello.Decode {
		k.decoder(&hello)
	}
	if hello.Execute {
		k.executor(&hello)
	}
	k.badInput(&hello)
	k.point("ends with status 0 at the end of its input", func() (string, error) {
		p := k.p
		k.p = nil
		p.timer.Stop()
		return "", p.close(closeTime)
	})
}

// askDecode asks for the strings and returns the answers.
func (k *checker) askDecode(hello *Hello, codes [][]byte, mode x86.Mode) ([]oracle.Decoded, []string, error) {
	k.id++
	out, texts := make([]oracle.Decoded, len(codes)), make([]string, len(codes))
	c := &client{process: k.p, id: k.id, timeout: checkTime}
	_, f := ask(c, appendDecodeRequest(nil, k.id, codes, mode), len(codes), func(i int, a *decodedAnswer) error {
		texts[i] = a.Text
		if err := a.take(codes[i], hello, &out[i]); err != nil {
			return fmt.Errorf("answer %d, bytes %x: %w", i, codes[i], err)
		}
		return nil
	})
	if f != nil {
		k.p = nil
		return nil, nil, f
	}
	k.p.timer.Reset(checkTime)
	return out, texts, nil
}

// knownStrings are byte strings about which there is no doubt: 0 is invalid.
var knownStrings = []struct {
	code     string
	mode     x86.Mode
	length   uint8
	mnemonic string
	operands []string
}{
	{"90", x86.Long64, 1, "NOP", nil},
	{"4801d8", x86.Long64, 3, "ADD", []string{"reg rax", "reg rbx"}},
	{"01d8", x86.Compat32, 2, "ADD", []string{"reg eax", "reg ebx"}},
	{"01d8", x86.Compat16, 2, "ADD", []string{"reg ax", "reg bx"}},
	{"b878563412", x86.Compat32, 5, "MOV", []string{"reg eax", "imm32 0x12345678"}},
	{"b87856", x86.Compat16, 3, "MOV", []string{"reg ax", "imm16 0x5678"}},
	{"48b8efcdab8967452301", x86.Long64, 10, "MOV", []string{"reg rax", "imm64 0x123456789abcdef"}},
	{"648b4c88f0", x86.Long64, 5, "MOV", []string{"reg ecx", "mem32 fs:[rax+rcx*4-0x10] a64"}},
	{"8b0510000000", x86.Long64, 6, "MOV", []string{"reg eax", "mem32 ds:[rip+0x10] a64"}},
	{"ebfe", x86.Long64, 2, "JMP", []string{"rel -0x2"}},
	{"8a6301", x86.Compat32, 3, "MOV", []string{"reg ah", "mem8 ds:[ebx+0x1] a32"}},
	{"0fa2", x86.Long64, 2, "CPUID", []string{}},
	{"0f", x86.Long64, 0, "", nil},
	{"06", x86.Long64, 0, "", nil},
	{"66666666666666666666666666666690", x86.Long64, 0, "", nil},
}

func (k *checker) decoder(hello *Hello) {
	k.point("decodes what nobody doubts", func() (string, error) {
		asked := 0
		for _, s := range knownStrings {
			if !hello.hasMode(s.mode) {
				continue
			}
			code, err := hex.DecodeString(s.code)
			if err != nil {
				return "", err
			}
			got, _, err := k.askDecode(hello, [][]byte{code}, s.mode)
			if err != nil {
				return "", fmt.Errorf("%s in %s: %w", s.code, s.mode, err)
			}
			want := oracle.Decoded{Covered: true, Valid: s.length > 0, Length: s.length, Mnemonic: s.mnemonic, UnknownOperands: s.operands == nil}
			for i, text := range s.operands {
				if want.Operands[i], err = oracle.ParseOperand(text); err != nil {
					return "", err
				}
				want.NumOperands++
			}
			if diff := oracle.CompareDecoded(&want, &got[0]); diff != 0 {
				return "", fmt.Errorf("%s in %s: %s, want %s", s.code, s.mode, oracle.AppendDecoded(nil, &got[0]), oracle.AppendDecoded(nil, &want))
			}
			asked++
		}
		return fmt.Sprintf("%d strings", asked), nil
	})
	mode, err := x86.ParseMode(hello.Modes[len(hello.Modes)-1])
	if err != nil {
		return
	}
	codes := randomStrings(2000)
	var batch []oracle.Decoded
	k.point("answers a batch of 2000 random strings", func() (string, error) {
		began := time.Now()
		var err error
		batch, _, err = k.askDecode(hello, codes, mode)
		return fmt.Sprintf("%d ns a string", time.Since(began).Nanoseconds()/int64(len(codes))), err
	})
	k.point("answers the same one by one, in another order", func() (string, error) {
		if len(batch) != len(codes) {
			return "", fmt.Errorf("the batch has no answer")
		}
		for i := 99; i >= 0; i-- {
			one, _, err := k.askDecode(hello, codes[i:i+1], mode)
			if err != nil {
				return "", err
			}
			if diff := oracle.CompareDecoded(&batch[i], &one[0]); diff != 0 || batch[i].Covered != one[0].Covered {
				return "", fmt.Errorf("%x: in a batch %s, alone %s", codes[i], oracle.AppendDecoded(nil, &batch[i]), oracle.AppendDecoded(nil, &one[0]))
			}
		}
		return "", nil
	})
}

// randomStrings returns n strings of 1 to 15 bytes, the same each time.
func randomStrings(n int) [][]byte {
	r := rand.New(rand.NewPCG(1, 2))
	codes := make([][]byte, n)
	for i := range codes {
		codes[i] = make([]byte, 1+r.IntN(15))
		for k := range codes[i] {
			codes[i][k] = byte(r.Uint32())
		}
	}
	return codes
}

// askExecute asks for the cases.
func (k *checker) askExecute(hello *Hello, cases []*oracle.Case) ([]oracle.Result, error) {
	k.id++
	frame := fmt.Appendf(nil, `{"id":%d,"execute":[`, k.id)
	for i, c := range cases {
		if i > 0 {
			frame = append(frame, ',')
		}
		frame = oracle.AppendWholeCase(frame, c)
	}
	frame = append(frame, `]}`...)
	out := make([]oracle.Result, len(cases))
	c := &client{process: k.p, id: k.id, timeout: checkTime}
	_, f := ask(c, frame, len(cases), func(i int, a *resultAnswer) error {
		out[i].Memory = make([]byte, len(cases[i].Memory))
		if err := a.take(cases[i], hello, &out[i]); err != nil {
			return fmt.Errorf("answer %d: %w", i, err)
		}
		return nil
	})
	if f != nil {
		k.p = nil
		return nil, f
	}
	k.p.timer.Reset(checkTime)
	return out, nil
}

// knownCases are cases with what every engine answers. An engine may answer
// unsupported instead.
var knownCases = []struct {
	name, kase string
	answer     string
}{
	{
		"ADD rax, rbx",
		`{"mode":"long64","code":"4801d8","registers":{"rax":"0xffffffffffffffff","rbx":"0x2"}}`,
		`{"outcome":"okay","steps":1,"registers":{"rax":"0x1","rip":"0x10000003","rflags":"0x213"}}`,
	},
	{
		"MOV [rcx], al",
		`{"mode":"long64","code":"8801","registers":{"rax":"0x5a","rcx":"0x20000003"},"memory":[{"address":"0x20000000","bytes":"0011223344556677"}]}`,
		`{"outcome":"okay","steps":1,"registers":{"rip":"0x10000002"},"memory":[{"address":"0x20000000","bytes":"0011225a44556677"}]}`,
	},
	{
		"MOV eax, [rcx] that is not mapped",
		`{"mode":"long64","code":"8b01","registers":{"rcx":"0x50000000"}}`,
		`{"outcome":"exception","event":{"type":"fault","vector":14,"error_code":4,"address":"0x50000000"}}`,
	},
	{
		"UD2",
		`{"mode":"long64","code":"0f0b"}`,
		`{"outcome":"exception","event":{"type":"fault","vector":6}}`,
	},
}

func (k *checker) executor(hello *Hello) {
	var cases []*oracle.Case
	var wants []oracle.Result
	k.point("executes what nobody doubts", func() (string, error) {
		for _, s := range knownCases {
			c, err := oracle.ParseCase([]byte(s.kase))
			if err != nil {
				return "", fmt.Errorf("%s: %w", s.name, err)
			}
			want, err := expect(c, s.answer)
			if err != nil {
				return "", fmt.Errorf("%s: %w", s.name, err)
			}
			cases, wants = append(cases, c), append(wants, want)
		}
		got, err := k.askExecute(hello, cases)
		if err != nil {
			return "", err
		}
		ran := 0
		var keeper oracle.Comparer
		for i := range cases {
			if got[i].Ending == oracle.Unsupported {
				continue
			}
			ran++
			if diff := keeper.Compare(cases[i], nil, &wants[i], &got[i]); diff.Fields != 0 {
				return "", fmt.Errorf("%s: differs in %v: %s, want %s", knownCases[i].name, diff.Fields.Names(),
					oracle.AppendResult(nil, cases[i], &got[i]), knownCases[i].answer)
			}
		}
		if ran == 0 {
			return "", fmt.Errorf("all %d cases are unsupported, the first: %s", len(cases), got[0].Note)
		}
		return fmt.Sprintf("%d cases, %d of them unsupported", len(cases), len(cases)-ran), nil
	})
	k.point("answers the same a second time, one by one, in another order", func() (string, error) {
		first, err := k.askExecute(hello, cases)
		if err != nil {
			return "", err
		}
		for i := len(cases) - 1; i >= 0; i-- {
			one, err := k.askExecute(hello, cases[i:i+1])
			if err != nil {
				return "", err
			}
			a, b := oracle.AppendResult(nil, cases[i], &first[i]), oracle.AppendResult(nil, cases[i], &one[0])
			if !bytes.Equal(a, b) {
				return "", fmt.Errorf("%s: in a batch %s, alone %s", knownCases[i].name, a, b)
			}
		}
		return "", nil
	})
	k.point("refuses a key that it does not know", func() (string, error) {
		return k.refusal(`{"id":%d,"execute":[{"code":"90","no_such_key":1}]}`)
	})
	k.point("says which field it does not support", func() (string, error) {
		return k.unsupported(`{"id":%d,"execute":[{"code":"90","msrs":{"0xc0000080":"0x0"}}]}`)
	})
}

// expect makes the result that a case must have, from the parts that are
// given; the rest is as before.
func expect(c *oracle.Case, answer string) (oracle.Result, error) {
	r := oracle.Result{Memory: slices.Clone(c.Memory)}
	var a resultAnswer
	if err := unmarshal([]byte(answer), &a); err != nil {
		return r, err
	}
	all := Hello{Unknown: []string{"registers", "rip", "rflags", "selectors", "bases", "fpu"}}
	if err := a.take(c, &all, &r); err != nil {
		return r, err
	}
	r.Unknown = oracle.FieldRetire | oracle.FieldAccesses
	return r, nil
}

// answersTo sends a request of its own making and returns the frame that comes
// back.
func (k *checker) answersTo(format string) (*reply[json.RawMessage], error) {
	k.id++
	text := format
	if bytes.Contains([]byte(format), []byte("%d")) {
		text = fmt.Sprintf(format, k.id)
	}
	if err := k.p.send([]byte(text)); err != nil {
		f := k.p.failed(err, checkTime)
		k.p = nil
		return nil, f
	}
	data, err := k.p.receive()
	if err != nil {
		f := k.p.failed(err, checkTime)
		k.p = nil
		return nil, f
	}
	var r reply[json.RawMessage]
	if err := unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("%w: %s", err, clip(string(data)))
	}
	return &r, nil
}

// refusal sends a bad request: the answer is an error, for the frame or in
// place of the item.
func (k *checker) refusal(format string) (string, error) {
	r, err := k.answersTo(format)
	if err != nil {
		return "", err
	}
	if r.Error != "" {
		return clip(r.Error), nil
	}
	if len(r.Answers) == 1 {
		var item struct {
			Error string `json:"error"`
		}
		if err := json.Unmarshal(r.Answers[0], &item); err == nil && item.Error != "" {
			return clip(item.Error), nil
		}
		return "", fmt.Errorf(`%s: want {"error":"…"}`, clip(string(r.Answers[0])))
	}
	return "", fmt.Errorf("%d answers: want one, or an error", len(r.Answers))
}

// unsupported sends a case that few engines can express: an answer must say so,
// or be a result.
func (k *checker) unsupported(format string) (string, error) {
	r, err := k.answersTo(format)
	if err != nil {
		return "", err
	}
	if len(r.Answers) != 1 {
		return "", fmt.Errorf("%d answers (error %q): want one", len(r.Answers), clip(r.Error))
	}
	var a struct {
		Outcome string `json:"outcome"`
		Field   string `json:"field"`
	}
	if err := json.Unmarshal(r.Answers[0], &a); err != nil {
		return "", err
	}
	if a.Outcome == oracle.Unsupported.String() && a.Field == "" {
		return "", fmt.Errorf("unsupported without the field")
	}
	if a.Outcome == "" {
		return "", fmt.Errorf("%s: no outcome", clip(string(r.Answers[0])))
	}
	return a.Outcome + " " + a.Field, nil
}

// badInput sends what no engine can answer; it must say so and go on.
func (k *checker) badInput(hello *Hello) {
	for _, b := range []struct{ name, text string }{
		{"refuses what is not JSON, and goes on", `{"id":1,"decode":[`},
		{"refuses a kind of request that it does not know, and goes on", `{"id":%d,"no_such_request":[]}`},
	} {
		k.point(b.name, func() (string, error) {
			note, err := k.refusal(b.text)
			if err != nil {
				return "", err
			}
			return note, k.alive(hello)
		})
	}
	if hello.Decode {
		k.point("refuses what is not hex, and goes on", func() (string, error) {
			note, err := k.refusal(`{"id":%d,"decode":[{"mode":"long64","code":"4g"}]}`)
			if err != nil {
				return "", err
			}
			return note, k.alive(hello)
		})
	}
}

// alive asks for something simple.
func (k *checker) alive(hello *Hello) error {
	if hello.Decode {
		mode, err := x86.ParseMode(hello.Modes[0])
		if err != nil {
			return err
		}
		_, _, err = k.askDecode(hello, [][]byte{{0x90}}, mode)
		return err
	}
	c, err := oracle.ParseCase([]byte(knownCases[0].kase))
	if err != nil {
		return err
	}
	_, err = k.askExecute(hello, []*oracle.Case{c})
	return err
}
