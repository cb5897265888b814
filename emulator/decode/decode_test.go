package decode_test

import (
	"encoding/hex"
	"math/rand"
	"strings"
	"testing"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// decoding is a row of a table of byte strings. syntax "" means invalid for
// the reason; a length of 0 means all of the bytes.
type decoding struct {
	name   string
	code   string
	syntax string
	text   string
	length int
	reason decode.Reason
}

func (d *decoding) check(t *testing.T, mode x86.Mode, p *isa.Profile) {
	t.Helper()
	code := unhex(t, d.code)
	in := decode.Inst{Row: 7, Length: 99, Imm: 1} // what an earlier use left
	reason := decode.Decode(&in, code, mode, p)
	if reason != d.reason || in.Err != reason {
		t.Fatalf("%s: %v, want %v", d.code, reason, d.reason)
	}
	if d.syntax == "" {
		return
	}
	if got := isa.Get(in.Row).Syntax; got != d.syntax {
		t.Errorf("%s: row %q, want %q", d.code, got, d.syntax)
	}
	want := d.length
	if want == 0 {
		want = len(code)
	}
	if int(in.Length) != want {
		t.Errorf("%s: length %d, want %d", d.code, in.Length, want)
	}
	if got := in.Text(); d.text != "" && got != d.text {
		t.Errorf("%s: text %q, want %q", d.code, got, d.text)
	}
}

func TestDecode64(t *testing.T) {
	tests := []decoding{
		{name: "RDTSCP takes any prefix", code: "f30f01f9", syntax: "RDTSCP"},
		{name: "RDTSCP takes any prefix: 66 and F2", code: "66f20f01f9", syntax: "RDTSCP"},
		{name: "XSTORE may repeat", code: "f30fa7c0", syntax: "XSTORE"},
		{name: "XSTORE takes no F2", code: "f20fa7c0", reason: decode.Undefined},
		{name: "GETSEC is NP", code: "0f37", syntax: "GETSEC"},
		{name: "GETSEC is NP: F2", code: "f20f37", reason: decode.Undefined},
		{name: "GETSEC is NP: 66", code: "660f37", reason: decode.Undefined},
		{name: "the immediate's lower half", code: "c463f948ea53", syntax: "VPERMIL2PS xmm1, xmm2, xmm3, xmm4/m128, m2z", text: "vpermil2ps xmm13, xmm0, xmm5, xmm2, 0x3"},
		{name: "BEXTR's control word is not extended", code: "8f6af81033000000ff", syntax: "BEXTR r64, r/m64, imm32", text: "bextr r14, qword ptr [rbx], 0xff000000"},
		{name: "VMOVW to a register writes 32 bits", code: "62d57d087ec2", syntax: "VMOVW r32, xmm1", text: "vmovw r10d, xmm0"},
		{name: "VMOVW to memory", code: "62f57d087e00", syntax: "VMOVW m16, xmm1", text: "vmovw word ptr [rax], xmm0"},
		{name: "add", code: "4801d8", syntax: "ADD r/m64, r64", text: "add rax, rbx"},
		{name: "sign-extended immediate", code: "4883c0f0", syntax: "ADD r/m64, imm8", text: "add rax, 0xfffffffffffffff0"},
		{name: "imm8 with 16 bits", code: "6683c0f0", syntax: "ADD r/m16, imm8", text: "add ax, 0xfff0"},
		{name: "imm32 with 64 bits", code: "4881c0000000f0", syntax: "ADD r/m64, imm32", text: "add rax, 0xfffffffff0000000"},
		{name: "imm32", code: "81c0000000f0", syntax: "ADD r/m32, imm32", text: "add eax, 0xf0000000"},
		{name: "imm64", code: "49b88877665544332211", syntax: "MOV r64, imm64", text: "mov r8, 0x1122334455667788"},
		{name: "mov imm32 sign", code: "48c7c0ffffffff", syntax: "MOV r/m64, imm32", text: "mov rax, 0xffffffffffffffff"},
		{name: "sib and fs", code: "6448c74488f005000000", syntax: "MOV r/m64, imm32", text: "mov qword ptr fs:[rax+rcx*4-0x10], 0x5"},
		{name: "rip-relative before immediate", code: "c70510000000ffffffff", syntax: "MOV r/m32, imm32", text: "mov dword ptr [rip+0x10], 0xffffffff"},
		{name: "eip-relative", code: "678b0510000000", syntax: "MOV r32, r/m32", text: "mov eax, dword ptr [eip+0x10]"},
		{name: "no base", code: "8b042510000000", syntax: "MOV r32, r/m32", text: "mov eax, dword ptr [0x10]"},
		{name: "index 12", code: "428b0460", syntax: "MOV r32, r/m32", text: "mov eax, dword ptr [rax+r12*2]"},
		{name: "no index", code: "8b0424", syntax: "MOV r32, r/m32", text: "mov eax, dword ptr [rsp]"},
		{name: "base 13", code: "418b4500", syntax: "MOV r32, r/m32", text: "mov eax, dword ptr [r13]"},
		{name: "moffs64", code: "48a18877665544332211", syntax: "MOV RAX, moffs64", text: "mov rax, qword ptr [0x1122334455667788]"},
		{name: "moffs with 67", code: "67a144332211", syntax: "MOV EAX, moffs32", text: "mov eax, dword ptr [0x11223344]"},
		{name: "high byte", code: "88e0", syntax: "MOV r/m8, r8", text: "mov al, ah"},
		{name: "spl with REX", code: "4088e0", syntax: "MOV r/m8, r8", text: "mov al, spl"},
		{name: "REX before legacy prefix does not count", code: "486601d8", syntax: "ADD r/m16, r16", text: "add ax, bx"},
		{name: "two REX, last counts", code: "4148 01d8", syntax: "ADD r/m64, r64", text: "add rax, rbx"},
		{name: "REX.W beats 66", code: "664801d8", syntax: "ADD r/m64, r64", text: "add rax, rbx"},
		{name: "ret with REX twice", code: "4848c3", syntax: "RET", text: "ret"},
		{name: "ignored segment does not cancel fs", code: "642e8b00", syntax: "MOV r32, r/m32", text: "mov eax, dword ptr fs:[rax]"},
		{name: "last of fs and gs", code: "64658b00", syntax: "MOV r32, r/m32", text: "mov eax, dword ptr gs:[rax]"},
		{name: "nop", code: "9090", syntax: "NOP", text: "nop", length: 1},
		{name: "pause", code: "f390", syntax: "PAUSE", text: "pause"},
		{name: "xchg r8d", code: "4190", syntax: "XCHG EAX, r32", text: "xchg eax, r8d"},
		{name: "xchg r8", code: "4990", syntax: "XCHG RAX, r64", text: "xchg rax, r8"},
		{name: "REX.W nop", code: "4890", syntax: "NOP", text: "nop"},
		{name: "endbr64", code: "f30f1efa", syntax: "ENDBR64", text: "endbr64"},
		{name: "rdssp", code: "f30f1ec8", syntax: "RDSSPD r32", text: "rdsspd eax"},
		{name: "hint 0f1e", code: "0f1efa", syntax: "NOP r/m32"},
		{name: "crc32", code: "f20f38f1c3", syntax: "CRC32 r32, r/m32", text: "crc32 eax, ebx"},
		{name: "crc32 16", code: "66f20f38f1c3", syntax: "CRC32 r32, r/m16", text: "crc32 eax, bx"},
		{name: "movbe", code: "0f38f108", syntax: "MOVBE m32, r32", text: "movbe dword ptr [rax], ecx"},
		{name: "movbe register", code: "0f38f1c3", reason: decode.Undefined},
		{name: "adcx", code: "660f38f6c3", syntax: "ADCX r32, r/m32"},
		{name: "adox with 66", code: "66f30f38f6c3", syntax: "ADOX r32, r/m32"},
		{name: "0f0d nop", code: "0f0d38", syntax: "NOP r/m32"},
		{name: "prefetchw", code: "0f0d08", syntax: "PREFETCHW m8"},
		{name: "prefetcht0", code: "0f1808", syntax: "PREFETCHT0 m8"},
		{name: "0f18 register", code: "0f18c0", syntax: "NOP r/m32"},
		{name: "0f18 /7", code: "0f1838", syntax: "NOP r/m32"},
		{name: "0f19", code: "0f19c0", syntax: "NOP r/m32"},
		{name: "0f1a", code: "0f1ac0", syntax: "NOP r/m32"},
		{name: "bndmk", code: "f30f1b03", syntax: "BNDMK bnd, m64", text: "bndmk bnd0, qword ptr [rbx]"},
		{name: "bndmk register", code: "66f30f1bc3", syntax: "NOP r/m16"},
		{name: "bndmk rip", code: "f30f1b0500000000", reason: decode.Undefined},
		{name: "bndcl", code: "f30f1ac3", syntax: "BNDCL bnd, r/m64", text: "bndcl bnd0, rbx"},
		{name: "bndcu", code: "66f20f1ac3", syntax: "BNDCU bnd, r/m64", text: "bndcu bnd0, rbx"},
		{name: "bndcn 67", code: "67f20f1b4305", syntax: "BNDCN bnd, r/m64", text: "bndcn bnd0, qword ptr [rbx+0x5]"},
		{name: "bndmov", code: "660f1ac1", syntax: "BNDMOV bnd1, bnd2/m128", text: "bndmov bnd0, bnd1"},
		{name: "bndmov store", code: "66480f1b1b", syntax: "BNDMOV bnd1/m128, bnd2", text: "bndmov xmmword ptr [rbx], bnd3"},
		{name: "bnd4", code: "660f1be0", reason: decode.Undefined},
		{name: "bnd12", code: "66410f1bc4", reason: decode.Undefined},
		{name: "bndldx", code: "0f1a0c1a", syntax: "BNDLDX bnd, mib", text: "bndldx bnd1, [rdx+rbx*1]"},
		{name: "bndstx", code: "0f1b0c1a", syntax: "BNDSTX mib, bnd", text: "bndstx [rdx+rbx*1], bnd1"},
		{name: "0f1f", code: "0f1f440000", syntax: "NOP r/m32"},
		{name: "lfence with other rm", code: "0faee9", syntax: "LFENCE"},
		{name: "test /1", code: "f6c801", syntax: "TEST r/m8, imm8"},
		{name: "sal", code: "d1f0", syntax: "SAL r/m32, 1"},
		{name: "popcnt", code: "f30fb8c3", syntax: "POPCNT r32, r/m32"},
		{name: "jmpe", code: "0fb8c3", reason: decode.Undefined},
		{name: "tzcnt beats F2 before", code: "f2f30fbcc3", syntax: "TZCNT r32, r/m32"},
		{name: "bsf with F2 last", code: "f3f20fbcc3", syntax: "BSF r32, r/m32"},
		{name: "mov cs is undefined", code: "8ec8", reason: decode.Undefined},
		{name: "mov from segment 6", code: "8cf0", reason: decode.Undefined},
		{name: "mov from segment, REX.R ignored", code: "448cc0", syntax: "MOV r32, Sreg", text: "mov eax, es"},
		{name: "mov cr with memory form", code: "0f2040", syntax: "MOV r64, CR0-CR7", text: "mov rax, cr0"},
		{name: "mov cr8", code: "440f20c0", syntax: "MOV r64, CR0-CR7", text: "mov rax, cr8"},
		{name: "mov cr1", code: "0f20c8", reason: decode.Undefined},
		{name: "mov cr10", code: "440f20d0", reason: decode.Undefined},
		{name: "mov dr8", code: "440f21c0", reason: decode.Undefined},
		{name: "push imm8", code: "6aff", syntax: "PUSH imm8", text: "push 0xffffffffffffffff"},
		{name: "push imm16", code: "6668ffff", syntax: "PUSH imm16", text: "push 0xffff"},
		{name: "push 64", code: "50", syntax: "PUSH r64", text: "push rax"},
		{name: "push 16", code: "6650", syntax: "PUSH r16", text: "push ax"},
		{name: "enter", code: "c8341205", syntax: "ENTER imm16, imm8", text: "enter 0x1234, 0x5"},
		{name: "movs", code: "f3a5", syntax: "MOVSD", text: "rep movsd dword ptr es:[rdi], dword ptr [rsi]"},
		{name: "movs with override", code: "65f348a5", syntax: "MOVSQ", text: "rep movsq qword ptr es:[rdi], qword ptr gs:[rsi]"},
		{name: "scas", code: "f2ae", syntax: "SCASB", text: "repne scasb byte ptr es:[rdi]"},
		{name: "lea", code: "488d4001", syntax: "LEA r64, m", text: "lea rax, [rax+0x1]"},
		{name: "lea register", code: "488dc0", reason: decode.Undefined},
		{name: "jcxz", code: "67e300", syntax: "JECXZ rel8", text: "jecxz .+0x3"},
		{name: "jmp back", code: "ebfe", syntax: "JMP rel8", text: "jmp .+0x0"},
		{name: "andn", code: "c4e270f2c3", syntax: "ANDN r32a, r32b, r/m32", text: "andn eax, ecx, ebx"},
		{name: "bextr 64", code: "c442f0f7c3", syntax: "BEXTR r64a, r/m64, r64b", text: "bextr r8, r11, rcx"},
		{name: "blsr", code: "c4e278f3cb", syntax: "BLSR r32, r/m32", text: "blsr eax, ebx"},
		{name: "rorx", code: "c4e37bf0c305", syntax: "RORX r32, r/m32, imm8", text: "rorx eax, ebx, 0x5"},
		{name: "rorx with vvvv", code: "c4e373f0c305", reason: decode.Undefined},
		{name: "andn with L", code: "c4e274f2c3", reason: decode.Undefined},
		{name: "vmovdqa64", code: "62f1fd486f4001", syntax: "VMOVDQA64 zmm1 {k1}{z}, zmm2/m512", text: "vmovdqa64 zmm0, zmmword ptr [rax+0x40]"},
		{name: "vaddpd broadcast", code: "6261cd9b585802", syntax: "VADDPD xmm1 {k1}{z}, xmm2, xmm3/m128/m64bcst"},
		{name: "vaddpd, register 17", code: "6201f5c258ff", syntax: "VADDPD zmm1 {k1}{z}, zmm2, zmm3/m512/m64bcst{er}", text: "vaddpd zmm31 {k2}{z}, zmm17, zmm31"},
		{name: "vaddpd, registers 31", code: "62018dc358ff", syntax: "VADDPD zmm1 {k1}{z}, zmm2, zmm3/m512/m64bcst{er}", text: "vaddpd zmm31 {k3}{z}, zmm30, zmm31"},
		{name: "zeroing without mask", code: "6201cdc058ff", reason: decode.Undefined},
		{name: "vpgatherdd without mask", code: "62f27d48900420", reason: decode.Undefined},
		{name: "opmask 9", code: "c579905a75", reason: decode.Undefined},
		{name: "opmask vvvv 11", code: "c4c1a546c6", reason: decode.Undefined},
		{name: "VEX after REX", code: "48c4e270f2c3", reason: decode.Undefined},
		{name: "VEX after 66", code: "66c4e270f2c3", reason: decode.Undefined},
		{name: "VEX after LOCK", code: "f0c4e270f200", reason: decode.Undefined},
		{name: "VEX after 67 and 64", code: "6764c4e270f200", syntax: "ANDN r32a, r32b, r/m32", text: "andn eax, ecx, dword ptr fs:[eax]"},
		{name: "rdrand", code: "660fc7f0", syntax: "RDRAND r16"},
		{name: "rdpid", code: "f30fc7f8", syntax: "RDPID r64"},
		{name: "cmpxchg16b", code: "480fc708", syntax: "CMPXCHG16B m128"},
		{name: "clflushopt", code: "660fae38", syntax: "CLFLUSHOPT m8"},
		{name: "clwb", code: "660fae30", syntax: "CLWB m8"},
		{name: "xbegin", code: "c7f800000000", syntax: "XBEGIN rel32"},
		{name: "rdtscp", code: "0f01f9", syntax: "RDTSCP"},
		{name: "aaa", code: "37", reason: decode.WrongMode, syntax: ""},
		{name: "push es", code: "06", reason: decode.WrongMode},
		{name: "82", code: "82c001", reason: decode.WrongMode},
		{name: "udb", code: "d6", syntax: "UDB", text: "udb"},
		{name: "pusha", code: "60", reason: decode.WrongMode},
		{name: "undefined", code: "0f04", reason: decode.Undefined},
		{name: "prefix only", code: "66", reason: decode.Truncated},
		{name: "escape only", code: "0f38", reason: decode.Truncated},
		{name: "nothing", code: "", reason: decode.Truncated},
	}
	p := allFeatures(isa.Intel)
	for _, d := range tests {
		t.Run(d.name, func(t *testing.T) { d.check(t, x86.Long64, p) })
	}
}

func TestLock(t *testing.T) {
	tests := []decoding{
		{name: "add memory", code: "f00100", syntax: "ADD r/m32, r32", text: "lock add dword ptr [rax], eax"},
		{name: "add register", code: "f001c0", reason: decode.BadLock},
		{name: "add from memory", code: "f00300", reason: decode.BadLock},
		{name: "stc", code: "f0f9", reason: decode.BadLock},
		{name: "cmp memory", code: "f03900", reason: decode.BadLock},
		{name: "xchg memory", code: "f08700", syntax: "XCHG r/m32, r32"},
		{name: "bt memory", code: "f00fa300", reason: decode.BadLock},
		{name: "bts memory", code: "f00fab00", syntax: "BTS r/m32, r32"},
		{name: "bts register", code: "f00fabc0", reason: decode.BadLock},
		{name: "not memory", code: "f0f710", syntax: "NOT r/m32"},
		{name: "neg register", code: "f0f7d8", reason: decode.BadLock},
		{name: "mul memory", code: "f0f720", reason: decode.BadLock},
		{name: "test memory", code: "f0f60001", reason: decode.BadLock},
		{name: "inc memory", code: "f0ff00", syntax: "INC r/m32"},
		{name: "mov memory", code: "f08900", reason: decode.BadLock},
		{name: "shl memory", code: "f0d120", reason: decode.BadLock},
		{name: "xadd memory", code: "f00fc100", syntax: "XADD r/m32, r32"},
		{name: "cmpxchg memory", code: "f00fb100", syntax: "CMPXCHG r/m32, r32"},
		{name: "cmpxchg8b", code: "f00fc708", syntax: "CMPXCHG8B m64"},
		{name: "nop memory", code: "f00f1f00", reason: decode.BadLock},
		{name: "CR8 by another name", code: "f00f20c1", syntax: "MOV r64, CR0-CR7", text: "lock mov rcx, cr8"},
		{name: "CR2", code: "f00f20d1", reason: decode.BadLock},
		{name: "cut short", code: "f001", reason: decode.Truncated},
	}
	p := allFeatures(isa.Intel)
	for _, d := range tests {
		t.Run(d.name, func(t *testing.T) { d.check(t, x86.Long64, p) })
	}
}

// TestBranchVendor: near branches with 66h in 64-bit mode.
func TestBranchVendor(t *testing.T) {
	tests := []struct{ code, intel, amd string }{
		{"66e9100000000000", "JMP rel32", "JMP rel16"},
		{"66e8100000000000", "CALL rel32", "CALL rel16"},
		{"660f84100000000000", "JE rel32", "JE rel16"},
		{"66ffe0", "JMP r/m64", "JMP r/m16"},
		{"66ffd0", "CALL r/m64", "CALL r/m16"},
	}
	for _, tt := range tests {
		code := unhex(t, tt.code)
		for vendor, want := range map[isa.Vendor]string{isa.Intel: tt.intel, isa.AMD: tt.amd} {
			var in decode.Inst
			decode.Decode(&in, code, x86.Long64, allFeatures(vendor))
			if got := isa.Get(in.Row).Syntax; got != want {
				t.Errorf("%s for vendor %d: %q, want %q", tt.code, vendor, got, want)
			}
			if size := map[isa.Vendor]uint8{isa.Intel: 8, isa.AMD: 2}[vendor]; in.OpSize != size {
				t.Errorf("%s for vendor %d: operand size %d, want %d", tt.code, vendor, in.OpSize, size)
			}
		}
	}
	for _, code := range []string{"66c3", "66eb00", "66e200", "667400"} {
		for vendor, want := range map[isa.Vendor]uint8{isa.Intel: 8, isa.AMD: 2} {
			var in decode.Inst
			if decode.Decode(&in, unhex(t, code), x86.Long64, allFeatures(vendor)); in.OpSize != want {
				t.Errorf("%s for vendor %d: operand size %d, want %d", code, vendor, in.OpSize, want)
			}
		}
	}
}

func TestDecodeLegacyModes(t *testing.T) {
	p := allFeatures(isa.Intel)
	tests := []struct {
		mode x86.Mode
		decoding
	}{
		{x86.Compat32, decoding{code: "40", syntax: "INC r32", text: "inc eax"}},
		{x86.Compat16, decoding{code: "40", syntax: "INC r16", text: "inc ax"}},
		{x86.Compat16, decoding{code: "6640", syntax: "INC r32", text: "inc eax"}},
		{x86.Compat16, decoding{code: "a10010", syntax: "MOV AX, moffs16", text: "mov ax, word ptr [0x1000]"}},
		{x86.Compat16, decoding{code: "8b4002", syntax: "MOV r16, r/m16", text: "mov ax, word ptr [bx+si+0x2]"}},
		{x86.Compat16, decoding{code: "8b46fe", syntax: "MOV r16, r/m16", text: "mov ax, word ptr [bp-0x2]"}},
		{x86.Compat16, decoding{code: "8b063412", syntax: "MOV r16, r/m16", text: "mov ax, word ptr [0x1234]"}},
		{x86.Compat16, decoding{code: "678b04b0", syntax: "MOV r16, r/m16", text: "mov ax, word ptr [eax+esi*4]"}},
		{x86.Compat32, decoding{code: "678b00", syntax: "MOV r32, r/m32", text: "mov eax, dword ptr [bx+si]"}},
		{x86.Compat32, decoding{code: "8b0510000000", syntax: "MOV r32, r/m32", text: "mov eax, dword ptr [0x10]"}},
		{x86.Compat32, decoding{code: "3e268b00", syntax: "MOV r32, r/m32", text: "mov eax, dword ptr es:[eax]"}},
		{x86.Compat32, decoding{code: "c500", syntax: "LDS r32, m16:32", text: "lds eax, fword ptr [eax]"}},
		{x86.Compat32, decoding{code: "c400", syntax: "LES r32, m16:32"}},
		{x86.Compat32, decoding{code: "c4e270f2c3", syntax: "ANDN r32a, r32b, r/m32"}},
		{x86.Compat32, decoding{code: "c4e2f0f2c3", syntax: "ANDN r32a, r32b, r/m32"}},
		{x86.Real, decoding{code: "c4e270f2c3", reason: decode.Undefined}},
		{x86.VM86, decoding{code: "c500", syntax: "LDS r16, m16:16"}},
		{x86.Compat32, decoding{code: "6200", syntax: "BOUND r32, m32&32"}},
		{x86.Compat32, decoding{code: "9a785634120100", syntax: "CALL ptr16:32", text: "call 0x1:0x12345678"}},
		{x86.Compat16, decoding{code: "9a34120100", syntax: "CALL ptr16:16", text: "call 0x1:0x1234"}},
		{x86.Compat32, decoding{code: "63c8", syntax: "ARPL r/m16, r16"}},
		{x86.Compat32, decoding{code: "82c001", syntax: "ADD r/m8, imm8"}},
		{x86.Compat32, decoding{code: "e910000000", syntax: "JMP rel32"}},
		{x86.Compat32, decoding{code: "66e91000", syntax: "JMP rel16"}},
		{x86.Compat16, decoding{code: "e91000", syntax: "JMP rel16"}},
		{x86.Compat32, decoding{code: "67e300", syntax: "JCXZ rel8"}},
		{x86.Compat32, decoding{code: "68ffffffff", syntax: "PUSH imm32", text: "push 0xffffffff"}},
		{x86.Compat32, decoding{code: "d6", syntax: "SALC"}},
		{x86.Compat32, decoding{code: "0f05", syntax: "SYSCALL"}},
		{x86.Compat32, decoding{code: "f30faec0", reason: decode.WrongMode}},
	}
	for _, tt := range tests {
		t.Run(tt.mode.String()+"/"+tt.code, func(t *testing.T) { tt.check(t, tt.mode, p) })
	}
}

// TestFeatures: what an encoding is on a CPU without the feature.
func TestFeatures(t *testing.T) {
	p := allFeatures(isa.Intel)
	p.Features = p.Features.Without(isa.FeatureBMI1, isa.FeatureLZCNT, isa.FeaturePOPCNT, isa.FeatureWBNOINVD, isa.FeatureRDRAND)
	for _, d := range []decoding{
		{name: "tzcnt", code: "f30fbcc3", syntax: "BSF r32, r/m32"},
		{name: "lzcnt", code: "f3480fbdc3", syntax: "BSR r64, r/m64"},
		{name: "wbnoinvd", code: "f30f09", syntax: "WBINVD"},
		{name: "popcnt", code: "f30fb8c3", reason: decode.MissingFeature},
		{name: "rdrand", code: "0fc7f0", reason: decode.MissingFeature},
		{name: "andn", code: "c4e270f2c3", reason: decode.MissingFeature},
	} {
		t.Run(d.name, func(t *testing.T) { d.check(t, x86.Long64, p) })
	}
}

func TestLengthLimit(t *testing.T) {
	p := allFeatures(isa.Intel)
	pad := func(n int, code string) []byte { return append([]byte(strings.Repeat("\x2e", n)), unhex(t, code)...) }
	tests := []struct {
		name   string
		code   []byte
		length int
		reason decode.Reason
	}{
		{"15 bytes", pad(14, "90"), 15, decode.Valid},
		{"16 bytes", pad(15, "90"), 15, decode.TooLong},
		{"15 prefixes and no more", pad(15, ""), 15, decode.TooLong},
		{"14 prefixes and no more", pad(14, ""), 14, decode.Truncated},
		{"immediate ends at 15", pad(10, "b878563412"), 15, decode.Valid},
		{"immediate ends at 16", pad(11, "b878563412"), 15, decode.TooLong},
		{"immediate ends at 16, 15 are there", pad(11, "b8785634"), 15, decode.TooLong},
		{"immediate ends at 16, 14 are there", pad(11, "b87856"), 14, decode.Truncated},
		{"ModRM is byte 16", pad(13, "0faf"), 15, decode.TooLong},
		{"VEX behind F3 is too long first", append([]byte("\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\xf3"), unhex(t, "c52dd392e260d400")...), 15, decode.TooLong},
		{"VEX behind F3", append([]byte("\x2e\x2e\x2e\x2e\x2e\x2e\xf3"), unhex(t, "c52dd392e260d400")...), 15, decode.Undefined},
		{"ModRM is missing", pad(3, "0faf"), 5, decode.Truncated},
	}
	for _, tt := range tests {
		var in decode.Inst
		if r := decode.Decode(&in, tt.code, x86.Long64, p); r != tt.reason || int(in.Length) != tt.length {
			t.Errorf("%s: %v, length %d; want %v, %d", tt.name, r, in.Length, tt.reason, tt.length)
		}
	}
}

// TestDecodeRandom: any bytes give a valid instruction of 1 to 15 bytes or a
// reason, and the answer depends on the instruction's bytes alone.
func TestDecodeRandom(t *testing.T) {
	r := rand.New(rand.NewSource(2))
	p := allFeatures(isa.AMD)
	code := make([]byte, 24)
	for range 1_000_000 {
		r.Read(code)
		if r.Intn(4) == 0 {
			code[0] = []byte{0x0f, 0xc4, 0xc5, 0x62}[r.Intn(4)]
		}
		mode := codeModes[r.Intn(len(codeModes))]
		var in, again decode.Inst
		reason := decode.Decode(&in, code, mode, p)
		if in.Length > decode.MaxLength || (reason == decode.Valid) != (in.Row != 0) || in.Err != reason {
			t.Fatalf("% x: %v, %+v", code, reason, in)
		}
		if reason != decode.Valid {
			continue
		}
		if in.Length == 0 {
			t.Fatalf("% x: valid and empty", code)
		}
		if decode.Decode(&again, code[:in.Length], mode, p); again != in {
			t.Fatalf("% x: %+v with more bytes, %+v without", code, in, again)
		}
		if in.Text() == "" {
			t.Fatalf("% x: no text", code)
		}
		in.Shape(code)
	}
}

func TestDecodeAllocatesNothing(t *testing.T) {
	p := allFeatures(isa.Intel)
	code := unhex(t, "6448c74488f005000000")
	var in decode.Inst
	if n := testing.AllocsPerRun(100, func() { decode.Decode(&in, code, x86.Long64, p) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func TestShape(t *testing.T) {
	p := allFeatures(isa.Intel)
	shape := func(s string) decode.Shape {
		var in decode.Inst
		code := unhex(t, s)
		if r := decode.Decode(&in, code, x86.Long64, p); r != decode.Valid {
			t.Fatalf("%s: %v", s, r)
		}
		return in.Shape(code)
	}
	same := [][2]string{
		{"8b8010000000", "8b80ffffffff"},
		{"b801000000", "b802000000"},
		{"67642e8b00", "2e64678b00"},
		{"90", "9090"},
	}
	for _, s := range same {
		if shape(s[0]) != shape(s[1]) {
			t.Errorf("%s and %s differ", s[0], s[1])
		}
	}
	differ := [][2]string{
		{"8b00", "8b01"},
		{"8b00", "408b00"},
		{"8b00", "2e8b00"},
		{"8b00", "668b00"},
		{"8b0420", "8b0460"},
		{"c4e270f2c3", "c4e268f2c3"},
		{"f6c001", "f6c801"},
	}
	for _, s := range differ {
		if shape(s[0]) == shape(s[1]) {
			t.Errorf("%s and %s are the same", s[0], s[1])
		}
	}
}

func TestAddressAndTarget(t *testing.T) {
	p := allFeatures(isa.Intel)
	var gpr [x86.NumGPR]uint64
	gpr[x86.RAX], gpr[x86.RCX] = 0xffff_ffff_0000_0010, 0x1000
	const rip = 0x1_0000_0000
	addresses := []struct {
		code string
		want uint64
	}{
		{"8b4488f0", 0xffff_ffff_0000_4000},
		{"678b4488f0", 0x4000},
		{"8b0510000000", rip + 6 + 0x10},
		{"c70510000000ffffffff", rip + 10 + 0x10},
		{"678b0510000000", 7 + 0x10},
		{"a11122334455667788", 0x8877665544332211},
	}
	var in decode.Inst
	for _, a := range addresses {
		decode.Decode(&in, unhex(t, a.code), x86.Long64, p)
		if got := in.EffectiveAddress(&gpr, rip); got != a.want {
			t.Errorf("%s: address %#x, want %#x", a.code, got, a.want)
		}
	}
	targets := []struct {
		code   string
		vendor isa.Vendor
		want   uint64
	}{
		{"ebfe", isa.Intel, rip},
		{"e9fbffffff", isa.Intel, rip},
		{"66e9faffffff", isa.Intel, rip},
		{"66e9fcff", isa.AMD, 0},
	}
	for _, tt := range targets {
		decode.Decode(&in, unhex(t, tt.code), x86.Long64, allFeatures(tt.vendor))
		if got, ok := in.Target(rip); !ok || got != tt.want {
			t.Errorf("%s: target %#x, want %#x", tt.code, got, tt.want)
		}
	}
	if decode.Decode(&in, unhex(t, "ffe0"), x86.Long64, p); in.Row == 0 {
		t.Fatal("ffe0 is invalid")
	}
	if _, ok := in.Target(rip); ok {
		t.Error("JMP RAX has a displacement")
	}
}

func TestUncovered(t *testing.T) {
	p := allFeatures(isa.Intel)
	tests := []struct{ code, group string }{
		{"62f27e485ec1", "ACE"},
		{"62f6fc4895c1", "ACE"},
		{"62f17cc05800", ""},
		{"6662f27e485ec1", ""},
		{"62f67c4895c1", "ACE"},
		{"0f04", ""},
		{"c4e2fb4bc0", ""},
		{"c4e2fb49c0", "ACE"},
	}
	for _, tt := range tests {
		var in decode.Inst
		code := append(unhex(t, tt.code), make([]byte, 8)...)
		if r := decode.Decode(&in, code, x86.Long64, p); r != decode.Undefined {
			t.Errorf("%s: %v, want undefined", tt.code, r)
		}
		if got := in.Uncovered(code); got != tt.group {
			t.Errorf("%s: group %q, want %q", tt.code, got, tt.group)
		}
	}
}
