// Package store keeps divergences on disk: a folder each, named by signature,
// so that two campaigns' folders merge by copying.
//
//	DIR/<signature>/divergence.json   the record, written once
//	DIR/<signature>/README.md         the same for a person
//	DIR/<signature>/runs/<run>.json   how often a run met it
//
// A record appears whole or not at all: it is written in a folder with a
// temporary name, flushed, and renamed. What a killed run leaves behind is at
// most such a temporary folder, which Open removes when it is old.
package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"
)

// The names in a record's folder.
const (
	RecordName = "divergence.json"
	ReadmeName = "README.md"
	runsName   = "runs"
	tempPrefix = ".tmp-"
)

// staleAfter is the age at which a temporary folder belongs to nobody: it is
// written within a second.
const staleAfter = time.Hour

// Record is one divergence, ready to be written.
type Record struct {
	// Signature names the folder: lower-case letters, digits and dashes.
	Signature string
	// JSON is the content of divergence.json, Readme of README.md.
	JSON, Readme []byte
}

// Run is what one run counted of one divergence.
type Run struct {
	Schema int `json:"schema"`
	// Run names the run; Count is how many cases diverged in this way.
	Run   string `json:"run"`
	Count uint64 `json:"count"`
	// First and Last are when it was met, in UTC.
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
}

// Store is a folder of divergences. Its methods may be called by several
// goroutines, and several processes may share the folder.
type Store struct {
	dir   string
	mu    sync.Mutex
	known map[string]bool
	runs  map[string]*Run
}

// Open makes the folder if need be, checks that it can be written, and reads
// the signatures that are there.
func Open(dir string) (*Store, error) {
	if dir == "" {
		return nil, errors.New("divergence folder: want a path, got an empty string")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("divergence folder %s: cannot be made: %w", dir, err)
	}
	probe, err := os.MkdirTemp(dir, tempPrefix)
	if err != nil {
		return nil, fmt.Errorf("divergence folder %s: cannot be written: %w", dir, err)
	}
	err = writeFile(filepath.Join(probe, RecordName), []byte("{}\n"))
	if err = errors.Join(err, os.RemoveAll(probe)); err != nil {
		return nil, fmt.Errorf("divergence folder %s: cannot be written: %w", dir, err)
	}
	s := &Store{dir: dir, known: map[string]bool{}, runs: map[string]*Run{}}
	names, err := s.List()
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		s.known[n] = true
	}
	s.sweep()
	return s, nil
}

// Dir is the folder.
func (s *Store) Dir() string { return s.dir }

// Path is the folder of a signature.
func (s *Store) Path(signature string) string { return filepath.Join(s.dir, signature) }

// Known says whether a divergence of that signature is in the store.
func (s *Store) Known(signature string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[signature]
}

// List returns the signatures in the folder, sorted. A folder without a
// record is not one.
func (s *Store) List() ([]string, error) { return List(s.dir) }

// List returns the signatures in a folder of divergences, sorted.
func List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("divergence folder %s: cannot be read: %w", dir, err)
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, e.Name(), RecordName)); err == nil {
			names = append(names, e.Name())
		}
	}
	sort.Strings(names)
	return names, nil
}

// Load returns the record of a signature as it is on disk.
func (s *Store) Load(signature string) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(s.dir, signature, RecordName))
	if err != nil {
		return nil, fmt.Errorf("divergence %s: %w", signature, err)
	}
	return b, nil
}

// Add writes a record unless its signature is known, and says whether it was
// new.
func (s *Store) Add(r Record) (added bool, err error) {
	if !validName(r.Signature) {
		return false, fmt.Errorf("signature %q: want lower-case letters, digits and dashes", r.Signature)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known[r.Signature] {
		return false, nil
	}
	temp, err := os.MkdirTemp(s.dir, tempPrefix)
	if err != nil {
		return false, fmt.Errorf("divergence folder %s: cannot be written: %w", s.dir, err)
	}
	defer os.RemoveAll(temp) // nothing is left of it after the rename
	if err := os.Chmod(temp, 0o755); err != nil {
		return false, fmt.Errorf("divergence folder %s: %w", temp, err)
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{ReadmeName, r.Readme}, {RecordName, r.JSON}} {
		if err := writeFile(filepath.Join(temp, f.name), f.data); err != nil {
			return false, fmt.Errorf("divergence %s in %s: cannot be written: %w", r.Signature, s.dir, err)
		}
	}
	if err := syncDir(temp); err != nil {
		return false, err
	}
	err = os.Rename(temp, s.Path(r.Signature))
	if err != nil && !errors.Is(err, fs.ErrExist) && !s.onDisk(r.Signature) {
		return false, fmt.Errorf("divergence %s in %s: cannot be written: %w", r.Signature, s.dir, err)
	}
	s.known[r.Signature] = true
	if err != nil { // another process was first
		return false, nil
	}
	return true, syncDir(s.dir)
}

func (s *Store) onDisk(signature string) bool {
	_, err := os.Stat(filepath.Join(s.Path(signature), RecordName))
	return err == nil
}

// Count adds n cases of a known signature to those of a run. It is written at
// once for the first and by Flush for the rest.
func (s *Store) Count(signature, run string, n uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.known[signature] {
		return fmt.Errorf("run %s: no divergence %s in %s", run, signature, s.dir)
	}
	now := time.Now().UTC().Truncate(time.Second)
	r := s.runs[signature]
	first := r == nil || r.Run != run
	if first {
		r = &Run{Schema: 1, Run: run, First: now}
		s.runs[signature] = r
	}
	r.Count += n
	r.Last = now
	if first {
		return s.writeRun(signature, r)
	}
	return nil
}

// Flush writes the counts of this run.
func (s *Store) Flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for signature, r := range s.runs {
		if err := s.writeRun(signature, r); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) writeRun(signature string, r *Run) error {
	if !validName(r.Run) {
		return fmt.Errorf("run %q: want lower-case letters, digits and dashes", r.Run)
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("run %s of %s: %w", r.Run, signature, err)
	}
	dir := filepath.Join(s.Path(signature), runsName)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("divergence folder %s: cannot be written: %w", dir, err)
	}
	return replaceFile(filepath.Join(dir, r.Run+".json"), append(b, '\n'))
}

// Runs returns the counts of all runs of a signature, by run.
func (s *Store) Runs(signature string) ([]Run, error) {
	files, err := filepath.Glob(filepath.Join(s.Path(signature), runsName, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("runs of %s: %w", signature, err)
	}
	var runs []Run
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, fmt.Errorf("runs of %s: %w", signature, err)
		}
		var r Run
		if err := json.Unmarshal(b, &r); err != nil {
			return nil, fmt.Errorf("%s: not a run's count: %w", f, err)
		}
		runs = append(runs, r)
	}
	return runs, nil
}

// sweep removes the temporary folders of runs that were killed. That it
// cannot is no error: they are in nobody's way.
func (s *Store) sweep() {
	old, _ := filepath.Glob(filepath.Join(s.dir, tempPrefix+"*"))
	for _, path := range old {
		if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()) > staleAfter {
			_ = os.RemoveAll(path)
		}
	}
}

func validName(name string) bool {
	if name == "" || len(name) > 128 || name[0] == '-' {
		return false
	}
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// writeFile writes a new file and flushes it to the disk.
func writeFile(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// replaceFile writes a file under a temporary name, flushes it and renames it.
func replaceFile(path string, data []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(path), tempPrefix)
	if err != nil {
		return fmt.Errorf("%s: cannot be written: %w", path, err)
	}
	name := temp.Name()
	defer os.Remove(name) // fails after the rename, which is fine
	if err := errors.Join(temp.Close(), writeFile(name, data), os.Chmod(name, 0o644)); err != nil {
		return fmt.Errorf("%s: cannot be written: %w", path, err)
	}
	if err := os.Rename(name, path); err != nil {
		return fmt.Errorf("%s: cannot be written: %w", path, err)
	}
	return syncDir(filepath.Dir(path))
}

// syncDir flushes a folder's entries. Systems that cannot flush a folder say
// so with an error that does not matter.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("folder %s: %w", path, err)
	}
	_ = d.Sync()
	if err := d.Close(); err != nil {
		return fmt.Errorf("folder %s: %w", path, err)
	}
	return nil
}
