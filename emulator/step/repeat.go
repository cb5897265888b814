package step

import "fmt"

// RepeatKind is what a repeated string instruction does (Xen: rep_movs,
// rep_stos, rep_ins, rep_outs).
type RepeatKind uint8

// The kinds of repetition.
const (
	// RepeatMove copies from Source to Destination (MOVS).
	RepeatMove RepeatKind = iota
	// RepeatStore writes Value to Destination (STOS).
	RepeatStore
	// RepeatIn writes to Destination what it reads from Port (INS).
	RepeatIn
	// RepeatOut writes to Port what it reads from Source (OUTS).
	RepeatOut
	numRepeatKinds
)

var repeats = [numRepeatKinds]struct {
	name         string
	hook         Hooks
	reads, write bool
}{
	RepeatMove:  {"move", HookRepeatMove, true, true},
	RepeatStore: {"store", HookRepeatStore, false, true},
	RepeatIn:    {"in", HookRepeatIn, false, true},
	RepeatOut:   {"out", HookRepeatOut, true, false},
}

// String returns the name of the kind, as "move".
func (k RepeatKind) String() string {
	if k < numRepeatKinds {
		return repeats[k].name
	}
	return fmt.Sprintf("RepeatKind(%d)", uint8(k))
}

// Hook returns the hook that offers the kind; 0 for what is no kind.
func (k RepeatKind) Hook() Hooks {
	if k < numRepeatKinds {
		return repeats[k].hook
	}
	return 0
}

// Reads says whether the kind has a Source.
func (k RepeatKind) Reads() bool { return k < numRepeatKinds && repeats[k].reads }

// Writes says whether the kind has a Destination.
func (k RepeatKind) Writes() bool { return k < numRepeatKinds && repeats[k].write }

// MaxRepeat is the largest Count that a step asks for: after so many
// iterations the caller may look for interrupts.
const MaxRepeat = 4096

// Repeat is a number of iterations of a string instruction, one element each.
// What its kind does not use is zero.
type Repeat struct {
	Kind RepeatKind
	// Size is that of an element in bytes: 1, 2, 4 or 8, for ports at most 4.
	Size uint8
	// Backward says that each iteration goes to lower addresses (DF).
	Backward bool
	// Port is read or written, once an iteration.
	Port uint16
	// Source and Destination are the accesses of the first iteration. Those
	// that follow differ in Offset alone, by Size each, which never wraps to
	// the address size: the offsets of an operand are one range.
	Source, Destination Access
	// Value is stored, in its low Size bytes.
	Value uint64
	// Count is the number of iterations, 2 to MaxRepeat.
	Count uint64
}

// Element returns the accesses of iteration n, counted from 0.
func (r *Repeat) Element(n uint64) (source, destination Access) {
	by := n * uint64(r.Size)
	if r.Backward {
		by = -by
	}
	source, destination = r.Source, r.Destination
	if r.Kind.Reads() {
		source.Offset += by
	}
	if r.Kind.Writes() {
		destination.Offset += by
	}
	return source, destination
}

// String returns the iterations in a line, as "move 16 of 4 bytes up, from
// ds:0x1000 to es:0x2000".
func (r Repeat) String() string {
	direction := "up"
	if r.Backward {
		direction = "down"
	}
	s := fmt.Sprintf("%v %d of %d bytes %s,", r.Kind, r.Count, r.Size, direction)
	switch r.Kind {
	case RepeatStore:
		s += fmt.Sprintf(" %#x", r.Value)
	case RepeatIn:
		s += fmt.Sprintf(" from port %#x", r.Port)
	}
	if r.Kind.Reads() {
		s += fmt.Sprintf(" from %v:%#x", r.Source.Segment, r.Source.Offset)
	}
	if r.Kind.Writes() {
		s += fmt.Sprintf(" to %v:%#x", r.Destination.Segment, r.Destination.Offset)
	}
	if r.Kind == RepeatOut {
		s += fmt.Sprintf(" to port %#x", r.Port)
	}
	return s
}
