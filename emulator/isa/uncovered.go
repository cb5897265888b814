package isa

// Gap is a part of the encoding space that the table does not cover: bytes in
// it may be instructions all the same. A comparison counts them instead of
// calling them invalid.
type Gap struct {
	// Group names what the gap holds, as "EVEX".
	Group string
	// The opcodes First to Last of a map; all of it for 00 to FF.
	Map         Map
	First, Last uint8
	// Prefix is the mandatory prefix, PrefixAny for all.
	Prefix PrefixRule
	// ModRMFirst to ModRMLast restrict ModRM; 0 to FF for any.
	ModRMFirst, ModRMLast uint8
}

// The gaps that are not an opcode of a map that the table has.
const (
	// GapAPX is an EVEX prefix with another map than 1 to 3, 5 and 6, or with
	// the bits set that APX gives a meaning.
	GapAPX = "APX"
)

// Gaps lists what the table does not cover.
var Gaps = []Gap{
	{GapAPX, MapEVEX1, 0x90, 0x93, PrefixAny, 0, 0xff},
}
