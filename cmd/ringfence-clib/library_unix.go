//go:build linux || darwin

package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ebitengine/purego"
)

// library is a loaded C library.
type library struct{ handle uintptr }

// load loads the first of the files that is there.
func load(files ...string) (*library, error) {
	var all []error
	for _, f := range files {
		h, err := purego.Dlopen(f, purego.RTLD_NOW|purego.RTLD_LOCAL)
		if err == nil {
			return &library{h}, nil
		}
		all = append(all, err)
	}
	return nil, errors.Join(all...)
}

// symbols looks up functions: pairs of where to put the address and name.
func (l *library) symbols(list map[string]*uintptr) error {
	var missing []string
	for name, to := range list {
		p, err := purego.Dlsym(l.handle, name)
		if err != nil {
			missing = append(missing, name)
		}
		*to = p
	}
	if len(missing) > 0 {
		return fmt.Errorf("no function %s", strings.Join(missing, ", "))
	}
	return nil
}

// call calls a C function of integer and pointer arguments. What the arguments
// point to must be kept alive by the caller.
func call(function uintptr, args ...uintptr) uintptr {
	r, _, _ := purego.SyscallN(function, args...)
	return r
}

// callback makes a function that C can call. It is never freed.
func callback(f any) uintptr { return purego.NewCallback(f) }
