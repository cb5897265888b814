package oracle

import "github.com/seed-4e121ece/ringfence/emulator/x86"

// Initial values after INIT of the x87 and SSE state (SDM vol. 1, 8.1.5 and
// 10.2.3).
const (
	InitialFCW   = 0x37f
	InitialMXCSR = 0x1f80
)

// ComponentsBasic are the components that every FPU of a case has.
const ComponentsBasic = x86.ComponentX87 | x86.ComponentSSE

// InitFPU puts the state after INIT into f, with these components loaded.
func InitFPU(f *x86.FPU, loaded x86.Component) {
	*f = x86.FPU{Loaded: loaded, FCW: InitialFCW, MXCSR: InitialMXCSR}
}

// SetFPU makes State.FPU of a result a copy of from, or nil. The copy is kept
// in the result and used again.
func (r *Result) SetFPU(from *x86.FPU) {
	if from == nil {
		r.State.FPU = nil
		return
	}
	*r.OwnFPU() = *from
}

// OwnFPU makes State.FPU point at the result's own storage, which is made at
// the first call, and returns it.
func (r *Result) OwnFPU() *x86.FPU {
	if r.fpu == nil {
		r.fpu = new(x86.FPU)
	}
	r.State.FPU = r.fpu
	return r.fpu
}

// FPU registers that differ, in Diff.FPU.
const (
	FPUControl  = 1 << 0 // FCW, FSW, FTW
	FPUPointers = 1 << 1 // FOP, FIP, FDP
	FPUStack    = 1 << 2 // ST(0) to ST(7)
	FPUMXCSR    = 1 << 3
	FPUVector   = 1 << 4 // XMM, YMM, ZMM
	FPUMask     = 1 << 5 // k0 to k7
)

// compareFPU compares the x87 and vector state of two results, and returns a
// set of FPUControl and so on.
func (k *Comparer) compareFPU(s, r *x86.FPU) uint8 {
	var d uint8
	if s.FCW != r.FCW || s.FSW != r.FSW || s.FTW != r.FTW {
		d |= FPUControl
	}
	if s.ST != r.ST {
		d |= FPUStack
	}
	if s.MXCSR != r.MXCSR {
		d |= FPUMXCSR
	}
	if s.ZMM != r.ZMM {
		d |= FPUVector
	}
	if s.K != r.K {
		d |= FPUMask
	}
	if s.FOP != r.FOP || s.FIP != r.FIP || s.FDP != r.FDP {
		// Without an unmasked exception pending AMD's XSAVE stores no pointers,
		// and Intel's since FDP_EXCPTN_ONLY none that are of use.
		if (s.FSW&^s.FCW|r.FSW&^r.FCW)&0x3f != 0 {
			d |= FPUPointers
		} else {
			k.hit(RuleFPUPointers, true)
		}
	}
	return d
}
