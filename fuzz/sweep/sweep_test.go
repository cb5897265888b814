package sweep

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/seed-4e121ece/ringfence/oracle/model"
	"github.com/seed-4e121ece/ringfence/oracle/x86asm"
)

// flawed is the model with faults that are known to the test.
type flawed struct {
	*model.Decoder
	plant func(code []byte, d *oracle.Decoded)
}

func (f *flawed) Name() string { return "flawed" }

func (f *flawed) Decode(code []byte, mode x86.Mode, d *oracle.Decoded) {
	f.Decoder.Decode(code, mode, d)
	f.plant(code, d)
}

func modelEngine() Engine {
	return Engine{Name: model.Name, New: func() (oracle.Decoder, error) { return model.NewDecoder(x86asm.Profile()), nil }}
}

func flawedEngine(plant func(code []byte, d *oracle.Decoded)) Engine {
	return Engine{Name: "flawed", New: func() (oracle.Decoder, error) {
		return &flawed{model.NewDecoder(x86asm.Profile()), plant}, nil
	}}
}

// config is a small sweep against a decoder that is wrong here and there.
func config() Config {
	return Config{
		Mode: x86.Long64, All: x86asm.Profile(), Limit: 60_000, Jobs: 2,
		Subjects: []Engine{modelEngine()}, References: []Engine{flawedEngine(func(code []byte, d *oracle.Decoded) {
			switch {
			case !d.Valid:
			case code[0] == 0x62 && d.Length > 8:
				d.Length++
			case code[0] != 0x62 && d.Mnemonic != "" && d.Mnemonic[0] == 'M':
				d.Mnemonic = "M"
			}
		})},
	}
}

func sweep(t *testing.T, cfg Config) *Table {
	t.Helper()
	table, err := Run(context.Background(), cfg)
	require.NoError(t, err)
	return table
}

// same compares all that a sweep found.
func same(t *testing.T, a, b *State) {
	t.Helper()
	a.Classes, b.Classes = a.List(), b.List()
	x, y := *a, *b
	x.classes, y.classes = nil, nil
	require.Equal(t, x, y)
}

// The table does not depend on the number of workers.
func TestDeterministic(t *testing.T) {
	cfg := config()
	one := sweep(t, cfg)
	require.GreaterOrEqual(t, one.Strings, cfg.Limit)
	require.Positive(t, one.Unexplained)
	require.Equal(t, one.Differ, one.Unexplained)
	cfg.Jobs = 5
	same(t, one.State, sweep(t, cfg).State)
}

// Shards are disjoint and complete: their blocks are those of the whole walk.
func TestShards(t *testing.T) {
	w, err := NewWalk(x86.Compat16)
	require.NoError(t, err)
	const shards = 7
	seen := make([]int, w.Blocks())
	total := 0
	for s := range shards {
		cfg := config()
		cfg.Mode, cfg.Shard, cfg.Shards = x86.Compat16, s, shards
		r := &runner{cfg: &cfg, walk: w}
		require.NoError(t, r.prepare())
		total += r.state.Blocks
		for at := range r.state.Blocks {
			seen[s+at*shards]++
		}
	}
	require.Equal(t, w.Blocks(), total)
	for i, n := range seen {
		require.Equal(t, 1, n, "block %d", i)
	}
	cfg := config()
	cfg.Shard, cfg.Shards = 4, 4
	_, err = Run(context.Background(), cfg)
	require.ErrorContains(t, err, "shard 4 of 4: want 0 to 3")
}

// A sweep that is stopped and resumed, twice, ends with the table of one that
// was not.
func TestResume(t *testing.T) {
	whole := sweep(t, config())
	file := filepath.Join(t.TempDir(), "sweep.json")
	cfg := config()
	cfg.Checkpoint = file
	for _, limit := range []uint64{1, 25_000, 60_000} {
		if limit > 1 {
			var err error
			cfg.Resume, err = ReadState(file)
			require.NoError(t, err)
		}
		cfg.Limit = limit
		table := sweep(t, cfg)
		if limit < 60_000 {
			require.Less(t, table.Done, whole.Done)
		}
	}
	read, err := ReadState(file)
	require.NoError(t, err)
	same(t, whole.State, read)
	left, err := os.ReadDir(filepath.Dir(file))
	require.NoError(t, err)
	require.Len(t, left, 1, "temporary files are left")
}

// A sweep that is called off has the table of the blocks that it did.
func TestStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cfg := config()
	cfg.Limit = 0
	cfg.Checkpoint = filepath.Join(t.TempDir(), "sweep.json")
	n := 0
	cfg.Jobs = 1
	cfg.References = []Engine{flawedEngine(func([]byte, *oracle.Decoded) {
		if n++; n == 20_000 {
			cancel()
		}
	})}
	table, err := Run(ctx, cfg)
	require.NoError(t, err)
	require.True(t, table.Stopped)
	require.Less(t, table.Done, table.Blocks)
	read, err := ReadState(cfg.Checkpoint)
	require.NoError(t, err)
	same(t, table.State, read)
}

// What does not fit is refused, with what was expected.
func TestBadCheckpoint(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "sweep.json")
	cfg := config()
	cfg.Limit, cfg.Checkpoint = 1, file
	sweep(t, cfg)
	for _, tc := range []struct {
		name   string
		change func(c *Config)
		want   string
	}{
		{"mode", func(c *Config) { c.Mode = x86.Compat32 }, "checkpoint: walk 1 of 135894 blocks, want 1 of 91970"},
		{"shard", func(c *Config) { c.Shard, c.Shards = 1, 2 }, "checkpoint: walk"},
		{"engines", func(c *Config) { c.Subjects, c.References = c.References, c.Subjects }, "checkpoint: [model] against [flawed], want [flawed] against [model]"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := config()
			var err error
			c.Resume, err = ReadState(file)
			require.NoError(t, err)
			tc.change(&c)
			_, err = Run(context.Background(), c)
			require.ErrorContains(t, err, tc.want)
		})
	}
	for name, content := range map[string]string{
		"schema 7, want 1": `{"schema":7}`,
		"unknown field":    `{"schema":1,"colour":"red"}`,
		"class 0 is null":  `{"schema":1,"classes":[null]}`,
		"EOF":              ``,
	} {
		bad := filepath.Join(dir, "bad.json")
		require.NoError(t, os.WriteFile(bad, []byte(content), 0o600))
		_, err := ReadState(bad)
		require.ErrorContains(t, err, name)
	}
	cfg = config()
	cfg.Limit, cfg.Checkpoint = 1, filepath.Join(dir, "no", "such", "folder")
	_, err := Run(context.Background(), cfg)
	require.Error(t, err)
}

// Engines that fail end the sweep with an error, not the process.
func TestBrokenEngine(t *testing.T) {
	cfg := config()
	cfg.References = []Engine{flawedEngine(func(code []byte, _ *oracle.Decoded) {
		if code[0] == 0x62 {
			panic("broken")
		}
	})}
	table, err := Run(context.Background(), cfg)
	require.ErrorContains(t, err, "panic in the block of prefixes")
	require.NotNil(t, table)
	cfg.References = []Engine{{Name: "absent", New: func() (oracle.Decoder, error) { return nil, errors.New("not here") }}}
	_, err = Run(context.Background(), cfg)
	require.ErrorContains(t, err, "engine absent: not here")
	cfg.References = nil
	_, err = Run(context.Background(), cfg)
	require.ErrorContains(t, err, "want at least one subject and one reference")
}

// A planted fault is found wherever it is, with the shortest string that shows
// it; a quirk explains its own and nothing else.
func TestFindsPlantedFaults(t *testing.T) {
	for _, tc := range []struct {
		name, opcode, fields string
		plant                func(code []byte, d *oracle.Decoded)
	}{
		{"a suffix of 3DNow!", "0F 0F", "validity", func(_ []byte, d *oracle.Decoded) {
			if d.Mnemonic == "PFADD" {
				*d = oracle.Decoded{Covered: true}
			}
		}},
		{"a length", "", "length", func(code []byte, d *oracle.Decoded) {
			if code[0] == 0x80 && d.Valid {
				d.Length++
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := config()
			walk, err := NewWalk(cfg.Mode)
			require.NoError(t, err)
			cfg.References = []Engine{flawedEngine(tc.plant)}
			w, err := newWorker(&cfg, walk)
			require.NoError(t, err)
			found := classes{}
			for i := range walk.blocks {
				b := &walk.blocks[i]
				if b.space == spaceLegacy && b.prefix == 0 && (b.opmap == 1 && b.opcode == 0x0f || b.opmap == 0) {
					found.merge(w.block(b).classes)
				}
			}
			require.NotEmpty(t, found)
			for _, c := range found.list() {
				require.Equal(t, tc.fields, c.Fields)
				if tc.opcode != "" {
					require.Equal(t, tc.opcode, c.Opcode)
				}
				require.Empty(t, c.Quirk)
			}
		})
	}
}

func TestCPUQuirks(t *testing.T) {
	require.NoError(t, oracle.CheckQuirks(CPUQuirks()))
	m := model.NewDecoder(x86asm.Profile())
	for _, q := range CPUQuirks() {
		for _, e := range q.Evidence {
			code, err := e.Decode()
			require.NoError(t, err)
			var d oracle.Decoded
			m.Decode(code, e.Mode, &d)
			require.Equal(t, e.Truth, answer(&d), "%s %s", q.Name, e.Bytes)
		}
	}
}

func TestTrophies(t *testing.T) {
	var b strings.Builder
	require.NoError(t, WriteTrophies(&b, nil, x86asm.Quirks(), nil))
	rows := x86asm.Quirks()
	for i := range rows {
		require.Contains(t, b.String(), "\n### "+rows[i].Name+"\n")
		for _, e := range rows[i].Evidence {
			require.Contains(t, b.String(), "| `"+e.Bytes+"` |")
		}
	}
	require.Contains(t, b.String(), "ringfence decode --engine model,x86asm 4848c3 486689c8")
}
