package machine

import (
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// Fetch implements step.Bus.
func (m *Machine) Fetch(offset uint64, buf []byte, ev *x86.Event) (int, step.Outcome) {
	if len(buf) == 0 {
		_, out := m.fetchAddress(offset, ev)
		return 0, out
	}
	n := 0
	for n < len(buf) {
		linear, out := m.fetchAddress(offset+uint64(n), ev)
		if out != step.Okay {
			return n, out
		}
		p := m.page(linear)
		if need := m.need | Exec; p == nil || need&^p.prot != 0 {
			return n, m.pageFault(p, need, x86.PFFetch, linear, ev)
		}
		off := linear % PageSize
		k := copy(buf[n:m.fetchLimit(offset, n, len(buf))], p.data[off:])
		n += k
	}
	return n, step.Okay
}

// fetchLimit cuts a fetch at the code segment's limit: it returns the index of
// the first byte of the buffer that must not come with the bytes from n on.
func (m *Machine) fetchLimit(offset uint64, n, size int) int {
	if m.flat {
		return size
	}
	limit := uint64(m.segments[x86.CS].Limit)
	if room := limit - (offset + uint64(n)) + 1; room < uint64(size-n) {
		return n + int(room)
	}
	return size
}

// fetchAddress checks an instruction's address: canonical form in 64-bit mode,
// else the limit of CS (SDM vol. 3, 5.3). Both are #GP(0).
func (m *Machine) fetchAddress(offset uint64, ev *x86.Event) (uint64, step.Outcome) {
	if m.flat {
		sh := m.canonicalShift
		if uint64(int64(offset<<sh)>>sh) != offset {
			*ev = x86.FaultCode(x86.VectorGP, 0)
			return 0, step.Exception
		}
		return offset, step.Okay
	}
	cs := &m.segments[x86.CS]
	if offset > uint64(cs.Limit) {
		*ev = x86.FaultCode(x86.VectorGP, 0)
		return 0, step.Exception
	}
	return uint64(uint32(cs.Base + offset)), step.Okay
}
