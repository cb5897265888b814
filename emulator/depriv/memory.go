package depriv

import (
	"fmt"
	"slices"
	"unsafe"

	"github.com/seed-4e121ece/ringfence/emulator/depriv/worker"
)

// Memory is a guest's RAM in a window: shared with its worker, which the
// protocols Window and WindowWrite need. Alloc gives out its pages, and Space
// says where a virtual CPU sees them.
//
// What the worker reads there it may hand to that guest, which owns it; with
// WindowWrite it may write anything anywhere in it. Devices, read-only memory
// that must stay so, and other guests' memory have no place in it.
type Memory struct {
	data   []byte
	window *worker.Window
	write  bool
	shared *shared
	// next is the offset of the first page that is not given out, spaces how
	// many address spaces there are.
	next   int
	spaces uint32
}

const pageSize = 4096

// NewMemory returns a window with that many bytes of RAM, rounded up to pages.
// write says that its worker may write them, which is what WindowWrite needs.
func NewMemory(size int, write bool) (*Memory, error) {
	if size <= 0 {
		return nil, fmt.Errorf("depriv: a window of %d bytes: want more than 0", size)
	}
	data, s, err := share(worker.TableSize+size, write)
	if err != nil {
		return nil, fmt.Errorf("depriv: window: %w", err)
	}
	m, err := mapped(data)
	if err != nil {
		return nil, err
	}
	m.write, m.shared, m.next = write, s, worker.TableSize
	return m, nil
}

// mapped is the window that data holds.
func mapped(data []byte) (*Memory, error) {
	w, err := worker.NewWindow(data)
	if err != nil {
		return nil, err
	}
	return &Memory{data: data, window: w}, nil
}

// Alloc gives out n bytes, rounded up to whole pages, which hold zeros. It is
// nil if there are not that many left.
func (m *Memory) Alloc(n int) []byte {
	end := m.next + (n+pageSize-1)&^(pageSize-1)
	if n <= 0 || end > len(m.data) {
		return nil
	}
	b := m.data[m.next : m.next+n : m.next+n]
	m.next = end
	return b
}

// Mapping is a run of pages in an address space.
type Mapping struct {
	// Linear is the address of its first byte, a multiple of the page size.
	Linear uint64
	// Memory is what Alloc has given.
	Memory []byte
	// Write and User are what the pages allow.
	Write, User bool
}

// Space makes an address space of mappings and returns its number. A worker sees
// what it says without further ado; the mappings cannot be changed.
func (m *Memory) Space(mappings []Mapping) (uint32, error) {
	if m.spaces == worker.MaxSpaces || len(mappings) > worker.MaxRuns {
		return 0, fmt.Errorf("depriv: address space %d of a window with %d mappings: want at most %d with %d", m.spaces+1, len(mappings), worker.MaxSpaces, worker.MaxRuns)
	}
	s := m.window.Space(m.spaces + 1)
	list := slices.SortedFunc(slices.Values(mappings), func(a, b Mapping) int {
		if a.Linear < b.Linear {
			return -1
		}
		return 1
	})
	end := uint64(0)
	for i, p := range list {
		at := int(uintptr(unsafe.Pointer(unsafe.SliceData(p.Memory))) - uintptr(unsafe.Pointer(unsafe.SliceData(m.data))))
		if len(p.Memory) == 0 || at < worker.TableSize || at+len(p.Memory) > m.next {
			return 0, fmt.Errorf("depriv: mapping at %#x: %d bytes that are not of this window", p.Linear, len(p.Memory))
		}
		if p.Linear%pageSize != 0 || i > 0 && p.Linear < end {
			return 0, fmt.Errorf("depriv: mapping at %#x: want a multiple of %d, behind the one before, which ends at %#x", p.Linear, pageSize, end)
		}
		end = p.Linear + uint64(len(p.Memory))
		s.Runs[i] = worker.Run{Linear: p.Linear, Offset: uint64(at), Length: uint64(len(p.Memory))}
		if p.Write {
			s.Runs[i].Rights |= worker.RightWrite
		}
		if p.User {
			s.Runs[i].Rights |= worker.RightUser
		}
	}
	s.Num = uint64(len(list))
	m.spaces++
	return m.spaces, nil
}

// view is the window of a worker in this process; nil has none.
func (m *Memory) view() *worker.Window {
	if m == nil {
		return nil
	}
	return m.window
}

func (m *Memory) size() int {
	if m == nil {
		return 0
	}
	return len(m.data)
}

// Close gives the memory back, which must not be used any more.
func (m *Memory) Close() error {
	m.data, m.window = nil, nil
	return m.shared.close()
}
