package bench

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strconv"
	"strings"
)

// The widths in which each chart is drawn: for a screen, and for a phone. The
// style sheet of the page shows one of them.
const (
	wideChart   = 720
	narrowChart = 360
)

// Sizes in units of a chart, which are pixels where it is not scaled.
const (
	charWidth  = 6.6 // of text of 12 units, about
	lineHeight = 18
	markSize   = 5
)

// canvas is a drawing in SVG.
type canvas struct {
	b      strings.Builder
	width  float64
	height float64
}

func newCanvas(width float64) *canvas { return &canvas{width: width} }

func (c *canvas) narrow() bool { return c.width < 500 }

func num(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }

func (c *canvas) text(x, y float64, class, anchor, text string) {
	fmt.Fprintf(&c.b, `<text x="%s" y="%s" class="%s" text-anchor="%s">%s</text>`, num(x), num(y), class, anchor, html.EscapeString(text))
}

func (c *canvas) line(x1, y1, x2, y2 float64, class string) {
	fmt.Fprintf(&c.b, `<line x1="%s" y1="%s" x2="%s" y2="%s" class="%s"/>`, num(x1), num(y1), num(x2), num(y2), class)
}

func (c *canvas) rect(x, y, w, h float64, class string) {
	fmt.Fprintf(&c.b, `<rect x="%s" y="%s" width="%s" height="%s" class="%s"/>`, num(x), num(y), num(max(w, 0)), num(h), class)
}

func (c *canvas) path(points [][2]float64, class string) {
	c.b.WriteString(`<polyline class="` + class + `" points="`)
	for _, p := range points {
		c.b.WriteString(num(p[0]) + "," + num(p[1]) + " ")
	}
	c.b.WriteString(`"/>`)
}

// mark draws the sign of series n: each has a shape and a colour of its own.
func (c *canvas) mark(n int, x, y float64) {
	const s = markSize
	class := fmt.Sprintf("m s%d", n%numStyles)
	poly := func(points ...float64) {
		fmt.Fprintf(&c.b, `<polygon class="%s" points="`, class)
		for i := 0; i < len(points); i += 2 {
			c.b.WriteString(num(x+points[i]) + "," + num(y+points[i+1]) + " ")
		}
		c.b.WriteString(`"/>`)
	}
	switch n % numStyles {
	case 0:
		fmt.Fprintf(&c.b, `<circle class="%s" cx="%s" cy="%s" r="%d"/>`, class, num(x), num(y), s)
	case 1:
		poly(-s, -s, s, -s, s, s, -s, s)
	case 2:
		poly(0, -s-1, s+1, s, -s-1, s)
	case 3:
		poly(0, -s-2, s+2, 0, 0, s+2, -s-2, 0)
	case 4:
		poly(0, s+1, s+1, -s, -s-1, -s)
	case 5:
		poly(-s, -2, -2, -2, -2, -s, 2, -s, 2, -2, s, -2, s, 2, 2, 2, 2, s, -2, s, -2, 2, -s, 2)
	}
}

const numStyles = 6

// legend draws the names of series beside their signs, in as many lines as it
// needs, and returns where it ends.
func (c *canvas) legend(y float64, names []string) float64 {
	x := 8.0
	y += 12
	for i, n := range names {
		if n == "" {
			continue
		}
		w := float64(len([]rune(n)))*charWidth + 30
		if x > 8 && x+w > c.width {
			x, y = 8, y+lineHeight
		}
		c.mark(i, x+6, y-4)
		c.text(x+16, y, "t", "start", n)
		x += w
	}
	return y + 10
}

// finish returns the drawing with what it shows in words, for who cannot see it.
func (c *canvas) finish(class, title string) template.HTML {
	return template.HTML(fmt.Sprintf(`<svg class="%s" viewBox="0 0 %s %s" width="%s" role="img" aria-label="%s">%s</svg>`,
		class, num(c.width), num(c.height), num(c.width), html.EscapeString(title), c.b.String()))
}

// both draws a chart in both widths.
func both(title string, draw func(*canvas)) template.HTML {
	var out template.HTML
	for _, v := range []struct {
		width float64
		class string
	}{{wideChart, "wide"}, {narrowChart, "narrow"}} {
		c := newCanvas(v.width)
		draw(c)
		out += c.finish(v.class, title)
	}
	return out
}

// scale maps values to places on a chart.
type scale struct {
	low, high float64 // values, above 0 if log
	from, to  float64 // places
	log       bool
}

// logScale spans values with whole decades.
func logScale(low, high, from, to float64) scale {
	if !(low > 0) {
		low = 1
	}
	return scale{math.Pow(10, math.Floor(math.Log10(low))), math.Pow(10, math.Ceil(math.Log10(max(high, low*1.01)))), from, to, true}
}

func (s scale) at(v float64) float64 {
	part := (v - s.low) / (s.high - s.low)
	if s.log {
		part = math.Log10(max(v, s.low)/s.low) / math.Log10(s.high/s.low)
	}
	return s.from + min(max(part, 0), 1)*(s.to-s.from)
}

// ticks are the values that an axis names.
func (s scale) ticks() (all []float64) {
	if s.log {
		for v := s.low; v <= s.high*1.001; v *= 10 {
			all = append(all, v)
		}
		return all
	}
	step := math.Pow(10, math.Floor(math.Log10(s.high-s.low)))
	for _, f := range []float64{0.1, 0.2, 0.5, 1} {
		if (s.high-s.low)/(step*f) <= 7 {
			step *= f
			break
		}
	}
	for v := math.Ceil(s.low/step) * step; v <= s.high*1.0001; v += step {
		all = append(all, v)
	}
	return all
}

// axisX draws an axis under a chart with lines up through it.
func (c *canvas) axisX(s scale, top, bottom float64, title string, name func(float64) string) float64 {
	for _, v := range s.ticks() {
		x := s.at(v)
		c.line(x, top, x, bottom, "g")
		anchor := "middle"
		switch {
		case x > c.width-20:
			anchor = "end"
		case x < 16:
			anchor = "start"
		}
		c.text(x, bottom+14, "t", anchor, name(v))
	}
	c.text((s.from+s.to)/2, bottom+31, "t", "middle", title)
	return bottom + 38
}

// axisY draws an axis at the left of a chart with lines through it. Its title
// stands above it.
func (c *canvas) axisY(s scale, left, right float64, title string, name func(float64) string) {
	for _, v := range s.ticks() {
		y := s.at(v)
		c.line(left, y, right, y, "g")
		c.text(left-6, y+4, "t", "end", name(v))
	}
	c.text(4, min(s.from, s.to)-12, "t", "start", title)
}

// shortNanos names a tick: "10 ns", "1 µs".
func shortNanos(ns float64) string {
	for _, u := range []struct {
		size float64
		name string
	}{{1e9, "s"}, {1e6, "ms"}, {1e3, "µs"}, {1, "ns"}} {
		if ns >= u.size*0.999 {
			return strconv.FormatFloat(ns/u.size, 'g', 4, 64) + " " + u.name
		}
	}
	return strconv.FormatFloat(ns, 'g', 2, 64) + " ns"
}

// shortCount names a tick: "1,000", "1 M".
func shortCount(v float64) string {
	switch {
	case v >= 1e6:
		return strconv.FormatFloat(v/1e6, 'g', 4, 64) + " M"
	case v >= 1e3:
		return strconv.FormatFloat(v/1e3, 'g', 4, 64) + " k"
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

// shortPercent names a tick: "0.1 %".
func shortPercent(v float64) string { return strconv.FormatFloat(v*100, 'g', 4, 64) + " %" }
