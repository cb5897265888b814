package oracle

import "github.com/seed-4e121ece/ringfence/emulator/decode"

// ReadMemory returns size bytes (1 to 8) of the case's memory before the run,
// little-endian; ok is false if a byte is not mapped.
func (c *Case) ReadMemory(address uint64, size uint8) (v uint64, ok bool) {
	for i := range uint64(size) {
		b, ok := c.Byte(address + i)
		if !ok {
			return 0, false
		}
		v |= uint64(b) << (8 * i)
	}
	return v, true
}

// Byte returns a byte of the case's memory before the run: of the code, of a
// window, or the fill of its page.
func (c *Case) Byte(address uint64) (b byte, ok bool) {
	if i := address - c.CodeAddress(); i < uint64(c.CodeLen) {
		return c.Code[i], c.Layout.Find(address) != nil
	}
	at := 0
	for _, w := range c.Layout.Windows {
		if i := address - w.Address; i < uint64(w.Length) {
			return c.Memory[at+int(i)], true
		}
		at += w.Length
	}
	p := c.Layout.Find(address)
	if p == nil {
		return 0, false
	}
	return p.Fill, true
}

// Instruction returns the bytes that a CPU fetches at the instruction, at most 15: the
// code and what follows it in memory. It uses buf.
func (c *Case) Instruction(buf *[decode.MaxLength]byte) []byte {
	if c.CodeLen >= decode.MaxLength {
		return c.Code[:decode.MaxLength]
	}
	for i := range buf {
		b, ok := c.Byte(c.CodeAddress() + uint64(i))
		if !ok {
			return buf[:i]
		}
		buf[i] = b
	}
	return buf[:]
}

// uncovered says whether the table has no rows for the group of opcodes that
// the undefined instruction belongs to.
func (c *Case) uncovered(in *decode.Inst) bool {
	if in == nil || in.Err != decode.Undefined || c.Steps > 1 {
		return false
	}
	var buf [decode.MaxLength]byte
	return in.Uncovered(c.Instruction(&buf)) != ""
}
