package main

import (
	"regexp"
	"strconv"
	"strings"
)

// encoding is the opcode column, parsed. Numbers that do not restrict are -1
// (reg, rm) or 0 (the others, as in isa.Pattern).
type encoding struct {
	isVEX, isEVEX bool
	rexW          bool
	mapName       string // constant of isa
	mapNumber     int
	opcode        int
	opcodeReg     bool
	hasModRM      bool
	reg, rm       int
	mod           int // 0 any, 1 memory, 2 register
	prefix        string
	opSize        int
	addrSize      int
	rexB          int
	l, w          int
	nd, nf        int // as rexB
	imms          []int
	relative      bool
	far           bool
	is4           bool
}

// The maps in the order of the constants of package isa.
var mapNames = []string{
	"MapOne", "Map0F", "Map0F38", "Map0F3A", "Map0F0F",
	"MapVEX1", "MapVEX2", "MapVEX3", "MapVEX5", "MapVEX7", "MapXOP8", "MapXOP9", "MapXOPA",
	"MapEVEX1", "MapEVEX2", "MapEVEX3", "MapEVEX4", "MapEVEX5", "MapEVEX6", "MapEVEX7", "MapREX2",
}

const (
	mapOne = iota
	map0F
	map0F38
	map0F3A
	map0F0F
	mapVEX1
	mapVEX2
	mapVEX3
	mapVEX5
	mapVEX7
	mapXOP8
	mapXOP9
	mapXOPA
	mapEVEX1
	mapEVEX2
	mapEVEX3
	mapEVEX4
	mapEVEX5
	mapEVEX6
	mapEVEX7
	mapREX2
	numMaps
)

var (
	hexByte = regexp.MustCompile(`^[0-9A-F]{2}$`)
	plusReg = regexp.MustCompile(`^([0-9A-F]{2})\+(rb|rw|rd|ro|i)$`)
	modForm = regexp.MustCompile(`^(11|!\(11\)):(rrr|[01]{3}):(bbb|[01]{3})$`)
)

// immediates maps the manual's symbols to sizes in bytes.
var immediates = map[string][]int{
	"ib": {1}, "iw": {2}, "id": {4}, "io": {8}, "cb": {1}, "cw": {2}, "cd": {4}, "cp": {4, 2}, "/is4": {1}, "/ib": {1},
}

func (r *row) parseEncoding(s string) error {
	e := &r.enc
	e.reg, e.rm = -1, -1
	toks := strings.Fields(strings.ReplaceAll(s, " + ", " "))
	toks = r.takePrefixes(toks)
	if len(toks) > 0 && (strings.HasPrefix(toks[0], "VEX.") || strings.HasPrefix(toks[0], "EVEX.") || strings.HasPrefix(toks[0], "XOP.")) {
		if err := r.parseVEX(toks[0]); err != nil {
			return err
		}
		toks = toks[1:]
	} else {
		toks = e.takeMap(toks)
	}
	toks, err := r.takeOpcode(toks)
	if err != nil {
		return err
	}
	for _, t := range toks {
		if err := r.takeSuffix(t); err != nil {
			return err
		}
	}
	e.mapName = mapNames[e.mapNumber]
	return nil
}

// takePrefixes eats NP, NFx, 66, F2, F3, REX.W before the opcode.
func (r *row) takePrefixes(toks []string) []string {
	e := &r.enc
	for len(toks) > 1 {
		switch toks[0] {
		case "NP":
			e.prefix = "PrefixNP"
		case "NFx":
			e.prefix = "PrefixNotF"
		case "66":
			e.prefix = "Prefix66"
		case "F2":
			e.prefix = "PrefixF2"
		case "F3":
			e.prefix = "PrefixF3"
		case "REX2":
			e.mapNumber = mapREX2
		case "REX.W":
			e.rexW = true
			e.w = 2
		default:
			return toks
		}
		toks = toks[1:]
	}
	return toks
}

func (e *encoding) takeMap(toks []string) []string {
	if len(toks) < 2 || toks[0] != "0F" {
		return toks
	}
	switch {
	case toks[1] == "0F" && len(toks) == 4: // 0F 0F /r 9E: the opcode comes last
		e.mapNumber = map0F0F
		return []string{toks[3], toks[2]}
	case toks[1] == "38" && len(toks) > 2:
		e.mapNumber = map0F38
		return toks[2:]
	case toks[1] == "3A" && len(toks) > 2:
		e.mapNumber = map0F3A
		return toks[2:]
	}
	e.mapNumber = map0F
	return toks[1:]
}

// parseVEX reads VEX.LZ.66.0F38.W0 and EVEX.512.66.0F.W1.
func (r *row) parseVEX(tok string) error {
	e := &r.enc
	e.isVEX = true
	e.prefix = "PrefixNP"
	fields := strings.Split(tok, ".")
	e.isEVEX = fields[0] == "EVEX"
	for _, f := range fields[1:] {
		switch f {
		case "128", "L0", "LZ":
			e.l = 1
		case "256", "L1":
			e.l = 2
		case "512":
			e.l = 3
		case "LIG", "WIG", "NDS", "NDD", "DDS", "NP", "LLIG", "LLZ":
		case "NFx":
			e.prefix = "PrefixNotF"
		case "ND0", "ND1":
			e.nd = int(f[2]-'0') + 1
		case "NF0", "NF1":
			e.nf = int(f[2]-'0') + 1
		case "66":
			e.prefix = "Prefix66"
		case "F2":
			e.prefix = "PrefixF2"
		case "F3":
			e.prefix = "PrefixF3"
		case "W0":
			e.w = 1
		case "W1":
			e.w = 2
		case "0F", "0F38", "0F3A", "MAP4", "MAP5", "MAP6", "MAP7", "MAP8", "MAP9", "MAPA":
			e.mapNumber = vexMaps[fields[0]+"."+f]
		default:
			return r.errorf("field %q of %q", f, tok)
		}
	}
	if e.mapNumber == 0 {
		return r.errorf("%q names no opcode map", tok)
	}
	return nil
}

// vexMaps gives the map by prefix and the field of its name.
var vexMaps = map[string]int{
	"VEX.0F": mapVEX1, "VEX.0F38": mapVEX2, "VEX.0F3A": mapVEX3, "VEX.MAP5": mapVEX5, "VEX.MAP7": mapVEX7,
	"XOP.MAP8": mapXOP8, "XOP.MAP9": mapXOP9, "XOP.MAPA": mapXOPA,
	"EVEX.0F": mapEVEX1, "EVEX.0F38": mapEVEX2, "EVEX.0F3A": mapEVEX3,
	"EVEX.MAP4": mapEVEX4, "EVEX.MAP5": mapEVEX5, "EVEX.MAP6": mapEVEX6, "EVEX.MAP7": mapEVEX7,
}

func (r *row) takeOpcode(toks []string) ([]string, error) {
	e := &r.enc
	if len(toks) == 0 {
		return nil, r.errorf("no opcode in %q", r.encoding)
	}
	if m := plusReg.FindStringSubmatch(toks[0]); m != nil {
		e.opcode, _ = parseHex(m[1])
		e.opcodeReg = true
		return toks[1:], nil
	}
	op, err := parseHex(toks[0])
	if err != nil {
		return nil, r.errorf("opcode %q: want two hex digits", toks[0])
	}
	e.opcode = op
	return toks[1:], nil
}

func parseHex(s string) (int, error) {
	n, err := strconv.ParseUint(s, 16, 8)
	return int(n), err
}

// takeSuffix handles what follows the opcode: /r, /digit, a fixed ModRM byte
// and immediates.
func (r *row) takeSuffix(t string) error {
	e := &r.enc
	if n, ok := immediates[t]; ok {
		e.imms = append(e.imms, n...)
		e.relative = e.relative || t[0] == 'c'
		e.is4 = e.is4 || t == "/is4"
		e.far = e.far || t == "cp"
		return nil
	}
	if m := plusReg.FindStringSubmatch(t); m != nil { // D8 C0+i
		b, _ := parseHex(m[1])
		e.hasModRM, e.mod, e.reg = true, 2, b>>3&7
		return nil
	}
	if m := modForm.FindStringSubmatch(t); m != nil {
		e.hasModRM, e.mod = true, 1
		if m[1] == "11" {
			e.mod = 2
		}
		e.reg, e.rm = bits3(m[2]), bits3(m[3])
		return nil
	}
	switch {
	case t == "/r":
		e.hasModRM = true
	case len(t) == 2 && t[0] == '/' && t[1] >= '0' && t[1] <= '7':
		e.hasModRM, e.reg = true, int(t[1]-'0')
	case hexByte.MatchString(t):
		b, _ := parseHex(t)
		if b < 0xc0 {
			return r.errorf("fixed ModRM %q: want C0 to FF", t)
		}
		e.hasModRM, e.mod, e.reg, e.rm = true, 2, b>>3&7, b&7
	default:
		return r.errorf("%q in opcode column", t)
	}
	return nil
}

func bits3(s string) int {
	n, err := strconv.ParseUint(s, 2, 3)
	if err != nil {
		return -1
	}
	return int(n)
}
