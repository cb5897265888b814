//lint:file-ignore U1000 the functions of the runner are referred to from assembler alone

package silicon

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"unsafe"
)

// runnerText returns where the functions of the runner lie in this program.
func runnerText() (start, loop, enter, land, handler, tail unsafe.Pointer)

// runnerStart is a function of the runner. It must not be called.
func runnerStart()

// runnerLoop is a function of the runner. It must not be called.
func runnerLoop()

// runnerEnter is a function of the runner. It must not be called.
func runnerEnter()

// runnerLand is a function of the runner. It must not be called.
func runnerLand()

// runnerHandler is a function of the runner. It must not be called.
func runnerHandler()

// runnerTail is a function of the runner. It must not be called.
func runnerTail()

// endMarker is what ENDMARK of the assembler leaves after each function.
var endMarker = func() []byte {
	m := []byte{0x0f, 0x0b}
	m = binary.LittleEndian.AppendUint32(m, endOfText)
	return binary.LittleEndian.AppendUint32(m, endOfText)
}()

// copyText puts the runner's functions in their places in the image and points
// them at the child's base. The places are far enough apart or it fails.
func copyText(image []byte, base uint64) error {
	start, loop, enter, land, handler, tail := runnerText()
	for _, f := range []struct {
		name      string
		addr      unsafe.Pointer
		from, end int
	}{
		{"start", start, offStart, offLoop},
		{"loop", loop, offLoop, offEnter},
		{"enter", enter, offEnter, offLand},
		{"land", land, offLand, offHandler},
		{"handler", handler, offHandler, offTail},
		{"tail", tail, offTail, offTextEnd},
	} {
		text := unsafe.Slice((*byte)(f.addr), f.end-f.from)
		n := bytes.Index(text, endMarker)
		if n < 0 {
			return fmt.Errorf("silicon: runner's %s: no end marker within %#x bytes", f.name, len(text))
		}
		copy(image[f.from:f.end], text[:n])
	}
	return patch(image[:offTextEnd], base)
}

// patch replaces the placeholders of the runner's text: the upper half of every
// address, and the displacement of the two RIP-relative jumps.
func patch(text []byte, base uint64) error {
	var magic, cell [4]byte
	binary.LittleEndian.PutUint32(magic[:], uint32(uint64(baseMagic)>>32))
	binary.LittleEndian.PutUint32(cell[:], ripCell)
	addresses, jumps := 0, 0
	for i := 0; i+4 <= len(text); i++ {
		switch {
		case bytes.Equal(text[i:i+4], magic[:]):
			binary.LittleEndian.PutUint32(text[i:], uint32(base>>32))
			addresses++
		case bytes.Equal(text[i:i+4], cell[:]):
			target := offPrivate + int(unsafe.Offsetof(private{}.cell))
			binary.LittleEndian.PutUint32(text[i:], uint32(int32(target-(i+4))))
			jumps++
		}
	}
	if addresses == 0 || jumps != 2 {
		return fmt.Errorf("silicon: runner's text has %d addresses and %d jumps to patch, expected some and 2", addresses, jumps)
	}
	return nil
}
