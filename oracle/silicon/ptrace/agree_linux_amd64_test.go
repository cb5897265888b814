package ptrace

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

var (
	randomCount = flag.Int("random", 5_000, "random strings a mode to hold the runner against ptrace with")
	randomSeed  = flag.Uint64("seed", 2, "seed of the random strings and of the states")
	showExcused = flag.Bool("excused", false, "print the differences that a rule explains")
	stateCount  = flag.Int("states", 3, "states a string of the decoding tests is run with")
)

// agreement holds the runner against ptrace. Both ask the same CPU, so that
// nothing is undefined: what differs is wrong in one of them, or in the list of
// rules below. The comparison is that of all engines, which counts what it masks;
// ptrace stands as the subject.
type agreement struct {
	comparer oracle.Comparer
	endings  map[string]int
	rules    map[string]int
	notes    map[string]int
	compared int
	failed   int
}

// excuse is a rule by which the two differ for a written reason.
type excuse struct {
	name, reason string
	// whole says that there is nothing to compare when the rule holds; else it
	// is asked only about a difference.
	whole bool
	holds func(c *oracle.Case, o *opcode, slow, fast *oracle.Result) bool
}

var excuses = []excuse{
	{
		"quarantined", "the runner does not run what depends on the machine; ptrace has no such list", true,
		func(_ *oracle.Case, _ *opcode, _, fast *oracle.Result) bool { return fast.Ending == oracle.Quarantined },
	},
	{
		"unsupported", "one of the two cannot express the case, and says which field", true,
		func(_ *oracle.Case, _ *opcode, slow, fast *oracle.Result) bool {
			return slow.Ending == oracle.Unsupported || fast.Ending == oracle.Unsupported
		},
	},
}

// compare compares one case; it returns what differs, or "".
func (a *agreement) compare(c *oracle.Case, slow, fast *oracle.Result) string {
	var buf [decode.MaxLength]byte
	o := scan(c.Instruction(&buf), c.State.Mode)
	key := fast.Ending.String()
	if fast.Ending == oracle.Ended {
		key = fast.Outcome.String()
		if fast.Outcome == step.Exception {
			key = x86.VectorName(fast.Event.Vector)
		}
	}
	a.endings[key]++
	if a.excused(true, c, &o, slow, fast) {
		return ""
	}
	why := a.differ(c, slow, fast)
	if why != "" && a.excused(false, c, &o, slow, fast) {
		if *showExcused {
			fmt.Printf("% x in %v at %#x, flags %#x, gpr %x: %s\nptrace  %s\nsilicon %s\n",
				c.CodeBytes(), c.State.Mode, c.State.RIP, c.State.RFLAGS, c.State.GPR, why, describe(slow), describe(fast))
		}
		return ""
	}
	return why
}

func (a *agreement) excused(whole bool, c *oracle.Case, o *opcode, slow, fast *oracle.Result) bool {
	for _, x := range excuses {
		if x.whole == whole && x.holds(c, o, slow, fast) {
			a.rules[x.name]++
			if x.whole {
				a.notes[x.name+", "+firstNote(slow, fast)]++
			}
			return true
		}
	}
	return false
}

// firstNote says which of the two had to give a reason, and the reason.
func firstNote(slow, fast *oracle.Result) string {
	if fast.Ending == oracle.Unsupported || fast.Ending == oracle.Quarantined {
		return "silicon: " + fast.Note
	}
	return "ptrace: " + slow.Note
}

// differ returns in what two results differ, or "".
func (a *agreement) differ(c *oracle.Case, slow, fast *oracle.Result) string {
	if slow.Ending != fast.Ending {
		return "ending"
	}
	if slow.Ending != oracle.Ended {
		return ""
	}
	a.compared++
	subject := *slow
	if subject.Outcome == step.Exception {
		if !sameSignal(subject.Event.Vector, fast.Event.Vector) {
			return "signal"
		}
		switch subject.Event.Type {
		case x86.EventSoftwareInterrupt, x86.EventSoftwareException, x86.EventPrivSoftwareException:
			subject.State.RIP -= uint64(subject.Event.Length) // as an emulator reports it
		}
	}
	if d := a.comparer.Compare(c, nil, &subject, fast); d.Fields != 0 {
		return fmt.Sprint(d.Fields.Names())
	}
	return ""
}

// sameSignal says that the kernel makes the same signal of two vectors: #BR and
// #GP, #NP and #SS are one to ptrace.
func sameSignal(slow, fast uint8) bool {
	switch slow {
	case fast:
		return true
	case x86.VectorGP:
		return fast == x86.VectorBR
	case x86.VectorSS:
		return fast == x86.VectorNP
	}
	return false
}

// agree runs cases on both and fails for each that differs.
func (a *agreement) agree(t *testing.T, slow, fast oracle.Executor, cases []oracle.Case) {
	t.Helper()
	const batch = 4096
	for part := range slices.Chunk(cases, batch) {
		x, y := run(t, slow, part), run(t, fast, part)
		for i := range part {
			c := &part[i]
			if why := a.compare(c, &x[i], &y[i]); why != "" {
				if a.failed++; a.failed <= 20 {
					t.Errorf("% x in %v at %#x, flags %#x, gpr %x: %s\nptrace  %s\nsilicon %s",
						c.CodeBytes(), c.State.Mode, c.State.RIP, c.State.RFLAGS, c.State.GPR, why, describe(&x[i]), describe(&y[i]))
				}
			}
		}
	}
}

func newAgreement() *agreement {
	return &agreement{endings: map[string]int{}, rules: map[string]int{}, notes: map[string]int{}}
}

// report prints what was compared and what each rule did.
func (a *agreement) report(t *testing.T) {
	t.Helper()
	t.Logf("%d compared, %d differ; runner's endings: %v", a.compared, a.failed, a.endings)
	for _, name := range slices.Sorted(maps.Keys(a.rules)) {
		i := slices.IndexFunc(excuses, func(x excuse) bool { return x.name == name })
		t.Logf("%8d %s: %s", a.rules[name], name, excuses[i].reason)
	}
	for _, note := range slices.Sorted(maps.Keys(a.notes)) {
		t.Logf("%16d %s", a.notes[note], note)
	}
	for i, n := range a.comparer.Counts {
		if n.Masked != 0 {
			r := oracle.Rules()[i-1]
			t.Logf("%8d %s: %s", n.Masked, r.Name, r.Reason)
		}
	}
}

// modes are those that both run; the test of a mode that the runner does not
// have yet is skipped and says so.
var modes = []x86.Mode{x86.Long64, x86.Compat32, x86.Compat16}

func eachMode(t *testing.T, f func(t *testing.T, mode x86.Mode, slow *Executor, fast oracle.Executor)) {
	for _, mode := range modes {
		t.Run("mode="+mode.String(), func(t *testing.T) {
			slow, fast := newExecutor(t), newRunner(t)
			nop := newCase(mode, []byte{0x90})
			for _, e := range []oracle.Executor{slow, fast} {
				if r := one(t, e, &nop); r.Ending == oracle.Unsupported {
					t.Skipf("%s: %s", e.Name(), r.Note)
				}
			}
			f(t, mode, slow, fast)
			assert.Zero(t, slow.Respawns(), "children of ptrace that were lost")
		})
	}
}

// TestDecodeStrings runs every distinct string of x86asm's decoding tests on
// both.
func TestDecodeStrings(t *testing.T) {
	eachMode(t, func(t *testing.T, mode x86.Mode, slow *Executor, fast oracle.Executor) {
		a := newAgreement()
		all := decodeStrings(t, mode)
		r := rand.New(rand.NewPCG(*randomSeed+1, uint64(mode)))
		for range *stateCount {
			var cases []oracle.Case
			for _, b := range all {
				c := newCase(mode, b)
				states(r, &c)
				cases = append(cases, c)
			}
			a.agree(t, slow, fast, cases)
		}
		a.report(t)
		assert.Greater(t, a.compared, len(all)**stateCount/2, "of %d strings", len(all))
	})
}

// TestRandomStrings runs random strings on both; -random says how many a mode.
func TestRandomStrings(t *testing.T) {
	eachMode(t, func(t *testing.T, mode x86.Mode, slow *Executor, fast oracle.Executor) {
		a := newAgreement()
		r := rand.New(rand.NewPCG(*randomSeed, uint64(mode)))
		for done := 0; done < *randomCount; {
			n := min(4096, *randomCount-done)
			cases := make([]oracle.Case, n)
			for i := range cases {
				cases[i] = newCase(mode, randomString(r))
				states(r, &cases[i])
			}
			a.agree(t, slow, fast, cases)
			done += n
		}
		a.report(t)
		assert.Greater(t, a.compared, *randomCount/2)
	})
}
