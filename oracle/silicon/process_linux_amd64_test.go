package silicon

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/oracle"
)

// TestOnlyOwnMemory: nothing that the kernel put into the child is left, so that
// a test can reach nothing but the layout and what it would have to guess.
func TestOnlyOwnMemory(t *testing.T) {
	e := newExecutor(t)
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", e.Pid()))
	require.NoError(t, err)
	c := e.children[0]
	for line := range strings.Lines(string(text)) {
		var low, high uint64
		var prot string
		_, err := fmt.Sscanf(line, "%x-%x %s", &low, &high, &prot)
		require.NoError(t, err, line)
		switch i := c.g.find(low); {
		case strings.Contains(line, "[vsyscall]"):
		case low == c.pads.low, low == c.pads.near:
			assert.Equal(t, uint64(page), high-low)
			assert.Equal(t, "r-x", prot[:3])
		case i >= 0:
			want := strings.ReplaceAll(fmt.Sprintf("%-3s", c.g.runs[i].prot), " ", "-")
			assert.Equal(t, c.g.runs[i].addr, low)
			assert.Equal(t, c.g.runs[i].end, high)
			assert.Equal(t, strings.Contains(want, "w"), prot[1] == 'w', line)
			assert.Equal(t, strings.Contains(want, "x"), prot[2] == 'x', line)
		default:
			assert.Less(t, low-c.base, uint64(spanSize), "not the child's own: %s", line)
			assert.False(t, prot[1] == 'w' && prot[2] == 'x', "writable and executable: %s", line)
		}
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", e.Pid()))
	require.NoError(t, err)
	assert.Contains(t, string(status), "NoNewPrivs:\t1\n")
	assert.Contains(t, string(status), "Seccomp:\t2\n")
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", e.Pid()))
	if err == nil {
		assert.Empty(t, fds)
	}
}

// TestNoSystemCall tries every system call number: none is made.
func TestNoSystemCall(t *testing.T) {
	e := newExecutor(t)
	var cases []oracle.Case
	for nr := range uint64(512) {
		for _, code := range []string{"0f05", "cd80"} {
			c := NewCase(fromHex(t, code))
			c.State.GPR[0], c.State.GPR[7], c.State.GPR[3] = nr, 0x7ffffff0, 0x7ffffff0 // no descriptor, process or address
			cases = append(cases, c)
		}
	}
	results := make([]oracle.Result, len(cases))
	require.NoError(t, e.Run(cases, results))
	for i := range results {
		require.Equal(t, oracle.SystemCall, results[i].Ending, "number %d", i/2)
	}
	assert.Zero(t, e.Respawns())
}

// TestSideBySide: executors do not disturb one another.
func TestSideBySide(t *testing.T) {
	cases := randomCases(11, 2000)
	results := make([][]oracle.Result, 4)
	var group sync.WaitGroup
	for i := range results {
		e := newExecutor(t)
		results[i] = make([]oracle.Result, len(cases))
		group.Go(func() { assert.NoError(t, e.Run(cases, results[i])) })
	}
	group.Wait()
	for i := range cases {
		for _, r := range results[1:] {
			require.Equal(t, describe(&results[0][i]), describe(&r[i]), "case %d", i)
		}
	}
}

// TestNothingLeaks: closing an executor gives everything back.
func TestNothingLeaks(t *testing.T) {
	count := func() (n int) {
		fds, err := os.ReadDir("/proc/self/fd")
		require.NoError(t, err)
		return len(fds)
	}
	newExecutor(t).Close() // what is opened once for all
	before := count()
	for range 20 {
		e := newExecutor(t)
		pid := e.Pid()
		require.NoError(t, e.Close())
		_, err := os.Stat(fmt.Sprintf("/proc/%d", pid))
		assert.ErrorIs(t, err, os.ErrNotExist)
	}
	assert.Equal(t, before, count())
}

// TestRunAllocatesNothing: neither do faults.
func TestRunAllocatesNothing(t *testing.T) {
	e := newExecutor(t)
	var cases []oracle.Case
	for _, k := range knownCases() {
		c := NewCase(fromHex(t, k.code))
		apply(t, &c, k.in)
		cases = append(cases, c)
	}
	results := make([]oracle.Result, len(cases))
	require.NoError(t, e.Run(cases, results))
	assert.Zero(t, testing.AllocsPerRun(20, func() { _ = e.Run(cases, results) }))
}
