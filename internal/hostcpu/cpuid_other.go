//go:build !amd64

package hostcpu

func cpuid(uint32, uint32) (eax, ebx, ecx, edx uint32) { return 0, 0, 0, 0 }

// isX86 says that CPUID can be asked.
const isX86 = false
