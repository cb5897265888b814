package oracle

import (
	"slices"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// maxTail is the most that can follow what the decoder looked at before it
// found an instruction undefined: ModRM, SIB, a displacement and an immediate
// of four bytes each.
const maxTail = 10

// undefinedFetch applies RuleUndefinedFetch: the bytes are no instruction
// whatever follows them, and one engine raises #UD where the other wanted a
// byte that is not there.
func (k *Comparer) undefinedFetch(c *Case, in *decode.Inst, s, r *x86.Event) bool {
	if in == nil || c.Steps > 1 || s.Type != x86.EventFault || r.Type != x86.EventFault {
		return false
	}
	short := in.Err == decode.Truncated || in.Err == decode.TooLong
	if k.Profile != nil && k.Profile.Vendor == isa.Intel && short == (r.Vector == x86.VectorUD) {
		// How many bytes of what is undefined an Intel CPU fetches has been
		// measured, and the decoder knows it.
		return false
	}
	switch in.Err {
	case decode.Undefined, decode.BadLock, decode.WrongMode, decode.MissingFeature:
		if s.Vector != x86.VectorUD || !beyond(c, in, r) {
			return false
		}
	case decode.Truncated, decode.TooLong:
		// The subject may see fewer bytes than are here, up to the limit of CS.
		undefined, other := r, s
		if s.Vector == x86.VectorUD {
			undefined, other = s, r
		}
		if undefined.Vector != x86.VectorUD || !beyond(c, in, other) || !k.neverValid(c, in) {
			return false
		}
	default:
		return false
	}
	k.hit(RuleUndefinedFetch, true)
	return true
}

// beyond says whether the event is the fault of fetching a byte right behind
// those that the decoder looked at.
func beyond(c *Case, in *decode.Inst, ev *x86.Event) bool {
	switch ev.Vector {
	case x86.VectorPF:
		n := ev.Address - c.CodeAddress()
		return ev.ErrorCode&x86.PFFetch != 0 && ev.Address%PageSize == 0 && n >= uint64(in.Length) && n <= uint64(in.Length)+maxTail
	case x86.VectorGP:
		return ev.ErrorCode == 0 && (in.Length+maxTail > decode.MaxLength || beyondLimit(c, in))
	}
	return false
}

// beyondLimit says whether such a byte may lie beyond the limit of CS.
func beyondLimit(c *Case, in *decode.Inst) bool {
	if c.State.Mode == x86.Long64 {
		return false
	}
	cs := c.Segment(x86.CS)
	return c.State.RIP+uint64(in.Length)+maxTail > uint64(cs.Limit)
}

// everything is a CPU with each feature of the table.
var everything = isa.Profile{Vendor: isa.AMD, Features: isa.AllFeatures(), VirtualBits: 48}

// neverValid says whether no bytes behind those that are there make an
// instruction of them that the CPU has. A string that is too long is tried
// without its first prefixes, so that its length alone does not count, but for
// one of each kind: 66 before VEX is what makes it undefined.
func (k *Comparer) neverValid(c *Case, in *decode.Inst) bool {
	t := completion{mode: c.State.Mode, profile: everything, left: maxCompletions}
	if k.Profile != nil {
		// By AMD's rule an encoding is undefined as soon as it has no row: no
		// byte more need be tried.
		t.profile.Features, t.profile.VirtualBits = k.Profile.Features, k.Profile.VirtualBits
	}
	var have [decode.MaxLength]byte
	code := c.Instruction(&have)
	drop := 0
	if in.Err == decode.TooLong {
		drop = int(in.PrefixLen)
		if drop == 0 {
			return false // nothing but prefixes
		}
	}
	for start := 0; start <= drop; start++ {
		n := 0
		for i, b := range code[:start] {
			if !slices.Contains(code[i+1:drop], b) {
				t.buf[n] = b
				n++
			}
		}
		if n += copy(t.buf[n:], code[start:]); n < len(t.buf) && t.exists(n) {
			return false
		}
	}
	return true
}

// maxCompletions bounds a search: some milliseconds.
const maxCompletions = 300_000

// completion searches for bytes that make an instruction of a string.
type completion struct {
	buf     [decode.MaxLength]byte
	mode    x86.Mode
	profile isa.Profile
	left    int // strings that may still be tried
	inst    decode.Inst
}

// exists says whether some bytes behind the first n make an instruction, or one
// but for LOCK. A search that is given up says so too.
func (t *completion) exists(n int) bool {
	if t.left--; t.left < 0 {
		return true
	}
	switch decode.Decode(&t.inst, t.buf[:n], t.mode, &t.profile) {
	case decode.Valid, decode.BadLock:
		return true
	case decode.Truncated:
	default:
		return false
	}
	if n == len(t.buf) {
		return false
	}
	if t.inst.HasModRM {
		// Displacement and immediate do not matter.
		clear(t.buf[n:])
		r := decode.Decode(&t.inst, t.buf[:], t.mode, &t.profile)
		return r == decode.Valid || r == decode.BadLock
	}
	for b := range 256 {
		t.buf[n] = byte(b)
		if t.exists(n + 1) {
			return true
		}
	}
	return false
}
