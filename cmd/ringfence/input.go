package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// source is an input of a command that reads lines: a file or standard input.
type source struct {
	// name is "-" for standard input.
	name string
	r    io.Reader
}

// place names a line of the source, as a compiler does.
func (s *source) place(line int) string {
	if s.name == "-" {
		return fmt.Sprintf("standard input, line %d", line)
	}
	return fmt.Sprintf("%s:%d", s.name, line)
}

// eachLine hands every line of the named files, or of standard input ("-", or no
// names), to do, with errLineTooLong for one that is skipped. A file that cannot
// be read is handed to unreadable, and the rest go on. An error of do ends it.
func eachLine(ctx context.Context, std stdio, names []string, limit int, idle func() error,
	do func(s *source, number int, line []byte, err error) error, unreadable func(name string, err error) error,
) error {
	if len(names) == 0 {
		names = []string{"-"}
	}
	for _, name := range names {
		s := source{name: name, r: std.in}
		if name != "-" {
			f, err := os.Open(name)
			if err == nil {
				s.r = f
			}
			if err != nil {
				if err := unreadable(name, err); err != nil {
					return err
				}
				continue
			}
		}
		err := s.lines(ctx, limit, idle, do)
		if c, ok := s.r.(io.Closer); ok && name != "-" {
			_ = c.Close() // it was only read
		}
		var broken *readError
		if errors.As(err, &broken) && ctx.Err() == nil {
			err = unreadable(name, broken.err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readError is a failure to read, not one of the lines.
type readError struct{ err error }

func (e *readError) Error() string { return e.err.Error() }
func (e *readError) Unwrap() error { return e.err }

// lines hands every line of the source to do.
func (s *source) lines(ctx context.Context, limit int, idle func() error,
	do func(s *source, number int, line []byte, err error) error,
) error {
	l := newLineReader(ctx, s.r, limit, idle)
	for {
		line, err := l.next()
		var long errLineTooLong
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && !errors.As(err, &long):
			return &readError{err}
		}
		if err := do(s, l.number, line, err); err != nil {
			return err
		}
	}
}
