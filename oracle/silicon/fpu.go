package silicon

import (
	"encoding/binary"

	"golang.org/x/sys/cpu"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// vectorComponents are the components that this CPU has and that are loaded
// and stored here.
func vectorComponents() x86.Component { return components }

var components = func() x86.Component {
	c := oracle.ComponentsBasic
	if cpu.X86.HasAVX {
		c |= x86.ComponentAVX
	}
	if cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW {
		c |= x86.ComponentOpmask | x86.ComponentZMMHigh | x86.ComponentZMM16
	}
	return c
}()

// AllComponents are the x87 and vector components that a case may load on this
// machine.
func AllComponents() x86.Component { return components }

// Offsets in the image of FXSAVE64 (SDM vol. 1, table 10-2).
const (
	fxFCW   = 0
	fxFSW   = 2
	fxFTW   = 4
	fxFOP   = 6
	fxFIP   = 8
	fxFDP   = 16
	fxMXCSR = 24
	fxST    = 32
)

// put writes a case's state; registers of components that are not loaded are
// zero, as INIT leaves them.
func (a *fpuArea) put(f *x86.FPU) {
	b := a.fx[:fxST+8*16]
	binary.LittleEndian.PutUint16(b[fxFCW:], f.FCW)
	binary.LittleEndian.PutUint16(b[fxFSW:], f.FSW)
	binary.LittleEndian.PutUint64(b[fxFTW:], uint64(f.FTW)|uint64(f.FOP)<<16) // clears what follows
	binary.LittleEndian.PutUint16(b[fxFOP:], f.FOP)
	binary.LittleEndian.PutUint64(b[fxFIP:], f.FIP)
	binary.LittleEndian.PutUint64(b[fxFDP:], f.FDP)
	binary.LittleEndian.PutUint32(b[fxMXCSR:], f.MXCSR)
	for i := range f.ST {
		binary.LittleEndian.PutUint64(b[fxST+16*i:], f.ST[i].Significand)
		binary.LittleEndian.PutUint64(b[fxST+16*i+8:], uint64(f.ST[i].SignExponent))
	}
	const all512 = x86.ComponentZMMHigh | x86.ComponentZMM16
	if f.Loaded&all512 == all512 {
		a.zmm = f.ZMM
	} else {
		a.putPart(f)
	}
	a.k = [8]uint64{}
	if f.Loaded&x86.ComponentOpmask != 0 {
		a.k = f.K
	}
}

// wordsOf is how many quadwords of ZMM n are in these components.
func wordsOf(n int, c x86.Component) int {
	switch {
	case n >= 16 && c&x86.ComponentZMM16 != 0:
		return 8
	case n >= 16:
		return 0
	case c&x86.ComponentZMMHigh != 0:
		return 8
	case c&x86.ComponentAVX != 0:
		return 4
	}
	return 2
}

func (a *fpuArea) putPart(f *x86.FPU) {
	for n := range f.ZMM {
		w := wordsOf(n, f.Loaded)
		a.zmm[n] = [8]uint64{}
		copy(a.zmm[n][:w], f.ZMM[n][:w])
	}
}

// get reads the state after a case: all components that this machine has.
func (a *fpuArea) get(f *x86.FPU, loaded x86.Component) {
	b := a.fx[:fxST+8*16]
	f.Loaded = loaded
	f.FCW = binary.LittleEndian.Uint16(b[fxFCW:])
	f.FSW = binary.LittleEndian.Uint16(b[fxFSW:])
	f.FTW = b[fxFTW]
	f.FOP = binary.LittleEndian.Uint16(b[fxFOP:])
	f.FIP = binary.LittleEndian.Uint64(b[fxFIP:])
	f.FDP = binary.LittleEndian.Uint64(b[fxFDP:])
	f.MXCSR = binary.LittleEndian.Uint32(b[fxMXCSR:])
	for i := range f.ST {
		f.ST[i].Significand = binary.LittleEndian.Uint64(b[fxST+16*i:])
		f.ST[i].SignExponent = binary.LittleEndian.Uint16(b[fxST+16*i+8:])
	}
	f.ZMM = a.zmm
	f.K = a.k
}

// fpuArea is the x87 and vector state: the image of FXSAVE64, of which the XMM
// registers are not used, and the vector and mask registers.
type fpuArea struct {
	fx  [512]byte
	zmm [32][8]uint64
	k   [8]uint64
}

// strayWord is a quadword outside the windows that changed.
type strayWord struct {
	address uint64
	value   uint64
}
