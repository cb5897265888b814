package hostcpu

func cpuid(leaf, subleaf uint32) (eax, ebx, ecx, edx uint32)

// isX86 says that CPUID can be asked.
const isX86 = true
