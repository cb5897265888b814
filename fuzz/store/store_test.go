package store

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func record(sig string) Record {
	return Record{sig, []byte(`{"schema":1}` + "\n"), []byte("# " + sig + "\n")}
}

func TestAddOnceAndList(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		sig  string
		want bool
	}{{"beef", true}, {"cafe", true}, {"beef", false}} {
		if added, err := s.Add(record(step.sig)); err != nil || added != step.want {
			t.Errorf("Add(%s) = %v, %v; want %v", step.sig, added, err, step.want)
		}
	}
	if got, _ := s.List(); fmt.Sprint(got) != "[beef cafe]" {
		t.Errorf("List = %v", got)
	}
	again, err := Open(dir)
	if err != nil || !again.Known("beef") || again.Known("babe") {
		t.Errorf("a second store: err %v, knows beef %v, babe %v", err, again.Known("beef"), again.Known("babe"))
	}
	if b, err := again.Load("cafe"); err != nil || string(b) != `{"schema":1}`+"\n" {
		t.Errorf("Load = %q, %v", b, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, tempPrefix+"*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestRunsAreCounted(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Add(record("beef")); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := s.Count("beef", "run-1", 2); err != nil {
			t.Fatal(err)
		}
	}
	if runs, err := s.Runs("beef"); err != nil || len(runs) != 1 || runs[0].Count != 2 {
		t.Errorf("before Flush: %v, %v; want the first count", runs, err)
	}
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	if runs, err := s.Runs("beef"); err != nil || len(runs) != 1 || runs[0].Count != 6 {
		t.Errorf("after Flush: %v, %v; want 6", runs, err)
	}
}

// Two stores' folders merge by copying: no name of one run is another's.
func TestMergeByCopying(t *testing.T) {
	dirs := [2]string{t.TempDir(), t.TempDir()}
	for i, dir := range dirs {
		s, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Add(record("beef")); err != nil {
			t.Fatal(err)
		}
		if err := s.Count("beef", fmt.Sprintf("run-%d", i), uint64(i+1)); err != nil {
			t.Fatal(err)
		}
	}
	from := filepath.Join(dirs[1], "beef", runsName, "run-1.json")
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dirs[0], "beef", runsName, "run-1.json"), b, 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := Open(dirs[0])
	if err != nil {
		t.Fatal(err)
	}
	if runs, err := s.Runs("beef"); err != nil || len(runs) != 2 {
		t.Errorf("runs = %v, %v; want two", runs, err)
	}
}

func TestTwoStoresOneFolder(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	var mu sync.Mutex
	added := 0
	for range 4 {
		s, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for i := range 20 {
				ok, err := s.Add(record(fmt.Sprintf("s%d", i)))
				if err != nil {
					t.Error(err)
				}
				if ok {
					mu.Lock()
					added++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if names, _ := List(dir); len(names) != 20 || added != 20 {
		t.Errorf("%d records, %d of them called new; want 20 each", len(names), added)
	}
}

func TestErrorsNameThePath(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below")} {
		if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("Open(%s) = %v; want an error that names it", dir, err)
		}
	}
	if _, err := Open(""); err == nil {
		t.Error("Open of an empty path: want an error")
	}
	if os.Getuid() != 0 {
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o555); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("Open of a read-only folder = %v; want an error that names it", err)
		}
	}
	// A full disk, or a file system without room for anything.
	if _, err := os.Stat("/dev/full"); err == nil {
		if err := writeFile("/dev/full", []byte("x")); err == nil {
			t.Error("writing to a full device: want an error")
		}
	}
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, sig := range []string{"", "../x", "A", "a/b", "-a", ".a"} {
		if _, err := s.Add(record(sig)); err == nil {
			t.Errorf("Add(%q): want an error", sig)
		}
	}
	if err := os.RemoveAll(s.Dir()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Add(record("beef")); err == nil || !strings.Contains(err.Error(), s.Dir()) {
		t.Errorf("Add to a folder that is gone = %v; want an error that names it", err)
	}
}
