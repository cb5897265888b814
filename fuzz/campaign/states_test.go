package campaign

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/fuzz/internal/planted"
	"github.com/seed-4e121ece/ringfence/fuzz/reach"
	"github.com/seed-4e121ece/ringfence/internal/hostcpu"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/seed-4e121ece/ringfence/oracle/model"
	"github.com/seed-4e121ece/ringfence/oracle/silicon"
)

// statesConfig is a campaign of the model against a reference in all modes.
func statesConfig(p *isa.Profile, subject, reference func() oracle.Executor, states int) Config {
	engine := func(name string, e func() oracle.Executor) Engine {
		return Engine{Name: name, New: func() (oracle.Executor, error) { return e(), nil }}
	}
	return Config{
		Subject: engine("model", subject), References: []Engine{engine("reference", reference)},
		Profile: p, Modes: AllModes, States: states, Seed: 3, Strict: true,
	}
}

// Every row runs in each of its modes, as often as was asked, whatever the
// number of workers; and a flaw is counted with the row that has it.
func TestStates(t *testing.T) {
	p := hostcpu.Profile()
	sound := func() oracle.Executor { return model.New(p) }
	broken := func() oracle.Executor { return planted.New(model.New(p), p, planted.FlipAF(isa.XADD)) }
	for _, jobs := range []int{1, 3} {
		cfg := statesConfig(p, broken, sound, 4)
		cfg.Jobs, cfg.KeepLarge = jobs, true
		s, err := Run(context.Background(), cfg)
		require.NoError(t, err)
		want, cases := 0, uint64(0)
		r := s.Reach.Report(p.Vendor, AllModes, func(row *isa.Row, m x86.Mode) bool {
			if !HasStates(row, m, p) {
				return false
			}
			want++
			k := s.Reach.Cell(m, row.ID)
			cases += k.Cases
			if k.Diverged > 0 {
				require.Equal(t, isa.XADD, row.Mnemonic)
			}
			return true
		})
		require.Positive(t, r.Total.Cell.Diverged)
		require.Equal(t, want, r.Total.Rows)
		require.EqualValues(t, want*cfg.States, s.Counts.Cases)
		require.InDelta(t, s.Counts.Cases, cases, float64(s.Counts.Cases)/50, "most cases are of the row that they were made for")
	}
}

// What only --strict compares is counted apart.
func TestStatesStrict(t *testing.T) {
	p := hostcpu.Profile()
	cfg := statesConfig(p, func() oracle.Executor { return planted.New(model.New(p), p, planted.FlipAF(isa.AND)) },
		func() oracle.Executor { return model.New(p) }, 20)
	cfg.Only, cfg.KeepLarge = "AND", true
	s, err := Run(context.Background(), cfg)
	require.NoError(t, err)
	r := s.Reach.Report(p.Vendor, AllModes, func(row *isa.Row, m x86.Mode) bool { return HasStates(row, m, p) && row.Mnemonic == isa.AND })
	require.Zero(t, r.Total.Cell.Diverged, "AF is undefined after AND")
	require.Positive(t, r.Total.Cell.Strict)
}

// TestStatesCPU runs every general-purpose row that the CPU has, in each mode
// in which it is valid, on the model and on the CPU. Nothing differs, what the
// manuals leave undefined included where this CPU's choices are known, and
// nothing ends in a way that the table of faults does not have. `make states`
// runs ten thousand states, which reach what the table has.
func TestStatesCPU(t *testing.T) {
	cpu, err := silicon.New()
	if err != nil {
		if slices.Contains(strings.Split(os.Getenv("RINGFENCE_REQUIRE"), ","), "silicon") {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	require.NoError(t, cpu.Close())
	p := silicon.Profile()
	cfg := statesConfig(p, func() oracle.Executor { return model.New(p) }, nil, 24)
	cfg.References = []Engine{{Name: "silicon", New: func() (oracle.Executor, error) { return silicon.New() }}}
	cfg.Strict = hostcpu.Exact()
	s, err := Run(context.Background(), cfg)
	require.NoError(t, err)
	for _, d := range s.Divergences {
		t.Errorf("%s (%s): %v, %v, %v", d.Text, d.Code, d.Fields, d.Outcomes, d.Detail)
	}
	r := s.Reach.Report(p.Vendor, AllModes, func(row *isa.Row, m x86.Mode) bool { return HasStates(row, m, p) })
	for _, g := range r.Unexpected {
		t.Errorf("%v, %d bits: ended with %v", g.Row, g.Mode.Width(), g.Kind)
	}
	f := &r.Total
	t.Logf("%d rows, each in its modes: %d cases, %d compared, %d rows retired; %d outcomes, %d patterns of flags, %d outcomes not reached",
		f.Rows, f.Cell.Cases, f.Cell.Compared, f.Retired, f.Outcomes, f.Patterns, len(r.Missing))
	require.Greater(t, f.Retired*10, f.Rows*8)
	missing := 0
	for _, g := range r.Missing {
		if g.Kind == reach.Retired {
			missing++
		}
	}
	require.Less(t, missing, f.Rows/50, "rows that can retire and did not")
}
