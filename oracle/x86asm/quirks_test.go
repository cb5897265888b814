package x86asm

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/internal/hostcpu"
	"github.com/seed-4e121ece/ringfence/oracle"
)

func TestQuirksAreComplete(t *testing.T) { require.NoError(t, oracle.CheckQuirks(Quirks())) }

// TestEvidence runs the evidence of every quirk again: x86asm still says what
// the row says it says, the model what is true, and the row explains all of
// the difference.
func TestEvidence(t *testing.T) {
	m, ref := modelDecoder(), New()
	for i := range Quirks() {
		q := &Quirks()[i]
		for _, e := range q.Evidence {
			t.Run(fmt.Sprintf("%s/%s", q.Name, e.Bytes), func(t *testing.T) {
				code, err := e.Decode()
				require.NoError(t, err)
				var right, wrong oracle.Decoded
				m.Decode(code, e.Mode, &right)
				ref.Decode(code, e.Mode, &wrong)
				require.Equal(t, e.Says, brief(&wrong), "x86asm: has it been repaired?")
				if right.Covered {
					require.Equal(t, e.Truth, brief(&right), "model")
				} else {
					// The table has no EVEX rows: what must hold of any of them.
					require.True(t, evexProperties(code, e.Mode, &right, &wrong))
				}
				if e.Length != 0 {
					require.Equal(t, e.Length, right.Length)
				}
				diff := oracle.CompareDecoded(&right, &wrong)
				require.NotZero(t, diff, "x86asm and the model agree: %s", show(&right))
				set := oracle.NewQuirkSet(Quirks()[i : i+1])
				rest, by := set.ExplainDecoded(code, e.Mode, diff, &right, &wrong)
				require.Zero(t, rest, "left unexplained: %v", rest)
				require.NotNil(t, by)
			})
		}
	}
}

// seenOnAMD is the evidence that a Zen 4 has confirmed. The rest was seen on
// Intel alone; where the manuals leave room, vendors may differ.
var seenOnAMD = map[string]bool{
	"c5f877c0": true, "c5fc770500000000": true, "c5fe58c1": true, "0f204000": true, "0faee9": true, "f6c801": true, "d1f0": true,
	"ddc8": true, "4848c3": true, "0f18c0": true, "8ec8": true, "f0f9": true, "f30f1efa": true,
}

// TestEvidenceOnCPU asks the CPU about the evidence of every quirk where it
// can be the judge: it is an instruction or #UD, and how long it is.
func TestEvidenceOnCPU(t *testing.T) {
	c := newCPU(t)
	profile := hostcpu.Profile()
	asked, absent := 0, 0
	for i := range Quirks() {
		q := &Quirks()[i]
		for _, e := range q.Evidence {
			if e.Executes == oracle.CPUUnknown || e.Mode != x86.Long64 {
				continue
			}
			code, err := e.Decode()
			require.NoError(t, err)
			var in decode.Inst
			if decode.Decode(&in, code, e.Mode, profile) == decode.MissingFeature {
				t.Logf("%s, %s: this CPU does not have it", q.Name, e.Bytes)
				absent++
				continue
			}
			length, undefined := c.judge(code)
			if undefined && e.Executes == oracle.CPUValid && in.Uncovered(code) != "" {
				t.Logf("%s, %s: #UD, and the table does not know which feature it is", q.Name, e.Bytes)
				absent++
				continue
			}
			if length == 0 {
				t.Logf("%s, %s: is not run on this machine, so the CPU cannot judge", q.Name, e.Bytes)
				continue
			}
			asked++
			if profile.Vendor == isa.AMD && !seenOnAMD[e.Bytes] && undefined != (e.Executes == oracle.CPUUndefined) {
				t.Logf("%s, %s: #UD is %v here and was not on Intel: the row wants a vendor", q.Name, e.Bytes, undefined)
				continue
			}
			require.Equal(t, e.Executes == oracle.CPUUndefined, undefined, "%s, %s: does the CPU raise #UD", q.Name, e.Bytes)
			if e.Length != 0 && !undefined {
				require.Equal(t, int(e.Length), length, "%s, %s: length on the CPU", q.Name, e.Bytes)
			}
		}
	}
	t.Logf("%d byte strings judged by the CPU, %d that it does not have", asked, absent)
	require.Positive(t, asked)
}

// TestRediscovery finds every fault without the help of its row: random and
// mutated strings, a fixed seed, a bounded number. It prints after how many
// strings each turned up.
func TestRediscovery(t *testing.T) {
	const limit = 5_000_000
	c := newComparison(modelDecoder())
	s := newStrings(5)
	var left int
	for range limit {
		c.compare(s.next(), x86.Long64)
		if c.strings&0xfff != 0 {
			continue
		}
		left = 0
		for _, n := range c.first[:len(allQuirks)-len(modeQuirks)] {
			if n == 0 {
				left++
			}
		}
		if left == 0 {
			break
		}
	}
	for i, n := range c.first[:len(allQuirks)-len(modeQuirks)] {
		t.Logf("%9d strings until %s", n, c.quirks.Rows[i].Name)
		require.NotZero(t, n, "%s was not found in %d strings", c.quirks.Rows[i].Name, limit)
	}
}
