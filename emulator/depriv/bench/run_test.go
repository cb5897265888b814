package bench

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator/depriv"
	"github.com/seed-4e121ece/ringfence/emulator/depriv/transport"
)

// TestRun measures a little of everything once: each class does over each
// protocol what it says, and everything has figures.
func TestRun(t *testing.T) {
	opt := Options{Budget: time.Millisecond, Seed: 1, Batches: []int{1, 4}, Transports: []string{"call", "futex"}}
	res, err := Run(t.Context(), opt)
	require.NoError(t, err)
	require.Equal(t, 1, res.Run.Rounds)
	require.False(t, res.Run.Interrupted)
	for _, c := range classes {
		require.NotNil(t, res.Cell(Direct, c.Name, 4), c.Name)
		cell := res.Cell("call/message", c.Name, 4)
		require.NotNil(t, cell, c.Name)
		require.Positive(t, cell.Time.Median)
		require.Len(t, cell.Values, 1)
		require.Len(t, cell.Requests, 1)
	}
	require.EqualValues(t, 1, res.Cell("call/message", classRegister, 1).Crossings)
	require.LessOrEqual(t, res.Cell("call/message", classLoad, 1).Crossings, 2.0)
	require.NotEmpty(t, res.Echoes)
	require.NotEmpty(t, res.Contention)
	require.NotEmpty(t, res.Sparse)
	require.NotEmpty(t, res.Pollution)
	if g := res.Rung(transport.Futex.String() + "/" + depriv.Message.String()); g.Missing == "" {
		require.NotNil(t, res.Cell(g.Name, classLoad, 1))
		require.NotEmpty(t, res.Lives)
	} else {
		t.Skip("no wall here: " + g.Missing)
	}
}

// TestRunInterrupted: an end that comes early leaves what was measured.
func TestRunInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	asked := 0
	res, err := Run(ctx, Options{Seed: 3, Transports: []string{"call"}, Protocols: []string{"message"}, Batches: []int{1}, Progress: func(float64, string) {
		if asked++; asked == 12 { // in the third round of 5 tasks
			cancel()
		}
	}})
	require.NoError(t, err)
	require.True(t, res.Run.Interrupted)
	require.NotEmpty(t, res.Cells)
	require.NotEmpty(t, res.Cell("call/message", classLoad, 1).Added)
}
