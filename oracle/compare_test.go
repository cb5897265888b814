package oracle

import (
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// pair is a case with two equal results, which a row then makes differ.
type pair struct {
	c    Case
	in   decode.Inst
	s, r Result
}

func newPair(t testing.TB, code string) *pair {
	t.Helper()
	p := &pair{c: Case{State: DefaultState(), Layout: DefaultLayout, Memory: make([]byte, DefaultLayout.WindowBytes())}}
	b, err := hex.DecodeString(code)
	require.NoError(t, err)
	p.c.CodeLen = uint8(copy(p.c.Code[:], b))
	profile := &isa.Profile{Features: isa.AllFeatures(), VirtualBits: 48}
	require.Equal(t, decode.Valid, decode.Decode(&p.in, b, x86.Long64, profile), code)
	for _, r := range []*Result{&p.s, &p.r} {
		r.State = p.c.State
		r.State.RIP += uint64(len(b))
		r.Memory = append([]byte(nil), p.c.Memory...)
		r.Steps = 1
	}
	return p
}

func fault(r *Result, p *pair, ev x86.Event) {
	r.Outcome, r.Event, r.Steps = step.Exception, ev, 0
	r.State.RIP = p.c.State.RIP
}

const addRaxRbx = "4801d8"

// TestCompareFields: each field that differs is a difference.
func TestCompareFields(t *testing.T) {
	both := func(ev x86.Event) func(*pair) {
		return func(p *pair) { fault(&p.s, p, ev); fault(&p.r, p, ev) }
	}
	rows := []struct {
		name string
		set  func(*pair)
		want Field
	}{
		{"equal", func(*pair) {}, 0},
		{"register", func(p *pair) { p.r.State.GPR[5]++ }, FieldGPR},
		{"rip", func(p *pair) { p.r.State.RIP++ }, FieldRIP},
		{"defined flag", func(p *pair) { p.r.State.RFLAGS ^= uint64(x86.AF) }, FieldFlags},
		{"flag that nothing touches", func(p *pair) { p.r.State.RFLAGS ^= uint64(x86.DF) }, FieldFlags},
		{"selector", func(p *pair) { p.r.State.Selector[x86.FS] = 0x2b }, FieldSelectors},
		{"base", func(p *pair) { p.r.GSBase = 3 }, FieldBases},
		{"memory", func(p *pair) { p.r.Memory[0]++ }, FieldMemory},
		{"stray word", func(p *pair) { p.r.NumStray = 1; p.r.Stray[0] = StrayWord{DataBase + 0x100, 1} }, FieldStray},
		{"stray value", func(p *pair) {
			p.r.NumStray, p.s.NumStray = 1, 1
			p.r.Stray[0], p.s.Stray[0] = StrayWord{DataBase + 0x100, 1}, StrayWord{DataBase + 0x100, 2}
		}, FieldStray},
		{"more stray words than listed", func(p *pair) { p.s.NumStray, p.r.NumStray = 40, 41 }, FieldStray},
		{"retire", func(p *pair) { p.s.Retire = step.RetireHLT }, FieldRetire},
		{"accesses", func(p *pair) { p.s.Accesses = make([]step.Access, 1) }, FieldAccesses},
		{"promise", func(p *pair) { p.s.Promise = "read twice" }, FieldPromise},
		{"outcome alone", func(p *pair) { fault(&p.s, p, x86.Fault(x86.VectorUD)) }, FieldOutcome},
		{"unhandleable", func(p *pair) { p.s.Outcome = step.Unhandleable }, FieldOutcome},
		{"subject died", func(p *pair) { p.s.Ending = Died }, FieldEnding},
		{"subject ran away", func(p *pair) { p.s.Ending = RanAway }, FieldEnding},
		{"same fault", both(x86.PageFault(6, 0x1000)), 0},
		{"vector", func(p *pair) { both(x86.FaultCode(x86.VectorGP, 0))(p); p.s.Event.Vector = x86.VectorSS }, FieldEvent},
		{"error code", func(p *pair) { both(x86.PageFault(6, 0x1000))(p); p.s.Event.ErrorCode = 4 }, FieldErrorCode},
		{"fault address", func(p *pair) { both(x86.PageFault(6, 0x1000))(p); p.s.Event.Address++ }, FieldAddress},
		{"a fault that changes a register", func(p *pair) { both(x86.Fault(x86.VectorUD))(p); p.s.State.GPR[0]++ }, FieldGPR},
		{"a fault that changes a flag", func(p *pair) { both(x86.Fault(x86.VectorUD))(p); p.s.State.RFLAGS ^= 1 }, FieldFlags},
		{"fault against trap", func(p *pair) { both(x86.Fault(x86.VectorDB))(p); p.r.Event.Type = x86.EventTrap }, FieldEvent},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			p := newPair(t, addRaxRbx)
			row.set(p)
			var k Comparer
			d := k.Compare(&p.c, &p.in, &p.s, &p.r)
			assert.Equal(t, row.want.Names(), d.Fields.Names())
			assert.Equal(t, RuleNone, d.Skipped)
			assert.Equal(t, RuleCounts{}, k.Counts, "no rule applies")
		})
	}
}

func TestCompareDetail(t *testing.T) {
	p := newPair(t, addRaxRbx)
	p.s.State.RFLAGS ^= uint64(x86.CF | x86.AF)
	p.s.State.GPR[3]++
	p.s.State.GPR[15]++
	var k Comparer
	d := k.Compare(&p.c, &p.in, &p.s, &p.r)
	assert.Equal(t, x86.CF|x86.AF, d.Flags)
	assert.Equal(t, uint16(1<<3|1<<15), d.GPR)
}

// TestUndefined: what each rule masks, by the inputs, and that it masks no
// more.
func TestUndefined(t *testing.T) {
	cl := func(n uint64) func(*pair) { return func(p *pair) { p.c.State.GPR[x86.RCX] = n } }
	none := func(*pair) {}
	flags := func(r RuleID, f x86.Flags) map[RuleID]x86.Flags { return map[RuleID]x86.Flags{r: f} }
	rows := []struct {
		name, code string
		set        func(*pair)
		// masked are the flags that each rule masks; others are compared.
		masked map[RuleID]x86.Flags
	}{
		{"add", addRaxRbx, none, nil},
		{"and", "4821d8", none, flags(RuleFlagsAlways, x86.AF)},
		{"mul", "48f7e3", none, flags(RuleFlagsAlways, x86.SF|x86.ZF|x86.AF|x86.PF)},
		{"div", "48f7f3", none, flags(RuleFlagsAlways, x86.FlagsStatus)},
		{"shl by cl 0", "48d3e0", cl(0), nil},
		{"shl by cl 64", "48d3e0", cl(64), nil},
		{"shl by cl 1", "48d3e0", cl(1), flags(RuleFlagsCountNonZero, x86.AF)},
		{"shl by cl 65", "48d3e0", cl(65), flags(RuleFlagsCountNonZero, x86.AF)},
		{"shl by cl 2", "48d3e0", cl(2), map[RuleID]x86.Flags{RuleFlagsCountNonZero: x86.AF, RuleFlagsCountNotOne: x86.OF}},
		{"shl eax by cl 33", "d3e0", cl(33), flags(RuleFlagsCountNonZero, x86.AF)},
		{"shl eax by cl 31", "d3e0", cl(31), map[RuleID]x86.Flags{RuleFlagsCountNonZero: x86.AF, RuleFlagsCountNotOne: x86.OF}},
		{"shl al by cl 8", "d2e0", cl(8), map[RuleID]x86.Flags{RuleFlagsCountNonZero: x86.AF, RuleFlagsCountNotOne: x86.OF, RuleFlagsCountAtLeastSize: x86.CF}},
		{"shl al by cl 7", "d2e0", cl(7), map[RuleID]x86.Flags{RuleFlagsCountNonZero: x86.AF, RuleFlagsCountNotOne: x86.OF}},
		{"sar al by cl 9", "d2f8", cl(9), map[RuleID]x86.Flags{RuleFlagsCountNonZero: x86.AF, RuleFlagsCountNotOne: x86.OF}},
		{"shr ax by imm 16", "66c1e810", none, map[RuleID]x86.Flags{RuleFlagsCountNonZero: x86.AF, RuleFlagsCountNotOne: x86.OF, RuleFlagsCountAtLeastSize: x86.CF}},
		{"rol by imm 1", "48c1c001", none, nil},
		{"rol by imm 3", "48c1c003", none, flags(RuleFlagsCountNotOne, x86.OF)},
		{"rcl by one", "48d1d0", none, nil},
		{"bsf of 0", "480fbcc3", none, flags(RuleFlagsAlways, x86.OF|x86.SF|x86.AF|x86.PF|x86.CF)},
		{"bt", "480fa3d8", none, flags(RuleFlagsAlways, x86.OF|x86.SF|x86.AF|x86.PF)},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			for _, f := range []x86.Flags{x86.CF, x86.PF, x86.AF, x86.ZF, x86.SF, x86.OF, x86.DF} {
				p := newPair(t, row.code)
				row.set(p)
				p.s.State.RFLAGS ^= uint64(f)
				var k Comparer
				d := k.Compare(&p.c, &p.in, &p.s, &p.r)
				var by RuleID
				for r, set := range row.masked {
					if set&f != 0 {
						by = r
					}
				}
				if by == RuleNone {
					assert.Equal(t, FieldFlags, d.Fields, "%v is defined", f)
					continue
				}
				assert.Zero(t, d.Fields, "%v is undefined", f)
				assert.Equal(t, RuleCount{1, 1}, k.Counts[by], "%v: %v", f, by)

				strict := Comparer{Strict: true}
				assert.Equal(t, FieldFlags, strict.Compare(&p.c, &p.in, &p.s, &p.r).Fields, "strict")

				fault(&p.s, p, x86.Fault(x86.VectorUD))
				fault(&p.r, p, x86.Fault(x86.VectorUD))
				assert.Equal(t, FieldFlags, k.Compare(&p.c, &p.in, &p.s, &p.r).Fields, "a fault leaves %v as it was", f)
			}
		})
	}
}

// TestUndefinedResult: an undefined destination, in a register, in a window
// and outside.
func TestUndefinedResult(t *testing.T) {
	at := func(a uint64) func(*pair) { return func(p *pair) { p.c.State.GPR[x86.RBX] = a } }
	rows := []struct {
		name, code string
		set        func(*pair)
		differ     func(*pair)
		want       Field
		rule       RuleID
	}{
		{"bsf rax of 0", "480fbcc3", at(0), func(p *pair) { p.s.State.GPR[0] = 9 }, 0, RuleResultSourceZero},
		{"bsf rax of 1", "480fbcc3", at(1), func(p *pair) { p.s.State.GPR[0] = 9 }, FieldGPR, 0},
		{"bsf of 0: another register", "480fbcc3", at(0), func(p *pair) { p.s.State.GPR[1] = 9 }, FieldGPR, 0},
		{"bsf of 0 in memory", "480fbc03", at(DataBase), func(p *pair) { p.s.State.GPR[0] = 9 }, 0, RuleResultSourceZero},
		{"bsf of 1 in memory", "480fbc03", func(p *pair) { at(DataBase + PageSize - 256)(p); p.c.Memory[7] = 1 }, func(p *pair) { p.s.State.GPR[0] = 9 }, FieldGPR, 0},
		{"bswap ax", "660fc8", at(0), func(p *pair) { p.s.State.GPR[0] = 0x1234 }, 0, RuleResultSize16},
		{"bswap ax: upper part", "660fc8", at(0), func(p *pair) { p.s.State.GPR[0] = 0x10000 }, FieldGPR, 0},
		{"bswap eax", "0fc8", at(0), func(p *pair) { p.s.State.GPR[0] = 0x1234 }, FieldGPR, 0},
		{"shld ax by 17", "660fa4d811", at(0), func(p *pair) { p.s.State.GPR[0] = 0x1234 }, 0, RuleResultCountAboveSize},
		{"shld ax by 16", "660fa4d810", at(0), func(p *pair) { p.s.State.GPR[0] = 0x1234 }, FieldGPR, 0},
		{"shld in a window by 17", "660fa40311", at(DataBase + PageSize - 256 + 2), func(p *pair) { p.s.Memory[3] = 9 }, 0, RuleResultCountAboveSize},
		{"shld in a window by 17: the byte behind", "660fa40311", at(DataBase + PageSize - 256 + 2), func(p *pair) { p.s.Memory[4] = 9 }, FieldMemory, 0},
		{"shld outside by 17", "660fa40311", at(DataBase + 0x102), func(p *pair) {
			p.s.NumStray, p.s.Stray[0] = 1, StrayWord{DataBase + 0x100, 0xabcd0000}
		}, 0, RuleResultCountAboveSize},
		{"shld outside by 17: the byte behind", "660fa40311", at(DataBase + 0x102), func(p *pair) {
			p.s.NumStray, p.s.Stray[0] = 1, StrayWord{DataBase + 0x100, 0x1abcd0000 << 16}
		}, FieldStray, 0},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			p := newPair(t, row.code)
			row.set(p)
			row.differ(p)
			var k Comparer
			d := k.Compare(&p.c, &p.in, &p.s, &p.r)
			assert.Equal(t, row.want.Names(), d.Fields.Names())
			if row.rule != RuleNone {
				assert.Equal(t, RuleCount{1, 1}, k.Counts[row.rule])
				strict := Comparer{Strict: true}
				assert.NotZero(t, strict.Compare(&p.c, &p.in, &p.s, &p.r).Fields)
			}
		})
	}
}

// TestSkips: endings that leave nothing to compare, each counted.
func TestSkips(t *testing.T) {
	rows := []struct {
		name string
		set  func(*pair)
		want RuleID
	}{
		{"reference unsupported", func(p *pair) { p.r.Ending = Unsupported }, RuleUnsupported},
		{"subject unsupported", func(p *pair) { p.s.Ending = Unsupported }, RuleUnsupported},
		{"system call", func(p *pair) { p.r.Ending = SystemCall }, RuleSystemCall},
		{"ran away", func(p *pair) { p.r.Ending = RanAway }, RuleRanAway},
		{"both ran away", func(p *pair) { p.r.Ending, p.s.Ending = RanAway, RanAway }, RuleRanAway},
		{"reference died", func(p *pair) { p.r.Ending = Died }, RuleDied},
		{"quarantined", func(p *pair) { p.r.Ending = Quarantined }, RuleQuarantined},
	}
	for _, row := range rows {
		p := newPair(t, addRaxRbx)
		row.set(p)
		p.r.State.GPR[0]++
		var k Comparer
		d := k.Compare(&p.c, &p.in, &p.s, &p.r)
		assert.Equal(t, Diff{Skipped: row.want}, d, row.name)
		assert.Equal(t, RuleCount{1, 1}, k.Counts[row.want], row.name)
		assert.True(t, rules[row.want].Skips, row.name)
	}
}

// TestUnimplemented: it is an answer to instructions of the families that are
// not built, and a difference for every other.
func TestUnimplemented(t *testing.T) {
	for _, row := range []struct {
		code string
		cpl  uint8
		skip bool
	}{
		{"0f58c1", 3, true},      // addps xmm0, xmm1
		{"d9ed", 3, true},        // fldln2
		{"ff28", 3, true},        // jmp far
		{"0f01d0", 3, true},      // xgetbv
		{"0f01f8", 0, true},      // swapgs at CPL 0
		{"0f01f8", 3, false},     // and at CPL 3, where it is #GP
		{"4801d8", 3, false},     // add
		{"f4", 3, false},         // hlt
		{"c4e270f2c2", 3, false}, // andn
	} {
		p := newPair(t, row.code)
		p.c.State.CPL = row.cpl
		p.s.Outcome = step.Unimplemented
		fault(&p.r, p, x86.FaultCode(x86.VectorGP, 0))
		var k Comparer
		want := Diff{Fields: FieldOutcome}
		if row.skip {
			want = Diff{Skipped: RuleUnimplemented}
		}
		assert.Equal(t, want, k.Compare(&p.c, &p.in, &p.s, &p.r), row.code)
	}
	p := newPair(t, addRaxRbx)
	p.in.Row, p.in.Err = 0, decode.Undefined
	p.s.Outcome = step.Unimplemented
	var k Comparer
	assert.Equal(t, Diff{Fields: FieldOutcome}, k.Compare(&p.c, &p.in, &p.s, &p.r), "bytes that are no instruction")
	assert.Equal(t, Diff{Skipped: RuleUnimplemented}, k.Compare(&p.c, nil, &p.s, &p.r), "an instruction that is not known")
}

// TestUndefinedFetch: only bytes that are no instruction, only the fault of a
// byte right behind them.
func TestUndefinedFetch(t *testing.T) {
	fetch := x86.PFUser | x86.PFFetch
	rows := []struct {
		name      string
		err       decode.Reason
		length    uint8
		reference x86.Event
		same      bool
	}{
		{"the page ends", decode.Undefined, 2, x86.PageFault(uint32(fetch), 0x10001000), true},
		{"bad lock", decode.BadLock, 2, x86.PageFault(uint32(fetch), 0x10001000), true},
		{"a valid instruction", decode.Valid, 2, x86.PageFault(uint32(fetch), 0x10001000), false},
		{"no fetch", decode.Undefined, 2, x86.PageFault(x86.PFUser, 0x10001000), false},
		{"not a page", decode.Undefined, 2, x86.PageFault(uint32(fetch), 0x10000fff), false},
		{"before the last byte seen", decode.Undefined, 3, x86.PageFault(uint32(fetch), 0x10001000), false},
		{"another page", decode.Undefined, 2, x86.PageFault(uint32(fetch), 0x10002000), false},
		{"15 bytes", decode.Undefined, 6, x86.FaultCode(x86.VectorGP, 0), true},
		{"cannot reach 15 bytes", decode.Undefined, 5, x86.FaultCode(x86.VectorGP, 0), false},
		{"another error code", decode.Undefined, 6, x86.FaultCode(x86.VectorGP, 8), false},
		{"another fault", decode.Undefined, 6, x86.Fault(x86.VectorDE), false},
	}
	for _, row := range rows {
		p := newPair(t, addRaxRbx)
		p.c.State.RIP = 0x10000ffe
		p.in.Err, p.in.Length = row.err, row.length
		fault(&p.s, p, x86.Fault(x86.VectorUD))
		fault(&p.r, p, row.reference)
		var k Comparer
		d := k.Compare(&p.c, &p.in, &p.s, &p.r)
		assert.Equal(t, row.same, d.Fields == 0, row.name)
		p.r.State.GPR[0]++
		d = k.Compare(&p.c, &p.in, &p.s, &p.r)
		assert.NotZero(t, d.Fields&FieldGPR, "the rest is compared: %s", row.name)
	}
}

// TestUndefinedFetchOther: the subject wants a byte that the reference does
// not need; only where no byte would have made it an instruction.
func TestUndefinedFetchOther(t *testing.T) {
	rows := []struct {
		code string
		same bool
	}{
		{"c4f8", true},                 // VEX map 24
		{"65656565656225373037", true}, // EVEX map 5, opcode 37: some ModRM bytes make it too long
		{"40c50406", true},             // REX before VEX
		{"400f26", true},               // MOV TR
		{"0f04", true},                 // no opcode
		{"0faf", false},                // IMUL without ModRM
		{"c4e2", false},                // VEX, cut
		{"c5", false},
		{"62", false}, // EVEX, cut
		{"62f1", false},
		{"62f17c", false},
		{"62f17c48", false},
		{"62f17c4858", false},
		{"0f38", false},
		{"f0", false},               // a prefix
		{"48", false},               // REX
		{"0fba", false},             // group 8 without ModRM
		{"81c000", false},           // ADD EAX, imm32, cut
		{"662e0f1f84000000", false}, // NOP, cut
	}
	for _, row := range rows {
		p := newPair(t, addRaxRbx)
		b, err := hex.DecodeString(row.code)
		require.NoError(t, err)
		p.c.CodeLen = uint8(copy(p.c.Code[:], b))
		p.c.State.RIP = CodeBase + 2*PageSize - uint64(len(b))
		profile := &isa.Profile{Features: isa.AllFeatures(), VirtualBits: 48}
		if decode.Decode(&p.in, b, x86.Long64, profile); p.in.Err != decode.Truncated {
			p.in.Err, p.in.Length = decode.Truncated, uint8(len(b)) // as a subject might
		}
		fault(&p.s, p, x86.PageFault(x86.PFUser|x86.PFFetch, CodeBase+2*PageSize))
		fault(&p.r, p, x86.Fault(x86.VectorUD))
		var k Comparer
		assert.Equal(t, row.same, k.Compare(&p.c, &p.in, &p.s, &p.r).Fields == 0, row.code)
	}
	// Bytes that only another CPU's features make an instruction of.
	p := newPair(t, addRaxRbx)
	p.c.CodeLen = uint8(copy(p.c.Code[:], "\x62\x25\x24\x30\x38")) // VCVTBIASPS2HF8, cut
	p.c.State.RIP = CodeBase + 2*PageSize - 5
	p.in.Err, p.in.Length = decode.Truncated, 5
	fault(&p.s, p, x86.PageFault(x86.PFUser|x86.PFFetch, CodeBase+2*PageSize))
	fault(&p.r, p, x86.Fault(x86.VectorUD))
	with, without := Comparer{}, Comparer{Profile: &isa.Profile{Vendor: isa.AMD, VirtualBits: 48}}
	assert.Equal(t, FieldEvent, with.Compare(&p.c, &p.in, &p.s, &p.r).Fields)
	assert.Zero(t, without.Compare(&p.c, &p.in, &p.s, &p.r).Fields)
}

// TestUndefinedFetchIntel: what an Intel CPU fetches is known, so that only a
// subject may differ from what the decoder reads.
func TestUndefinedFetchIntel(t *testing.T) {
	fetch, undefined := x86.PageFault(x86.PFUser|x86.PFFetch, CodeBase+2*PageSize), x86.Fault(x86.VectorUD)
	for _, row := range []struct {
		code               string
		err                decode.Reason
		subject, reference x86.Event
		same               bool
	}{
		{"0f04", decode.Undefined, undefined, fetch, false},
		{"f0", decode.BadLock, undefined, fetch, false},
		{"c4f8", decode.Truncated, fetch, undefined, false},
		{"c4f8", decode.Truncated, undefined, fetch, true}, // a subject that gives up at once
		{"0faf", decode.Truncated, undefined, fetch, false},
	} {
		p := newPair(t, addRaxRbx)
		b, err := hex.DecodeString(row.code)
		require.NoError(t, err)
		p.c.CodeLen = uint8(copy(p.c.Code[:], b))
		p.c.State.RIP = CodeBase + 2*PageSize - uint64(len(b))
		p.in.Err, p.in.Length = row.err, uint8(len(b))
		fault(&p.s, p, row.subject)
		fault(&p.r, p, row.reference)
		k := Comparer{Profile: &isa.Profile{Vendor: isa.Intel, Features: isa.AllFeatures(), VirtualBits: 48}}
		assert.Equal(t, row.same, k.Compare(&p.c, &p.in, &p.s, &p.r).Fields == 0, "%s %v", row.code, row.err)
	}
}

// TestUndefinedFetchTooLong: of a string that is too long, one prefix of each
// kind still counts.
func TestUndefinedFetchTooLong(t *testing.T) {
	for _, row := range []struct {
		code string
		same bool
	}{
		{"6666666666666666c4e278f392", true},  // 66 before VEX is undefined
		{"2e2e2e2e2e2e2e2ec4e278f392", false}, // BLSR, were it shorter
		{"662e2e2e2e2e2e2ec4e278f392", true},
	} {
		p := newPair(t, addRaxRbx)
		b, err := hex.DecodeString(row.code)
		require.NoError(t, err)
		p.c.CodeLen = uint8(copy(p.c.Code[:], b))
		require.Equal(t, decode.TooLong, decode.Decode(&p.in, p.c.Instruction(new([decode.MaxLength]byte)), x86.Long64, &everything))
		fault(&p.s, p, x86.Fault(x86.VectorUD))
		fault(&p.r, p, x86.FaultCode(x86.VectorGP, 0))
		var k Comparer
		d := k.Compare(&p.c, &p.in, &p.s, &p.r)
		require.Equal(t, row.same, d.Fields == 0, row.code)
	}
}

// TestSoftwareEvents: the emulator keeps RIP and tells the length, the CPU
// has RIP after.
func TestSoftwareEvents(t *testing.T) {
	p := newPair(t, "cc")
	ev := x86.Event{Type: x86.EventSoftwareException, Vector: x86.VectorBP, Length: 1}
	fault(&p.s, p, ev)
	fault(&p.r, p, ev)
	var k Comparer
	assert.Zero(t, k.Compare(&p.c, &p.in, &p.s, &p.r).Fields, "both keep RIP")
	assert.Zero(t, k.Counts[RuleTrapRIP])
	p.r.State.RIP++
	assert.Zero(t, k.Compare(&p.c, &p.in, &p.s, &p.r).Fields)
	assert.Equal(t, RuleCount{1, 1}, k.Counts[RuleTrapRIP])
	p.s.Event.Length = 2
	assert.Equal(t, FieldRIP, k.Compare(&p.c, &p.in, &p.s, &p.r).Fields, "a wrong length shows")
	p.s.Event.Length, p.s.State.RIP = 1, p.r.State.RIP
	assert.Equal(t, FieldRIP, k.Compare(&p.c, &p.in, &p.s, &p.r).Fields, "a subject that moves RIP shows")
}

// TestResumeFlag: RF of a fault's image is not compared, RF after an
// instruction is.
func TestResumeFlag(t *testing.T) {
	p := newPair(t, addRaxRbx)
	p.r.State.RFLAGS |= uint64(x86.RF)
	var k Comparer
	assert.Equal(t, FieldFlags, k.Compare(&p.c, &p.in, &p.s, &p.r).Fields)
	fault(&p.s, p, x86.Fault(x86.VectorUD))
	fault(&p.r, p, x86.Fault(x86.VectorUD))
	assert.Zero(t, k.Compare(&p.c, &p.in, &p.s, &p.r).Fields)
	assert.Equal(t, RuleCount{1, 1}, k.Counts[RuleResumeFlag])
	p.s.State.RFLAGS ^= uint64(x86.CF)
	assert.Equal(t, x86.CF, k.Compare(&p.c, &p.in, &p.s, &p.r).Flags)
}

func TestUnknownFields(t *testing.T) {
	p := newPair(t, addRaxRbx)
	p.s.Retire = step.RetireSTI
	p.s.Accesses = make([]step.Access, 2)
	p.r.Unknown = FieldRetire | FieldAccesses
	var k Comparer
	assert.Zero(t, k.Compare(&p.c, &p.in, &p.s, &p.r).Fields)
	assert.Equal(t, uint64(2), k.Counts[RuleUnknown].Masked)
}

func TestRulesAreComplete(t *testing.T) {
	names := map[string]bool{}
	for i, r := range Rules() {
		assert.Equal(t, RuleID(i+1), r.ID)
		assert.NotEmpty(t, r.Name)
		assert.NotEmpty(t, r.Reason, r.Name)
		assert.NotEmpty(t, r.Source, r.Name)
		assert.False(t, names[r.Name], r.Name)
		names[r.Name] = true
	}
	var a, b RuleCounts
	a[1].Masked, b[1].Masked, b[2].Matched = 1, 2, 3
	a.Add(&b)
	assert.Equal(t, uint64(3), a[1].Masked)
	assert.Equal(t, uint64(3), a[2].Matched)
}

// TestUndefinedRows: no row has more conditional rules than there is room for,
// each condition has a rule that names it, and no rule is without rows.
func TestUndefinedRows(t *testing.T) {
	flags := map[isa.Condition]RuleID{
		isa.Always: RuleFlagsAlways, isa.CountNonZero: RuleFlagsCountNonZero, isa.CountNotOne: RuleFlagsCountNotOne,
		isa.CountAtLeastSize: RuleFlagsCountAtLeastSize, isa.CountAboveSize: RuleFlagsCountAboveSize,
	}
	results := map[isa.Condition]RuleID{
		isa.CountAboveSize: RuleResultCountAboveSize, isa.SourceZero: RuleResultSourceZero, isa.Size16: RuleResultSize16,
	}
	rows := map[RuleID]int{}
	for _, r := range isa.Rows() {
		assert.Less(t, len(r.Flags.Rules), maxUndefined, r.String())
		if r.Flags.Undefined != 0 {
			rows[RuleFlagsAlways]++
		}
		for _, u := range r.Flags.Rules {
			if u.Flags != 0 {
				require.Contains(t, flags, u.When, r.String())
				assert.Equal(t, flags[u.When], ruleOf(u.When, false))
				rows[flags[u.When]]++
			}
			if u.Result {
				require.Contains(t, results, u.When, r.String())
				assert.Equal(t, results[u.When], ruleOf(u.When, true))
				rows[results[u.When]]++
			}
		}
	}
	for id := RuleFlagsAlways; id <= RuleResultSize16; id++ {
		assert.NotZero(t, rows[id], "%v: no row has it", id)
	}
}

// TestUncovered: nothing is compared where the table has no rows.
func TestUncovered(t *testing.T) {
	p := newPair(t, addRaxRbx)
	p.c.CodeLen = uint8(copy(p.c.Code[:], []byte{0x62, 0xf2, 0x7e, 0x48, 0x5e, 0xc1}))
	decode.Decode(&p.in, p.c.CodeBytes(), x86.Long64, &isa.Profile{Features: isa.AllFeatures(), VirtualBits: 48})
	require.Equal(t, decode.Undefined, p.in.Err)
	fault(&p.s, p, x86.Fault(x86.VectorUD))
	var k Comparer
	assert.Equal(t, Diff{Skipped: RuleUncovered}, k.Compare(&p.c, &p.in, &p.s, &p.r))
	assert.Equal(t, RuleCount{1, 1}, k.Counts[RuleUncovered])
	p.in.Err = decode.BadLock
	assert.Equal(t, FieldOutcome, k.Compare(&p.c, &p.in, &p.s, &p.r).Fields)
}

// TestGate: INT n through a closed gate is one event, whatever else differs
// is not.
func TestGate(t *testing.T) {
	p := newPair(t, "cd21")
	fault(&p.s, p, x86.Event{Type: x86.EventSoftwareInterrupt, Vector: 0x21, Length: 2})
	fault(&p.r, p, x86.FaultCode(x86.VectorGP, 0x21*8+2))
	var k Comparer
	assert.Zero(t, k.Compare(&p.c, &p.in, &p.s, &p.r).Fields)
	assert.Equal(t, RuleCount{1, 1}, k.Counts[RuleGate])
	p.s.State.GPR[1]++
	assert.Equal(t, FieldGPR, k.Compare(&p.c, &p.in, &p.s, &p.r).Fields)
	p.s.State.GPR[1]--
	p.r.Event.ErrorCode += 8
	assert.Equal(t, FieldEvent, k.Compare(&p.c, &p.in, &p.s, &p.r).Fields, "another vector")
	p.r.Event.ErrorCode -= 8
	p.c.State.CPL = 0
	assert.Equal(t, FieldEvent, k.Compare(&p.c, &p.in, &p.s, &p.r).Fields, "at CPL 0 every gate is open")
}

// TestNullSelectors: which null selector it is does not count; whether it is
// one does.
func TestNullSelectors(t *testing.T) {
	for _, r := range []struct {
		subject, reference uint16
		same               bool
	}{{3, 0, true}, {1, 2, true}, {3, 4, false}, {0x2b, 0, false}, {0, 0x2b, false}} {
		var k Comparer
		var a, b [x86.NumSegment]uint16
		a[x86.FS], b[x86.FS] = r.subject, r.reference
		assert.Equal(t, r.same, k.nullSelectors(&a, &b), "%#x and %#x", r.subject, r.reference)
		assert.Equal(t, r.same, k.Counts[RuleNullSelector].Masked == 1)
	}
}

func TestDivergence(t *testing.T) {
	p := newPair(t, addRaxRbx)
	p.s.State.RFLAGS ^= uint64(x86.AF)
	var k Comparer
	diff := k.Compare(&p.c, &p.in, &p.s, &p.r)
	d := NewDivergence("model", "silicon", &p.c, &p.in, &diff, &p.s, &p.r)
	d.Replay = "ringfence replay ."
	assert.Equal(t, KindExecute, d.Kind)
	assert.Equal(t, ImpactGuest, d.Impact)
	assert.Equal(t, [2]string{"okay", "okay"}, d.Outcomes)
	assert.Equal(t, []string{"rflags"}, d.Fields)
	assert.Equal(t, []string{"rflags: AF"}, d.Detail)
	assert.Equal(t, "REX.W + 01 /r ADD r/m64, r64", d.Encoding)
	assert.Len(t, d.Signature, 16)
	text, err := d.JSON()
	require.NoError(t, err)
	e, err := ParseDivergence(text)
	require.NoError(t, err)
	again, err := e.JSON()
	require.NoError(t, err)
	assert.Equal(t, string(text), string(again))
	c, err := ParseCase(e.Case)
	require.NoError(t, err)
	assert.Equal(t, p.c.Memory, c.Memory)
	assert.Same(t, DefaultLayout, c.Layout)
	assert.Contains(t, string(d.Readme()), "ringfence replay .")
	assert.Contains(t, string(d.Readme()), "add rax, rbx")

	// One cause, another input: one signature.
	q := newPair(t, "4901d1")
	q.s.State.RFLAGS ^= uint64(x86.CF)
	diff = k.Compare(&q.c, &q.in, &q.s, &q.r)
	assert.Equal(t, d.Signature, NewDivergence("model", "silicon", &q.c, &q.in, &diff, &q.s, &q.r).Signature)
	q.s.State.GPR[0]++
	diff = k.Compare(&q.c, &q.in, &q.s, &q.r)
	assert.NotEqual(t, d.Signature, NewDivergence("model", "silicon", &q.c, &q.in, &diff, &q.s, &q.r).Signature)
	assert.NotEqual(t, d.Signature, NewDivergence("depriv:pipe", "silicon", &p.c, &p.in, &diff, &p.s, &p.r).Signature)
}

func TestImpact(t *testing.T) {
	p := newPair(t, addRaxRbx)
	p.s.Promise = "read twice"
	var k Comparer
	diff := k.Compare(&p.c, &p.in, &p.s, &p.r)
	d := NewDivergence("model", "silicon", &p.c, &p.in, &diff, &p.s, &p.r)
	assert.Equal(t, ImpactContained, d.Impact)
	assert.Equal(t, KindContract, d.Kind)
	p.s.Promise, p.s.Ending = "", Died
	diff = k.Compare(&p.c, &p.in, &p.s, &p.r)
	d = NewDivergence("model", "silicon", &p.c, nil, &diff, &p.s, &p.r)
	assert.Equal(t, ImpactContained, d.Impact)
	assert.Equal(t, "died", d.Outcomes[0])
	assert.Equal(t, "none 01", d.Encoding)
}

func TestParseDivergenceErrors(t *testing.T) {
	p := newPair(t, addRaxRbx)
	diff := Diff{Fields: FieldGPR}
	good, err := NewDivergence("a", "b", &p.c, &p.in, &diff, &p.s, &p.r).JSON()
	require.NoError(t, err)
	rows := []struct{ name, text, want string }{
		{"version", strings.Replace(string(good), `"schema": 1`, `"schema": 7`, 1), "schema 7: this program reads schema 1"},
		{"no version", "{}", "missing: this is no divergence record"},
		{"truncated", string(good[:len(good)/2]), "the input ends before the value does"},
		{"unknown key", strings.Replace(string(good), `"impact"`, `"imprint"`, 1), `unknown field "imprint"`},
		{"kind", strings.Replace(string(good), `"execute"`, `"excute"`, 1), `"excute": want execute, decode or contract`},
		{"not JSON", "hello", "not JSON"},
	}
	for _, row := range rows {
		_, err := ParseDivergence([]byte(row.text))
		assert.ErrorContains(t, err, row.want, row.name)
	}
}

func TestDecodeDivergence(t *testing.T) {
	a := &Decoded{Covered: true, Valid: true, Length: 3, Mnemonic: "ADD"}
	b := &Decoded{Covered: true, Valid: true, Length: 4, Mnemonic: "ADD"}
	diff := CompareDecoded(a, b)
	assert.Equal(t, DecodedLength, diff)
	p := newPair(t, addRaxRbx)
	d := NewDecodeDivergence("model", "x86asm", []byte{0x48, 0x01, 0xd8}, x86.Long64, &p.in, diff, a, b)
	code, mode, err := d.ParseCode()
	require.NoError(t, err)
	assert.Equal(t, []byte{0x48, 0x01, 0xd8}, code)
	assert.Equal(t, x86.Long64, mode)
	assert.True(t, json.Valid(d.Results["model"]))
	assert.Equal(t, []string{"length"}, d.Fields)
}

func TestCompareDecoded(t *testing.T) {
	base := Decoded{Covered: true, Valid: true, Length: 3, Mnemonic: "ADD", NumOperands: 1}
	base.Operands[0] = Operand{Kind: OperandRegister, Class: x86.ClassGPR, Size: 8}
	rows := []struct {
		name string
		set  func(d *Decoded)
		want DecodedField
	}{
		{"equal", func(*Decoded) {}, 0},
		{"validity", func(d *Decoded) { d.Valid = false }, DecodedValidity},
		{"length", func(d *Decoded) { d.Length++ }, DecodedLength},
		{"unknown length", func(d *Decoded) { d.Length++; d.UnknownLength = true }, 0},
		{"mnemonic", func(d *Decoded) { d.Mnemonic = "ADC" }, DecodedMnemonic},
		{"unknown mnemonic", func(d *Decoded) { d.Mnemonic = "?"; d.UnknownMnemonic = true }, 0},
		{"operand", func(d *Decoded) { d.Operands[0].Size = 4 }, DecodedOperands},
		{"fewer operands", func(d *Decoded) { d.NumOperands = 0 }, DecodedOperands},
		{"unknown operands", func(d *Decoded) { d.NumOperands = 0; d.UnknownOperands = true }, 0},
		{"what lies behind the operands", func(d *Decoded) { d.Operands[1].Size = 4 }, 0},
		{"not covered", func(d *Decoded) { d.Valid, d.Covered = false, false }, 0},
	}
	for _, row := range rows {
		d := base
		row.set(&d)
		assert.Equal(t, row.want, CompareDecoded(&base, &d), row.name)
		assert.Equal(t, row.want, CompareDecoded(&d, &base), row.name)
	}
	bad, worse := Decoded{Covered: true, Length: 2}, Decoded{Covered: true, Length: 5, Reason: "undefined"}
	assert.Zero(t, CompareDecoded(&bad, &worse), "where each gave up does not count")
}

func BenchmarkCompare(b *testing.B) {
	for _, row := range []struct {
		name, code string
		set        func(*pair)
	}{
		{"case=equal", addRaxRbx, func(*pair) {}},
		{"case=undefined", "48d3e0", func(p *pair) { p.c.State.GPR[x86.RCX] = 3; p.s.State.RFLAGS ^= uint64(x86.OF) }},
		{"case=fault", addRaxRbx, func(p *pair) { fault(&p.s, p, x86.PageFault(6, 1)); fault(&p.r, p, x86.PageFault(6, 1)) }},
	} {
		b.Run(row.name, func(b *testing.B) {
			p := newPair(b, row.code)
			row.set(p)
			p.r.Unknown = FieldAccesses | FieldRetire | FieldPromise
			var k Comparer
			b.ReportAllocs()
			for b.Loop() {
				if d := k.Compare(&p.c, &p.in, &p.s, &p.r); d.Fields != 0 {
					b.Fatal(d)
				}
			}
		})
	}
}
