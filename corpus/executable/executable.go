// Package executable finds machine code to sweep: the code sections of the
// seed executables and of the go command. Only the distiller and tests use it.
package executable

import (
	"crypto/sha256"
	"debug/elf"
	"debug/macho"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// The modules that seeds come from, pinned. The first has no tagged version
// and must never be asked for @latest.
const (
	SeedModule  = "github.com/dvyukov/go-fuzz-corpus"
	SeedVersion = "v0.0.0-20190920191254-c42c1b2914c7"
	ArchModule  = "golang.org/x/arch"
	ArchVersion = "v0.32.0"
)

// Section is a section of 64-bit x86 code.
type Section struct {
	// Name is the section's, as ".text".
	Name string
	// Address is where it is linked to run.
	Address uint64
	Code    []byte
}

// ErrNotX86 means that a file is an executable for another machine.
var ErrNotX86 = errors.New("not a 64-bit x86 executable")

// File is an executable's code.
type File struct {
	// Path is where it was read; SHA256 is the hash of the whole file, in hex.
	Path, SHA256 string
	Sections     []Section
}

// Open reads the code sections of an ELF or Mach-O file.
func Open(path string) (*File, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	f := &File{Path: path, SHA256: hex.EncodeToString(sum[:])}
	r := strings.NewReader(string(data))
	if strings.HasPrefix(string(data), elf.ELFMAG) {
		e, err := elf.NewFile(r)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		f.Sections, err = elfSections(e)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return f, nil
	}
	m, err := macho.NewFile(r)
	if err != nil {
		return nil, fmt.Errorf("%s: neither ELF nor Mach-O: %w", path, err)
	}
	f.Sections, err = machoSections(m)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

func elfSections(f *elf.File) ([]Section, error) {
	if f.Machine != elf.EM_X86_64 || f.Class != elf.ELFCLASS64 {
		return nil, fmt.Errorf("%w: ELF machine %v", ErrNotX86, f.Machine)
	}
	var out []Section
	for _, s := range f.Sections {
		if s.Type != elf.SHT_PROGBITS || s.Flags&elf.SHF_EXECINSTR == 0 {
			continue
		}
		code, err := s.Data()
		if err != nil {
			return nil, fmt.Errorf("section %s: %w", s.Name, err)
		}
		out = append(out, Section{Name: s.Name, Address: s.Addr, Code: code})
	}
	return out, nil
}

// Mach-O section attributes that mark code (mach-o/loader.h).
const (
	machoPureInstructions = 0x80000000
	machoSomeInstructions = 0x00000400
	machoZeroFill         = 0x1
	machoTypeMask         = 0xff
)

func machoSections(f *macho.File) ([]Section, error) {
	if f.Cpu != macho.CpuAmd64 {
		return nil, fmt.Errorf("%w: Mach-O CPU %v", ErrNotX86, f.Cpu)
	}
	var out []Section
	for _, s := range f.Sections {
		code := s.Flags&(machoPureInstructions|machoSomeInstructions) != 0 || s.Name == "__text"
		if !code || s.Flags&machoTypeMask == machoZeroFill {
			continue
		}
		data, err := s.Data()
		if err != nil {
			return nil, fmt.Errorf("section %s: %w", s.Name, err)
		}
		out = append(out, Section{Name: s.Name, Address: s.Addr, Code: data})
	}
	return out, nil
}

// ModuleDir returns the folder of a module in the module cache and downloads
// it if it is not there.
func ModuleDir(path, version string) (string, error) {
	cmd := exec.Command("go", "mod", "download", "-json", path+"@"+version)
	out, err := cmd.Output()
	var m struct{ Dir, Error string }
	if jerr := json.Unmarshal(out, &m); jerr != nil || m.Dir == "" {
		return "", fmt.Errorf("go mod download %s@%s: %s: %w", path, version, m.Error, errors.Join(err, jerr))
	}
	return m.Dir, nil
}

// GoRoot returns GOROOT of the go command in PATH, and its version.
func GoRoot() (root, version string, err error) {
	out, err := exec.Command("go", "env", "GOROOT", "GOVERSION").Output()
	if err != nil {
		return "", "", fmt.Errorf("go env: %w", err)
	}
	f := strings.Fields(string(out))
	if len(f) != 2 {
		return "", "", fmt.Errorf("go env GOROOT GOVERSION: want two words, got %q", out)
	}
	return f[0], f[1], nil
}

// GoCommand returns the go command's own binary.
func GoCommand() (*File, error) {
	root, _, err := GoRoot()
	if err != nil {
		return nil, err
	}
	name := "go"
	if runtime.GOOS == "windows" {
		name = "go.exe"
	}
	return Open(filepath.Join(root, "bin", name))
}

// SeedFiles returns the x86-64 executables of the seed module: the ELF files,
// then the Mach-O ones, each by name. Files of its folders that are no x86-64
// executables (fuzzing inputs that are broken on purpose) are left out.
func SeedFiles() (elfs, machos []*File, err error) {
	dir, err := ModuleDir(SeedModule, SeedVersion)
	if err != nil {
		return nil, nil, err
	}
	if elfs, err = openAll(filepath.Join(dir, "elf", "corpus")); err != nil {
		return nil, nil, err
	}
	if machos, err = openAll(filepath.Join(dir, "macho", "corpus")); err != nil {
		return nil, nil, err
	}
	if len(elfs) == 0 || len(machos) == 0 {
		return nil, nil, fmt.Errorf("%s: want ELF and Mach-O executables, found %d and %d", dir, len(elfs), len(machos))
	}
	return elfs, machos, nil
}

func openAll(dir string) ([]*File, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []*File
	for _, e := range entries {
		f, err := Open(filepath.Join(dir, e.Name()))
		var format *elf.FormatError
		var mformat *macho.FormatError
		if errors.Is(err, ErrNotX86) || errors.As(err, &format) || errors.As(err, &mformat) {
			continue
		}
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

// Sweep walks code from its start and yields each instruction (its offset and
// bytes). length returns the length of the first instruction of its argument,
// or 0 where there is none; the sweep then steps over one byte, as data and
// padding between functions want it. The yielded slice is a view of code.
func Sweep(code []byte, length func([]byte) int, yield func(offset int, instruction []byte) bool) {
	for i := 0; i < len(code); {
		n := length(code[i:min(len(code), i+15)])
		if n <= 0 || i+n > len(code) {
			i++
			continue
		}
		if !yield(i, code[i:i+n:i+n]) {
			return
		}
		i += n
	}
}
