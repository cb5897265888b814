package mutants

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPlantWantsOneLine(t *testing.T) {
	s := loadTiny(t)
	alu := tiny + "/alu/alu.go"
	for _, test := range []struct {
		flaw Flaw
		err  string
	}{
		{Flaw{Name: "whole function", File: alu, Old: "func add(a, b uint32) uint32 { return a + b }", New: "func add(a, b uint32) uint32 { return a - b }"}, ""},
		{Flaw{Name: "in a function", File: alu, In: "Do", Old: "carry  =  true", New: "carry = false"}, ""},
		{Flaw{Name: "in a literal", File: alu, Old: `"shl": func(a, b uint32) uint32 { return a << (b & 0x1f) },`, New: `"shl": func(a, b uint32) uint32 { return a << b },`}, "in no function"},
		{Flaw{Name: "gone", File: alu, Old: "return a * b", New: "return 0"}, "found 0"},
		{Flaw{Name: "twice", File: alu, Old: "return n", New: "return 0"}, ""},
		{Flaw{Name: "many", File: alu, Old: "}", New: ""}, "found 1"},
		{Flaw{Name: "elsewhere", File: alu, In: "Fill", Old: "return n", New: "return 0"}, "found 0"},
		{Flaw{Name: "no function", File: alu, In: "Nothing", Old: "return n", New: "return 0"}, "no function Nothing"},
		{Flaw{Name: "no file", File: tiny + "/alu/none.go", Old: "return n", New: "return 0"}, "not among"},
		{Flaw{Name: "head", File: alu, Old: "func add(a, b uint32) uint32 { return a + b }", New: "func add(a, b uint32) uint64 { return 0 }"}, "more than the body"},
	} {
		t.Run(test.flaw.Name, func(t *testing.T) {
			_, err := s.Plant(&Tables{Dir: "none"}, []Flaw{test.flaw})
			if test.err == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.err)
		})
	}
}

func TestFlawThatDoesNotCompile(t *testing.T) {
	s := loadTiny(t)
	planted, err := s.Plant(&Tables{Dir: "none"}, []Flaw{{Name: "broken", File: tiny + "/alu/alu.go", In: "Do", Old: "carry = true", New: "carry = 7"}})
	require.NoError(t, err)
	_, _, _, err = s.Draw(tiny+"/base", planted, nil, nil, 0, 0)
	require.ErrorContains(t, err, "flaw broken at "+tiny+"/alu/alu.go:")
}

func TestParseExplained(t *testing.T) {
	good := "# words\n\nfile: a.go\nfunc: f\n- x  :=  1\n+ x := 2\nwhy: x is not used\n"
	list, err := parseExplained(good)
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, "x is not used", list["a.go\nf\nx := 1\nx := 2"].Why)
	for text, want := range map[string]string{
		"file: a.go\nfunc: f\n- x\n+ y\n":         "want file, func, -, + and why",
		"line: 7\n":                               "not \"line:\"",
		good + "\n" + strings.TrimSpace(good[8:]): "the same mutant",
	} {
		_, err := parseExplained(text)
		require.ErrorContains(t, err, want, text)
	}
	_, err = parseExplained(explainedText)
	require.NoError(t, err)
}

func TestJudge(t *testing.T) {
	r := &Runner{Limit: time.Minute}
	file := &File{Rel: "a.go", Src: []byte("x")}
	verdicts := func(killed, survived, explained, cut int) *Report {
		rep := &Report{Explained: map[string]*Explained{}}
		add := func(n int, end End, f string, limit time.Duration) {
			for range n {
				rep.Verdicts = append(rep.Verdicts, &Verdict{Mutant: &Mutant{File: file, Func: f, Kind: "k"}, End: end, Limit: limit})
			}
		}
		add(killed, Diverged, "f", r.Limit)
		add(survived, Survived, "f", r.Limit)
		add(explained, Survived, "g", r.Limit)
		add(cut, Survived, "f", r.Limit/2)
		rep.Explained["a.go\ng\nx\nx"] = &Explained{}
		return rep
	}
	for _, test := range []struct {
		killed, survived, explained, cut int
		want                             string
	}{
		{10, 0, 0, 0, ""},
		{9, 1, 0, 0, ""},
		{7, 3, 0, 0, "3 of 10 mutants survived"},
		{9, 0, 1, 0, ""},
		{9, 0, 0, 1, ""},
		{294, 6, 0, 0, ""},
		{290, 10, 0, 0, "10 of 300"},
		{290, 0, 10, 0, "3.3 %"},
		{295, 0, 5, 0, ""},
	} {
		got := verdicts(test.killed, test.survived, test.explained, test.cut).Judge(r)
		if test.want == "" {
			require.Empty(t, got, "%v", test)
		} else {
			require.Contains(t, got, test.want)
		}
	}
}
