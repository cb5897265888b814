package worker

import (
	"encoding/binary"
	"fmt"
	"sort"
	"unsafe"

	"github.com/seed-4e121ece/ringfence/emulator/depriv/wire"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// A window is a guest's memory as its worker sees it: the file begins with a
// table, which the caller writes and the worker trusts, and goes on with RAM.
//
//	offset 0             MaxSpaces address spaces, each a count and MaxRuns runs
//	offset TableSize     pages of the guest
const (
	// MaxSpaces is how many address spaces a window has, MaxRuns how many runs of
	// pages each of them.
	MaxSpaces = 32
	MaxRuns   = 63
	// TableSize is the size of the table in bytes, a multiple of a page's.
	TableSize = MaxSpaces * int(unsafe.Sizeof(Space{}))
)

// Space is an address space: which pages of the window are where.
type Space struct {
	Num uint64
	_   [3]uint64
	// Runs are sorted by address and do not overlap.
	Runs [MaxRuns]Run
}

// Run is a run of the guest's pages in a window.
type Run struct {
	// Linear is the address of the first byte, a multiple of the page size.
	Linear uint64
	// Offset is where it lies in the window's memory, Length how long it is.
	Offset, Length uint64
	// Rights are RightWrite and RightUser: what an access needs.
	Rights uint64
}

// The rights of a run.
const (
	RightWrite = 1 << iota
	RightUser
)

// Window is the memory with its table.
type Window struct {
	memory []byte
	spaces *[MaxSpaces]Space
}

// NewWindow returns the window that memory holds.
func NewWindow(memory []byte) (*Window, error) {
	if len(memory) <= TableSize {
		return nil, fmt.Errorf("worker: a window of %d bytes: want more than %d", len(memory), TableSize)
	}
	return &Window{memory, (*[MaxSpaces]Space)(unsafe.Pointer(&memory[0]))}, nil
}

// Space returns an address space by its number, which counts from 1; nil if
// there is none.
func (w *Window) Space(n uint32) *Space {
	if w == nil || n == 0 || n > MaxSpaces {
		return nil
	}
	return &w.spaces[n-1]
}

// find returns the run that holds an address.
func (s *Space) find(linear uint64) *Run {
	n := min(int(s.Num), MaxRuns)
	i := sort.Search(n, func(i int) bool { return s.Runs[i].Linear > linear })
	if i == 0 {
		return nil
	}
	if r := &s.Runs[i-1]; linear-r.Linear < r.Length {
		return r
	}
	return nil
}

// bytes returns the bytes of an access, if it is to RAM that the window shows
// with the rights that it needs, and there is nothing about it that only the
// caller can check: 64-bit mode, no base, and no fault of alignment.
func (b *bus) bytes(a *step.Access, size int) []byte {
	if b.space == nil || size == 0 || x86.Mode(b.state.Mode) != x86.Long64 || a.Segment > x86.DS {
		return nil
	}
	if aligned := max(a.Align, 1) - 1 | max(a.Check, 1) - 1; a.Offset&uint64(aligned) != 0 {
		return nil
	}
	r := b.space.find(a.Offset)
	need := uint64(0)
	if a.Intent == step.IntentModify || a.Intent == step.IntentWrite {
		need |= RightWrite
	}
	if b.state.CPL == 3 {
		need |= RightUser
	}
	if r == nil || a.Offset-r.Linear+uint64(size) > r.Length || need&^r.Rights != 0 {
		return nil
	}
	at := r.Offset + a.Offset - r.Linear
	if at+uint64(size) > uint64(len(b.window.memory)) {
		return nil
	}
	return b.window.memory[at : at+uint64(size)]
}

// look fills buf from the window, as memory was before the step.
func (b *bus) look(a *step.Access, buf []byte) bool {
	if b.protocol < wire.ProtocolWindow || b.at < len(b.answers) || b.probed {
		return false
	}
	from := b.bytes(a, len(buf))
	copy(buf, from)
	return from != nil
}

// commit carries the writes of a step out, if the window is all that it has
// accessed, and says whether it has. Nothing has been asked but the code then.
func (b *bus) commit(fx *step.Effects) bool {
	if b.protocol != wire.ProtocolWindowWrite || fx.Outcome != step.Okay || b.num == 0 {
		return false
	}
	for i := range b.answers[:b.at] {
		if b.answers[i].Kind != wire.AskFetch {
			return false
		}
	}
	for i := range b.questions[:b.num] {
		q := &b.questions[i]
		a := q.Access()
		switch q.Kind {
		case wire.AskRead, wire.AskReadBytes, wire.AskProbe, wire.AskProbeBytes:
			if b.bytes(&a, int(q.Size)) == nil {
				return false
			}
		default:
			return false
		}
	}
	for i := range fx.Ops[:fx.NumOps] {
		if k := fx.Ops[i].Kind; k != step.OpWrite && k != step.OpWriteWide || b.bytes(&fx.Ops[i].Access, int(fx.Ops[i].Access.Size)) == nil {
			return false
		}
	}
	for i := range fx.Ops[:fx.NumOps] {
		op := &fx.Ops[i]
		to := b.bytes(&op.Access, int(op.Access.Size))
		if op.Kind == step.OpWriteWide {
			copy(to, fx.Wide[op.Index][:])
			continue
		}
		put(to, op.Value[0])
	}
	fx.NumOps, fx.NumWide = 0, 0
	for i := range b.questions[:b.num] {
		b.questions[i].Kind |= wire.Done
	}
	return true
}

// put stores the low bytes of a value, at once where a CPU does.
func put(to []byte, v uint64) {
	switch len(to) {
	case 1:
		to[0] = byte(v)
	case 2:
		binary.LittleEndian.PutUint16(to, uint16(v))
	case 4:
		binary.LittleEndian.PutUint32(to, uint32(v))
	case 8:
		binary.LittleEndian.PutUint64(to, v)
	default:
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], v)
		copy(to, b[:])
	}
}
