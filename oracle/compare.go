package oracle

import (
	"bytes"
	"slices"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// Diff is in what two results differ after the rules.
type Diff struct {
	// Fields is 0 if nothing differs.
	Fields Field
	// Skipped is the rule by which nothing was compared, or RuleNone.
	Skipped RuleID
	// Flags are the flags that differ, if FieldFlags is set.
	Flags x86.Flags
	// GPR has a bit for each register that differs, if FieldGPR is set.
	GPR uint16
	// FPU has a bit for each part that differs (FPUControl …), if FieldFPU is set.
	FPU uint8
}

// Comparer compares results by the rules and counts what each masks. The zero
// value is ready. It is used by one goroutine at a time.
type Comparer struct {
	// Strict compares undefined flags and results too.
	Strict bool
	// Profile is the reference's, or nil for a CPU with every feature. It
	// decides whether bytes can become an instruction.
	Profile *isa.Profile
	Counts  RuleCounts

	undef undefined
}

// Compare compares what two engines say of a case. in is the case's
// instruction as the subject's table has it, or nil; it and the case's inputs
// decide what is undefined, never an engine's answer. A case of several steps
// is compared without those rules.
//
// When the outcomes differ, or one engine faulted on what the other did not,
// only that is reported: the rest follows from it.
func (k *Comparer) Compare(c *Case, in *decode.Inst, subject, reference *Result) Diff {
	if r := skip(c, in, subject, reference); r != RuleNone {
		k.hit(r, true)
		return Diff{Skipped: r}
	}
	var d Diff
	if subject.Promise != "" {
		d.Fields |= FieldPromise
	}
	if subject.Ending != reference.Ending {
		d.Fields |= FieldEnding
		return d
	}
	if subject.Ending != Ended {
		return d
	}
	unknown := subject.Unknown | reference.Unknown
	rip := subject.State.RIP
	k.undef.clear()
	if k.gate(c, subject, reference) {
		d.Fields |= k.compareState(c, subject, reference, unknown, rip, &d)
		return d
	}
	if subject.Outcome != reference.Outcome {
		d.Fields |= FieldOutcome
		return d
	}
	switch subject.Outcome {
	case step.Okay:
		k.undef.find(k, c, in)
	case step.Exception:
		rip = k.trapRIP(c, subject, reference, rip)
		if !k.undefinedFetch(c, in, &subject.Event, &reference.Event) {
			d.Fields |= k.compareEvents(&subject.Event, &reference.Event, unknown)
		}
	}
	d.Fields |= k.compareState(c, subject, reference, unknown, rip, &d)
	return d
}

// skip returns the rule by which there is nothing to compare, or RuleNone. A
// subject that died or ran away where the reference ended is a difference.
func skip(c *Case, in *decode.Inst, subject, reference *Result) RuleID {
	for _, e := range [...]Ending{reference.Ending, subject.Ending} {
		switch e {
		case Unsupported:
			return RuleUnsupported
		case Quarantined:
			return RuleQuarantined
		case SystemCall:
			return RuleSystemCall
		}
	}
	switch {
	case reference.Ending == RanAway:
		return RuleRanAway
	case reference.Ending == Died:
		return RuleDied
	case subject.Ending == Ended && subject.Outcome == step.Unimplemented && mayLackSemantics(c, in):
		return RuleUnimplemented
	case c.uncovered(in):
		return RuleUncovered
	}
	return RuleNone
}

// mayLackSemantics says whether UNIMPLEMENTED is an answer to the case: to an
// instruction of a family that is not built yet, not to bytes that are none,
// and not where its privilege comes before its meaning. Elsewhere it would
// excuse whatever the subject has forgotten.
func mayLackSemantics(c *Case, in *decode.Inst) bool {
	if in == nil {
		return true
	}
	if !in.Valid() {
		return false
	}
	attr := isa.Get(in.Row).Attr
	if attr&isa.AttrCPL0 != 0 && c.State.CPL > 0 {
		return false
	}
	return attr&(isa.AttrX87|isa.AttrVector|isa.AttrFar|isa.AttrSystem) != 0
}

func (k *Comparer) hit(r RuleID, masked bool) {
	k.Counts[r].Matched++
	if masked {
		k.Counts[r].Masked++
	}
}

// Vectors whose gates user code may use: INT3 and INTO are of no use without.
// INT 80h is a system call of some kernels.
func openGate(vector uint8) bool { return vector == x86.VectorBP || vector == x86.VectorOF }

// gate applies RuleGate: the subject reports INT n, the reference the fault
// that its closed gate gives.
func (k *Comparer) gate(c *Case, subject, reference *Result) bool {
	if subject.Outcome != step.Exception || reference.Outcome != step.Exception || c.State.CPL == 0 {
		return false
	}
	s, r := &subject.Event, &reference.Event
	if s.Type != x86.EventSoftwareInterrupt || openGate(s.Vector) || r.Type != x86.EventFault {
		return false
	}
	if r.Vector != x86.VectorGP || r.ErrorCode != uint32(s.Vector)*8+2 {
		return false
	}
	k.hit(RuleGate, true)
	return true
}

func isSoftware(t x86.EventType) bool {
	return t == x86.EventSoftwareInterrupt || t == x86.EventSoftwareException || t == x86.EventPrivSoftwareException
}

// trapRIP applies RuleTrapRIP: it returns the RIP that the reference is
// expected to have.
func (k *Comparer) trapRIP(c *Case, subject, reference *Result, rip uint64) uint64 {
	s := &subject.Event
	if !isSoftware(s.Type) {
		return rip
	}
	// A reference that is an emulator keeps RIP too: it is where the case
	// began.
	if reference.State.RIP == rip && (rip == c.State.RIP || c.Steps > 1) {
		return rip
	}
	k.hit(RuleTrapRIP, true)
	return rip + uint64(s.Length)
}

// compareEvents compares two events. Where the vector or the type differ, the
// rest is not looked at.
func (k *Comparer) compareEvents(s, r *x86.Event, unknown Field) Field {
	if s.Vector != r.Vector || s.Type != r.Type {
		return k.known(FieldEvent, unknown)
	}
	var f Field
	if s.HasError != r.HasError || s.HasError && s.ErrorCode != r.ErrorCode {
		f |= k.known(FieldErrorCode, unknown)
	}
	if s.Vector == x86.VectorPF && s.Address != r.Address {
		f |= k.known(FieldAddress, unknown)
	}
	return f
}

// known returns f unless one of the engines cannot see it.
func (k *Comparer) known(f, unknown Field) Field {
	if f&unknown != 0 {
		k.hit(RuleUnknown, true)
		return 0
	}
	return f
}

// compareState compares registers, memory and what else stands after the run.
// rip is the subject's, as the reference should have it.
func (k *Comparer) compareState(c *Case, subject, reference *Result, unknown Field, rip uint64, d *Diff) Field {
	var f Field
	s, r := &subject.State, &reference.State
	if rip != r.RIP {
		f |= k.known(FieldRIP, unknown)
	}
	if s.RFLAGS != r.RFLAGS {
		if d.Flags = k.maskFlags(x86.Flags(s.RFLAGS^r.RFLAGS), reference); d.Flags != 0 {
			f |= k.known(FieldFlags, unknown)
		}
	}
	if s.GPR != r.GPR {
		if d.GPR = k.compareGPR(s, r, unknown); d.GPR != 0 {
			f |= k.known(FieldGPR, unknown)
		}
	}
	if s.Selector != r.Selector && !k.nullSelectors(&s.Selector, &r.Selector) {
		f |= k.known(FieldSelectors, unknown)
	}
	if subject.FSBase != reference.FSBase || subject.GSBase != reference.GSBase {
		f |= k.known(FieldBases, unknown)
	}
	if !bytes.Equal(subject.Memory, reference.Memory) && !k.undef.memoryEqual(k, c, subject.Memory, reference.Memory) {
		f |= k.known(FieldMemory, unknown)
	}
	if s.FPU != nil && r.FPU != nil {
		if d.FPU = k.compareFPU(s.FPU, r.FPU); d.FPU != 0 {
			f |= k.known(FieldFPU, unknown)
		}
	} else if s.FPU != nil || r.FPU != nil {
		k.hit(RuleUnknown, true)
	}
	if subject.NumStray != 0 || reference.NumStray != 0 {
		f |= k.compareStray(c, subject, reference, unknown)
	}
	if subject.Retire != reference.Retire {
		f |= k.known(FieldRetire, unknown)
	}
	if !slices.EqualFunc(subject.Accesses, reference.Accesses, sameAccess) {
		f |= k.known(FieldAccesses, unknown)
	}
	return f
}

// sameAccess compares what the case schema has of an access. The rest is how
// one engine came to its fault.
func sameAccess(a, b step.Access) bool {
	return a.Offset == b.Offset && a.Size == b.Size && a.Segment == b.Segment && a.Intent == b.Intent
}

// nullSelectors says whether selectors differ in nothing but which null
// selector it is.
func (k *Comparer) nullSelectors(s, r *[x86.NumSegment]uint16) bool {
	for i := range s {
		if s[i] != r[i] && (s[i] > 3 || r[i] > 3) {
			return false
		}
	}
	k.hit(RuleNullSelector, true)
	return true
}

// maskFlags takes from the flags that differ those that a rule masks.
func (k *Comparer) maskFlags(differ x86.Flags, reference *Result) x86.Flags {
	if differ&x86.RF != 0 && reference.Outcome == step.Exception {
		differ &^= x86.RF
		k.hit(RuleResumeFlag, true)
	}
	for i := range k.undef.n {
		u := &k.undef.flags[i]
		if differ&u.flags != 0 {
			differ &^= u.flags
			k.Counts[u.rule].Masked++
		}
	}
	return differ
}

func (k *Comparer) compareGPR(s, r *x86.State, unknown Field) uint16 {
	var set uint16
	for i := range s.GPR {
		if x := s.GPR[i] ^ r.GPR[i]; x != 0 {
			if k.undef.result != RuleNone && !k.undef.inMemory && int(k.undef.register) == i && x&^k.undef.mask == 0 {
				k.Counts[k.undef.result].Masked++
				continue
			}
			if i == x86.RSP && x&0xffff == 0 && k.known(FieldStackHigh, unknown) == 0 {
				continue
			}
			set |= 1 << i
		}
	}
	return set
}

// compareStray compares the words outside the windows. An undefined result in
// memory outside the windows is masked by address.
func (k *Comparer) compareStray(c *Case, subject, reference *Result, unknown Field) Field {
	if subject.NumStray == reference.NumStray {
		n := min(subject.NumStray, MaxStray)
		if slices.Equal(subject.Stray[:n], reference.Stray[:n]) {
			return 0
		}
	}
	if k.undef.strayEqual(k, c, subject, reference) {
		return 0
	}
	return k.known(FieldStray, unknown)
}
