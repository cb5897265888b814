package oracle

import "github.com/seed-4e121ece/ringfence/emulator/x86"

// segment reads an entry of "segments": the hidden part of a segment register.
func (p *caseParser) segment(name string, at int64) error {
	for s := range x86.Segment(x86.NumSegment) {
		if s.String() != name {
			continue
		}
		r, err := p.segmentRegister()
		if err != nil {
			return err
		}
		if p.segments == nil {
			p.segments = map[x86.Segment]x86.SegmentRegister{}
		}
		p.segments[s] = r
		return nil
	}
	if name == "ldtr" || name == "tr" {
		p.extra("segments." + name)
		return p.skip()
	}
	return p.errorf(at, "no such segment: want es, cs, ss, ds, fs, gs, ldtr or tr")
}

// descriptor reads an entry of "ldt".
func (p *caseParser) descriptor(int) error {
	r, err := p.segmentRegister()
	p.c.LDT = append(p.c.LDT, r)
	return err
}

func (p *caseParser) segmentRegister() (r x86.SegmentRegister, err error) {
	err = p.object(func(key string, at int64) error {
		var v uint64
		var err error
		switch key {
		case "selector":
			v, err = p.hexValue(16)
			r.Selector = uint16(v)
		case "base":
			r.Base, err = p.hexValue(64)
		case "limit":
			v, err = p.hexValue(32)
			r.Limit = uint32(v)
		case "attributes":
			v, err = p.hexValue(17)
			r.Attributes = uint32(v)
		default:
			return p.errorf(at, "no such key in a segment: want selector, base, limit or attributes")
		}
		return err
	})
	return r, err
}

// defaults gives the registers that the case does not name the values of its
// mode, and puts the segments in their places.
func (p *caseParser) defaults() error {
	c := p.c
	d := DefaultStateOf(c.State.Mode)
	c.State.StackWidth = d.StackWidth
	if !p.given["rip"] {
		c.State.RIP = d.RIP
	}
	if !p.given["rsp"] {
		c.State.GPR[x86.RSP] = d.GPR[x86.RSP]
	}
	for s := range x86.Segment(x86.NumSegment) {
		if !p.given[s.String()] {
			c.State.Selector[s] = d.Selector[s]
		}
	}
	if p.segments == nil {
		return nil
	}
	if c.State.Mode != x86.Compat32 && c.State.Mode != x86.Compat16 {
		p.extra("segments")
		return nil
	}
	c.Segments = new([x86.NumSegment]x86.SegmentRegister)
	plain := Case{State: c.State, FSBase: c.FSBase, GSBase: c.GSBase}
	for s := range x86.Segment(x86.NumSegment) {
		r, ok := p.segments[s]
		if !ok {
			r = plain.Segment(s)
			r.Selector = c.State.Selector[s]
		}
		if ok && p.given[s.String()] && r.Selector != c.State.Selector[s] {
			return p.errorf(p.segAt, "%v: selector %#x here and %#x among the registers", s, r.Selector, c.State.Selector[s])
		}
		c.Segments[s], c.State.Selector[s] = r, r.Selector
	}
	if !p.given["fsbase"] {
		c.FSBase = c.Segments[x86.FS].Base
	}
	if !p.given["gsbase"] {
		c.GSBase = c.Segments[x86.GS].Base
	}
	if c.Segments[x86.SS].Attributes&x86.AttrDB == 0 {
		c.State.StackWidth = 16
	} else {
		c.State.StackWidth = 32
	}
	return nil
}

// segments writes the hidden parts that a case gives, and its further
// descriptors.
func (w *jsonWriter) segments(c *Case) {
	if c.Segments != nil {
		w.key("segments")
		w.open('{')
		for s := range x86.Segment(x86.NumSegment) {
			w.key(s.String())
			w.segmentRegister(&c.Segments[s])
		}
		w.close('}')
	}
	if len(c.LDT) > 0 {
		w.key("ldt")
		w.open('[')
		for i := range c.LDT {
			w.segmentRegister(&c.LDT[i])
		}
		w.close(']')
	}
}

func (w *jsonWriter) segmentRegister(r *x86.SegmentRegister) {
	w.open('{')
	w.key("selector")
	w.hex(uint64(r.Selector))
	w.key("base")
	w.hex(r.Base)
	w.key("limit")
	w.hex(uint64(r.Limit))
	w.key("attributes")
	w.hex(uint64(r.Attributes))
	w.close('}')
}
