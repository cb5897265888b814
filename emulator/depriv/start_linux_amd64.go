package depriv

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/seed-4e121ece/ringfence/emulator/depriv/sandbox"
	"github.com/seed-4e121ece/ringfence/emulator/depriv/transport"
	"github.com/seed-4e121ece/ringfence/emulator/depriv/wire"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/internal/spawn"
)

// workerName is argv[0] of a worker: the same executable, run again.
const workerName = "ringfence-depriv-worker"

// The descriptors of a worker: none of the standard ones, the pipe that it
// reports on, then those of the transport.
const (
	fdStatus    = 3
	fdTransport = 4
)

// order is what a worker is told, as argv[1].
type order struct {
	Transport      transport.Kind
	Batch, Spins   int
	Profile        isa.Profile
	ForceWriteback bool
	Asked          sandbox.Mechanism
	Descriptors    int
	// Memory is the size of the window, 0 without; its descriptor is the last.
	Memory      int
	MemoryWrite bool
	Mode        string
}

// greeting is what a worker says when it is ready, or why it cannot be.
type greeting struct {
	Version int
	Rows    int
	Report  sandbox.Report
	Error   string
}

// environment keeps the Go runtime of a worker to the few system calls that its
// filter allows: no garbage collection, no preemption by signals, no look at
// the cgroup.
var environment = []string{"GOGC=off", "GODEBUG=asyncpreemptoff=1,updatemaxprocs=0", "GOMAXPROCS=1", "GOTRACEBACK=none"}

// self is the running executable, opened once: it can be started again when its
// path has another file.
var self = sync.OnceValues(func() (*spawn.Image, error) { return spawn.OpenImage("/proc/self/exe") })

// startPeer starts a worker in a process of its own.
func startPeer(cfg *Config) (*peer, error) {
	img, err := self()
	if cfg.Executable != "" {
		if img, err = spawn.OpenImage(cfg.Executable); err == nil {
			defer img.Close()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("depriv: %w", err)
	}
	p, refused, err := startWith(cfg, img, cfg.Asked, nil)
	if refused != nil { // once more, without what this machine does not give
		if cfg.Asked&^cfg.Allowed&sandbox.Namespaces != 0 {
			return nil, fmt.Errorf("depriv: this machine refuses namespaces: %w", refused)
		}
		p, _, err = startWith(cfg, img, cfg.Asked&^sandbox.Namespaces, refused)
	}
	return p, err
}

// startWith starts a worker. refused is why the kernel does not give it the
// namespaces; it has been asked without, if it is given.
func startWith(cfg *Config, img *spawn.Image, asked sandbox.Mechanism, before error) (_ *peer, refused, err error) {
	spins := cfg.Spins
	if cpus, err := spawn.Affinity(); err == nil && len(cpus) < 2 {
		spins = 0
	}
	conn, files, err := transport.Open(cfg.Transport, cfg.Batch, spins)
	if err != nil {
		return nil, nil, fmt.Errorf("depriv: %w", err)
	}
	if cfg.Memory != nil {
		f, err := cfg.Memory.file()
		if err != nil {
			closeFiles(files)
			_ = conn.Close() // err tells more
			return nil, nil, fmt.Errorf("depriv: %w", err)
		}
		files = append(files, f)
	}
	p := &peer{conn: conn, cpu: -1, executable: cfg.Executable}
	defer func() {
		closeFiles(files)
		if err != nil || refused != nil {
			p.close()
		}
	}()
	status, end, err := os.Pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("depriv: %w", err)
	}
	defer status.Close()
	defer end.Close()
	text, err := json.Marshal(order{
		Transport: cfg.Transport, Batch: cfg.Batch, Spins: spins, Profile: *cfg.Profile, ForceWriteback: cfg.ForceWriteback,
		Asked: asked, Descriptors: len(files), Memory: cfg.Memory.size(), MemoryWrite: cfg.Protocol == WindowWrite, Mode: cfg.mode,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("depriv: %w", err)
	}
	attr := &os.ProcAttr{Dir: "/", Env: environment, Files: append([]*os.File{nil, nil, nil, end}, files...), Sys: sandbox.Attr(asked)}
	p.proc, err = img.StartWith([]string{workerName, string(text)}, attr, conn.Died)
	if err != nil {
		if asked&sandbox.Namespaces != 0 && namespaceRefused(err) {
			return nil, err, nil
		}
		return nil, nil, fmt.Errorf("depriv: %w", err)
	}
	end.Close()
	if err := p.greet(cfg, status, asked, before); err != nil {
		return nil, nil, err
	}
	return p, nil, nil
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// namespaceRefused says that a start failed as it does where namespaces are not
// to be had.
func namespaceRefused(err error) bool {
	for _, e := range []error{syscall.EPERM, syscall.ENOSPC, syscall.EINVAL, syscall.EACCES, syscall.ENOSYS, syscall.EUSERS} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// greet waits until the worker says that it is ready.
func (p *peer) greet(cfg *Config, status *os.File, asked sandbox.Mechanism, refused error) error {
	if err := status.SetReadDeadline(time.Now().Add(startTime)); err != nil {
		return fmt.Errorf("depriv: %w", err)
	}
	line, err := bufio.NewReader(io.LimitReader(status, 1<<16)).ReadBytes('\n')
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("depriv: the worker was not ready within %v", startTime)
	}
	if err != nil {
		p.proc.Kill()
		return fmt.Errorf("depriv: the worker ended before it was ready: %s", ending(p.proc))
	}
	var g greeting
	if err := json.Unmarshal(line, &g); err != nil {
		return fmt.Errorf("depriv: what greets is no worker of this program: %w", err)
	}
	switch {
	case g.Error != "":
		return fmt.Errorf("depriv: the worker cannot start: %s", g.Error)
	case g.Version != wire.Version || g.Rows != isa.NumRows:
		return fmt.Errorf("depriv: the worker speaks version %d of the messages with a table of %d rows; this program version %d with %d rows", g.Version, g.Rows, wire.Version, isa.NumRows)
	}
	p.report = append(sandbox.Started(cfg.Asked, refused), g.Report...)
	if refused := p.report.Refused(cfg.Asked &^ cfg.Allowed); refused != "" {
		return fmt.Errorf("depriv: this machine refuses what was asked of the sandbox: %s", refused)
	}
	return nil
}

// ending says how a process ended.
func ending(p *spawn.Process) string {
	s := p.State()
	if s == nil {
		return "it still runs"
	}
	if w, ok := s.Sys().(syscall.WaitStatus); ok && w.Signaled() && w.Signal() == syscall.SIGSYS {
		return "it made a system call that its filter forbids"
	}
	return s.String()
}
