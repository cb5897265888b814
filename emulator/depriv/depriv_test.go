package depriv

import (
	"errors"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator"
	"github.com/seed-4e121ece/ringfence/emulator/depriv/transport"
	"github.com/seed-4e121ece/ringfence/emulator/machine"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/internal/hostcpu"
)

// newClient makes a client, or skips the test where the machine cannot have
// one; RINGFENCE_REQUIRE=depriv makes that a failure.
func newClient(t testing.TB, cfg Config) *Client {
	t.Helper()
	cfg.Profile = hostcpu.Profile()
	c, err := New(cfg)
	if err != nil {
		if cfg.Transport.Walled() && !slices.Contains(strings.Split(os.Getenv("RINGFENCE_REQUIRE"), ","), "depriv") &&
			(runtime.GOOS != "linux" || runtime.GOARCH != "amd64" || raceEnabled || strings.Contains(err.Error(), "refuses")) {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil && !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
	return c
}

const (
	codeAt  = 0x10000000
	dataAt  = 0x20000000
	stackAt = 0x30000000
)

// bed is a virtual CPU with its memory.
type bed struct {
	state x86.State
	m     *machine.Machine
	fx    step.Effects
}

func newBed(t testing.TB) *bed {
	t.Helper()
	m, err := machine.New(machine.Config{
		AlignmentMask: true,
		Pages: []machine.Pages{
			{Address: codeAt, Count: 2, Protection: machine.User | machine.Exec},
			{Address: dataAt, Count: 2, Protection: machine.User | machine.Write},
			{Address: stackAt, Count: 2, Protection: machine.User | machine.Write},
		},
	})
	require.NoError(t, err)
	return &bed{m: m}
}

// load prepares an instruction.
func (b *bed) load(code string) {
	b.state = x86.State{Mode: x86.Long64, StackWidth: 64, CPL: 3, RIP: codeAt, RFLAGS: 0x202}
	for i := range b.state.GPR {
		b.state.GPR[i] = uint64(i) * 0x1111
	}
	b.state.GPR[x86.RBX] = dataAt + 64
	b.state.GPR[x86.RSI] = dataAt + 128
	b.state.GPR[x86.RDI] = dataAt + 256
	b.state.GPR[x86.RSP] = stackAt + 4096
	b.state.GPR[x86.RCX] = 3
	b.m.Load(&b.state, 0, 0, nil, []byte(code), codeAt)
	b.fx.Resume = false
}

// crossings are what each class of instruction costs with ProtocolMessage, and
// the calls of the Bus that it makes.
var crossings = []struct {
	name, code     string
	message, hooks int
}{
	{"register", "\x48\x01\xd8", 1, 2},
	{"load", "\x48\x8b\x03", 2, 3},
	{"store", "\x48\x89\x03", 1, 3},
	{"read-modify-write", "\x48\x01\x03", 2, 3},
	{"locked", "\xf0\x48\x01\x03", 2, 3},
	{"push", "\x50", 1, 3},
	{"pop", "\x58", 2, 3},
	{"branch", "\xeb\x10", 1, 3},
	{"call", "\xe8\x10\x00\x00\x00", 1, 4},
	{"return", "\xc3", 2, 4},
	{"string", "\xa4", 2, 4},
	{"divide by zero", "\x48\x31\xc9\x48\xf7\xf1", 1, 2},
	{"undefined", "\x0f\x0b", 1, 2},
	{"page fault", "\x48\x8b\x00", 2, 3},
}

func TestCrossings(t *testing.T) {
	for _, p := range []Protocol{Message, Hooks} {
		c := newClient(t, Config{Transport: transport.Chan, Protocol: p})
		b := newBed(t)
		for _, x := range crossings {
			b.load(x.code)
			before := c.Stats().Crossings
			out := c.Step(&b.state, b.m, &b.fx)
			require.NoError(t, c.Failure(), x.name)
			want := x.message
			if p == Hooks {
				want = x.hooks
			}
			require.EqualValues(t, want, c.Stats().Crossings-before, "%v, %s: %v", p, x.name, out)
		}
	}
}

// TestTransports runs the same steps in-process and over each transport and
// protocol.
func TestTransports(t *testing.T) {
	for _, k := range transport.Kinds() {
		for _, p := range []Protocol{Message, Hooks} {
			if k == transport.Call && p == Hooks {
				continue
			}
			t.Run(k.String()+"/"+p.String(), func(t *testing.T) {
				c := newClient(t, Config{Transport: k, Protocol: p, NoSpare: true, Timeout: time.Minute})
				b, plain := newBed(t), newBed(t)
				e := emulator.New(hostcpu.Profile(), plain.m.Hooks()&^repeats)
				for range 3 {
					for _, x := range crossings {
						b.load(x.code)
						plain.load(x.code)
						out := c.Step(&b.state, b.m, &b.fx)
						require.NoError(t, c.Failure(), x.name)
						require.Equal(t, e.Step(&plain.state, plain.m, &plain.fx), out, x.name)
						same, field := emulator.Equal(&plain.fx, &b.fx)
						require.True(t, same, "%s: %s", x.name, field)
						require.Equal(t, plain.fx.Inst, b.fx.Inst, x.name)
						require.Equal(t, plain.fx.Apply(&plain.state, plain.m), b.fx.Apply(&b.state, b.m), x.name)
						require.Equal(t, plain.state, b.state, x.name)
					}
				}
			})
		}
	}
}
