package ptrace

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// TestLayouts holds the runner against ptrace in layouts other than that of
// campaigns: windows that begin anywhere, code that can be written, far
// addresses, another fill.
func TestLayouts(t *testing.T) {
	const rw, rx, rwx = oracle.ProtRead | oracle.ProtWrite, oracle.ProtRead | oracle.ProtExec, oracle.ProtRead | oracle.ProtWrite | oracle.ProtExec
	for _, l := range []struct {
		name   string
		layout *oracle.Layout
		rip    []uint64
	}{
		{
			"odd windows", &oracle.Layout{
				Pages:   []oracle.Pages{{Address: 0x7000000, Count: 1, Prot: rx, Fill: 0xcc}, {Address: 0x5000000, Count: 3, Prot: rw, Fill: 0x5a}},
				Windows: []oracle.Window{{Address: 0x5000003, Length: 7}, {Address: 0x5000ffd, Length: 65}, {Address: 0x5002fff, Length: 1}},
			},
			[]uint64{0x7000000, 0x7000ff9},
		},
		{
			"writable code", &oracle.Layout{
				Pages:   []oracle.Pages{{Address: 0x5000000, Count: 2, Prot: rwx, Fill: 0xcc}},
				Windows: []oracle.Window{{Address: 0x5000fc0, Length: 128}},
			},
			[]uint64{0x5000040, 0x5000fe9, 0x5001000, 0x5001ff4, 0x5001048},
		},
		{
			"odd windows in writable code", &oracle.Layout{
				Pages:   []oracle.Pages{{Address: 0x5000000, Count: 2, Prot: rwx, Fill: 0xcc}},
				Windows: []oracle.Window{{Address: 0x5000ff0, Length: 32}, {Address: 0x5000083, Length: 5}, {Address: 0x5000fc1, Length: 3}},
			},
			[]uint64{0x5000fe9, 0x5000fe0, 0x500007b, 0x5000080, 0x5000085, 0x5000089, 0x5000fbe, 0x5001003, 0x500100e, 0x5001ff4},
		},
		{
			"odd windows in code", &oracle.Layout{
				Pages:   []oracle.Pages{{Address: 0x5000000, Count: 1, Prot: rx, Fill: 0xcc}, {Address: 0x6000000, Count: 1, Prot: rw}},
				Windows: []oracle.Window{{Address: 0x5000ff0, Length: 16}, {Address: 0x5000083, Length: 5}, {Address: 0x6000001, Length: 30}},
			},
			[]uint64{0x5000fe9, 0x5000fe0, 0x500007b, 0x5000080, 0x5000085, 0x5000089, 0x5000ff1},
		},
		{
			"far apart, another fill", &oracle.Layout{
				Pages: []oracle.Pages{
					{Address: 0x7ffffff00000, Count: 1, Prot: rx, Fill: 0x90},
					{Address: 0x5000000, Count: 2, Prot: rw},
					{Address: 0x7f0000000000, Count: 1, Prot: oracle.ProtRead, Fill: 0xff},
				},
				Windows: []oracle.Window{{Address: 0x5000000, Length: 64}},
			},
			[]uint64{0x7ffffff00000, 0x7ffffff00ff0},
		},
	} {
		t.Run(l.name, func(t *testing.T) {
			require.NoError(t, l.layout.Validate())
			slow, fast := newExecutor(t), newRunner(t)
			a := newAgreement()
			r := rand.New(rand.NewPCG(*randomSeed, 9))
			var cases []oracle.Case
			for range max(1200, *randomCount/10) {
				b := fromHex(t, layoutStrings[r.IntN(len(layoutStrings))])
				if r.IntN(3) == 0 {
					b = randomString(r)
				}
				c := newCase(x86.Long64, b)
				states(r, &c)
				c.Layout, c.Memory = l.layout, make([]byte, l.layout.WindowBytes())
				for i := range c.Memory {
					c.Memory[i] = byte(r.Uint32())
				}
				c.State.RIP = l.rip[r.IntN(len(l.rip))]
				for i := range c.State.GPR {
					if r.IntN(4) != 0 {
						p := l.layout.Pages[r.IntN(len(l.layout.Pages))]
						c.State.GPR[i] = p.Address + uint64(r.IntN(p.Count*page+8)) - 4
						if r.IntN(4) == 0 {
							c.State.GPR[i] = c.State.RIP + uint64(r.IntN(24)) - 8 // its own code
						}
					}
				}
				c.State.GPR[x86.RCX] = uint64(r.IntN(20))
				cases = append(cases, c)
			}
			a.agree(t, slow, fast, cases)
			a.report(t)
			assert.Greater(t, a.compared, len(cases)/2)
		})
	}
}

var layoutStrings = []string{
	"488903", "8903", "8803", "488b03", "50", "58", "f3aa", "f348ab", "f3a4", "480fba2b05", "0f1103", "0fae03", "87039090", "ff33",
	"668903", "c60300", "48c70300000000", "f00fc103", "0fc70b", "e800000000", "c8100002", "8f03", "48894b07", "48894bf9",
}

// TestStrays: what a case changes outside the windows is listed by address, its
// own code included, as it is afterwards.
func TestStrays(t *testing.T) {
	l := &oracle.Layout{
		Pages: []oracle.Pages{
			{Address: 0x30000, Count: 1, Prot: oracle.ProtRead | oracle.ProtWrite | oracle.ProtExec, Fill: 0xcc},
			{Address: 0x10000, Count: 1, Prot: oracle.ProtRead | oracle.ProtWrite, Fill: 0x11},
		},
		Windows: []oracle.Window{{Address: 0x10004, Length: 2}, {Address: 0x30ffc, Length: 4}},
	}
	m := newMemory(l, make([]byte, pageBytes(l)))
	c := oracle.Case{Layout: l, Memory: []byte{1, 2, 3, 4, 5, 6}, CodeLen: 6}
	copy(c.Code[:], []byte{0x90, 0x91, 0x92, 0x93, 0x94, 0x95})
	r := oracle.Result{Memory: make([]byte, 6)}
	for range 2 { // and nothing is left for the next
		m.load(&c, 0x30ffa) // the last four bytes are in a window
		assert.Equal(t, []byte{0xcc, 0x90, 0x91, 0x92, 0x93, 0x94, 0x95}, m.data[0xff9:0x1000])
		m.data[m.offset(0x10003)] = 0xee // one byte before a window
		m.data[m.offset(0x10005)] = 7    // within it
		m.data[m.offset(0x30ffa)] = 0xcc // code, changed to what is there between cases
		m.data[m.offset(0x30ffe)] = 9    // code in a window
		m.collect(&c, &r)
		assert.Equal(t, []byte{1, 7, 0x92, 0x93, 9, 0x95}, r.Memory)
		assert.Equal(t, 2, r.NumStray)
		assert.Equal(t, oracle.StrayWord{Address: 0x10000, Value: 0x11110701_ee111111}, r.Stray[0])
		assert.Equal(t, oracle.StrayWord{Address: 0x30ff8, Value: 0x95099392_91cccccc}, r.Stray[1])
		assert.Equal(t, m.clean, m.data)
	}
	assert.Equal(t, -1, m.offset(0x20000))
}

// TestScan: prefixes, escapes and the instructions that the trap flag does not
// stop.
func TestScan(t *testing.T) {
	for _, k := range []struct {
		mode   x86.Mode
		code   string
		at     int
		escape byte
		hides  int // length, if it is one of those
	}{
		{x86.Long64, "9c", 0, 0, 1},
		{x86.Long64, "66489c", 2, 0, 3},
		{x86.Compat32, "48", 0, 0, 0}, // DEC EAX, no prefix
		{x86.Long64, "f3a4", 1, 0, 2},
		{x86.Long64, "a4", 0, 0, 0},
		{x86.Long64, "f2676648af", 4, 0, 5},
		{x86.Long64, "8ed0", 0, 0, 2},
		{x86.Long64, "8e13", 0, 0, 2},
		{x86.Long64, "8e5b04", 0, 0, 0}, // DS
		{x86.Long64, "8e542408", 0, 0, 4},
		{x86.Long64, "8e142508000000", 0, 0, 7},
		{x86.Long64, "8e1508000000", 0, 0, 6},
		{x86.Compat16, "8e160800", 0, 0, 4},
		{x86.Compat16, "8e5608", 0, 0, 3},
		{x86.Compat16, "678e9308000000", 1, 0, 7},
		{x86.Compat32, "678e960800", 1, 0, 5},
		{x86.Compat32, "17", 0, 0, 1},
		{x86.Long64, "17", 0, 0, 0},
		{x86.Long64, "0f9c", 1, 0x0f, 0},
		{x86.Long64, "0f389c", 2, 0x38, 0},
		{x86.Long64, "c5f89c", 0, vector, 0},
		{x86.Compat32, "c503", 0, 0, 0}, // LDS
		{x86.Compat32, "c5f877", 0, vector, 0},
		{x86.Compat32, "6203", 0, 0, 0}, // BOUND
		{x86.Long64, "62f17c48", 0, vector, 0},
	} {
		o := scan(fromHex(t, k.code), k.mode)
		assert.True(t, o.ok, k.code)
		assert.Equal(t, k.at, o.at, k.code)
		assert.Equal(t, k.escape, o.escape, k.code)
		assert.Equal(t, k.hides, o.hidesTrap(k.mode), "%v %s", k.mode, k.code)
	}
	for _, s := range []string{"", "66", "f3f2", "48"} {
		o := scan(fromHex(t, s), x86.Long64)
		assert.False(t, o.ok, s)
	}
}
