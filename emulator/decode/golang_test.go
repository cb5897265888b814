package decode_test

import (
	"bufio"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// goEncoding is an instruction of the Go assembler's test data: its name there,
// and one of the encodings that the file lists.
type goEncoding struct {
	op   string
	code []byte
	mode x86.Mode
}

// goEncodings reads the test data of the Go assembler.
func goEncodings(t *testing.T) (out []goEncoding) {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	require.NoError(t, err)
	dir := filepath.Join(strings.TrimSpace(string(root)), "src", "cmd", "asm", "internal", "asm", "testdata")
	for _, pattern := range []string{"amd64enc*.s", "avx512enc/*.s", "386enc.s"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		require.NoError(t, err)
		mode := x86.Long64
		if pattern == "386enc.s" {
			mode = x86.Compat32
		}
		for _, name := range files {
			f, err := os.Open(name)
			require.NoError(t, err)
			for s := bufio.NewScanner(f); s.Scan(); {
				out = append(out, goLine(s.Text(), mode)...)
			}
			require.NoError(t, f.Close())
		}
	}
	return out
}

// goLine reads a line: an instruction, and in the comment its encodings, joined
// by "or". Other comments are prose.
func goLine(line string, mode x86.Mode) (out []goEncoding) {
	source, comment, _ := strings.Cut(line, "//")
	op, _, _ := strings.Cut(strings.TrimSpace(source), " ")
	op, _, _ = strings.Cut(op, ".") // of masking and rounding
	for _, word := range strings.Split(comment, " or ") {
		code, err := hex.DecodeString(strings.TrimSpace(word))
		if err != nil || len(code) == 0 || op == "" {
			return nil
		}
		out = append(out, goEncoding{op, code, mode})
	}
	return out
}

// goQuirks are the faults of the file.
var goQuirks = []struct {
	name   string
	wrong  func(e *goEncoding) bool
	reason string
}{
	{
		"no-such-length", func(e *goEncoding) bool {
			return (e.op == "VMOVHPD" || e.op == "VMOVLPD") && e.code[0] == 0x62 && e.code[3]&0x60 != 0
		},
		"VMOVHPD and VMOVLPD exist as EVEX.128 alone (SDM vol. 2, MOVHPD, MOVLPD); with another L'L, as the file has them, the CPU says #UD",
	},
	{
		"ud1-without-modrm", func(e *goEncoding) bool { return e.op == "UD1" && len(e.code) == 2 },
		"UD1 has a ModRM byte (SDM vol. 2, UD)",
	},
}

// TestGoAssembler decodes every encoding of the Go assembler's test data, and
// wants its length and its name, or a reason why the file is wrong.
func TestGoAssembler(t *testing.T) {
	all := goEncodings(t)
	if len(all) == 0 {
		t.Skip("this Go has no sources of its assembler's tests")
	}
	p := allFeatures(isa.Intel)
	absorbed := make([]int, len(goQuirks))
next:
	for i := range all {
		e := &all[i]
		var in decode.Inst
		reason := decode.Decode(&in, e.code, e.mode, p)
		for k := range goQuirks {
			if goQuirks[k].wrong(e) {
				require.NotEqual(t, decode.Valid, reason, "%s: % x", e.op, e.code)
				absorbed[k]++
				continue next
			}
		}
		require.Equal(t, decode.Valid, reason, "%s: % x", e.op, e.code)
		require.Len(t, e.code, int(in.Length), "%s: % x", e.op, e.code)
		name := isa.Get(in.Row).Mnemonic.String()
		require.True(t, goNames(e.op, name), "%s: % x is %s", e.op, e.code, name)
	}
	t.Logf("%d encodings", len(all))
	for k, n := range absorbed {
		require.NotZero(t, n, "%s explains nothing", goQuirks[k].name)
		t.Logf("%6d absorbed by %s: %s", n, goQuirks[k].name, goQuirks[k].reason)
	}
}

// goNames says whether the Go assembler's name is that of the manual's
// mnemonic: the same, or with a letter for the operand's size behind it, with L
// for the doubleword's D, with Go's words for
// conditions, or listed.
func goNames(op, name string) bool {
	last := len(op) - 1
	switch {
	case op == name, op[:last] == name && strings.IndexByte("BWLQXYZ", op[last]) >= 0:
		return true
	case sameButLetters(op, name):
		return true
	}
	for _, stem := range []string{"CMOVW", "CMOVL", "CMOVQ", "SET", "J"} {
		if cc, ok := strings.CutPrefix(op, stem); ok && goConditions[cc] != "" {
			return strings.TrimRight(stem, "WLQ")+goConditions[cc] == name
		}
	}
	return strings.Contains(" "+goAliases[op]+" ", " "+name+" ")
}

// sameButLetters allows L for D.
func sameButLetters(op, name string) bool {
	if len(op) != len(name) {
		return false
	}
	for i := range op {
		if op[i] != name[i] && (op[i] != 'L' || name[i] != 'D') {
			return false
		}
	}
	return true
}

// goConditions are the manual's conditions by Go's.
var goConditions = map[string]string{
	"CC": "AE", "CS": "B", "EQ": "E", "GE": "GE", "GT": "G", "HI": "A", "LE": "LE", "LS": "BE", "LT": "L", "MI": "S", "NE": "NE",
	"OC": "NO", "OS": "O", "PC": "NP", "PL": "NS", "PS": "P",
}

// goAliases are the manual's names by Go's where no rule gives them.
var goAliases = map[string]string{
	"CVTPD2PL": "CVTPD2DQ", "CVTPL2PD": "CVTDQ2PD", "CVTPL2PS": "CVTDQ2PS", "CVTPS2PL": "CVTPS2DQ", "CVTSD2SL": "CVTSD2SI",
	"CVTSL2SD": "CVTSI2SD", "CVTSL2SS": "CVTSI2SS", "CVTSQ2SD": "CVTSI2SD", "CVTSQ2SS": "CVTSI2SS", "CVTSS2SL": "CVTSS2SI",
	"CVTTPD2PL": "CVTTPD2DQ", "CVTTPS2PL": "CVTTPS2DQ", "CVTTSD2SL": "CVTTSD2SI", "CVTTSS2SL": "CVTTSS2SI", "FADDD": "FADD",
	"FADDDP": "FADDP", "FCOMD": "FCOM", "FDIVD": "FDIV FDIVR", "ICEBP": "INT1", "IMUL3L": "IMUL",
	"IMUL3Q": "IMUL", "IMUL3W": "IMUL", "MASKMOVOU": "MASKMOVDQU", "MOVBLSX": "MOVSX", "MOVBLZX": "MOVZX",
	"MOVBQSX": "MOVSX", "MOVBQZX": "MOVZX", "MOVBWSX": "MOVSX", "MOVBWZX": "MOVZX", "MOVLQSX": "MOVSXD",
	"MOVNTO": "MOVNTDQ", "MOVO": "MOVDQA", "MOVOU": "MOVDQU", "MOVQ": "MOVD MOVDQ2Q", "MOVQOZX": "MOVQ2DQ",
	"MOVSWW": "MOVSX", "MOVWLSX": "MOVSX", "MOVWLZX": "MOVZX", "MOVWQSX": "MOVSX MOVSXD", "MOVWQZX": "MOVZX",
	"MOVZWW": "MOVZX", "PSLLO": "PSLLDQ", "PSRLO": "PSRLDQ", "SHLQ": "SHLD", "SHLW": "SHLD",
	"SHRQ": "SHRD", "SHRW": "SHRD", "SYSENTER64": "SYSENTER", "SYSEXIT64": "SYSEXIT", "XLAT": "XLATB",
}
