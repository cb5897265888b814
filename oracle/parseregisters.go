package oracle

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
