package silicon

import (
	"fmt"
	"strings"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

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
	// Features are the CPUID features of the instruction table that the CPU has,
	// Hidden those of them that CPUID does not show.
	Features, Hidden []string
	// Components are the x87 and vector components that a case may load.
	Components x86.Component
	// Modes are those of which this package knows, with the reason why one does
	// not work here, "" if it does.
	Modes []ModeInfo
	// Costs are what a case costs by kind, each the best of a few batches.
	Costs []Cost
	// Intercepted names the events that cost several times a page fault: a
	// hypervisor takes them first.
	Intercepted []string
	// Masked are those of RDTSC and CPUID that fault in the child.
	Masked []string
	// QuarantinedRows of Rows of the instruction table are not compared.
	QuarantinedRows, Rows int
	// What a case cost, in ns: one that retires into the landing pad, that stops
	// at INT3, that raises #PF, #UD, and that is stopped by the trap flag. The
	// smallest of a few measurements.
	Retired, Breakpoint, Fault, Undefined, Trap float64
}

// ModeInfo says whether a mode works.
type ModeInfo struct {
	Mode x86.Mode
	// Missing is why it does not, "" if it does.
	Missing string
}

// Cost is what a kind of case costs.
type Cost struct {
	Kind string
	NS   float64
}

// Fact is a line of what there is to know.
type Fact struct{ Name, Value string }

// Facts is the Info for people.
func (i *Info) Facts() []Fact {
	var modes, costs []string
	for _, m := range i.Modes {
		text := m.Mode.String()
		if m.Missing != "" {
			text += " (not here: " + m.Missing + ")"
		}
		modes = append(modes, text)
	}
	for _, c := range i.Costs {
		costs = append(costs, fmt.Sprintf("%s %.0f", c.Kind, c.NS))
	}
	none := func(list []string) string {
		if len(list) == 0 {
			return "none"
		}
		return strings.Join(list, ", ")
	}
	intercepted := none(i.Intercepted)
	if len(i.Intercepted) > 0 {
		intercepted += ": cost several times a page fault, so that a hypervisor must take them first"
	}
	features := fmt.Sprintf("%d of the table's: %s", len(i.Features), strings.Join(i.Features, " "))
	if len(i.Hidden) > 0 {
		features += "; of these CPUID does not show " + strings.Join(i.Hidden, " ")
	}
	return []Fact{
		{"features", features},
		{"addresses", fmt.Sprintf("%d bits", i.AddressWidth)},
		{"modes, CPL 3", strings.Join(modes, ", ")},
		{"state", "general-purpose registers, flags, selectors, FS and GS base, memory, faults; " + strings.Join(componentNames(i.Components), ", ")},
		{"segments", "descriptors of the local table: data, expand-down, code, not present, 16 and 32 bits, any base and limit; no present conforming code, no DPL below 3, none that is not accessed"},
		{"cost, ns a case", strings.Join(costs, "; ")},
		{"intercepted", intercepted},
		{"made to fault", none(i.Masked)},
		{"quarantine", fmt.Sprintf("%d of %d rows of the table, %.2f %%", i.QuarantinedRows, i.Rows, 100*float64(i.QuarantinedRows)/float64(max(i.Rows, 1)))},
	}
}

func componentNames(c x86.Component) []string {
	var names []string
	for _, k := range []struct {
		bit  x86.Component
		name string
	}{
		{x86.ComponentX87, "x87"}, {x86.ComponentSSE, "XMM"}, {x86.ComponentAVX, "YMM"}, {x86.ComponentZMM16, "ZMM and opmask"},
	} {
		if c&k.bit != 0 {
			names = append(names, k.name)
		}
	}
	return names
}

// String is one line for people.
func (i Info) String() string {
	return fmt.Sprintf("%s, %s (family %s, model %s, stepping %s), %d-bit addresses; ns a case: retired %.0f, breakpoint %.0f, #PF %.0f, #UD %.0f, trap flag %.0f",
		i.Vendor, i.Model, i.Family, i.ModelNumber, i.Stepping, i.AddressWidth, i.Retired, i.Breakpoint, i.Fault, i.Undefined, i.Trap)
}
