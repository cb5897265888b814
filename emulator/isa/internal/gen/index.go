package main

import (
	"errors"
	"fmt"
	"slices"
	"sort"
)

// The index maps the bytes of an opcode to a row by
//
//	slots[base + class[modrm]*stride + class[context]]
//
// where base, stride and the two classifications belong to the opcode. The
// context is a byte with everything outside the opcode that can select a row:
//
//	legacy maps:  bit 0 66h, 1 67h, 2 F3h, 3 F2h, 4 REX.W, 5 REX.B, 6-7 mode
//	VEX, EVEX:    bits 0-1 pp, 2 W, 3-4 L, 5 67h, 6-7 mode
//	EVEX map 4:   as EVEX, with ND in bit 3 and NF in bit 4
//
// and the mode is 0 for 16-bit code, 1 for 32-bit, 2 for 64-bit code on
// Intel, 3 for 64-bit code on AMD. Bytes that select the same rows share a
// class, so most opcodes need few slots.
type index struct {
	entries [numMaps * 256]entry
	slots   []int // row ids
	// modrmClasses, contextClasses are the distinct classifications.
	modrmClasses, contextClasses [][256]uint8
}

type entry struct {
	used         bool
	hasModRM     bool
	registerOnly bool // ModRM.mod is ignored: MOV CR, MOV DR
	base, stride int
	mc, cc       int
}

func buildIndex(rows []*row) (*index, error) {
	idx := &index{slots: []int{0}}
	idx.modrmClasses = append(idx.modrmClasses, [256]uint8{})
	idx.contextClasses = append(idx.contextClasses, [256]uint8{})
	byOpcode := map[int][]*row{}
	for _, r := range rows {
		first, count := r.enc.opcode, 1
		if r.enc.opcodeReg {
			count = 8
		}
		for op := first; op < first+count; op++ {
			key := r.enc.mapNumber<<8 | op
			byOpcode[key] = append(byOpcode[key], r)
		}
	}
	keys := make([]int, 0, len(byOpcode))
	for k := range byOpcode {
		keys = append(keys, k)
	}
	sort.Ints(keys)
	var errs []error
	for _, k := range keys {
		errs = append(errs, idx.addOpcode(k, byOpcode[k]))
	}
	for _, r := range rows {
		if !r.reached {
			errs = append(errs, r.errorf("%s: no bytes select this row", r.syntax))
		}
	}
	return idx, errors.Join(errs...)
}

func (idx *index) addOpcode(key int, rows []*row) error {
	e := &idx.entries[key]
	e.used = true
	for _, r := range rows {
		r.wide = r.wide || slices.ContainsFunc(rows, r.isNarrowOf)
	}
	e.hasModRM = rows[0].enc.hasModRM
	e.registerOnly = rows[0].has("mod-ignored")
	for _, r := range rows[1:] {
		if r.enc.hasModRM != e.hasModRM || r.has("mod-ignored") != e.registerOnly {
			return r.errorf("has a ModRM byte where %s has none, or the other way round", rows[0])
		}
	}
	ctxSets, ctxClass := classify(len(rows)*2, func(b, i int) bool { return rows[i/2].matchesContext(b, i%2 == 1) })
	rmSets, rmClass := [][]bool{trues(len(rows))}, [256]uint8{}
	if e.hasModRM {
		rmSets, rmClass = classify(len(rows), func(b, i int) bool { return rows[i].matchesModRM(b) })
	}
	e.base, e.stride = len(idx.slots), len(ctxSets)
	for _, rm := range rmSets {
		for _, ctx := range ctxSets {
			id, err := winner(rows, rm, ctx)
			if err != nil {
				return err
			}
			idx.slots = append(idx.slots, id)
		}
	}
	e.mc = intern(&idx.modrmClasses, rmClass)
	e.cc = intern(&idx.contextClasses, ctxClass)
	return nil
}

func trues(n int) []bool {
	s := make([]bool, n)
	for i := range s {
		s[i] = true
	}
	return s
}

// classify partitions the 256 bytes by which of n tests they pass.
func classify(n int, test func(b, i int) bool) (sets [][]bool, class [256]uint8) {
	seen := map[string]int{}
	for b := range 256 {
		set := make([]bool, n)
		key := make([]byte, n)
		for i := range set {
			set[i] = test(b, i)
			if set[i] {
				key[i] = 1
			}
		}
		c, ok := seen[string(key)]
		if !ok {
			c = len(sets)
			seen[string(key)] = c
			sets = append(sets, set)
		}
		class[b] = uint8(c)
	}
	return sets, class
}

func intern(list *[][256]uint8, c [256]uint8) int {
	for i, have := range *list {
		if have == c {
			return i
		}
	}
	*list = append(*list, c)
	return len(*list) - 1
}

// winner is the most specific row of those that match; a row for another mode
// only where none matches, so that the decoder can say "wrong mode".
func winner(rows []*row, rm, ctx []bool) (int, error) {
	for other := range 2 {
		var best, second *row
		for i, r := range rows {
			if !rm[i] || !ctx[i*2+other] {
				continue
			}
			switch {
			case best == nil || r.specificity() > best.specificity():
				best, second = r, best
			case r.specificity() == best.specificity():
				if other == 1 {
					continue
				}
				return 0, fmt.Errorf("these rows claim the same bytes:\n\t%s\n\t%s", best, r)
			case second == nil || r.specificity() > second.specificity():
				second = r
			}
		}
		if best == nil {
			continue
		}
		best.reached = best.reached || other == 0
		if other == 0 && second != nil && best.feature != "" {
			if best.fallback != nil && best.fallback != second {
				return 0, fmt.Errorf("without its feature this row would be several:\n\t%s\n\t%s\n\t%s", best, best.fallback, second)
			}
			best.fallback = second
		}
		return best.id, nil
	}
	return 0, nil
}

// specificity counts what the row asks for.
func (r *row) specificity() int {
	e := &r.enc
	n := 0
	for _, restricted := range []bool{
		e.opSize != 0, e.addrSize != 0, e.reg >= 0, e.rm >= 0, e.mod != 0, e.rexB != 0, e.l != 0, e.nd != 0, e.nf != 0, e.isVEX && e.w != 0,
		!e.opcodeReg,
	} {
		if restricted {
			n++
		}
	}
	switch e.prefix {
	case "PrefixNP", "Prefix66", "PrefixF2", "PrefixF3":
		n += 2
	case "PrefixNotF":
		n++
	}
	return n
}

func (r *row) matchesModRM(b int) bool {
	e := &r.enc
	if e.reg >= 0 && b>>3&7 != e.reg || e.rm >= 0 && b&7 != e.rm {
		return false
	}
	for _, o := range r.operands {
		if o.kind == "KindReg" && !registerExists(o, b>>3&7) {
			return false
		}
	}
	return r.has("mod-ignored") || e.mod == 0 || (b >= 0xc0) == (e.mod == 2)
}

// registerExists says whether ModRM.reg names a register that there is. CS
// cannot be loaded; CR1 and CR5 to CR7 do not exist (SDM vol. 2, MOV).
func registerExists(o operand, reg int) bool {
	switch o.class {
	case "ClassSegment":
		return reg < 6 && (reg != 1 || o.access == "Read")
	case "ClassControl":
		return reg == 0 || reg == 2 || reg == 3 || reg == 4
	}
	return true
}

// matchesContext says whether the context selects the row; anyMode leaves the
// row's modes out.
func (r *row) matchesContext(ctx int, anyMode bool) bool {
	if r.enc.isVEX {
		return r.matchesVEX(ctx, anyMode)
	}
	e := &r.enc
	mode := ctx >> 6
	if !anyMode && r.modes&modeBit(mode) == 0 {
		return false
	}
	p66, f3, f2 := ctx&1 != 0, ctx&4 != 0, ctx&8 != 0
	if f3 && f2 {
		return false // the decoder keeps the last one only
	}
	if p66 && r.has("no66") {
		return false
	}
	switch e.prefix {
	case "PrefixNP":
		if p66 || f3 || f2 {
			return false
		}
	case "PrefixNotF":
		if f3 || f2 {
			return false
		}
	case "Prefix66":
		if !p66 || f3 || f2 {
			return false
		}
	case "PrefixF3":
		if !f3 {
			return false
		}
	case "PrefixF2":
		if !f2 {
			return false
		}
	}
	if e.rexB != 0 && (ctx>>5&1)+1 != e.rexB {
		return false
	}
	return (e.opSize == 0 || e.opSize == operandSize(r.sizeClass(), ctx)) && (e.addrSize == 0 || e.addrSize == addressSize(mode, ctx>>1&1 != 0))
}

func (r *row) matchesVEX(ctx int, anyMode bool) bool {
	e := &r.enc
	mode := ctx >> 6
	if !anyMode && r.modes&modeBit(mode) == 0 {
		return false
	}
	prefixes := []string{"PrefixNP", "Prefix66", "PrefixF3", "PrefixF2"}
	if e.prefix != prefixes[ctx&3] && (e.prefix != "PrefixNotF" || ctx&3 > 1) {
		return false
	}
	if e.mapNumber == mapEVEX4 {
		return r.matchesMap4(ctx)
	}
	if ctx>>3&3 == 3 {
		return false // L'L of 3 is no length
	}
	ignoreW := mode < 2 && r.wide // SDM vol. 2, 2.3.6.1
	if e.w != 0 && !ignoreW && (ctx>>2&1)+1 != e.w || e.l != 0 && (ctx>>3&3)+1 != e.l {
		return false
	}
	return e.addrSize == 0 || e.addrSize == addressSize(mode, ctx>>5&1 != 0)
}

// matchesMap4 is for EVEX map 4, whose context has ND and NF in place of L'L.
func (r *row) matchesMap4(ctx int) bool {
	e := &r.enc
	for _, f := range []struct{ want, bit int }{{e.w, 2}, {e.nd, 3}, {e.nf, 4}} {
		if f.want != 0 && ctx>>f.bit&1+1 != f.want {
			return false
		}
	}
	return e.addrSize == 0 || e.addrSize == addressSize(ctx>>6, ctx>>5&1 != 0)
}

// usesGPR says whether an operand is a general-purpose register, so that W is
// its size, which outside 64-bit mode is always 32 bits.
func (r *row) usesGPR() bool {
	for _, o := range r.operands {
		if o.class == "ClassGPR" {
			return true
		}
	}
	return false
}

// isNarrowOf says whether s is the same encoding with the other W and is there
// for the 64-bit register that it names: the two differ in the register's size,
// which outside 64-bit mode W does not choose. (Where W chooses nothing, as of
// KMOVB k, r32, its other value is #UD in every mode; seen on Intel's CPUs.)
func (r *row) isNarrowOf(s *row) bool {
	a, b := &r.enc, &s.enc
	return a.w != 0 && b.w != 0 && a.w != b.w && s.modes == modeBit(2) && r.usesGPR() && s.usesGPR() &&
		a.isEVEX == b.isEVEX && a.prefix == b.prefix && (a.l == b.l || a.l == 0 || b.l == 0) && (a.reg == b.reg) && (a.mod == 0 || b.mod == 0 || a.mod == b.mod)
}

// modeBit is the bit of row.modes of a context's mode.
func modeBit(mode int) int { return []int{1, 2, 4, 4}[mode] }

func addressSize(mode int, prefix bool) int {
	sizes := [][2]int{{2, 4}, {4, 2}, {8, 4}, {8, 4}}
	if prefix {
		return sizes[mode][1]
	}
	return sizes[mode][0]
}

// The ways in which prefixes make an operand size.
const (
	sizePlain = iota
	sizeDefault64
	sizeForce64
	sizeIgnore66 // 66h is a mandatory prefix
	sizeVEX
	numSizeClasses
)

func (r *row) sizeClass() int {
	switch {
	case r.enc.isVEX:
		return sizeVEX
	case r.has("force64"):
		return sizeForce64
	case r.has("default64"):
		return sizeDefault64
	case r.enc.prefix == "Prefix66":
		return sizeIgnore66
	}
	return sizePlain
}

// operandSize is the effective operand size in bytes (SDM vol. 1, 3.6.1).
func operandSize(class, ctx int) int {
	mode := ctx >> 6
	p66, w := ctx&1 != 0, ctx&16 != 0
	switch class {
	case sizeVEX:
		if ctx&4 != 0 && mode >= 2 {
			return 8
		}
		return 4
	case sizeIgnore66:
		p66 = false
	case sizeForce64:
		// Intel ignores 66h on near branches in 64-bit mode, AMD does not
		// (SDM vol. 2 Jcc, CALL; APM vol. 3, 1.2.3).
		if mode == 2 {
			return 8
		}
		fallthrough
	case sizeDefault64:
		if mode >= 2 {
			if p66 && !w {
				return 2
			}
			return 8
		}
	}
	if w && mode >= 2 {
		return 8
	}
	if p66 != (mode == 0) {
		return 2
	}
	return 4
}
