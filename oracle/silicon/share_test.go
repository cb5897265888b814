package silicon

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestQuarantineShare prints the list, and bounds its share of the table.
func TestQuarantineShare(t *testing.T) {
	for _, q := range Quarantine() {
		assert.NotEmpty(t, q.Encoding)
		assert.NotEmpty(t, q.Reason)
		t.Logf("%-22s %s; instead: %s", q.Encoding, q.Reason, q.Instead)
	}
	some, rows := QuarantineShare()
	share := 100 * float64(some) / float64(rows)
	t.Logf("%d of %d rows of the table, %.2f %%", some, rows, share)
	assert.Greater(t, some, 20, "CPUID, RDTSC … are in the table")
	assert.LessOrEqual(t, share, 2.0)
}
