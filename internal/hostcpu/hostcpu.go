// Package hostcpu asks CPUID which CPU this is, so that expectations come from
// the machine that a test or campaign runs on and not from the one that it was
// written on.
package hostcpu

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/seed-4e121ece/ringfence/emulator/isa"
)

// CPUID returns EAX, EBX, ECX and EDX of a leaf and subleaf; zeros on a machine
// that is no x86.
func CPUID(leaf, subleaf uint32) [4]uint32 {
	a, b, c, d := cpuid(leaf, subleaf)
	return [4]uint32{a, b, c, d}
}

// Vendor returns CPUID's vendor string, as "GenuineIntel"; "" on a machine that
// is no x86.
func Vendor() string {
	if !isX86 {
		return ""
	}
	r := CPUID(0, 0)
	var b []byte
	for _, v := range []uint32{r[1], r[3], r[2]} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return string(b)
}

// Hypervised says that a hypervisor is beneath, by the bit of CPUID that is kept
// for it (leaf 1, ECX bit 31).
func Hypervised() bool { return isX86 && CPUID(1, 0)[2]>>31 != 0 }

// Hypervisor returns what the hypervisor beneath calls itself, as "KVMKVMKVM"
// (leaf 40000000h); "" without one.
func Hypervisor() string {
	if !Hypervised() {
		return ""
	}
	r := CPUID(0x40000000, 0)
	var b []byte
	for _, v := range r[1:] {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return strings.TrimRight(string(b), "\x00")
}

// Signature returns the display family, model and stepping (SDM vol. 2, CPUID,
// leaf 1).
func Signature() (family, model, stepping int) {
	if !isX86 {
		return 0, 0, 0
	}
	v := int(CPUID(1, 0)[0])
	stepping, model, family = v&15, v>>4&15, v>>8&15
	if family == 6 || family == 15 {
		model |= v >> 16 & 15 << 4
	}
	if family == 15 {
		family += v >> 20 & 0xff
	}
	return family, model, stepping
}

// Brand returns the name that the CPU gives itself (leaves 80000002H to
// 80000004H), "" if it has none.
func Brand() string {
	if !isX86 || CPUID(0x80000000, 0)[0] < 0x80000004 {
		return ""
	}
	var b []byte
	for leaf := uint32(0x80000002); leaf <= 0x80000004; leaf++ {
		for _, v := range CPUID(leaf, 0) {
			b = binary.LittleEndian.AppendUint32(b, v)
		}
	}
	return strings.TrimSpace(strings.TrimRight(string(b), "\x00"))
}

// Profile returns the profile of this CPU by CPUID: the features that it has
// and that the operating system has enabled. On a machine that is no x86 it is
// "generic": an Intel CPU with every feature of the table. The caller must not
// change it.
func Profile() *isa.Profile { return profile() }

var profile = sync.OnceValue(func() *isa.Profile {
	if !isX86 {
		return &isa.Profile{Name: "generic", Vendor: isa.Intel, Features: isa.AllFeatures(), VirtualBits: 48}
	}
	p := &isa.Profile{Vendor: isa.Intel, VirtualBits: virtualBits()}
	vendor := "intel"
	switch Vendor() {
	case "AuthenticAMD", "HygonGenuine":
		p.Vendor, vendor = isa.AMD, "amd"
	}
	family, model, _ := Signature()
	p.Name = fmt.Sprintf("%s-%x-%02x", vendor, family, model)
	p.Features = enabled(isa.FeaturesFromCPUID(CPUID), CPUID)
	return p
})

// enabled takes away the features that the CPU has and that its control
// registers refuse, which CPUID tells (SDM vol. 2, CPUID: OSXSAVE, OSPKE) and
// whose instructions then raise #UD, and MPX, whose are then NOPs.
func enabled(s isa.FeatureSet, cpuid func(leaf, subleaf uint32) [4]uint32) isa.FeatureSet {
	const osxsave, ospke = 1 << 27, 1 << 4
	drop := func(names ...string) {
		for _, n := range names {
			// A name that the table does not have needs no dropping.
			if f, err := isa.ParseFeature(n); err == nil {
				s = s.Without(f)
			}
		}
	}
	if cpuid(1, 0)[2]&osxsave == 0 {
		drop("XSAVE", "AVX", "AVX2", "FMA", "F16C")
	}
	// What CR4 and XCR0 allow, BNDCFGU has to enable in each process (SDM vol. 1,
	// appendix E.5.1), and none of ours does; Linux has not known MPX since 5.6.
	drop("MPX")
	if cpuid(0, 0)[0] < 7 || cpuid(7, 0)[2]&ospke == 0 {
		drop("PKU")
	}
	return s
}

// virtualBits returns the width of a canonical address. CPUID tells only
// whether five-level paging could be used; Linux lists la57 among the flags
// when it is.
func virtualBits() uint8 {
	const la57 = 1 << 16
	if CPUID(0, 0)[0] < 7 || CPUID(7, 0)[2]&la57 == 0 {
		return 48
	}
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return 48
	}
	for line := range strings.Lines(string(info)) {
		if name, flags, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "flags" {
			for _, f := range strings.Fields(flags) {
				if f == "la57" {
					return 57
				}
			}
			break
		}
	}
	return 48
}
