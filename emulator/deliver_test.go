package emulator_test

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/machine"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// Selectors of the tests' descriptor table, of code but for tss and data.
const (
	code32 = 8 * (iota + 1)
	code64
	code16
	dataSeg
	conforming32
	conforming64
	user32
	user64
	absent64
	fresh32 // not accessed
	short32 // limit 0xfff
	absent32
	tss
	both64 // L and D
	userData
	beyond   // the first that is not there
	idtAt    = 0x50000000
	idtLimit = 16*0x80 + 15 // up to vector 0x80 in IA-32e mode
)

// descriptor packs a segment descriptor with base 0; attr as in
// x86.SegmentRegister.
func descriptor(attr, limit uint64) uint64 {
	return limit&0xffff | attr&0xff<<40 | limit>>16&0xf<<48 | attr>>12&0xf<<52
}

var deliverGDT = []uint64{
	code32 / 8: descriptor(0xc09b, 0xfffff), code64 / 8: descriptor(0xa09b, 0xfffff), code16 / 8: descriptor(0x009b, 0xffff),
	dataSeg / 8: descriptor(0xc093, 0xfffff), conforming32 / 8: descriptor(0xc09f, 0xfffff), conforming64 / 8: descriptor(0xa09f, 0xfffff),
	user32 / 8: descriptor(0xc0fb, 0xfffff), user64 / 8: descriptor(0xa0fb, 0xfffff), absent64 / 8: descriptor(0xa01b, 0xfffff),
	fresh32 / 8: descriptor(0xc09a, 0xfffff), short32 / 8: descriptor(0x409b, 0xfff), absent32 / 8: descriptor(0xc01b, 0xfffff),
	tss / 8: descriptor(0x0089, 0x67), both64 / 8: descriptor(0xe09b, 0xfffff), userData / 8: descriptor(0xc0f3, 0xfffff),
}

// gateAt packs an entry of the descriptor table (SDM vol. 3, 6.11 and 6.14.1).
// attr is type, DPL and P.
func gateAt(attr uint64, selector uint64, offset uint64, stack uint64) [2]uint64 {
	return [2]uint64{offset&0xffff | selector<<16 | stack<<32 | attr<<40 | offset>>16&0xffff<<48, offset >> 32}
}

// newDeliverer returns a machine with a descriptor table of either kind, which
// only the supervisor reaches, and a stack.
func newDeliverer(t testing.TB, without step.Hooks) *machine.Machine {
	rw := machine.Write | machine.User
	m, err := machine.New(machine.Config{
		Pages:         []machine.Pages{{Address: stackAt, Count: 2, Protection: rw}, {Address: idtAt, Count: 1}, {Address: codeAt, Count: 1, Protection: machine.Exec | machine.User}},
		Windows:       []machine.Window{{Address: stackAt, Length: 2 * page}, {Address: idtAt, Length: page}},
		GDT:           deliverGDT,
		AlignmentMask: true,
		Without:       without,
	})
	require.NoError(t, err)
	return m
}

// soft is INT n.
func soft(vector uint8) x86.Event {
	return x86.Event{Type: x86.EventSoftwareInterrupt, Vector: vector, Length: 2}
}

// delivered is a row: an event in a mode and at a level, through a gate (in real
// mode the four bytes of the vector), with what differs from the state below.
type delivered struct {
	name   string
	mode   x86.Mode
	cpl    uint8
	event  x86.Event
	gate   [2]uint64
	before string
	// limit of the table; 0 stands for idtLimit.
	limit uint32
	// stack is the limit of the stack segment; 0 stands for 4 GiB.
	stack uint32
	// without is a hook that is absent.
	without step.Hooks

	out step.Outcome
	// fault is what delivery raises.
	fault string
	// frame is what was pushed, the last first, in slots of slot bytes.
	slot  int
	frame []uint64
	// after gives the registers and flags afterwards; cs CS.
	after string
	cs    uint16
}

const (
	intGate32, trapGate32, intGate16, trapGate16, taskGate = 0x8e, 0x8f, 0x86, 0x87, 0x85
	userGate                                               = 0x60 // DPL 3
)

// setup loads the row's machine. RIP is 1000, RFLAGS 202, CS 73 or, at CPL 0,
// 70, SS 2b or 28, the stack pointer in the middle of the stack.
func (d *delivered) setup(t testing.TB) (*machine.Machine, *emulator.Emulator, *x86.State) {
	m := newDeliverer(t, d.without)
	s := &x86.State{Mode: d.mode, StackWidth: uint8(d.mode.Width()), CPL: d.cpl, RIP: 0x1000, RFLAGS: 0x202}
	s.Selector[x86.CS], s.Selector[x86.SS] = 0x70|uint16(d.cpl), 0x28|uint16(d.cpl)
	memory := make([]byte, 3*page)
	size := 8
	switch d.mode {
	case x86.Real:
		size = 4
	case x86.Long64, x86.Compat16, x86.Compat32:
		size = 16
	}
	var entry [16]byte
	binary.LittleEndian.PutUint64(entry[:], d.gate[0])
	binary.LittleEndian.PutUint64(entry[8:], d.gate[1])
	copy(memory[2*page+size*int(d.event.Vector):], entry[:size])
	m.Load(s, 0, 0, memory, nil, 0)
	limit := d.limit
	if limit == 0 {
		limit = idtLimit
	}
	m.SetSegment(x86.IDTR, x86.SegmentRegister{Base: idtAt, Limit: limit})
	ss := x86.SegmentRegister{Attributes: 0xc0f3, Limit: 0xffffffff}
	s.GPR[x86.RSP] = stackAt + page
	if d.mode.Width() == 16 {
		ss.Base, s.GPR[x86.RSP] = stackAt, page
	}
	if d.stack != 0 {
		ss.Limit = d.stack
	}
	m.SetSegment(x86.SS, ss)
	m.SetSegment(x86.CS, x86.SegmentRegister{Attributes: 0x9b, Limit: 0xffff, Base: 0x700})
	words(t, d.before, s, nil)
	return m, emulator.New(profile(isa.Intel), m.Hooks()), s
}

func (d *delivered) check(t *testing.T) {
	m, e, s := d.setup(t)
	before := *s
	var fx, again emulator.Effects
	poison(&fx, 0xa5)
	poison(&again, 0x5a)
	j := emulator.NewJournal(m)
	out := e.Deliver(s, j, d.event, &fx)
	require.NoError(t, emulator.CheckDelivered(s, &fx, out))
	require.Equal(t, before, *s, "Deliver changes the state")
	require.Equal(t, out, e.Deliver(s, j, d.event, &again))
	require.NoError(t, j.Err())
	equal, what := emulator.Equal(&fx, &again)
	require.True(t, equal, what)
	require.Equal(t, d.out, out, "%v", fx.Event)

	require.Equal(t, out, fx.Apply(s, m))
	require.NoError(t, emulator.CheckApplied(&fx, out))
	if out != step.Okay {
		require.Equal(t, before, *s)
		if d.fault != "" {
			require.Equal(t, d.fault, fx.Event.String())
		}
		return
	}
	memory := savedBy(m)
	sp := s.GPR[x86.RSP] % (2 * page)
	for i, v := range d.frame {
		var b [8]byte
		copy(b[:], memory[int(sp)+i*d.slot:][:d.slot])
		require.Equal(t, v, binary.LittleEndian.Uint64(b[:]), "slot %d", i)
	}
	require.EqualValues(t, d.cs, s.Selector[x86.CS])
	words(t, d.after, &before, nil)
	before.Selector[x86.CS] = d.cs
	require.Equal(t, describe(&before), describe(s))
	require.EqualValues(t, d.cs, m.Segment(x86.CS).Selector)
}

// TestDeliverFrames: what is pushed and what the handler finds.
func TestDeliverFrames(t *testing.T) {
	gp := x86.FaultCode(x86.VectorGP, 0x1234)
	for _, r := range []delivered{
		// Real mode (SDM vol. 3, 21.1.4): FLAGS, CS and IP, never an error code.
		{name: "int", mode: x86.Real, event: soft(0x21), gate: [2]uint64{0x12345678}, slot: 2, frame: []uint64{0x1002, 0x70, 0x202}, cs: 0x1234, after: "rip=5678 rsp=ffa rflags=2"},
		{name: "fault", mode: x86.Real, event: gp, gate: [2]uint64{0x12345678}, slot: 2, frame: []uint64{0x1000, 0x70, 0x202}, cs: 0x1234, after: "rip=5678 rsp=ffa rflags=2"},
		{name: "flags", mode: x86.Real, event: soft(3), before: "rflags=57fd7", gate: [2]uint64{0xf}, slot: 2, frame: []uint64{0x1002, 0x70, 0x7fd7}, cs: 0, after: "rip=f rsp=ffa rflags=7cd7"},
		{name: "sp wraps", mode: x86.Real, event: soft(3), before: "rsp=12340004 rip=ffff", gate: [2]uint64{0xf}, out: step.Exception, fault: "#PF(0x2) at 0x3000fffe"},
		{name: "ip wraps", mode: x86.Real, event: soft(3), before: "rip=ffff", gate: [2]uint64{0xf}, slot: 2, frame: []uint64{1, 0x70, 0x202}, after: "rip=f rsp=ffa rflags=2"},

		// Protected mode: 32- and 16-bit gates (SDM vol. 3, 6.12.1).
		{name: "interrupt gate", mode: x86.Protected32, event: soft(0x21), gate: gateAt(intGate32, code32, 0x87654321, 0), slot: 4, frame: []uint64{0x1002, 0x70, 0x202}, cs: code32, after: "rip=87654321 rsp=30000ff4 rflags=2"},
		{name: "trap gate", mode: x86.Protected32, event: soft(0x21), gate: gateAt(trapGate32, code32, 0x87654321, 0), slot: 4, frame: []uint64{0x1002, 0x70, 0x202}, cs: code32, after: "rip=87654321 rsp=30000ff4"},
		{name: "error code", mode: x86.Protected32, event: gp, gate: gateAt(intGate32, code32, 0x2000, 0), slot: 4, frame: []uint64{0x1234, 0x1000, 0x70, 0x10202}, cs: code32, after: "rip=2000 rsp=30000ff0 rflags=2"},
		{name: "16-bit gate", mode: x86.Protected32, event: gp, gate: gateAt(intGate16, code32, 0x99992000, 0), slot: 2, frame: []uint64{0x1234, 0x1000, 0x70, 0x202}, cs: code32, after: "rip=2000 rsp=30000ff8 rflags=2"},
		{name: "16-bit trap gate", mode: x86.Protected16, event: soft(9), gate: gateAt(trapGate16, code16, 0x2000, 0), slot: 2, frame: []uint64{0x1002, 0x70, 0x202}, cs: code16, after: "rip=2000 rsp=ffa"},
		{name: "32-bit gate on a 16-bit stack", mode: x86.Protected16, event: soft(9), gate: gateAt(intGate32, code32, 0x2000, 0), slot: 4, frame: []uint64{0x1002, 0x70, 0x202}, cs: code32, after: "rip=2000 rsp=ff4 rflags=2"},
		{name: "RPL is CPL", mode: x86.Protected32, cpl: 3, event: gp, gate: gateAt(intGate32, conforming32, 0x2000, 0), slot: 4, frame: []uint64{0x1234, 0x1000, 0x73, 0x10202}, cs: conforming32 | 3, after: "rip=2000 rsp=30000ff0 rflags=2"},
		{name: "level 3", mode: x86.Protected32, cpl: 3, event: soft(9), gate: gateAt(trapGate32|userGate, user32, 0x2000, 0), slot: 4, frame: []uint64{0x1002, 0x73, 0x202}, cs: user32 | 3, after: "rip=2000 rsp=30000ff4"},
		{name: "a fault ignores the gate's level", mode: x86.Protected32, cpl: 3, event: x86.Fault(x86.VectorUD), gate: gateAt(trapGate32, user32, 0x2000, 0), slot: 4, frame: []uint64{0x1000, 0x73, 0x10202}, cs: user32 | 3, after: "rip=2000 rsp=30000ff4"},
		{name: "INT1 ignores the gate's level", mode: x86.Protected32, cpl: 3, event: x86.Event{Type: x86.EventPrivSoftwareException, Vector: 1, Length: 1}, gate: gateAt(trapGate32, user32, 0x2000, 0), slot: 4, frame: []uint64{0x1001, 0x73, 0x202}, cs: user32 | 3, after: "rip=2000 rsp=30000ff4"},
		{name: "accessed", mode: x86.Protected32, event: soft(9), gate: gateAt(intGate32, fresh32, 0x2000, 0), slot: 4, frame: []uint64{0x1002, 0x70, 0x202}, cs: fresh32, after: "rip=2000 rsp=30000ff4 rflags=2"},

		// What the gate leaves of the flags, and RF of the image (18.3.1.1).
		{name: "TF NT RF", mode: x86.Protected32, event: soft(9), before: "rflags=57fd7", gate: gateAt(trapGate32, code32, 0x2000, 0), slot: 4, frame: []uint64{0x1002, 0x70, 0x47fd7}, cs: code32, after: "rip=2000 rsp=30000ff4 rflags=43ed7"},
		{name: "RF of a fault", mode: x86.Protected32, event: x86.Fault(x86.VectorDE), gate: gateAt(intGate32, code32, 0x2000, 0), slot: 4, frame: []uint64{0x1000, 0x70, 0x10202}, cs: code32, after: "rip=2000 rsp=30000ff4 rflags=2"},
		{name: "RF of an instruction breakpoint", mode: x86.Protected32, event: x86.Fault(x86.VectorDB), gate: gateAt(intGate32, code32, 0x2000, 0), slot: 4, frame: []uint64{0x1000, 0x70, 0x202}, cs: code32, after: "rip=2000 rsp=30000ff4 rflags=2"},
		{name: "RF of a trap", mode: x86.Protected32, event: x86.Event{Type: x86.EventTrap, Vector: 1}, before: "RF=1", gate: gateAt(intGate32, code32, 0x2000, 0), slot: 4, frame: []uint64{0x1000, 0x70, 0x10202}, cs: code32, after: "rip=2000 rsp=30000ff4 rflags=2"},
		{name: "INT3", mode: x86.Protected32, event: x86.Event{Type: x86.EventSoftwareException, Vector: 3, Length: 1}, gate: gateAt(intGate32, code32, 0x2000, 0), slot: 4, frame: []uint64{0x1001, 0x70, 0x202}, cs: code32, after: "rip=2000 rsp=30000ff4 rflags=2"},
		{name: "a fault's length does not count", mode: x86.Protected32, event: x86.Event{Type: x86.EventFault, Vector: 6, Length: 2}, gate: gateAt(intGate32, code32, 0x2000, 0), slot: 4, frame: []uint64{0x1000, 0x70, 0x10202}, cs: code32, after: "rip=2000 rsp=30000ff4 rflags=2"},
		{name: "software pushes no error code", mode: x86.Protected32, event: x86.Event{Type: x86.EventSoftwareInterrupt, Vector: 13, Length: 2, HasError: true, ErrorCode: 9}, gate: gateAt(intGate32, code32, 0x2000, 0), slot: 4, frame: []uint64{0x1002, 0x70, 0x202}, cs: code32, after: "rip=2000 rsp=30000ff4 rflags=2"},
		{name: "EIP wraps", mode: x86.Protected32, event: soft(9), before: "rip=ffffffff", gate: gateAt(intGate32, code32, 0x2000, 0), slot: 4, frame: []uint64{1, 0x70, 0x202}, cs: code32, after: "rip=2000 rsp=30000ff4 rflags=2"},

		// IA-32e mode (6.14): SS:RSP always, RSP aligned to 16.
		{name: "64-bit", mode: x86.Long64, event: soft(0x21), gate: gateAt(intGate32, code64, 0x7fff12345678, 0), slot: 8, frame: []uint64{0x1002, 0x70, 0x202, 0x30001000, 0x28}, cs: code64, after: "rip=7fff12345678 rsp=30000fd8 rflags=2"},
		{name: "64-bit, error code, aligned", mode: x86.Long64, event: gp, before: "rsp=3000100f", gate: gateAt(trapGate32, code64, 0xffff800000000000, 0), slot: 8, frame: []uint64{0x1234, 0x1000, 0x70, 0x10202, 0x3000100f, 0x28}, cs: code64, after: "rip=ffff800000000000 rsp=30000fd0"},
		{name: "64-bit, level 3", mode: x86.Long64, cpl: 3, event: soft(9), gate: gateAt(trapGate32|userGate, user64, 0x2000, 0), slot: 8, frame: []uint64{0x1002, 0x73, 0x202, 0x30001000, 0x2b}, cs: user64 | 3, after: "rip=2000 rsp=30000fd8"},
		{name: "64-bit, conforming", mode: x86.Long64, cpl: 3, event: soft(9), gate: gateAt(trapGate32|userGate, conforming64, 0x2000, 0), slot: 8, frame: []uint64{0x1002, 0x73, 0x202, 0x30001000, 0x2b}, cs: conforming64 | 3, after: "rip=2000 rsp=30000fd8"},
		{name: "#PF", mode: x86.Long64, event: x86.PageFault(6, 0x1234), gate: gateAt(intGate32, code64, 0x2000, 0), slot: 8, frame: []uint64{6, 0x1000, 0x70, 0x10202, 0x30001000, 0x28}, cs: code64, after: "rip=2000 rsp=30000fd0 rflags=2"},
		{name: "from compatibility mode", mode: x86.Compat32, event: soft(9), gate: gateAt(intGate32, code64, 0x2000, 0), slot: 8, frame: []uint64{0x1002, 0x70, 0x202, 0x30001000, 0x28}, cs: code64, after: "rip=2000 rsp=30000fd8 rflags=2"},
		{name: "from 16 bits, without the base of SS", mode: x86.Compat16, event: soft(9), before: "rsp=30001008", gate: gateAt(intGate32, code64, 0x2000, 0), slot: 8, frame: []uint64{0x1002, 0x70, 0x202, 0x30001008, 0x28}, cs: code64, after: "rip=2000 rsp=30000fd8 rflags=2"},
		{name: "the last vector of the table", mode: x86.Long64, event: soft(0x80), gate: gateAt(intGate32, code64, 0x2000, 0), slot: 8, frame: []uint64{0x1002}, cs: code64, after: "rip=2000 rsp=30000fd8 rflags=2"},
	} {
		t.Run(r.mode.String()+"/"+r.name, r.check)
	}
}

// TestDeliverFaults: each check, in the order of the manual (SDM vol. 2, INT n):
// what is wrong further on does not show. Error codes name the vector (8n+2) or
// the selector; bit 0 is EXT, clear for what software raises by INT n, INT3 and
// INTO (vol. 3, 6.13).
func TestDeliverFaults(t *testing.T) {
	ud := x86.Fault(x86.VectorUD) // vector 6: 0x32, with EXT 0x33
	int1 := x86.Event{Type: x86.EventPrivSoftwareException, Vector: 6, Length: 1}
	int3 := x86.Event{Type: x86.EventSoftwareException, Vector: 6, Length: 1}
	const noncanonical = 0x800000000000
	for _, r := range []delivered{
		{name: "beyond the limit", mode: x86.Real, event: soft(0x21), limit: 4*0x21 + 2, fault: "#GP(0x0)"},
		{name: "no room on the stack", mode: x86.Real, event: soft(3), stack: 0xffd, fault: "#SS(0x0)"},

		{name: "beyond the limit", mode: x86.Protected32, event: ud, limit: 8*6 + 6, gate: gateAt(0, 0, 0, 0), fault: "#GP(0x33)"},
		{name: "beyond the limit, software", mode: x86.Protected32, event: soft(6), limit: 8*6 + 6, fault: "#GP(0x32)"},
		{name: "beyond the limit, INT3", mode: x86.Protected32, event: int3, limit: 8*6 + 6, fault: "#GP(0x32)"},
		{name: "beyond the limit, INT1", mode: x86.Protected32, event: int1, limit: 8*6 + 6, fault: "#GP(0x33)"},
		{name: "type", mode: x86.Protected32, event: ud, gate: gateAt(0x0c, 0, 0, 0), fault: "#GP(0x33)"}, // a call gate, and absent
		{name: "a segment", mode: x86.Protected32, event: ud, gate: gateAt(0x9e, code32, 0, 0), fault: "#GP(0x33)"},
		{name: "privilege of the gate", mode: x86.Protected32, cpl: 3, event: soft(6), gate: gateAt(0x0e, 0, 0, 0), fault: "#GP(0x32)"},
		{name: "privilege of the gate, INT3", mode: x86.Protected32, cpl: 3, event: int3, gate: gateAt(0x4e, 0, 0, 0), fault: "#GP(0x32)"},
		{name: "absent", mode: x86.Protected32, cpl: 3, event: ud, gate: gateAt(0x0e, 0, 0, 0), fault: "#NP(0x33)"},
		{name: "absent, software", mode: x86.Protected32, event: soft(6), gate: gateAt(0x0e, 0, 0, 0), fault: "#NP(0x32)"},
		{name: "absent task gate", mode: x86.Protected32, event: ud, gate: gateAt(0x05, 0, 0, 0), fault: "#NP(0x33)"},
		{name: "null selector", mode: x86.Protected32, event: ud, gate: gateAt(intGate32, 3, 0, 0), fault: "#GP(0x1)"},
		{name: "null selector, software", mode: x86.Protected32, event: soft(6), gate: gateAt(intGate32, 0, 0, 0), fault: "#GP(0x0)"},
		{name: "selector beyond the limit", mode: x86.Protected32, event: ud, gate: gateAt(intGate32, beyond|3, 0, 0), fault: "#GP(0x81)"},
		{name: "selector of no local table", mode: x86.Protected32, event: soft(6), gate: gateAt(intGate32, code32|4, 0, 0), fault: "#GP(0xc)"},
		{name: "data", mode: x86.Protected32, event: ud, gate: gateAt(intGate32, dataSeg, 0, 0), fault: "#GP(0x21)"},
		{name: "system segment", mode: x86.Protected32, event: soft(6), gate: gateAt(intGate32, tss, 0, 0), fault: "#GP(0x68)"},
		{name: "outer level", mode: x86.Protected32, event: ud, gate: gateAt(intGate32, user32, 0, 0), fault: "#GP(0x39)"},
		{name: "absent segment", mode: x86.Protected32, event: ud, gate: gateAt(intGate32, absent32, 0, 0), fault: "#NP(0x61)"},
		{name: "absent segment of an inner level", mode: x86.Protected32, cpl: 3, event: ud, gate: gateAt(intGate32, absent32, 0, 0), fault: "#NP(0x61)"},
		{name: "no room on the stack", mode: x86.Protected32, event: ud, stack: 0x30000ffd, gate: gateAt(intGate32, short32, 0x1000, 0), fault: "#SS(0x1)"},
		{name: "no room on the stack, software", mode: x86.Protected32, event: soft(6), stack: 0x30000ffd, gate: gateAt(intGate32, code32, 0, 0), fault: "#SS(0x0)"},
		{name: "target beyond the limit", mode: x86.Protected32, event: ud, gate: gateAt(intGate32, short32, 0x1000, 0), fault: "#GP(0x1)"},
		{name: "target beyond the limit, software", mode: x86.Protected32, event: soft(6), gate: gateAt(intGate32, short32, 0x1000, 0), fault: "#GP(0x0)"},
		{name: "target before the stack's page", mode: x86.Protected32, event: ud, before: "rsp=30000004", gate: gateAt(intGate32, short32, 0x1000, 0), fault: "#GP(0x1)"},
		{name: "stack's page", mode: x86.Protected32, event: ud, before: "rsp=30000004", gate: gateAt(intGate32, code32, 0x1000, 0), fault: "#PF(0x2) at 0x2ffffffc"},
		{name: "stack not aligned", mode: x86.Protected32, cpl: 3, event: ud, before: "rsp=30000101 AC=1", gate: gateAt(intGate32, user32, 0x1000, 0), fault: "#AC(0x1)"},
		{name: "stack not aligned, software", mode: x86.Protected32, cpl: 3, event: soft(6), before: "rsp=30000101 AC=1", gate: gateAt(intGate32|userGate, user32, 0x1000, 0), fault: "#AC(0x0)"},

		{name: "beyond the limit", mode: x86.Long64, event: ud, limit: 16*6 + 14, fault: "#GP(0x33)"},
		{name: "16-bit gate", mode: x86.Long64, event: ud, gate: gateAt(intGate16, code64, 0, 0), fault: "#GP(0x33)"},
		{name: "task gate", mode: x86.Long64, event: ud, gate: gateAt(taskGate, code64, 0, 0), fault: "#GP(0x33)"},
		{name: "privilege of the gate", mode: x86.Long64, cpl: 3, event: soft(6), gate: gateAt(0x0e, 0, 0, 0), fault: "#GP(0x32)"},
		{name: "absent", mode: x86.Compat32, event: ud, gate: gateAt(0x0e, 0, 0, 1), fault: "#NP(0x33)"},
		{name: "null selector", mode: x86.Long64, event: ud, gate: gateAt(intGate32, 0, 0, 1), fault: "#GP(0x1)"},
		{name: "32-bit code", mode: x86.Long64, event: ud, gate: gateAt(intGate32, code32, 0, 0), fault: "#GP(0x33)"}, // 6.14.1: the vector
		{name: "L and D", mode: x86.Long64, event: soft(6), gate: gateAt(intGate32, both64, 0, 0), fault: "#GP(0x32)"},
		{name: "absent segment", mode: x86.Long64, event: ud, gate: gateAt(intGate32, absent64, 0, 1), fault: "#NP(0x49)"},
		{name: "stack not canonical", mode: x86.Long64, event: ud, before: "rsp=800000000010", gate: gateAt(intGate32, code64, noncanonical, 0), fault: "#SS(0x1)"},
		{name: "stack runs out of the upper half", mode: x86.Long64, event: soft(6), before: "rsp=ffff800000000008", gate: gateAt(intGate32, code64, 0, 0), fault: "#SS(0x0)"},
		{name: "stack runs out of the upper half", mode: x86.Compat32, event: ud, before: "rsp=ffff800000000008", gate: gateAt(intGate32, code64, 0, 0), fault: "#SS(0x1)"},
		{name: "target not canonical", mode: x86.Long64, event: ud, gate: gateAt(intGate32, code64, noncanonical, 0), fault: "#GP(0x1)"},
		{name: "target before the stack's page", mode: x86.Long64, event: soft(6), before: "rsp=20000000", gate: gateAt(intGate32, code64, noncanonical, 0), fault: "#GP(0x0)"},
		{name: "stack's page", mode: x86.Long64, cpl: 3, event: ud, before: "rsp=20000000", gate: gateAt(intGate32, user64, 0, 0), fault: "#PF(0x6) at 0x1ffffff8"},
		{name: "stack's page, 64 bits", mode: x86.Compat32, event: ud, before: "rsp=130001000", gate: gateAt(intGate32, code64, 0, 0), fault: "#PF(0x2) at 0x130000ff8"},
	} {
		r.out = step.Exception
		t.Run(r.mode.String()+"/"+r.name, r.check)
	}
}

// TestDeliverNotBuilt: what is unhandleable, with hooks absent or not.
func TestDeliverNotBuilt(t *testing.T) {
	good32, good64 := gateAt(intGate32, code32, 0x2000, 0), gateAt(intGate32, code64, 0x2000, 0)
	for _, r := range []delivered{
		{name: "task gate", mode: x86.Protected32, event: soft(6), gate: gateAt(taskGate, tss, 0, 0)},
		{name: "inner level", mode: x86.Protected32, cpl: 3, event: x86.Fault(6), gate: good32},
		{name: "inner level", mode: x86.Long64, cpl: 3, event: x86.Fault(6), gate: good64},
		{name: "interrupt stack", mode: x86.Long64, event: x86.Fault(6), gate: gateAt(intGate32, code64, 0, 1)},
		{name: "any", mode: x86.VM86, cpl: 3, event: x86.Fault(6)},
		{name: "no event", mode: x86.Long64, gate: good64},
		{name: "no type", mode: x86.Long64, event: x86.Event{Type: 99}, gate: good64},
		{name: "length", mode: x86.Long64, event: x86.Event{Type: x86.EventSoftwareInterrupt, Length: 16}, gate: good64},
		{name: "without ReadSegment", mode: x86.Long64, event: soft(6), gate: good64, without: step.HookReadSegment},
		{name: "without WriteSegment", mode: x86.Long64, event: soft(6), gate: good64, without: step.HookWriteSegment},
		{name: "without Write", mode: x86.Long64, event: soft(6), gate: good64, without: step.HookWrite},
		{name: "without CompareExchange", mode: x86.Protected32, event: soft(6), gate: gateAt(intGate32, fresh32, 0, 0), without: step.HookCompareExchange},
		{name: "without ReadSegment", mode: x86.Real, event: soft(6), without: step.HookReadSegment},
		{name: "without WriteSegment", mode: x86.Real, event: soft(6), without: step.HookWriteSegment},
		{name: "without Write", mode: x86.Real, event: soft(6), without: step.HookWrite},
	} {
		r.out = step.Unhandleable
		t.Run(r.mode.String()+"/"+r.name, r.check)
	}
}

// TestDeliverAccessed: the descriptor's accessed bit is set by a
// compare-exchange, which may find another descriptor.
func TestDeliverAccessed(t *testing.T) {
	r := delivered{mode: x86.Protected32, event: soft(9), gate: gateAt(intGate32, fresh32, 0x2000, 0)}
	m, e, s := r.setup(t)
	before := *s
	var fx emulator.Effects
	require.Equal(t, step.Okay, e.Deliver(s, m, r.event, &fx))
	require.Equal(t, step.OpCompareExchange, fx.Ops[0].Kind)
	require.Equal(t, step.Retry, fx.Apply(s, stubborn{m}))
	require.Equal(t, before, *s)
	require.Equal(t, step.Okay, fx.Apply(s, m))
	var ev x86.Event
	v, out := m.Read(emulator.Access{Offset: fresh32, Size: 8, Segment: x86.GDTR, Intent: step.IntentSystem}, &ev)
	require.Equal(t, step.Okay, out)
	require.Equal(t, deliverGDT[fresh32/8]|1<<40, v)
	require.EqualValues(t, 0xc09b, m.Segment(x86.CS).Attributes)
}

// TestDeliverAfterStep: what a step raised, delivered; nothing is allocated.
func TestDeliverAfterStep(t *testing.T) {
	r := delivered{mode: x86.Long64, event: soft(0x21), gate: gateAt(intGate32, code64, 0x2000, 0)}
	m, e, s := r.setup(t)
	var fx emulator.Effects
	fx.Inst.Length, fx.Again, fx.Resume = 9, true, true // of another step
	fx.Event = r.event
	start := *s
	require.Zero(t, testing.AllocsPerRun(100, func() {
		*s = start
		if e.Deliver(s, m, r.event, &fx) != step.Okay || fx.Apply(s, m) != step.Okay {
			t.Fatal(fx.Event)
		}
	}))
	require.False(t, fx.Resume)
	require.EqualValues(t, 0x2000, s.RIP)
}

// TestDeliverAndReturn: IRET undoes a delivery, the flags included.
func TestDeliverAndReturn(t *testing.T) {
	for _, r := range []delivered{
		{mode: x86.Long64, event: soft(9), gate: gateAt(intGate32, code64, codeAt, 0), before: "rflags=3fd7 rsp=30001008", after: "48cf", cs: code64},
		{mode: x86.Long64, cpl: 3, event: soft(9), gate: gateAt(trapGate32|userGate, user64, codeAt, 0), before: "rflags=fd7", after: "48cf", cs: user64 | 3},
		{mode: x86.Protected32, event: soft(9), gate: gateAt(trapGate32, code32, codeAt, 0), before: "rflags=53fd7", after: "cf", cs: code32},
		{mode: x86.Protected32, cpl: 3, event: soft(9), gate: gateAt(trapGate32|userGate, user32, codeAt, 0), before: "rflags=47dd7", after: "cf", cs: user32 | 3},
	} {
		m, e, s := r.setup(t)
		m.Load(s, 0, 0, savedBy(m), decodeHex(t, r.after), codeAt)
		s.Selector[x86.CS] = r.cs
		s.Selector[x86.SS] = dataSeg
		if r.cpl == 3 {
			s.Selector[x86.SS] = userData | 3
		}
		m.SetSegment(x86.CS, x86.SegmentRegister{Attributes: 0xc0fb, Limit: 0xffffffff})
		want := *s
		want.RIP += 2
		want.RFLAGS &^= uint64(x86.RF) // INT n is over
		var fx emulator.Effects
		require.Equal(t, step.Okay, e.Deliver(s, m, r.event, &fx), "%v", fx.Event)
		require.Equal(t, step.Okay, fx.Apply(s, m))
		require.EqualValues(t, codeAt, s.RIP)
		require.Equal(t, step.Okay, e.Step(s, m, &fx), "%v", fx.Event)
		require.Equal(t, step.Okay, fx.Apply(s, m))
		require.Equal(t, describe(&want), describe(s))
	}
}

func savedBy(m *machine.Machine) []byte {
	memory := make([]byte, 3*page)
	m.Save(memory)
	return memory
}

// TestDeliveredCanFail: each promise of a delivery is found broken when it is.
func TestDeliveredCanFail(t *testing.T) {
	r := delivered{mode: x86.Long64, event: soft(9), gate: gateAt(intGate32, code64, 0x2000, 0)}
	for name, spoil := range map[string]func(fx *emulator.Effects){
		"outcome":          func(fx *emulator.Effects) { fx.Outcome = step.Done },
		"retires":          func(fx *emulator.Effects) { fx.Retire = step.RetireHLT },
		"again":            func(fx *emulator.Effects) { fx.Again = true },
		"row":              func(fx *emulator.Effects) { fx.Inst.Row = 7 },
		"register":         func(fx *emulator.Effects) { fx.GPRDirty |= 1 },
		"too few":          func(fx *emulator.Effects) { fx.Ops[0], fx.NumOps = fx.Ops[fx.NumOps-1], 1 },
		"no CS":            func(fx *emulator.Effects) { fx.NumOps-- },
		"level":            func(fx *emulator.Effects) { fx.Ops[fx.NumOps-1].Segment.Selector |= 3 },
		"other segment":    func(fx *emulator.Effects) { fx.Ops[0].Access.Segment, fx.Accesses[1].Segment = x86.DS, x86.DS },
		"other operation":  func(fx *emulator.Effects) { fx.Ops[0].Kind = step.OpWritePort },
		"not probed":       func(fx *emulator.Effects) { fx.Ops[0].Access.Offset++ },
		"flag set":         func(fx *emulator.Effects) { fx.RFLAGS |= uint64(x86.TF) },
		"flag cleared":     func(fx *emulator.Effects) { fx.RFLAGS &^= uint64(x86.FlagsFixed) },
		"staged on faults": func(fx *emulator.Effects) { fx.Outcome, fx.Event = step.Exception, x86.Fault(6) },
	} {
		m, e, s := r.setup(t)
		var fx emulator.Effects
		out := e.Deliver(s, m, r.event, &fx)
		require.NoError(t, emulator.CheckDelivered(s, &fx, out), name)
		spoil(&fx)
		require.Error(t, emulator.CheckDelivered(s, &fx, fx.Outcome), name)
	}
	var fx emulator.Effects
	require.Error(t, emulator.CheckDelivered(&x86.State{}, &fx, step.Retry))
}
