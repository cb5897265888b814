package walls

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// used is what this process holds.
type used struct {
	descriptors int
	resident    string
}

func usage(t *testing.T) used {
	list, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	b, err := os.ReadFile("/proc/self/status")
	require.NoError(t, err)
	u := used{descriptors: len(list)}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			u.resident = strings.TrimSpace(v)
		}
	}
	return u
}
