package silicon

import "fmt"

// Info describes the CPU that answers.
type Info struct {
	Vendor      string // as "GenuineIntel"
	Model       string // as the CPU names itself
	Family      string
	ModelNumber string
	Stepping    string
	// AddressWidth is the number of bits of a linear address that is in force:
	// 48, or 57 with five-level paging.
	AddressWidth int
	// What a case cost, in ns: one that retires into the landing pad, that stops
	// at INT3, that raises #PF, #UD, and that is stopped by the trap flag. The
	// smallest of a few measurements.
	Retired, Breakpoint, Fault, Undefined, Trap float64
}

// String is one line for people.
func (i Info) String() string {
	return fmt.Sprintf("%s, %s (family %s, model %s, stepping %s), %d-bit addresses; ns a case: retired %.0f, breakpoint %.0f, #PF %.0f, #UD %.0f, trap flag %.0f",
		i.Vendor, i.Model, i.Family, i.ModelNumber, i.Stepping, i.AddressWidth, i.Retired, i.Breakpoint, i.Fault, i.Undefined, i.Trap)
}
