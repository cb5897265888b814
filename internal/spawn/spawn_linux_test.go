package spawn

import (
	"os"
	"sync/atomic"
	"testing"
	"time"
)

// TestMain lets the test binary be the helper as well.
func TestMain(m *testing.M) {
	if os.Args[0] != "helper" {
		os.Exit(m.Run())
	}
	if len(os.Environ()) != 0 {
		os.Exit(20)
	}
	w := os.NewFile(2, "pipe")
	if _, err := w.Write([]byte("up")); err != nil {
		os.Exit(21)
	}
	time.Sleep(time.Hour)
}

func startHelper(t *testing.T, onExit func()) *Process {
	t.Helper()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Skip(err)
	}
	img, err := NewImage("helper", self)
	if err != nil {
		t.Skip(err)
	}
	defer img.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p, err := img.Start("helper", []*os.File{nil, nil, w}, onExit)
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 2)
	if _, err := r.Read(buf); err != nil || string(buf) != "up" {
		<-p.Done()
		t.Fatalf("helper said %q, %v, and ended: %v", buf, err, p.State())
	}
	return p
}

func TestStartKill(t *testing.T) {
	var exits atomic.Int32
	p := startHelper(t, func() { exits.Add(1) })
	if p.Exited() || p.State() != nil {
		t.Error("the helper ended by itself")
	}
	if err := Pin(p.Pid(), mustCPU(t)); err != nil {
		t.Error(err)
	}
	p.Kill()
	p.Kill()
	if !p.Exited() || exits.Load() != 1 {
		t.Errorf("after Kill: exited %v, onExit called %d times", p.Exited(), exits.Load())
	}
}

func mustCPU(t *testing.T) int {
	cpu, err := CurrentCPU()
	if err != nil {
		t.Fatal(err)
	}
	cpus, err := Affinity()
	if err != nil || len(cpus) == 0 {
		t.Fatalf("affinity: %v, %v", cpus, err)
	}
	for _, c := range cpus {
		if c == cpu {
			return cpu
		}
	}
	t.Fatalf("CPU %d is not among %v", cpu, cpus)
	return 0
}

func TestStartFails(t *testing.T) {
	if _, err := Start("/does/not/exist", []string{"nothing"}, &os.ProcAttr{}, nil); err == nil {
		t.Error("expected an error")
	}
}
