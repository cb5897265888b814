package depriv

import (
	"encoding/binary"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator"
	"github.com/seed-4e121ece/ringfence/emulator/depriv/transport"
	"github.com/seed-4e121ece/ringfence/emulator/depriv/wire"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/internal/hostcpu"
)

// tampering is a worker that answers as it should, but for what it does to each
// reply.
func tampering(change func(b []byte, r *wire.Reply)) func(transport.Server, transport.Serve) {
	return func(s transport.Server, serve transport.Serve) {
		for {
			n, err := s.Next()
			if err != nil {
				os.Exit(1)
			}
			t := &held{Server: s}
			if !serve(t, n) {
				os.Exit(1)
			}
			for i := range n {
				b := s.Reply(i)
				change(b, wire.NewReply(b))
			}
			if s.Done(n) != nil {
				os.Exit(1)
			}
		}
	}
}

// held is a server whose Done does nothing yet.
type held struct{ transport.Server }

func (held) Done(int) error { return nil }

// hostile are the workers of the table: what each does, and what it is found to
// be.
var hostile = []struct {
	name  string
	serve func(transport.Server, transport.Serve)
	want  FindingKind
	// or is what it may be found to be too: it may be read before it changes.
	or FindingKind
	// only is a transport that the behaviour needs, if any.
	only []transport.Kind
	text string
}{
	{name: "length 0", want: Refused, text: "a message of 0 bytes", serve: tampering(func(b []byte, r *wire.Reply) { r.Length = 0 }), only: rings},
	{name: "length huge", want: Refused, text: "bytes, want 8 to", serve: tampering(func(b []byte, r *wire.Reply) { r.Length = 0xfffffff8 }), only: rings},
	{name: "length longer", want: Refused, text: "malformed message", serve: tampering(func(b []byte, r *wire.Reply) { r.Length += 8 })},
	{name: "garbage", want: Refused, text: "malformed message", serve: tampering(func(b []byte, r *wire.Reply) {
		for i := range b[4:r.Length] {
			b[4+i] = byte(i)*37 + 11
		}
	})},
	{name: "other's sequence number", want: Refused, text: "sequence number", serve: tampering(func(b []byte, r *wire.Reply) { r.Sequence++ })},
	{name: "kind", want: Refused, text: "kind 9", serve: tampering(func(b []byte, r *wire.Reply) { r.Kind = 9 })},
	{name: "count of operations", want: Refused, text: "malformed message", serve: tampering(func(b []byte, r *wire.Reply) { r.NumOps = 255 })},
	{name: "count of questions", want: Refused, text: "malformed message", serve: tampering(func(b []byte, r *wire.Reply) { r.NumQuestions = 90 })},
	{name: "inside outcome", want: Refused, text: "outcome 4", serve: tampering(func(b []byte, r *wire.Reply) { r.Outcome = uint8(step.Done) })},
	{name: "retry", want: Refused, text: "retry that no hook", serve: tampering(func(b []byte, r *wire.Reply) { r.Outcome = uint8(step.Retry) })},
	{name: "IOPL at CPL 3", want: Refused, text: "RFLAGS", serve: tampering(func(b []byte, r *wire.Reply) { r.Flags |= wire.FlagRFLAGS; r.RFLAGS = 0x3202 })},
	{name: "RIP", want: Refused, text: "not canonical", serve: tampering(func(b []byte, r *wire.Reply) { r.RIP = 1 << 62 })},
	{name: "HLT at CPL 3", want: Refused, text: "retire flags", serve: tampering(func(b []byte, r *wire.Reply) { r.Retire = uint8(step.RetireHLT) })},
	{name: "invented page fault", want: Refused, text: "neither the Bus raised", serve: tampering(func(b []byte, r *wire.Reply) {
		*r = wire.Reply{Sequence: r.Sequence, Kind: wire.ReplyEffects, Outcome: uint8(step.Exception), Event: wire.Event{Type: 1, Vector: 14, HasError: 1, Address: 0xffff800000000000}}
		wire.FinishReply(b, nil, nil, nil, nil)
	})},
	{name: "machine check", want: Refused, text: "neither the Bus raised", serve: tampering(func(b []byte, r *wire.Reply) {
		*r = wire.Reply{Sequence: r.Sequence, Kind: wire.ReplyEffects, Outcome: uint8(step.Exception), Event: wire.Event{Type: 1, Vector: 18}}
		wire.FinishReply(b, nil, nil, nil, nil)
	})},
	{name: "write that was not probed", want: Refused, text: "not probed", serve: tampering(func(b []byte, r *wire.Reply) { forge(b, r, wire.Op{Size: 8, Segment: 3, Intent: 2, Offset: dataAt}) })},
	{name: "write of 200 bytes", want: Refused, text: "200 bytes", serve: tampering(func(b []byte, r *wire.Reply) { forge(b, r, wire.Op{Size: 200, Segment: 3, Intent: 2, Offset: dataAt}) })},
	{name: "write to CR0", want: Refused, text: "hook is not offered", serve: tampering(func(b []byte, r *wire.Reply) { forge(b, r, wire.Op{Kind: uint8(step.OpWriteControl)}) })},
	{name: "kernel's code segment", want: Refused, text: "no descriptor", serve: tampering(func(b []byte, r *wire.Reply) {
		forge(b, r, wire.Op{Kind: uint8(step.OpWriteSegment), Index: 1, Value: [2]uint64{0x10 | 0xa09b<<32, 0xffffffff}})
	})},
	{name: "supervisor's memory", want: Refused, text: "system access", serve: tampering(func(b []byte, r *wire.Reply) {
		question(b, r, wire.Question{Kind: wire.AskRead, Size: 8, Segment: uint8(x86.SegNone), Intent: uint8(step.IntentSystem), Offset: 0xffff800000000000})
	})},
	{name: "port", want: Refused, text: "hook is not offered", serve: tampering(func(b []byte, r *wire.Reply) {
		question(b, r, wire.Question{Kind: wire.AskReadPort, Size: 4, Offset: 0xcf8})
	})},
	{name: "questions without end", want: Refused, text: "more than 96 questions", serve: tampering(func(b []byte, r *wire.Reply) {
		question(b, r, wire.Question{Kind: wire.AskRead, Size: 8, Segment: 3, Offset: dataAt})
	})},
	{name: "row", want: Refused, text: "row 65535", serve: tampering(func(b []byte, r *wire.Reply) { r.Inst.Row = 65535 })},
	{name: "changes after it was read", want: Refused, or: Hung, serve: changing, only: rings},
	{name: "two replies", want: Refused, serve: twice, only: []transport.Kind{transport.Seqpacket}},
	{name: "no reply", want: Hung, text: "no answer in time", serve: func(s transport.Server, _ transport.Serve) {
		_, _ = s.Next()
		for { // time.Sleep would start the runtime's poller
			_ = syscall.Nanosleep(&syscall.Timespec{Sec: 1}, nil)
		}
	}},
	{name: "endless loop", want: Hung, text: "no answer in time", serve: func(s transport.Server, _ transport.Serve) {
		_, _ = s.Next()
		for i := 0; i >= 0; i++ { // goes round
			i &= 1
		}
	}},
	{name: "flood", want: Refused, text: "malformed frame", serve: flood, only: []transport.Kind{transport.Stream, transport.Pipe}},
	{name: "takes its leave", want: Died, text: "exit status 7", serve: func(s transport.Server, _ transport.Serve) {
		_, _ = s.Next()
		os.Exit(7)
	}},
	{name: "forbidden call", want: Died, text: "its filter forbids", serve: func(s transport.Server, _ transport.Serve) {
		_, _ = s.Next()
		_, _, _ = syscall.RawSyscall(syscall.SYS_GETPID, 0, 0, 0)
		os.Exit(0)
	}},
	{name: "memory without end", want: Died, text: "its filter forbids", serve: func(s transport.Server, _ transport.Serve) {
		_, _ = s.Next()
		for {
			kept = append(kept, make([]byte, 1<<20))
		}
	}},
	{name: "panic", want: Failed, text: "panic: on purpose", serve: func(s transport.Server, _ transport.Serve) {
		_, _ = s.Next()
		b := s.Reply(0)
		*wire.NewReply(b) = wire.Reply{}
		wire.FinishFailure(b, "panic: on purpose")
		_ = s.Done(1)
		os.Exit(1)
	}},
}

var (
	rings = []transport.Kind{transport.Futex}
	kept  [][]byte
)

// forge makes the reply one of effects with an operation.
func forge(b []byte, r *wire.Reply, o wire.Op) {
	*r = wire.Reply{Sequence: r.Sequence, Kind: wire.ReplyEffects, RIP: r.RIP}
	wire.FinishReply(b, nil, nil, []wire.Op{o}, nil)
}

// question makes the reply one that asks.
func question(b []byte, r *wire.Reply, q wire.Question) {
	*r = wire.Reply{Sequence: r.Sequence, Kind: wire.ReplyNeed}
	wire.FinishReply(b, nil, []wire.Question{q}, nil, nil)
}

// changing writes over its reply for as long as the caller may read it: another
// number of operations each time.
func changing(s transport.Server, serve transport.Serve) {
	_, _ = s.Next()
	serve(&held{s}, 1)
	b := s.Reply(0)
	_ = s.Done(1)
	for i := 0; ; i++ {
		b[12], b[13] = byte(i), byte(i>>3)
	}
}

// twice answers each request twice.
func twice(s transport.Server, serve transport.Serve) {
	for {
		n, err := s.Next()
		if err != nil || !serve(s, n) || s.Done(n) != nil {
			os.Exit(1)
		}
	}
}

// flood writes without end.
func flood(s transport.Server, _ transport.Serve) {
	_, _ = s.Next()
	fd := fdTransport
	if _, err := syscall.Write(fd, nil); err != nil {
		fd++ // of a pipe, the second
	}
	b := make([]byte, 1<<16)
	binary.NativeEndian.PutUint32(b[4:], 1<<31)
	for {
		if _, err := syscall.Write(fd, b); err != nil {
			os.Exit(1)
		}
	}
}

var _ = func() bool {
	for _, h := range hostile {
		misbehaviours[h.name] = h.serve
	}
	return true
}()

// TestHostile runs a step on each hostile worker: the caller finds it out, ends
// it and has lost nothing.
func TestHostile(t *testing.T) {
	for _, h := range hostile {
		kinds := h.only
		if kinds == nil {
			kinds = []transport.Kind{transport.Futex, transport.Seqpacket}
		}
		for _, k := range kinds {
			t.Run(strings.ReplaceAll(h.name, " ", "_")+"/"+k.String(), func(t *testing.T) {
				var found []Finding
				limit := time.Minute
				if h.want == Hung || h.or == Hung {
					limit = 100 * time.Millisecond
				}
				c := newClient(t, Config{
					Transport: k, mode: h.name, NoSpare: true, Attempts: 1, Timeout: limit,
					Finding: func(f Finding) { found = append(found, f) },
				})
				b := newBed(t)
				b.load("\x48\x01\xd8")
				before := b.state
				for range 2000 {
					b.fx.NumOps = 77
					if c.Step(&b.state, b.m, &b.fx); len(found) > 0 {
						break
					}
				}
				err := c.Failure()
				require.Len(t, found, 1)
				if h.or == 0 || found[0].Kind != h.or {
					require.Equal(t, h.want, found[0].Kind, "%v", found[0].Err)
				}
				require.ErrorContains(t, err, h.text)
				require.Equal(t, step.Unhandleable, b.fx.Outcome)
				require.Zero(t, b.fx.NumOps)
				require.Zero(t, b.fx.GPRDirty)
				require.Equal(t, before, b.state)
			})
		}
	}
}

// TestReplaced kills workers under a load: each request is answered once, and as
// in-process.
func TestReplaced(t *testing.T) {
	for _, k := range transport.Kinds() {
		if !k.Walled() {
			continue
		}
		for i, p := range []Protocol{Message, Hooks} {
			if i != int(k)%2 && testing.Short() {
				continue
			}
			t.Run(k.String()+"/"+p.String(), func(t *testing.T) {
				var found []Finding
				c := newClient(t, Config{Transport: k, Protocol: p, Timeout: time.Minute, Finding: func(f Finding) { found = append(found, f) }})
				b, plain := newBed(t), newBed(t)
				e := emulator.New(hostcpu.Profile(), plain.m.Hooks()&^repeats)
				descriptors := countDescriptors(t)
				for i := range 20 {
					x := crossings[i%len(crossings)]
					if i == 9 {
						require.NoError(t, syscall.Kill(c.Pid(), syscall.SIGKILL))
					}
					b.load(x.code)
					plain.load(x.code)
					c.Step(&b.state, b.m, &b.fx)
					require.NoError(t, c.Failure())
					e.Step(&plain.state, plain.m, &plain.fx)
					same, field := emulator.Equal(&plain.fx, &b.fx)
					require.True(t, same, "%s: %s", x.name, field)
				}
				require.Len(t, found, 1)
				for _, f := range found {
					require.Equal(t, Died, f.Kind)
				}
				require.EqualValues(t, 1, c.Stats().Replaced)
				require.InDelta(t, descriptors, countDescriptors(t), 24, "descriptors are lost")
			})
		}
	}
}

func countDescriptors(t *testing.T) int {
	list, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(list)
}

// TestBatchLoss kills a worker under a batch: no request is lost.
func TestBatchLoss(t *testing.T) {
	c := newClient(t, Config{Transport: transport.Futex, Batch: 16, Timeout: time.Minute})
	beds := make([]*bed, 16)
	requests := make([]Request, len(beds))
	for i := range beds {
		beds[i] = newBed(t)
	}
	for round := range 4 {
		for i, b := range beds {
			b.load(crossings[(i+round)%len(crossings)].code)
			requests[i] = Request{VCPU: uint32(i), State: &b.state, Bus: b.m, Fx: &b.fx}
		}
		if round%2 == 1 {
			require.NoError(t, syscall.Kill(c.Pid(), syscall.SIGKILL))
		}
		c.StepBatch(requests)
		for i, b := range beds {
			require.NoError(t, requests[i].Err)
			plain := newBed(t)
			plain.load(crossings[(i+round)%len(crossings)].code)
			emulator.New(hostcpu.Profile(), plain.m.Hooks()&^repeats).Step(&plain.state, plain.m, &plain.fx)
			same, field := emulator.Equal(&plain.fx, &b.fx)
			require.True(t, same, field)
		}
	}
}

// TestReplace swaps the worker for another build under a load: no request is
// lost, none fails.
func TestReplace(t *testing.T) {
	c := newClient(t, Config{Transport: transport.Futex, Finding: func(f Finding) { t.Error(f.Error()) }})
	b := newBed(t)
	exe, err := os.Executable()
	require.NoError(t, err)
	for round := range 3 {
		pid := c.Pid()
		first := pid
		done := make(chan error, 1)
		go func() { done <- c.Replace(exe) }()
		steps, longest, last := 0, time.Duration(0), time.Now()
		for deadline := last.Add(20 * time.Second); pid == first && last.Before(deadline); steps++ {
			b.load("\x48\x8b\x03")
			require.Equal(t, step.Okay, c.Step(&b.state, b.m, &b.fx))
			require.NoError(t, c.Failure())
			pid = c.Pid()
			now := time.Now()
			longest, last = max(longest, now.Sub(last)), now
		}
		require.NoError(t, <-done)
		require.NotEqual(t, first, pid)
		t.Logf("round %d: %d steps from the start of the new worker until it answered, none lost; the longest took %v", round, steps, longest)
	}
	s := c.Stats()
	require.Zero(t, s.Failed)
	require.EqualValues(t, 3, s.Replaced)

	for name, text := range map[string]string{"/does/not/exist": "no such file", "/bin/true": "before it was ready"} {
		require.ErrorContains(t, c.Replace(name), text)
	}
	b.load("\x48\x8b\x03")
	require.Equal(t, step.Okay, c.Step(&b.state, b.m, &b.fx))
}

// TestOtherVersion: a worker of another version is refused with what is wrong.
func TestOtherVersion(t *testing.T) {
	p := &peer{}
	for text, want := range map[string]string{
		`{"Version":99,"Rows":1}`: "version 99",
		`{"Error":"no memory"}`:   "cannot start: no memory",
		`hello`:                   "no worker of this program",
	} {
		r, w, err := os.Pipe()
		require.NoError(t, err)
		_, err = w.WriteString(text + "\n")
		require.NoError(t, err)
		require.ErrorContains(t, p.greet(&Config{}, r, 0, nil), want)
		r.Close()
		w.Close()
	}
}

// TestNoLeak: threads, processes and memory are given back.
func TestNoLeak(t *testing.T) {
	start := func() {
		c := newClient(t, Config{Transport: transport.Pipe})
		require.NoError(t, c.Close())
	}
	start()
	before, goroutines := countDescriptors(t), runtime.NumGoroutine()
	for range 5 {
		start()
	}
	require.LessOrEqual(t, countDescriptors(t), before+2)
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= goroutines+2 }, 5*time.Second, 10*time.Millisecond)
}

// TestReport: each mechanism is on, or its refusal is told.
func TestReport(t *testing.T) {
	c := newClient(t, Config{Transport: transport.Futex, NoSpare: true})
	var names []string
	for _, i := range c.Report() {
		names = append(names, i.Mechanism)
		require.True(t, i.On, "%s: %s", i.Mechanism, i.Detail)
	}
	for _, name := range []string{"namespaces", "identity", "landlock", "limits", "seccomp"} {
		require.True(t, slices.Contains(names, name), name)
	}
}
