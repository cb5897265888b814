package oracle

import (
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// registerFiles are the registers that an operand can name: a file with the
// numbers and the sizes that it has.
var registerFiles = []struct {
	class       x86.Class
	first, last uint8
	sizes       []uint8
}{
	{x86.ClassGPR, 0, 31, []uint8{1, 2, 4, 8}}, // above 15 where the names have them (APX)
	{x86.ClassHigh, 4, 7, []uint8{1}},
	{x86.ClassSegment, 0, x86.NumSegment - 1, []uint8{2}},
	{x86.ClassControl, 0, 15, []uint8{0}},
	{x86.ClassDebug, 0, 15, []uint8{0}},
	{x86.ClassX87, 0, 7, []uint8{10}},
	{x86.ClassMMX, 0, 7, []uint8{8}},
	{x86.ClassMask, 0, 7, []uint8{8}},
	{x86.ClassBound, 0, 3, []uint8{16}},
	{x86.ClassTile, 0, 7, []uint8{0}},
	{x86.ClassVector, 0, 31, []uint8{16, 32, 64}},
}

// registersByName has every register that an operand can name.
var registersByName = sync.OnceValue(func() map[string]Operand {
	m := map[string]Operand{}
	for _, f := range registerFiles {
		for n := f.first; n <= f.last; n++ {
			for _, size := range f.sizes {
				name := decode.RegisterName(f.class, n, size)
				if name == "?" {
					continue
				}
				m[name] = Operand{Kind: OperandRegister, Class: f.class, Register: n, Size: size}
			}
		}
	}
	return m
})

// ParseOperand reads an operand in the form of Operand.String.
func ParseOperand(text string) (Operand, error) {
	var o Operand
	kind, rest, ok := strings.Cut(text, " ")
	bad := func(want string) (Operand, error) {
		return Operand{}, fmt.Errorf("operand %q: want %s", text, want)
	}
	if !ok {
		return bad(`"reg NAME", "immBITS VALUE", "memBITS SEGMENT:[BASE+INDEX*SCALE+DISPLACEMENT] aBITS", "rel VALUE" or "farBITS SELECTOR:OFFSET"`)
	}
	name := strings.TrimRight(kind, "0123456789")
	bits, err := 0, error(nil)
	if len(name) < len(kind) {
		if bits, err = strconv.Atoi(kind[len(name):]); err != nil || bits%8 != 0 || bits > 8*255 {
			return bad("a size of whole bytes in bits")
		}
	}
	o.Size = uint8(bits / 8)
	switch name {
	case "reg":
		r, ok := registersByName()[rest]
		if !ok {
			return bad("the name of a register, as rax, ah, xmm3, st(0)")
		}
		return r, nil
	case "imm":
		o.Kind = OperandImmediate
		v, err := strconv.ParseUint(rest, 0, 64)
		if err != nil || o.Size == 0 || o.Size < 8 && v>>(8*o.Size) != 0 {
			return bad("an immediate within its size, without a sign, as imm8 0xff")
		}
		o.Value = int64(v)
		return o, nil
	case "rel":
		o.Kind = OperandRelative
		if o.Value, err = parseSigned(rest); err != nil {
			return bad("a displacement, as rel -0x2")
		}
		return o, nil
	case "far":
		o.Kind = OperandFar
		selector, offset, _ := strings.Cut(rest, ":")
		s, err := strconv.ParseUint(selector, 0, 16)
		v, err2 := strconv.ParseUint(offset, 0, 32)
		if err != nil || err2 != nil {
			return bad("a far pointer, as far32 0x10:0x1000")
		}
		o.Value = int64(s<<32 | v)
		return o, nil
	case "mem":
		o.Kind = OperandMemory
		if err := o.parseMemory(rest); err != nil {
			return Operand{}, fmt.Errorf("operand %q: %w", text, err)
		}
		return o, nil
	}
	return bad("reg, imm, mem, rel or far")
}

// parseSigned reads a number with an optional sign. One above the largest
// positive number is taken as its 64 bits.
func parseSigned(s string) (int64, error) {
	if v, err := strconv.ParseInt(s, 0, 64); err == nil {
		return v, nil
	}
	v, err := strconv.ParseUint(strings.TrimPrefix(s, "+"), 0, 64)
	return int64(v), err
}

// parseMemory reads "fs:[rax+rcx*4-0x10] a64".
func (o *Operand) parseMemory(text string) error {
	segment, rest, ok := strings.Cut(text, ":[")
	inside, size, ok2 := strings.Cut(rest, "] a")
	if !ok || !ok2 {
		return fmt.Errorf("want SEGMENT:[…] aBITS, as ds:[rax+0x8] a64")
	}
	bits, err := strconv.Atoi(size)
	if err != nil || bits != 16 && bits != 32 && bits != 64 {
		return fmt.Errorf("address size %q: want 16, 32 or 64", size)
	}
	o.AddrSize, o.Base, o.Index, o.Scale = uint8(bits/8), x86.RegNone, x86.RegNone, 1
	s, ok := registersByName()[segment]
	if !ok || s.Class != x86.ClassSegment {
		return fmt.Errorf("segment %q: want es, cs, ss, ds, fs or gs", segment)
	}
	o.Segment = x86.Segment(s.Register)
	for len(inside) > 0 {
		n := strings.IndexAny(inside[1:], "+-")
		term := inside
		if n >= 0 {
			term = inside[:n+1]
		}
		inside = inside[len(term):]
		if err := o.memoryTerm(term); err != nil {
			return err
		}
	}
	return nil
}

// memoryTerm reads one term of an address: base, index*scale or displacement.
func (o *Operand) memoryTerm(term string) error {
	plain := strings.TrimPrefix(term, "+")
	if plain == "rip" {
		o.Base = x86.RegRIP
		return nil
	}
	name, scale, indexed := strings.Cut(plain, "*")
	r, ok := registersByName()[name]
	switch {
	case !ok && !indexed:
		v, err := parseSigned(term)
		if err != nil {
			return fmt.Errorf("%q: want a register, REGISTER*SCALE or a displacement", term)
		}
		o.Value = v
	case !ok || r.Class != x86.ClassGPR && r.Class != x86.ClassVector:
		return fmt.Errorf("%q: want an address register", term)
	case indexed:
		n, err := strconv.Atoi(scale)
		if err != nil || n != 1 && n != 2 && n != 4 && n != 8 {
			return fmt.Errorf("%q: want a scale of 1, 2, 4 or 8", term)
		}
		o.Index, o.Scale = r.Register, uint8(n)
	default:
		o.Base = r.Register
	}
	return nil
}
