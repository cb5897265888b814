package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLineReader(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		want     []string
	}{
		{"empty", "", nil},
		{"one without end", "ab", []string{"ab"}},
		{"two", "ab\ncd\n", []string{"ab", "cd"}},
		{"empty lines count", "\n\nab\n", []string{"", "", "ab"}},
		{"carriage returns", "ab\r\ncd\r\n", []string{"ab", "cd"}},
		{"longest", "12345678\nab\n", []string{"12345678", "ab"}},
		{"longest, carriage return", "12345678\r\nab\n", []string{"12345678", "ab"}},
		{"one too long", "123456789\nab\n", []string{"!", "ab"}},
		{"far too long", strings.Repeat("x", 100) + "\nab\n", []string{"!", "ab"}},
		{"too long at the end", "ab\n" + strings.Repeat("x", 100), []string{"ab", "!"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := newLineReader(context.Background(), strings.NewReader(tc.in), 8, nil)
			// bufio's smallest buffer is 16 bytes, so the limit is checked twice.
			var got []string
			for {
				line, err := l.next()
				var long errLineTooLong
				if errors.Is(err, io.EOF) {
					break
				}
				if errors.As(err, &long) {
					got = append(got, "!")
					continue
				}
				require.NoError(t, err)
				got = append(got, string(line))
			}
			require.Equal(t, tc.want, got)
			require.Equal(t, len(tc.want), l.number)
		})
	}
}

// A read that blocks does not hold up Ctrl-C, and what was asked before it is
// flushed first.
func TestLineReaderInterrupted(t *testing.T) {
	in, feed := io.Pipe()
	defer feed.Close()
	ctx, cancel := context.WithCancel(context.Background())
	flushed := 0
	l := newLineReader(ctx, in, 64, func() error { flushed++; return nil })
	go func() { _, _ = feed.Write([]byte("ab\n")) }()
	line, err := l.next()
	require.NoError(t, err)
	require.Equal(t, "ab", string(line))
	require.Equal(t, 1, flushed)
	go cancel()
	_, err = l.next()
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 2, flushed)
}

func TestParseHex(t *testing.T) {
	for _, tc := range []struct{ in, want, err string }{
		{"4801d8", "\x48\x01\xd8", ""},
		{"4801D8", "\x48\x01\xd8", ""},
		{"90", "\x90", ""},
		{"", "", "empty line: want hex digits"},
		{"480", "", "byte 3: odd number of hex digits (3)"},
		{"48g1", "", "byte 3: 'g' is not a hex digit"},
		{"48 01", "", "byte 3: ' ' is not a hex digit"},
		{"0x90", "", "byte 2: 'x' is not a hex digit"},
		{"48\x00", "", `byte 3: '\x00' is not a hex digit`},
		{"48é1", "", `byte 3: 'é' is not a hex digit`},
	} {
		got, err := parseHex(nil, []byte(tc.in))
		if tc.err != "" {
			require.EqualError(t, err, tc.err, "%q", tc.in)
			continue
		}
		require.NoError(t, err, "%q", tc.in)
		require.Equal(t, tc.want, string(got))
	}
}
