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
	// GapXOP is what 8Fh begins with map 8 or more, where it is not POP.
	GapXOP = "XOP"
	// GapVEXMap is a VEX prefix with another map than 1, 2 and 3.
	GapVEXMap = "VEX map 4 and more"
)

// Gaps lists what the table does not cover.
var Gaps = []Gap{
	{GapAPX, MapEVEX1, 0x90, 0x93, PrefixAny, 0, 0xff},
	{"3DNow!", Map0F0F, 0x00, 0xff, PrefixAny, 0, 0xff},
	{"3DNow!", Map0F, 0x0e, 0x0e, PrefixAny, 0, 0xff},
	{"AMX", MapVEX2, 0x48, 0x4b, PrefixAny, 0, 0xff},
	{"AMX", MapVEX2, 0x5c, 0x5f, PrefixAny, 0, 0xff},
	{"AMX", MapVEX2, 0x6b, 0x6e, PrefixAny, 0, 0xff},
	{"FMA4", MapVEX3, 0x48, 0x49, PrefixAny, 0, 0xff},
	{"FMA4", MapVEX3, 0x5c, 0x5f, PrefixAny, 0, 0xff},
	{"FMA4", MapVEX3, 0x68, 0x6f, PrefixAny, 0, 0xff},
	{"FMA4", MapVEX3, 0x78, 0x7f, PrefixAny, 0, 0xff},
}
