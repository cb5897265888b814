package oracle

// AppendWholeCase is AppendCase with every register written, for readers that
// do not know the defaults.
func AppendWholeCase(dst []byte, c *Case) []byte {
	w := jsonWriter{b: dst}
	w.open('{')
	w.key("schema")
	w.num(SchemaVersion)
	w.key("mode")
	w.str(c.State.Mode.String())
	w.key("code")
	w.bytes(c.CodeBytes())
	w.key("registers")
	w.open('{')
	w.registers(&c.State, c.FSBase, c.GSBase, nil)
	w.close('}')
	w.segments(c)
	w.key("cpl")
	w.num(int64(c.State.CPL))
	w.key("memory")
	w.open('[')
	w.layout(c)
	w.close(']')
	w.key("steps")
	w.num(int64(max(c.Steps, 1)))
	w.close('}')
	return w.b
}

// ParseRegisters reads an object of registers, as a case or a result has it,
// into those of c and returns their names. What it does not name stays.
func ParseRegisters(data []byte, c *Case) ([]string, error) {
	p := caseParser{scanner: newScanner(data), c: c, given: map[string]bool{}}
	var names []string
	extra := len(c.Extra)
	err := p.object(func(name string, at int64) error {
		names = append(names, name)
		if err := p.register(name, at); err != nil {
			return err
		}
		if len(c.Extra) > extra {
			return p.errorf(at, "a register that a result has no place for")
		}
		return nil
	})
	if err == nil {
		err = p.end()
	}
	return names, err
}
