package mutants

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// Report counts verdicts.
type Report struct {
	Verdicts []*Verdict
	// Rejected is the number of draws that did not compile.
	Rejected int
	// Explained are the survivors that are called equivalent.
	Explained map[string]*Explained
	Scope     *Scope
}

type tally struct {
	run, killed, crashed, hung, explained, survived, undecided int
	cases                                                      []uint64
}

func (t *tally) add(v *Verdict, explained bool, full bool) {
	t.run++
	switch {
	case v.Killed():
		t.killed++
		switch v.End {
		case Crashed:
			t.crashed++
		case Hung:
			t.hung++
		default:
			t.cases = append(t.cases, v.Answer.Cases)
		}
	case explained:
		t.explained++
	case !full:
		t.undecided++
	default:
		t.survived++
	}
}

func (t *tally) median() string {
	if len(t.cases) == 0 {
		return "-"
	}
	slices.Sort(t.cases)
	return fmt.Sprint(t.cases[len(t.cases)/2])
}

func (t *tally) line(name string) string {
	return fmt.Sprintf("%s\t%d\t%d\t%.1f %%\t%d\t%d\t%d\t%d\t%d\t%s\n", name, t.run, t.killed, percent(t.killed, t.run),
		t.crashed, t.hung, t.explained, t.survived, t.undecided, t.median())
}

func percent(n, of int) float64 {
	if of == 0 {
		return 0
	}
	return 100 * float64(n) / float64(of)
}

// Survivors returns the mutants that had the full time, were not killed and
// are not explained.
func (r *Report) Survivors(limit *Runner) (list []*Verdict) {
	for _, v := range r.Verdicts {
		if v.Unseen() && v.Limit >= limit.Limit && r.Explained[v.Mutant.Key()] == nil {
			list = append(list, v)
		}
	}
	return list
}

// Shares that a full run has to hold, in per cent. A short run, of less than a
// hundred, where one mutant is more than the share and nobody has looked at
// which survivors are equivalent, is there to see that the machinery and the
// harness work: it prints the survivors and fails when more than a fifth
// survive.
const (
	wantKilled      = 98
	wantKilledShort = 80
	mostEquivalent  = 3
)

// Judge returns what the verdicts fall short of, "" if nothing. Mutants that
// are undecided or equivalent count neither way for the share of the killed.
func (r *Report) Judge(limit *Runner) string {
	t := &tally{}
	for _, v := range r.Verdicts {
		t.add(v, r.Explained[v.Mutant.Key()] != nil, v.Limit >= limit.Limit)
	}
	if share := percent(t.explained, t.run); t.run >= 100 && share > mostEquivalent {
		return fmt.Sprintf("%.1f %% of the mutants are called equivalent: at most %d %% may be", share, mostEquivalent)
	}
	want := float64(wantKilled)
	if t.run < 100 {
		want = wantKilledShort
	}
	if share := percent(t.killed, t.killed+t.survived); t.survived > 0 && share < want {
		return fmt.Sprintf("%d of %d mutants survived, %.1f %% were killed: want %.0f %%, and each survivor killed or explained", t.survived, t.run, share, want)
	}
	return ""
}

// Write prints the survivors, then a table by package and by kind.
func (r *Report) Write(w io.Writer, limit *Runner) {
	for _, v := range r.Survivors(limit) {
		fmt.Fprintf(w, "SURVIVED %s", v.Mutant.Diff())
	}
	for _, v := range r.Verdicts {
		if e := r.Explained[v.Mutant.Key()]; e != nil && v.Unseen() {
			fmt.Fprintf(w, "equivalent: %s: %s => %s: %s\n", v.Mutant.Where(), e.Before, e.After, e.Why)
		}
	}
	total := &tally{}
	packages, kinds := map[string]*tally{}, map[string]*tally{}
	for _, v := range r.Verdicts {
		explained, full := r.Explained[v.Mutant.Key()] != nil, v.Limit >= limit.Limit
		for _, t := range []*tally{total, group(packages, v.Mutant.Package), group(kinds, v.Mutant.Kind)} {
			t.add(v, explained, full)
		}
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	header := "mutants\tkilled\tshare\tby crash\tby hang\tequivalent\tsurvived\tundecided\tmedian cases\n"
	fmt.Fprint(tw, "package\t"+header)
	for _, name := range sorted(packages) {
		fmt.Fprint(tw, packages[name].line(name))
	}
	fmt.Fprint(tw, total.line("all"))
	tw.Flush()
	tw = tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(tw, "\nkind\t"+header)
	for _, name := range sorted(kinds) {
		fmt.Fprint(tw, kinds[name].line(name))
	}
	tw.Flush()
	if r.Rejected > 0 {
		fmt.Fprintf(w, "%d draws did not compile and are not counted\n", r.Rejected)
	}
	if r.Scope != nil {
		fmt.Fprint(w, r.Scope)
	}
}

func group(m map[string]*tally, name string) *tally {
	if m[name] == nil {
		m[name] = &tally{}
	}
	return m[name]
}
