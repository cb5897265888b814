package sweep

import (
	"errors"
	"fmt"
	"io"

	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/seed-4e121ece/ringfence/oracle/model"
)

// batchSize is how many strings the engines are handed at once.
const batchSize = 1024

// lacks is the name of the rule that explains why the CPU calls undefined what
// another decoder knows: it does not have the feature. The table says so, with
// the features that the CPU announces.
const lacks = "cpu/feature-absent"

// voter is an engine of a worker with its answers to the batch.
type voter struct {
	*Engine
	decoder oracle.Decoder
	batch   oracle.BatchDecoder // nil if it has no use for one
	quirks  *oracle.QuirkSet
	out     []oracle.Decoded
}

// worker compares the strings of a block. It has engines of its own.
type worker struct {
	cfg    *Config
	walk   *Walk
	voters []*voter
	// arbiter is the model with every feature: the right answer in the eyes of
	// a quirk. host is the model with the features of this CPU, nil where the
	// CPU takes no part.
	arbiter, host *voter
	pairs         [][2]*voter

	texts []text
	// every asks for all edges of displacement and immediate.
	every bool
	// longest is, of each text, the largest length that an engine gave it.
	longest []uint8
	codes   [][]byte
	seen    map[[maxString + 1]byte]struct{}
	res     blockResult
}

// blockResult is what a block adds to the sweep.
type blockResult struct {
	Strings, Valid uint64
	// Compared and Uncovered count pairs of answers.
	Compared, Uncovered, Differ, Unexplained uint64
	Groups                                   map[string]uint64
	classes                                  classes
}

func newWorker(cfg *Config, walk *Walk) (*worker, error) {
	w := &worker{cfg: cfg, walk: walk, seen: map[[maxString + 1]byte]struct{}{}}
	byName := map[string]*voter{}
	open := func(e *Engine) (*voter, error) {
		if v := byName[e.Name]; v != nil {
			return v, nil
		}
		d, err := e.New()
		if err != nil {
			return nil, fmt.Errorf("engine %s: %w", e.Name, err)
		}
		v := w.add(e, d)
		byName[e.Name] = v
		return v, nil
	}
	w.arbiter = w.add(&Engine{Name: model.Name}, model.NewDecoder(cfg.All))
	byName[model.Name] = w.arbiter
	for i := range cfg.Subjects {
		for j := range cfg.References {
			s, err := open(&cfg.Subjects[i])
			if err != nil {
				return nil, errors.Join(err, w.close())
			}
			r, err := open(&cfg.References[j])
			if err != nil {
				return nil, errors.Join(err, w.close())
			}
			if s != r {
				w.pairs = append(w.pairs, [2]*voter{w.orHost(s, r), w.orHost(r, s)})
			}
		}
	}
	return w, nil
}

func (w *worker) add(e *Engine, d oracle.Decoder) *voter {
	v := &voter{Engine: e, decoder: d, quirks: oracle.NewQuirkSet(e.Quirks), out: make([]oracle.Decoded, batchSize)}
	v.batch, _ = d.(oracle.BatchDecoder)
	w.voters = append(w.voters, v)
	return v
}

// orHost returns the model of this CPU in place of the model, where it is held
// against the CPU.
func (w *worker) orHost(v, other *voter) *voter {
	if !other.CPU {
		return v
	}
	if w.host == nil {
		w.host = w.add(&Engine{Name: model.Name}, model.NewDecoder(w.cfg.Host))
	}
	if v == w.arbiter {
		return w.host
	}
	return v
}

// close ends the engines that have something to end.
func (w *worker) close() error {
	var err error
	for _, v := range w.voters {
		if c, ok := v.decoder.(io.Closer); ok {
			err = errors.Join(err, c.Close())
		}
	}
	return err
}

// block compares all strings of a block, in three waves and the tunnels.
func (w *worker) block(b *block) *blockResult {
	w.res = blockResult{Groups: map[string]uint64{}, classes: classes{}}
	w.every = b.space == spaceLegacy && b.full
	clear(w.seen)
	w.texts = w.texts[:0]
	w.walk.strings(b, func(t *text) {
		if w.sampled(t) && w.fresh(t) {
			w.texts = append(w.texts, *t)
		}
	})
	first := len(w.texts)
	w.compareFrom(0)
	for i := range first {
		w.edges(i)
		w.cut(i)
	}
	w.compareFrom(first)
	for i := range first {
		if !w.texts[i].seed {
			continue
		}
		n := w.longest[i]
		if n == 0 && w.every {
			n = w.texts[i].fixed + 1 // a byte behind may make it valid: the suffix of 3DNow!
		}
		w.tunnel(w.texts[i], n, tunnelDepth)
	}
	r := w.res
	return &r
}

// sampled says that a string of the first wave is in the sample. The choice is
// scattered over the fields of the strings and the same in every run.
func (w *worker) sampled(t *text) bool {
	if w.cfg.Sample <= 1 {
		return true
	}
	h := uint64(14695981039346656037) // FNV-1a
	for _, b := range t.code() {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return (h^h>>32)%uint64(w.cfg.Sample) == 0
}

// fresh says that the block has not had the string yet.
func (w *worker) fresh(t *text) bool {
	var k [maxString + 1]byte
	copy(k[:], t.code())
	k[maxString] = t.n
	if _, old := w.seen[k]; old {
		return false
	}
	w.seen[k] = struct{}{}
	return true
}

// edges adds the edges of displacement and immediate, where some engine reads
// more than what was chosen.
func (w *worker) edges(i int) {
	n := int(w.longest[i])
	if n > maxString {
		n = maxString
	}
	fills := [][2]byte{{0xff, 0x7f}, {0xff, 0xff}, {0x00, 0x80}}
	if !w.every {
		fills = fills[:1]
	}
	for _, fill := range fills {
		t := w.texts[i]
		if int(t.fixed) >= n {
			return
		}
		for at := int(t.fixed); at < n-1; at++ {
			t.bytes[at] = fill[0]
		}
		t.bytes[n-1] = fill[1]
		if w.fresh(&t) {
			w.texts = append(w.texts, t)
		}
	}
}

// cut adds the string without its last byte.
func (w *worker) cut(i int) {
	t := w.texts[i]
	if w.longest[i] <= t.opcodeEnd {
		return
	}
	t.n = w.longest[i] - 1
	if t.n < maxString && w.fresh(&t) {
		w.texts = append(w.texts, t)
	}
}

// tunnelDepth is how many changes of length a tunnel follows.
const tunnelDepth = 3

// tunnel gives the last byte of the instruction every value, as sandsifter
// does, and where that changes the length, goes on behind it.
func (w *worker) tunnel(t text, n uint8, depth int) {
	if n <= t.opcodeEnd || n > maxString || depth == 0 {
		return
	}
	from := len(w.texts)
	at := n - 1
	for v := range 256 {
		t.bytes[at] = byte(v)
		w.texts = append(w.texts, t) // those that are not fresh are needed for their lengths
	}
	w.compareFrom(from)
	lengths := append([]uint8(nil), w.longest[from:from+256]...)
	w.texts, w.longest = w.texts[:from], w.longest[:from]
	var done uint32
	for v, l := range lengths {
		if l == n || l == 0 || done>>l&1 != 0 {
			continue
		}
		done |= 1 << l
		t.bytes[at] = byte(v)
		for i := at + 1; i < maxString; i++ {
			t.bytes[i] = 0
		}
		w.tunnel(t, l, depth-1)
	}
}

// compareFrom asks the engines about the texts from an index on.
func (w *worker) compareFrom(from int) {
	w.longest = append(w.longest[:from], make([]uint8, len(w.texts)-from)...)
	for ; from < len(w.texts); from += batchSize {
		w.batch(from, min(from+batchSize, len(w.texts)))
	}
}

// batch compares texts[from:to].
func (w *worker) batch(from, to int) {
	w.codes = w.codes[:0]
	for i := from; i < to; i++ {
		w.codes = append(w.codes, w.texts[i].code())
	}
	for _, v := range w.voters {
		out := v.out[:len(w.codes)]
		if v.batch != nil {
			v.batch.DecodeBatch(w.codes, w.walk.mode, out)
			continue
		}
		for i, c := range w.codes {
			v.decoder.Decode(c, w.walk.mode, &out[i])
		}
	}
	for i := range w.codes {
		for _, v := range w.voters {
			if d := &v.out[i]; d.Valid && !d.UnknownLength {
				w.longest[from+i] = max(w.longest[from+i], d.Length)
			}
		}
		w.count(from+i, i)
	}
}

// count compares the answers to a text, if it is a new one.
func (w *worker) count(at, i int) {
	t := &w.texts[at]
	if w.counted(t) {
		return
	}
	w.res.Strings++
	if w.arbiter.out[i].Valid {
		w.res.Valid++
	}
	for _, p := range w.pairs {
		w.compare(p[0], p[1], i)
	}
}

// counted marks a text as counted and says whether it was. The texts of a
// tunnel come here without having been through fresh.
func (w *worker) counted(t *text) bool {
	var k [maxString + 1]byte
	copy(k[:], t.code())
	k[maxString] = t.n | 0x80
	if _, old := w.seen[k]; old {
		return true
	}
	w.seen[k] = struct{}{}
	return false
}

// compare compares two engines on a string of the batch.
func (w *worker) compare(s, r *voter, i int) {
	a, b := &s.out[i], &r.out[i]
	if a.Ending != oracle.Ended || b.Ending != oracle.Ended {
		w.unexplained(s, r, i, oracle.DecodedValidity)
		w.res.Compared++
		return
	}
	if !a.Covered || !b.Covered {
		w.res.Uncovered++
		g := a.Group
		if a.Covered {
			g = b.Group
		}
		w.res.Groups[g]++
		return
	}
	w.res.Compared++
	f := oracle.CompareDecoded(a, b)
	if f == 0 {
		return
	}
	w.res.Differ++
	left, by := w.explain(s, r, i, f)
	if left != 0 {
		w.unexplained(s, r, i, left)
		return
	}
	w.res.classes.add(
		classKey{subject: s.Name, reference: r.Name, quirk: by, fields: f.String()},
		opcodeName(w.codes[i], w.walk.mode), answer(a), answer(b), w.minimal(i, s, r),
	)
}

func (w *worker) unexplained(s, r *voter, i int, f oracle.DecodedField) {
	w.res.Unexplained++
	says, against := answer(&s.out[i]), answer(&r.out[i])
	k := classKey{s.Name, r.Name, "", f.String(), opcodeName(w.codes[i], w.walk.mode), verdictOf(says), verdictOf(against)}
	w.res.classes.add(k, "", says, against, w.minimal(i, s, r))
}

// minimal is the part of the string that one of the two has looked at: all of
// it where both call it invalid.
func (w *worker) minimal(i int, s, r *voter) []byte {
	code := w.codes[i]
	n := 0
	for _, v := range []*voter{s, r, w.arbiter} {
		if d := &v.out[i]; d.Valid && !d.UnknownLength {
			n = max(n, int(d.Length))
		}
	}
	if n == 0 || n > len(code) {
		return code
	}
	return code[:n]
}

// explain looks for quirks of the two that explain the difference f, and
// returns what is left and the name of the last rule. What is right is the
// arbiter's answer; against the CPU, what the CPU lacks is right as undefined.
func (w *worker) explain(s, r *voter, i int, f oracle.DecodedField) (oracle.DecodedField, string) {
	code, mode := w.codes[i], w.walk.mode
	by := ""
	for _, v := range []*voter{r, s} {
		if v == w.arbiter || v == w.host {
			continue
		}
		right, wrong := &w.arbiter.out[i], &v.out[i]
		if v.CPU {
			right = &w.host.out[i]
		}
		if !right.Covered {
			continue
		}
		left, q := v.quirks.ExplainDecoded(code, mode, f&oracle.CompareDecoded(right, wrong), right, wrong)
		if q != nil {
			f = f&^oracle.CompareDecoded(right, wrong) | left
			by = q.String()
		}
	}
	if f&oracle.DecodedValidity != 0 && (s.CPU || r.CPU) && s != w.host && r != w.host && w.absent(i) {
		return f &^ oracle.DecodedValidity, lacks
	}
	return f, by
}

// absent says that the string is an instruction of the table that this CPU
// does not have.
func (w *worker) absent(i int) bool {
	return w.arbiter.out[i].Valid && !w.host.out[i].Valid
}
