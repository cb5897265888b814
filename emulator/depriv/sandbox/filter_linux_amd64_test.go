package sandbox

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/seed-4e121ece/ringfence/internal/seccomp"
)

// TestFilter asks the worker's filter about every system call number that there
// is or may come to be, of each architecture that can be called, with each of
// the arguments at its edges: no call is made for it.
func TestFilter(t *testing.T) {
	const (
		arch386 = 0x40000003 // AUDIT_ARCH_I386: INT 80h
		x32     = 1 << 30
		numbers = 512 // more than there are
	)
	edges := []uint64{0, 1, 2, 0x7f, 0x80, 0x81, 0x100, 0x180, 0x181, 0x182, 0x1ff, 1 << 31, 1<<32 - 1, 1 << 32, 1<<32 | 1, 1 << 63, ^uint64(0)}
	for _, calls := range [][]uint32{{unix.SYS_WRITE}, {unix.SYS_WRITE, unix.SYS_READ}} {
		prog, err := policy(calls).Program()
		require.NoError(t, err)
		asked, allowed := 0, map[uint32]bool{}
		ask := func(c seccomp.Call) {
			got, err := seccomp.Run(prog, &c)
			require.NoError(t, err)
			want := seccomp.Kill
			if c.Arch == seccomp.ArchX8664 && permitted(calls, &c) {
				want = seccomp.Allow
				allowed[c.Number] = true
			}
			if got != want {
				t.Fatalf("call %d of architecture %#x with %#x: action %#x, want %#x", c.Number, c.Arch, c.Args, got, want)
			}
			asked++
		}
		for _, arch := range []uint32{seccomp.ArchX8664, arch386, 0, 0xffffffff} {
			for n := range uint32(numbers) {
				for _, number := range []uint32{n, n | x32, n | 1<<31, ^n} {
					for argument := range 6 {
						for _, e := range edges {
							c := seccomp.Call{Number: number, Arch: arch, IP: 0x401000}
							c.Args[argument] = e
							ask(c)
							for i := range c.Args {
								c.Args[i] = e
							}
							ask(c)
						}
					}
				}
			}
		}
		list := make([]string, 0, len(allowed))
		for n := range allowed {
			list = append(list, fmt.Sprint(n))
		}
		slices.Sort(list)
		t.Logf("%d calls asked about, allowed are the numbers %v", asked, list)
		require.Len(t, allowed, len(calls)+6)
	}
}

// permitted says it in other words than the policy.
func permitted(calls []uint32, c *seccomp.Call) bool {
	switch c.Number {
	case unix.SYS_FUTEX:
		switch uint32(c.Args[1]) {
		case 0, 1, 0x80, 0x81, 0x100, 0x101, 0x180, 0x181:
			return true // waits and wakes, with either flag
		}
		return false
	case unix.SYS_NANOSLEEP, unix.SYS_SCHED_YIELD, unix.SYS_EXIT_GROUP, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN:
		return true
	}
	return slices.Contains(calls, c.Number)
}
