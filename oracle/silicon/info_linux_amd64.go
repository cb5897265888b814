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
	kind   string
	code   string
	stop   Stop
	mode   x86.Mode
	vector bool
	layout *oracle.Layout
}

// probes: the first five are those of the fields of Info.
var probes = []probe{
	{"retired, with memory", "\x48\x01\xd8", StopPad, x86.Long64, false, oracle.DefaultLayout},
	{"INT3", "\x48\x01\xd8", StopBreakpoint, x86.Long64, false, oracle.DefaultLayout},
	{"#PF", "\x48\x8b\x03", StopPad, x86.Long64, false, oracle.DefaultLayout},
	{"#UD", "\x0f\x0b", StopBreakpoint, x86.Long64, false, oracle.DefaultLayout},
	{"trap flag", "\x48\x01\xd8", StopTrap, x86.Long64, false, oracle.DefaultLayout},
	{"retired, registers alone", "\x48\x01\xd8", StopPad, x86.Long64, false, &oracle.Layout{Pages: oracle.DefaultLayout.Pages}},
	{"retired, with vectors and memory", "\x48\x01\xd8", StopPad, x86.Long64, true, oracle.DefaultLayout},
	{"retired, 32-bit", "\x01\xd8", StopPad, x86.Compat32, false, oracle.DefaultLayout},
	{"retired, 16-bit", "\x01\xd8", StopPad, x86.Compat16, false, oracle.DefaultLayout},
	{"#AC", "\x8b\x03", StopPad, x86.Compat32, false, oracle.DefaultLayout},
	{"INT1", "\xf1", StopBreakpoint, x86.Long64, false, oracle.DefaultLayout},
}

// Info says which CPU answers, tries the modes and measures what a case costs.
func (e *Executor) Info() (Info, error) {
	info := cpuInfo()
	width, err := e.addressWidth()
	if err != nil {
		return info, err
	}
	info.AddressWidth = width
	info.Components = AllComponents()
	for _, f := range Profile().Features.List() {
		info.Features = append(info.Features, f.String())
	}
	for _, f := range HiddenFeatures() {
		info.Hidden = append(info.Hidden, f.String())
	}
	info.QuarantinedRows, info.Rows = QuarantineShare()
	if info.Modes, err = e.modes(); err != nil {
		return info, err
	}
	fields := []*float64{&info.Retired, &info.Breakpoint, &info.Fault, &info.Undefined, &info.Trap}
	for i, p := range probes {
		ns, err := e.cost(p)
		if err != nil {
			return info, err
		}
		if ns == 0 {
			continue // the mode does not work here
		}
		info.Costs = append(info.Costs, Cost{p.kind, ns})
		if i < len(fields) {
			*fields[i] = ns
		}
		// Every exception goes the same way through the kernel.
		const several = 2.5
		if p.stop != StopPad && i != 1 || p.kind == "#AC" {
			if ns > several*info.Fault {
				info.Intercepted = append(info.Intercepted, p.kind)
			}
		}
	}
	info.Masked, err = e.masked()
	return info, err
}

// modes tries an instruction in each mode.
func (e *Executor) modes() ([]ModeInfo, error) {
	var list []ModeInfo
	for _, m := range []x86.Mode{x86.Long64, x86.Compat32, x86.Compat16} {
		r, err := e.One(NewCaseIn(m, []byte{0x90}))
		if err != nil {
			return nil, err
		}
		missing := ""
		if r.Ending != oracle.Ended || r.Outcome != step.Okay {
			missing = fmt.Sprintf("NOP: %v %v %s", r.Ending, r.Outcome, r.Note)
		}
		list = append(list, ModeInfo{m, missing})
	}
	return list, nil
}

// masked says which instructions of the machine's own fault in the child.
func (e *Executor) masked() ([]string, error) {
	var list []string
	e.unchecked = true
	defer func() { e.unchecked = false }()
	for name, code := range map[string][]byte{"RDTSC": {0x0f, 0x31}, "CPUID": {0x0f, 0xa2}} {
		r, err := e.One(NewCase(code))
		if err != nil {
			return nil, err
		}
		if r.Ending == oracle.Ended && r.Outcome == step.Exception {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list, nil
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

// cost is the smallest of some measurements, in ns a case; 0 if the case does
// not run here.
func (e *Executor) cost(p probe) (float64, error) {
	const batch, rounds = maxSlots, 12
	saved := e.stop
	e.stop = p.stop
	defer func() { e.stop = saved }()
	cases := make([]oracle.Case, batch)
	results := make([]oracle.Result, batch)
	for i := range cases {
		c := &cases[i]
		*c = NewCaseIn(p.mode, []byte(p.code))
		c.Layout, c.Memory = p.layout, make([]byte, p.layout.WindowBytes())
		if p.kind == "#AC" {
			c.State.RFLAGS |= uint64(x86.AC)
			c.State.GPR[x86.RBX] = oracle.DataBase + 1
		}
		if p.vector {
			c.State.FPU = new(x86.FPU)
			oracle.InitFPU(c.State.FPU, AllComponents())
		}
	}
	var ns []float64
	for range rounds {
		from := time.Now()
		if err := e.Run(cases, results); err != nil {
			return 0, err
		}
		if results[0].Ending != oracle.Ended {
			return 0, nil
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
