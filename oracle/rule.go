package oracle

import "fmt"

// RuleID names a comparison rule. Fields are equal or they are a difference,
// unless a rule says otherwise.
type RuleID uint8

// The rules, in the order in which they are listed.
const (
	RuleNone RuleID = iota
	RuleFlagsAlways
	RuleFlagsCountNonZero
	RuleFlagsCountNotOne
	RuleFlagsCountAtLeastSize
	RuleFlagsCountAboveSize
	RuleResultCountAboveSize
	RuleResultSourceZero
	RuleResultSize16
	RuleResumeFlag
	RuleTrapRIP
	RuleGate
	RuleNullSelector
	RuleFPUPointers
	RuleUndefinedFetch
	RuleUnknown
	RuleUncovered
	RuleUnimplemented
	RuleUnsupported
	RuleSystemCall
	RuleRanAway
	RuleDied
	RuleQuarantined
	NumRules
)

// Rule is a comparison rule: what it masks and why.
type Rule struct {
	ID   RuleID
	Name string
	// Reason tells why the field cannot be compared, Source where that
	// stands.
	Reason, Source string
	// Skips says that nothing of the case is compared when the rule holds.
	Skips bool
}

var rules = [NumRules]Rule{
	RuleFlagsAlways: {
		Name: "flags-undefined", Reason: "the instruction leaves these flags undefined whatever its operands", Source: "SDM vol. 1, appendix A",
	},
	RuleFlagsCountNonZero: {
		Name: "flags-undefined-count-not-0", Reason: "AF is undefined after a shift by other than 0", Source: "SDM vol. 2, SAL/SAR/SHL/SHR, SHLD, SHRD",
	},
	RuleFlagsCountNotOne: {
		Name: "flags-undefined-count-not-1", Reason: "OF is defined after a shift or rotate by 1 only", Source: "SDM vol. 2, SAL/SAR/SHL/SHR, RCL/RCR/ROL/ROR, SHLD, SHRD",
	},
	RuleFlagsCountAtLeastSize: {
		Name: "flags-undefined-count-at-least-size", Reason: "CF is undefined after SHL or SHR by the operand's width or more", Source: "SDM vol. 2, SAL/SAR/SHL/SHR",
	},
	RuleFlagsCountAboveSize: {
		Name: "flags-undefined-count-above-size", Reason: "the flags are undefined after a double shift by more than the operand's width", Source: "SDM vol. 2, SHLD, SHRD",
	},
	RuleResultCountAboveSize: {
		Name: "result-undefined-count-above-size", Reason: "the destination of a double shift by more than the operand's width is undefined", Source: "SDM vol. 2, SHLD, SHRD",
	},
	RuleResultSourceZero: {
		Name: "result-undefined-source-0", Reason: "the destination of a scan of 0 is undefined", Source: "SDM vol. 2, BSF, BSR",
	},
	RuleResultSize16: {
		Name: "result-undefined-size-16", Reason: "BSWAP of a 16-bit register is undefined", Source: "SDM vol. 2, BSWAP",
	},
	RuleResumeFlag: {
		Name: "resume-flag", Reason: "RF in the image that a fault saves tells how that fault is resumed, not what the instruction did", Source: "SDM vol. 3, 17.3.1.1",
	},
	RuleTrapRIP: {
		Name: "software-event-rip", Reason: "a software interrupt or exception keeps RIP in the emulator, which reports its length; the CPU delivers it with RIP after", Source: "SDM vol. 3, 6.12.1; Xen x86_emulate, X86_EVENTTYPE_SW_*",
	},
	RuleGate: {
		Name: "software-interrupt-gate", Reason: "INT n through a gate that user code may not use is delivered as #GP(8n+2); the emulator reports INT n and leaves delivery to its caller", Source: "SDM vol. 3, 6.12.1.2",
	},
	RuleNullSelector: {
		Name: "null-selector", Reason: "the null selectors 1 to 3 become 0 on the way through the kernel that reports them", Source: "SDM vol. 2, IRET (returns to an outer level)",
	},
	RuleFPUPointers: {
		Name: "fpu-pointers", Reason: "FOP, FIP and FDP are of use only while an unmasked x87 exception is pending; otherwise CPUs differ in whether they store them", Source: "SDM vol. 1, 8.1.8; APM vol. 2, 11.4.4 (FXSAVE, XSAVE)",
	},
	RuleUndefinedFetch: {
		Name: "undefined-fetch", Reason: "how many bytes of an undefined instruction a CPU fetches before it raises #UD is its own affair: at the end of the mapped code, or of 15 bytes, it may raise the fault of the fetch; not of an Intel CPU, whose fetches the decoder knows", Source: "SDM vol. 3, table 6-2 (faults from fetching and from decoding; their bounds are not architectural)",
	},
	RuleUnknown: {
		Name: "unknown", Reason: "one of the engines cannot see the field", Source: "Result.Unknown",
	},
	RuleUncovered: {
		Name: "uncovered", Reason: "the subject's table has no rows for this group of opcodes, so that its #UD says nothing", Source: "isa.Gaps", Skips: true,
	},
	RuleUnimplemented: {
		Name: "unimplemented", Reason: "the subject's table has the row, its executor has no semantics: x87, vector, far and system instructions", Source: "Outcome", Skips: true,
	},
	RuleUnsupported: {
		Name: "unsupported", Reason: "an engine cannot express the case", Source: "Result.Ending", Skips: true,
	},
	RuleSystemCall: {
		Name: "system-call", Reason: "the CPU entered the kernel by a system-call instruction; what follows is the kernel's", Source: "Result.Ending", Skips: true,
	},
	RuleRanAway: {
		Name: "ran-away", Reason: "the reference did not end in the time allowed (a branch to itself, a long REP)", Source: "Result.Ending", Skips: true,
	},
	RuleDied: {
		Name: "reference-died", Reason: "the reference's process died; there is no answer", Source: "Result.Ending", Skips: true,
	},
	RuleQuarantined: {
		Name: "quarantined", Reason: "the result depends on the machine (time, CPU number, random numbers)", Source: "Result.Note", Skips: true,
	},
}

func init() {
	for i := range rules {
		rules[i].ID = RuleID(i)
	}
}

// Rules returns the comparison rules, without RuleNone. The caller must not
// change them.
func Rules() []Rule { return rules[1:] }

// String returns the rule's name.
func (r RuleID) String() string {
	if r < NumRules {
		return rules[r].Name
	}
	return fmt.Sprintf("RuleID(%d)", uint8(r))
}

// RuleCount says what a rule did over a number of comparisons.
type RuleCount struct {
	// Matched is the number of cases in which its condition held.
	Matched uint64
	// Masked is the number of fields that differed and that it masked; for a
	// rule that skips, the number of cases.
	Masked uint64
}

// RuleCounts has a count for each rule.
type RuleCounts [NumRules]RuleCount

// Add adds other counts.
func (c *RuleCounts) Add(d *RuleCounts) {
	for i := range c {
		c[i].Matched += d[i].Matched
		c[i].Masked += d[i].Masked
	}
}
