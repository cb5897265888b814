package bench

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// nanos writes a time in the unit that suits it, with three digits.
func nanos(ns float64) string {
	sign := ""
	if ns < 0 {
		sign, ns = "−", -ns
	}
	switch {
	case ns < 1e3:
		return sign + digits(ns) + " ns"
	case ns < 1e6:
		return sign + digits(ns/1e3) + " µs"
	case ns < 1e9:
		return sign + digits(ns/1e6) + " ms"
	}
	return sign + digits(ns/1e9) + " s"
}

// digits writes a number with three digits that count.
func digits(v float64) string {
	switch a := math.Abs(v); {
	case a >= 99.95:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 9.995:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// count writes a number a second or the like: 1,230, 45,600, 1.2 million.
func count(v float64) string {
	if v >= 9.995e5 {
		return digits(v/1e6) + " million"
	}
	if v < 1000 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	scale := math.Pow(10, math.Floor(math.Log10(v))-2) // three digits that count
	s := strconv.FormatFloat(math.Round(v/scale)*scale, 'f', 0, 64)
	return s[:len(s)-3] + "," + s[len(s)-3:]
}

// size writes a number of bytes.
func size(v float64) string { return digits(v/(1<<20)) + " MiB" }

// percent writes a share.
func percent(v float64) string { return digits(v*100) + " %" }

// times writes a factor.
func times(v float64) string { return digits(v) + " ×" }

// spreadText writes a summary with its spread.
func spreadText(s Summary, unit func(float64) string) string {
	if s.N == 0 {
		return "no figure"
	}
	return fmt.Sprintf("median %s, min %s, quartiles %s to %s, of %d", unit(s.Median), unit(s.Min), unit(s.Q1), unit(s.Q3), s.N)
}

// list writes words as "a, b and c".
func list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

// commas writes a whole number with commas between thousands.
func commas(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// crossText writes an average number of crossings.
func crossText(v float64) string { return strconv.FormatFloat(math.Round(v*100)/100, 'f', -1, 64) }

// addedText writes what a cell adds, with its interval; Direct adds nothing.
func addedText(c *Cell) string {
	if c.Rung == Direct {
		return "-"
	}
	return interval(c.Added)
}

// addedShort is addedText without the interval.
func addedShort(c *Cell) string {
	if c.Rung == Direct {
		return "-"
	}
	return nanos(c.Added.Median)
}
