package bench

import (
	"fmt"
	"strings"

	"github.com/seed-4e121ece/ringfence/emulator/depriv"
)

// Answer is what a run says about a question of the debate, in plain words.
type Answer struct {
	Question string
	Text     string
}

// typicalRate is the rate of emulations for which overhead is told: a busy
// virtual CPU whose devices are emulated.
const typicalRate = 10000

// Answers are those that the run has figures for.
func (r *Result) Answers() []Answer {
	var all []Answer
	for _, f := range []func() (Answer, bool){r.answerCost, r.answerExit, r.answerOverhead, r.answerProtocols, r.answerTrust, r.answerLife} {
		if a, ok := f(); ok {
			all = append(all, a)
		}
	}
	return all
}

// ends are the two walls between which the others are: the best with the message
// protocol on the caller's own CPU, and with a CPU of its own. Either may be nil.
func (r *Result) ends() (same, own *Rung) {
	return r.best(depriv.Message, false), r.best(depriv.Message, true)
}

// interval writes a median with its interval.
func interval(s Summary) string {
	if s.N < 2 {
		return nanos(s.Median)
	}
	return fmt.Sprintf("%s (%s to %s)", nanos(s.Median), nanos(s.Low), nanos(s.High))
}

func (r *Result) answerCost() (Answer, bool) {
	d := r.Cell(Direct, r.class(), 1)
	same, own := r.ends()
	if d == nil || same == nil && own == nil {
		return Answer{}, false
	}
	var walls []string
	if same != nil {
		walls = append(walls, fmt.Sprintf("%s to that if the worker shares the caller's CPU (%s)", interval(r.added(same)), same.Transport))
	}
	if own != nil {
		walls = append(walls, fmt.Sprintf("%s if the worker keeps another CPU busy for itself (%s)", interval(r.added(own)), own.Transport))
	}
	return Answer{
		"What does the wall cost?",
		fmt.Sprintf("Emulating one instruction of class %s takes %s in-process. A wall around the emulator adds %s.", r.class(), nanos(d.Time.Median), strings.Join(walls, ", or ")),
	}, true
}

func (r *Result) answerExit() (Answer, bool) {
	exit, source := r.Exit()
	d := r.Cell(Direct, r.class(), 1)
	same, own := r.ends()
	if exit == 0 || d == nil || same == nil && own == nil {
		return Answer{}, false
	}
	base := exit + d.Time.Median + r.Parameters.Hook
	var walls []string
	for _, g := range []*Rung{same, own} {
		if g != nil {
			walls = append(walls, fmt.Sprintf("%s times as long with %s", digits((base+r.added(g).Median)/base), g.Transport))
		}
	}
	return Answer{
		"Beside the exit that comes before it?",
		fmt.Sprintf("An exit and its emulation take %s here without a wall, nearly all of it the exit (%s, %s). With the wall they take %s.", nanos(base), nanos(exit), source, list(walls)),
	}, true
}

func (r *Result) answerOverhead() (Answer, bool) {
	same, own := r.ends()
	var parts []string
	for _, g := range []*Rung{same, own} {
		if g == nil {
			continue
		}
		added := r.added(g).Median
		for _, m := range r.Parameters.Mixes {
			if x, ok := r.mixed(&m, g.Name); ok { // the first mix that was measured
				added = x.Added.Median
				break
			}
		}
		parts = append(parts, fmt.Sprintf("%s of a CPU with %s, and stays below 1 %% up to %s a second", percent(typicalRate*added/1e9), g.Transport, count(rate(0.01, added))))
	}
	if len(parts) == 0 {
		return Answer{}, false
	}
	text := fmt.Sprintf("A virtual CPU whose exits need %s emulations a second loses %s.", count(typicalRate), strings.Join(parts, "; "))
	if own != nil {
		text += " A worker that spins burns a CPU besides, whether there is work or not."
	}
	return Answer{"For a whole guest?", text}, true
}

func (r *Result) answerProtocols() (Answer, bool) {
	var parts []string
	for _, p := range depriv.Protocols() {
		if g := r.best(p, false); g != nil {
			parts = append(parts, fmt.Sprintf("%s %s (crossings: %s)", p, nanos(r.added(g).Median), crossText(r.Cell(g.Name, r.class(), 1).Crossings)))
		}
	}
	if len(parts) < 2 {
		return Answer{}, false
	}
	return Answer{
		"Does the interface matter?",
		fmt.Sprintf("What the wall adds to the same %s, with the worker on the caller's CPU, by protocol: %s. hooks is the emulator's own interface moved over the wall unchanged; a window saves the crossing that asks for an operand, and shows the worker all of that guest's memory.", r.class(), strings.Join(parts, ", ")),
	}, true
}

func (r *Result) answerTrust() (Answer, bool) {
	reads, builds, behind := r.TrustedLines(SideReads), r.TrustedLines(SideBuilds), r.TrustedLines(SideBehind)
	if reads == 0 {
		return Answer{}, false
	}
	rows := 0
	for _, t := range r.Trusted {
		rows += t.Rows
	}
	return Answer{
		"What has to be trusted?",
		fmt.Sprintf("%s lines of Go in the caller read what a worker sends (message, judge, transports, applying the result); %s more build the wall and replace workers. Behind it run %s lines and a table of %s rows, and they grow with the instruction set; the trusted lines do not. A flaw behind the wall that takes the worker over reaches no further than the guest that caused it.",
			count(float64(reads)), count(float64(builds)), count(float64(behind)), count(float64(rows))),
	}, true
}

func (r *Result) answerLife() (Answer, bool) {
	start, spare, replace := r.life(LifeStart), r.life(LifeSpare), r.life(LifeReplace)
	if start == nil || spare == nil || replace == nil {
		return Answer{}, false
	}
	return Answer{
		"And when a worker dies?",
		fmt.Sprintf("A worker is ready %s after it is started, with every mechanism of the sandbox. When one is killed, the spare answers after %s. Replacing the worker of a running system with a new build makes one step take %s and loses none.",
			nanos(start.Value.Median), nanos(spare.Value.Median), nanos(replace.Value.Median)),
	}, true
}

// exposure tells what a protocol gives a worker, and what it costs.
var exposure = []struct {
	protocol                depriv.Protocol
	sees, reaches, concedes string
}{
	{depriv.Message, "registers of one virtual CPU, the bytes of one instruction and of its operands", "nothing by itself: a reply is judged whole before any of it is applied", "asked again when an operand is needed that was not sent along"},
	{depriv.Hooks, "the same, one question at a time", "nothing by itself: each question and the end are judged", "one crossing for each hook: what Xen's x86_emulate_ops would do if it were moved unchanged"},
	{depriv.Window, "all RAM of that guest, to read", "nothing by itself; writes come as effects and are judged", "RAM only: devices and the accessed bit of its reads are passed by"},
	{depriv.WindowWrite, "all RAM of that guest, to read and write", "writes that guest's RAM directly, at any privilege", "past devices and accessed and dirty bits; a step that was not answered cannot be run again"},
}
