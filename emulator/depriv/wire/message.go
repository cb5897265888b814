package wire

import (
	"errors"
	"fmt"
	"math/bits"
	"unsafe"
)

// Buffer holds one message, aligned for its fields.
type Buffer struct {
	words [(max(MaxRequest, MaxReply) + 63) / 64 * 8]uint64
}

// BufferSize is the size of a Buffer in bytes, a multiple of 64.
const BufferSize = int(unsafe.Sizeof(Buffer{}))

// Bytes are the bytes of the buffer.
func (b *Buffer) Bytes() []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(&b.words[0])), BufferSize)
}

// ErrMalformed is wrapped by every error about the form of a message.
var ErrMalformed = errors.New("malformed message")

// at returns what lies at an offset of a message as a T; the caller has checked its
// length and that it is aligned to eight bytes.
func at[T any](b []byte, offset int) *T { return (*T)(unsafe.Pointer(&b[offset])) }

// table returns n values of type T from offset on, within b.
func table[T any](b []byte, offset, n int) []T {
	if n == 0 {
		return nil
	}
	var v T
	_ = b[offset+n*int(unsafe.Sizeof(v))-1]
	return unsafe.Slice((*T)(unsafe.Pointer(&b[offset])), n)
}

// misaligned says that no message may start at the first byte of b.
func misaligned(b []byte) bool { return uintptr(unsafe.Pointer(unsafe.SliceData(b)))&7 != 0 }

// Length reads the length that a message says of itself, from its first bytes.
func Length(b []byte) uint32 { return *at[uint32](b, 0) }

// RequestView is a request taken apart.
type RequestView struct {
	*Request
	Inst    *Inst
	Answers []Answer
	Wide    [][WideSize]byte
}

// ParseRequest takes a request apart. The worker trusts what it says, but not
// that it comes from the same version.
func ParseRequest(b []byte, v *RequestView) error {
	if len(b) < requestSize || misaligned(b) {
		return fmt.Errorf("%w: request of %d bytes, want at least %d, aligned", ErrMalformed, len(b), requestSize)
	}
	r := at[Request](b, 0)
	n := requestSize
	v.Request = r
	v.Inst = nil
	if r.Flags&FlagResume != 0 {
		n += instSize
	}
	answers := n
	n += int(r.NumAnswers)*answerSize + int(r.NumWide)*WideSize
	if r.NumAnswers > MaxAnswers || r.NumWide > MaxWide || int(r.Length) != n || n > len(b) {
		return fmt.Errorf("%w: request says %d bytes with %d answers, %d wide; %d are there", ErrMalformed, r.Length, r.NumAnswers, r.NumWide, len(b))
	}
	if r.Flags&FlagResume != 0 {
		v.Inst = at[Inst](b, requestSize)
	}
	v.Answers = table[Answer](b, answers, int(r.NumAnswers))
	v.Wide = table[[WideSize]byte](b, answers+int(r.NumAnswers)*answerSize, int(r.NumWide))
	return nil
}

// NewRequest starts a request in b and returns its head, which holds what b
// held before. resume says that an instruction follows; PutInst fills it.
func NewRequest(b []byte) *Request { return at[Request](b, 0) }

// FinishRequest adds the tables behind the head, fills in their lengths and
// returns the length of the message in bytes. inst is nil unless FlagResume is
// set.
func FinishRequest(b []byte, inst *Inst, answers []Answer, wide [][WideSize]byte) int {
	r := at[Request](b, 0)
	n := requestSize
	if inst != nil {
		*at[Inst](b, n) = *inst
		n += instSize
	}
	n += copy(table[Answer](b, n, len(answers)), answers) * answerSize
	n += copy(table[[WideSize]byte](b, n, len(wide)), wide) * WideSize
	r.NumAnswers, r.NumWide = uint8(len(answers)), uint8(len(wide))
	r.Length = uint32(n)
	return n
}

// ReplyView is a reply taken apart; it refers to the bytes of the message.
type ReplyView struct {
	*Reply
	// GPR are the values of the registers in GPRDirty, lowest first.
	GPR       []uint64
	Questions []Question
	Ops       []Op
	Wide      [][WideSize]byte
	// Note is the text of ReplyFailed.
	Note []byte
}

// ParseReply takes a reply apart. b is the caller's own copy of what the worker
// wrote. Nothing is believed but what the bytes show: the lengths must come to
// exactly the bytes that are there.
func ParseReply(b []byte, v *ReplyView) error {
	if len(b) < replySize || misaligned(b) {
		return fmt.Errorf("%w: reply of %d bytes, want at least %d", ErrMalformed, len(b), replySize)
	}
	r := at[Reply](b, 0)
	v.Reply = r
	v.GPR, v.Questions, v.Ops, v.Wide, v.Note = nil, nil, nil, nil, nil
	if int(r.Length) != len(b) {
		return fmt.Errorf("%w: reply says %d bytes, %d came", ErrMalformed, r.Length, len(b))
	}
	switch r.Kind {
	case ReplyFailed:
		v.Note = b[replySize:min(len(b), replySize+MaxNote)]
		return nil
	case ReplyEffects, ReplyNeed, ReplyEcho:
	default:
		return fmt.Errorf("%w: reply of kind %d", ErrMalformed, r.Kind)
	}
	if r.NumQuestions > MaxAnswers || r.NumOps > MaxOps || r.NumWide > MaxWide || r.Flags&^flagsReply != 0 {
		return fmt.Errorf("%w: %d questions, %d operations, %d wide, flags %#x", ErrMalformed, r.NumQuestions, r.NumOps, r.NumWide, r.Flags)
	}
	gpr := replySize
	questions := gpr + bits.OnesCount16(r.GPRDirty)*8
	ops := questions + int(r.NumQuestions)*questionSize
	wide := ops + int(r.NumOps)*opSize
	if end := wide + int(r.NumWide)*WideSize; end != len(b) {
		return fmt.Errorf("%w: reply of %d bytes, its tables come to %d", ErrMalformed, len(b), end)
	}
	v.GPR = table[uint64](b, gpr, (questions-gpr)/8)
	v.Questions = table[Question](b, questions, int(r.NumQuestions))
	v.Ops = table[Op](b, ops, int(r.NumOps))
	v.Wide = table[[WideSize]byte](b, wide, int(r.NumWide))
	return nil
}

// NewReply starts a reply in b: its head, which holds what b held before.
func NewReply(b []byte) *Reply { return at[Reply](b, 0) }

// FinishReply adds the tables behind the head, fills in their lengths and
// returns the length of the message in bytes. gpr are all registers, of which
// those in GPRDirty go.
func FinishReply(b []byte, gpr *[16]uint64, questions []Question, ops []Op, wide [][WideSize]byte) int {
	r := at[Reply](b, 0)
	n := replySize
	for dirty := r.GPRDirty; dirty != 0; dirty &= dirty - 1 {
		*at[uint64](b, n) = gpr[bits.TrailingZeros16(dirty)]
		n += 8
	}
	n += copy(table[Question](b, n, len(questions)), questions) * questionSize
	n += copy(table[Op](b, n, len(ops)), ops) * opSize
	n += copy(table[[WideSize]byte](b, n, len(wide)), wide) * WideSize
	r.NumQuestions, r.NumOps, r.NumWide = uint8(len(questions)), uint8(len(ops)), uint8(len(wide))
	r.Length = uint32(n)
	return n
}

// FinishFailure ends a reply of kind ReplyFailed with a note, cut to MaxNote.
func FinishFailure(b []byte, note string) int {
	r := at[Reply](b, 0)
	n := replySize + copy(b[replySize:replySize+MaxNote], note)
	r.Kind, r.NumQuestions, r.NumOps, r.NumWide, r.GPRDirty = ReplyFailed, 0, 0, 0, 0
	r.Length = uint32(n)
	return n
}
