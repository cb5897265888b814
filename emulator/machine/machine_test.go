package machine

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

const (
	codeAt  = 0x10000000
	dataAt  = 0x20000000
	readAt  = 0x20002000
	sysAt   = 0x20003000
	lastAt  = 0x7fff_ffff_f000
	kernel  = 0xffff_8000_0000_0000
	nowhere = 0x5000_0000
)

// testConfig has two pages of code, two of data, one read-only and one of the
// supervisor behind them, and the last page of the lower half.
func testConfig() Config {
	return Config{
		Pages: []Pages{
			{codeAt, 2, Exec | User, 0xcc},
			{dataAt, 2, Write | User, 0},
			{readAt, 1, User, 0x11},
			{sysAt, 1, Write, 0},
			{lastAt, 1, Write | User | Exec, 0},
		},
		Windows:       []Window{{dataAt + PageSize - 64, 128}, {dataAt, 16}},
		AlignmentMask: true,
	}
}

func newTest(t testing.TB, change func(*Config)) (*Machine, *x86.State) {
	t.Helper()
	cfg := testConfig()
	if change != nil {
		change(&cfg)
	}
	m, err := New(cfg)
	require.NoError(t, err)
	s := &x86.State{Mode: x86.Long64, StackWidth: 64, CPL: 3, RIP: codeAt, RFLAGS: 0x202}
	return m, s
}

func memoryOf(m *Machine) []byte {
	n := 0
	for _, w := range m.windows {
		n += len(w.data)
	}
	return make([]byte, n)
}

// TestFaultOrder: what each access raises, and which of two causes wins.
func TestFaultOrder(t *testing.T) {
	gp, ss, ac := x86.FaultCode(x86.VectorGP, 0), x86.FaultCode(x86.VectorSS, 0), x86.FaultCode(x86.VectorAC, 0)
	pf := x86.PageFault
	const p, w, u = x86.PFPresent, x86.PFWrite, x86.PFUser
	rows := []struct {
		name   string
		seg    x86.Segment
		offset uint64
		size   uint8
		intent step.Intent
		check  uint8
		cpl    uint8
		want   x86.Event // zero: okay
	}{
		{"load", x86.DS, dataAt, 8, step.IntentRead, 0, 3, x86.Event{}},
		{"load of read-only", x86.DS, readAt, 8, step.IntentRead, 0, 3, x86.Event{}},
		{"store to read-only", x86.DS, readAt + 8, 8, step.IntentWrite, 0, 3, pf(p|w|u, readAt+8)},
		{"modify read-only", x86.DS, readAt + 8, 1, step.IntentModify, 0, 3, pf(p|w|u, readAt+8)},
		{"load unmapped", x86.DS, nowhere + 5, 4, step.IntentRead, 0, 3, pf(u, nowhere+5)},
		{"store unmapped", x86.DS, nowhere + 5, 4, step.IntentWrite, 0, 3, pf(w|u, nowhere+5)},
		{"load of supervisor page", x86.DS, sysAt, 4, step.IntentRead, 0, 3, pf(p|u, sysAt)},
		{"load of supervisor page at CPL 0", x86.DS, sysAt, 4, step.IntentRead, 0, 0, x86.Event{}},
		{"store to read-only at CPL 0 with WP", x86.DS, readAt, 4, step.IntentWrite, 0, 0, pf(p|w, readAt)},
		{"crosses within data", x86.DS, dataAt + PageSize - 3, 8, step.IntentWrite, 0, 3, x86.Event{}},
		{"store crosses into read-only", x86.DS, readAt - 3, 8, step.IntentWrite, 0, 3, pf(p|w|u, readAt)},
		{"load crosses into supervisor page", x86.DS, sysAt - 1, 2, step.IntentRead, 0, 3, pf(p|u, sysAt)},
		{"first page wins", x86.DS, nowhere + PageSize - 1, 4, step.IntentRead, 0, 3, pf(u, nowhere+PageSize-1)},
		{"below the data", x86.DS, dataAt - 4, 8, step.IntentRead, 0, 3, pf(u, dataAt-4)},
		{"not canonical", x86.DS, 1 << 47, 1, step.IntentRead, 0, 3, gp},
		{"not canonical through SS", x86.SS, 1 << 47, 8, step.IntentWrite, 0, 3, ss},
		{"last byte not canonical", x86.DS, lastAt + PageSize - 1, 2, step.IntentRead, 0, 3, gp},
		{"last canonical byte", x86.DS, lastAt + PageSize - 1, 1, step.IntentRead, 0, 3, x86.Event{}},
		{"below the upper half", x86.DS, kernel - 1, 8, step.IntentRead, 0, 3, gp},
		{"upper half", x86.DS, kernel, 8, step.IntentRead, 0, 3, pf(u, kernel)},
		{"wraps around", x86.DS, ^uint64(0), 8, step.IntentRead, 0, 3, pf(u, ^uint64(0))},
		{"misaligned", x86.DS, dataAt + 1, 2, step.IntentRead, 2, 3, ac},
		{"misaligned through SS", x86.SS, dataAt + 4, 8, step.IntentWrite, 8, 3, ac},
		{"misaligned without a check", x86.DS, dataAt + 1, 2, step.IntentRead, 0, 3, x86.Event{}},
		{"bytes are aligned", x86.DS, dataAt + 1, 1, step.IntentRead, 1, 3, x86.Event{}},
		{"m16:32 by four", x86.DS, dataAt + 4, 6, step.IntentRead, 4, 3, x86.Event{}},
		{"m80 by eight", x86.DS, dataAt + 4, 10, step.IntentRead, 8, 3, ac},
		{"canonical form before alignment", x86.DS, 1<<47 + 1, 2, step.IntentRead, 2, 3, gp},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			m, s := newTest(t, nil)
			s.CPL = r.cpl
			m.Load(s, 0, 0, memoryOf(m), nil, codeAt)
			a := step.Access{Segment: r.seg, Offset: r.offset, Size: r.size, Intent: r.intent, Check: r.check}
			var ev x86.Event
			var buf [64]byte
			out := m.ReadBytes(a, buf[:r.size], &ev)
			if r.intent == step.IntentWrite {
				out = m.ProbeWriteBytes(a, buf[:r.size], &ev)
			}
			assert.Equal(t, r.want, ev)
			if r.want.Type == x86.EventNone {
				assert.Equal(t, step.Okay, out)
			} else {
				assert.Equal(t, step.Exception, out)
			}
			if r.size > 8 {
				return
			}
			var ev2 x86.Event
			if r.intent == step.IntentWrite {
				out = m.Write(a, 0x5555, &ev2)
			} else {
				_, out = m.Read(a, &ev2)
			}
			assert.Equal(t, r.want, ev2, "eight bytes or fewer")
			assert.Equal(t, r.want.Type != x86.EventNone, out == step.Exception)
		})
	}
}

// TestDemandedAlignment: an operand that must be aligned (CMPXCHG16B) is #GP(0)
// where it is not, before #SS for an address that is not canonical.
func TestDemandedAlignment(t *testing.T) {
	m, _ := newTest(t, nil)
	for offset, want := range map[uint64]x86.Event{
		0x2000000000004: x86.FaultCode(x86.VectorGP, 0),
		0x2000000000000: x86.FaultCode(x86.VectorSS, 0),
		dataAt + 4:      x86.FaultCode(x86.VectorGP, 0),
	} {
		var ev x86.Event
		var buf [16]byte
		out := m.ReadBytes(step.Access{Segment: x86.SS, Offset: offset, Size: 16, Align: 16, Intent: step.IntentModify}, buf[:], &ev)
		assert.Equal(t, step.Exception, out)
		assert.Equal(t, want, ev, "%#x", offset)
	}
}

func TestSegmentBases(t *testing.T) {
	m, s := newTest(t, nil)
	m.Load(s, dataAt, ^uint64(0)-7, memoryOf(m), nil, codeAt)
	var ev x86.Event
	require.Equal(t, step.Okay, m.Write(step.Access{Segment: x86.FS, Offset: 8, Size: 4, Intent: step.IntentWrite}, 0x11223344, &ev))
	v, out := m.Read(step.Access{Segment: x86.GS, Offset: dataAt + 16, Size: 8}, &ev)
	require.Equal(t, step.Okay, out)
	assert.Equal(t, uint64(0x11223344), v, "GS base is -8")
	v, _ = m.Read(step.Access{Segment: x86.DS, Offset: dataAt + 8, Size: 2}, &ev)
	assert.Equal(t, uint64(0x3344), v)
	r, _ := m.ReadSegment(x86.FS, &ev)
	assert.Equal(t, uint64(dataAt), r.Base)
	r.Base = 1 << 50
	assert.Equal(t, step.Exception, m.WriteSegment(x86.FS, r, &ev))
	assert.Equal(t, x86.FaultCode(x86.VectorGP, 0), ev)
}

func TestVirtualBits57(t *testing.T) {
	m, s := newTest(t, func(c *Config) { c.VirtualBits = 57 })
	m.Load(s, 0, 0, memoryOf(m), nil, codeAt)
	var ev x86.Event
	_, out := m.Read(step.Access{Segment: x86.DS, Offset: 1 << 50, Size: 8}, &ev)
	assert.Equal(t, step.Exception, out)
	assert.Equal(t, x86.PageFault(x86.PFUser, 1<<50), ev)
	_, _ = m.Read(step.Access{Segment: x86.DS, Offset: 1 << 56, Size: 8}, &ev)
	assert.Equal(t, x86.FaultCode(x86.VectorGP, 0), ev)
}

func TestFetch(t *testing.T) {
	gp := x86.FaultCode(x86.VectorGP, 0)
	rows := []struct {
		name   string
		offset uint64
		size   int
		n      int
		want   x86.Event
	}{
		{"whole", codeAt, 15, 15, x86.Event{}},
		{"crosses", codeAt + PageSize - 4, 15, 15, x86.Event{}},
		{"runs off", codeAt + 2*PageSize - 4, 15, 4, x86.PageFault(x86.PFUser|x86.PFFetch, codeAt+2*PageSize)},
		{"no code", dataAt, 15, 0, x86.PageFault(x86.PFPresent|x86.PFUser|x86.PFFetch, dataAt)},
		{"unmapped", nowhere, 15, 0, x86.PageFault(x86.PFUser|x86.PFFetch, nowhere)},
		{"not canonical", 1 << 47, 15, 0, gp},
		{"runs out of the lower half", lastAt + PageSize - 2, 15, 2, gp},
		{"target", nowhere, 0, 0, x86.Event{}},
		{"target not canonical", 1 << 60, 0, 0, gp},
		{"supervisor", sysAt, 15, 0, x86.PageFault(x86.PFPresent|x86.PFUser|x86.PFFetch, sysAt)},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			m, s := newTest(t, nil)
			code := []byte{0x90, 0x91, 0x92}
			m.Load(s, 0, 0, memoryOf(m), code, codeAt)
			var ev x86.Event
			var buf [15]byte
			n, out := m.Fetch(r.offset, buf[:r.size], &ev)
			assert.Equal(t, r.n, n)
			assert.Equal(t, r.want, ev)
			assert.Equal(t, r.want.Type != x86.EventNone, out == step.Exception)
			if r.offset == codeAt {
				assert.Equal(t, append(bytes.Clone(code), bytes.Repeat([]byte{0xcc}, 12)...), buf[:])
			}
		})
	}
}

// TestForwarding: reads see the staged writes of their step, over page ends
// too, and no longer after Begin; memory changes by Write alone.
func TestForwarding(t *testing.T) {
	m, s := newTest(t, nil)
	m.Load(s, 0, 0, memoryOf(m), nil, codeAt)
	var ev x86.Event
	at := uint64(dataAt + PageSize - 3)
	w := step.Access{Segment: x86.DS, Offset: at, Size: 8, Intent: step.IntentWrite}
	require.Equal(t, step.Okay, m.ProbeWrite(w, 0x8877665544332211, &ev))
	read := func(at uint64, n uint8) uint64 {
		v, out := m.Read(step.Access{Segment: x86.DS, Offset: at, Size: n}, &ev)
		require.Equal(t, step.Okay, out)
		return v
	}
	assert.Equal(t, uint64(0x8877665544332211), read(at, 8))
	assert.Equal(t, uint64(0x66554433), read(at+2, 4))
	assert.Equal(t, uint64(0x3322110000000000), read(at-5, 8))
	wide := step.Access{Segment: x86.DS, Offset: at + 4, Size: 16, Intent: step.IntentWrite}
	require.Equal(t, step.Okay, m.ProbeWriteBytes(wide, bytes.Repeat([]byte{0xee}, 16), &ev))
	assert.Equal(t, uint64(0xeeeeeeee44332211), read(at, 8), "the later write wins")
	m.Begin()
	assert.Equal(t, uint64(0), read(at, 8))
	require.Equal(t, step.Okay, m.Write(w, 0x8877665544332211, &ev))
	assert.Equal(t, uint64(0x77665544332211), read(at, 7))
}

func TestCompareExchange(t *testing.T) {
	for _, size := range []uint8{1, 2, 4, 8, 16} {
		for _, at := range []uint64{dataAt, dataAt + PageSize - 1} {
			m, s := newTest(t, nil)
			m.Load(s, 0, 0, memoryOf(m), nil, codeAt)
			var ev x86.Event
			a := step.Access{Segment: x86.DS, Offset: at, Size: size, Intent: step.IntentWrite}
			next := [2]uint64{0x8877665544332211, 0xffeeddccbbaa9988}
			assert.Equal(t, step.CmpxchgFailed, m.CompareExchange(a, [2]uint64{1}, next, &ev))
			require.Equal(t, step.Okay, m.CompareExchange(a, [2]uint64{}, next, &ev))
			var b [16]byte
			a.Intent = step.IntentRead
			require.Equal(t, step.Okay, m.ReadBytes(a, b[:size], &ev))
			want := []byte{0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}
			assert.Equal(t, want[:size], b[:size])
		}
	}
}

// TestLoadRestores: a case leaves nothing to the next, and what it wrote
// outside the windows is told.
func TestLoadRestores(t *testing.T) {
	m, s := newTest(t, nil)
	fresh, _ := newTest(t, nil)
	memory := memoryOf(m)
	for i := range memory {
		memory[i] = byte(i + 1)
	}
	m.Load(s, 0, 0, memory, []byte{0x48, 0x89, 0x00}, codeAt+PageSize-2)
	var ev x86.Event
	write := func(at uint64, n uint8, v uint64) {
		require.Equal(t, step.Okay, m.Write(step.Access{Segment: x86.DS, Offset: at, Size: n, Intent: step.IntentWrite}, v, &ev))
	}
	write(dataAt+4, 4, 0xaabbccdd)      // in a window
	write(dataAt+12, 8, 1<<40)          // half in a window
	write(dataAt+0x101, 1, 0x7f)        // stray
	write(dataAt+0x200, 8, 0)           // writes what is there
	write(dataAt+2*PageSize-1, 1, 0x7f) // stray
	write(lastAt+8, 8, ^uint64(0))      // stray on another run
	var got [4]Stray
	assert.Equal(t, 4, m.Strays(got[:]))
	assert.Equal(t, []Stray{
		{dataAt + 16, 1 << 8}, {dataAt + 0x100, 0x7f00}, {dataAt + 2*PageSize - 8, 0x7f << 56}, {lastAt + 8, ^uint64(0)},
	}, got[:])
	assert.Equal(t, 4, m.Strays(got[:1]), "counts what does not fit")
	after := memoryOf(m)
	m.Save(after)
	assert.Equal(t, memory[:128], after[:128])
	assert.Equal(t, []byte{0x81, 0x82, 0x83, 0x84, 0xdd, 0xcc, 0xbb, 0xaa, 0x89, 0x8a, 0x8b, 0x8c, 0, 0, 0, 0}, after[128:])

	zero := memoryOf(m)
	m.Load(s, 0, 0, zero, nil, codeAt)
	fresh.Load(s, 0, 0, zero, nil, codeAt)
	for i := range m.pages {
		assert.Equal(t, fresh.pages[i].data, m.pages[i].data, "page %#x", m.pages[i].number*PageSize)
	}
	assert.Equal(t, 0, m.Strays(got[:]))
}

// TestSelfModification: what a case writes over its code is stray against the
// code, not against the fill.
func TestSelfModification(t *testing.T) {
	m, s := newTest(t, nil)
	m.Load(s, 0, 0, memoryOf(m), []byte{1, 2, 3, 4}, lastAt+2)
	var ev x86.Event
	a := step.Access{Segment: x86.DS, Offset: lastAt + 2, Size: 2, Intent: step.IntentWrite}
	require.Equal(t, step.Okay, m.Write(a, 0x0201, &ev))
	var got [4]Stray
	assert.Equal(t, 0, m.Strays(got[:]))
	require.Equal(t, step.Okay, m.Write(a, 0x0901, &ev))
	require.Equal(t, 1, m.Strays(got[:]))
	assert.Equal(t, Stray{lastAt, 0x040309010000}, got[0])
}

func TestSegmentation(t *testing.T) {
	gp, ss := x86.FaultCode(x86.VectorGP, 0), x86.FaultCode(x86.VectorSS, 0)
	data := func(base uint64, limit, attr uint32) x86.SegmentRegister {
		return x86.SegmentRegister{Base: base, Limit: limit, Attributes: attrData | attr}
	}
	code := func(readable bool) x86.SegmentRegister {
		r := x86.SegmentRegister{Base: dataAt, Limit: 0xfff, Attributes: attrCode}
		if !readable {
			r.Attributes &^= x86.AttrWritable
		}
		return r
	}
	rows := []struct {
		name   string
		seg    x86.Segment
		r      x86.SegmentRegister
		offset uint64
		size   uint8
		intent step.Intent
		want   x86.Event
	}{
		{"within", x86.DS, data(dataAt, 0xff, 0), 0xfc, 4, step.IntentRead, x86.Event{}},
		{"beyond", x86.DS, data(dataAt, 0xff, 0), 0xfd, 4, step.IntentRead, gp},
		{"stack beyond", x86.SS, data(dataAt, 0xff, 0), 0xfd, 4, step.IntentRead, ss},
		{"expand down", x86.DS, data(dataAt, 0xff, x86.AttrExpand), 0x100, 4, step.IntentRead, x86.Event{}},
		{"expand down, below", x86.DS, data(dataAt, 0xff, x86.AttrExpand), 0xff, 4, step.IntentRead, gp},
		{"expand down, above 64 KiB", x86.DS, data(dataAt, 0xff, x86.AttrExpand), 0xfffd, 4, step.IntentRead, gp},
		{"read-only data", x86.DS, x86.SegmentRegister{Base: dataAt, Limit: 0xff, Attributes: attrData &^ x86.AttrWritable}, 0, 4, step.IntentWrite, gp},
		{"code cannot be written", x86.CS, code(true), 0, 4, step.IntentModify, gp},
		{"code can be read", x86.CS, code(true), 0, 4, step.IntentRead, x86.Event{}},
		{"unless execute-only", x86.CS, code(false), 0, 4, step.IntentRead, gp},
		{"unusable", x86.ES, data(0, 0xffffffff, x86.AttrUnusable), dataAt, 4, step.IntentRead, gp},
		{"linear address has 32 bits", x86.DS, data(0xfffffff0, 0xffffffff, x86.AttrDB), dataAt + 0x18, 4, step.IntentRead, x86.Event{}},
		{"page of a linear address", x86.DS, data(nowhere, 0xffff, 0), 8, 4, step.IntentRead, x86.PageFault(x86.PFUser, nowhere+8)},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			m, s := newTest(t, nil)
			s.Mode = x86.Compat32
			m.Load(s, 0, 0, memoryOf(m), nil, codeAt)
			m.SetSegment(r.seg, r.r)
			var ev x86.Event
			a := step.Access{Segment: r.seg, Offset: r.offset, Size: r.size, Intent: r.intent}
			if r.intent == step.IntentWrite {
				_ = m.ProbeWrite(a, 0, &ev)
			} else {
				_, _ = m.Read(a, &ev)
			}
			assert.Equal(t, r.want, ev)
		})
	}
}

func TestHooks(t *testing.T) {
	m, s := newTest(t, nil)
	assert.Zero(t, m.Hooks()&(step.HookReadPort|step.HookCPUID|step.HookReadMSR|step.HookRandom|step.HookWriteMSR|step.HookRepeatMove|step.HookRepeatStore|step.HookRepeatIn|step.HookRepeatOut))
	m, _ = newTest(t, func(c *Config) {
		c.CPUID = func(leaf, sub uint32) [4]uint32 { return [4]uint32{leaf, sub} }
		c.MSR = func(n uint32) (uint64, bool) { return 7, n == 0x10 }
		c.ReadPort = func(port uint16, size uint8) uint32 { return uint32(port) + uint32(size) }
		c.Without = step.HookCompareExchange
		c.NoPaging = true
	})
	m.Load(s, 0, 0, memoryOf(m), nil, codeAt)
	assert.NotZero(t, m.Hooks()&step.HookCPUID)
	assert.Zero(t, m.Hooks()&step.HookCompareExchange)
	var ev x86.Event
	r, out := m.CPUID(3, 4, &ev)
	assert.Equal(t, [4]uint32{3, 4}, r)
	assert.Equal(t, step.Okay, out)
	_, out = m.ReadMSR(0x11, &ev)
	assert.Equal(t, step.Exception, out)
	v, _ := m.ReadPort(0x60, 1, &ev)
	assert.Equal(t, uint32(0x61), v)
	_, out = m.Read(step.Access{Segment: x86.DS, Offset: nowhere, Size: 1}, &ev)
	assert.Equal(t, step.Unhandleable, out, "outside the pages without paging")
}

func TestConfigErrors(t *testing.T) {
	rows := []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"unaligned page", func(c *Config) { c.Pages[0].Address++ }, "machine: 2 pages at 0x10000001: want a multiple of 0x1000 and at least one page"},
		{"page twice", func(c *Config) { c.Pages[2].Address = dataAt + PageSize }, "machine: page at 0x20001000 is given twice"},
		{"window outside", func(c *Config) { c.Windows[0].Address = nowhere }, "machine: window at 0x50000000, 128 bytes: not within one run of pages"},
		{"windows overlap", func(c *Config) { c.Windows[1].Address = dataAt + PageSize - 8 }, "machine: window at 0x20000ff8 overlaps another"},
		{"virtual bits", func(c *Config) { c.VirtualBits = 52 }, "machine: 52 bits of virtual address: want 48 or 57"},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			cfg := testConfig()
			r.change(&cfg)
			_, err := New(cfg)
			assert.EqualError(t, err, r.want)
		})
	}
}

func BenchmarkAccess(b *testing.B) {
	m, s := newTest(b, nil)
	memory := memoryOf(m)
	m.Load(s, 0, 0, memory, nil, codeAt)
	var ev x86.Event
	for _, r := range []struct {
		name string
		op   func(at uint64)
	}{
		{"op=read", func(at uint64) {
			_, _ = m.Read(step.Access{Segment: x86.DS, Offset: at, Size: 8}, &ev)
		}},
		{"op=write", func(at uint64) {
			_ = m.Write(step.Access{Segment: x86.DS, Offset: at, Size: 8, Intent: step.IntentWrite}, at, &ev)
		}},
		{"op=fetch", func(at uint64) {
			var buf [15]byte
			_, _ = m.Fetch(at-dataAt+codeAt, buf[:], &ev)
		}},
		{"op=load", func(at uint64) {
			m.Load(s, 0, 0, memory, memory[:3], codeAt)
		}},
	} {
		b.Run(r.name, func(b *testing.B) {
			b.ReportAllocs()
			at := uint64(dataAt)
			for b.Loop() {
				r.op(at)
				at ^= 0x840
			}
		})
	}
}
