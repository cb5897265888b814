package bench

// Figure is a cost that somebody else has published, or that was measured on
// another machine. None of them is set against what a run measures.
type Figure struct {
	What   string `json:"what"`
	Value  string `json:"value"`
	Source string `json:"source"`
}

// publishedExits are costs of an exit of a guest and of its way back.
var publishedExits = []Figure{
	{"AMD: VMRUN to exit, world switch included", "1,340 to 1,376 cycles, of 2,530 for one KVM_RUN", "lkml, December 2020 (lkml.iu.edu/hypermail/linux/kernel/2012.2/00527.html)"},
	{"Intel Xeon X5570: exit and entry", "2,000 cycles", "SplitX, WIOV 2011"},
	{"nested guest: round trip of CPUID on Skylake, Ice Lake, Emerald Rapids", "6,850, 9,000, 7,900 cycles", "Linux commit 1201f22"},
	{"nested guest: exit that user space completes, above one that the kernel completes", "31,000 cycles", "P. Bonzini, VMX optimizations, 2019"},
	{"Xen, port I/O that skips the emulator", "66 % of the time of one that does not", "Xen commit 147808b8b8, 2010"},
}

// inside are costs of what a wall inside a hypervisor would be made of.
var inside = []struct {
	Figure
	// Crossing is what a crossing there and back comes to by it.
	Crossing string
}{
	{Figure{"address-space switch by IPC, one way, hot cache: seL4 on Haswell", "301 cycles, 89 ns", "trustworthy.systems, L4 comparative performance, 2013"}, "602 cycles, 178 ns there"},
	{Figure{"the same: NOVA on a Core i7-920", "288 cycles, 108 ns", "same page"}, "576 cycles, 216 ns there"},
	{Figure{"the same: L4Re, one IPC between tasks, on an N100 and on a Xeon Platinum 8352S", "392 and 934 cycles", "l4re.org/perf"}, "784 and 1,868 cycles there"},
	{Figure{"protection keys instead of an address space: ERIM", "under 1 % at 100,000 switches/s: under 100 ns a switch", "vahldiek.github.io/publication/vahldiek-2018-erim"}, "under 200 ns there"},
	{Figure{"mode switch where the kernel is entered by a fault: system call of a PV guest through the #GP handler, and through one of its own", "0.868 and 0.550 µs", "Xen commit 3e1b9525"}, "0.6 to 0.9 µs there"},
}

// xenFigure is what Xen's emulator in C takes for a class.
type xenFigure struct {
	class, instruction string
	// whole and decode are the whole step and decoding alone, in nanoseconds.
	whole, decode float64
	hooks         string
}

// xenEmulator is Xen's x86_emulate (tree of August 2026), linked into a process,
// gcc -O2, with hooks that do next to nothing: best of 8 runs, which spread by
// up to a factor of 2. Another machine than that of a run: a virtual machine on
// AMD Zen 4.
var xenEmulator = []xenFigure{
	{"", "nop", 48, 26, "1 fetch"},
	{"register", "mov %rcx,%rdx", 73, 39, "3 fetches"},
	{"load", "mov (%rax),%rcx", 76, 42, "3 fetches, 1 read"},
	{"store", "mov %ecx,(%rax)", 70, 33, "2 fetches, 1 write"},
	{"rmw", "add %ecx,(%rax)", 90, 33, "2 fetches, 1 read, 1 write"},
	{"block64", "vmovdqu32 (%rax),%zmm1 (a load of 64 bytes)", 210, 73, "6 fetches, 1 read"},
}
