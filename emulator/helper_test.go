package emulator_test

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/machine"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// Where things are in the tests' memory. Each region is followed by a page
// that is not mapped.
const (
	codeAt  = 0x10000000
	dataAt  = 0x20000000
	stackAt = 0x30000000
	roAt    = 0x40000000
	page    = machine.PageSize
)

// profile is a CPU with every feature of the table.
func profile(v isa.Vendor) *isa.Profile {
	return &isa.Profile{Vendor: v, Features: isa.AllFeatures(), VirtualBits: 48}
}

// newMachine returns a machine with two pages each of code, data and stack,
// and one that cannot be written.
func newMachine(t testing.TB, without step.Hooks) *machine.Machine {
	rw := machine.Write | machine.User
	m, err := machine.New(machine.Config{
		Pages: []machine.Pages{
			{Address: codeAt, Count: 2, Protection: machine.Exec | machine.User, Fill: 0xcc},
			{Address: dataAt, Count: 2, Protection: rw},
			{Address: stackAt, Count: 2, Protection: rw},
			{Address: roAt, Count: 1, Protection: machine.User},
		},
		Windows: []machine.Window{
			{Address: dataAt, Length: 2 * page}, {Address: stackAt, Length: 2 * page}, {Address: roAt, Length: page},
		},
		AlignmentMask: true,
		CPUID:         func(leaf, subleaf uint32) [4]uint32 { return [4]uint32{leaf, 2, subleaf, 0xfffffffe} },
		MSR:           func(n uint32) (uint64, bool) { return 0x1122334455667788, n == 0x10 || n == 0xc0000103 },
		Random:        func(size uint8, seed bool) (uint64, bool) { return 0x8877665544332211, !seed },
		Control:       func(n uint8) (uint64, bool) { return 1 << 16, n == 4 },
		Without:       without,
	})
	require.NoError(t, err)
	return m
}

// initial is the state that a test's words change: every register points into
// data, rsp into the stack.
func initial() x86.State {
	s := x86.State{Mode: x86.Long64, StackWidth: 64, CPL: 3, RIP: codeAt, RFLAGS: 0x202}
	s.Selector = [x86.NumSegment]uint16{0, 0x33, 0x2b, 0, 0x10, 0x18}
	for i := range s.GPR {
		s.GPR[i] = 0xa0a0_0000_0000_0000 + uint64(i)*0x0101
	}
	s.GPR[x86.RSP] = stackAt + page
	return s
}

// words sets registers, flags and memory from text such as
// "rax=1 f=CF,ZF [20000008]=0011". f gives all six status flags.
func words(t testing.TB, text string, s *x86.State, memory []byte) {
	for _, w := range strings.Fields(text) {
		name, value, ok := strings.Cut(w, "=")
		require.True(t, ok, "word %q", w)
		switch {
		case name[0] == '[':
			at, err := strconv.ParseUint(name[1:len(name)-1], 16, 64)
			require.NoError(t, err, w)
			b, err := hex.DecodeString(value)
			require.NoError(t, err, w)
			copy(memory[place(t, at):], b)
		case name == "f":
			s.RFLAGS &^= uint64(x86.FlagsStatus)
			for _, f := range strings.Split(value, ",") {
				if f != "" {
					require.NotZero(t, x86.ParseFlag(f), w)
					s.RFLAGS |= uint64(x86.ParseFlag(f))
				}
			}
		default:
			v, err := strconv.ParseUint(value, 16, 64)
			require.NoError(t, err, w)
			setRegister(t, s, name, v)
		}
	}
}

func setRegister(t testing.TB, s *x86.State, name string, v uint64) {
	switch name {
	case "rip":
		s.RIP = v
		return
	case "rflags":
		s.RFLAGS = v
		return
	}
	if f := x86.ParseFlag(name); f != 0 {
		s.RFLAGS = s.RFLAGS&^uint64(f) | uint64(f)*v
		return
	}
	for n := range uint8(x86.NumGPR) {
		if x86.GPRName(n, 8) == name {
			s.GPR[n] = v
			return
		}
	}
	require.Failf(t, "no such register", "%q", name)
}

// place is where an address is in the windows' content.
func place(t testing.TB, at uint64) int {
	switch at & 0xf0000000 {
	case dataAt:
		return int(at - dataAt)
	case stackAt:
		return int(at-stackAt) + 2*page
	case roAt:
		return int(at-roAt) + 4*page
	}
	require.Failf(t, "no such memory", "%#x", at)
	return 0
}

// one is a row of the tables: code, what differs from initial before, and what
// then differs after. Everything else must be as it was; rip is after the
// code unless given.
type one struct {
	code, before, after string
	// event is what the step raises, as Event.String says it.
	event string
}

// name is the code with what is given.
func (o one) name() string { return o.code + " " + o.before }

func decodeHex(t testing.TB, code string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(code, " ", ""))
	require.NoError(t, err, code)
	return b
}

// check runs rows on an Intel CPU's profile.
func check(t *testing.T, rows []one) {
	t.Helper()
	checkOn(t, profile(isa.Intel), rows)
}

func checkOn(t *testing.T, p *isa.Profile, rows []one) {
	t.Helper()
	m := newMachine(t, 0)
	e := emulator.New(p, m.Hooks())
	for _, o := range rows {
		t.Run(o.name(), func(t *testing.T) { o.check(t, m, e) })
	}
}

func (o one) check(t *testing.T, m *machine.Machine, e emulator.Stepper) {
	code := decodeHex(t, o.code)
	state, memory := initial(), make([]byte, 5*page)
	words(t, o.before, &state, memory)
	want, wantMemory := state, append([]byte(nil), memory...)
	if o.event == "" {
		want.RIP += uint64(len(code))
	}
	words(t, o.after, &want, wantMemory)
	m.Load(&state, 0, 0, memory, code, state.RIP)
	before := state
	var fx emulator.Effects
	out := e.Step(&state, m, &fx)
	require.NoError(t, emulator.CheckPromises(&before, &fx, out))
	require.Equal(t, before, state, "a step changes the state")
	out, _ = emulator.Run(e, &state, m, &fx, 1<<20)
	if o.event == "" {
		require.Equal(t, emulator.Okay, out, "%v", fx.Event)
	} else {
		require.Equal(t, emulator.Exception, out)
		require.Equal(t, o.event, fx.Event.String())
	}
	m.Save(memory)
	require.Equal(t, describe(&want), describe(&state))
	require.Equal(t, differences(wantMemory, wantMemory), differences(wantMemory, memory))
}

// describe prints a state a line a register, so that a difference shows.
func describe(s *x86.State) string {
	var b strings.Builder
	for n, v := range s.GPR {
		fmt.Fprintf(&b, "%s=%x\n", x86.GPRName(uint8(n), 8), v)
	}
	fmt.Fprintf(&b, "rip=%x\nrflags=%x %v\nselectors=%x", s.RIP, s.RFLAGS, x86.Flags(s.RFLAGS), s.Selector)
	return b.String()
}

func differences(want, got []byte) string {
	var b strings.Builder
	for i := range want {
		if want[i] != got[i] {
			fmt.Fprintf(&b, "at %#x: want %02x, got %02x\n", i, want[i], got[i])
		}
	}
	return b.String()
}

func hexOf(v int) string { return strconv.FormatInt(int64(v), 16) }
