//go:build !linux && !darwin

package main

import (
	"fmt"
	"runtime"
)

type library struct{}

func load(...string) (*library, error) {
	return nil, fmt.Errorf("C libraries are not loaded on %s", runtime.GOOS)
}

func (*library) symbols(map[string]*uintptr) error { return nil }

func call(uintptr, ...uintptr) uintptr { return 0 }

func callback(any) uintptr { return 0 }
