package campaign

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/fuzz/internal/planted"
)

// The modes take turns, each with rows that no other has.
func TestModes(t *testing.T) {
	cfg := config(sound(), 30000)
	cfg.Modes = AllModes
	s, err := Run(context.Background(), cfg)
	require.NoError(t, err)
	require.Empty(t, s.Divergences)
	retired := map[string]uint64{}
	for _, r := range isa.Rows() {
		retired[r.Syntax] += s.Counts.Rows[r.ID].Retired
	}
	for _, syntax := range []string{"AAA", "PUSHAD", "PUSHA", "MOVSXD r64, r/m32", "LES r16, m16:16", "JMP ptr16:32"} {
		require.NotZero(t, retired[syntax], syntax)
	}
}

func TestWrongMode(t *testing.T) {
	cfg := config(sound(), 100)
	cfg.Modes = []x86.Mode{x86.Real}
	_, err := Run(context.Background(), cfg)
	require.ErrorContains(t, err, "modes [real]: want of [long64 compat32 compat16]")
}

// A flaw that shows in 32-bit code is found and recorded there.
func TestPlantedFlaw32(t *testing.T) {
	cfg := config(subject(planted.FlipAF(isa.ADC)), 30000)
	cfg.Only, cfg.Modes, cfg.Out = "adc", []x86.Mode{x86.Compat32}, filepath.Join(t.TempDir(), "divergences")
	s, err := Run(context.Background(), cfg)
	require.NoError(t, err)
	require.NotEmpty(t, s.Divergences)
	for _, d := range s.Divergences {
		require.Equal(t, "ADC", d.Mnemonic)
	}
}
