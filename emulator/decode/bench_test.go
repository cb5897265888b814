package decode_test

import (
	"debug/elf"
	"os/exec"
	"strings"
	"testing"

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
// code, in its order, and over one form of every row of the table.
func BenchmarkDecode(b *testing.B) {
	p := allFeatures(isa.Intel)
	b.Run("stream=go", func(b *testing.B) {
		text := goText(b)
		b.ReportAllocs()
		var in decode.Inst
		pos, invalid := 0, 0
		for b.Loop() {
			if len(text)-pos < 16 {
				pos = 0
			}
			if decode.Decode(&in, text[pos:pos+16], x86.Long64, p) != decode.Valid {
				invalid++
				pos++
				continue
			}
			pos += int(in.Length)
		}
		b.ReportMetric(float64(invalid)/float64(b.N), "invalid/op")
	})
}

func allFeatures(v isa.Vendor) *isa.Profile {
	return &isa.Profile{Name: "all", Vendor: v, Features: isa.AllFeatures(), VirtualBits: 48}
}
