package decode_test

import (
	"debug/elf"
	"math/rand"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/arch/x86/x86asm"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// goText returns the code of the go command, which every machine with a test
// run has (when it is an x86-64 ELF file).
func goText(tb testing.TB) []byte {
	tb.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		tb.Skipf("no go command: %v", err)
	}
	f, err := elf.Open(strings.TrimSpace(string(root)) + "/bin/go")
	if err != nil {
		tb.Skipf("the go command is not an ELF file: %v", err)
	}
	defer f.Close()
	s := f.Section(".text")
	if f.Machine != elf.EM_X86_64 || s == nil {
		tb.Skip("the go command is not x86-64 code")
	}
	text, err := s.Data()
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

// BenchmarkDecode measures nanoseconds an instruction: in the go command's
// code, in its order, and over one form of every row of the table. x86asm, of
// the same kind in Go, gets the same.
func BenchmarkDecode(b *testing.B) {
	p := allFeatures(isa.Intel)
	model := func() func(code []byte) int {
		var in decode.Inst
		return func(code []byte) int {
			if decode.Decode(&in, code, x86.Long64, p) != decode.Valid {
				return 0
			}
			return int(in.Length)
		}
	}
	peer := func() func(code []byte) int {
		return func(code []byte) int {
			inst, err := x86asm.Decode(code, 64)
			if err != nil {
				return 0
			}
			return inst.Len
		}
	}
	b.Run("stream=go", func(b *testing.B) {
		text := goText(b)
		b.Run("decoder=model", func(b *testing.B) { benchmarkText(b, text, model()) })
		b.Run("decoder=x86asm", func(b *testing.B) { benchmarkText(b, text, peer()) })
	})
	b.Run("stream=table", func(b *testing.B) {
		codes := tableStream(p)
		b.Run("decoder=model", func(b *testing.B) { benchmarkCodes(b, codes, model()) })
		b.Run("decoder=x86asm", func(b *testing.B) { benchmarkCodes(b, codes, peer()) })
	})
}

// benchmarkText decodes one instruction after the other; a byte that decode
// says begins none is left out.
func benchmarkText(b *testing.B, text []byte, decode func(code []byte) int) {
	b.ReportAllocs()
	pos, invalid := 0, 0
	for b.Loop() {
		if len(text)-pos < 16 {
			pos = 0
		}
		n := decode(text[pos : pos+16])
		if n == 0 {
			invalid++
			n = 1
		}
		pos += n
	}
	b.ReportMetric(float64(invalid)/float64(b.N), "invalid/op")
}

func benchmarkCodes(b *testing.B, codes [][16]byte, decode func(code []byte) int) {
	b.ReportAllocs()
	i, invalid := 0, 0
	for b.Loop() {
		if decode(codes[i][:]) == 0 {
			invalid++
		}
		if i++; i == len(codes) {
			i = 0
		}
	}
	b.ReportMetric(float64(invalid)/float64(b.N), "invalid/op")
}

// tableStream returns an encoding of every row of 64-bit mode, shuffled, each
// with what may follow it in memory.
func tableStream(p *isa.Profile) [][16]byte {
	r := rand.New(rand.NewSource(3))
	var codes [][16]byte
	for i := range isa.Rows() {
		row := &isa.Rows()[i]
		if row.Modes&isa.Mode64 == 0 || !reachable(row, x86.Long64, p.Vendor) {
			continue
		}
		var code [16]byte
		if copy(code[:], decode.Encode(nil, row.ID, x86.Long64, randomForm(r))) > 0 {
			codes = append(codes, code)
		}
	}
	r.Shuffle(len(codes), func(i, j int) { codes[i], codes[j] = codes[j], codes[i] })
	return codes
}

func allFeatures(v isa.Vendor) *isa.Profile {
	return &isa.Profile{Name: "all", Vendor: v, Features: isa.AllFeatures(), VirtualBits: 48}
}
