package ptrace

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/internal/seccomp"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/seed-4e121ece/ringfence/oracle/silicon"
)

// sandbox is what the test binary is run again in.
type sandbox struct {
	user         bool // an unprivileged user
	network      bool // a network namespace without a network
	process      bool // a process namespace: no other process can be seen
	shareNothing bool // mount, IPC and UTS namespaces too
	// apply does the rest, in the process that becomes the sandbox, on the one
	// thread that then executes the test binary once more.
	apply func() error
}

const insideVariable = "RINGFENCE_TEST_INSIDE"

// inside runs f in this test binary, started again in a sandbox. The machine's
// refusal to make the sandbox skips the test.
func inside(t *testing.T, s sandbox, f func(t *testing.T)) {
	t.Helper()
	switch os.Getenv(insideVariable) {
	case t.Name():
		if s.apply == nil {
			f(t)
			return
		}
		runtime.LockOSThread()
		if err := s.apply(); err != nil {
			t.Skipf("refused: %v", err)
		}
		t.Setenv(insideVariable, t.Name()+" applied")
		t.Fatal("exec: ", syscall.Exec("/proc/self/exe", os.Args, os.Environ()))
	case t.Name() + " applied":
		f(t)
		return
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=120s")
	cmd.Args[0] = "ptrace.test"
	cmd.Dir = "/"
	temp := t.TempDir()
	cmd.Env = append(os.Environ(), insideVariable+"="+t.Name(), "TMPDIR="+temp)
	require.NoError(t, os.Chmod(temp, 0o777))
	for dir := temp; strings.HasPrefix(dir, os.TempDir()+"/"); dir = dir[:strings.LastIndexByte(dir, '/')] {
		_ = os.Chmod(dir, 0o777) // so that another user reaches it
	}
	cmd.SysProcAttr = s.attributes()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Skipf("this machine makes no such sandbox: %v", err)
	}
	err := cmd.Wait()
	text := out.String()
	t.Log("\n" + text)
	if err != nil {
		t.Fatalf("inside: %v", err)
	}
	if strings.Contains(text, "--- SKIP: "+t.Name()) {
		t.Skip("skipped inside")
	}
	require.Contains(t, text, "--- PASS: "+t.Name(), "the test did not run inside")
}

// nobody is the customary number of the user without rights.
const nobody = 65534

func (s *sandbox) attributes() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if s.network {
		a.Cloneflags |= syscall.CLONE_NEWNET
	}
	if s.process {
		a.Cloneflags |= syscall.CLONE_NEWPID
	}
	if s.shareNothing {
		a.Cloneflags |= syscall.CLONE_NEWNS | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS
	}
	uid, gid := os.Getuid(), os.Getgid()
	switch {
	case a.Cloneflags != 0 && (s.user || uid != 0):
		if uid == 0 {
			uid, gid = nobody, nobody
		}
		a.Cloneflags |= syscall.CLONE_NEWUSER
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: 1000, HostID: uid, Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{ContainerID: 1000, HostID: gid, Size: 1}}
		a.Credential = &syscall.Credential{Uid: 1000, Gid: 1000, NoSetGroups: true}
	case s.user && uid == 0:
		a.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	return a
}

// works holds the runner against ptrace on a few random cases.
func works(t *testing.T) {
	t.Logf("user %d, CapEff %s", os.Getuid(), capabilities())
	a := newAgreement()
	slow, err := New()
	require.NoError(t, err)
	defer func() { assert.NoError(t, slow.Close()) }()
	fast, err := silicon.New()
	require.NoError(t, err)
	defer func() { assert.NoError(t, fast.Close()) }()
	a.agree(t, slow, fast, someCases(8, 300))
	assert.Greater(t, a.compared, 150)
}

func capabilities() string {
	text, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "CapEff:\t"); ok {
			return strings.TrimSpace(v)
		}
	}
	return "?"
}

// TestUnprivileged: neither executor needs a privilege.
func TestUnprivileged(t *testing.T) {
	inside(t, sandbox{user: true}, func(t *testing.T) {
		require.NotZero(t, os.Getuid())
		require.Equal(t, "0000000000000000", capabilities())
		works(t)
	})
}

// TestWithoutNetwork is `unshare -n`.
func TestWithoutNetwork(t *testing.T) {
	inside(t, sandbox{network: true}, works)
}

// TestLandlock: files may be read and executed, and nothing be written or made.
func TestLandlock(t *testing.T) {
	inside(t, sandbox{user: true, apply: landlock}, func(t *testing.T) {
		_, err := os.Create("/tmp/ringfence-landlock")
		require.ErrorIs(t, err, os.ErrPermission, "the rules do not hold")
		works(t)
	})
}

// landlock restricts the calling thread, and what it executes, by rules of
// version 1 (landlock(7)).
func landlock() error {
	const (
		execute    = unix.LANDLOCK_ACCESS_FS_EXECUTE
		everything = 1<<13 - 1
		reading    = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	)
	attr := unix.LandlockRulesetAttr{Handled_access_fs: everything &^ uint64(reading)}
	rules, _, errno := syscall.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), 8, 0)
	if errno != 0 {
		return fmt.Errorf("landlock_create_ruleset: %w", errno)
	}
	root, err := unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the root: %w", err)
	}
	path := unix.LandlockPathBeneathAttr{Allowed_access: execute, Parent_fd: int32(root)}
	if _, _, errno := syscall.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, rules, unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&path)), 0, 0, 0); errno != 0 {
		return fmt.Errorf("landlock_add_rule: %w", errno)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	if _, _, errno := syscall.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, rules, 0, 0); errno != 0 {
		return fmt.Errorf("landlock_restrict_self: %w", errno)
	}
	return nil
}

// TestRefusals: where the machine refuses something, the error names it. The
// refusals are made by a filter of this test.
func TestRefusals(t *testing.T) {
	for _, r := range []struct {
		name    string
		nr      uint32
		errno   syscall.Errno
		silicon string // what the runner's error has to say, or "" if it works
		ptrace  string
	}{
		{"memfd_create", unix.SYS_MEMFD_CREATE, syscall.EPERM, "memfd_create", "memfd_create"},
		{"seccomp", unix.SYS_SECCOMP, syscall.ENOSYS, "seccomp", "seccomp"},
		{"ptrace", unix.SYS_PTRACE, syscall.EPERM, "", "trace"},
		{"timer_create", unix.SYS_TIMER_CREATE, syscall.EPERM, "timer_create", ""},
		{"setitimer", unix.SYS_SETITIMER, syscall.EPERM, "", "setitimer"},
		{"close_range", unix.SYS_CLOSE_RANGE, syscall.ENOSYS, "", ""},
	} {
		t.Run(r.name, func(t *testing.T) {
			inside(t, sandbox{apply: func() error { return deny(r.nr, r.errno) }}, func(t *testing.T) {
				check := func(engine, want string, start func() (oracle.Executor, error)) {
					e, err := start()
					if want == "" {
						if assert.NoError(t, err, engine) {
							assert.NoError(t, e.Close())
						}
						return
					}
					if assert.Error(t, err, engine) {
						t.Log(err)
						assert.Contains(t, err.Error(), want, engine)
						assert.ErrorIs(t, err, r.errno, engine)
					}
				}
				check("silicon", r.silicon, func() (oracle.Executor, error) { return silicon.New() })
				check("ptrace", r.ptrace, func() (oracle.Executor, error) { return New() })
			})
		})
	}
}

// TestNoLDT: a kernel without modify_ldt has no 16-bit code, which shows at the
// case; the rest works.
func TestNoLDT(t *testing.T) {
	inside(t, sandbox{apply: func() error { return deny(unix.SYS_MODIFY_LDT, syscall.ENOSYS) }}, func(t *testing.T) {
		var cases []oracle.Case
		for _, m := range []x86.Mode{x86.Long64, x86.Compat16, x86.Compat32, x86.Compat16, x86.Long64} {
			cases = append(cases, newCase(m, []byte{0x90}))
		}
		for _, e := range []engine{newExecutor(t), newRunner(t)} {
			for i, r := range run(t, e, cases) {
				want := oracle.Ended
				if cases[i].State.Mode == x86.Compat16 {
					want = oracle.Unsupported
					assert.Contains(t, r.Note, "function not implemented", e.Name())
				}
				assert.Equal(t, want, r.Ending, "%s, case %d: %s", e.Name(), i, r.Note)
			}
		}
	})
}

// deny makes one system call fail for the calling thread and what it executes.
func deny(nr uint32, errno syscall.Errno) error {
	const load, jumpEqual, ret = 0x20, 0x15, 0x06 // classic BPF, <linux/bpf_common.h>
	prog := seccomp.Bytes([]seccomp.Instruction{
		{Op: load, K: 0}, // seccomp_data.nr
		{Op: jumpEqual, JF: 1, K: nr},
		{Op: ret, K: uint32(seccomp.Errno) | uint32(errno)},
		{Op: ret, K: uint32(seccomp.Allow)},
	})
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	fprog := unix.SockFprog{Len: uint16(len(prog) / seccomp.InstructionSize), Filter: (*unix.SockFilter)(unsafe.Pointer(&prog[0]))}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&fprog)), 0, 0); err != nil {
		return fmt.Errorf("seccomp: %w", err)
	}
	return nil
}
