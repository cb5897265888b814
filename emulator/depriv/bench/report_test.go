package bench

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/perf/benchfmt"
)

// sample is a run with figures made up: two rungs with a wall, one in-process
// and one that failed, some classes, a floor.
func sample() *Result {
	r := &Result{
		Machine:    Machine{OS: "linux", Arch: "amd64", CPU: "a CPU & more <x>", CPUs: 2, Go: "go1", Sandbox: []string{"seccomp: on"}},
		Parameters: Parameters{Mixes: DefaultMixes()},
		Run:        RunFacts{Started: time.Unix(1.7e9, 0).UTC(), Seconds: 10, Rounds: 6, Seed: 1},
		Trusted:    []Trusted{{"judge", SideReads, 500, 0}, {"decoder", SideBehind, 2000, 0}, {"table", SideBehind, 0, 5000}},
		Floors: []Floor{
			{Name: FloorLine, About: "a line", Time: Summarize([]float64{100, 101, 102}), Values: []float64{100, 101, 102}},
			{Name: FloorExit, Missing: "no hypervisor beneath"},
		},
		Rungs: []Rung{
			{Name: Direct, Transport: Direct},
			{Name: "spin/message", Transport: "spin", Protocol: "message", Walled: true},
			{Name: "futex/message", Transport: "futex", Protocol: "message", Walled: true},
			{Name: "futex/hooks", Transport: "futex", Protocol: "hooks", Walled: true, Missing: "broken & <gone>"},
		},
		Echoes:     []Echo{{"spin", 1, Summarize([]float64{150}), Tail{10, 150, 200, 300}}},
		Contention: []Contention{{"spin/message", 2, false, Tail{10, 150, 200, 300}, Summarize([]float64{1e6}), Summarize([]float64{1e5})}},
		Places:     []Place{{"futex/message", PlaceSame, true, Summarize([]float64{5000}), Tail{}}},
		Sparse:     []Sparse{{"futex/message", 2e4, Tail{}, Summarize(nil)}},
		Pollution:  []Pollution{{"futex/message", "L1", Summarize([]float64{5000}), Summarize([]float64{50})}},
		Lives:      []Life{{LifeStart, "start", unitTime, Summarize([]float64{2e6}), []float64{2e6}}, {LifeMemory, "memory", unitBytes, Summarize([]float64{9e6}), []float64{9e6}}},
	}
	for rung, base := range map[string]float64{Direct: 60, "spin/message": 900, "futex/message": 5000} {
		for _, c := range classes {
			for _, batch := range []int{1, 8, 64} {
				v := []float64{base, base + 1, base + 2, base + 3, base + 4, base + 5}
				added := make([]float64, len(v))
				for i := range v {
					added[i] = base - 60
				}
				r.Cells = append(r.Cells, Cell{
					Rung: rung, Class: c.Name, Batch: batch, Time: Summarize(v), Added: Summarize(added), CPU: Summarize(v), Crossings: 2,
					Tail: Tail{100, base, 2 * base, 3 * base}, Values: v, Requests: []uint64{1, 2, 3, 4, 5, 6},
				})
			}
		}
	}
	return r
}

// TestReport: the page is well-formed and takes nothing from elsewhere, whatever
// part of a run is there.
func TestReport(t *testing.T) {
	disturbed := sample()
	disturbed.Run.Disturbed, disturbed.Run.Others = 5, Summarize([]float64{0.5, 0.5, 0.5, 0.5, 0.5, 0})
	given := sample()
	given.Parameters.Exit, given.Parameters.ExitSource = 700, "a book"
	inProcess := sample()
	inProcess.Rungs = inProcess.Rungs[:1]
	odd := sample()
	odd.Cells[0].Time.Median, odd.Cells[0].Added.Median = math.NaN(), math.Inf(1)
	for _, tt := range []struct {
		name      string
		r         *Result
		has, miss string
	}{
		{"whole", sample(), "a CPU &amp; more &lt;x&gt;", "DISTURBED"},
		{"disturbed", disturbed, "DISTURBED: in 5 of 6 rounds", ""},
		{"an exit is given", given, "given: a book", "not known on this machine"},
		{"no wall", inProcess, "What a wall", "For a whole guest?"},
		{"empty", &Result{}, "What a wall", "DISTURBED"},
		{"odd values", odd, "What a wall", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b bytes.Buffer
			require.NoError(t, tt.r.WriteReport(&b))
			text := b.String()
			require.Contains(t, text, tt.has)
			if tt.miss != "" {
				require.NotContains(t, text, tt.miss)
			}
			wellFormed(t, text)
			require.NotRegexp(t, regexp.MustCompile(`(?i)<script|<link|<img|<iframe|@import|url\(|\s(src|href)\s*=|https?://`), text)
			if tt.name != "odd values" {
				require.NotRegexp(t, `NaN|Inf\b|%!`, text)
			}
		})
	}
}

// void are elements of HTML without an end.
var void = regexp.MustCompile(`<(meta|br|hr)([^>]*)>`)

// wellFormed checks that each element ends where it should.
func wellFormed(t *testing.T, text string) {
	t.Helper()
	text = strings.Replace(text, "<!DOCTYPE html>", "", 1)
	dec := xml.NewDecoder(strings.NewReader(void.ReplaceAllString(text, "<$1$2/>")))
	dec.Entity = xml.HTMLEntity
	for {
		_, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
	}
}

// failing is a disk that takes nothing.
type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestReportFullDisk(t *testing.T) {
	full := errors.New("no space left")
	for name, write := range map[string]func(io.Writer) error{
		"report": sample().WriteReport, "benchmarks": sample().WriteBenchmarks, "json": sample().WriteJSON, "summary": sample().WriteSummary,
	} {
		require.ErrorIs(t, write(failing{full}), full, name)
	}
}

// TestBenchmarks reads the benchmark format back as benchstat does.
func TestBenchmarks(t *testing.T) {
	r := sample()
	var b bytes.Buffer
	require.NoError(t, r.WriteBenchmarks(&b))
	reader := benchfmt.NewReader(&b, "run")
	found := map[string]int{}
	for reader.Scan() {
		switch rec := reader.Result().(type) {
		case *benchfmt.Result:
			require.Equal(t, "linux", rec.GetConfig("goos"))
			v, ok := rec.Value("sec/op") // benchfmt tidies ns/op
			if _, bytes := rec.Value("B/worker"); bytes {
				continue
			}
			require.True(t, ok, string(rec.Name))
			require.Positive(t, v)
			found[string(rec.Name)]++
		case *benchfmt.SyntaxError:
			require.NoError(t, rec)
		}
	}
	require.NoError(t, reader.Err())
	require.Equal(t, 6, found["Step/transport=futex/protocol=message/batch=8/class=rmw-2"])
	require.Equal(t, 6, found["Step/transport=direct/protocol=none/batch=1/class=load-2"])
	require.Equal(t, 3, found["Floor/floor=line-2"])
	require.Equal(t, 1, found["Worker/what=start-2"])
}

// TestJSON: what was written is read back whole, and bad lines are told.
func TestJSON(t *testing.T) {
	r := sample()
	var b bytes.Buffer
	require.NoError(t, r.WriteJSON(&b))
	text := b.String()
	got, err := ReadJSON(strings.NewReader(text))
	require.NoError(t, err)
	require.Equal(t, r, got)
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", "", "nothing to read"},
		{"no JSON", "goos: linux\n", "line 1: "},
		{"another schema", `{"kind":"machine","schema":99}`, "schema 99: want 1"},
		{"no machine", `{"kind":"run"}`, `kind "run", schema 0: want a machine first`},
		{"unknown kind", `{"kind":"machine","schema":1}` + "\n" + `{"kind":"moon"}`, `line 2: kind "moon" is not known`},
		{"cut off", text[:len(text)/2], "line "},
		{"too long", `{"kind":"machine","schema":1}` + "\n" + strings.Repeat(" ", maxLine+1), "line 2: "},
	} {
		_, err := ReadJSON(strings.NewReader(tt.text))
		require.ErrorContains(t, err, tt.want, tt.name)
	}
}

func TestSummary(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, sample().WriteSummary(&b))
	for _, want := range []string{"What does the wall cost?", "futex/message", "4.94 µs", "floor: line", "missed"} {
		require.Contains(t, b.String(), want)
	}
}

func TestOptions(t *testing.T) {
	for _, tt := range []struct {
		opt  Options
		want string
	}{
		{Options{Budget: -1}, "want a time above 0"},
		{Options{Batches: []int{0}}, "batches of 0: want 1 to 512"},
		{Options{Batches: []int{513}}, "batches of 513"},
		{Options{Transports: []string{"moon"}}, "moon"},
		{Options{Protocols: []string{"moon"}}, "moon"},
		{Options{Classes: []string{"moon"}}, `class "moon": want one of [register load`},
		{Options{Parameters: Parameters{Mixes: []Mix{{Name: "m", Shares: []MixShare{{"load", 0.5}}}}}}, "the shares come to 0.5: want 1"},
		{Options{Parameters: Parameters{Mixes: []Mix{{Name: "m", Shares: []MixShare{{"moon", 1}}}}}}, `mix "m": class "moon"`},
		{Options{Parameters: Parameters{Mixes: []Mix{{Name: "m", Shares: []MixShare{{"load", 2}}}}}}, "share 2 of class load"},
	} {
		_, err := Run(t.Context(), tt.opt)
		require.ErrorContains(t, err, tt.want)
	}
}
