package main

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

// readGoAsm takes the bytes in the comments of Go's assembler tests: the
// expected encoding, or several joined by "or". Each is one instruction.
func (d *distiller) readGoAsm(goroot string) error {
	dir := filepath.Join(goroot, "src", "cmd", "asm", "internal", "asm", "testdata")
	files, err := filepath.Glob(filepath.Join(dir, "amd64enc*.s"))
	if err != nil {
		return err
	}
	more, err := filepath.Glob(filepath.Join(dir, "avx512enc", "*.s"))
	if err != nil {
		return err
	}
	files = append(files, more...)
	sort.Strings(files)
	if len(files) == 0 {
		return fmt.Errorf("%s: no amd64enc*.s", dir)
	}
	return eachLine(files, func(line string) error {
		_, comment, ok := strings.Cut(line, "//")
		if !ok {
			return nil
		}
		// A comment that is not bytes is prose.
		for _, word := range strings.Split(comment, " or ") {
			code, err := hex.DecodeString(strings.TrimSpace(word))
			if err != nil || len(code) == 0 || len(code) > 15 {
				return nil
			}
			d.add(code, 64)
		}
		return nil
	})
}

// readX86asm takes x86asm's decoding tests: bytes with a bar where the
// instruction ends, a mode, and what one syntax prints.
func (d *distiller) readX86asm(dir string) error {
	type test struct {
		code string
		mode int
	}
	seen := map[test]bool{}
	file := filepath.Join(dir, "x86", "x86asm", "testdata", "decode.txt")
	return eachLine([]string{file}, func(line string) error {
		f := strings.Fields(line)
		if len(f) < 3 || strings.HasPrefix(line, "#") {
			return nil
		}
		mode, err := strconv.Atoi(f[1])
		if err != nil {
			return fmt.Errorf("mode: %w", err)
		}
		head, _, ok := strings.Cut(f[0], "|")
		if !ok {
			return fmt.Errorf("no bar in %q", f[0])
		}
		code, err := hex.DecodeString(head)
		if err != nil {
			return err
		}
		// Three syntaxes, one instruction.
		if len(code) == 0 || len(code) > 15 || seen[test{head, mode}] {
			return nil
		}
		seen[test{head, mode}] = true
		d.add(code, mode)
		return nil
	})
}

func eachLine(files []string, take func(line string) error) error {
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		s := bufio.NewScanner(f)
		s.Buffer(nil, 1<<20)
		for n := 1; s.Scan(); n++ {
			if err := take(s.Text()); err != nil {
				f.Close()
				return fmt.Errorf("%s:%d: %w", name, n, err)
			}
		}
		err = s.Err()
		f.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}
