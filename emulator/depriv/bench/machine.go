package bench

import (
	"fmt"
	"runtime"

	"github.com/seed-4e121ece/ringfence/internal/hostcpu"
)

// describe tells what this machine is.
func describe() Machine {
	family, model, stepping := hostcpu.Signature()
	m := Machine{
		OS: runtime.GOOS, Arch: runtime.GOARCH, CPU: hostcpu.Brand(), CPUs: len(cpus()), Hypervisor: hostcpu.Hypervisor(),
		Kernel: kernel(), Go: runtime.Version(), Mitigations: mitigations(),
	}
	if hostcpu.Vendor() != "" {
		m.Signature = fmt.Sprintf("%s family %#x model %#x stepping %d", hostcpu.Vendor(), family, model, stepping)
	}
	return m
}
