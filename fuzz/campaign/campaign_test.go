package campaign

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/fuzz/diff"
	"github.com/seed-4e121ece/ringfence/fuzz/internal/planted"
	"github.com/seed-4e121ece/ringfence/fuzz/minimise"
	"github.com/seed-4e121ece/ringfence/fuzz/store"
	"github.com/seed-4e121ece/ringfence/internal/hostcpu"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/seed-4e121ece/ringfence/oracle/model"
	"github.com/seed-4e121ece/ringfence/oracle/x86asm"
)

func reference() Engine {
	return Engine{"reference", func() (oracle.Executor, error) {
		return model.New(hostcpu.Profile(), model.WithName("reference")), nil
	}}
}

func subject(flaw planted.Flaw) Engine {
	return Engine{"model", func() (oracle.Executor, error) {
		p := hostcpu.Profile()
		return planted.New(model.New(p), p, flaw), nil
	}}
}

func sound() Engine {
	return Engine{"model", func() (oracle.Executor, error) { return model.New(hostcpu.Profile()), nil }}
}

// config compares a subject with the model itself, so that the campaign is
// what is tested.
func config(subject Engine, cases uint64) Config {
	return Config{Subject: subject, References: []Engine{reference()}, Profile: hostcpu.Profile(), Cases: cases, Seed: 1}
}

// A flaw is found, made small, recorded once, and replays; a second run knows
// it.
func TestPlantedFlaw(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "divergences")
	cfg := config(subject(planted.CarryLost(isa.ADC)), 40000)
	cfg.Only = "adc"
	cfg.Out = dir
	s, err := Run(context.Background(), cfg)
	require.NoError(t, err)
	require.NotEmpty(t, s.Divergences)
	require.Equal(t, len(s.Divergences), s.New)
	seen := map[string]bool{}
	for _, d := range s.Divergences {
		require.False(t, seen[d.Signature], "signature %s twice", d.Signature)
		seen[d.Signature] = true
		require.Equal(t, "ADC", d.Mnemonic)
		require.Equal(t, []string{"rflags"}, d.Fields)
		checkRecord(t, d)
	}
	names, err := store.List(dir)
	require.NoError(t, err)
	require.Len(t, names, len(s.Divergences))

	again, err := Run(context.Background(), cfg)
	require.NoError(t, err)
	require.Len(t, again.Divergences, len(s.Divergences))
	require.Zero(t, again.New, "what is in the folder is not new")
	st, err := store.Open(dir)
	require.NoError(t, err)
	runs, err := st.Runs(names[0])
	require.NoError(t, err)
	require.Len(t, runs, 2)
	for _, d := range again.Divergences {
		if d.Signature == names[0] {
			require.Contains(t, []uint64{runs[0].Count, runs[1].Count}, d.Count)
			require.Greater(t, d.Count, uint64(1))
		}
	}
}

// checkRecord parses a record, and runs its case again.
func checkRecord(t *testing.T, d Divergence) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(d.Path, store.RecordName))
	require.NoError(t, err)
	r, err := oracle.ParseDivergence(data)
	require.NoError(t, err)
	require.Equal(t, d.Signature, r.Signature)
	c, err := oracle.ParseCase(r.Case)
	require.NoError(t, err)
	p := hostcpu.Profile()
	flawed, err := subject(planted.CarryLost(isa.ADC)).New()
	require.NoError(t, err)
	differ := diff.New(flawed, model.New(p, model.WithName("reference")), p, 1, len(c.Memory))
	f, err := differ.Single(c)
	require.NoError(t, err)
	require.Equal(t, oracle.FieldFlags, f.Diff.Fields, "the record no longer diverges: % x", c.CodeBytes())
	// The flaw needs REX.W, CF and a bit of RAX; an operand in memory also an
	// address.
	size, fields := minimise.Size(c)
	require.LessOrEqual(t, size, 7, "% x", c.CodeBytes())
	require.LessOrEqual(t, fields, 3, "% x: %s", c.CodeBytes(), r.Case)
}

func TestSoundSubjectFindsNothing(t *testing.T) {
	cfg := config(sound(), 60000)
	s, err := Run(context.Background(), cfg)
	require.NoError(t, err)
	require.Empty(t, s.Divergences)
	require.EqualValues(t, 60000, s.Counts.Cases)
	require.Greater(t, s.RetiredShare(), 0.6)
	require.Greater(t, s.Covered, 400)
	for _, u := range s.Uncovered {
		require.NotEmpty(t, u.Reason, u.Encoding)
	}
}

// One job and one seed give the same cases, whatever the batch size.
func TestDeterministic(t *testing.T) {
	counts := func(seed uint64, batch int) diff.Counts {
		cfg := config(sound(), 20000)
		cfg.Seed, cfg.Batch = seed, batch
		s, err := Run(context.Background(), cfg)
		require.NoError(t, err)
		return s.Counts
	}
	first := counts(7, 128)
	require.True(t, reflect.DeepEqual(first, counts(7, 128)), "the same seed gives other cases")
	require.True(t, reflect.DeepEqual(first, counts(7, 50)), "another batch size gives other cases")
	require.False(t, reflect.DeepEqual(first, counts(8, 128)), "another seed gives the same cases")
}

func TestJobsShareTheCases(t *testing.T) {
	cfg := config(sound(), 30001)
	cfg.Jobs = 3
	s, err := Run(context.Background(), cfg)
	require.NoError(t, err)
	require.EqualValues(t, 30001, s.Counts.Cases)
}

// A panic of the subject is a divergence of the case that caused it, and the
// campaign goes on.
func TestPanic(t *testing.T) {
	cfg := config(subject(planted.Panic(isa.BSWAP)), 30000)
	cfg.Out = t.TempDir()
	s, err := Run(context.Background(), cfg)
	require.NoError(t, err)
	require.EqualValues(t, 30000, s.Counts.Cases)
	require.NotEmpty(t, s.Divergences)
	for _, d := range s.Divergences {
		require.Equal(t, "BSWAP", d.Mnemonic)
		require.Equal(t, "died", d.Outcomes[0])
		data, err := os.ReadFile(filepath.Join(d.Path, store.RecordName))
		require.NoError(t, err)
		r, err := oracle.ParseDivergence(data)
		require.NoError(t, err)
		require.Equal(t, oracle.ImpactContained, r.Impact)
	}
}

// A subject that does not answer ends the campaign with the case recorded.
func TestHang(t *testing.T) {
	defer func(d time.Duration) { hangAfter = d }(hangAfter)
	hangAfter = time.Second
	cfg := config(subject(planted.Hang(isa.BSWAP)), 1<<40)
	cfg.Batch, cfg.SeedStates = 8, -1
	cfg.Out = t.TempDir()
	s, err := Run(context.Background(), cfg)
	require.ErrorContains(t, err, "hangs on")
	require.Len(t, s.Divergences, 1)
	require.Equal(t, "BSWAP", s.Divergences[0].Mnemonic)
	require.Equal(t, "ran_away", s.Divergences[0].Outcomes[0])
}

// dying is an executor that is gone after some batches.
type dying struct {
	oracle.Executor
	left int
}

func (d *dying) Run(c []oracle.Case, r []oracle.Result) error {
	if d.left--; d.left < 0 {
		return errors.New("gone")
	}
	return d.Executor.Run(c, r)
}

func TestEngineIsStartedAgain(t *testing.T) {
	started := 0
	cfg := config(sound(), 10000)
	cfg.Batch = 100
	cfg.References[0].New = func() (oracle.Executor, error) {
		started++
		return &dying{model.New(hostcpu.Profile(), model.WithName("reference")), 30}, nil
	}
	var messages []string
	cfg.Message = func(m string) { messages = append(messages, m) }
	s, err := Run(context.Background(), cfg)
	require.NoError(t, err)
	require.EqualValues(t, 10000, s.Counts.Cases)
	require.Zero(t, s.Lost)
	require.Equal(t, 4, started)
	require.Len(t, messages, 3)
	require.Contains(t, messages[0], "reference: gone; starting it again")
}

func TestNextBestReference(t *testing.T) {
	none := Engine{"silicon", func() (oracle.Executor, error) { return nil, errors.New("seccomp is refused") }}
	for _, tt := range []struct {
		name     string
		list     []Engine
		want     string
		message  string
		compared bool
	}{
		{"the second", []Engine{none, reference()}, "reference", "reference silicon is not available: seccomp is refused", true},
		{"none", []Engine{none}, "", "no reference executor", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := config(sound(), 5000)
			cfg.References = tt.list
			cfg.SubjectDecoder = DecoderEngine{Name: "model", New: func() (oracle.Decoder, error) { return model.NewDecoder(x86asm.Profile()), nil }}
			cfg.Decoders = []DecoderEngine{{Name: "x86asm", New: func() (oracle.Decoder, error) { return x86asm.New(), nil }, Quirks: x86asm.Quirks()}}
			var messages strings.Builder
			cfg.Message = func(m string) { fmt.Fprintln(&messages, m) }
			s, err := Run(context.Background(), cfg)
			require.NoError(t, err)
			require.Equal(t, tt.want, s.Reference)
			require.Contains(t, messages.String(), tt.message)
			require.Equal(t, tt.compared, s.Counts.Compared > 0)
			require.NotZero(t, s.Decoded[0].Compared)
		})
	}
}

// wrongLength is a decoder that gets the length of RET imm16 wrong.
type wrongLength struct{ oracle.Decoder }

func (w wrongLength) Decode(code []byte, mode x86.Mode, d *oracle.Decoded) {
	w.Decoder.Decode(code, mode, d)
	if d.Valid && d.Mnemonic == "RET" && d.NumOperands == 1 {
		d.Length--
	}
}

func TestDecodersAreCompared(t *testing.T) {
	dec := func(w bool) func() (oracle.Decoder, error) {
		return func() (oracle.Decoder, error) {
			d := oracle.Decoder(model.NewDecoder(x86asm.Profile()))
			if w {
				d = wrongLength{d}
			}
			return d, nil
		}
	}
	cfg := config(sound(), 5000)
	cfg.Only = "RET"
	cfg.SubjectDecoder = DecoderEngine{Name: "model", New: dec(true)}
	cfg.Decoders = []DecoderEngine{{Name: "reference", New: dec(false)}}
	cfg.Out = t.TempDir()
	s, err := Run(context.Background(), cfg)
	require.NoError(t, err)
	require.Len(t, s.Divergences, 1)
	d := s.Divergences[0]
	require.Equal(t, string(oracle.KindDecode), d.Kind)
	require.Equal(t, []string{"length"}, d.Fields)
	require.Len(t, d.Code, 6, "%s: want three bytes, without prefixes", d.Code)
}

func TestCancelStops(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cfg := config(sound(), 0)
	calls := 0
	cfg.Progress = func(p Progress) {
		if calls++; calls == 1 {
			cancel()
		}
	}
	s, err := Run(ctx, cfg)
	require.NoError(t, err)
	require.NotZero(t, s.Counts.Cases)
	require.GreaterOrEqual(t, calls, 2, "the last report comes at the end")
}

func TestStopAtFirst(t *testing.T) {
	cfg := config(subject(planted.FlipAF(isa.ADD)), 1<<40)
	cfg.StopAtFirst = true
	s, err := Run(context.Background(), cfg)
	require.NoError(t, err)
	require.NotZero(t, s.New)
	require.NotZero(t, s.Divergences[0].After)
	// A known one is no reason to stop.
	cfg.Cases, cfg.Only = 5000, "ADD"
	cfg.Known = map[string]bool{}
	for range 40 {
		s, err = Run(context.Background(), cfg)
		require.NoError(t, err)
		for _, d := range s.Divergences {
			cfg.Known[d.Signature] = true
		}
		if s.New == 0 {
			break
		}
	}
	require.Zero(t, s.New)
	require.EqualValues(t, 5000, s.Counts.Cases)
}

func TestBadConfig(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	for _, tt := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"no subject", func(c *Config) { c.Subject = Engine{} }, "no subject"},
		{"no profile", func(c *Config) { c.Profile = nil }, "no profile"},
		{"jobs", func(c *Config) { c.Jobs = -1 }, "-1 jobs"},
		{"time", func(c *Config) { c.For = -1 }, "a time of"},
		{"batch", func(c *Config) { c.Batch = 1 << 20 }, "batches of"},
		{"family", func(c *Config) { c.Only = "NOSUCH" }, `family "NOSUCH": no such mnemonic`},
		{"pattern", func(c *Config) { c.Only = "[" }, `family "[": not a pattern`},
		{"folder", func(c *Config) { c.Out = file }, file},
		{"engine", func(c *Config) {
			c.Subject.New = func() (oracle.Executor, error) { return nil, errors.New("no such thing") }
		}, "subject model: no such thing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := config(sound(), 10)
			tt.change(&cfg)
			s, err := Run(context.Background(), cfg)
			require.ErrorContains(t, err, tt.want)
			require.Nil(t, s)
		})
	}
}

func TestOnlyRestricts(t *testing.T) {
	cfg := config(sound(), 5000)
	cfg.Only = "cmov*, SETE"
	s, err := Run(context.Background(), cfg)
	require.NoError(t, err)
	for _, row := range isa.Rows() {
		name := row.Mnemonic.String()
		if n := s.Counts.Rows[row.ID].Cases; n > 0 && !strings.HasPrefix(name, "CMOV") && name != "SETE" {
			// The end of the code pages may cut what was made.
			require.Less(t, n, uint64(50), name)
		}
	}
	for _, u := range s.Uncovered {
		require.True(t, strings.HasPrefix(u.Reason, "feature absent"), "%v", u)
	}
	require.Positive(t, s.Covered)
	require.Equal(t, s.Table, s.Covered+len(s.Uncovered))
}
