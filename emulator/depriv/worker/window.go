package worker

import (
	"sort"

	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// Run is a run of the guest's pages in a window.
type Run struct {
	// Linear is the address of the first byte, a multiple of the page size.
	Linear uint64
	// Offset is where it lies in the window's memory, Length how long it is.
	Offset, Length uint64
	// Write and User are the rights that an access needs.
	Write, User bool
}

// Window is the guest's memory as a worker sees it: RAM alone, mapped
// read-only.
type Window struct {
	Memory []byte
	// Runs are sorted by address and do not overlap.
	Runs []Run
}

// find returns the run that holds an address.
func (w *Window) find(linear uint64) *Run {
	i := sort.Search(len(w.Runs), func(i int) bool { return w.Runs[i].Linear > linear })
	if i == 0 {
		return nil
	}
	if r := &w.Runs[i-1]; linear-r.Linear < r.Length {
		return r
	}
	return nil
}

// look fills buf from the window, if the access is to RAM that it shows, as it
// was before the step, with nothing about it that only the caller can check:
// 64-bit mode, no base, no alignment asked for.
func (b *bus) look(a *step.Access, buf []byte) bool {
	if b.window == nil || b.probed || len(buf) == 0 || x86.Mode(b.state.Mode) != x86.Long64 || a.Segment > x86.DS || a.Align|a.Check != 0 {
		return false
	}
	r := b.window.find(a.Offset)
	if r == nil || a.Offset-r.Linear+uint64(len(buf)) > r.Length || a.Intent == step.IntentModify && !r.Write || b.state.CPL == 3 && !r.User {
		return false
	}
	at := r.Offset + a.Offset - r.Linear
	if at+uint64(len(buf)) > uint64(len(b.window.Memory)) {
		return false
	}
	copy(buf, b.window.Memory[at:])
	return true
}
