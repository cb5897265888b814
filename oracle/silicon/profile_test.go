package silicon_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/seed-4e121ece/ringfence/internal/hostcpu"
	"github.com/seed-4e121ece/ringfence/oracle/silicon"
)

// TestProfile: the CPU's profile is CPUID's with what CPUID hides, no less.
func TestProfile(t *testing.T) {
	shown, p := hostcpu.Profile(), silicon.Profile()
	assert.Equal(t, shown.Vendor, p.Vendor)
	for _, f := range shown.Features.List() {
		assert.True(t, p.Features.Has(f), "%s", f)
	}
	for _, f := range silicon.HiddenFeatures() {
		assert.True(t, p.Features.Has(f) && !shown.Features.Has(f), "%s", f)
		t.Logf("hidden from CPUID: %s", f)
	}
	assert.Len(t, p.Features.List(), len(shown.Features.List())+len(silicon.HiddenFeatures()))
}
