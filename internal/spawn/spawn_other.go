//go:build !linux

package spawn

import (
	"errors"
	"os"
)

// ErrUnsupported is returned where processes cannot be started this way.
var ErrUnsupported = errors.New("spawn: helper processes with a parent-death signal need Linux")

// Image does not exist on this system.
type Image struct{}

// NewImage reports ErrUnsupported.
func NewImage(string, []byte) (*Image, error) { return nil, ErrUnsupported }

// OpenImage reports ErrUnsupported.
func OpenImage(string) (*Image, error) { return nil, ErrUnsupported }

// StartWith reports ErrUnsupported.
func (i *Image) StartWith([]string, *os.ProcAttr, func()) (*Process, error) {
	return nil, ErrUnsupported
}

// Close does nothing.
func (i *Image) Close() error { return nil }

// Start reports ErrUnsupported.
func (i *Image) Start(string, []*os.File, func()) (*Process, error) { return nil, ErrUnsupported }

// Start reports ErrUnsupported.
func Start(string, []string, *os.ProcAttr, func()) (*Process, error) { return nil, ErrUnsupported }

// Affinity reports ErrUnsupported.
func Affinity() ([]int, error) { return nil, ErrUnsupported }

// Pin reports ErrUnsupported.
func Pin(int, int) error { return ErrUnsupported }

// CurrentCPU reports ErrUnsupported.
func CurrentCPU() (int, error) { return 0, ErrUnsupported }
