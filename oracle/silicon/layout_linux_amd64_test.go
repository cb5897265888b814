package silicon

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// oddLayout has all that a layout may have: windows that are not aligned, share
// a block or a word, or are a whole page; adjoining pages; code that is
// writable, filled with NOPs, and shown by a window.
var oddLayout = &oracle.Layout{
	Pages: []oracle.Pages{
		{Address: 0x7f0000000000, Count: 1, Prot: oracle.ProtRead | oracle.ProtWrite, Fill: 0x5a},
		{Address: 0x400000, Count: 1, Prot: oracle.ProtRead | oracle.ProtWrite | oracle.ProtExec, Fill: 0x90},
		{Address: 0x401000, Count: 1, Prot: oracle.ProtRead | oracle.ProtWrite, Fill: 0},
		{Address: 0x600000, Count: 2, Prot: oracle.ProtRead | oracle.ProtWrite, Fill: 0xff},
	},
	Windows: []oracle.Window{
		{Address: 0x7f0000000000, Length: 4096},
		{Address: 0x600103, Length: 2},
		{Address: 0x600106, Length: 1},
		{Address: 0x600ff9, Length: 14},
		{Address: 0x400800, Length: 64},
	},
	Code: 1,
}

func oddCase(t *testing.T, code string) oracle.Case {
	c := NewCase(fromHex(t, code))
	c.Layout = oddLayout
	c.Memory = make([]byte, oddLayout.WindowBytes())
	c.State.RIP = 0x400100
	c.State.GPR[x86.RSP] = 0x7f0000000800
	return c
}

func TestOddLayout(t *testing.T) {
	e := newExecutor(t)
	type result = func(t *testing.T, c *oracle.Case, r *oracle.Result)
	for _, k := range []struct {
		name, code string
		change     func(c *oracle.Case)
		check      result
	}{
		{"word with two windows and three gaps", "488903", func(c *oracle.Case) {
			c.State.GPR[x86.RBX], c.State.GPR[x86.RAX] = 0x600100, 0x8877665544332211
		}, func(t *testing.T, c *oracle.Case, r *oracle.Result) {
			assert.Equal(t, []byte{0x44, 0x55, 0x77}, r.Memory[4096:4099])
			assert.Equal(t, 1, r.NumStray)
			assert.Equal(t, oracle.StrayWord{Address: 0x600100, Value: 0x8877665544332211}, r.Stray[0])
		}},
		{"within a small window", "668903", func(c *oracle.Case) {
			c.State.GPR[x86.RBX], c.State.GPR[x86.RAX] = 0x600103, 0x2211
		}, func(t *testing.T, c *oracle.Case, r *oracle.Result) {
			assert.Equal(t, []byte{0x11, 0x22, 0}, r.Memory[4096:4099])
			assert.Equal(t, 0, r.NumStray)
		}},
		{"around a window over the page boundary", "f3aa", func(c *oracle.Case) {
			c.State.GPR[x86.RDI], c.State.GPR[x86.RCX], c.State.GPR[x86.RAX] = 0x600ff0, 32, 7
		}, func(t *testing.T, c *oracle.Case, r *oracle.Result) {
			assert.Equal(t, 4, r.NumStray)
			assert.Equal(t, oracle.StrayWord{Address: 0x600ff0, Value: 0x0707070707070707}, r.Stray[0])
			assert.Equal(t, oracle.StrayWord{Address: 0x600ff8, Value: 0x0707070707070707}, r.Stray[1])
			assert.Equal(t, uint64(0x601000), r.Stray[2].Address)
		}},
		{"store into the next instruction", "c605000000007f", nil, func(t *testing.T, c *oracle.Case, r *oracle.Result) {
			assert.Equal(t, uint64(0x400107), r.State.RIP)
			assert.Equal(t, 1, r.NumStray)
			assert.Equal(t, oracle.StrayWord{Address: 0x400100, Value: 0x7f7f0000000005c6}, r.Stray[0])
		}},
		{"stray in the code page", "488903", func(c *oracle.Case) {
			c.State.GPR[x86.RBX], c.State.GPR[x86.RAX] = 0x400f00, 1
		}, func(t *testing.T, c *oracle.Case, r *oracle.Result) {
			assert.Equal(t, 1, r.NumStray)
			assert.Equal(t, oracle.StrayWord{Address: 0x400f00, Value: 1}, r.Stray[0])
		}},
		{"code in a window", "488b03", func(c *oracle.Case) {
			c.State.RIP, c.State.GPR[x86.RBX] = 0x400810, 0x400810
			for i := range 64 {
				c.Memory[4096+2+1+14+i] = byte(i)
			}
		}, func(t *testing.T, c *oracle.Case, r *oracle.Result) {
			assert.Equal(t, uint64(0x1716151413038b48), r.State.GPR[x86.RAX])
			assert.Equal(t, []byte{0x0f, 0x48, 0x8b, 0x03, 0x13}, r.Memory[4096+17+15:4096+17+20])
			assert.Equal(t, 0, r.NumStray)
		}},
		{"branch into the fill, which does not stop it", "eb20", nil, func(t *testing.T, c *oracle.Case, r *oracle.Result) {
			assert.Equal(t, uint64(0x400122), r.State.RIP)
		}},
		{"pushes into a page that is all window", "50", func(c *oracle.Case) { c.State.GPR[x86.RAX] = 3 }, func(t *testing.T, c *oracle.Case, r *oracle.Result) {
			assert.Equal(t, byte(3), r.Memory[0x7f8])
			assert.Equal(t, 0, r.NumStray)
		}},
		{"code across two runs of pages", "4801d8", func(c *oracle.Case) { c.State.RIP = 0x400ffe }, func(t *testing.T, c *oracle.Case, r *oracle.Result) {
			assert.Equal(t, oracle.Unsupported, r.Ending)
			r.Ending = oracle.Ended
		}},
	} {
		t.Run(k.name, func(t *testing.T) {
			c := oddCase(t, k.code)
			if k.change != nil {
				k.change(&c)
			}
			for range 2 { // the second time shows what the first has left
				r := runOne(t, e, &c)
				k.check(t, &c, r)
				require.Equal(t, oracle.Ended, r.Ending, r.Note)
			}
		})
	}
	assert.Zero(t, e.Respawns())
}

// TestManyLayouts: more layouts than children are kept.
func TestManyLayouts(t *testing.T) {
	e := newExecutor(t)
	var cases []oracle.Case
	for i := range 3 * maxChildren {
		l := *oracle.DefaultLayout
		l.Pages = append([]oracle.Pages{}, l.Pages...)
		l.Pages[1].Address += uint64(i) << 32
		l.Windows = l.Windows[:2:2]
		l.Windows = append([]oracle.Window{}, l.Windows[1])
		c := NewCase(fromHex(t, "880b"))
		c.Layout, c.Memory = &l, make([]byte, 256)
		c.State.GPR[x86.RBX], c.State.GPR[x86.RCX] = l.Pages[1].Address, 1
		cases = append(cases, c, NewCase(fromHex(t, "90")))
	}
	results := make([]oracle.Result, len(cases))
	require.NoError(t, e.Run(cases, results))
	for i := range results {
		assert.Equal(t, oracle.Ended, results[i].Ending, results[i].Note)
		assert.Equal(t, 1-i%2, results[i].NumStray)
	}
	assert.LessOrEqual(t, len(e.children), maxChildren)
}

// TestImpossibleLayout: the kernel's refusal is reported by the step that it
// refused.
func TestImpossibleLayout(t *testing.T) {
	e := newExecutor(t)
	for _, addr := range []uint64{0, 0xffff800000000000, 1 << 47} {
		l := &oracle.Layout{Pages: []oracle.Pages{{Address: addr, Count: 1, Prot: oracle.ProtRead | oracle.ProtExec, Fill: 0xcc}}}
		c := NewCase(fromHex(t, "90"))
		c.Layout, c.Memory, c.State.RIP = l, nil, addr
		cases, results := []oracle.Case{c, NewCase(fromHex(t, "90"))}, make([]oracle.Result, 2)
		require.NoError(t, e.Run(cases, results))
		if results[0].Ending != oracle.Ended { // root may map page 0
			assert.Equal(t, oracle.Unsupported, results[0].Ending)
			assert.Contains(t, results[0].Note, "mmap of the pages at")
		}
		assert.Equal(t, oracle.Ended, results[1].Ending)
	}
}

// TestWindowInCode: a window in code pages that cannot be written shows each
// case's own bytes, wherever the case before it had its code.
func TestWindowInCode(t *testing.T) {
	l := &oracle.Layout{
		Pages:   []oracle.Pages{{Address: 0x5000000, Count: 1, Prot: oracle.ProtRead | oracle.ProtExec, Fill: 0xcc}},
		Windows: []oracle.Window{{Address: 0x5000013, Length: 70}},
	}
	e := newExecutor(t)
	at := []uint64{0x5000020, 0x5000800, 0x5000000, 0x5000050, 0x5000020, 0x5000058, 0x5000800}
	var cases []oracle.Case
	for i, rip := range at {
		c := NewCase(fromHex(t, "488b03"))
		c.Layout, c.Memory = l, make([]byte, l.WindowBytes())
		for j := range c.Memory {
			c.Memory[j] = byte(16*i + 1)
		}
		c.State.RIP, c.State.GPR[x86.RBX] = rip, 0x5000030
		cases = append(cases, c)
	}
	results := make([]oracle.Result, len(cases))
	require.NoError(t, e.Run(cases, results))
	for i := range results {
		r := &results[i]
		want := append([]byte{}, cases[i].Memory...)
		for j, b := range cases[i].CodeBytes() {
			if d := cases[i].State.RIP + uint64(j) - l.Windows[0].Address; d < uint64(len(want)) {
				want[d] = b
			}
		}
		assert.Equal(t, want, r.Memory, "case %d", i)
		assert.Equal(t, uint64(16*i+1)*0x0101010101010101, r.State.GPR[x86.RAX], "case %d: %v", i, r.Event)
		assert.Zero(t, r.NumStray, "case %d", i)
	}
}
