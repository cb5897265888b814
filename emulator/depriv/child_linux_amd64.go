package depriv

import (
	"encoding/json"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/seed-4e121ece/ringfence/emulator/depriv/sandbox"
	"github.com/seed-4e121ece/ringfence/emulator/depriv/transport"
	"github.com/seed-4e121ece/ringfence/emulator/depriv/wire"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/internal/shm"
)

// misbehaviours are the ways in which a worker of the tests misbehaves, by
// Config.mode: they serve in place of the emulator.
var misbehaviours = map[string]func(transport.Server, transport.Serve){}

// init makes this process a worker if it was started as one. Only then does it
// do anything, and then it never returns.
func init() {
	if len(os.Args) == 2 && os.Args[0] == workerName {
		work(os.Args[1])
	}
}

// work is the life of a worker. It runs on the main thread, to which a goroutine
// is bound while a program is initialised, and which the caller pins to a CPU.
func work(text string) {
	g := greeting{Version: wire.Version, Rows: isa.NumRows}
	var o order
	serve, server, err := prepare(text, &o)
	if err != nil {
		g.Error = err.Error()
		say(g.line())
		os.Exit(1)
	}
	keep := make([]int, 0, 8)
	for i := range 1 + o.Descriptors {
		keep = append(keep, fdStatus+i)
	}
	calls := []uint32{unix.SYS_WRITE}
	if o.Transport != transport.Futex && o.Transport != transport.Spin {
		calls = append(calls, unix.SYS_READ)
	}
	say(sandbox.Enter(o.Asked, keep, calls, func(r sandbox.Report) []byte {
		g.Report = r
		return g.line()
	}))
	if f := misbehaviours[o.Mode]; f != nil {
		f(server, serve)
		os.Exit(0)
	}
	for {
		n, err := server.Next()
		if err != nil || !serve(server, n) {
			os.Exit(1)
		}
	}
}

// prepare makes everything that a worker needs: nothing can be opened later.
func prepare(text string, o *order) (transport.Serve, transport.Server, error) {
	if err := json.Unmarshal([]byte(text), o); err != nil {
		return nil, nil, fmt.Errorf("order: %w", err)
	}
	fds := make([]int, o.Descriptors)
	for i := range fds {
		fds[i] = fdTransport + i
	}
	var memory *Memory
	if o.Memory > 0 && len(fds) > 0 {
		last := len(fds) - 1
		data, err := shm.Map(fds[last], o.Memory, o.MemoryWrite)
		if err != nil {
			return nil, nil, err
		}
		if memory, err = mapped(data); err != nil {
			return nil, nil, err
		}
		fds = fds[:last]
	}
	server, err := transport.Accept(o.Transport, fds, o.Batch, o.Spins)
	if err != nil {
		return nil, nil, err
	}
	return serving(newWorker(&Config{Profile: &o.Profile, ForceWriteback: o.ForceWriteback, Memory: memory})), server, nil
}

// line is the greeting as it is said.
func (g *greeting) line() []byte {
	line, err := json.Marshal(g)
	if err != nil {
		os.Exit(2)
	}
	return append(line, '\n')
}

// say writes the greeting.
func say(line []byte) {
	if _, err := syscall.Write(fdStatus, line); err != nil {
		os.Exit(2)
	}
}
