// Command distil writes corpus/seeds.bin: the distinct encodings of the seed
// executables, of Go's assembler test data, of x86asm's test data and of the
// go command. Run it from the repository's root:
//
//	go run ./corpus/internal/distil [-o corpus/seeds.bin] [-check]
//
// The same sources give the same bytes. -check writes nothing and fails if the
// file differs.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"sort"

	"github.com/seed-4e121ece/ringfence/corpus"
	"github.com/seed-4e121ece/ringfence/corpus/executable"
)

func main() {
	out := flag.String("o", "corpus/seeds.bin", "file to write")
	check := flag.Bool("check", false, "only compare the file with what would be written")
	flag.Parse()
	if err := run(*out, *check); err != nil {
		fmt.Fprintln(os.Stderr, "distil:", err)
		os.Exit(1)
	}
}

func run(out string, check bool) error {
	var d distiller
	d.seen = map[key]bool{}
	if err := d.readAll(); err != nil {
		return err
	}
	data := d.format()
	for _, s := range d.header.Sources {
		fmt.Fprintf(os.Stderr, "%-10s %9d instructions, %6d new encodings  (%s)\n", s.Name, s.Instructions, s.Seeds, s.Version)
	}
	fmt.Fprintf(os.Stderr, "%d seeds, %d bytes\n", len(d.seeds), len(data))
	if !check {
		return os.WriteFile(out, data, 0o644)
	}
	have, err := os.ReadFile(out)
	if err != nil {
		return err
	}
	if !bytes.Equal(have, data) {
		return fmt.Errorf("%s differs from what its sources give (%d bytes, want %d): run make corpus", out, len(have), len(data))
	}
	return nil
}

// distiller collects the first instruction of each encoding.
type distiller struct {
	header corpus.Header
	seeds  []corpus.Seed
	seen   map[key]bool
}

// begin starts a source; what is added next counts as its.
func (d *distiller) begin(name, version string) {
	d.header.Sources = append(d.header.Sources, corpus.Source{Name: name, Version: version})
}

// add takes one instruction of the current source.
func (d *distiller) add(code []byte, mode int) {
	s := &d.header.Sources[len(d.header.Sources)-1]
	s.Instructions++
	k := keyOf(code, mode)
	if d.seen[k] {
		return
	}
	d.seen[k] = true
	s.Seeds++
	d.seeds = append(d.seeds, corpus.Seed{Mode: mode, Bytes: bytes.Clone(code), Source: len(d.header.Sources) - 1})
}

// sweep takes every instruction of an executable's code.
func (d *distiller) sweep(files ...*executable.File) {
	for _, f := range files {
		for _, s := range f.Sections {
			executable.Sweep(s.Code, length64, func(_ int, code []byte) bool {
				d.add(code, 64)
				return true
			})
		}
	}
}

func (d *distiller) readAll() error {
	elfs, machos, err := executable.SeedFiles()
	if err != nil {
		return err
	}
	d.begin("elf", executable.SeedModule+"@"+executable.SeedVersion)
	d.sweep(elfs...)
	d.begin("macho", executable.SeedModule+"@"+executable.SeedVersion)
	d.sweep(machos...)

	root, version, err := executable.GoRoot()
	if err != nil {
		return err
	}
	d.begin("goasm", version)
	if err := d.readGoAsm(root); err != nil {
		return err
	}

	dir, err := executable.ModuleDir(executable.ArchModule, executable.ArchVersion)
	if err != nil {
		return err
	}
	d.begin("x86asm", executable.ArchModule+"@"+executable.ArchVersion)
	if err := d.readX86asm(dir); err != nil {
		return err
	}

	self, err := executable.GoCommand()
	if err != nil {
		return err
	}
	d.begin("gocommand", version+",sha256:"+self.SHA256[:16])
	d.sweep(self)
	return nil
}

func (d *distiller) format() []byte {
	sort.SliceStable(d.seeds, func(i, j int) bool {
		a, b := d.seeds[i], d.seeds[j]
		if a.Source != b.Source {
			return a.Source < b.Source
		}
		if a.Mode != b.Mode {
			return a.Mode < b.Mode
		}
		return bytes.Compare(a.Bytes, b.Bytes) < 0
	})
	d.header.Count = len(d.seeds)
	return corpus.Format(d.header, d.seeds)
}
