package wire

import (
	"math/rand/v2"
	"reflect"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

func TestLayout(t *testing.T) {
	require.EqualValues(t, requestSize, unsafe.Sizeof(Request{}))
	require.EqualValues(t, replySize, unsafe.Sizeof(Reply{}))
	require.EqualValues(t, instSize, unsafe.Sizeof(Inst{}))
	require.EqualValues(t, answerSize, unsafe.Sizeof(Answer{}))
	require.EqualValues(t, questionSize, unsafe.Sizeof(Question{}))
	require.EqualValues(t, opSize, unsafe.Sizeof(Op{}))
	require.EqualValues(t, 0, unsafe.Offsetof(Request{}.Length))
	require.EqualValues(t, 0, unsafe.Offsetof(Reply{}.Length))
	require.EqualValues(t, step.MaxOps, MaxOps)
	require.GreaterOrEqual(t, MaxWide, step.MaxWide)
	// Every field is an unsigned integer, so that no pattern of bytes is invalid.
	for _, v := range []any{Request{}, Reply{}, Inst{}, Answer{}, Question{}, Op{}, Event{}} {
		unsigned(t, reflect.TypeOf(v))
	}
}

func unsigned(t *testing.T, typ reflect.Type) {
	switch typ.Kind() {
	case reflect.Struct:
		for i := range typ.NumField() {
			unsigned(t, typ.Field(i).Type)
		}
	case reflect.Array:
		unsigned(t, typ.Elem())
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
	default:
		t.Errorf("%v: want an unsigned integer", typ)
	}
}

// scramble gives every field of a struct a random value, each bool true or false.
func scramble(r *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			scramble(r, v.Field(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			scramble(r, v.Index(i))
		}
	case reflect.Bool:
		v.SetBool(r.Uint32()&1 != 0)
	case reflect.Pointer:
	default:
		v.SetUint(r.Uint64() >> (64 - v.Type().Bits()))
	}
}

// TestWords scrambles each of the emulator's words and finds it whole after it
// has crossed: a field that is added to one and not to the wire fails here.
func TestWords(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		var in, in2 decode.Inst
		var i Inst
		scramble(r, reflect.ValueOf(&in).Elem())
		PutInst(&i, &in)
		GetInst(&in2, &i)
		require.Equal(t, in, in2)

		var e x86.Event
		scramble(r, reflect.ValueOf(&e).Elem())
		we := PutEvent(&e)
		require.Equal(t, e, we.Get())

		var s x86.SegmentRegister
		scramble(r, reflect.ValueOf(&s).Elem())
		v := PutSegment(&s)
		require.Equal(t, s, GetSegment(v[0], v[1], v[2]))

		var a step.Access
		scramble(r, reflect.ValueOf(&a).Elem())
		var q Question
		var o Op
		q.PutAccess(&a)
		o.PutAccess(&a)
		require.Equal(t, a, q.Access())
		require.Equal(t, a, o.Access())

		var state, state2 x86.State
		scramble(r, reflect.ValueOf(&state).Elem())
		var req Request
		req.PutState(&state)
		req.State(&state2)
		require.Equal(t, state, state2)
	}
}

func TestMessages(t *testing.T) {
	var b Buffer
	b2 := b.Bytes()
	*NewRequest(b2) = Request{Sequence: 7, Flags: FlagResume, Kind: RequestStep}
	n := FinishRequest(b2, &Inst{Row: 9}, []Answer{{Kind: AskRead}, {N: 1}}, [][WideSize]byte{{1, 2, 3}})
	var v RequestView
	require.NoError(t, ParseRequest(b2, &v))
	require.EqualValues(t, 7, v.Sequence)
	require.EqualValues(t, 9, v.Inst.Row)
	require.Len(t, v.Answers, 2)
	require.Equal(t, byte(3), v.Wide[0][2])
	require.ErrorIs(t, ParseRequest(b2[:n-1], &v), ErrMalformed)

	*NewReply(b2) = Reply{Sequence: 8, Kind: ReplyEffects, GPRDirty: 1<<3 | 1<<15}
	n = FinishReply(b2, &[16]uint64{3: 30, 15: 150}, []Question{{Kind: AskProbe}}, []Op{{Kind: 1}, {Kind: 2}}, nil)
	var w ReplyView
	require.NoError(t, ParseReply(b2[:n], &w))
	require.Equal(t, []uint64{30, 150}, w.GPR)
	require.Len(t, w.Questions, 1)
	require.EqualValues(t, 2, w.Ops[1].Kind)
	for _, bad := range []int{0, 1, replySize - 1, n - 1, n + 1, n + 8} {
		require.ErrorIs(t, ParseReply(b2[:bad], &w), ErrMalformed, "%d bytes", bad)
	}
	NewReply(b2).NumOps = 255
	require.ErrorIs(t, ParseReply(b2[:n], &w), ErrMalformed)

	NewReply(b2).Kind = 0
	n = FinishFailure(b2, "a note")
	require.NoError(t, ParseReply(b2[:n], &w))
	require.Equal(t, "a note", string(w.Note))
}
