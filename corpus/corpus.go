// Package corpus holds the seeds: the distinct instruction encodings of real
// programs and of assembler test data, distilled into one embedded file, so
// that an installed command has seeds without a download.
//
// Two encodings are the same when opcode, prefixes, ModRM, SIB and operand
// sizes agree; the values of displacement and immediate do not count. The file
// is written by
//
//	go run ./corpus/internal/distil
//
// which is what `make corpus` does, and its header says what it was made from.
package corpus

import (
	_ "embed"
	"encoding/binary"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"sync"
)

// Seed is one instruction.
type Seed struct {
	// Mode is the width in bits of the code that the instruction stood in: 16,
	// 32 or 64.
	Mode int
	// Bytes is the instruction, 1 to 15 bytes. It is a view of the embedded
	// file and must not be changed.
	Bytes []byte
	// Source indexes Info().Sources.
	Source int
}

// Source is something that seeds were taken from.
type Source struct {
	// Name is short and stable, as "elf".
	Name string
	// Version pins the content: a module version, a Go version, a hash.
	Version string
	// Instructions is how many instructions were read.
	Instructions int
	// Seeds is how many encodings the source was the first to have.
	Seeds int
}

// Header is the provenance of the seeds.
type Header struct {
	// Count is the number of seeds.
	Count   int
	Sources []Source
}

// magic is the first line of the file; its number is the format's version.
const magic = "ringfence seeds 1"

//go:embed seeds.bin
var file []byte

// loaded parses the header once. The embedded file is checked by a test, so an
// error here is a bug of the build.
var loaded = sync.OnceValue(func() (l struct {
	header Header
	body   []byte
},
) {
	h, body, err := parse(file)
	if err != nil {
		panic("corpus: embedded seeds: " + err.Error())
	}
	l.header, l.body = h, body
	return l
})

// Info returns the provenance of the seeds.
func Info() Header { return loaded().header }

// Seeds yields every seed, in the file's order (by source, mode and bytes). It
// allocates nothing per seed.
func Seeds() iter.Seq[Seed] {
	return func(yield func(Seed) bool) { _ = walk(loaded().body, yield) }
}

// All returns every seed as a slice that belongs to the caller.
func All() []Seed {
	s := make([]Seed, 0, Info().Count)
	for seed := range Seeds() {
		s = append(s, seed)
	}
	return s
}

// The file is text up to an empty line, then binary:
//
//	ringfence seeds 1
//	count <seeds>
//	source <name> <version> <instructions> <seeds>     one a source
//
// and then groups until the end, each: source (1 byte), mode in bits (1 byte),
// number of seeds (4 bytes, little-endian), and the seeds, each a length byte
// and its bytes.

// groupHeader is the length in bytes of a group's header.
const groupHeader = 6

// parse splits the file into its header and body.
func parse(data []byte) (Header, []byte, error) {
	var h Header
	head, body, ok := strings.Cut(string(data[:min(len(data), 1<<16)]), "\n\n")
	if !ok {
		return h, nil, fmt.Errorf("no empty line ends the header")
	}
	_ = body
	lines := strings.Split(head, "\n")
	if lines[0] != magic {
		return h, nil, fmt.Errorf("line 1: want %q, got %q", magic, lines[0])
	}
	for i, line := range lines[1:] {
		if err := h.parseLine(line); err != nil {
			return h, nil, fmt.Errorf("line %d: %w", i+2, err)
		}
	}
	return h, data[len(head)+2:], nil
}

func (h *Header) parseLine(line string) error {
	f := strings.Fields(line)
	switch {
	case len(f) == 2 && f[0] == "count":
		n, err := strconv.Atoi(f[1])
		h.Count = n
		return err
	case len(f) == 5 && f[0] == "source":
		read, err := strconv.Atoi(f[3])
		if err != nil {
			return err
		}
		seeds, err := strconv.Atoi(f[4])
		if err != nil {
			return err
		}
		h.Sources = append(h.Sources, Source{Name: f[1], Version: f[2], Instructions: read, Seeds: seeds})
		return nil
	}
	return fmt.Errorf("want \"count N\" or \"source NAME VERSION INSTRUCTIONS SEEDS\", got %q", line)
}

// walk yields the seeds of a body. An error says at which byte it is broken.
func walk(body []byte, yield func(Seed) bool) error {
	for off := 0; off < len(body); {
		if len(body)-off < groupHeader {
			return fmt.Errorf("byte %d: a group's header has %d bytes, %d left", off, groupHeader, len(body)-off)
		}
		source, mode := int(body[off]), int(body[off+1])
		n := binary.LittleEndian.Uint32(body[off+2:])
		off += groupHeader
		for range n {
			if off >= len(body) || body[off] == 0 || body[off] > 15 || off+1+int(body[off]) > len(body) {
				return fmt.Errorf("byte %d: want a length from 1 to 15 and as many bytes", off)
			}
			end := off + 1 + int(body[off])
			if !yield(Seed{Mode: mode, Bytes: body[off+1 : end : end], Source: source}) {
				return nil
			}
			off = end
		}
	}
	return nil
}

// Format writes the file that holds the given seeds, which must be sorted by
// source and mode. It is the distiller's; Seeds reads what it writes.
func Format(h Header, seeds []Seed) []byte {
	var b []byte
	b = fmt.Appendf(b, "%s\ncount %d\n", magic, len(seeds))
	for _, s := range h.Sources {
		b = fmt.Appendf(b, "source %s %s %d %d\n", s.Name, s.Version, s.Instructions, s.Seeds)
	}
	b = append(b, '\n')
	for i := 0; i < len(seeds); {
		j := i
		for j < len(seeds) && seeds[j].Source == seeds[i].Source && seeds[j].Mode == seeds[i].Mode {
			j++
		}
		b = append(b, byte(seeds[i].Source), byte(seeds[i].Mode))
		b = binary.LittleEndian.AppendUint32(b, uint32(j-i))
		for ; i < j; i++ {
			b = append(b, byte(len(seeds[i].Bytes)))
			b = append(b, seeds[i].Bytes...)
		}
	}
	return b
}
