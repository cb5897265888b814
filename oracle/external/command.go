package external

import (
	"fmt"
	"strings"
)

// Prefix is what the name of an engine begins with that is a command line.
const Prefix = "exec:"

// SplitCommand splits a command line into its words, at blanks. Single and
// double quotes keep blanks within a word and have no other meaning; there is no
// shell.
func SplitCommand(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	inWord, quote := false, rune(0)
	for _, c := range line {
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(c)
		case c == '\'' || c == '"':
			quote, inWord = c, true
		case c == ' ' || c == '\t' || c == '\n':
			if inWord {
				words = append(words, word.String())
				word.Reset()
			}
			inWord = false
		default:
			word.WriteRune(c)
			inWord = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("command %q: a quote %c without its end", line, quote)
	}
	if inWord {
		words = append(words, word.String())
	}
	if len(words) == 0 || words[0] == "" {
		return nil, fmt.Errorf("command %q: want a program and its arguments", line)
	}
	return words, nil
}
