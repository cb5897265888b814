package main

import (
	"bytes"
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// answer is what a run of the command said.
type answer struct {
	out, err string
	status   int
}

// lines returns the lines of standard output.
func (a answer) lines() []string {
	return strings.Split(strings.TrimSuffix(a.out, "\n"), "\n")
}

// command runs the command line in this process.
func command(t *testing.T, stdin string, args ...string) answer {
	t.Helper()
	var out, errs bytes.Buffer
	status := run(context.Background(), args, stdio{in: strings.NewReader(stdin), out: &out, err: &errs})
	return answer{out.String(), errs.String(), status}
}

// need skips a test whose engine this machine lacks, or fails it where
// RINGFENCE_REQUIRE names the engine.
func need(t *testing.T, name string) {
	t.Helper()
	e, err := lookup(name)
	require.NoError(t, err)
	if err := e.try(); err != nil {
		if slices.Contains(splitList(os.Getenv("RINGFENCE_REQUIRE")), name) {
			t.Fatalf("engine %s is required and not available: %v", name, err)
		}
		t.Skipf("engine %s is not available: %v", name, err)
	}
}

// Bad usage of any command is told on standard error, with status 2.
func TestBadUsage(t *testing.T) {
	for _, tc := range []struct {
		name, args, want string
	}{
		{"no command", "", "which command?"},
		{"unknown command", "decide", `unknown command "decide"`},
		{"unknown flag", "decode --modus 64 90", "unknown flag: --modus"},
		{"unknown mode", "decode --mode 8 90", `--mode "8": want 16, 32 or 64`},
		{"unknown engine", "decode --engine xed 90", `engine "xed": unknown; known are capstone, model, silicon, unicorn, x86asm, zydis, depriv:TRANSPORT and exec:COMMAND`},
		{"no engine", "decode --engine , 90", `--engine ",": want the name of a decoder`},
		{"exec: unknown engine", "exec --engine qemu -", `engine "qemu": unknown; known are capstone, model, silicon, unicorn, x86asm, zydis, depriv:TRANSPORT and exec:COMMAND`},
		{"exec: engine that does not execute", "exec --engine x86asm -", `engine "x86asm" does not execute; executors are model, silicon`},
		{"fuzz: arguments", "fuzz now", `unknown command "now" for "ringfence fuzz"`},
		{"fuzz: unknown subject", "fuzz --subject xen", `engine "xen": unknown`},
		{"fuzz: unknown reference", "fuzz --reference silicon,bochs", `engine "bochs": unknown`},
		{"fuzz: unknown mode", "fuzz --mode 128", `--mode "128"`},
		{"fuzz: cases and time", "fuzz --cases 10 --for 1s", "none of the others can be"},
		{"fuzz: no jobs", "fuzz --jobs -1", "--jobs -1: want"},
		{"fuzz: negative time", "fuzz --for -1s", "--for -1s: want"},
		{"fuzz: not a number", "fuzz --cases many", `invalid argument "many"`},
		{"sweep: arguments", "sweep now", `unknown command "now" for "ringfence sweep"`},
		{"sweep: unknown mode", "sweep --mode 8", `--mode "8": want 16, 32 or 64`},
		{"sweep: unknown subject", "sweep --subject xen", `engine "xen": unknown`},
		{"sweep: unknown reference", "sweep --reference x86asm,bochs", `engine "bochs": unknown`},
		{"sweep: no reference", "sweep --reference ,", `--reference ",": want the name of a decoder`},
		{"sweep: shard 0", "sweep --shard 0/4", `--shard "0/4": want I/N`},
		{"sweep: shard beyond", "sweep --shard 5/4", `--shard "5/4": want I/N`},
		{"sweep: no shard", "sweep --shard 3", `--shard "3": want I/N`},
		{"sweep: not a number", "sweep --limit many", `invalid argument "many"`},
		{"sweep: negative time", "sweep --for -1s", "--for -1s: want"},
		{"sweep: no jobs", "sweep --jobs -1", "--jobs -1: want"},
		{"sweep: nothing to resume", "sweep --resume /nonexistent/sweep.json", "--resume: checkpoint: open /nonexistent/sweep.json"},
		{"sweep: checkpoint and resume", "sweep --checkpoint a --resume b", "none of the others can be"},
		{"sweep: checkpoint is there", "sweep --checkpoint main_test.go", "--checkpoint main_test.go: there is one"},
		{"sweep: no checkpoint", "sweep --resume main_test.go", "--resume: checkpoint main_test.go: invalid character"},
		{"isa: unknown feature", "isa --feature MAGIC", `--feature: feature "MAGIC": no such CPUID feature`},
		{"isa: unknown map", "isa --map 0F99", `--map "0F99": no such map; known are one-byte, x87, 0F`},
		{"isa: unknown mode", "isa --mode 8", `--mode "8": want 16, 32 or 64`},
		{"isa: executed", "isa --executed maybe", `--executed "maybe": want yes or no`},
		{"isa: bad pattern", "isa ADD[", `isa: pattern "ADD[": syntax error in pattern`},
		{"replay: nothing", "replay", "requires at least 1 arg(s)"},
		{"engines: check of what is no program", "engines --check model", `--check "model": want exec:COMMAND`},
		{"engines: check of nothing", "engines --check exec:", `want a program and its arguments`},
		{"decode: no such program", "decode --engine exec:/no/such/engine 90", `engine "exec:/no/such/engine": not available here: starting: `},
		{"exec: no such program", "exec --engine exec:/no/such/engine -", `not available here: starting: `},
		{"fuzz: no such program", "fuzz --subject exec:/no/such/engine", `not available here: starting: `},
		{"engines: arguments", "engines silicon", `unknown command "silicon" for "ringfence engines"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := command(t, "", strings.Fields(tc.args)...)
			require.Equal(t, statusBad, got.status, "stderr: %s", got.err)
			require.Contains(t, got.err, tc.want)
			require.True(t, strings.HasPrefix(got.err, "ringfence: "), "stderr: %s", got.err)
		})
	}
}
