package emulator_test

import "testing"

func TestMoves(t *testing.T) {
	check(t, []one{
		{code: "89d8", before: "rax=ffffffffffffffff rbx=1111111122222222", after: "rax=22222222"},
		{code: "88fc", before: "rax=1 rbx=aabb", after: "rax=aa01"},
		{code: "4088fc", before: "rsp=30000100 rdi=7f", after: "rsp=3000017f"},
		{code: "48b8efcdab8967452301", after: "rax=0123456789abcdef"},
		{code: "48c7c0ffffffff", after: "rax=ffffffffffffffff"},
		{code: "c74300ffffffff", before: "rbx=20000ffe", after: "[20000ffe]=ffffffff"},
		{code: "8b05f0ff0f10", event: "#PF(0x4) at 0x200ffff6"},
		{code: "8b0510000010", before: "[20000016]=04030201", after: "rax=01020304"},       // RIP is that of the next instruction
		{code: "678b0510000010", before: "[20000017]=04030201", after: "rax=01020304"},     // EIP-relative
		{code: "c70510000010efbeadde", before: "", after: "[2000001a]=efbeadde"},           // the immediate is before it
		{code: "a10000002000000000", before: "[20000000]=78563412", after: "rax=12345678"}, // moffs
		{code: "67a300100020", before: "rax=aabbccdd", after: "[20001000]=ddccbbaa"},
		{code: "0fb6c7", before: "rbx=80ff rax=ffffffffffffffff", after: "rax=80"}, // MOVZX eax, bh
		{code: "480fbec3", before: "rbx=80", after: "rax=ffffffffffffff80"},
		{code: "660fbec3", before: "rbx=80 rax=1111", after: "rax=ff80"},
		{code: "4863c3", before: "rbx=80000000", after: "rax=ffffffff80000000"},
		{code: "0fbfc3", before: "rbx=8000", after: "rax=ffff8000"},
		{code: "488d448bf0", before: "rbx=1 rcx=ffffffffffffffff", after: "rax=ffffffffffffffed"},
		{code: "67488d448bf0", before: "rbx=1 rcx=ffffffffffffffff", after: "rax=ffffffed"},
		{code: "668d03", before: "rax=11111111 rbx=12345678", after: "rax=11115678"},
		{code: "0f44c3", before: "rax=ffffffff00000001 rbx=2 f=", after: "rax=1"}, // false, and yet the upper half is cleared
		{code: "0f44c3", before: "rax=ffffffff00000001 rbx=2 f=ZF", after: "rax=2"},
		{code: "0f4403", before: "rbx=20002000 f=", event: "#PF(0x4) at 0x20002000"}, // false, and yet it reads
		{code: "0f9cc4", before: "rax=1234 f=SF", after: "rax=0134"},
		{code: "0f9f03", before: "rbx=20000000 [20000000]=ff f=ZF", after: "[20000000]=00"},
		{code: "6698", before: "rax=11110080", after: "rax=1111ff80"},
		{code: "98", before: "rax=ffffffff00008000", after: "rax=ffff8000"},
		{code: "4898", before: "rax=80000000", after: "rax=ffffffff80000000"},
		{code: "99", before: "rax=80000000 rdx=0", after: "rdx=ffffffff"},
		{code: "4899", before: "rax=7fffffffffffffff", after: "rdx=0"},
		{code: "6699", before: "rax=8000 rdx=1111", after: "rdx=ffff"},
		{code: "d7", before: "rbx=20000000 rax=1ff [200000ff]=5a", after: "rax=15a"},
		{code: "9f", before: "f=CF,ZF,SF rax=0", after: "rax=c300"},
		{code: "9e", before: "rax=ff00 f=OF", after: "f=CF,PF,AF,ZF,SF,OF"},
		{code: "f5", before: "f=CF", after: "f="},
		{code: "fd", before: "", after: "DF=1"},
		{code: "8cd0", before: "rax=ffffffffffffffff", after: "rax=2b"},
		{code: "668cd0", before: "rax=ffffffffffffffff", after: "rax=ffffffffffff002b"},
		{code: "8c13", before: "rbx=20000000 [20000000]=ffffffff", after: "[20000000]=2b00ffff"},
		{code: "0f1f03", before: "rbx=800000000000"}, // NOP does not touch memory
		{code: "f30f1efa"},
		{code: "0f0b", event: "#UD"},
		{code: "0fb903", before: "rbx=800000000000", event: "#UD"},
		{code: "0fc303", before: "rbx=20000000 rax=01020304", after: "[20000000]=04030201"},
		{code: "0f38f903", before: "rbx=20000000 rax=01020304", after: "[20000000]=04030201"},
	})
}

func TestStack(t *testing.T) {
	check(t, []one{
		{code: "50", before: "rax=1122334455667788", after: "rsp=30000ff8 [30000ff8]=8877665544332211"},
		{code: "6650", before: "rax=7788", after: "rsp=30000ffe [30000ffe]=8877"},
		{code: "54", before: "", after: "rsp=30000ff8 [30000ff8]=0010003000000000"}, // PUSH rSP: the old value
		{code: "6aff", before: "", after: "rsp=30000ff8 [30000ff8]=ffffffffffffffff"},
		{code: "6880000000", before: "", after: "rsp=30000ff8 [30000ff8]=8000000000000000"},
		{code: "0fa0", before: "[30000ff8]=ffffffffffffffff", after: "rsp=30000ff8 [30000ff8]=1000000000000000"},
		{code: "ff742408", before: "[30001008]=0102030405060708", after: "rsp=30000ff8 [30000ff8]=0102030405060708"},
		{code: "50", before: "rsp=30000000", event: "#PF(0x6) at 0x2ffffff8"},
		{code: "50", before: "rsp=800000000004", event: "#SS(0x0)"},
		{code: "58", before: "[30001000]=0102030405060708", after: "rax=0807060504030201 rsp=30001008"},
		{code: "5c", before: "[30001000]=0102030405060708", after: "rsp=0807060504030201"}, // POP rSP
		{code: "6658", before: "rax=11111111 [30001000]=ffff", after: "rax=1111ffff rsp=30001002"},
		{code: "8f442408", before: "[30001000]=0102030405060708", after: "rsp=30001008 [30001010]=0102030405060708"}, // address after the increment
		{code: "8f03", before: "rbx=40000000", event: "#PF(0x7) at 0x40000000"},
		{code: "8f03", before: "rbx=40000000 rsp=30002000", event: "#PF(0x4) at 0x30002000"}, // the stack is read first
		{code: "9c", before: "f=CF,ZF rflags=244ed7", after: "rsp=30000ff8 [30000ff8]=d74e240000000000"},
		{code: "9d", before: "[30001000]=d77f7f0000000000", after: "rsp=30001008 rflags=244fd7"}, // IF, IOPL, VM, RF, VIF stay
		{code: "669d", before: "rflags=40202 [30001000]=d500", after: "rsp=30001002 rflags=402d7"},
		{code: "c8100000", before: "rbp=1122", after: "rbp=30000ff8 rsp=30000fe8 [30000ff8]=2211"},
		{code: "c8000002", before: "rbp=30001800 [300017f8]=0708", after: "rbp=30000ff8 rsp=30000fe8 [30000ff8]=0018003000000000 [30000ff0]=0708 [30000fe8]=f80f003000000000"},
		{code: "c8000002", before: "rbp=30001000", after: "rbp=30000ff8 rsp=30000fe8 [30000ff8]=0010003000000000 [30000ff0]=0010003000000000 [30000fe8]=f80f003000000000"}, // reads what it pushed
		{code: "c8ff0f00", before: "rbp=1122", event: "#PF(0x6) at 0x2ffffff9", after: "[30000ff8]=2211000000000000"},                                                      // the push stays
		{code: "c9", before: "rbp=30000800 [30000800]=2211", after: "rbp=1122 rsp=30000808"},
		{code: "c9", before: "rbp=30002000", event: "#PF(0x4) at 0x30002000"},
	})
}

func TestBranches(t *testing.T) {
	check(t, []one{
		{code: "eb10", after: "rip=10000012"},
		{code: "e9fbffffff", after: "rip=10000000"},
		{code: "7410", before: "f=ZF", after: "rip=10000012"},
		{code: "7410", before: "f="},
		{code: "0f8f10000000", before: "f=SF,OF", after: "rip=10000016"},
		{code: "0f8f10000000", before: "f=SF,OF,ZF"},
		{code: "660f8410000000", before: "f=ZF", after: "rip=10000017"}, // Intel ignores 66
		{code: "e810000000", after: "rip=10000015 rsp=30000ff8 [30000ff8]=0500001000000000"},
		{code: "ffd0", before: "rax=10000800", after: "rip=10000800 rsp=30000ff8 [30000ff8]=0200001000000000"},
		{code: "ff142408", before: "[30001000]=0008001000000000", after: "rip=10000800 rsp=30000ff8 [30000ff8]=0300001000000000"},
		{code: "ffd0", before: "rax=800000000000", event: "#GP(0x0)", after: "[30000ff8]=0200001000000000"},
		{code: "ffe0", before: "rax=800000000000", event: "#GP(0x0)"},
		{code: "ffe0", before: "rax=20000000", after: "rip=20000000"}, // the next fetch faults, not this
		{code: "c3", before: "[30001000]=0008001000000000", after: "rip=10000800 rsp=30001008"},
		{code: "c20800", before: "[30001000]=0008001000000000", after: "rip=10000800 rsp=30001010"},
		{code: "c3", before: "[30001000]=0000000000800000", event: "#GP(0x0)"},
		{code: "e2fe", before: "rcx=1", after: "rcx=0"},
		{code: "e210", before: "rcx=2", after: "rcx=1 rip=10000012"},
		{code: "67e210", before: "rcx=ffffffff00000000", after: "rcx=ffffffff rip=10000013"},
		{code: "e110", before: "rcx=2 f=", after: "rcx=1"},
		{code: "e010", before: "rcx=2 f=", after: "rcx=1 rip=10000012"},
		{code: "e310", before: "rcx=100000000"},
		{code: "67e310", before: "rcx=100000000", after: "rip=10000013"},
		{code: "cc", event: "#BP"},
		{code: "cd21", event: "INT 0x21"},
		{code: "f1", event: "#DB"},
		{code: "f4", event: "#GP(0x0)"},
		{code: "fa", event: "#GP(0x0)"},
		{code: "ec", event: "#GP(0x0)"},
		{code: "0f01ca", event: "#UD"},
		{code: "0f20c0", event: "#GP(0x0)"},
		{code: "440f20c8", event: "#UD"},
	})
}

func TestStrings(t *testing.T) {
	check(t, []one{
		{code: "a4", before: "rsi=20000000 rdi=20000010 [20000000]=5a", after: "rsi=20000001 rdi=20000011 [20000010]=5a"},
		{code: "48a5", before: "DF=1 rsi=20000008 rdi=20000ff9 [20000008]=0102030405060708", after: "rsi=20000000 rdi=20000ff1 [20000ff9]=0102030405060708"},
		{code: "f3a4", before: "rcx=3 rsi=20000000 rdi=20000001 [20000000]=5a", after: "rcx=0 rsi=20000003 rdi=20000004 [20000000]=5a5a5a5a"},
		{code: "f3aa", before: "rcx=0 rdi=1"},
		{code: "f3ab", before: "rcx=400 rdi=20001008 rax=01010101", event: "#PF(0x6) at 0x20002000", after: "rcx=2 rdi=20002000 " + filled(0x20001008, 0xff8)},
		{code: "67f3aa", before: "rcx=ffffffff00000000 rdi=ffffffff20000000", after: "rcx=0 rdi=20000000"},
		{code: "67f3aa", before: "rcx=ffffffff00000002 rdi=ffffffff40000000", event: "#PF(0x7) at 0x40000000", after: "rcx=2 rdi=40000000"},
		{code: "67f3ac", before: "rcx=ffffffff00000000 rsi=ffffffff20000000", after: "rcx=0"},
		{code: "67aa", before: "rax=5a rdi=ffffffff20000000", after: "rdi=20000001 [20000000]=5a"},
		{code: "ac", before: "rax=1100 rsi=20000000 [20000000]=5a", after: "rax=115a rsi=20000001"},
		{code: "f2ae", before: "rcx=10 rax=3 rdi=20000000 [20000000]=010203", after: "rcx=d rdi=20000003 f=ZF,PF"},
		{code: "f3ae", before: "rcx=10 rax=1 rdi=20000000 [20000000]=010103", after: "rcx=d rdi=20000003 f=CF,AF,SF"},
		{code: "f3a6", before: "rcx=2 rsi=20000000 rdi=20000010 [20000000]=0102 [20000010]=0102", after: "rcx=0 rsi=20000002 rdi=20000012 f=ZF,PF"},
		{code: "a7", before: "rsi=20000000 rdi=20000010 [20000000]=01 [20000010]=02", after: "rsi=20000004 rdi=20000014 f=CF,AF,SF,PF"},
		{code: "a6", before: "rsi=40001000 rdi=20002000", event: "#PF(0x4) at 0x20002000"},                                                                                       // rDI first
		{code: "f2a7", before: "f=CF,ZF rcx=4 rsi=20001ff8 rdi=20000000 [20000000]=0102030401020304", event: "#PF(0x4) at 0x20002000", after: "rcx=2 rsi=20002000 rdi=20000008"}, // flags as they were
		{code: "64a4", before: "rsi=20000000 rdi=20000010 [20000000]=5a", after: "rsi=20000001 rdi=20000011 [20000010]=5a"},
		{code: "6e", before: "rdx=10", event: "#GP(0x0)"},
		{code: "f36e", before: "rcx=0 rdx=10", event: "#GP(0x0)"},
	})
}

// filled is the words for n bytes of 1 at an address.
func filled(at, n int) string {
	b := make([]byte, 0, 2*n)
	for range n {
		b = append(b, "01"...)
	}
	return "[" + hexOf(at) + "]=" + string(b)
}

func TestSystem(t *testing.T) {
	check(t, []one{
		{"0f00c0", "rax=ffffffffffffffff", "rax=0", ""},                  // SLDT of none
		{"660f00c8", "rax=ffffffffffffffff", "rax=ffffffffffff0000", ""}, // STR
		{"0f0003", "rbx=20000000 [20000000]=ffffffff", "[20000000]=0000ffff", ""},
		{"0f0103", "rbx=20000000 [20000000]=ffffffffffffffffffffffff", "[20000000]=00000000000000000000ffff", ""}, // SGDT
		{"0f010b", "rbx=40000000", "", "#PF(0x7) at 0x40000000"},                                                  // SIDT
		{"0f01d5", "", "", "#GP(0x0)"},                                                                            // XEND
		{"0f01d6", "f=CF,OF", "f=ZF", ""},                                                                         // XTEST
		{"0f33", "", "", "#GP(0x0)"},                                                                              // RDPMC
		{"0f01d0", "", "", "#UD"},                                                                                 // XGETBV without CR4.OSXSAVE
		{"0faa", "", "", "#UD"},                                                                                   // RSM
		{code: "0fa2", before: "rax=ffffffff00000007 rcx=3", after: "rax=7 rbx=2 rcx=3 rdx=fffffffe"},
		{code: "0f31", after: "rax=55667788 rdx=11223344"},
		{code: "0f01f9", after: "rax=55667788 rdx=11223344 rcx=55667788"},
		{code: "480fc7f0", before: "f=ZF,OF", after: "rax=8877665544332211 f=CF"},
		{code: "660fc7f8", before: "f=CF,ZF rax=1111", after: "rax=0 f="},
		{code: "f3480faec0", before: "rax=1", after: "rax=0"},
		{code: "0fae3b", before: "rbx=20002000", event: "#PF(0x4) at 0x20002000"},
		{code: "0fae3b", before: "rbx=20000000"},
		{code: "0faef0"},
		{code: "f390"},
		// #AC: EFLAGS.AC at CPL 3
		{code: "8b03", before: "rbx=20000002 AC=1", event: "#AC(0x0)"},
		{code: "668b03", before: "rbx=20000002 AC=1 rax=0", after: ""},
		{code: "8a03", before: "rbx=20000001 AC=1 rax=0", after: ""},
	})
}
