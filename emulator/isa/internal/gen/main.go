// Command gen reads the instruction tables of package isa and writes the Go
// files derived from them: the rows, mnemonics and features of package isa
// and the index of package decode.
//
// It is run by go generate in emulator/isa. It imports neither package, so
// that it works when what it wrote last does not compile.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"go/format"
	"os"
	"path/filepath"
	"slices"
	"sort"
)

func main() {
	dir := flag.String("isa", ".", "folder of package isa, with the tables")
	dec := flag.String("decode", "../decode", "folder of package decode")
	flag.Parse()
	if err := run(*dir, *dec); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// tables are the tables in the order of their rows.
var tables = []string{
	"gp.txt", "control.txt", "system.txt", "x87.txt", "sse.txt", "amd.txt", "avx.txt", "amx.txt", "opmask.txt", "mpx.txt",
	"evex0f.txt", "evex0f38.txt", "evex0f3a.txt", "fp16.txt", "avx10.txt", "apx.txt", "apxother.txt",
}

// run generates every file or none: nothing is written when a table has an
// error.
func run(isaDir, decodeDir string) error {
	features, err := parseFeatures(filepath.Join(isaDir, "features.txt"))
	if err != nil {
		return err
	}
	var rows []*row
	var errs []error
	for _, name := range tables {
		path := filepath.Join(isaDir, name)
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			continue
		}
		more, err := parseTable(path, features)
		errs = append(errs, err)
		rows = append(rows, more...)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	// EVEX rows come last: the decoder keeps their forms in a list of its own.
	slices.SortStableFunc(rows, func(a, b *row) int { return a.evexOrder() - b.evexOrder() })
	for i, r := range rows {
		r.id = i + 1
	}
	idx, err := buildIndex(rows)
	if err != nil {
		return err
	}
	files := map[string][]byte{
		filepath.Join(isaDir, "zrows.go"):      emitRows(rows),
		filepath.Join(isaDir, "zmnemonics.go"): emitMnemonics(rows),
		filepath.Join(isaDir, "zfeatures.go"):  emitFeatures(features),
		filepath.Join(decodeDir, "zindex.go"):  emitIndex(idx, rows),
	}
	return writeFiles(files)
}

func writeFiles(files map[string][]byte) error {
	paths := make([]string, 0, len(files))
	for p := range files {
		paths = append(paths, p)
	}
	sort.Strings(paths)
	for _, p := range paths {
		out, err := format.Source(files[p])
		if err != nil {
			return fmt.Errorf("%s: generated Go does not parse: %w", p, err)
		}
		if old, err := os.ReadFile(p); err == nil && bytes.Equal(old, out) {
			continue
		}
		if err := os.WriteFile(p, out, 0o644); err != nil {
			return err
		}
	}
	return nil
}
