// Package wire is what crosses the wall around the emulator: one request with
// the registers of a virtual CPU and what its Bus has answered so far, one
// reply with the effects of the step or with what must be asked first.
//
// A message is a fixed header and then tables whose lengths the header gives:
//
//	request:  Request | Inst, if FlagResume | NumAnswers × Answer | NumWide × 64 bytes
//	reply:    Reply | one quadword a bit of GPRDirty | NumQuestions × Question | NumOps × Op | NumWide × 64 bytes
//
// Every field is an unsigned integer, so that any pattern of bytes is a value of
// its type; what the values mean is checked by package judge. Both ends run on
// one machine and share its byte order. A test asserts the layout.
package wire

// Version is the version of the messages; two ends with different ones do not
// talk to each other.
const Version = 2

// Capacities of a message.
const (
	// MaxAnswers is how many questions one step may ask. ENTER with nesting level
	// 31 asks the most.
	MaxAnswers = 96
	// MaxOps, as in step.
	MaxOps = 40
	// MaxWide is how many operands over eight bytes a message carries.
	MaxWide = 8
	// WideSize is the size of each in bytes.
	WideSize = 64
	// MaxRequest and MaxReply are the sizes of the longest messages in bytes.
	MaxRequest = requestSize + instSize + MaxAnswers*answerSize + MaxWide*WideSize
	MaxReply   = replySize + 16*8 + MaxAnswers*questionSize + MaxOps*opSize + MaxWide*WideSize
	// MaxNote is the length of the longest text of a failure in bytes.
	MaxNote = 256
)

// Sizes of the parts in bytes.
const (
	requestSize  = 192
	replySize    = 104
	instSize     = 48
	answerSize   = 56
	questionSize = 32
	opSize       = 56
)

// RequestKind tells what a request is.
type RequestKind = uint8

// The kinds of request.
const (
	// RequestStep starts a step, or runs it again with more answers.
	RequestStep RequestKind = 1 + iota
	// RequestAnswer answers the question of a hook that waits for it.
	RequestAnswer
	// RequestEcho is answered with an empty reply: to time the transport alone.
	RequestEcho
)

// Protocols: how a step crosses the wall.
const (
	// ProtocolMessage sends what is known and is told what is missing.
	ProtocolMessage = iota
	// ProtocolHooks crosses for each call of the Bus, as Xen's hooks would.
	ProtocolHooks
	// ProtocolWindow is ProtocolMessage with the guest's memory mapped read-only
	// in the worker, which takes from there what it would have to ask for. The
	// caller asks the Bus all the same, so that a wrong look costs a crossing.
	ProtocolWindow
	// ProtocolWindowWrite is ProtocolWindow with the memory mapped read-write: a
	// step whose every access is to it reads and writes there, and the caller
	// only learns of the accesses.
	ProtocolWindowWrite
)

// FlagResume of a request: go on with the repeated instruction in Inst.
const FlagResume = 1

// Request is the head of a request.
type Request struct {
	// Length of the whole message in bytes. Sequence is repeated by the reply.
	Length, Sequence                                                  uint32
	Kind, Protocol, Flags, Mode, StackWidth, CPL, NumAnswers, NumWide uint8
	// VCPU names the virtual CPU: the worker wipes what it holds when it changes.
	VCPU, Hooks uint32
	Selector    [6]uint16
	// Space is the address space of the window to look in, from 1 on; 0 is none.
	Space       uint32
	RIP, RFLAGS uint64
	GPR         [16]uint64
	_           uint64
}

// Kinds of reply.
const (
	// ReplyEffects carries effects. They hold if the Bus answers every question
	// as the worker assumed.
	ReplyEffects = 1 + iota
	// ReplyNeed asks: the last question is without an assumed answer.
	ReplyNeed
	// ReplyFailed says that the worker cannot go on; a note tells why.
	ReplyFailed
	// ReplyEcho answers RequestEcho.
	ReplyEcho
)

// Flags of a reply.
const (
	FlagRFLAGS = 1 << iota // RFLAGS is to change
	FlagAgain
	FlagPartial
	flagsReply = 1<<iota - 1
)

// Event is an event.
type Event struct {
	Type, Vector, HasError, Length uint8
	ErrorCode                      uint32
	Address                        uint64
}

// Reply is the head of a reply. Of ReplyFailed, NumQuestions to NumWide are 0
// and the note stands in place of the tables.
type Reply struct {
	Length, Sequence              uint32
	Kind, Outcome, Retire, Flags  uint8
	NumQuestions, NumOps, NumWide uint8
	_                             uint8
	GPRDirty                      uint16
	_                             [6]byte
	Event                         Event
	RIP, RFLAGS                   uint64
	Inst                          Inst
}

// Inst is a decoded instruction: the continuation of a REP, and what the
// emulator claims to have decoded. The caller passes it on and looks at nothing
// in it but the row.
type Inst struct {
	Disp, Imm                                              uint64
	Row, Prefix, Imm2                                      uint16
	Err, Length, OpSize, AddrSize, REX, Map, Opcode        uint8
	ModRM, SIB, Reg, RM, Segment, Base, Index, Scale       uint8
	PrefixLen, OpcodeOff, DispOff, DispLen, ImmOff, ImmLen uint8
	VVVV, VL, EVEX, REX2                                   uint8
	// Has are the flags of the parts: ModRM, SIB, memory operand, REX2.
	Has uint8
}

// Bits of Inst.Has.
const (
	hasModRM = 1 << iota
	hasSIB
	hasMem
	hasREX2
)

// QuestionKind is a method of the Bus that a step may call.
type QuestionKind = uint8

// The kinds of question.
const (
	AskFetch QuestionKind = 1 + iota
	AskRead
	AskReadBytes
	AskProbe
	AskProbeBytes
	AskEnqueue
	AskReadPort
	AskReadSegment
	AskReadControl
	AskReadDebug
	AskReadXCR
	AskReadMSR
	AskCPUID
	AskValidate
	AskRandom
	AskVMFunc
	NumAsk
)

// Done is set in the kind of a question that asks nothing any more: an access
// that a worker with ProtocolWindowWrite has carried out itself.
const Done QuestionKind = 0x80

// Question is one call of the Bus.
type Question struct {
	Kind, Size, Segment, Intent, Tail, Align, Check uint8
	// Wide is 1 + the index of the operand over eight bytes, 0 if there is none.
	Wide uint8
	// Offset is that of the access, or the first argument: port, register,
	// leaf, row.
	Offset uint64
	// A is the value of a probe, or the second argument.
	A uint64
	// Assumed is what the worker took the answer to be: of a read, its value.
	Assumed uint64
}

// Digest is a number by which a worker that runs a step again sees that it is
// given the answer to the question that it has: of all fields but Wide and
// Assumed. It guards against accidents, not against anybody.
func (q *Question) Digest() uint32 {
	h := uint64(q.Kind) | uint64(q.Size)<<8 | uint64(q.Segment)<<16 | uint64(q.Intent)<<24 | uint64(q.Tail)<<32 | uint64(q.Align)<<40 | uint64(q.Check)<<48
	h = (h ^ q.Offset) * 0x9e3779b97f4a7c15
	h = (h ^ h>>32 ^ q.A) * 0x9e3779b97f4a7c15
	return uint32(h >> 32)
}

// Answer is what the Bus answered.
type Answer struct {
	Kind, Outcome uint8
	// OK is the second value of EnqueueCommand and Random.
	OK uint8
	// N is the number of bytes fetched, or 1 + the index of an operand over
	// eight bytes.
	N uint8
	// Digest is that of the question.
	Digest uint32
	Event  Event
	// V are the values: one, the four of CPUID, fifteen bytes fetched, or a
	// segment register as PutSegment has it.
	V [4]uint64
}

// Op is a staged operation.
type Op struct {
	Kind, Size, Segment, Intent, Tail, Align, Check, Wide uint8
	Index                                                 uint32
	_                                                     uint32
	Offset                                                uint64
	// Value and Old as in step.Op; of a segment register, as PutSegment has it
	// in Value and Old[0].
	Value, Old [2]uint64
}
