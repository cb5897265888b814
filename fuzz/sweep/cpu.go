package sweep

import (
	"slices"
	"strings"

	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// cpuName is the name of the CPU as an engine.
const cpuName = "silicon"

// CPUQuirks returns what the CPU calls undefined although it is an
// instruction: the CPU as a decoder is a process at CPL 3, and some
// instructions are #UD there, or because the operating system has not enabled
// them. Each is a rule of the manual, not a fault.
func CPUQuirks() []oracle.Quirk { return cpuQuirks }

// undefinedAs is a rule: the CPU answers #UD to instructions of those names.
func undefinedAs(name, reason string, names []string, evidence ...oracle.Evidence) oracle.Quirk {
	return oracle.Quirk{
		Engine: cpuName, Name: name, Decoded: oracle.DecodedValidity, Reason: reason, Evidence: evidence,
		Wrong: func(_ *oracle.Lexed, right, wrong *oracle.Decoded) bool {
			return right.Valid && !wrong.Valid && wrong.Reason == "undefined" && slices.Contains(names, right.Mnemonic)
		},
	}
}

// undefined is evidence of an instruction that is #UD for a process.
func undefined(bytes, truth, source string) oracle.Evidence {
	return oracle.Evidence{Bytes: bytes, Mode: x86.Long64, Says: "#UD", Truth: truth, Source: source}
}

var cpuQuirks = []oracle.Quirk{
	undefinedAs(
		"undefined-by-definition", "the instruction is there to raise #UD", []string{"UD0", "UD1", "UD2", "UDB"},
		undefined("0f0b", "2 UD2", "SDM vol. 2, UD"), undefined("0fffc0", "3 UD0", "SDM vol. 2, UD"),
	),
	undefinedAs("outside-smm", "#UD outside system management mode", []string{"RSM"}, undefined("0faa", "2 RSM", "SDM vol. 2, RSM")),
	undefinedAs("outside-seam", "#UD outside secure arbitration mode", []string{"SEAMRET", "SEAMOPS"}, undefined("660f01ce", "4 SEAMOPS", "Intel TDX CPU architectural extensions, SEAMOPS")),
	undefinedAs(
		"above-cpl-0", "#UD above CPL 0, where others are #GP(0)", []string{"CLAC", "STAC", "MONITOR", "MWAIT", "MONITORX", "MWAITX", "ENCLS", "ENCLV"},
		undefined("0f01ca", "3 CLAC", "SDM vol. 2, CLAC"), undefined("0f01c8", "3 MONITOR", "SDM vol. 2, MONITOR"),
	),
	undefinedAs(
		"vmx-off", "#UD outside VMX operation; a hypervisor that hides VMX answers so too",
		[]string{"VMCALL", "VMLAUNCH", "VMRESUME", "VMXOFF", "VMXON", "VMREAD", "VMWRITE", "VMPTRLD", "VMPTRST", "VMCLEAR", "INVEPT", "INVVPID", "VMFUNC"},
		undefined("0f01c2", "3 VMLAUNCH", "SDM vol. 3, VMLAUNCH"),
	),
	undefinedAs(
		"svm-off", "#UD with EFER.SVME 0; a hypervisor that hides SVM answers so too",
		[]string{"VMRUN", "VMMCALL", "VMLOAD", "VMSAVE", "STGI", "CLGI", "INVLPGA", "SKINIT", "VMGEXIT"},
		undefined("0f01d8", "3 VMRUN", "APM vol. 3, VMRUN"),
	),
	undefinedAs("smx-off", "#UD with CR4.SMXE 0", []string{"GETSEC"}, undefined("0f37", "2 GETSEC", "SDM vol. 2, GETSEC")),
	undefinedAs(
		"not-enabled", "#UD where the operating system has not set the bit of CR4 or XCR0 (PKE, CET, FSGSBASE, UINTR, KL)",
		[]string{
			"RDPKRU", "WRPKRU", "SETSSBSY", "SAVEPREVSSP", "RSTORSSP", "CLRSSBSY", "WRSSD", "WRSSQ", "WRUSSD", "WRUSSQ", "INCSSPD", "INCSSPQ",
			"RDFSBASE", "RDGSBASE", "WRFSBASE", "WRGSBASE", "UIRET", "TESTUI", "CLUI", "STUI", "SENDUIPI",
			"AESENC128KL", "AESDEC128KL", "AESENC256KL", "AESDEC256KL", "AESENCWIDE128KL", "AESDECWIDE128KL", "AESENCWIDE256KL", "AESDECWIDE256KL",
			"ENCODEKEY128", "ENCODEKEY256",
		},
		undefined("0f01ee", "3 RDPKRU", "SDM vol. 2, RDPKRU"),
	),
	undefinedAs(
		"other-vendor-mode", "#UD outside 64-bit mode on Intel's CPUs (SYSCALL), in long mode on AMD's (SYSENTER, SYSEXIT)",
		[]string{"SYSCALL", "SYSRET", "SYSENTER", "SYSEXIT"}, undefined("0f34", "2 SYSENTER", "APM vol. 3, SYSENTER"),
	),
	undefinedAs(
		"tiles-not-configured", "#UD before a tile configuration is loaded (TILES_CONFIGURED is 0), which the CPU as a decoder does not do: Linux wants a request for it, arch_prctl, first",
		needTiles(), undefined("c4e27b5ed1", "5 TDPBSSD", "SDM vol. 2, 2.10, AMX-E4"), undefined("c4e27b49c0", "5 TILEZERO", "SDM vol. 2, 2.10, AMX-E5"),
		undefined("c4e27b4b0c24", "6 TILELOADD", "SDM vol. 2, 2.10, AMX-E3"),
	),
	hypercall,
}

// needTiles are the names of the instructions that want a tile configuration:
// all of AMX but those that load, store and drop one.
func needTiles() []string {
	var names []string
	rows := isa.Rows()
	for i := range rows {
		r := &rows[i]
		name := r.Mnemonic.String()
		if strings.HasPrefix(r.Feature.String(), "AMX_") && !slices.Contains([]string{"LDTILECFG", "STTILECFG", "TILERELEASE"}, name) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// hypercall is the reverse: the table says that this CPU lacks the instruction,
// because CPUID announces no VMX, and it is none the less not #UD, because it
// leaves the guest and the hypervisor answers.
var hypercall = oracle.Quirk{
	Engine: cpuName, Name: "hypercall", Map: isa.Map0F, Opcodes: []byte{0x01}, Decoded: oracle.DecodedValidity,
	When: func(l *oracle.Lexed) bool { return l.ModRM == 0xc1 || l.ModRM == 0xd9 },
	Wrong: func(_ *oracle.Lexed, right, wrong *oracle.Decoded) bool {
		return !right.Valid && wrong.Valid && int(wrong.Length) > 0
	},
	Reason:   "VMCALL and VMMCALL leave the guest before anything else is checked; the answer is the hypervisor's, which is not announced by CPUID",
	Evidence: []oracle.Evidence{{Bytes: "0f01c1", Mode: x86.Long64, Says: "3 VMCALL", Truth: "3 VMCALL", Source: "SDM vol. 3, VMCALL; 26.1.2"}},
}

// undefinedHere says that a rule of this page explains why the CPU calls an
// instruction undefined.
func undefinedHere(code []byte, mode x86.Mode, right *oracle.Decoded) bool {
	s := oracle.NewQuirkSet(cpuQuirks)
	_, q := s.ExplainDecoded(code, mode, oracle.DecodedValidity, right, &oracle.Decoded{Covered: true, Reason: "undefined"})
	return q != nil
}
