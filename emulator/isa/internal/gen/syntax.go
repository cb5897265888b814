package main

import (
	"regexp"
	"strconv"
	"strings"
)

// accesses maps the words of the operands column. A c marks a write that may
// leave the operand as it is; n is an operand that is not accessed.
var accesses = map[string]string{
	"r": "Read", "w": "Write", "rw": "ReadWrite", "n": "0", "cw": "Write | Conditional", "rcw": "ReadWrite | Conditional",
}

// renamed are mnemonics that the manual gives to two instructions.
var renamed = map[string]string{"MOVSD": "MOVSD_XMM", "CMPSD": "CMPSD_XMM"}

func (r *row) parseSyntax(s, access string) error {
	name, rest, _ := strings.Cut(s, " ")
	if name == "" {
		return r.errorf("no instruction")
	}
	r.name, r.mnemonic = name, name
	if n := renamed[name]; n != "" && r.has("vector") {
		r.mnemonic = n
	}
	rest = r.takeDecorations(rest)
	var toks []string
	for _, t := range strings.Split(rest, ",") {
		if t = strings.TrimSpace(t); t != "" {
			toks = append(toks, t)
		}
	}
	words := strings.Fields(access)
	if len(words) != len(toks) {
		return r.errorf("%d operands and %d accesses (%q)", len(toks), len(words), access)
	}
	for i, t := range toks {
		o, err := r.parseOperand(t)
		if err != nil {
			return err
		}
		if o.access = accesses[words[i]]; o.access == "" {
			return r.errorf("access %q: want r, w, rw, n, cw or rcw", words[i])
		}
		r.operands = append(r.operands, o)
	}
	if err := r.placeRegisters(); err != nil {
		return err
	}
	return r.placeImmediates()
}

var (
	gprToken   = regexp.MustCompile(`^r(8|16|32|64)[ab]?$`)
	rmToken    = regexp.MustCompile(`^(?:r|r16|r32|r64)/m(8|16|32|64)$`)
	memToken   = regexp.MustCompile(`^m(8|16|32|64|128|256|384|512)?(fp|int|bcd)?$`)
	bytesToken = regexp.MustCompile(`^m([0-9]+)(?:/[0-9]+)?byte$`)
	farToken   = regexp.MustCompile(`^m16:(16|32|64)$`)
	pairToken  = regexp.MustCompile(`^m(16|32)&(16|32|64)$`)
	immToken   = regexp.MustCompile(`^(imm|rel|moffs)(8|16|32|64)$`)
	vecToken   = regexp.MustCompile(`^(mm|xmm|ymm|zmm)[0-9]?(?:\+3)?(?:/m(8|16|32|64|128|256|512))?$`)
	bcstToken  = regexp.MustCompile(`^(xmm|ymm|zmm)[0-9]?/m([0-9]+)/m(16|32|64)bcst$`)
	vsibToken  = regexp.MustCompile(`^vm(?:32|64)[xyz]/m(32|64)$`)
	boundToken = regexp.MustCompile(`^bnd[12]/m(64|128)$`)
	maskToken  = regexp.MustCompile(`^k[0-9]?(?:\+1)?(?:/m(8|16|32|64))?$`)
)

var vecSize = map[string]int{"mm": 8, "xmm": 16, "ymm": 32, "zmm": 64}

var fixedRegisters = map[string]operand{
	"AL": {class: "ClassGPR", reg: 0, size: 1}, "AX": {class: "ClassGPR", reg: 0, size: 2, opSize: 2},
	"EAX": {class: "ClassGPR", reg: 0, size: 4, opSize: 4}, "RAX": {class: "ClassGPR", reg: 0, size: 8, opSize: 8},
	"CL": {class: "ClassGPR", reg: 1, size: 1}, "DX": {class: "ClassGPR", reg: 2, size: 2},
	"ES": {class: "ClassSegment", reg: 0, size: 2}, "CS": {class: "ClassSegment", reg: 1, size: 2},
	"SS": {class: "ClassSegment", reg: 2, size: 2}, "DS": {class: "ClassSegment", reg: 3, size: 2},
	"FS": {class: "ClassSegment", reg: 4, size: 2}, "GS": {class: "ClassSegment", reg: 5, size: 2},
	"ST(0)": {class: "ClassX87", reg: 0, size: 10}, "<XMM0>": {class: "ClassVector", reg: 0, size: 16},
}

// registerTokens are the register fields that are not general-purpose or
// vector registers.
var registerTokens = map[string]operand{
	"tmm1": {class: "ClassTile", pure: true}, "tmm2": {class: "ClassTile", pure: true}, "tmm3": {class: "ClassTile", pure: true},
	"bnd": {class: "ClassBound", size: 16, pure: true}, "bnd1": {class: "ClassBound", size: 16, pure: true}, "bnd2": {class: "ClassBound", size: 16, pure: true},
	"Sreg": {class: "ClassSegment", size: 2}, "CR0-CR7": {class: "ClassControl"}, "DR0-DR7": {class: "ClassDebug"},
}

// evexForm mirrors isa.EVEXForm.
type evexForm struct {
	mask      string // MaskNone …
	zeroing   bool
	broadcast int // bytes of an element
	rounding  string
	scale     int
}

var broadcastToken = regexp.MustCompile(`/m(16|32|64)bcst`)

// takeDecorations reads {k1}, {z}, {er}, {sae} and bcst of an EVEX row and
// returns the operands without the braces.
func (r *row) takeDecorations(s string) string {
	if !r.enc.isEVEX {
		return s
	}
	f := &r.evex
	f.mask, f.rounding = "MaskNone", "RoundingNone"
	cut := func(mark string) bool {
		before := s
		s = strings.ReplaceAll(s, mark, "")
		return s != before
	}
	if k1, k2 := cut("{k1}"), cut("{k2}"); k1 || k2 {
		f.mask = "MaskOptional"
		if r.has("mask-required") {
			f.mask = "MaskRequired"
		}
	}
	if cut("{nf}") {
		f.mask = "MaskNF"
	}
	if cut("{scc}") {
		f.mask = "MaskCondition"
	}
	f.zeroing = cut("{z}")
	if cut("{er}") {
		f.rounding = "RoundingControl"
	}
	if cut("{sae}") {
		f.rounding = "RoundingSAE"
	}
	if m := broadcastToken.FindStringSubmatch(s); m != nil {
		f.broadcast = bytesOf(m[1])
	}
	return s
}

func (r *row) parseOperand(t string) (operand, error) {
	if o, ok := fixedRegisters[t]; ok {
		o.kind = "KindFixed"
		return o, nil
	}
	if o, ok := registerTokens[t]; ok {
		if !o.pure {
			o.kind = "KindReg"
		}
		return o, nil
	}
	if m := gprToken.FindStringSubmatch(t); m != nil {
		n := bytesOf(m[1])
		return operand{class: "ClassGPR", size: n, opSize: wide(n), pure: true}, nil
	}
	if m := rmToken.FindStringSubmatch(t); m != nil {
		n := bytesOf(m[1])
		return operand{kind: "KindRM", class: "ClassGPR", size: n, opSize: wide(n)}, nil
	}
	if m := immToken.FindStringSubmatch(t); m != nil {
		return r.constant(m[1], bytesOf(m[2])), nil
	}
	if o, ok := memoryOperand(t); ok {
		return o, nil
	}
	if o, ok := vectorOperand(t); ok {
		return o, nil
	}
	switch t {
	case "1":
		return operand{kind: "KindOne", size: 1}, nil
	case "ptr16:16":
		return operand{kind: "KindFar", size: 4, opSize: 2}, nil
	case "ptr16:32":
		return operand{kind: "KindFar", size: 6, opSize: 4}, nil
	case "m2z":
		return operand{kind: "KindM2Z", size: 1}, nil
	case "ST(i)":
		return operand{kind: "KindRMReg", class: "ClassX87", size: 10}, nil
	}
	return operand{}, r.errorf("operand %q of %q is not known", t, r.syntax)
}

// bytesOf turns a number of bits in a token into bytes; "" is 0.
func bytesOf(bits string) int {
	n, _ := strconv.Atoi(bits)
	return n / 8
}

// wide is the operand size that an operand of n bytes implies.
func wide(n int) int {
	if n >= 2 && n <= 8 {
		return n
	}
	return 0
}

func (r *row) constant(kind string, size int) operand {
	switch kind {
	case "imm":
		return operand{kind: "KindImm", size: size, opSize: wide(size)}
	case "rel":
		return operand{kind: "KindRel", size: size, opSize: wide(size)}
	}
	return operand{kind: "KindMoffs", class: "ClassGPR", size: size, opSize: wide(size)}
}

func memoryOperand(t string) (operand, bool) {
	if t == "sibmem" || t == "mib" { // rows of the tile's configuration; entries of the bound tables
		return operand{kind: "KindMem"}, true
	}
	if t == "m80fp" || t == "m80bcd" || t == "m80dec" {
		return operand{kind: "KindMem", size: 10}, true
	}
	if m := memToken.FindStringSubmatch(t); m != nil {
		return operand{kind: "KindMem", size: bytesOf(m[1])}, true
	}
	// m512byte and the like are 0: too large for the field, and the
	// instruction transfers them in parts.
	if m := bytesToken.FindStringSubmatch(t); m != nil {
		n, _ := strconv.Atoi(m[1])
		if n > 64 {
			n = 0
		}
		return operand{kind: "KindMem", size: n}, true
	}
	if m := farToken.FindStringSubmatch(t); m != nil {
		n := bytesOf(m[1])
		return operand{kind: "KindMem", size: n + 2, opSize: n}, true
	}
	if m := pairToken.FindStringSubmatch(t); m != nil {
		a, b := bytesOf(m[1]), bytesOf(m[2])
		o := operand{kind: "KindMem", size: a + b}
		if a == b {
			o.opSize = a
		}
		return o, true
	}
	if m := vsibToken.FindStringSubmatch(t); m != nil {
		return operand{kind: "KindMem", size: bytesOf(m[1])}, true
	}
	return operand{}, false
}

func vectorOperand(t string) (operand, bool) {
	if m := boundToken.FindStringSubmatch(t); m != nil {
		return operand{kind: "KindRM", class: "ClassBound", size: bytesOf(m[1])}, true
	}
	if m := maskToken.FindStringSubmatch(t); m != nil {
		if m[1] != "" {
			return operand{kind: "KindRM", class: "ClassMask", size: bytesOf(m[1])}, true
		}
		return operand{class: "ClassMask", size: 8, pure: true}, true
	}
	if m := bcstToken.FindStringSubmatch(t); m != nil {
		return operand{kind: "KindRM", class: "ClassVector", size: bytesOf(m[2])}, true
	}
	m := vecToken.FindStringSubmatch(t)
	if m == nil {
		return operand{}, false
	}
	o := operand{class: "ClassVector", size: vecSize[m[1]]}
	if m[1] == "mm" {
		o.class = "ClassMMX"
	}
	if m[2] == "" {
		o.pure = true
		return o, true
	}
	o.kind, o.size = "KindRM", bytesOf(m[2])
	return o, true
}

// orders gives, for each Op/En of the manual, the kinds of the register
// operands in turn; "rm" is ModRM.rm.
var orders = map[string][]string{
	"RM": {"KindReg", "rm"}, "MR": {"rm", "KindReg"}, "RMI": {"KindReg", "rm"}, "MRI": {"rm", "KindReg"},
	"RVM": {"KindReg", "KindVVVV", "rm"}, "RMV": {"KindReg", "rm", "KindVVVV"}, "VM": {"KindVVVV", "rm"},
	"MVR": {"rm", "KindVVVV", "KindReg"}, "MRV": {"rm", "KindReg", "KindVVVV"}, "RVMR": {"KindReg", "KindVVVV", "rm", "KindIs4"},
	"RVRM": {"KindReg", "KindVVVV", "KindIs4", "rm"}, "VMR": {"KindVVVV", "rm", "KindReg"}, "VRM": {"KindVVVV", "KindReg", "rm"},
}

// placeRegisters decides which field of the encoding each operand is in.
func (r *row) placeRegisters() error {
	var order []string
	for name, o := range orders {
		if r.has(name) {
			order = o
		}
	}
	if order == nil {
		order = r.defaultOrder()
	}
	n := 0
	for i := range r.operands {
		o := &r.operands[i]
		switch o.kind {
		case "KindFixed", "KindImm", "KindRel", "KindOne", "KindFar", "KindMoffs", "KindM2Z":
			continue
		}
		if n >= len(order) {
			return r.errorf("operand %d of %q has no place in the encoding: give its order (RM, MR, RVM …)", i+1, r.syntax)
		}
		want := order[n]
		n++
		if err := r.place(o, want); err != nil {
			return err
		}
	}
	return r.checkMod()
}

func (r *row) place(o *operand, want string) error {
	switch {
	case want == "rm" && o.kind == "":
		o.kind = "KindRMReg"
	case want == "rm" && (o.kind == "KindRM" || o.kind == "KindMem" || o.kind == "KindRMReg"):
	case o.kind == "" || o.kind == want:
		o.kind = want
	default:
		return r.errorf("%q: an operand is %s where the order says %s", r.syntax, o.kind, want)
	}
	return nil
}

// defaultOrder is what the syntax itself says when no Op/En is given: the
// operand with a memory form is ModRM.rm; of two registers the first is
// ModRM.reg, but for MOV to and from control and debug registers.
func (r *row) defaultOrder() []string {
	e := &r.enc
	if e.opcodeReg {
		return []string{"KindOpcode"}
	}
	if e.reg >= 0 {
		return []string{"rm"}
	}
	for i, o := range r.operands {
		special := o.class == "ClassControl" || o.class == "ClassDebug"
		if (i == 0 && (o.kind == "KindRM" || o.kind == "KindMem")) || (i == 1 && special) {
			return orders["MR"]
		}
	}
	return orders["RM"]
}

// checkMod derives ModRM.mod from the operand that it describes.
func (r *row) checkMod() error {
	e := &r.enc
	for i := range r.operands {
		mod := 0
		switch r.operands[i].kind {
		case "KindMem":
			mod = 1
		case "KindRMReg":
			mod = 2
		case "KindReg", "KindRM":
		default:
			continue
		}
		if !e.hasModRM {
			return r.errorf("%q needs a ModRM byte", r.syntax)
		}
		if mod == 0 || r.has("mod-ignored") {
			continue
		}
		if e.mod != 0 && e.mod != mod {
			return r.errorf("operand %d of %q contradicts the opcode column", i+1, r.syntax)
		}
		e.mod = mod
	}
	return nil
}

// signExtended are the instructions whose 8-bit immediate the manual calls
// sign-extended when the operand is wider. A 32-bit immediate with a 64-bit
// operand always is (SDM vol. 2, 2.2.1.5).
var signExtended = map[string]bool{
	"ADD": true, "OR": true, "ADC": true, "SBB": true, "AND": true, "SUB": true, "XOR": true, "CMP": true, "IMUL": true, "PUSH": true,
}

func (r *row) placeImmediates() error {
	imms := r.enc.imms
	for i := range r.operands {
		o := &r.operands[i]
		switch o.kind {
		case "KindImm", "KindRel", "KindIs4", "KindFar":
		default:
			continue
		}
		if o.kind == "KindIs4" && len(imms) == 0 {
			return r.errorf("%q: no /is4 in the opcode column", r.syntax)
		}
		if len(imms) == 0 {
			return r.errorf("%q: operand %d has no immediate in the opcode column", r.syntax, i+1)
		}
		o.immSize = imms[0]
		imms = imms[1:]
		switch o.kind {
		case "KindFar":
			if len(imms) == 0 { // ptr16:16 is written cd
				o.immSize = 2
			}
			imms = nil
		case "KindRel":
			o.signExtend = true
		case "KindImm":
			if o.size != o.immSize {
				return r.errorf("%q: operand %d is %d bytes, the opcode column says %d", r.syntax, i+1, o.size, o.immSize)
			}
			r.extend(i)
		}
	}
	if len(imms) > 0 && !r.enc.is4 {
		return r.errorf("%q: %d immediates are left over", r.syntax, len(imms))
	}
	return nil
}

// extend widens the immediate i to the operand that it is used with.
func (r *row) extend(i int) {
	o := &r.operands[i]
	target := 0
	switch {
	case i > 0:
		target = r.operands[0].size
	case r.name == "PUSH": // the slot of the stack
		for size, attr := range map[int]string{2: "o16", 4: "o32", 8: "o64"} {
			if r.has(attr) {
				target = size
			}
		}
	}
	vex := r.enc.isVEX && !r.enc.isEVEX // there an immediate of 32 bits is all of an operand
	if target > o.size && (signExtended[r.name] || (o.size == 4 && target == 8 && !vex)) {
		o.signExtend, o.size = true, target
	}
}

var (
	implicitMem = regexp.MustCompile(`^m(8|16|32|64|128|512)?\[(DS:rSI|ES:rDI|DS:rBX\+AL|DS:rAX|DS:rDI|ES:reg)\]$`)
	stackToken  = regexp.MustCompile(`^stack(16|32|64|128)?$`)
)

// implicitRegisters are the registers that implicit operands name.
var implicitRegisters = func() map[string]operand {
	m := map[string]operand{}
	for i, n := range []string{"AX", "CX", "DX", "BX", "SP", "BP", "SI", "DI"} {
		m[n] = operand{class: "ClassGPR", reg: i, size: 2}
		m["E"+n] = operand{class: "ClassGPR", reg: i, size: 4}
		m["R"+n] = operand{class: "ClassGPR", reg: i, size: 8}
		m["r"+n] = operand{class: "ClassGPR", reg: i} // the operand or address size
	}
	for i, n := range []string{"A", "C", "D", "B"} {
		m[n+"L"] = operand{class: "ClassGPR", reg: i, size: 1}
		m[n+"H"] = operand{class: "ClassHigh", reg: i + 4, size: 1}
	}
	for i := 8; i < 16; i++ {
		m["R"+strconv.Itoa(i)] = operand{class: "ClassGPR", reg: i, size: 8}
	}
	for i := range 8 {
		m["XMM"+strconv.Itoa(i)] = operand{class: "ClassVector", reg: i, size: 16}
	}
	for i, n := range []string{"ES", "CS", "SS", "DS", "FS", "GS"} {
		m[n] = operand{class: "ClassSegment", reg: i, size: 2}
	}
	m["ST(0)"] = operand{class: "ClassX87", size: 10}
	return m
}()

// parseImplicit reads words such as RDX=w, stack64=rw and m32[DS:rSI]=r. The
// memory of a string instruction, which the manual's long form names, becomes
// an explicit operand.
func (r *row) parseImplicit(s string) error {
	for _, w := range strings.Fields(s) {
		what, acc, ok := strings.Cut(w, "=")
		access := accesses[acc]
		if !ok || access == "" {
			return r.errorf("implicit column: %q, want OPERAND=ACCESS", w)
		}
		if m := implicitMem.FindStringSubmatch(what); m != nil {
			kinds := map[string]string{"DS:rSI": "KindSource", "ES:rDI": "KindDest", "DS:rBX+AL": "KindXlat", "DS:rDI": "KindDest", "DS:rAX": "KindSource"}
			if m[2] == "ES:reg" { // an explicit operand holds its address
				r.implicit = append(r.implicit, operand{kind: "KindDest", size: bytesOf(m[1]), access: access})
				continue
			}
			o := operand{kind: kinds[m[2]], size: bytesOf(m[1]), access: access}
			if m[2] == "DS:rDI" || m[2] == "DS:rAX" {
				continue // named by the manual's text only
			}
			r.operands = append(r.operands, o)
			continue
		}
		if m := stackToken.FindStringSubmatch(what); m != nil {
			r.implicit = append(r.implicit, operand{kind: "KindStack", size: bytesOf(m[1]), access: access})
			continue
		}
		o, ok := implicitRegisters[what]
		if !ok {
			return r.errorf("implicit column: %q is not known", what)
		}
		o.kind, o.access = "KindFixed", access
		r.implicit = append(r.implicit, o)
	}
	return nil
}
