package shm

import (
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestMemory(t *testing.T) {
	m, err := New("test", 5000)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(m.Bytes()); n != 2*PageSize {
		t.Errorf("5000 bytes: got %d, want %d", n, 2*PageSize)
	}
	other, err := unix.Mmap(m.FD(), 0, 2*PageSize, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	m.Bytes()[PageSize] = 42
	if *(*byte)(m.At(PageSize)) != 42 || other[PageSize] != 42 {
		t.Error("the two mappings do not share the byte that was written")
	}
	for range 2 {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
	if other[PageSize] != 42 {
		t.Error("closing one mapping changed the other")
	}
	if _, err := New("nothing", 0); err == nil {
		t.Error("size 0: expected an error")
	}
}

// word returns a futex word in shared memory.
func word(t *testing.T) *atomic.Uint32 {
	m, err := New("word", PageSize)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return (*atomic.Uint32)(m.At(0))
}

func TestWaitWake(t *testing.T) {
	w := word(t)
	woken := make(chan error)
	go func() {
		for w.Load() == 0 {
			if err := Wait(w, 0, time.Minute); err != nil {
				woken <- err
				return
			}
		}
		woken <- nil
	}()
	time.Sleep(10 * time.Millisecond)
	w.Store(1)
	if err := Wake(w, 1); err != nil {
		t.Error(err)
	}
	if err := <-woken; err != nil {
		t.Error(err)
	}
}

func TestWaitReturns(t *testing.T) {
	w := word(t)
	if err := Wait(w, 1, time.Hour); err != nil { // the word is 0
		t.Error(err)
	}
	from := time.Now()
	if err := Wait(w, 0, 5*time.Millisecond); err != nil {
		t.Error(err)
	}
	if d := time.Since(from); d < 4*time.Millisecond {
		t.Errorf("a wait of 5 ms returned after %v", d)
	}
}
