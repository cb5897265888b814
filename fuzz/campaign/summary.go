package campaign

import (
	"fmt"
	"sort"
	"time"

	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/fuzz/diff"
	"github.com/seed-4e121ece/ringfence/fuzz/reach"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// Summary is what a campaign did.
type Summary struct {
	Subject, Reference string
	// Run names the run in the divergences' folders.
	Run     string
	Seed    uint64
	Seeds   int
	Elapsed time.Duration
	Counts  diff.Counts
	// Reach is what the cases of each row have reached in each mode.
	Reach *reach.Table
	// Kept is the number of cases that reached what none of their encoding had
	// before them, and were kept to be varied.
	Kept uint64
	// Lost is the number of cases without an answer, as an engine died on them
	// twice.
	Lost uint64
	// Unstable are cases to which the reference gave two answers: noise of the
	// harness, or an instruction whose result depends on more than its inputs.
	// They are not among the divergences.
	Unstable []Unstable
	// Rules are what each comparison rule masked, those that matched nothing
	// included.
	Rules []RuleUse
	// Quirks are what each quirk of a reference decoder absorbed.
	Quirks []QuirkUse
	// Decoded says what each decoder was compared on.
	Decoded []DecoderUse
	// Covered is the number of encodings of Table with a case that retired.
	Covered, Table int
	// Uncovered are the others, by name, with the reason.
	Uncovered []Uncovered
	// Divergences are in the order in which they were found; New is how many
	// were not known before.
	Divergences []Divergence
	New         int
}

// Unstable is a case to which a reference gave two answers.
type Unstable struct {
	Code, Text string
	Outcomes   [2]string
	Detail     string
}

// RuleUse says what a comparison rule did.
type RuleUse struct {
	Rule  oracle.Rule
	Count oracle.RuleCount
}

// QuirkUse says how often a quirk explained a difference.
type QuirkUse struct {
	Engine, Name, Reason string
	Count                uint64
}

// DecoderUse says what a decoder was compared on.
type DecoderUse struct {
	Name                string
	Compared, Uncovered uint64
	// Groups are the strings that one of the two does not cover, by group.
	Groups map[string]uint64
}

// Uncovered is an encoding with no case that retired.
type Uncovered struct {
	Encoding, Syntax, Mnemonic string
	Reason                     string
	Cases                      uint64
}

// Divergence is one divergence of a campaign.
type Divergence struct {
	Signature string
	// New says that it was not known before; Path is its folder, "" if none
	// was written.
	New  bool
	Path string
	// Kind is the record's; Mnemonic the family; Code the bytes in hex; Text
	// the disassembly; Fields the differing fields.
	Kind, Mnemonic, Code, Text string
	Fields                     []string
	// Detail says which flags and registers; Outcomes are the subject's and
	// the reference's; Replay is the command that runs it again.
	Detail    []string
	Outcomes  [2]string
	Reference string
	Replay    string
	// Count is how many cases diverged in this way, After how many had run
	// when the first was found, At how long that had taken.
	Count uint64
	After uint64
	At    time.Duration
}

// RetiredShare is the share of compared cases that retired, 0 to 1.
func (s *Summary) RetiredShare() float64 {
	if s.Counts.Compared == 0 {
		return 0
	}
	return float64(s.Counts.Retired) / float64(s.Counts.Compared)
}

// Families counts the divergent cases by mnemonic.
func (s *Summary) Families() map[string]uint64 {
	m := map[string]uint64{}
	for i := range s.Divergences {
		m[s.Divergences[i].Mnemonic] += s.Divergences[i].Count
	}
	return m
}

func (c *campaign) summarise(workers []*worker) *Summary {
	s := &Summary{
		Subject: c.cfg.Subject.Name, Reference: c.reference.Name, Run: c.run, Seed: c.cfg.Seed, Seeds: c.seeds,
		Elapsed: time.Since(c.start), Counts: diff.NewCounts(), Reach: reach.NewTable(),
	}
	var rules oracle.RuleCounts
	for _, w := range workers {
		s.Counts.Add(&w.differ.Counts)
		s.Reach.Add(w.differ.Reach)
		for _, source := range w.sources {
			s.Kept += source.kept.count
		}
		rules.Add(&w.differ.Comparer.Counts)
		s.Lost += w.lost
		s.Unstable = append(s.Unstable, w.unstable...)
	}
	for _, r := range oracle.Rules() {
		s.Rules = append(s.Rules, RuleUse{r, rules[r.ID]})
	}
	s.decoders(workers)
	s.coverage(c)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range c.order {
		s.Divergences = append(s.Divergences, *d)
	}
	s.New = c.fresh
	return s
}

func (s *Summary) decoders(workers []*worker) {
	for i, d := range workers[0].decoders {
		total := diff.NewDecoders(d.Subject, d.Reference, d.Quirks.Rows)
		for _, w := range workers {
			total.Merge(w.decoders[i])
		}
		s.Decoded = append(s.Decoded, DecoderUse{d.Reference.Name(), total.Compared, total.Uncovered, total.Groups})
		for j := range total.Quirks.Rows {
			q := &total.Quirks.Rows[j]
			s.Quirks = append(s.Quirks, QuirkUse{q.Engine, q.Name, q.Reason, total.Quirks.Counts[j]})
		}
	}
}

// coverage lists the encodings of the mode with no case that retired.
func (s *Summary) coverage(c *campaign) {
	for _, row := range isa.Rows() {
		if !c.inTable(&row) {
			continue
		}
		s.Table++
		k := &s.Counts.Rows[row.ID]
		if k.Retired > 0 {
			s.Covered++
			continue
		}
		s.Uncovered = append(s.Uncovered, Uncovered{row.Encoding, row.Syntax, row.Mnemonic.String(), reason(&row, k, c.cfg.Profile), k.Cases})
	}
	sort.SliceStable(s.Uncovered, func(i, j int) bool { return s.Uncovered[i].Reason < s.Uncovered[j].Reason })
}

// reason tells why no case of a row retired.
func reason(row *isa.Row, k *diff.RowCount, p *isa.Profile) string {
	switch {
	case row.Missing(&p.Features) != isa.FeatureNone:
		return "feature absent: " + row.Missing(&p.Features).String()
	case k.Unimplemented > 0 && k.Unimplemented == k.Cases:
		return "not implemented"
	case k.Cases == 0 && row.Attr&isa.AttrX87 != 0:
		return "decoded only: x87 has no semantics yet"
	case k.Cases == 0 && row.Attr&isa.AttrVector != 0:
		return "decoded only: vector instructions have no semantics yet"
	case k.Cases == 0 && p.Vendor == isa.Intel && row.Attr&isa.AttrForce64 != 0 && row.Pattern.OpSize == 2:
		return "another vendor's: this CPU ignores 66h on near branches in 64-bit mode"
	case k.Cases == 0:
		return "no case"
	case k.Endings&(1<<oracle.SystemCall) != 0:
		return "enters the kernel"
	case k.Endings&(1<<oracle.Quarantined) != 0:
		return "quarantined: the result depends on the machine"
	case k.Endings&(1<<oracle.RanAway) != 0:
		return "ran away"
	case k.Endings&(1<<oracle.Died) != 0:
		return "the reference died"
	case row.Attr&isa.AttrCPL0 != 0:
		return "privileged: faults at CPL 3 (" + vectorNames(k.Vectors) + ")"
	case row.Attr&isa.AttrIOPL != 0:
		return "faults above IOPL (" + vectorNames(k.Vectors) + ")"
	case k.Endings&(1<<oracle.Unsupported) != 0:
		return "unsupported by the reference"
	case k.Faulted == k.Cases:
		return "always faults (" + vectorNames(k.Vectors) + ")"
	}
	return fmt.Sprintf("%d of %d cases faulted, none retired", k.Faulted, k.Cases)
}

func vectorNames(set uint32) string {
	text := ""
	for v := range uint8(32) {
		if set>>v&1 != 0 {
			if text != "" {
				text += " "
			}
			text += x86.VectorName(v)
		}
	}
	return text
}
