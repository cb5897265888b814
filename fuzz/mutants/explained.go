package mutants

import (
	_ "embed"
	"fmt"
	"strings"
)

// Explained is a mutant that no campaign can kill, with the reason why.
type Explained struct {
	File, Func, Before, After, Why string
	line                           int
}

// Key is the Mutant.Key that the entry stands for.
func (e *Explained) Key() string {
	return strings.Join([]string{e.File, e.Func, e.Before, e.After}, "\n")
}

//go:embed explained.txt
var explainedText string

// parseExplained reads the list: blocks of "file:", "func:", "-", "+" and
// "why:" lines, apart by an empty line; lines with # are comments.
func parseExplained(text string) (map[string]*Explained, error) {
	all := map[string]*Explained{}
	e := &Explained{}
	flush := func(line int) error {
		if *e == (Explained{}) {
			return nil
		}
		if e.File == "" || e.Func == "" || e.Before == "" || e.Why == "" {
			return fmt.Errorf("explained.txt, before line %d: want file, func, -, + and why", line)
		}
		if all[e.Key()] != nil {
			return fmt.Errorf("explained.txt, line %d: the same mutant is explained at line %d", e.line, all[e.Key()].line)
		}
		all[e.Key()] = e
		e = &Explained{}
		return nil
	}
	for i, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		if line = strings.TrimSpace(line); line == "" {
			if err := flush(i + 1); err != nil {
				return nil, err
			}
			continue
		}
		if e.line == 0 {
			e.line = i + 1
		}
		word, rest, _ := strings.Cut(line, " ")
		rest = oneLine(rest)
		switch word {
		case "file:":
			e.File = rest
		case "func:":
			e.Func = rest
		case "-":
			e.Before = rest
		case "+":
			e.After = rest
		case "why:":
			e.Why = rest
		default:
			return nil, fmt.Errorf("explained.txt, line %d: want file:, func:, -, + or why:, not %q", i+1, word)
		}
	}
	return all, flush(strings.Count(text, "\n") + 1)
}
