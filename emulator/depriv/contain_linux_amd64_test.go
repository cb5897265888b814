package depriv

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/seed-4e121ece/ringfence/emulator/depriv/sandbox"
	"github.com/seed-4e121ece/ringfence/emulator/depriv/transport"
)

var everyCall = flag.Int("depriv.calls", 47, "try one in so many of all system call numbers in a worker; 1 tries each")

// What a worker that makes an attempt says by its exit status.
const (
	exitSucceeded = 40
	exitRefused   = 41
)

// attempts are what a worker tries, each harmless if it succeeds, and the
// mechanisms that stop it by themselves.
var attempts = []struct {
	name string
	try  func() error
	by   []sandbox.Mechanism
	// always says that it is stopped with every mechanism off too.
	always bool
}{
	{name: "open a file", try: func() error {
		_, err := unix.Open("/dev/null", unix.O_RDONLY, 0)
		return err
	}, by: []sandbox.Mechanism{sandbox.Landlock, sandbox.Limits, sandbox.Seccomp}},
	{name: "make a socket", try: func() error {
		_, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		return err
	}, by: []sandbox.Mechanism{sandbox.Limits, sandbox.Seccomp}},
	{name: "map executable memory", try: func() error {
		_, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
		return err
	}, by: []sandbox.Mechanism{sandbox.DenyWriteExec, sandbox.Seccomp}},
	{name: "signal the parent", try: func() error { return unix.Kill(parent, 0) }, by: []sandbox.Mechanism{sandbox.Landlock, sandbox.Seccomp}},
	{name: "read the parent's memory", try: func() error {
		var b [1]byte
		at := uintptr(unsafe.Pointer(&misbehaviours)) // some address that is mapped here and, in the same executable, there
		_, err := unix.ProcessVMReadv(parent, []unix.Iovec{{Base: &b[0], Len: 1}}, []unix.RemoteIovec{{Base: at, Len: 1}}, 0)
		return err
	}, by: []sandbox.Mechanism{sandbox.Landlock, sandbox.Seccomp}},
	{name: "write into its requests", try: func() error {
		_, err := unix.Mmap(fdTransport, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		return err
	}, by: []sandbox.Mechanism{sandbox.Seccomp}, always: true},
}

// parent is the process that started this one, read before it may matter.
var parent = os.Getppid()

var _ = func() bool {
	for _, a := range attempts {
		misbehaviours[a.name] = func(s transport.Server, _ transport.Serve) {
			_, _ = s.Next()
			if a.try() != nil {
				os.Exit(exitRefused)
			}
			os.Exit(exitSucceeded)
		}
	}
	if len(os.Args) == 2 && os.Args[0] == workerName { // one for each number would be many in every process
		if _, rest, ok := strings.Cut(os.Args[1], `"Mode":"call `); ok {
			name, _, _ := strings.Cut(rest, `"`)
			n, _ := strconv.Atoi(name)
			misbehaviours["call "+name] = func(s transport.Server, _ transport.Serve) {
				_, _ = s.Next()
				none := ^uintptr(0) // no descriptor, address, flag or size
				_, _, _ = unix.RawSyscall6(uintptr(n), none, none, none, none, none, none)
				os.Exit(exitSucceeded)
			}
		}
	}
	return true
}()

// fate runs a step on a worker of that mode, held by those mechanisms, and says
// how it ended.
func fate(t *testing.T, mode string, by sandbox.Mechanism) string {
	t.Helper()
	c := newClient(t, Config{Transport: transport.Futex, mode: mode, NoSpare: true, Attempts: 1, Timeout: time.Minute, Asked: by})
	b := newBed(t)
	b.load("\x90")
	c.Step(&b.state, b.m, &b.fx)
	err := c.Failure()
	require.Error(t, err)
	require.NoError(t, c.Close())
	for text, is := range map[string]string{
		"its filter forbids": "killed", fmt.Sprint("exit status ", exitRefused): "refused", fmt.Sprint("exit status ", exitSucceeded): "succeeded",
	} {
		if strings.Contains(err.Error(), text) {
			return is
		}
	}
	return err.Error()
}

// TestContainment: every attempt is stopped by the whole sandbox, and by each
// mechanism that is meant to stop it alone; with none of them it succeeds, so
// that the test can fail. The control has the user of the caller, like its peers.
func TestContainment(t *testing.T) {
	for _, a := range attempts {
		t.Run(strings.ReplaceAll(a.name, " ", "_"), func(t *testing.T) {
			require.Equal(t, "killed", fate(t, a.name, sandbox.All))
			row := "all: killed"
			for _, by := range a.by {
				want := "refused"
				if by == sandbox.Seccomp {
					want = "killed"
				}
				require.Equal(t, want, fate(t, a.name, by), by)
				row += fmt.Sprintf("; %v alone: %s", by, want)
			}
			want := "succeeded"
			if a.always {
				want = "refused"
			}
			require.Equal(t, want, fate(t, a.name, sandbox.ParentDeath))
			t.Logf("%s; neither: %s", row, want)
		})
	}
}

// TestCalls tries system calls by number, with arguments that mean nothing.
func TestCalls(t *testing.T) {
	allowed := map[int]bool{
		unix.SYS_FUTEX: true, unix.SYS_NANOSLEEP: true, unix.SYS_SCHED_YIELD: true, unix.SYS_EXIT_GROUP: true, unix.SYS_WRITE: true,
		unix.SYS_RT_SIGPROCMASK: true, unix.SYS_RT_SIGRETURN: true,
	}
	tried := 0
	for n := 0; n < 480; n += *everyCall {
		if allowed[n] {
			continue
		}
		require.Equal(t, "killed", fate(t, "call "+strconv.Itoa(n), sandbox.All), "system call %d", n)
		tried++
	}
	t.Logf("%d numbers tried, each killed", tried)
}
