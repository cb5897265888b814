package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestErrors: each bad line is answered with file, line and what was
// expected.
func TestErrors(t *testing.T) {
	tests := []struct{ name, line, want string }{
		{"columns", "01 /r | ADD r/m32, r32", "2 columns, want 8"},
		{"mode", "01 /r | ADD r/m32, r32 | 128 | rw r | - | - | - | -", `mode "128": want 16, 32 or 64`},
		{"no mode", "01 /r | ADD r/m32, r32 | - | rw r | - | - | - | -", "no mode"},
		{"opcode", "XX /r | ADD r/m32, r32 | 64 | rw r | - | - | - | -", `opcode "XX"`},
		{"suffix", "01 /9 | ADD r/m32, r32 | 64 | rw r | - | - | - | -", `"/9" in opcode column`},
		{"operand", "01 /r | ADD r/m33, r32 | 64 | rw r | - | - | - | -", `operand "r/m33"`},
		{"access count", "01 /r | ADD r/m32, r32 | 64 | rw | - | - | - | -", "2 operands and 1 accesses"},
		{"access", "01 /r | ADD r/m32, r32 | 64 | rw x | - | - | - | -", `access "x"`},
		{"attribute", "01 /r | ADD r/m32, r32 | 64 | rw r | lokc | - | - | -", `unknown attribute "lokc"`},
		{"feature", "01 /r | ADD r/m32, r32 | 64 | rw r | - | BMI9 | - | -", `feature "BMI9"`},
		{"flag", "01 /r | ADD r/m32, r32 | 64 | rw r | - | - | XF=m | -", `"XF=m"`},
		{"flag letter", "01 /r | ADD r/m32, r32 | 64 | rw r | - | - | OF=q | -", "OF=q"},
		{"condition", "01 /r | ADD r/m32, r32 | 64 | rw r | - | - | OF=u:never | -", "unknown condition"},
		{"implicit", "01 /r | ADD r/m32, r32 | 64 | rw r | - | - | - | R99=r", `"R99" is not known`},
		{"partial", "01 /r | ADD r/m32, r32 | 64 | rw r | partial=all | - | - | -", `partial="all"`},
		{"no ModRM", "01 | ADD r/m32, r32 | 64 | rw r | - | - | - | -", "needs a ModRM byte"},
		{"immediate missing", "81 /0 | ADD r/m32, imm32 | 64 | rw r | - | - | - | -", "no immediate in the opcode column"},
		{"immediate size", "81 /0 ib | ADD r/m32, imm32 | 64 | rw r | - | - | - | -", "operand 2 is 4 bytes"},
		{"immediate left", "01 /r ib | ADD r/m32, r32 | 64 | rw r | - | - | - | -", "1 immediates are left over"},
		{"VEX field", "VEX.L9.0F.W0 10 /r | VX xmm1, xmm2 | 64 | w r | vector | - | - | -", `field "L9"`},
		{"VEX map", "VEX.128.66.W0 10 /r | VX xmm1, xmm2 | 64 | w r | vector | - | - | -", "names no opcode map"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "t.txt")
			if err := os.WriteFile(path, []byte("# comment\n"+tt.line+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := parseTable(path, nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "t.txt:2:") {
				t.Errorf("error %v, want t.txt:2: and %q", err, tt.want)
			}
		})
	}
}

func parseLines(t *testing.T, lines ...string) []*row {
	t.Helper()
	path := filepath.Join(t.TempDir(), "t.txt")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	rows, err := parseTable(path, []feature{{name: "BMI1"}})
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range rows {
		r.id = i + 1
	}
	return rows
}

func TestIndexErrors(t *testing.T) {
	const (
		add   = "01 /r | ADD r/m32, r32 | 64 | rw r | - | - | - | -"
		again = "01 /r | OR r/m32, r32 | 64 | rw r | - | - | - | -"
		bare  = "01 | NOP | 64 | - | - | - | - | -"
		dead  = "01 /r | ADD r/m32, r32 | 64 | rw r | a16 | - | - | -"
	)
	tests := []struct {
		name, want string
		lines      []string
	}{
		{"collision", "claim the same bytes", []string{add, again}},
		{"ModRM or not", "has a ModRM byte where", []string{add, bare}},
		{"unreachable", "no bytes select this row", []string{dead}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := buildIndex(parseLines(t, tt.lines...))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestFallback(t *testing.T) {
	rows := parseLines(t,
		"0F BC /r | BSF r32, r/m32 | 64 | rcw r | - | - | - | -",
		"F3 0F BC /r | TZCNT r32, r/m32 | 64 | w r | - | BMI1 | - | -")
	if _, err := buildIndex(rows); err != nil {
		t.Fatal(err)
	}
	if rows[1].fallback != rows[0] || rows[0].fallback != nil {
		t.Errorf("fallbacks %v and %v, want BSF for TZCNT alone", rows[0].fallback, rows[1].fallback)
	}
}

func TestParseFeature(t *testing.T) {
	f, err := parseFeature("XSAVEC | D.1H:EAX[1]")
	if want := (feature{"XSAVEC", 0xd, 1, 0, 1, 1, 1}); err != nil || f != want {
		t.Errorf("%+v, %v; want %+v", f, err, want)
	}
	f, err = parseFeature("AVX10_2 | 24H:EBX[7:0]>=2")
	if want := (feature{"AVX10_2", 0x24, 0, 1, 0, 8, 2}); err != nil || f != want {
		t.Errorf("%+v, %v; want %+v", f, err, want)
	}
	if f, err = parseFeature("TDX | none"); err != nil || f.width != 0 {
		t.Errorf("%+v, %v; want no field", f, err)
	}
	for _, bad := range []string{"X | 1H:EAX[0:7]>=1", "X", "X | 1", "X | 1H:ESI[1]", "X | 1H:EAX[32]", "X | ZH:EAX[1]", "X | 1H:EAX"} {
		if _, err := parseFeature(bad); err == nil {
			t.Errorf("%q has no error", bad)
		}
	}
}

// TestGenerated: what is in the repository is what the tables give.
func TestGenerated(t *testing.T) {
	dir := t.TempDir()
	isa, decode := filepath.Join(dir, "isa"), filepath.Join(dir, "decode")
	for _, d := range []string{isa, decode} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	tables, err := filepath.Glob("../../*.txt")
	if err != nil || len(tables) == 0 {
		t.Fatalf("no tables: %v", err)
	}
	for _, path := range tables {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(isa, filepath.Base(path)), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := run(isa, decode); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"../../zrows.go", "../../zmnemonics.go", "../../zfeatures.go", "../../../decode/zindex.go"} {
		have, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		sub := isa
		if strings.HasSuffix(path, "zindex.go") {
			sub = decode
		}
		want, err := os.ReadFile(filepath.Join(sub, filepath.Base(path)))
		if err != nil {
			t.Fatal(err)
		}
		if string(have) != string(want) {
			t.Errorf("%s is not what the tables give: run go generate ./emulator/isa", path)
		}
	}
}
