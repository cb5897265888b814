package oracle

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
	if i := address - c.State.RIP; i < uint64(c.CodeLen) {
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
