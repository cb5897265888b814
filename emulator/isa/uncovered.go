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
	{"3DNow!", Map0F0F, 0x00, 0xff, PrefixAny, 0, 0xff},
	{"3DNow!", Map0F, 0x0e, 0x0e, PrefixAny, 0, 0xff},
	{"FRED", Map0F, 0x01, 0x01, PrefixF2, 0xca, 0xca},
	{"FRED", Map0F, 0x01, 0x01, PrefixF3, 0xca, 0xca},
	{"PBNDKB", Map0F, 0x01, 0x01, PrefixAny, 0xc7, 0xc7},
	{"TDX", Map0F, 0x01, 0x01, Prefix66, 0xcc, 0xcf},
	{"SEV-SNP", Map0F, 0x01, 0x01, PrefixF2, 0xfd, 0xff},
	{"SEV-SNP", Map0F, 0x01, 0x01, PrefixF3, 0xfd, 0xff},
	{"MCOMMIT", Map0F, 0x01, 0x01, PrefixF3, 0xfa, 0xfa},
	{"VIA PadLock", Map0F, 0xa6, 0xa7, PrefixAny, 0, 0xff},
	{"Key Locker", Map0F38, 0xd8, 0xdf, PrefixF3, 0, 0xff},
	{"Key Locker", Map0F38, 0xfa, 0xfb, PrefixF3, 0, 0xff},
	{"USER_MSR", Map0F38, 0xf8, 0xf8, PrefixF2, 0xc0, 0xff},
	{"USER_MSR", Map0F38, 0xf8, 0xf8, PrefixF3, 0xc0, 0xff},
	{"RAO-INT", Map0F38, 0xfc, 0xfc, PrefixAny, 0, 0xbf},
	{"MOVRS", Map0F38, 0x8a, 0x8b, PrefixAny, 0, 0xff},
	{"AMX", MapVEX2, 0x48, 0x4b, PrefixAny, 0, 0xff},
	{"AMX", MapVEX2, 0x5c, 0x5f, PrefixAny, 0, 0xff},
	{"AMX", MapVEX2, 0x6b, 0x6e, PrefixAny, 0, 0xff},
	{"CMPccXADD", MapVEX2, 0xe0, 0xef, Prefix66, 0, 0xff},
	{"SHA512, SM3, SM4", MapVEX2, 0xcb, 0xcd, PrefixAny, 0, 0xff},
	{"SHA512, SM3, SM4", MapVEX2, 0xda, 0xda, PrefixAny, 0, 0xff},
	{"SHA512, SM3, SM4", MapVEX3, 0xde, 0xde, PrefixAny, 0, 0xff},
	{"AVX512_FP16", MapEVEX5, 0x00, 0xff, PrefixAny, 0, 0xff},
	{"AVX512_FP16", MapEVEX6, 0x00, 0xff, PrefixAny, 0, 0xff},
	{"AVX512_FP16", MapEVEX3, 0x00, 0xff, PrefixNP, 0, 0xff},
	{"AVX512_FP16", MapEVEX3, 0xc2, 0xc2, PrefixF3, 0, 0xff},
	{"AVX512_BF16", MapEVEX2, 0x52, 0x52, PrefixF3, 0, 0xff},
	{"AVX512_BF16", MapEVEX2, 0x72, 0x72, PrefixF3, 0, 0xff},
	{"AVX512_BF16", MapEVEX2, 0x72, 0x72, PrefixF2, 0, 0xff},
	{"AVX512_VP2INTERSECT", MapEVEX2, 0x68, 0x68, PrefixF2, 0, 0xff},
	{"AVX512_4VNNIW, 4FMAPS", MapEVEX2, 0x52, 0x53, PrefixF2, 0, 0xff},
	{"AVX512_4VNNIW, 4FMAPS", MapEVEX2, 0x9a, 0x9b, PrefixF2, 0, 0xff},
	{"AVX512_4VNNIW, 4FMAPS", MapEVEX2, 0xaa, 0xab, PrefixF2, 0, 0xff},
	{"AVX512ER, AVX512PF", MapEVEX2, 0xc6, 0xcd, Prefix66, 0, 0xff},
	{"AVX10.2", MapEVEX1, 0x2e, 0x2f, PrefixF3, 0, 0xff},
	{"AVX10.2", MapEVEX1, 0x2e, 0x2f, PrefixF2, 0, 0xff},
	{"AVX10.2", MapEVEX1, 0x7e, 0x7e, PrefixF3, 0, 0xff},
	{"AVX10.2", MapEVEX1, 0xd6, 0xd6, Prefix66, 0, 0xff},
	{"AVX10.2", MapEVEX2, 0x50, 0x53, PrefixNP, 0, 0xff},
	{"AVX10.2", MapEVEX2, 0x50, 0x53, PrefixF2, 0, 0xff},
	{"AVX10.2", MapEVEX2, 0x50, 0x51, PrefixF3, 0, 0xff},
	{"AVX10.2", MapEVEX2, 0x67, 0x67, Prefix66, 0, 0xff},
	{"AVX10.2", MapEVEX2, 0x74, 0x74, PrefixAny, 0, 0xff},
	{"AVX10.2", MapEVEX2, 0xd2, 0xd3, PrefixAny, 0, 0xff},
	{"AVX10.2", MapEVEX2, 0xda, 0xda, PrefixAny, 0, 0xff},
	{"AVX10.2", MapEVEX3, 0x42, 0x42, PrefixF3, 0, 0xff},
	{"AVX10.2", MapEVEX3, 0x52, 0x53, PrefixAny, 0, 0xff},
	{"AVX10.2", MapEVEX3, 0x00, 0xff, PrefixF2, 0, 0xff},
	{"FMA4", MapVEX3, 0x48, 0x49, PrefixAny, 0, 0xff},
	{"FMA4", MapVEX3, 0x5c, 0x5f, PrefixAny, 0, 0xff},
	{"FMA4", MapVEX3, 0x68, 0x6f, PrefixAny, 0, 0xff},
	{"FMA4", MapVEX3, 0x78, 0x7f, PrefixAny, 0, 0xff},
}
