package silicon

import (
	"slices"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// The length of an instruction by page faults: its bytes are put at the end of
// a page behind which nothing is mapped, one byte first, then two, and so on.
// As long as the CPU wants more, the fetch faults at the end of the page. The
// loop is the runner's (modeGrow).

// probed is what the CPU makes of a string of bytes.
type probed struct {
	// length is that of the instruction; 0 if the bytes do not suffice.
	length int
	// undefined says #UD; length is then where the CPU gave up.
	undefined bool
	// unclear: all fifteen bytes were taken, then came #GP(0): of the
	// instruction or of its being too long.
	unclear bool
	ok      bool
}

// growable says that the code pages of a layout allow it in a mode.
func (g *geometry) growable(m x86.Mode) (r *run, ok bool) {
	code := g.layout.Pages[g.layout.Code]
	r = &g.runs[g.find(code.Address)]
	return r, g.find(r.end) < 0 && (m == x86.Long64 || r.end <= 1<<32)
}

// growBase is the base of CS while the bytes at the end of the code pages grow.
func growBase(r *run, m x86.Mode) uint64 {
	if m == x86.Compat16 {
		return r.end - oracle.PageSize
	}
	return 0
}

// grow writes a string of 1 to 15 bytes into the n-th slot from the next on.
func (e *Executor) grow(c *child, n int, code []byte, m x86.Mode) {
	r, _ := c.g.growable(m)
	s := c.slot(c.sent + uint32(n))
	for i := range s.code {
		s.code[i] = r.fill
	}
	copy(s.code[:], code)
	var sh shape
	sh.analyse(code, uint8(m.Width()), c.g.branches)

	s.gpr = [16]uint64{x86.RCX: 1} // LOOP to itself ends
	s.rflags = intFlag
	s.mode = modeGrow | modeFPU
	if sh.class == classRelative && sh.immediate < 0 && sh.immediate >= -15 {
		s.mode |= modeTrap // it may go on for ever
		s.rflags |= flagTF
	}
	s.ldtCount, s.sel, s.ss, s.fsBase, s.gsBase = 0, 0, SelectorSS, 0, 0
	base, cs := growBase(r, m), uint64(SelectorCS64)
	switch m {
	case x86.Compat32:
		cs = selectorCS32
	case x86.Compat16:
		cs = uint64(oracle.LDTSelector(0))
		d, _ := descriptor(&x86.SegmentRegister{Selector: uint16(cs), Attributes: oracle.AttrCode16, Limit: 0xffff, Base: base})
		if c.ldt[0] != d {
			c.ldt[0], s.ldt[0], s.ldtCount = d, d, 1
		}
	}
	if m != x86.Long64 {
		s.mode |= modeCompat | modeSelectors
		s.sel = SelectorSS | SelectorSS<<16
	}
	s.rip = r.end - 1 - base
	s.far = uint64(uint32(s.rip)) | cs<<32
	s.codeDst = c.base + offAlias + r.file + (r.end - 1 - r.addr)
	s.codeFill = uint64(r.fill) * 0x0101010101010101
	s.grow, s.growEnd = uint64(len(code)-1), r.end
	in := c.windows(int((c.sent+uint32(n))&uint32(c.slots-1)), windowsIn)
	for i := range c.g.pieces {
		w := &c.g.pieces[i]
		part := in[w.offset : w.offset+w.length]
		for j := range part {
			part[j] = w.fill
		}
	}
	e.seq++
	s.seq = e.seq
}

// grown reads the answer.
func (e *Executor) grown(c *child, number uint32, seq uint64, code []byte, m x86.Mode) (p probed) {
	s := c.slot(number)
	if s.outSeq != seq+c.canary || s.outKind != kindSignal {
		return p
	}
	left := s.grow
	if left >= uint64(len(code)) {
		return p
	}
	p.ok = true
	p.length = len(code) - int(left)
	r, _ := c.g.growable(m)
	start := r.end - uint64(p.length) - growBase(r, m)
	trap, err, signo := s.outTrap, s.outErr, s.outSigno
	if s.outRIP != start || signo == sigALRM || signo == sigSYS {
		return p
	}
	switch trap {
	case x86.VectorPF:
		if signo == sigSEGV && err&x86.PFFetch != 0 && s.outCR2 == r.end {
			p.length = 0
		}
	case x86.VectorUD:
		p.undefined = signo == sigILL
	case x86.VectorGP:
		p.unclear = signo == sigSEGV && err == 0 && p.length == 15
	}
	return p
}

// probeAll finds what the CPU makes of up to maxSlots strings of bytes, not
// empty; those on which the child is lost stay without answer.
func (e *Executor) probeAll(c *child, codes [][]byte, m x86.Mode, out []probed) error {
	for i := range codes {
		out[i] = probed{}
		e.grow(c, i, codes[i], m)
	}
	if err := c.pin(e.now); err != nil {
		return err
	}
	first := c.sent
	n, _, err := c.submit(len(codes))
	if err != nil {
		return err
	}
	for i := range n {
		out[i] = e.grown(c, first+uint32(i), e.seq-uint64(len(codes)-1-i), codes[i], m)
		if !out[i].ok {
			break
		}
	}
	return nil
}

// measured runs the cases that were put off, below index end, once the length of
// each instruction has been found.
func (e *Executor) measured(l *oracle.Layout, cases []oracle.Case, results []oracle.Result, end int) error {
	list := e.deferred
	for len(list) > 0 && list[len(list)-1] >= end {
		list = list[:len(list)-1]
	}
	for len(list) > 0 {
		c, err := e.child(l)
		if err != nil {
			return err
		}
		if err := e.measure(c, cases, list); err != nil {
			return err
		}
		if c.dead.Load() {
			if c, err = e.replace(&e.replaced.Lost); err != nil {
				return err
			}
		}
		n, done := 0, 0
		v := packed
		for ; done < len(list); done++ {
			i := list[done]
			prepare(c.g, &results[i])
			if v = e.pack(c, n, &cases[i], &results[i], e.lengths[done]); v == near {
				break
			}
			if v == packed {
				e.index[n] = i
				n++
			}
		}
		got, stuck, err := e.fly(c, n, cases, results)
		switch {
		case err != nil:
			return err
		case got < n:
			at := e.index[got]
			next, err := e.lost(results, at, stuck)
			if err != nil {
				return err
			}
			done = slices.Index(list, at)
			if next > at {
				done++
			}
		case v == near:
			if _, err := e.replace(&e.replaced.Moved); err != nil {
				return err
			}
		}
		list = list[done:]
	}
	return nil
}

// measure fills e.lengths for cases of any modes.
func (e *Executor) measure(c *child, cases []oracle.Case, list []int) error {
	n := 0
	first, from := c.sent, e.seq
	for k, i := range list {
		cs := &cases[i]
		e.lengths[k] = notMeasured
		code := e.bytesOf(c, cs, k)
		if _, ok := c.g.growable(cs.State.Mode); ok && len(code) > 0 {
			e.grow(c, n, code, cs.State.Mode)
			e.lengths[k] = notAsked
			n++
		}
	}
	if n == 0 {
		return nil
	}
	if err := c.pin(e.now); err != nil {
		return err
	}
	got, _, err := c.submit(n)
	if err != nil {
		return err
	}
	at := 0
	for k := range list {
		if e.lengths[k] != notAsked {
			continue
		}
		e.lengths[k] = notMeasured
		if at < got {
			p := e.grown(c, first+uint32(at), from+uint64(at)+1, e.codes[k][:e.codeLens[k]], cases[list[k]].State.Mode)
			switch {
			case !p.ok, p.unclear, p.length == 0:
			case p.undefined:
				e.lengths[k] = notValid
			default:
				e.lengths[k] = p.length
			}
		}
		at++
	}
	return nil
}

// bytesOf collects the bytes that the CPU fetches for a case: its code, and
// what memory has behind it.
func (e *Executor) bytesOf(c *child, cs *oracle.Case, k int) []byte {
	start := cs.CodeAddress()
	m := memory{g: c.g, c: cs, code: cs.Code[:cs.CodeLen], rip: start}
	buf := &e.codes[k]
	n := 0
	for ; n < len(buf); n++ {
		b, ok := m.at(start + uint64(n))
		if !ok {
			break
		}
		buf[n] = b
	}
	e.codeLens[k] = n
	return buf[:n]
}
