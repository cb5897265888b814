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

// Gaps lists what the table does not cover: the AI compute extensions, of which
// no CPU is known yet.
var Gaps = []Gap{
	{"ACE", MapVEX2, 0x49, 0x49, PrefixF2, 0xc0, 0xff},
	{"ACE", MapEVEX2, 0x4a, 0x4b, Prefix66, 0xc0, 0xff},
	{"ACE", MapEVEX2, 0x5c, 0x5c, PrefixF3, 0xc0, 0xff},
	{"ACE", MapEVEX2, 0x5e, 0x5e, PrefixAny, 0xc0, 0xff},
	{"ACE", MapEVEX3, 0x07, 0x07, Prefix66, 0xc0, 0xff},
	{"ACE", MapEVEX3, 0x2f, 0x2f, Prefix66, 0xc0, 0xff},
	{"ACE", MapEVEX3, 0x8d, 0x8f, PrefixAny, 0xc0, 0xff},
	{"ACE", MapEVEX6, 0x95, 0x95, PrefixAny, 0xc0, 0xff},
}
