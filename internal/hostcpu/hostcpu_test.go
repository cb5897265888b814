package hostcpu

import (
	"testing"

	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/stretchr/testify/require"
)

func TestProfile(t *testing.T) {
	p := Profile()
	require.NotEmpty(t, p.Name)
	require.Contains(t, []uint8{48, 57}, p.VirtualBits)
	require.Same(t, p, Profile(), "one profile a process")
	if !isX86 {
		require.Equal(t, "generic", p.Name)
		return
	}
	// Every CPU that runs 64-bit code has these.
	for _, name := range []string{"CMOV", "CX8", "SSE2", "FXSR"} {
		f, err := isa.ParseFeature(name)
		require.NoError(t, err)
		require.True(t, p.Features.Has(f), "%s of %s", name, p.Features)
	}
	require.Equal(t, Vendor() == "AuthenticAMD" || Vendor() == "HygonGenuine", p.Vendor == isa.AMD)
	family, model, stepping := Signature()
	t.Logf("%s: %s, %q, family %#x, model %#x, stepping %d, %d bits, features %s",
		p.Name, Vendor(), Brand(), family, model, stepping, p.VirtualBits, p.Features)
}

// What the operating system has not enabled is not in the profile.
func TestEnabled(t *testing.T) {
	pku, err := isa.ParseFeature("PKU")
	require.NoError(t, err)
	xsave, err := isa.ParseFeature("XSAVE")
	require.NoError(t, err)
	for _, tc := range []struct {
		name         string
		osxsave, pke uint32
		xsave, pku   bool
	}{
		{"all enabled", 1 << 27, 1 << 4, true, true},
		{"no OSXSAVE", 0, 1 << 4, false, true},
		{"no OSPKE", 1 << 27, 0, true, false},
	} {
		got := enabled(isa.AllFeatures(), func(leaf, _ uint32) [4]uint32 {
			switch leaf {
			case 0:
				return [4]uint32{0x20}
			case 1:
				return [4]uint32{0, 0, tc.osxsave}
			case 7:
				return [4]uint32{0, 0, tc.pke}
			}
			return [4]uint32{}
		})
		require.Equal(t, tc.xsave, got.Has(xsave), tc.name)
		require.Equal(t, tc.pku, got.Has(pku), tc.name)
	}
}
