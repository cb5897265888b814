package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"runtime/debug"
	"sort"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/fuzz/campaign"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// printer writes the summary for a person: aligned tables under headings.
type printer struct {
	out *bufio.Writer
	s   *campaign.Summary
	cfg *campaign.Config
}

// printSummary writes the summary for a person.
func printSummary(w io.Writer, s *campaign.Summary, cfg *campaign.Config) error {
	p := &printer{bufio.NewWriter(w), s, cfg}
	p.totals()
	p.rules()
	p.decoders()
	if cfg.States > 0 {
		p.states()
	} else {
		p.uncovered()
	}
	p.unstable()
	p.divergences()
	return p.out.Flush()
}

// table writes rows whose cells are separated by tabs, the first column
// indented.
func (p *printer) table(rows func(w io.Writer)) {
	t := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	rows(t)
	_ = t.Flush() // the buffer below keeps its error
}

func (p *printer) totals() {
	s, k := p.s, &p.s.Counts
	reference := s.Reference
	if reference == "" {
		reference = "no executor"
	}
	for _, d := range s.Decoded {
		reference += ", " + d.Name
	}
	fmt.Fprintf(p.out, "%s against %s\n\n", s.Subject, reference)
	p.table(func(w io.Writer) {
		fmt.Fprintf(w, "  time\t%s, %d jobs, seed %d, %s seeds first\n", s.Elapsed.Truncate(100*time.Millisecond), p.cfg.Jobs, s.Seed, commas(uint64(s.Seeds)))
		fmt.Fprintf(w, "  cases\t%s (%s/s)\n", commas(k.Cases), commas(uint64(float64(k.Cases)/max(s.Elapsed.Seconds(), 1e-3))))
		fmt.Fprintf(w, "  compared\t%s\n", commas(k.Compared))
		fmt.Fprintf(w, "  retired\t%s (%.1f %% of compared)\n", commas(k.Retired), 100*s.RetiredShare())
		fmt.Fprintf(w, "  raised\t%s\n", vectors(k.Vectors[:]))
		fmt.Fprintf(w, "  no instruction\t%s\n", invalid(k.Invalid[:]))
		fmt.Fprintf(w, "  not implemented\t%s cases\n", commas(k.Unimplemented))
		fmt.Fprintf(w, "  without an answer\t%s cases\n", commas(s.Lost))
		fmt.Fprintf(w, "  unstable\t%s cases to which the reference gave two answers\n", commas(uint64(len(s.Unstable))))
		fmt.Fprintf(w, "  encodings\t%d of %d have a case that retired\n", s.Covered, s.Table)
		fmt.Fprintf(w, "  reached\t%s outcomes, patterns of flags and bits that toggled, over all encodings and modes; %s cases were kept for one, and varied\n",
			commas(uint64(s.Reach.Reached())), commas(s.Kept))
		fmt.Fprintf(w, "  divergences\t%d, %d of them new\n", len(s.Divergences), s.New)
	})
}

// vectors lists the exceptions by number of cases.
func vectors(counts []uint64) string {
	var order []int
	for v, n := range counts {
		if n > 0 {
			order = append(order, v)
		}
	}
	sort.SliceStable(order, func(i, j int) bool { return counts[order[i]] > counts[order[j]] })
	var parts []string
	for _, v := range order {
		parts = append(parts, x86.VectorName(uint8(v))+" "+commas(counts[v]))
	}
	if parts == nil {
		return "nothing"
	}
	return strings.Join(parts, "  ")
}

// invalid lists why bytes were no instruction.
func invalid(counts []uint64) string {
	var parts []string
	for r, n := range counts {
		if n > 0 && decode.Reason(r) != decode.Valid {
			parts = append(parts, decode.Reason(r).String()+" "+commas(n))
		}
	}
	if parts == nil {
		return "none"
	}
	return strings.Join(parts, ", ")
}

func (p *printer) rules() {
	for _, part := range []struct {
		skips         bool
		heading, what string
	}{
		{false, "fields masked by each comparison rule", "masked"},
		{true, "cases that a rule leaves out", "cases"},
	} {
		var idle []string
		fmt.Fprintf(p.out, "\n%s\n", part.heading)
		p.table(func(w io.Writer) {
			for _, r := range p.s.Rules {
				switch {
				case r.Rule.Skips != part.skips:
				case r.Count.Matched == 0:
					idle = append(idle, r.Rule.Name)
				case part.skips:
					fmt.Fprintf(w, "  %s\t%s\t%s\n", r.Rule.Name, commas(r.Count.Masked), r.Rule.Reason)
				default:
					fmt.Fprintf(w, "  %s\t%s of %s\t%s\n", r.Rule.Name, commas(r.Count.Masked), commas(r.Count.Matched), r.Rule.Reason)
				}
			}
		})
		p.list("  matched nothing: ", idle)
	}
}

func (p *printer) decoders() {
	for _, d := range p.s.Decoded {
		fmt.Fprintf(p.out, "\ndecoder %s: %s strings compared, %s not in both tables\n", d.Name, commas(d.Compared), commas(d.Uncovered))
		var groups, idle []string
		for _, g := range sortedKeys(d.Groups) {
			groups = append(groups, g+" "+commas(d.Groups[g]))
		}
		p.list("  not in both tables: ", groups)
		fmt.Fprintf(p.out, "  its known faults, and how many differences each explained\n")
		p.table(func(w io.Writer) {
			for _, q := range p.s.Quirks {
				switch {
				case q.Engine != d.Name:
				case q.Count == 0:
					idle = append(idle, q.Name)
				default:
					fmt.Fprintf(w, "    %s\t%s\t%s\n", q.Name, commas(q.Count), clip(q.Reason, 140))
				}
			}
		})
		p.list("    met no case: ", idle)
	}
}

// clip shortens a text to n characters.
func clip(text string, n int) string {
	r := []rune(text)
	if len(r) <= n {
		return text
	}
	return string(r[:n-1]) + "…"
}

// lineWidth is where lists are broken into lines.
const lineWidth = 118

// list writes items after a heading, separated by commas, in lines of a bearable
// length; nothing if there are none.
func (p *printer) list(heading string, items []string) {
	if len(items) == 0 {
		return
	}
	indent := strings.Repeat(" ", len(heading)-len(strings.TrimLeft(heading, " "))+2)
	line := heading
	for i, item := range items {
		if i < len(items)-1 {
			item += ", "
		}
		if len(line)+len(item) > lineWidth && strings.TrimSpace(line) != "" {
			fmt.Fprintln(p.out, strings.TrimRight(line, " "))
			line = indent
		}
		line += item
	}
	fmt.Fprintln(p.out, line)
}

// longGroup is the number of encodings above which a group is listed by mnemonic.
const longGroup = 80

// uncovered names every encoding that no case retired, by reason; a long group
// by mnemonic, with the number of encodings.
func (p *printer) uncovered() {
	all := p.s.Uncovered
	if len(all) == 0 {
		fmt.Fprintf(p.out, "\nevery encoding has a case that retired\n")
		return
	}
	fmt.Fprintf(p.out, "\nencodings without a case that retired: %d (--json names each encoding of the long groups too)\n", len(all))
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].Reason == all[0].Reason {
			n++
		}
		fmt.Fprintf(p.out, "  %s (%d)\n", all[0].Reason, n)
		p.list("    ", names(all[:n]))
		all = all[n:]
	}
}

// names lists the encodings of a group, or its mnemonics.
func names(group []campaign.Uncovered) []string {
	var out []string
	if len(group) <= longGroup {
		for i := range group {
			out = append(out, fmt.Sprintf("%s [%s]", group[i].Syntax, group[i].Encoding))
		}
		return out
	}
	counts := map[string]uint64{}
	for i := range group {
		counts[group[i].Mnemonic]++
	}
	for _, m := range sortedKeys(counts) {
		if counts[m] > 1 {
			m = fmt.Sprintf("%s (%d)", m, counts[m])
		}
		out = append(out, m)
	}
	return out
}

// unstable lists what the reference does not agree with itself on.
func (p *printer) unstable() {
	if len(p.s.Unstable) == 0 {
		return
	}
	fmt.Fprintf(p.out, "\nunstable: two answers of the reference to one case, %d\n", len(p.s.Unstable))
	for i, u := range p.s.Unstable {
		if i == maxListed {
			fmt.Fprintf(p.out, "  … and %d more, with --json\n", len(p.s.Unstable)-i)
			break
		}
		fmt.Fprintf(p.out, "  %s  %s: %s, then %s %s\n", u.Text, u.Code, u.Outcomes[0], u.Outcomes[1], u.Detail)
	}
}

// maxListed is how many divergences are listed for a person: a subject that is
// broken throughout has hundreds.
const maxListed = 40

func (p *printer) divergences() {
	if len(p.s.Divergences) == 0 {
		fmt.Fprintf(p.out, "\nno divergence\n")
		return
	}
	fmt.Fprintf(p.out, "\ndivergences: %d\n", len(p.s.Divergences))
	for i := range p.s.Divergences {
		if i == maxListed {
			fmt.Fprintf(p.out, "  … and %d more, in %s and with --json\n", len(p.s.Divergences)-i, p.cfg.Out)
			break
		}
		d := &p.s.Divergences[i]
		age := "known"
		if d.New {
			age = "new"
		}
		fmt.Fprintf(p.out, "  %s  %s (%s), %s cases, first after %s\n", d.Text, d.Kind, age, commas(d.Count), commas(d.After))
		fmt.Fprintf(p.out, "    %s differs in %s: %s %s, %s %s", d.Code, strings.Join(d.Fields, ", "),
			p.s.Subject, d.Outcomes[0], d.Reference, d.Outcomes[1])
		if len(d.Detail) > 0 {
			fmt.Fprintf(p.out, " (%s)", strings.Join(d.Detail, "; "))
		}
		fmt.Fprintln(p.out)
		if d.Path != "" {
			fmt.Fprintf(p.out, "    %s\n", d.Replay)
		}
	}
}

// commas writes a number with a comma between thousands.
func commas(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func sortedKeys(m map[string]uint64) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// revision returns the commit that the command was built from, "" if the build
// does not tell.
func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	commit, dirty := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "-modified"
		}
	}
	if commit == "" {
		return ""
	}
	return commit + dirty
}

// moduleVersion returns the version of a module that the command was built
// with, "" if the build does not tell.
func moduleVersion(path string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, m := range info.Deps {
		if m.Path == path {
			return m.Version
		}
	}
	return ""
}

// divergenceLine and summaryLine are the lines of `fuzz --json`.
type divergenceLine struct {
	Type      string   `json:"type"`
	Signature string   `json:"signature"`
	New       bool     `json:"new"`
	Path      string   `json:"path,omitempty"`
	Kind      string   `json:"kind"`
	Mnemonic  string   `json:"mnemonic"`
	Code      string   `json:"code"`
	Text      string   `json:"text"`
	Fields    []string `json:"fields"`
	Detail    []string `json:"detail,omitempty"`
	// Outcomes are what each engine ended with, by its name.
	Outcomes map[string]string `json:"outcomes"`
	Count    uint64            `json:"count"`
	After    uint64            `json:"after"`
	Replay   string            `json:"replay,omitempty"`
}

type summaryLine struct {
	Type         string            `json:"type"`
	Subject      string            `json:"subject"`
	Reference    string            `json:"reference"`
	Run          string            `json:"run"`
	Seed         uint64            `json:"seed"`
	Jobs         int               `json:"jobs"`
	Seconds      float64           `json:"seconds"`
	Cases        uint64            `json:"cases"`
	PerSecond    float64           `json:"cases_per_second"`
	Compared     uint64            `json:"compared"`
	Retired      uint64            `json:"retired"`
	RetiredShare float64           `json:"retired_share"`
	Raised       map[string]uint64 `json:"raised"`
	Invalid      map[string]uint64 `json:"invalid"`
	NotCompared  map[string]uint64 `json:"not_compared"`
	Unimpl       uint64            `json:"not_implemented"`
	Lost         uint64            `json:"lost"`
	Unstable     []unstableLine    `json:"unstable"`
	Covered      int               `json:"encodings_covered"`
	Table        int               `json:"encodings"`
	Reached      int               `json:"reached"`
	Kept         uint64            `json:"kept"`
	Rules        []ruleLine        `json:"rules"`
	Quirks       []quirkLine       `json:"quirks"`
	Decoders     []decoderLine     `json:"decoders"`
	Uncovered    []uncoveredLine   `json:"uncovered"`
	States       *statesLine       `json:"states,omitempty"`
	Divergences  int               `json:"divergences"`
	New          int               `json:"new"`
}

type unstableLine struct {
	Code     string    `json:"code"`
	Text     string    `json:"text"`
	Outcomes [2]string `json:"outcomes"`
	Detail   string    `json:"detail,omitempty"`
}

type ruleLine struct {
	Name    string `json:"name"`
	Matched uint64 `json:"matched"`
	Masked  uint64 `json:"masked"`
}

type quirkLine struct {
	Engine   string `json:"engine"`
	Name     string `json:"name"`
	Absorbed uint64 `json:"absorbed"`
}

type decoderLine struct {
	Engine    string            `json:"engine"`
	Compared  uint64            `json:"compared"`
	Uncovered uint64            `json:"uncovered"`
	Groups    map[string]uint64 `json:"groups"`
}

type uncoveredLine struct {
	Syntax   string `json:"syntax"`
	Encoding string `json:"encoding"`
	Reason   string `json:"reason"`
	Cases    uint64 `json:"cases"`
}

// writeSummary writes the summary for a program: a line a divergence, then one
// for the campaign.
func writeSummary(w io.Writer, s *campaign.Summary, cfg *campaign.Config) error {
	out := bufio.NewWriter(w)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	for _, d := range s.Divergences {
		line := divergenceLine{
			Type: "divergence", Signature: d.Signature, New: d.New, Path: d.Path, Kind: d.Kind, Mnemonic: d.Mnemonic, Code: d.Code,
			Text: d.Text, Fields: d.Fields, Detail: d.Detail, Outcomes: map[string]string{s.Subject: d.Outcomes[0], d.Reference: d.Outcomes[1]},
			Count: d.Count, After: d.After, Replay: d.Replay,
		}
		if err := enc.Encode(&line); err != nil {
			return err
		}
	}
	if err := enc.Encode(summaryOf(s, cfg)); err != nil {
		return err
	}
	return out.Flush()
}

func summaryOf(s *campaign.Summary, cfg *campaign.Config) *summaryLine {
	k := &s.Counts
	line := &summaryLine{
		Type: "summary", Subject: s.Subject, Reference: s.Reference, Run: s.Run, Seed: s.Seed, Jobs: cfg.Jobs,
		Seconds: s.Elapsed.Seconds(), Cases: k.Cases, PerSecond: float64(k.Cases) / max(s.Elapsed.Seconds(), 1e-3),
		Compared: k.Compared, Retired: k.Retired, RetiredShare: s.RetiredShare(),
		Raised: map[string]uint64{}, Invalid: map[string]uint64{}, NotCompared: map[string]uint64{},
		Unimpl: k.Unimplemented, Lost: s.Lost, Covered: s.Covered, Table: s.Table, Reached: s.Reach.Reached(), Kept: s.Kept,
		Unstable: []unstableLine{}, Rules: []ruleLine{}, Quirks: []quirkLine{}, Decoders: []decoderLine{}, Uncovered: []uncoveredLine{},
		Divergences: len(s.Divergences), New: s.New,
	}
	for v, n := range k.Vectors {
		if n > 0 {
			line.Raised[x86.VectorName(uint8(v))] = n
		}
	}
	for r, n := range k.Invalid {
		if n > 0 && decode.Reason(r) != decode.Valid {
			line.Invalid[decode.Reason(r).String()] = n
		}
	}
	for e, n := range k.Endings {
		if n > 0 && oracle.Ending(e) != oracle.Ended {
			line.NotCompared[oracle.Ending(e).String()] = n
		}
	}
	for _, u := range s.Unstable {
		line.Unstable = append(line.Unstable, unstableLine(u))
	}
	for _, r := range s.Rules {
		line.Rules = append(line.Rules, ruleLine{r.Rule.Name, r.Count.Matched, r.Count.Masked})
	}
	for _, q := range s.Quirks {
		line.Quirks = append(line.Quirks, quirkLine{q.Engine, q.Name, q.Count})
	}
	for _, d := range s.Decoded {
		line.Decoders = append(line.Decoders, decoderLine{d.Name, d.Compared, d.Uncovered, d.Groups})
	}
	for _, u := range s.Uncovered {
		line.Uncovered = append(line.Uncovered, uncoveredLine{u.Syntax, u.Encoding, u.Reason, u.Cases})
	}
	if cfg.States > 0 {
		line.States = statesOf(s, cfg)
	}
	return line
}
