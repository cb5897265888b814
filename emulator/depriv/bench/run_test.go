package bench

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRunTiny(t *testing.T) {
	begin := time.Now()
	res, err := Run(context.Background(), Options{Budget: 2 * time.Second, Seed: 1})
	require.NoError(t, err)
	t.Log(time.Since(begin), res.Run.Rounds)
	for _, g := range res.Rungs {
		t.Log(g.Name, g.Missing, g.Allocations)
	}
	for _, f := range res.Floors {
		t.Log(f.Name, f.Missing, f.Time)
	}
	for _, c := range res.Cells {
		if c.Class == "load" || c.Class == "register" || c.Class == "block64" {
			t.Logf("%-20s %-10s %4d %9.1f +%9.1f iqr %.1f cpu %.1f x%.2f p99 %.0f p999 %.0f", c.Rung, c.Class, c.Batch, c.Time.Median, c.Added.Median, c.Time.IQR(), c.CPU.Median, c.Crossings, c.Tail.P99, c.Tail.P999)
		}
	}
	for _, x := range []any{res.Echoes, res.Contention, res.Sparse, res.Pollution, res.Lives} {
		b, err := json.Marshal(x)
		require.NoError(t, err)
		t.Log(string(b))
	}
}
