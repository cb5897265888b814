package clib

import "github.com/seed-4e121ece/ringfence/oracle"

// UnicornVersion is the version that the faults below were seen in: Debian's
// libunicorn2, which translates with QEMU 5.0.
const UnicornVersion = "2.0.1"

// UnicornFaults are the known faults of the Unicorn engine against the CPU, in
// code at CPL 3.
func UnicornFaults() []oracle.Fault { return unicornFaults }

// Pieces of the cases.
const (
	unicornData = `{"address":"0x20000000","bytes":"00112233445566778899aabbccddeeff"}`
	unicornBoth = `{"address":"0x20000000","bytes":"00","length":8192}`
)

// in64, in32 and in16 make a case of the schema.
func in64(code, registers, memory string) string {
	return unicornCase("long64", code, registers, memory)
}

func in32(code, registers, memory string) string {
	return unicornCase("compat32", code, registers, memory)
}

func in16(code, registers, memory string) string {
	return unicornCase("compat16", code, registers, memory)
}

func unicornCase(mode, code, registers, memory string) string {
	return `{"mode":"` + mode + `","code":"` + code + `","registers":{` + registers + `},"memory":[` + memory + `]}`
}

// narrow is a case of 32-bit code with a data segment at 20000000, of 16 bytes
// or with other attributes.
func narrow(code, registers, limit, attributes string) string {
	return `{"mode":"compat32","code":"` + code + `","registers":{"ds":"0x0f"` + registers + `},"segments":{"ds":{"selector":"0xf","base":"0x20000000","limit":"` + limit +
		`","attributes":"` + attributes + `"},"cs":{"selector":"0x7","base":"0x0","limit":"0xffffffff","attributes":"0xc0fb"},"ss":{"selector":"0x17","base":"0x0","limit":"0xffffffff","attributes":"0xc0f3"}},"memory":[` + unicornData + `]}`
}

var unicornFaults = []oracle.Fault{
	{
		Engine: Unicorn, Name: "io-privilege", Reason: "IN, OUT, INS and OUTS are not checked against IOPL and the I/O bitmap: user code reaches every port", Source: "SDM vol. 1, 19.5",
		Evidence: []oracle.FaultEvidence{
			{Case: in64("e4cc", "", ""), Says: "okay", Truth: "#GP"},
			{Case: in64("6c", `"rdi":"0x20000000"`, unicornData), Says: "okay", Truth: "#GP"},
			{Case: in64("ef", "", ""), Says: "okay", Truth: "#GP"},
		},
	},
	{
		Engine: Unicorn, Name: "segment-limit", Reason: "limits of segments are not checked", Source: "SDM vol. 3, 5.3",
		Evidence: []oracle.FaultEvidence{
			{Case: narrow("8b00", `,"rax":"0xd"`, "0xf", "0x40f3"), Says: "okay", Truth: "#GP"},
			{Case: narrow("8900", `,"rax":"0x10"`, "0xf", "0x40f3"), Says: "okay", Truth: "#GP"},
		},
	},
	{
		Engine: Unicorn, Name: "segment-type", Reason: "a segment that is not writable is written", Source: "SDM vol. 3, 5.5",
		Evidence: []oracle.FaultEvidence{
			{Case: narrow("8900", `,"rax":"0x0"`, "0xf", "0x40f1"), Shows: "0x20000000:4", Says: "okay, 0x20000000:4 00000000", Truth: "#GP, 0x20000000:4 00112233"},
		},
	},
	{
		Engine: Unicorn, Name: "null-segment", Reason: "memory is accessed through a null selector", Source: "SDM vol. 3, 5.4.1",
		Evidence: []oracle.FaultEvidence{
			{Case: in32("8b00", `"rax":"0x20000000","ds":"0x0"`, unicornData), Says: "okay", Truth: "#GP"},
		},
	},
	{
		Engine: Unicorn, Name: "canonical-data", Reason: "an address that is not canonical gives #PF", Source: "SDM vol. 1, 3.3.7.1",
		Evidence: []oracle.FaultEvidence{
			{Case: in64("8b00", `"rax":"0x8000000000000000"`, ""), Says: "#PF(0x4) at 0x8000000000000000", Truth: "#GP"},
			{Case: in64("50", `"rsp":"0x8000000000000000"`, ""), Says: "#PF(0x6) at 0x7ffffffffffffff8", Truth: "#SS"},
		},
	},
	{
		Engine: Unicorn, Name: "canonical-branch", Reason: "a branch to an address that is not canonical completes", Source: "SDM vol. 2, JMP, CALL, RET", Vendor: oracle.IntelOnly,
		Evidence: []oracle.FaultEvidence{
			{Case: in64("ffe0", `"rax":"0x8000000000000000"`, ""), Says: "okay", Truth: "#GP"},
			{Case: in64("c3", `"rsp":"0x30000f00"`, `{"address":"0x30000f00","bytes":"0000000000000080"}`), Says: "okay", Truth: "#GP"},
		},
	},
	{
		Engine: Unicorn, Name: "alignment", Reason: "alignment is not checked", Source: "SDM vol. 3, 6.15, #AC",
		Evidence: []oracle.FaultEvidence{
			{Case: in64("8b00", `"rax":"0x20000001","rflags":"0x40202"`, unicornData), Says: "okay", Truth: "#AC"},
			{Case: in32("50", `"rsp":"0x20000009","rflags":"0x40202"`, unicornData), Says: "okay", Truth: "#AC"},
		},
	},
	{
		Engine: Unicorn, Name: "read-modify-write-fault", Reason: "the #PF of an instruction that reads and writes its operand says that it was a read", Source: "SDM vol. 3, 4.7",
		Evidence: []oracle.FaultEvidence{
			{Case: in64("0108", `"rax":"0x50000000"`, ""), Says: "#PF(0x4) at 0x50000000", Truth: "#PF(0x6) at 0x50000000"},
			{Case: in64("ff00", `"rax":"0x50000000"`, ""), Says: "#PF(0x4) at 0x50000000", Truth: "#PF(0x6) at 0x50000000"},
		},
	},
	{
		Engine: Unicorn, Name: "store-crossing", Reason: "a store that faults on its second page has written the first", Source: "SDM vol. 3, 6.5, faults",
		Evidence: []oracle.FaultEvidence{
			{Case: in64("488910", `"rax":"0x20001ffc","rdx":"0x1122334455667788"`, unicornBoth), Shows: "0x20001ff8:8", Says: "#PF(0x6) at 0x20002000, 0x20001ff8:8 0000000088776655", Truth: "#PF(0x6) at 0x20002000, 0x20001ff8:8 0000000000000000"},
		},
	},
	{
		Engine: Unicorn, Name: "rotate-fault-flags", Reason: "a rotate through carry whose store faults has changed the flags", Source: "SDM vol. 3, 6.5, faults",
		Evidence: []oracle.FaultEvidence{
			{Case: in64("d010", `"rax":"0x10000000"`, `{"address":"0x10000000","bytes":"80","length":4096,"access":"rxu"}`), Shows: "CF", Says: "#PF(0x7) at 0x10000000, CF set", Truth: "#PF(0x7) at 0x10000000, CF clear"},
		},
	},
	{
		Engine: Unicorn, Name: "rex-not-last", Reason: "a REX prefix that is not directly before the opcode counts", Source: "SDM vol. 2, 2.2.1",
		Evidence: []oracle.FaultEvidence{
			{Case: in64("482601d8", `"rax":"0xffffffff00000001","rbx":"0xffffffff00000001"`, ""), Shows: "rax", Says: "okay, rax 0xfffffffe00000002", Truth: "okay, rax 0x2"},
			{Case: in64("4526ffc0", `"rax":"0x1","r8":"0x1"`, ""), Shows: "rax r8", Says: "okay, rax 0x1, r8 0x2", Truth: "okay, rax 0x2, r8 0x1"},
		},
	},
	{
		Engine: Unicorn, Name: "null-override", Reason: "in 64-bit mode a CS, DS, ES or SS prefix takes away the FS or GS prefix before it", Source: "SDM vol. 1, 3.3.7.1 and vol. 2, 2.1.1", Vendor: oracle.IntelOnly,
		Evidence: []oracle.FaultEvidence{
			{Case: in64("653e8b00", `"gsbase":"0x20000000"`, unicornData), Shows: "rax", Says: "#PF(0x4) at 0x0, rax 0x0", Truth: "okay, rax 0x33221100"},
		},
	},
	{
		Engine: Unicorn, Name: "lock-accepted", Reason: "LOCK on some instructions that cannot be locked is not #UD", Source: "SDM vol. 2, LOCK",
		Evidence: []oracle.FaultEvidence{
			{Case: in64("f0a9cccccccc", "", ""), Says: "okay", Truth: "#UD"},
			{Case: in64("f0e200", `"rcx":"0x1"`, ""), Says: "okay", Truth: "#UD"},
			{Case: in64("f0eb00", "", ""), Says: "okay", Truth: "#UD"},
			{Case: in64("f00f49c0", "", ""), Says: "okay", Truth: "#UD"},
		},
	},
	{
		Engine: Unicorn, Name: "lock-cmp-crash", Reason: "LOCK CMP of memory with an immediate ends the process that hosts the library", Source: "SDM vol. 2, LOCK, which makes it #UD",
		Evidence: []oracle.FaultEvidence{
			{Case: in64("f08038cc", `"rax":"0x20000000"`, unicornData), Says: "died", Truth: "#UD"},
		},
	},
	{
		Engine: Unicorn, Name: "lock-neg-flags", Reason: "LOCK NEG sets SF, AF and PF by another value than the result", Source: "SDM vol. 2, NEG",
		Evidence: []oracle.FaultEvidence{
			{Case: in64("f0f718", `"rax":"0x20000000"`, `{"address":"0x20000000","bytes":"01000000"}`), Shows: "SF PF 0x20000000:4", Says: "okay, SF clear, PF clear, 0x20000000:4 ffffffff", Truth: "okay, SF set, PF set, 0x20000000:4 ffffffff"},
		},
	},
	{
		Engine: Unicorn, Name: "int1", Reason: "INT1 (ICEBP) is #UD", Source: "SDM vol. 2, INT1",
		Evidence: []oracle.FaultEvidence{{Case: in64("f1", "", ""), Says: "#UD", Truth: "#DB"}},
	},
	{
		Engine: Unicorn, Name: "test-digit-1", Reason: "F6 /1 and F7 /1, which are TEST, are #UD", Source: "APM vol. 3, TEST; SDM vol. 2, table A-6",
		Evidence: []oracle.FaultEvidence{
			{Case: in64("f6c8cc", "", ""), Says: "#UD", Truth: "okay"},
			{Case: in64("f7c8cccccccc", "", ""), Says: "#UD", Truth: "okay"},
		},
	},
	{
		Engine: Unicorn, Name: "hint-nop", Reason: "some forms of the hint NOPs 0F 0D and 0F 18 are #UD", Source: "SDM vol. 2, NOP and table A-6",
		Evidence: []oracle.FaultEvidence{
			{Case: in64("0f18c4", "", ""), Says: "#UD", Truth: "okay"},
			{Case: in64("0f0dc0", "", ""), Says: "#UD", Truth: "okay"},
		},
	},
	{
		Engine: Unicorn, Name: "ret-immediate-sign", Reason: "the immediate of RET imm16 is sign-extended", Source: "SDM vol. 2, RET",
		Evidence: []oracle.FaultEvidence{
			{Case: in64("c20080", `"rsp":"0x30000f00"`, `{"address":"0x30000f00","bytes":"0000001000000000"}`), Shows: "rsp", Says: "okay, rsp 0x2fff8f08", Truth: "okay, rsp 0x30008f08"},
		},
	},
	{
		Engine: Unicorn, Name: "lahf-rex", Reason: "with a REX prefix LAHF and SAHF use SPL in place of AH", Source: "SDM vol. 2, LAHF, SAHF",
		Evidence: []oracle.FaultEvidence{
			{Case: in64("409f", "", ""), Shows: "rax rsp", Says: "okay, rax 0x0, rsp 0x30001002", Truth: "okay, rax 0x200, rsp 0x30001000"},
			{Case: in64("409e", `"rax":"0xff00"`, ""), Shows: "CF ZF SF", Says: "okay, CF clear, ZF clear, SF clear", Truth: "okay, CF set, ZF set, SF set"},
		},
	},
	{
		Engine: Unicorn, Name: "cmpxchg-upper-half", Reason: "a 32-bit CMPXCHG with a register that does not compare clears the upper half of the register", Source: "the CPU", Vendor: oracle.IntelOnly,
		Evidence: []oracle.FaultEvidence{
			{Case: in64("410fb1cc", `"r12":"0xffffffff12345678"`, ""), Shows: "r12 rax", Says: "okay, r12 0x12345678, rax 0x12345678", Truth: "okay, r12 0xffffffff12345678, rax 0x12345678"},
		},
	},
	{
		Engine: Unicorn, Name: "blsi-carry", Reason: "BLSI has CF the wrong way round", Source: "SDM vol. 2, BLSI",
		Evidence: []oracle.FaultEvidence{
			{Case: in64("c4e278f3d8", `"rax":"0x10"`, ""), Shows: "CF", Says: "okay, CF clear", Truth: "okay, CF set"},
			{Case: in64("c4e278f3d8", `"rax":"0x0"`, ""), Shows: "CF", Says: "okay, CF set", Truth: "okay, CF clear"},
		},
	},
	{
		Engine: Unicorn, Name: "vex-16-bit", Reason: "VEX in 16-bit protected-mode code is #UD", Source: "SDM vol. 2, 2.3.1",
		Evidence: []oracle.FaultEvidence{
			{Case: in16("c4e278f2c3", "", ""), Says: "#UD", Truth: "okay"},
		},
	},
	{
		Engine: Unicorn, Name: "clflush-unmapped", Reason: "CLFLUSH of an address that is not mapped does not fault", Source: "SDM vol. 2, CLFLUSH",
		Evidence: []oracle.FaultEvidence{
			{Case: in64("0fae3f", `"rdi":"0x50000000"`, ""), Says: "okay", Truth: "#PF(0x4) at 0x50000000"},
		},
	},
	{
		Engine: Unicorn, Name: "push-segment-width", Reason: "PUSH of a segment register with a 32-bit operand writes four bytes; the CPU writes the selector alone", Source: "SDM vol. 2, PUSH", Vendor: oracle.IntelOnly,
		Evidence: []oracle.FaultEvidence{
			{Case: in32("06", `"rsp":"0x30000f04"`, `{"address":"0x30000f00","bytes":"ffffffffffffffff"}`), Shows: "0x30000f00:4", Says: "okay, 0x30000f00:4 2b000000", Truth: "okay, 0x30000f00:4 2b00ffff"},
		},
	},
}
