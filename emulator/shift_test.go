package emulator_test

import (
	"testing"

	"github.com/seed-4e121ece/ringfence/emulator/isa"
)

func TestShifts(t *testing.T) {
	check(t, []one{
		{code: "d1e0", before: "rax=80000001", after: "rax=2 f=CF,OF"},
		{code: "48c1e03f", before: "rax=3", after: "rax=8000000000000000 f=CF,SF,PF"},
		{code: "c1e020", before: "rax=ffffffff00000001 f=CF,OF,ZF", after: "rax=1"},
		{code: "48c1e040", before: "rax=ffffffff00000001 f=CF,OF,ZF"},
		{code: "c0e008", before: "rax=1ff", after: "rax=100 f=CF,ZF,PF"},
		{code: "c0e009", before: "rax=1ff", after: "rax=100 f=ZF,PF"},
		{code: "66d1e8", before: "rax=aaaa0001", after: "rax=aaaa0000 f=CF,ZF,PF"},
		{code: "d3e8", before: "rax=80000000 rcx=1f", after: "rax=1 f=OF"},
		{code: "d0f8", before: "rax=81", after: "rax=c0 f=CF,SF,PF"},
		{code: "c0f81f", before: "rax=80", after: "rax=ff f=CF,SF,PF"},
		{code: "48d3f8", before: "rax=8000000000000000 rcx=7f", after: "rax=ffffffffffffffff f=SF,PF"},
		// a count of 0 writes a register and nothing else
		{code: "d3e0", before: "rax=ffffffffffffffff rcx=20 f=CF,AF", after: "rax=ffffffff"},
		{code: "c12300", before: "rbx=40000000", event: "#PF(0x7) at 0x40000000"}, // SHL [rbx], 0
		// rotates leave SF, ZF, AF and PF
		{code: "d0c0", before: "rax=81 f=SF,ZF,AF,PF", after: "rax=03 f=CF,OF,SF,ZF,AF,PF"},
		{code: "c1c020", before: "rax=ffffffff80000001 f=CF", after: "rax=80000001"},
		{code: "c0c008", before: "rax=81", after: "f=CF"},
		{code: "66c1c010", before: "rax=8000 f=CF", after: "f="},
		{code: "d1c8", before: "rax=1", after: "rax=80000000 f=CF,OF"},
		{code: "48c1c804", before: "rax=f", after: "rax=f000000000000000 f=CF"},
		{code: "d0d0", before: "rax=80 f=CF", after: "rax=01 f=CF,OF"},
		{code: "c0d009", before: "rax=a5 f=CF"},
		{code: "c0d00a", before: "rax=80 f=", after: "rax=0 f=CF,OF"},
		{code: "d1d8", before: "rax=1 f=", after: "rax=0 f=CF"},
		{code: "48d1d8", before: "rax=0 f=CF", after: "rax=8000000000000000 f=OF"},
		// double shifts
		{code: "0fa4d804", before: "rax=f0000001 rbx=a0000000", after: "rax=1a f=CF"},
		{code: "480facd801", before: "rax=1 rbx=1", after: "rax=8000000000000000 f=CF,OF,SF,PF"},
		{code: "660fa4d810", before: "rax=1234 rbx=abcd", after: "rax=abcd f=SF"},
		{code: "0fa5d8", before: "rax=ffffffff12345678 rcx=40", after: "rax=12345678"},
		// BMI2
		{code: "c4e273f7c3", before: "rbx=f0 rcx=4", after: "rax=f"},
		{code: "c4e271f7c3", before: "rbx=80000001 rcx=21", after: "rax=2"},
		{code: "c4e2f2f7c3", before: "rbx=8000000000000000 rcx=3f", after: "rax=ffffffffffffffff"},
		{code: "c4e37bf0c304", before: "rbx=1f", after: "rax=f0000001"},
	})
	// What the manuals leave undefined, where the makers differ.
	checkOn(t, profile(isa.AMD), []one{
		{code: "c1e802", before: "rax=80000000", after: "rax=20000000 f=AF,PF"},
		{code: "c1e002", before: "rax=20000000", after: "rax=80000000 f=OF,SF,AF,PF"},
		{code: "c0c002", before: "rax=20", after: "rax=80 f=OF"},
		{code: "f7e3", before: "rax=2 rbx=80000000 f=ZF,PF", after: "rax=0 rdx=1 f=CF,OF,ZF,PF"},
	})
}

func TestBits(t *testing.T) {
	check(t, []one{
		{code: "480fa3d8", before: "rax=8000000000000000 rbx=7f", after: "f=CF"},
		{code: "0fabd8", before: "rax=ffffffff00000000 rbx=24", after: "rax=10"},
		{code: "660fbae81f", before: "rax=0", after: "rax=8000"},
		{code: "480fbaf03f", before: "rax=ffffffffffffffff", after: "rax=7fffffffffffffff f=CF"},
		{code: "0fbbd8", before: "rax=1 rbx=20", after: "rax=0 f=CF"},
		// a register offset addresses the bit string around the operand
		{code: "0fab1e", before: "rsi=20000100 rbx=ffffffe0", after: "[200000fc]=01"},
		{code: "480fab1e", before: "rsi=20000100 rbx=ffffffffffffffff", after: "[200000ff]=80"},
		{code: "660fab1e", before: "rsi=20000100 rbx=7fff", after: "[200010ff]=80"},
		{code: "f00fb31e", before: "rsi=20000100 rbx=21 [20000104]=02", after: "[20000104]=00 f=CF"},
		{code: "0fba2e21", before: "rsi=20000100", after: "[20000100]=02"},
		{code: "67480fab1e", before: "rsi=1 rbx=ffffffffffffffff", event: "#PF(0x6) at 0xfffffff9"},
		// scans
		{code: "0fbcc3", before: "rax=ffffffffffffffff rbx=0", after: "f=ZF,PF"},
		{code: "480fbdc3", before: "rbx=8000000000000000", after: "rax=3f f=PF"},
		{code: "f30fbcc3", before: "rax=5 rbx=0", after: "rax=20 f=CF"},
		{code: "f30fbcc3", before: "rbx=1", after: "rax=0 f=ZF"},
		{code: "66f30fbdc3", before: "rax=5 rbx=ffff0001", after: "rax=f f="},
		{code: "f3480fb8c3", before: "rbx=ffffffffffffffff f=CF,OF", after: "rax=40 f="},
		{code: "480fc8", before: "rax=0102030405060708", after: "rax=0807060504030201"},
		{code: "0fc8", before: "rax=ffffffff01020304", after: "rax=04030201"},
		{code: "0f38f006", before: "rsi=20000000 [20000000]=01020304", after: "rax=01020304"},
		{code: "660f38f106", before: "rsi=20000000 rax=1234", after: "[20000000]=1234"},
		// BMI
		{code: "c4e260f2c1", before: "rbx=f0 rcx=ff", after: "rax=f f="},
		{code: "c4e278f3cb", before: "rbx=6", after: "rax=4 f="},
		{code: "c4e278f3d3", before: "rbx=0", after: "rax=ffffffff f=CF,SF"},
		{code: "c4e278f3db", before: "rbx=6", after: "rax=2 f=CF"},
		{code: "c4e270f7c3", before: "rbx=12345678 rcx=0804", after: "rax=67 f="},
		{code: "c4e270f5c3", before: "rbx=ffffffff rcx=20", after: "rax=ffffffff f=CF,SF"},
		{code: "c4e2e3f5c1", before: "rbx=5 rcx=8000000000000101", after: "rax=8000000000000001"},
		{code: "c4e262f5c1", before: "rbx=80000101 rcx=80000001", after: "rax=3"},
	})
}
