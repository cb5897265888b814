package bench

import (
	"math"
)

// dot is a value with its interval, of a series.
type dot struct {
	series          int
	value, low, top float64
}

// dotRow is a line of a chart of dots.
type dotRow struct {
	label, right string
	// heading rows have a label alone.
	heading bool
	// span joins the dots with a line.
	span bool
	dots []dot
}

// dots draws rows of values over one logarithmic axis of times, with intervals.
// right heads the column at the right, where figures stand.
func dots(rows []dotRow, series []string, title, right string) func(*canvas) {
	return func(c *canvas) {
		low, high, label, figure := math.Inf(1), 0.0, 0, len([]rune(right))
		for _, r := range rows {
			if !r.heading {
				label = max(label, len([]rune(r.label)))
			}
			figure = max(figure, len([]rune(r.right)))
			for _, d := range r.dots {
				low, high = min(low, d.value), max(high, d.value)
			}
		}
		left, width := float64(label)*charWidth+14, float64(figure)*charWidth+12
		rowHeight := 22.0
		if c.narrow() {
			left, rowHeight = 12, 36
		}
		if figure == 0 {
			width = 16
		}
		edge := c.width - width
		if c.narrow() {
			edge = c.width - 16
		}
		s := logScale(low, high, left, edge)
		top := c.legend(0, series)
		if right != "" && !c.narrow() {
			top += 14
			c.text(c.width-4, top-4, "t", "end", right)
		}
		y := top
		bottom := top + rowHeight*float64(len(rows)) + 4
		c.height = c.axisX(s, top, bottom, title, shortNanos)
		for _, r := range rows {
			mid := y + rowHeight/2
			if c.narrow() {
				mid = y + rowHeight - 12
			}
			c.dotRow(s, r, y, mid)
			y += rowHeight
		}
	}
}

func (c *canvas) dotRow(s scale, r dotRow, y, mid float64) {
	switch {
	case r.heading:
		c.text(4, mid+4, "b", "start", r.label)
		return
	case c.narrow():
		c.text(4, y+12, "t", "start", r.label)
		c.text(c.width-4, y+12, "t", "end", r.right)
	default:
		c.text(s.from-10, mid+4, "t", "end", r.label)
		c.text(c.width-4, mid+4, "t", "end", r.right)
	}
	c.line(s.from, mid, s.to, mid, "row")
	if r.span && len(r.dots) > 1 {
		c.line(s.at(r.dots[0].value), mid, s.at(r.dots[len(r.dots)-1].value), mid, "span")
	}
	for _, d := range r.dots {
		if d.top > d.low {
			c.line(s.at(d.low), mid, s.at(d.top), mid, "ci")
		}
	}
	for _, d := range r.dots {
		c.mark(d.series, s.at(d.value), mid)
	}
}

// curve is a series of points.
type curve struct {
	name   string
	points [][2]float64
}

// curves draws series over two logarithmic axes.
func curves(all []curve, xTitle, yTitle string, xName, yName func(float64) string, yLow, yHigh float64) func(*canvas) {
	return func(c *canvas) {
		xLow, xHigh, low, high := math.Inf(1), 0.0, math.Inf(1), 0.0
		var names []string
		for _, k := range all {
			names = append(names, k.name)
			for _, p := range k.points {
				xLow, xHigh, low, high = min(xLow, p[0]), max(xHigh, p[0]), min(low, p[1]), max(high, p[1])
			}
		}
		if yHigh > 0 {
			low, high = yLow, yHigh
		}
		top := c.legend(0, names) + 26
		height := 280.0
		if c.narrow() {
			height = 240
		}
		left := 58.0
		x := scale{xLow, xHigh, left, c.width - 22, true}
		y := logScale(low, high, top+height, top)
		c.axisY(y, left, c.width-22, yTitle, yName)
		c.height = c.curveAxis(x, all, top, top+height, xTitle, xName)
		for i, k := range all {
			var points [][2]float64
			for _, p := range k.points {
				if p[1] >= y.low*0.999 && p[1] <= y.high*1.001 {
					points = append(points, [2]float64{x.at(p[0]), y.at(p[1])})
				}
			}
			c.path(points, "l l"+string(rune('0'+i%numStyles)))
			for _, p := range points {
				c.mark(i, p[0], p[1])
			}
		}
	}
}

// curveAxis names the places of the points if there are few, else decades.
func (c *canvas) curveAxis(x scale, all []curve, top, bottom float64, title string, name func(float64) string) float64 {
	if len(all) == 0 || len(all[0].points) > 6 {
		return c.axisX(x, top, bottom, title, name)
	}
	for _, p := range all[0].points {
		c.line(x.at(p[0]), top, x.at(p[0]), bottom, "g")
		c.text(x.at(p[0]), bottom+14, "t", "middle", name(p[0]))
	}
	c.text((x.from+x.to)/2, bottom+31, "t", "middle", title)
	return bottom + 38
}

// bar is a bar of parts one behind the other.
type bar struct {
	label, right string
	parts        []float64
}

// bars draws stacked bars over a linear axis of times.
func bars(all []bar, names []string, title string) func(*canvas) {
	return func(c *canvas) {
		label, right, high := 0, 0, 0.0
		for _, b := range all {
			label, right = max(label, len([]rune(b.label))), max(right, len([]rune(b.right)))
			sum := 0.0
			for _, p := range b.parts {
				sum += p
			}
			high = max(high, sum)
		}
		left, edge, rowHeight := float64(label)*charWidth+14, c.width-float64(right)*charWidth-14, 30.0
		if c.narrow() {
			left, edge, rowHeight = 8, c.width-18, 44
		}
		s := scale{0, high, left, edge, false}
		x, top := 8.0, 12.0
		for i, n := range names {
			w := float64(len([]rune(n)))*charWidth + 34
			if x > 8 && x+w > c.width {
				x, top = 8, top+lineHeight
			}
			c.rect(x, top-10, 12, 12, "p p"+string(rune('0'+i)))
			c.text(x+17, top, "t", "start", n)
			x += w
		}
		top += 12
		bottom := top + rowHeight*float64(len(all)) + 4
		c.height = c.axisX(s, top, bottom, title, shortNanos)
		for i, b := range all {
			y := top + rowHeight*float64(i)
			at := y + 6
			if c.narrow() {
				at = y + 20
				c.text(4, y+14, "t", "start", b.label)
				c.text(c.width-4, y+14, "t", "end", b.right)
			} else {
				c.text(left-8, y+20, "t", "end", b.label)
				c.text(c.width-4, y+20, "t", "end", b.right)
			}
			from := 0.0
			for n, p := range b.parts {
				c.rect(s.at(from), at, s.at(from+p)-s.at(from), 18, "p p"+string(rune('0'+n)))
				from += p
			}
		}
	}
}
