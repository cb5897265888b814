package depriv

import (
	"bytes"
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

// newMemory gives cfg the window that its protocol needs.
func newMemory(t testing.TB, cfg *Config) {
	if cfg.Protocol < Window || cfg.Memory != nil {
		return
	}
	m, err := NewMemory(1<<20, cfg.Protocol == WindowWrite)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	cfg.Memory = m
}

// newClient makes a client, or skips the test where the machine cannot have
// one; RINGFENCE_REQUIRE=depriv makes that a failure.
func newClient(t testing.TB, cfg Config) *Client {
	t.Helper()
	cfg.Profile = hostcpu.Profile()
	newMemory(t, &cfg)
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
	// space is that of the window which shows the memory; 0 without.
	space uint32
}

func newBed(t testing.TB) *bed {
	t.Helper()
	return newBedIn(t, nil)
}

// newBedIn makes a virtual CPU whose memory is in a window; nil has none.
func newBedIn(t testing.TB, w *Memory) *bed {
	t.Helper()
	cfg := machine.Config{
		AlignmentMask: true,
		Pages: []machine.Pages{
			{Address: codeAt, Count: 2, Protection: machine.User | machine.Exec},
			{Address: dataAt, Count: 2, Protection: machine.User | machine.Write},
			{Address: stackAt, Count: 2, Protection: machine.User | machine.Write},
		},
	}
	if w != nil {
		cfg.Storage, cfg.Foreign = w.Alloc, w.write
	}
	m, err := machine.New(cfg)
	require.NoError(t, err)
	b := &bed{m: m}
	if w != nil {
		var list []Mapping
		for i, p := range m.Pages() {
			list = append(list, Mapping{Linear: p.Address, Memory: m.Storage(i), Write: p.Protection&machine.Write != 0, User: true})
		}
		b.space, err = w.Space(list)
		require.NoError(t, err)
	}
	return b
}

// memory is what is in the pages.
func (b *bed) memory() []byte {
	var all []byte
	for i := range b.m.Pages() {
		all = append(all, b.m.Storage(i)...)
	}
	return all
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

// crossings are what each class of instruction costs with Message and with each
// window, and the calls of the Bus that it makes.
var crossings = []struct {
	name, code string
	// want is by Protocol.
	want [4]int
}{
	{"register", "\x48\x01\xd8", [4]int{1, 2, 1, 1}},
	{"load", "\x48\x8b\x03", [4]int{2, 3, 1, 1}},
	{"store", "\x48\x89\x03", [4]int{1, 3, 1, 1}},
	{"read-modify-write", "\x48\x01\x03", [4]int{2, 3, 1, 1}},
	{"locked", "\xf0\x48\x01\x03", [4]int{2, 3, 1, 1}},
	{"push", "\x50", [4]int{1, 3, 1, 1}},
	{"pop", "\x58", [4]int{2, 3, 1, 1}},
	{"branch", "\xeb\x10", [4]int{1, 3, 1, 1}},
	{"call", "\xe8\x10\x00\x00\x00", [4]int{1, 4, 1, 1}},
	{"return", "\xc3", [4]int{2, 4, 1, 1}},
	{"string", "\xa4", [4]int{2, 4, 1, 1}},
	{"16 bytes", "\x48\x0f\xc7\x0b", [4]int{2, 3, 1, 1}},
	{"divide by zero", "\x48\x31\xc9\x48\xf7\xf1", [4]int{1, 2, 1, 1}},
	{"undefined", "\x0f\x0b", [4]int{1, 2, 1, 1}},
	{"page fault", "\x48\x8b\x00", [4]int{2, 3, 2, 2}},
	{"read-only", "\x48\x01\x1d\x00\x01\x00\x00", [4]int{2, 3, 2, 2}},
}

func TestCrossings(t *testing.T) {
	for _, p := range Protocols() {
		cfg := Config{Transport: transport.Chan, Protocol: p}
		newMemory(t, &cfg)
		c := newClient(t, cfg)
		b := newBedIn(t, cfg.Memory)
		c.Enter(b.space)
		for _, x := range crossings {
			b.load(x.code)
			before := c.Stats().Crossings
			out := c.Step(&b.state, b.m, &b.fx)
			require.NoError(t, c.Failure(), x.name)
			require.EqualValues(t, x.want[p], c.Stats().Crossings-before, "%v, %s: %v", p, x.name, out)
		}
	}
}

// TestTransports runs the same steps in-process and over each transport and
// protocol.
func TestTransports(t *testing.T) {
	for _, k := range transport.Kinds() {
		for _, p := range Protocols() {
			if k == transport.Call && p == Hooks {
				continue
			}
			t.Run(k.String()+"/"+p.String(), func(t *testing.T) {
				cfg := Config{Transport: k, Protocol: p, NoSpare: true, Timeout: time.Minute}
				newMemory(t, &cfg)
				c := newClient(t, cfg)
				b, plain := newBedIn(t, cfg.Memory), newBed(t)
				c.Enter(b.space)
				e := emulator.New(hostcpu.Profile(), plain.m.Hooks()&^repeats)
				for range 3 {
					for _, x := range crossings {
						b.load(x.code)
						plain.load(x.code)
						out := c.Step(&b.state, b.m, &b.fx)
						require.NoError(t, c.Failure(), x.name)
						require.Equal(t, e.Step(&plain.state, plain.m, &plain.fx), out, x.name)
						if p != WindowWrite { // which has written already
							same, field := emulator.Equal(&plain.fx, &b.fx)
							require.True(t, same, "%s: %s", x.name, field)
						}
						require.Equal(t, plain.fx.Accesses[:plain.fx.NumAccesses], b.fx.Accesses[:b.fx.NumAccesses], x.name)
						require.Equal(t, plain.fx.Inst, b.fx.Inst, x.name)
						require.Equal(t, plain.fx.Apply(&plain.state, plain.m), b.fx.Apply(&b.state, b.m), x.name)
						require.Equal(t, plain.state, b.state, x.name)
						require.True(t, bytes.Equal(plain.memory(), b.memory()), x.name)
					}
				}
			})
		}
	}
}
