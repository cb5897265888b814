package oracle

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// jsonWriter appends JSON on one line, with keys in the order of the schema.
type jsonWriter struct {
	b     []byte
	comma bool
	// whole says that nothing is left to its default.
	whole bool
}

func (w *jsonWriter) sep() {
	if w.comma {
		w.b = append(w.b, ',')
	}
	w.comma = true
}

func (w *jsonWriter) open(c byte) {
	w.sep()
	w.b = append(w.b, c)
	w.comma = false
}

func (w *jsonWriter) close(c byte) {
	w.b = append(w.b, c)
	w.comma = true
}

func (w *jsonWriter) key(k string) {
	w.sep()
	w.b = strconv.AppendQuote(w.b, k)
	w.b = append(w.b, ':')
	w.comma = false
}

func (w *jsonWriter) str(v string) {
	w.sep()
	b, err := json.Marshal(v)
	if err != nil {
		b = []byte(`""`)
	}
	w.b = append(w.b, b...)
}

func (w *jsonWriter) num(v int64) {
	w.sep()
	w.b = strconv.AppendInt(w.b, v, 10)
}

func (w *jsonWriter) boolean(v bool) {
	w.sep()
	w.b = strconv.AppendBool(w.b, v)
}

func (w *jsonWriter) hex(v uint64) {
	w.sep()
	w.b = append(w.b, `"0x`...)
	w.b = strconv.AppendUint(w.b, v, 16)
	w.b = append(w.b, '"')
}

func (w *jsonWriter) bytes(v []byte) {
	w.sep()
	w.b = append(w.b, '"')
	w.b = hex.AppendEncode(w.b, v)
	w.b = append(w.b, '"')
}

// shortUniform is from how many equal bytes on a range is written as a pattern
// with its length.
const shortUniform = 32

// content writes "bytes" and, for many equal ones, "length". whole says that a
// pattern over whole pages stands for their fill, so that a window must be
// written in full.
func (w *jsonWriter) content(v []byte, address uint64, window bool) {
	pattern := len(v) >= shortUniform && bytes.Count(v, v[:1]) == len(v)
	if window && address%PageSize == 0 && len(v)%PageSize == 0 {
		pattern = false
	}
	w.key("bytes")
	if !pattern {
		w.bytes(v)
		return
	}
	w.bytes(v[:1])
	w.key("length")
	w.num(int64(len(v)))
}

// AppendCase appends the case in the case schema, on one line: what ParseCase
// reads back to an equal case. Registers at their defaults are left out.
func AppendCase(dst []byte, c *Case) []byte {
	w := jsonWriter{b: dst}
	w.kase(c)
	return w.b
}

// AppendWholeCase is AppendCase with nothing left to a default, for readers
// that do not know the defaults.
func AppendWholeCase(dst []byte, c *Case) []byte {
	w := jsonWriter{b: dst, whole: true}
	w.kase(c)
	return w.b
}

func (w *jsonWriter) kase(c *Case) {
	w.open('{')
	w.key("schema")
	w.num(SchemaVersion)
	w.key("mode")
	w.str(c.State.Mode.String())
	w.key("code")
	w.bytes(c.CodeBytes())
	w.key("registers")
	w.open('{')
	def := DefaultStateOf(c.State.Mode)
	if w.whole {
		w.registers(&c.State, c.FSBase, c.GSBase, nil)
	} else {
		w.registers(&c.State, c.FSBase, c.GSBase, &def)
	}
	w.close('}')
	w.segments(c)
	if w.whole || c.State.CPL != 3 || c.State.Mode == x86.Real {
		w.key("cpl")
		w.num(int64(c.State.CPL))
	}
	w.key("memory")
	w.open('[')
	w.layout(c)
	w.close(']')
	if w.whole || c.Steps > 1 {
		w.key("steps")
		w.num(int64(max(c.Steps, 1)))
	}
	w.close('}')
}

// registers writes the registers that differ from def, all if it is nil. RIP
// and RFLAGS are always written.
func (w *jsonWriter) registers(s *x86.State, fs, gs uint64, def *x86.State) {
	put := func(name string, v, d uint64) {
		if def == nil || v != d {
			w.key(name)
			w.hex(v)
		}
	}
	all := def
	if def == nil {
		all = s
	}
	for n := range uint8(x86.NumGPR) {
		put(x86.GPRName(n, 8), s.GPR[n], all.GPR[n])
	}
	put("rip", s.RIP, ^s.RIP)
	put("rflags", s.RFLAGS, ^s.RFLAGS)
	for n := range x86.Segment(x86.NumSegment) {
		put(n.String(), uint64(s.Selector[n]), uint64(all.Selector[n]))
	}
	put("fsbase", fs, 0)
	put("gsbase", gs, 0)
	if s.FPU != nil {
		w.fpu(s.FPU, def == nil)
	}
}

// layout writes memory entries that make the case's layout again: its windows,
// and the fill of every page that has none.
func (w *jsonWriter) layout(c *Case) {
	for i := range c.Layout.Pages {
		run := &c.Layout.Pages[i]
		access := run.Prot.String() + "u"
		at := 0
		for _, v := range c.Layout.Windows {
			if v.Address >= run.Address && v.Address < run.End() {
				w.entry(v.Address, c.Memory[at:at+v.Length], access, true)
			}
			at += v.Length
		}
		for n := range uint64(run.Count) {
			page := run.Address + n*PageSize
			if !c.Layout.hasWindow(page) {
				w.entry(page, bytes.Repeat([]byte{run.Fill}, PageSize), access, false)
			} else if run.Fill != 0 {
				w.rest(c.Layout, page, run.Fill, access)
			}
		}
	}
}

// hasWindow says whether a window touches the page.
func (l *Layout) hasWindow(page uint64) bool {
	for _, v := range l.Windows {
		if v.Address < page+PageSize && page < v.Address+uint64(v.Length) {
			return true
		}
	}
	return false
}

// inWindow says whether the address is in a window.
func (l *Layout) inWindow(address uint64) bool {
	for _, v := range l.Windows {
		if address-v.Address < uint64(v.Length) {
			return true
		}
	}
	return false
}

// rest writes the bytes of a page outside its windows.
func (w *jsonWriter) rest(l *Layout, page uint64, fill byte, access string) {
	for a := page; a < page+PageSize; {
		end := a
		for end < page+PageSize && !l.inWindow(end) {
			end++
		}
		if end > a {
			w.entry(a, bytes.Repeat([]byte{fill}, int(end-a)), access, true)
		}
		for a = end; a < page+PageSize && l.inWindow(a); {
			a++
		}
	}
}

func (w *jsonWriter) entry(address uint64, v []byte, access string, window bool) {
	w.open('{')
	w.key("address")
	w.hex(address)
	w.content(v, address, window)
	if w.whole || access != "rwu" {
		w.key("access")
		w.str(access)
	}
	w.close('}')
}

// AppendResult appends the result of a case in the schema of `ringfence exec`,
// on one line. memory has the entries that the case gave, or the windows of
// its layout.
func AppendResult(dst []byte, c *Case, r *Result) []byte {
	w := jsonWriter{b: dst}
	w.open('{')
	w.key("outcome")
	if r.Ending != Ended {
		w.ending(r)
		w.close('}')
		return w.b
	}
	w.str(r.Outcome.String())
	if r.Outcome == step.Exception {
		w.key("event")
		w.event(&r.Event)
	}
	w.key("partial")
	w.boolean(r.Partial)
	w.key("steps")
	w.num(int64(r.Steps))
	w.key("registers")
	w.open('{')
	w.registers(&r.State, r.FSBase, r.GSBase, nil)
	w.close('}')
	w.key("memory")
	w.open('[')
	w.memory(c, r)
	w.close(']')
	if r.Iterations > 0 {
		w.key("iterations")
		w.num(int64(r.Iterations))
	}
	if r.NumStray > 0 {
		w.stray(r)
	}
	w.seen(r)
	w.close('}')
	return w.b
}

// ending writes what there is to say of a run that has no outcome.
func (w *jsonWriter) ending(r *Result) {
	w.str(r.Ending.String())
	switch {
	case r.Ending == Unsupported:
		field, reason, more := strings.Cut(r.Note, ": ")
		w.key("field")
		w.str(field)
		if more {
			w.key("reason")
			w.str(reason)
		}
	case r.Note != "":
		w.key("note")
		w.str(r.Note)
	}
}

func (w *jsonWriter) event(e *x86.Event) {
	w.open('{')
	w.key("type")
	w.str(e.Type.String())
	w.key("vector")
	w.num(int64(e.Vector))
	if e.HasError {
		w.key("error_code")
		w.num(int64(e.ErrorCode))
	}
	if e.Vector == x86.VectorPF {
		w.key("address")
		w.hex(e.Address)
	}
	if e.Length != 0 {
		w.key("length")
		w.num(int64(e.Length))
	}
	w.close('}')
}

func (w *jsonWriter) memory(c *Case, r *Result) {
	list := c.Given
	if list == nil {
		list = c.Layout.Windows
	}
	for _, v := range list {
		w.open('{')
		w.key("address")
		w.hex(v.Address)
		w.content(c.After(r, v), v.Address, false)
		w.close('}')
	}
}

func (w *jsonWriter) stray(r *Result) {
	w.key("stray")
	w.open('[')
	for _, s := range r.Stray[:min(r.NumStray, MaxStray)] {
		w.open('{')
		w.key("address")
		w.hex(s.Address)
		w.key("value")
		w.hex(s.Value)
		w.close('}')
	}
	w.close(']')
	if r.NumStray > MaxStray {
		w.key("stray_count")
		w.num(int64(r.NumStray))
	}
}

// seen writes what an engine may not be able to see, and what it cannot.
func (w *jsonWriter) seen(r *Result) {
	if r.Unknown&FieldRetire == 0 {
		w.key("retire")
		w.open('[')
		for i := range 8 {
			if f := r.Retire & (1 << i); f != 0 {
				w.str(f.String())
			}
		}
		w.close(']')
	}
	if r.Unknown&FieldAccesses == 0 {
		w.key("accesses")
		w.open('[')
		for i := range r.Accesses {
			a := &r.Accesses[i]
			w.open('{')
			w.key("segment")
			w.str(a.Segment.String())
			w.key("offset")
			w.hex(a.Offset)
			w.key("size")
			w.num(int64(a.Size))
			w.key("intent")
			w.str(a.Intent.String())
			w.close('}')
		}
		w.close(']')
	}
	if r.Promise != "" {
		w.key("promise")
		w.str(r.Promise)
	}
	if r.Unknown != 0 {
		w.key("unknown")
		w.open('[')
		for _, n := range r.Unknown.Names() {
			w.str(n)
		}
		w.close(']')
	}
}

// After returns the bytes of a range after the run: of a window, or else what
// was there before, with the stray words over it.
func (c *Case) After(r *Result, v Window) []byte {
	out := make([]byte, v.Length)
	for i := range out {
		out[i], _ = c.Byte(v.Address + uint64(i))
	}
	for _, s := range r.Stray[:min(r.NumStray, MaxStray)] {
		for i := range uint64(8) {
			if k := s.Address + i - v.Address; k < uint64(len(out)) {
				out[k] = byte(s.Value >> (8 * i))
			}
		}
	}
	at := 0
	for _, w := range c.Layout.Windows {
		low, high := max(w.Address, v.Address), min(w.Address+uint64(w.Length), v.Address+uint64(v.Length))
		if low < high {
			copy(out[low-v.Address:high-v.Address], r.Memory[at+int(low-w.Address):])
		}
		at += w.Length
	}
	return out
}
