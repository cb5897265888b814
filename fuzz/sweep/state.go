package sweep

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// StateSchema is the version of a checkpoint.
const StateSchema = 1

// State is how far a sweep is and what it found: the content of a checkpoint.
type State struct {
	Schema int `json:"schema"`
	// Walk is the WalkVersion that the sweep follows.
	Walk       int      `json:"walk"`
	Mode       int      `json:"mode"`
	Subjects   []string `json:"subjects"`
	References []string `json:"references"`
	Shard      int      `json:"shard"`
	Shards     int      `json:"shards"`
	// Sample is what Config.Sample is, with 1 for all strings.
	Sample int `json:"sample,omitempty"`
	// Done of Blocks blocks of this shard are in the counts.
	Done   int `json:"done"`
	Blocks int `json:"blocks"`
	// Strings counts distinct strings, Valid those that the table has.
	Strings uint64 `json:"strings"`
	Valid   uint64 `json:"valid"`
	// Compared and Uncovered count pairs of answers, those that were compared
	// and those of which one engine has no table; Groups counts the latter by
	// the group that it names. Differ counts the pairs that differ,
	// Unexplained those that no quirk explains.
	Compared    uint64            `json:"compared"`
	Uncovered   uint64            `json:"uncovered"`
	Groups      map[string]uint64 `json:"groups,omitempty"`
	Differ      uint64            `json:"differ"`
	Unexplained uint64            `json:"unexplained"`
	Classes     []*Class          `json:"classes"`

	classes classes
}

func newState(cfg *Config, walk *Walk) *State {
	s := &State{
		Schema: StateSchema, Walk: WalkVersion, Mode: walk.mode.Width(), Shard: cfg.Shard, Shards: cfg.Shards,
		Sample: max(cfg.Sample, 1),
		Blocks: (walk.Blocks() - cfg.Shard + cfg.Shards - 1) / cfg.Shards, Groups: map[string]uint64{}, classes: classes{},
	}
	for i := range cfg.Subjects {
		s.Subjects = append(s.Subjects, cfg.Subjects[i].Name)
	}
	for i := range cfg.References {
		s.References = append(s.References, cfg.References[i].Name)
	}
	return s
}

// add adds the next block.
func (s *State) add(b *blockResult) {
	s.Done++
	s.Strings += b.Strings
	s.Valid += b.Valid
	s.Compared += b.Compared
	s.Uncovered += b.Uncovered
	s.Differ += b.Differ
	s.Unexplained += b.Unexplained
	for g, n := range b.Groups {
		s.Groups[g] += n
	}
	s.classes.merge(b.classes)
}

// List returns the classes of disagreements: those that nothing explains
// first, then by count.
func (s *State) List() []*Class { return s.classes.list() }

// fits says whether a checkpoint is one of the sweep that fresh begins.
func (s *State) fits(fresh *State) error {
	switch {
	case s.Schema != fresh.Schema:
		return fmt.Errorf("checkpoint: schema %d, want %d", s.Schema, fresh.Schema)
	case s.Walk != fresh.Walk || s.Blocks != fresh.Blocks:
		return fmt.Errorf("checkpoint: walk %d of %d blocks, want %d of %d", s.Walk, s.Blocks, fresh.Walk, fresh.Blocks)
	case s.Mode != fresh.Mode:
		return fmt.Errorf("checkpoint: of %d-bit code, want %d", s.Mode, fresh.Mode)
	case s.Shard != fresh.Shard || s.Shards != fresh.Shards:
		return fmt.Errorf("checkpoint: shard %d/%d, want %d/%d", s.Shard+1, s.Shards, fresh.Shard+1, fresh.Shards)
	case max(s.Sample, 1) != fresh.Sample:
		return fmt.Errorf("checkpoint: sample %d, want %d", max(s.Sample, 1), fresh.Sample)
	case !slices.Equal(s.Subjects, fresh.Subjects) || !slices.Equal(s.References, fresh.References):
		return fmt.Errorf("checkpoint: %v against %v, want %v against %v", s.Subjects, s.References, fresh.Subjects, fresh.References)
	case s.Done < 0 || s.Done > s.Blocks:
		return fmt.Errorf("checkpoint: %d of %d blocks done", s.Done, s.Blocks)
	}
	return nil
}

// Write writes the state to a file, whole or not at all.
func (s *State) Write(file string) error {
	s.Classes = s.List()
	data, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("checkpoint %s: %w", file, err)
	}
	temp, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-")
	if err != nil {
		return fmt.Errorf("checkpoint %s: %w", file, err)
	}
	_, err = temp.Write(append(data, '\n'))
	if err == nil {
		err = temp.Sync()
	}
	err = errors.Join(err, temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), file)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("checkpoint %s: %w", file, err), os.Remove(temp.Name()))
	}
	return nil
}

// ReadState reads a checkpoint.
func ReadState(file string) (*State, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	s := &State{}
	if err := d.Decode(s); err != nil {
		return nil, fmt.Errorf("checkpoint %s: %w", file, err)
	}
	if s.Schema != StateSchema {
		return nil, fmt.Errorf("checkpoint %s: schema %d, want %d", file, s.Schema, StateSchema)
	}
	s.classes = classes{}
	for i, c := range s.Classes {
		if c == nil {
			return nil, fmt.Errorf("checkpoint %s: class %d is null", file, i)
		}
		if c.Quirk != "" && c.Opcodes == nil {
			c.Opcodes = map[string]*OpcodeCount{}
		}
		s.classes[c.key()] = c
	}
	if s.Groups == nil {
		s.Groups = map[string]uint64{}
	}
	return s, nil
}
