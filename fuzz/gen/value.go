package gen

import (
	"math/bits"

	"github.com/seed-4e121ece/ringfence/oracle"
)

// edges are the values at which arithmetic of some width changes its mind:
// the signed and unsigned ends of 8, 16, 32 and 64 bits and their neighbours,
// shift counts, alternating bits, the half-carry, the ends of the canonical
// ranges for 48 and 57 bits.
var edges = [...]uint64{
	0, 1, 2, 3, 4, 7, 8, 9, 0xf, 0x10, 0x11, 0x1f, 0x20, 0x21, 0x3f, 0x40, 0x41,
	0x7f, 0x80, 0x81, 0xfe, 0xff, 0x100, 0x7fff, 0x8000, 0x8001, 0xfffe, 0xffff, 0x10000,
	0x7fffffff, 0x80000000, 0x80000001, 0xfffffffe, 0xffffffff, 0x100000000,
	0x7fffffffffffffff, 0x8000000000000000, 0x8000000000000001, 0xfffffffffffffffe, 0xffffffffffffffff,
	0xffffffffffffff80, 0xffffffffffffff7f, 0xffffffffffff8000, 0xffffffff80000000, 0xffffffff7fffffff,
	0x00007fffffffffff, 0x0000800000000000, 0xffff7fffffffffff, 0xffff800000000000,
	0x00ffffffffffffff, 0x0100000000000000, 0xff00000000000000,
	0x5555555555555555, 0xaaaaaaaaaaaaaaaa, 0x0f0f0f0f0f0f0f0f, 0xf0f0f0f0f0f0f0f0,
	0x0123456789abcdef, 0x8080808080808080, 0x7f7f7f7f7f7f7f7f,
}

// Value returns a number as operands are made of: an edge, an edge and a
// little, a power of two and its neighbours, a run of ones, something small,
// something of one width with either extension, or random bits.
func (r *Rand) Value() uint64 {
	v := r.Uint64()
	k := v >> 8
	switch v & 15 {
	case 0, 1, 2:
		return edges[k%uint64(len(edges))]
	case 3:
		return edges[k%uint64(len(edges))] + uint64(int64(k>>32)%5) - 2
	case 4:
		return 1 << (k & 63)
	case 5:
		return 1<<(k&63) - 1
	case 6:
		return -(1 << (k & 63))
	case 7:
		return 1<<(k&63) ^ 1<<(k>>8&63)
	case 8, 9:
		return k & 0x7f
	case 10:
		return uint64(int64(k<<56) >> 56 >> (k >> 8 & 3))
	case 11:
		return uint64(uint32(r.Uint64()))
	case 12:
		return uint64(int64(int32(r.Uint64())))
	case 13:
		return bits.RotateLeft64(1<<(k&63)-1, int(k>>8&63))
	default:
		return r.Uint64()
	}
}

// Places that an address can be steered to. The weights are those of an
// operand in memory; most of it is there, so that most cases retire.
type place uint8

const (
	placeData      place = iota // the window about the page boundary, aligned
	placeUnaligned              // there, at any byte
	placeCrossing               // over the boundary of two mapped pages
	placeFirst                  // the first bytes of the first page
	placeLast                   // the last bytes of the last page
	placeStack                  // the window of the stack
	placeReadOnly
	placeOff      // over the end of the last page, or before the first
	placeElse     // mapped, but outside the windows
	placeCode     // the code pages
	placeUnmapped // a canonical address where nothing is
	placeNonCanonical
	numPlaces
)

var placeWeights = [numPlaces]uint16{80, 44, 20, 8, 14, 14, 10, 12, 4, 3, 4, 4}

var placeTotal = sum(placeWeights[:])

// address returns an address for an operand of size bytes (0 counts as 1).
func (r *Rand) address(size uint64) uint64 {
	return r.addressIn(place(r.pick(placeWeights[:], placeTotal)), size)
}

const (
	dataMiddle  = oracle.DataBase + oracle.PageSize
	dataEnd     = oracle.DataBase + 2*oracle.PageSize
	stackMiddle = oracle.StackBase + oracle.PageSize
	stackEnd    = oracle.StackBase + 2*oracle.PageSize
	readOnlyEnd = oracle.ReadOnlyBase + oracle.PageSize
)

func (r *Rand) addressIn(p place, size uint64) uint64 {
	if size == 0 {
		size = 1
	}
	v := r.Uint64()
	switch p {
	case placeData:
		return dataMiddle - 256 + (v%512)&^(size-1)&^7
	case placeUnaligned:
		return dataMiddle - 256 + v%(513-min(size, 64))
	case placeCrossing:
		return dataMiddle - v%(size+1)
	case placeFirst:
		return oracle.DataBase + v%64
	case placeLast:
		return dataEnd - size - v%8*(v>>8&1)
	case placeStack:
		return stackMiddle - 128 + v%(256-min(size, 64))
	case placeReadOnly:
		return oracle.ReadOnlyBase + v%64
	case placeOff:
		return r.off(v, size)
	case placeElse:
		return oracle.DataBase + v%(2*oracle.PageSize-64)
	case placeCode:
		return oracle.CodeBase + v%(2*oracle.PageSize)
	case placeUnmapped:
		if v>>60 == 0 {
			return v >> 17
		}
		return 0x50000000 + v>>40
	default:
		return r.nonCanonical(v, size)
	}
}

// off returns an address whose operand lies partly or wholly beyond a run of
// pages.
func (r *Rand) off(v, size uint64) uint64 {
	switch v >> 8 & 7 {
	case 0:
		return oracle.DataBase - 1 - v%size
	case 1:
		return stackEnd - v%size
	case 2:
		return readOnlyEnd - v%size
	case 3:
		return oracle.StackBase - 1 - v%size
	default:
		return dataEnd - v%size
	}
}

func (r *Rand) nonCanonical(v, size uint64) uint64 {
	switch v >> 8 & 7 {
	case 0:
		return 1<<47 - v%(size+1)
	case 1:
		return ^uint64(1<<47-1) - 1 - v%(size+1)
	case 2:
		return 1<<56 - v%(size+1)
	case 3:
		return 0xffff800000000000 + v>>40
	case 4:
		return -(v % (size + 1))
	default:
		return v | 1<<62&^(1<<63)
	}
}

// pool is memory content to copy from: values, pointers to data, stack and
// code, at every alignment. It never changes.
var pool = makePool()

const poolSize = 1 << 16

func makePool() *[poolSize]byte {
	p := new([poolSize]byte)
	r := NewRand(0x72696e6766656e63)
	for i := 0; i+8 <= poolSize; i += 8 {
		v := r.Value()
		switch k := r.N(16); {
		case k < 2:
			v = r.addressIn(placeData, 8)
		case k < 3:
			v = r.addressIn(placeStack, 8)
		case k < 6:
			v = oracle.CodeBase + r.Uint64()%(2*oracle.PageSize)
		}
		put(p[i:], v, 8)
	}
	return p
}

// registerPool is what registers are filled from: values, random numbers,
// addresses of data and of code. It never changes.
var registerPool = makeRegisterPool()

const registerPoolSize = 1 << 13

func makeRegisterPool() *[registerPoolSize]uint64 {
	p := new([registerPoolSize]uint64)
	r := NewRand(0x7265676973746572)
	for i := range p {
		switch k := r.N(16); {
		case k < 10:
			p[i] = r.Value()
		case k < 12:
			p[i] = r.Uint64()
		case k < 15:
			p[i] = r.address(8)
		default:
			p[i] = oracle.CodeBase + r.Uint64()%(2*oracle.PageSize)
		}
	}
	return p
}

// put stores the low size bytes of v, little-endian.
func put(b []byte, v uint64, size int) {
	for i := range size {
		b[i] = byte(v)
		v >>= 8
	}
}
