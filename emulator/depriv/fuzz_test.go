package depriv

import (
	"errors"
	"testing"

	"github.com/seed-4e121ece/ringfence/emulator"
	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/depriv/transport"
	"github.com/seed-4e121ece/ringfence/emulator/depriv/wire"
	"github.com/seed-4e121ece/ringfence/emulator/depriv/worker"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/internal/hostcpu"
)

// scripted is a transport whose worker answers with given bytes.
type scripted struct {
	request wire.Buffer
	replies [][]byte
	at      int
}

func (s *scripted) Request(int) []byte { return s.request.Bytes() }
func (s *scripted) Exchange(int) error { return nil }
func (s *scripted) Died()              {}
func (s *scripted) Close() error       { return nil }

// Reply hands out the replies in turn, each with the sequence number that it
// needs to be looked at any further.
func (s *scripted) Reply(_ int, b []byte) (int, error) {
	if s.at >= len(s.replies) {
		return 0, errors.New("no more replies")
	}
	n := copy(b, s.replies[s.at])
	s.at++
	if n >= 8 {
		wire.NewReply(b).Length = uint32(n)
		wire.NewReply(b).Sequence = wire.NewRequest(s.request.Bytes()).Sequence
	}
	return n, nil
}

// FuzzReply gives the caller any bytes for replies: it applies nothing that the
// judge has not let pass, and nothing that user code could not do by itself.
//
//	data[0]   how many bytes of what follows are the first reply, in units of
//	          eight; the rest is the second
func FuzzReply(f *testing.F) {
	p := hostcpu.Profile()
	w := worker.New(p, nil)
	b := newBed(f)
	for _, x := range crossings { // what a worker answers, as seeds
		b.load(x.code)
		c := &Client{}
		c.cfg, _ = Config{Profile: p, Attempts: 1}.complete()
		var req, rep wire.Buffer
		var l lane
		l.start(&Request{State: &b.state, Bus: b.m, Fx: &b.fx}, p.VirtualBits, Message)
		l.write(req.Bytes(), Message)
		n, _ := w.Answer(req.Bytes(), rep.Bytes(), nil)
		first := append([]byte{byte(n / 8)}, rep.Bytes()[:n]...)
		var v wire.ReplyView
		if err := wire.ParseReply(rep.Bytes()[:n], &v); err != nil {
			f.Fatal(err)
		}
		if err := l.read(&v, Message); err != nil {
			f.Fatal(err)
		}
		l.write(req.Bytes(), Message)
		n, _ = w.Answer(req.Bytes(), rep.Bytes(), nil)
		f.Add(append(first, rep.Bytes()[:n]...))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 {
			return
		}
		first := min(int(data[0])*8, len(data)-1)
		s := &scripted{replies: [][]byte{data[1 : 1+first], data[1+first:]}}
		cfg, _ := Config{Profile: p, Attempts: 1, NoSpare: true}.complete()
		c := &Client{cfg: cfg, lanes: make([]lane, 1), peer: &peer{conn: s}, place: nowhere}
		b.load("\x48\x8b\x03")
		before := b.state
		b.fx = step.Effects{}
		out := c.Step(&b.state, b.m, &b.fx)
		if b.state != before {
			t.Fatal("the state has changed before Apply")
		}
		if err := c.Failure(); err != nil {
			if out != step.Unhandleable || b.fx.NumOps != 0 || b.fx.GPRDirty != 0 {
				t.Fatalf("%v, and effects: %+v", err, b.fx)
			}
			return
		}
		if out = b.fx.Apply(&b.state, b.m); out == step.Okay {
			allowed(t, &before, &b.state)
		}
	})
}

// allowed fails if user code could not have gone from one state to the other by
// itself. It says so in other words than the judge.
func allowed(t *testing.T, before, after *x86.State) {
	t.Helper()
	const system = 3<<12 | 1<<17 | 1<<19 | 1<<20 | 1<<9 | ^uint64(1<<22-1)
	switch {
	case (before.RFLAGS^after.RFLAGS)&system != 0:
		t.Fatalf("RFLAGS %#x from %#x", after.RFLAGS, before.RFLAGS)
	case after.Mode != before.Mode || after.CPL != 3 || after.StackWidth != before.StackWidth:
		t.Fatalf("mode %v, CPL %d", after.Mode, after.CPL)
	case int64(after.RIP<<16)>>16 != int64(after.RIP):
		t.Fatalf("RIP %#x", after.RIP)
	case after.Selector != before.Selector:
		t.Fatalf("selectors %x: the Bus has shown no descriptor", after.Selector)
	}
}

// TestJudgeAcceptsHonest: what the emulator itself does is never refused, at
// any privilege level, with any answer of the Bus.
func TestJudgeAcceptsHonest(t *testing.T) {
	b := newBed(t)
	w := worker.New(hostcpu.Profile(), nil)
	cfg, err := Config{Profile: hostcpu.Profile(), Attempts: 1}.complete()
	if err != nil {
		t.Fatal(err)
	}
	c := &Client{cfg: cfg, lanes: make([]lane, 1), place: nowhere, peer: &peer{conn: direct(w)}}
	e := emulator.New(hostcpu.Profile(), b.m.Hooks()&^repeats)
	var plain step.Effects
	codes := 0
	for _, r := range isa.Rows() {
		for _, code := range encodings(&r) {
			for cpl := range uint8(4) {
				b.load(string(code))
				b.state.CPL = cpl
				b.state.GPR[x86.RDX] = 0
				out := c.Step(&b.state, b.m, &b.fx)
				if err := c.Failure(); err != nil {
					t.Fatalf("% x (%s) at CPL %d: %v", code, r.String(), cpl, err)
				}
				if want := e.Step(&b.state, b.m, &plain); want != out {
					t.Fatalf("% x (%s) at CPL %d: %v, in-process %v", code, r.String(), cpl, out, want)
				}
				if same, field := emulator.Equal(&plain, &b.fx); !same {
					t.Fatalf("% x (%s) at CPL %d: %s", code, r.String(), cpl, field)
				}
				codes++
			}
		}
	}
	if codes < 1000 {
		t.Fatalf("%d instructions were tried", codes)
	}
}

// direct is a transport that calls the worker.
func direct(w *worker.Worker) transport.Caller { return transport.NewCall(1, serving(w)) }

// encodings are encodings of a row: with registers, and with memory at rBX.
func encodings(r *isa.Row) (codes [][]byte) {
	if r.Modes&isa.Mode64 == 0 {
		return nil
	}
	for _, mod := range []uint8{0, 3} {
		if code := decode.Encode(nil, r.ID, x86.Long64, decode.Form{Mod: mod, RM: x86.RBX}); len(code) > 0 {
			codes = append(codes, code)
		}
	}
	return codes
}
