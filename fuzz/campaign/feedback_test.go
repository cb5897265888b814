package campaign

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

// Cases that reach something new are kept and varied, and the same seed still
// gives the same campaign.
func TestFeedback(t *testing.T) {
	run := func(off bool) *Summary {
		cfg := config(sound(), 30_000)
		cfg.SeedStates, cfg.NoFeedback, cfg.Modes = -1, off, AllModes
		s, err := Run(context.Background(), cfg)
		require.NoError(t, err)
		require.Empty(t, s.Divergences)
		return s
	}
	on, again, off := run(false), run(false), run(true)
	require.Equal(t, on.Kept, again.Kept)
	require.Equal(t, on.Counts, again.Counts)
	require.Equal(t, on.Reach.Reached(), again.Reach.Reached())
	require.Positive(t, on.Kept)
	require.Zero(t, off.Kept)
	t.Logf("reached %d with feedback, %d without", on.Reach.Reached(), off.Reach.Reached())
}
