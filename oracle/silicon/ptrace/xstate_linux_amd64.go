package ptrace

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/internal/hostcpu"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// xstate is the XSAVE image (SDM vol. 1, 13.4) in the tracer's hands.
type xstate struct {
	size  int // of the image of this kernel
	image [16384]byte
	// features are the components that the kernel has enabled, and at where
	// each is in the image.
	features x86.Component
	at       [8]int
}

// Places in the image; those of the extended components are CPUID's.
const (
	xFCW      = 0
	xFSW      = 2
	xFTW      = 4
	xFOP      = 6
	xFIP      = 8
	xFDP      = 16
	xMXCSR    = 24
	xMask     = 28 // MXCSR_MASK
	xST       = 32
	xXMM      = 160
	xXCR0     = 464 // the kernel's: the components of the image (<asm/sigcontext.h>, sw_reserved)
	xComps    = 512 // XSTATE_BV
	xHeader   = 64
	fswES     = 1 << 7
	numAVX    = 2 // numbers of the components
	numOpmask = 5
	numHigh   = 6
	num16     = 7
)

// known are the components that are set and reported.
const known = x86.ComponentX87 | x86.ComponentSSE | x86.ComponentAVX | x86.ComponentOpmask | x86.ComponentZMMHigh | x86.ComponentZMM16

// init learns the size of the image and where the components are.
func (x *xstate) init(t *tracee) error {
	if err := t.regSet(unix.PTRACE_GETREGSET); err != nil {
		return fmt.Errorf("%w (the kernel offers no XSAVE image)", err)
	}
	x.features = x86.Component(binary.LittleEndian.Uint64(x.image[xXCR0:])) & known
	x.features |= oracle.ComponentsBasic
	for n := numAVX; n < len(x.at); n++ {
		if x.features&(1<<n) == 0 {
			continue
		}
		r := hostcpu.CPUID(0xd, uint32(n)) // EAX size, EBX offset in the standard format
		x.at[n] = int(r[1])
		if x.at[n]+int(r[0]) > x.size || x.at[n] < xComps+xHeader {
			return fmt.Errorf("ptrace: component %d of the XSAVE image: CPUID has it at %d, the image has %d bytes", n, r[1], x.size)
		}
	}
	return nil
}

// initial is the state of a case that does not say.
var initial = func() *x86.FPU {
	f := new(x86.FPU)
	oracle.InitFPU(f, oracle.ComponentsBasic)
	return f
}()

// set gives the child an x87 and vector state. Components that are not loaded
// are initial.
func (x *xstate) set(t *tracee, f *x86.FPU) error {
	b := x.image[:x.size]
	clear(b)
	le := binary.LittleEndian
	le.PutUint64(b[xComps:], uint64(f.Loaded))
	le.PutUint16(b[xFCW:], f.FCW)
	le.PutUint16(b[xFSW:], f.FSW)
	b[xFTW] = f.FTW
	le.PutUint16(b[xFOP:], f.FOP)
	le.PutUint64(b[xFIP:], f.FIP)
	le.PutUint64(b[xFDP:], f.FDP)
	le.PutUint32(b[xMXCSR:], f.MXCSR)
	le.PutUint32(b[xMask:], 0xffff)
	for i := range f.ST {
		le.PutUint64(b[xST+16*i:], f.ST[i].Significand)
		le.PutUint16(b[xST+16*i+8:], f.ST[i].SignExponent)
	}
	x.vector(f.Loaded, func(at int, v *uint64) { le.PutUint64(b[at:], *v) }, f)
	return t.regSet(unix.PTRACE_SETREGSET)
}

// get reads the child's state.
func (x *xstate) get(t *tracee, f *x86.FPU) error {
	if err := t.regSet(unix.PTRACE_GETREGSET); err != nil {
		return err
	}
	b := x.image[:x.size]
	le := binary.LittleEndian
	*f = x86.FPU{
		Loaded: x.features,
		FCW:    le.Uint16(b[xFCW:]), FSW: le.Uint16(b[xFSW:]), FTW: b[xFTW], FOP: le.Uint16(b[xFOP:]),
		FIP: le.Uint64(b[xFIP:]), FDP: le.Uint64(b[xFDP:]), MXCSR: le.Uint32(b[xMXCSR:]),
	}
	for i := range f.ST {
		f.ST[i].Significand = le.Uint64(b[xST+16*i:])
		f.ST[i].SignExponent = le.Uint16(b[xST+16*i+8:])
	}
	x.vector(x.features, func(at int, v *uint64) { *v = le.Uint64(b[at:]) }, f)
	return nil
}

// vector visits every quadword of the vector and mask registers with its place
// in the image.
func (x *xstate) vector(loaded x86.Component, visit func(at int, v *uint64), f *x86.FPU) {
	part := func(has x86.Component, at, from, registers, first, words int) {
		if loaded&has == 0 {
			return
		}
		for n := range registers {
			for w := range words {
				visit(at+8*(n*words+w), &f.ZMM[from+n][first+w])
			}
		}
	}
	part(x86.ComponentSSE, xXMM, 0, 16, 0, 2)
	part(x86.ComponentAVX, x.at[numAVX], 0, 16, 2, 2)
	part(x86.ComponentZMMHigh, x.at[numHigh], 0, 16, 4, 4)
	part(x86.ComponentZMM16, x.at[num16], 16, 16, 0, 8)
	if loaded&x86.ComponentOpmask != 0 {
		for n := range f.K {
			visit(x.at[numOpmask]+8*n, &f.K[n])
		}
	}
}
