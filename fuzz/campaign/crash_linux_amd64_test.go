package campaign

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/fuzz/gen"
	"github.com/seed-4e121ece/ringfence/fuzz/store"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/seed-4e121ece/ringfence/oracle/silicon"
)

// victim is the variable that makes the test binary a campaign to be killed;
// its value is the folder of divergences.
const victim = "RINGFENCE_TEST_VICTIM"

func TestMain(m *testing.M) {
	if dir := os.Getenv(victim); dir != "" {
		if err := runVictim(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// broken flips AF of everything that retires: hundreds of divergences.
func broken(_ *oracle.Case, _ *decode.Inst, r *oracle.Result) {
	if r.Outcome == step.Okay && r.Ending == oracle.Ended {
		r.State.RFLAGS ^= uint64(x86.AF)
	}
}

// runVictim runs a campaign that writes divergences until it is killed or has
// run 20,000 cases.
func runVictim(dir string) error {
	cfg := config(subject(broken), 20000)
	cfg.Out = dir
	cfg.Batch = 32
	cfg.SeedStates = -1
	_, err := Run(context.Background(), cfg)
	return err
}

// A run that is killed at any moment leaves whole records only, and the next
// run goes on where it was.
func TestKilledRun(t *testing.T) {
	if testing.Short() {
		t.Skip("kills some processes, which takes seconds")
	}
	dir := filepath.Join(t.TempDir(), "divergences")
	r := gen.NewRand(uint64(os.Getpid()))
	before := 0
	for range 8 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), victim+"="+dir)
		require.NoError(t, cmd.Start())
		time.Sleep(time.Duration(20+r.N(500)) * time.Millisecond)
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait() // it was killed, or had ended
		n := checkStore(t, dir)
		require.GreaterOrEqual(t, n, before, "a record is lost")
		before = n
	}
	require.NotZero(t, before, "no process lived long enough to record anything")

	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), victim+"="+dir)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Greater(t, checkStore(t, dir), before)
}

// checkStore checks that every record is whole and returns their number.
func checkStore(t *testing.T, dir string) int {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return 0
	}
	require.NoError(t, err)
	n := 0
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue // being written when the process was killed
		}
		data, err := os.ReadFile(filepath.Join(dir, e.Name(), store.RecordName))
		require.NoError(t, err, "a folder without its record")
		d, err := oracle.ParseDivergence(data)
		require.NoError(t, err)
		require.Equal(t, e.Name(), d.Signature)
		_, err = oracle.ParseCase(d.Case)
		require.NoError(t, err)
		readme, err := os.ReadFile(filepath.Join(dir, e.Name(), store.ReadmeName))
		require.NoError(t, err)
		require.NotEmpty(t, readme)
		n++
	}
	s, err := store.Open(dir)
	require.NoError(t, err)
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			_, err := s.Runs(e.Name())
			require.NoError(t, err)
		}
	}
	return n
}

// The campaign goes on when the CPU's child is killed at random moments, and
// no answer is wrong for it.
func TestKilledChild(t *testing.T) {
	cfg := config(sound(), 0)
	cfg.References = []Engine{{"silicon", func() (oracle.Executor, error) { return silicon.New() }}}
	if e, err := cfg.References[0].New(); err != nil {
		if slices.Contains(strings.Split(os.Getenv("RINGFENCE_REQUIRE"), ","), "silicon") {
			t.Fatal(err)
		}
		t.Skip(err)
	} else {
		require.NoError(t, e.Close())
	}
	// Moves and arithmetic only: what is tested is not the model.
	cfg.Only = "MOV,ADD,LEA,PUSH,POP"
	cfg.For = 3 * time.Second
	quiet, err := Run(context.Background(), cfg)
	require.NoError(t, err)
	known := map[string]bool{}
	for _, d := range quiet.Divergences {
		known[d.Signature] = true
	}

	ctx, cancel := context.WithCancel(context.Background())
	killed := make(chan int)
	go func() { killed <- killChildren(ctx) }()
	cfg.Known = known
	s, err := Run(ctx, cfg)
	cancel()
	kills := <-killed
	require.NoError(t, err)
	require.NotZero(t, s.Counts.Retired)
	for _, d := range s.Divergences {
		require.False(t, d.New, "%s %s: %v %v %v", d.Text, d.Code, d.Fields, d.Detail, d.Outcomes)
	}
	if kills == 0 {
		t.Skip("this kernel does not list a process's children")
	}
	require.Less(t, s.Counts.Endings[oracle.Died], uint64(kills+1))
	require.Greater(t, s.Counts.Cases, uint64(1000))
	t.Logf("%d cases, %d kills, %d cases answered with the child's death, %d lost", s.Counts.Cases, kills, s.Counts.Endings[oracle.Died], s.Lost)
}

// killChildren kills the children of this process at random moments until the
// context ends, and returns how many it killed.
func killChildren(ctx context.Context) int {
	r := gen.NewRand(uint64(time.Now().UnixNano()))
	n := 0
	for {
		select {
		case <-ctx.Done():
			return n
		case <-time.After(time.Duration(20+r.N(200)) * time.Millisecond):
		}
		lists, err := filepath.Glob("/proc/self/task/*/children")
		if err != nil {
			return n
		}
		for _, list := range lists {
			b, err := os.ReadFile(list)
			if err != nil {
				continue
			}
			for _, word := range strings.Fields(string(b)) {
				if pid, err := strconv.Atoi(word); err == nil && syscall.Kill(pid, syscall.SIGKILL) == nil {
					n++
				}
			}
		}
	}
}
