package decode

import "github.com/seed-4e121ece/ringfence/emulator/x86"

// byteKind classifies a byte before or at the opcode.
type byteKind uint8

const (
	_ byteKind = iota // a byte of an opcode
	// prefixREX is 1, and the only odd one.
	prefixREX
	// escapeByte announces another map, or may do so: 0F, VEX, EVEX, XOP, REX2.
	escapeByte
	prefixOpSize = iota << 1
	prefixAddrSize
	prefixRep
	prefixRepne
	prefixLock
	// prefixIgnored is an override that does nothing in 64-bit mode, where it
	// does not cancel FS or GS either.
	prefixIgnored
	prefixSegments // ES, then CS, SS, DS, FS and GS
	numByteKinds   = 32
)

// byteKinds classifies bytes, in 16 or 32-bit code [0] and 64-bit code [1].
var byteKinds = func() (t [2][256]byteKind) {
	for i := range t {
		t[i][0x66], t[i][0x67], t[i][0xf3], t[i][0xf2], t[i][0xf0] = prefixOpSize, prefixAddrSize, prefixRep, prefixRepne, prefixLock
		for s := x86.ES; s <= x86.DS; s++ {
			t[0][0x26|s<<3], t[1][0x26|s<<3] = prefixSegments+byteKind(s)<<1, prefixIgnored
		}
		t[i][0x64], t[i][0x65] = prefixSegments+byteKind(x86.FS)<<1, prefixSegments+byteKind(x86.GS)<<1
		t[i][0x0f], t[i][0xc4], t[i][0xc5], t[i][0x62], t[i][0x8f] = escapeByte, escapeByte, escapeByte, escapeByte, escapeByte
	}
	for b := 0x40; b < 0x50; b++ {
		t[1][b] = prefixREX
	}
	t[1][0xd5] = escapeByte
	return t
}()

// prefixEffect is what a prefix does to what the ones before it have done.
type prefixEffect struct {
	clears, sets               Prefix
	clearsContext, setsContext uint8
	// keeps is the mask of the segment so far, ff but for an override; segment
	// is the override.
	keeps, segment x86.Segment
}

// prefixEffects is by kind. The last of F2 and F3 counts, and the last override.
var prefixEffects = func() (t [numByteKinds]prefixEffect) {
	t[prefixOpSize] = prefixEffect{sets: PrefixOpSize, setsContext: ctxOpSize}
	t[prefixAddrSize] = prefixEffect{sets: PrefixAddrSize, setsContext: ctxAddrSize}
	t[prefixRep] = prefixEffect{clears: PrefixRepne, sets: PrefixRep, clearsContext: ctxRepne, setsContext: ctxRep}
	t[prefixRepne] = prefixEffect{clears: PrefixRep, sets: PrefixRepne, clearsContext: ctxRep, setsContext: ctxRepne}
	t[prefixLock] = prefixEffect{sets: PrefixLock}
	for i := range t {
		t[i].keeps = 0xff
	}
	for s := x86.ES; s <= x86.GS; s++ {
		t[prefixSegments+byteKind(s)<<1] = prefixEffect{sets: PrefixSegment, segment: s}
	}
	return t
}()
