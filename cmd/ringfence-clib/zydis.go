package main

import (
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/seed-4e121ece/ringfence/oracle/external"
	"github.com/seed-4e121ece/ringfence/oracle/external/clib"
)

// The structs of Zydis 4.0, by offset (DecoderTypes.h).
const (
	zydisDecoderSize     = 20
	zydisFormatterSize   = 584
	zydisInstructionSize = 328
	zydisOperandSize     = 80
	zydisMaxOperands     = 10

	zydisMnemonic     = 4
	zydisLength       = 8
	zydisEncoding     = 12
	zydisMap          = 16
	zydisOpcode       = 20
	zydisOperandWidth = 22
	zydisAddressWidth = 23
	zydisOperandCount = 24
	zydisModRMReg     = 256

	zydisOpVisibility  = 4
	zydisOpEncoding    = 12
	zydisOpSize        = 16
	zydisOpElementSize = 24
	zydisOpType        = 32
	zydisOpRegister    = 40
	zydisOpMemType     = 40
	zydisOpSegment     = 44
	zydisOpBase        = 48
	zydisOpIndex       = 52
	zydisOpScale       = 56
	zydisOpDisp        = 72
	zydisOpPtrSegment  = 40
	zydisOpPtrOffset   = 44
	zydisOpImmSigned   = 40
	zydisOpImmRelative = 41
	zydisOpImmValue    = 48
)

// Values of Zydis 4.0 (Defines and SharedTypes.h).
const (
	zydisHidden       = 3
	zydisTypeRegister = 1
	zydisTypeMemory   = 2
	zydisTypePointer  = 3
	zydisTypeImm      = 4
	zydisEncodingRM   = 2
	zydisEncodingMask = 6
	zydisVersion40    = 0x0004_0000_0000_0000
)

// zydisModes are the machine mode and stack width of each mode.
var zydisModes = map[x86.Mode][2]uintptr{
	x86.Long64:      {0, 2},
	x86.Compat32:    {1, 1},
	x86.Compat16:    {2, 0},
	x86.Protected32: {3, 1},
	x86.Protected16: {4, 0},
	x86.Real:        {5, 0},
}

// zydisOptions are the decoder modes that are set, 0 is off: AMD's near
// branches and the instructions of Knights Corner; on are MPX, CET, LZCNT, TZCNT,
// WBNOINVD and CLDEMOTE.
var zydisOptions = map[uintptr]uintptr{1: 0, 2: 0, 3: 1, 4: 1, 5: 1, 6: 1, 7: 1, 8: 1}

// zydis is the library.
type zydis struct {
	init, enable, decode, mnemonic, formatterInit, format, version uintptr

	decoders  map[x86.Mode]block
	formatter block
	in        block
	operands  block
	code      block
	line      block
	// mode and ok are those of the last decode.
	mode      x86.Mode
	ok        bool
	mnemonics map[uint32]string
}

func newZydis() (*external.Engine, error) {
	z := &zydis{
		decoders: map[x86.Mode]block{}, mnemonics: map[uint32]string{},
		formatter: newBlock(zydisFormatterSize), in: newBlock(zydisInstructionSize),
		operands: newBlock(zydisOperandSize * zydisMaxOperands), code: newBlock(16), line: newBlock(256),
	}
	lib, err := load("libZydis.so.4.0", "libZydis.4.0.dylib")
	if err != nil {
		return nil, absent(clib.Zydis, err)
	}
	if err := lib.symbols(map[string]*uintptr{
		"ZydisDecoderInit": &z.init, "ZydisDecoderEnableMode": &z.enable, "ZydisDecoderDecodeFull": &z.decode, "ZydisMnemonicGetString": &z.mnemonic,
		"ZydisFormatterInit": &z.formatterInit, "ZydisFormatterFormatInstruction": &z.format, "ZydisGetVersion": &z.version,
	}); err != nil {
		return nil, absent(clib.Zydis, err)
	}
	version := uint64(call(z.version))
	if version>>32 != zydisVersion40>>32 {
		return nil, fmt.Errorf("zydis: version %#x: the layout of 4.0 is known alone", version)
	}
	var modes []string
	for mode, m := range zydisModes {
		d := newBlock(zydisDecoderSize)
		if s := call(z.init, d.address(), m[0], m[1]); uint32(s)>>31 != 0 {
			return nil, fmt.Errorf("zydis: no decoder for %s: status %#x", mode, uint32(s))
		}
		for option, on := range zydisOptions {
			if s := call(z.enable, d.address(), option, on); uint32(s)>>31 != 0 {
				return nil, fmt.Errorf("zydis: option %d: status %#x", option, uint32(s))
			}
		}
		z.decoders[mode] = d
		modes = append(modes, mode.String())
	}
	slices.Sort(modes)
	if s := call(z.formatterInit, z.formatter.address(), 1); uint32(s)>>31 != 0 {
		return nil, fmt.Errorf("zydis: no formatter: status %#x", uint32(s))
	}
	hello := external.Hello{
		Name: clib.Zydis, Version: fmt.Sprintf("%d.%d.%d", version>>48, version>>32&0xffff, version>>16&0xffff),
		Modes: modes, About: clib.Find(clib.Zydis).About,
	}
	return &external.Engine{Hello: hello, Decoder: z, Text: z.text}, nil
}

// Name implements oracle.Decoder.
func (z *zydis) Name() string { return clib.Zydis }

// Decode implements oracle.Decoder.
func (z *zydis) Decode(code []byte, mode x86.Mode, d *oracle.Decoded) {
	*d = oracle.Decoded{Covered: true}
	z.mode = mode
	n := copy(z.code, code)
	s := uint32(call(z.decode, z.decoders[mode].address(), z.code.address(), uintptr(n), z.in.address(), z.operands.address()))
	runtime.KeepAlive(z)
	if z.ok = s>>31 == 0; !z.ok {
		d.Reason = zydisReason(s)
		return
	}
	d.Valid, d.Length = true, z.in.u8(zydisLength)
	z.canonical(mode, d)
}

// zydisReason names a status (Status.h: module 2 is Zydis).
func zydisReason(s uint32) string {
	names := [...]string{
		"truncated", "undefined", "too long", "undefined register", "LOCK not allowed", "legacy prefix not allowed", "REX not allowed",
		"invalid map", "malformed EVEX", "malformed MVEX", "invalid mask",
	}
	if i := s & 0xfffff; s>>20&0x7ff == 2 && int(i) < len(names) {
		return names[i]
	}
	return fmt.Sprintf("status %#x", s)
}

// text formats what was decoded last.
func (z *zydis) text([]byte, x86.Mode) string {
	if !z.ok {
		return ""
	}
	s := call(z.format, z.formatter.address(), z.in.address(), z.operands.address(), uintptr(z.in.u8(zydisOperandCount)),
		z.line.address(), uintptr(len(z.line)), ^uintptr(0), 0)
	runtime.KeepAlive(z)
	if uint32(s)>>31 != 0 {
		return ""
	}
	return text(z.line)
}

// name returns the mnemonic in capitals, as Zydis has it.
func (z *zydis) name() string {
	m := z.in.u32(zydisMnemonic)
	s, ok := z.mnemonics[m]
	if !ok {
		s = strings.ToUpper(cString(call(z.mnemonic, uintptr(m)), 32))
		z.mnemonics[m] = s
	}
	return s
}
