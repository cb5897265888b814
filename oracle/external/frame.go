package external

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Version is the version of the protocol that this package speaks.
const Version = 1

// MaxFrame is the largest payload of a frame in bytes.
const MaxFrame = 16 << 20

// errFrame is a frame that cannot be one: the stream is of no more use.
var errFrame = errors.New("not a frame")

// writeFrame writes the length of the payload, 4 bytes little-endian, and the
// payload.
func writeFrame(w io.Writer, payload []byte) error {
	if len(payload) == 0 || len(payload) > MaxFrame {
		return fmt.Errorf("%w: %d bytes to send: want 1 to %d", errFrame, len(payload), MaxFrame)
	}
	var head [4]byte
	binary.LittleEndian.PutUint32(head[:], uint32(len(payload)))
	if _, err := w.Write(head[:]); err != nil {
		return err
	}
	_, err := w.Write(payload)
	return err
}

// readFrame reads a frame's payload into buf, which it grows. io.EOF means that
// the stream ended between frames.
func readFrame(r *bufio.Reader, buf []byte) ([]byte, error) {
	var head [4]byte
	if n, err := io.ReadFull(r, head[:]); err != nil {
		if n > 0 && errors.Is(err, io.ErrUnexpectedEOF) {
			return buf, fmt.Errorf("%w: %w: the stream ended after %d of the 4 bytes of a length", errFrame, err, n)
		}
		return buf, err
	}
	length := binary.LittleEndian.Uint32(head[:])
	if length == 0 || length > MaxFrame {
		return buf, fmt.Errorf("%w: a length of %d bytes (% x, %q): want 1 to %d", errFrame, length, head, head, MaxFrame)
	}
	// The length is a claim: memory is taken as the bytes arrive.
	buf = buf[:0]
	for len(buf) < int(length) {
		n := min(int(length)-len(buf), 64<<10)
		at := len(buf)
		buf = append(buf, make([]byte, n)...)
		if m, err := io.ReadFull(r, buf[at:]); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return buf, fmt.Errorf("%w: %w: the stream ended after %d of %d bytes", errFrame, io.ErrUnexpectedEOF, at+m, length)
			}
			return buf, err
		}
	}
	return buf, nil
}
