package campaign

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/internal/hostcpu"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/seed-4e121ece/ringfence/oracle/model"
)

// moody loses a flag in one run of a hundred.
type moody struct {
	oracle.Executor
	runs int
}

func (m *moody) Run(c []oracle.Case, r []oracle.Result) error {
	if err := m.Executor.Run(c, r); err != nil {
		return err
	}
	if m.runs++; m.runs%100 == 0 && r[0].Outcome == step.Okay {
		r[0].State.RFLAGS ^= uint64(x86.ID)
	}
	return nil
}

// A reference that contradicts itself has not diverged, and is told of.
func TestUnstableReference(t *testing.T) {
	cfg := config(sound(), 40000)
	cfg.References[0].New = func() (oracle.Executor, error) {
		return &moody{Executor: model.New(hostcpu.Profile(), model.WithName("reference"))}, nil
	}
	s, err := Run(context.Background(), cfg)
	require.NoError(t, err)
	require.Empty(t, s.Divergences)
	require.NotEmpty(t, s.Unstable)
	require.Equal(t, "rflags: ID", s.Unstable[0].Detail)
	require.NotEmpty(t, s.Unstable[0].Text)
}

// A subject whose answer depends on the cases before has diverged.
func TestSubjectThatRemembers(t *testing.T) {
	cfg := config(sound(), 5000)
	cfg.Subject.New = func() (oracle.Executor, error) {
		return &forgetful{model.New(hostcpu.Profile())}, nil
	}
	s, err := Run(context.Background(), cfg)
	require.NoError(t, err)
	require.NotEmpty(t, s.Divergences)
	require.Empty(t, s.Unstable)
}

// forgetful is wrong on the second case of a batch only.
type forgetful struct{ oracle.Executor }

func (m *forgetful) Run(c []oracle.Case, r []oracle.Result) error {
	if err := m.Executor.Run(c, r); err != nil {
		return err
	}
	if len(r) > 1 && r[1].Outcome == step.Okay {
		r[1].State.GPR[x86.RAX]++
	}
	return nil
}
