package bench

import (
	"fmt"

	"github.com/seed-4e121ece/ringfence/emulator/depriv"
	"github.com/seed-4e121ece/ringfence/emulator/machine"
)

// guests are the virtual CPUs of one guest: one page of code for all, a page of
// data for each, in one address space.
type guests struct {
	list []*guest
	// memory is the window in which the pages are, and space the number of the
	// address space in it; nil and 0 without a window.
	memory *depriv.Memory
	space  uint32
}

// newGuests makes n virtual CPUs, with their memory where p wants it.
func newGuests(n int, p depriv.Protocol) (_ *guests, err error) {
	s := &guests{}
	alloc, foreign := func(n int) []byte { return make([]byte, n) }, false
	if p == depriv.Window || p == depriv.WindowWrite {
		foreign = p == depriv.WindowWrite
		if s.memory, err = depriv.NewMemory((n+1)*machine.PageSize, foreign); err != nil {
			return nil, fmt.Errorf("bench: %w", err)
		}
		defer func() {
			if err != nil {
				s.close()
			}
		}()
		alloc = s.memory.Alloc
	}
	code, data := alloc(machine.PageSize), alloc(n*machine.PageSize)
	if code == nil || data == nil {
		return nil, fmt.Errorf("bench: no memory for %d virtual CPUs in the window", n)
	}
	for i := range n {
		g := &guest{index: i, data: dataAt + uint64(i)*machine.PageSize}
		pages := [][]byte{code, data[i*machine.PageSize:][:machine.PageSize]}
		g.m, err = machine.New(machine.Config{
			Pages: []machine.Pages{
				{Address: codeAt, Count: 1, Protection: machine.User | machine.Exec},
				{Address: g.data, Count: 1, Protection: machine.User | machine.Write},
			},
			Windows: []machine.Window{{Address: codeAt, Length: machine.PageSize}},
			Storage: func(int) []byte {
				b := pages[0]
				pages = pages[1:]
				return b
			},
			Foreign: foreign,
		})
		if err != nil {
			return nil, fmt.Errorf("bench: %w", err)
		}
		s.list = append(s.list, g)
	}
	if s.memory != nil {
		s.space, err = s.memory.Space([]depriv.Mapping{
			{Linear: codeAt, Memory: code, User: true},
			{Linear: dataAt, Memory: data, Write: true, User: true},
		})
	}
	return s, err
}

func (s *guests) close() {
	if s.memory != nil {
		s.memory.Close()
	}
}

// request is the request of one virtual CPU.
func (s *guests) request(i int) depriv.Request {
	g := s.list[i]
	return depriv.Request{VCPU: uint32(i), Space: s.space, State: &g.state, Bus: g.m, Fx: &g.fx}
}
