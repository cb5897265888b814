//go:build !(linux && amd64)

package transport

import (
	"errors"
	"os"
)

// ErrUnsupported is returned where the worker cannot be another process.
var ErrUnsupported = errors.New("transport: a worker in another process needs Linux on x86-64")

// Open reports ErrUnsupported.
func Open(Kind, int, int) (Caller, []*os.File, error) { return nil, nil, ErrUnsupported }

// Accept reports ErrUnsupported.
func Accept(Kind, []int, int, int) (Server, error) { return nil, ErrUnsupported }
