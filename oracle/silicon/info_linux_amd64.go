package silicon

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// probe is one instruction that Info times.
type probe struct {
	code string
	stop Stop
	rbx  uint64
}

// Info says which CPU answers and measures what a case costs.
func (e *Executor) Info() (Info, error) {
	info := cpuInfo()
	width, err := e.addressWidth()
	if err != nil {
		return info, err
	}
	info.AddressWidth = width
	for _, m := range []struct {
		to *float64
		p  probe
	}{
		{&info.Retired, probe{"\x48\x01\xd8", StopPad, 0}},
		{&info.Breakpoint, probe{"\x48\x01\xd8", StopBreakpoint, 0}},
		{&info.Fault, probe{"\x48\x8b\x03", StopPad, 0}},
		{&info.Undefined, probe{"\x0f\x0b", StopBreakpoint, 0}},
		{&info.Trap, probe{"\x48\x01\xd8", StopTrap, 0}},
	} {
		if *m.to, err = e.cost(m.p); err != nil {
			return info, err
		}
	}
	return info, nil
}

// addressWidth is the number of bits of a linear address: beyond it an access
// is #GP instead of #PF. With five-level paging in use it is 57.
func (e *Executor) addressWidth() (int, error) {
	c := NewCase([]byte{0x48, 0x8b, 0x03}) // MOV RAX, [RBX]
	c.State.GPR[x86.RBX] = 1 << 48
	r, err := e.One(c)
	if err != nil {
		return 0, err
	}
	switch fault := r.Ending == oracle.Ended && r.Outcome == step.Exception; {
	case fault && r.Event.Vector == x86.VectorGP:
		return 48, nil
	case fault && r.Event.Vector == x86.VectorPF:
		return 57, nil
	}
	return 0, fmt.Errorf("silicon: load from 1<<48: expected #GP or #PF, got %v, %v, %v", r.Ending, r.Outcome, r.Event)
}

// cost is the smallest of some measurements, in ns a case.
func (e *Executor) cost(p probe) (float64, error) {
	const batch, rounds = maxSlots, 12
	saved := e.stop
	e.stop = p.stop
	defer func() { e.stop = saved }()
	cases := make([]oracle.Case, batch)
	results := make([]oracle.Result, batch)
	for i := range cases {
		cases[i] = NewCase([]byte(p.code))
		cases[i].State.GPR[x86.RBX] = p.rbx
	}
	var ns []float64
	for range rounds {
		from := time.Now()
		if err := e.Run(cases, results); err != nil {
			return 0, err
		}
		ns = append(ns, float64(time.Since(from).Nanoseconds())/batch)
	}
	return slices.Min(ns), nil
}

// cpuInfo reads the CPU's name from /proc/cpuinfo.
func cpuInfo() Info {
	var info Info
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return info
	}
	defer f.Close()
	fields := map[string]*string{
		"vendor_id": &info.Vendor, "model name": &info.Model, "cpu family": &info.Family, "model": &info.ModelNumber, "stepping": &info.Stepping,
	}
	for lines := bufio.NewScanner(f); lines.Scan() && lines.Text() != ""; {
		key, value, _ := strings.Cut(lines.Text(), ":")
		if to := fields[strings.TrimSpace(key)]; to != nil {
			*to = strings.TrimSpace(value)
		}
	}
	return info
}

// branchesOf returns the rule of a vendor's CPUs. TestTrapAgrees finds a CPU for
// which it does not hold.
func branchesOf(vendor string) branchRule {
	switch vendor {
	case "GenuineIntel":
		return branchIgnores
	case "AuthenticAMD", "HygonGenuine":
		return branchCuts
	}
	return branchUnknown
}

// cpuFlag says whether /proc/cpuinfo lists a flag.
func cpuFlag(name string) bool {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		if key, flags, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == "flags" {
			return slices.Contains(strings.Fields(flags), name)
		}
	}
	return false
}
