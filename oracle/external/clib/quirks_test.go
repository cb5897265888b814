package clib

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/internal/hostcpu"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/seed-4e121ece/ringfence/oracle/model"
	"github.com/seed-4e121ece/ringfence/oracle/silicon"
)

// decoders are the libraries that decode.
var decoders = slices.DeleteFunc(slices.Clone(Libraries), func(l Library) bool { return l.Executes })

func TestQuirksAreComplete(t *testing.T) {
	for i := range decoders {
		require.NoError(t, oracle.CheckQuirks(decoders[i].Quirks()))
	}
}

// TestEvidence runs the evidence of every quirk again: the library still says
// what the row says it says, the model what is true, and the row explains all
// of the difference.
func TestEvidence(t *testing.T) {
	for i := range decoders {
		library := &decoders[i]
		t.Run(library.Name, func(t *testing.T) {
			d, m := open(t, library.Name), model.NewDecoder(everything)
			for k := range library.Quirks() {
				q := &library.Quirks()[k]
				for _, e := range q.Evidence {
					code, err := e.Decode()
					require.NoError(t, err)
					var right, wrong oracle.Decoded
					m.Decode(code, e.Mode, &right)
					d.Decode(code, e.Mode, &wrong)
					require.Equal(t, e.Says, brief(&wrong, e.Says), "%s %s: has %s been repaired?", q, e.Bytes, library.Name)
					require.Equal(t, e.Truth, brief(&right, e.Truth), "%s %s: model", q, e.Bytes)
					if e.Length != 0 {
						require.Equal(t, e.Length, right.Length)
					}
					diff := oracle.CompareDecoded(&right, &wrong)
					require.NotZero(t, diff, "%s %s", q, e.Bytes)
					set := oracle.NewQuirkSet(library.Quirks()[k : k+1])
					rest, by := set.ExplainDecoded(code, e.Mode, diff, &right, &wrong)
					require.Zero(t, rest, "%s %s: left unexplained: %v", q, e.Bytes, rest)
					require.NotNil(t, by)
				}
			}
		})
	}
}

// brief is the form in which evidence states an answer: length and mnemonic,
// with operands where the row has them, or "invalid".
func brief(d *oracle.Decoded, like string) string {
	if !d.Valid {
		return "invalid"
	}
	text := show(d)
	if !strings.Contains(like, ",") {
		text, _, _ = strings.Cut(text, ",")
	}
	return text
}

// TestComparison compares each library with the model on the seeds and on
// random strings, in all three widths of code. Quirks print what they absorbed;
// on a million strings each must have had something to explain. What none
// explains is listed, the most frequent first.
func TestComparison(t *testing.T) {
	for i := range decoders {
		library := &decoders[i]
		t.Run(library.Name, func(t *testing.T) {
			total := make([]uint64, len(library.Quirks()))
			for _, mode := range []x86.Mode{x86.Long64, x86.Compat32, x86.Compat16} {
				c := compareLibrary(t, library.Name, mode, amount(t, 30_000))
				unexplained := c.report(t, 20)
				require.Zero(t, c.failed, "strings on which the library's process failed")
				for k, n := range c.quirks.Counts {
					total[k] += n
				}
				require.Zero(t, unexplained, "strings in %s that no quirk explains", mode)
			}
			for k, n := range total {
				q := &library.Quirks()[k]
				t.Logf("%8d absorbed by %-24s %s", n, q.Name, q.Reason)
				if amount(t, 30_000) >= 1_000_000 {
					require.NotZero(t, n, "quirk %s explained nothing", q)
				}
			}
		})
	}
}

// TestEvidenceOnCPU asks the CPU about the evidence where it can be the judge.
func TestEvidenceOnCPU(t *testing.T) {
	cpu, err := silicon.NewDecoder()
	if err != nil {
		if slices.Contains(strings.Split(os.Getenv("RINGFENCE_REQUIRE"), ","), "silicon") {
			t.Fatal("RINGFENCE_REQUIRE asks for silicon:", err)
		}
		t.Skip(err)
	}
	defer func() { require.NoError(t, cpu.Close()) }()
	host := model.NewDecoder(hostcpu.Profile())
	asked := 0
	for i := range decoders {
		for _, q := range decoders[i].Quirks() {
			for _, e := range q.Evidence {
				code, err := e.Decode()
				require.NoError(t, err)
				var here, said oracle.Decoded
				if host.Decode(code, e.Mode, &here); e.Executes == oracle.CPUUnknown || e.Executes == oracle.CPUValid && !here.Valid {
					continue // not its to say, or this CPU does not have it
				}
				cpu.Decode(code, e.Mode, &said)
				if !said.Covered || said.Ending != oracle.Ended {
					t.Logf("%s %s: the CPU is not asked: %s%s", q.Name, e.Bytes, said.Group, said.Reason)
					continue
				}
				asked++
				require.Equal(t, e.Executes == oracle.CPUValid, said.Valid, "%s %s", q.Name, e.Bytes)
				if said.Valid && !said.UnknownLength && e.Length != 0 {
					require.Equal(t, e.Length, said.Length, "%s %s", q.Name, e.Bytes)
				}
			}
		}
	}
	t.Logf("%d byte strings judged by the CPU", asked)
	require.Positive(t, asked)
}
