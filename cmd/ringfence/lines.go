package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
)

// lineReader reads lines of a bounded length, and goes on after one that is
// longer.
type lineReader struct {
	r *bufio.Reader
	// idle is called before a read that may block, so that a program that
	// waits for its answers gets them.
	idle func() error
	max  int
	// number counts the lines read so far, from 1.
	number int
}

// errLineTooLong is the answer to a line longer than the limit; the reader
// stands after it.
type errLineTooLong struct{ max int }

func (e errLineTooLong) Error() string {
	return fmt.Sprintf("line longer than %d bytes", e.max)
}

// newLineReader returns a reader of lines of at most limit bytes. Reading ends with
// the context's error when it is done, even while r blocks.
func newLineReader(ctx context.Context, r io.Reader, limit int, idle func() error) *lineReader {
	// Two more for the line's end, CR LF.
	return &lineReader{r: bufio.NewReaderSize(&interruptible{ctx: ctx, r: r}, limit+2), max: limit, idle: idle}
}

// next returns the next line without its end, valid until the next call. It
// returns io.EOF after the last, and errLineTooLong for a line that was
// skipped.
func (l *lineReader) next() ([]byte, error) {
	if l.r.Buffered() == 0 && l.idle != nil {
		if err := l.idle(); err != nil {
			return nil, err
		}
	}
	line, err := l.r.ReadSlice('\n')
	if errors.Is(err, io.EOF) && len(line) == 0 {
		return nil, io.EOF
	}
	l.number++
	for errors.Is(err, bufio.ErrBufferFull) {
		line = nil
		if _, err = l.r.ReadSlice('\n'); err == nil || errors.Is(err, io.EOF) {
			return nil, errLineTooLong{l.max}
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	line = bytes.TrimSuffix(line, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	if len(line) > l.max {
		return nil, errLineTooLong{l.max}
	}
	return line, nil
}

// interruptible is a reader whose Read returns when the context is done: a
// read of a terminal or a pipe cannot be called off, but it need not be waited
// for.
type interruptible struct {
	ctx  context.Context
	r    io.Reader
	buf  []byte
	done chan readResult
	left []byte
	err  error
}

type readResult struct {
	n   int
	err error
}

// Read implements io.Reader.
func (i *interruptible) Read(p []byte) (int, error) {
	if len(i.left) == 0 {
		if i.err != nil {
			return 0, i.err
		}
		if err := i.ctx.Err(); err != nil {
			return 0, err
		}
		if i.buf == nil {
			i.buf = make([]byte, 64<<10)
			i.done = make(chan readResult, 1)
		}
		go func() {
			n, err := i.r.Read(i.buf)
			i.done <- readResult{n, err}
		}()
		select {
		case <-i.ctx.Done():
			return 0, i.ctx.Err()
		case res := <-i.done:
			i.left, i.err = i.buf[:res.n], res.err
		}
	}
	n := copy(p, i.left)
	i.left = i.left[n:]
	if n == 0 {
		return 0, i.err
	}
	return n, nil
}
