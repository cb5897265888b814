// Package depriv runs the emulator where it can do no harm: behind a wall, in a
// process that holds no privilege. A Client is a Stepper like the emulator
// itself; who steps cannot tell which it has.
//
// The caller treats the worker as hostile. It gives it the registers of a
// virtual CPU and what the Bus answers, never the Bus; and it judges what comes
// back by the privilege level before the step (package judge) before anything
// is applied. A worker that dies, hangs or answers with nonsense is killed and
// replaced by one that waits ready; the request in hand is run again, or fails
// with an error, and no device is asked twice.
package depriv

import (
	"fmt"
	"time"

	"github.com/seed-4e121ece/ringfence/emulator/depriv/sandbox"
	"github.com/seed-4e121ece/ringfence/emulator/depriv/transport"
	"github.com/seed-4e121ece/ringfence/emulator/depriv/wire"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
)

// Protocol is how a step crosses the wall.
type Protocol uint8

// The protocols; package wire says what each means.
const (
	Message = Protocol(wire.ProtocolMessage)
	Hooks   = Protocol(wire.ProtocolHooks)
	// Window and WindowWrite show a guest's RAM to its worker: all of it, and
	// without the devices, and with WindowWrite past the accessed and dirty bits
	// too. A step that a worker with WindowWrite has not answered is not run
	// again: what it has written cannot be told.
	Window      = Protocol(wire.ProtocolWindow)
	WindowWrite = Protocol(wire.ProtocolWindowWrite)
)

var protocolNames = [...]string{Message: "message", Hooks: "hooks", Window: "window", WindowWrite: "window-rw"}

// Protocols are all protocols.
func Protocols() []Protocol { return []Protocol{Message, Hooks, Window, WindowWrite} }

// String returns the name, as "message".
func (p Protocol) String() string {
	if int(p) < len(protocolNames) {
		return protocolNames[p]
	}
	return fmt.Sprintf("Protocol(%d)", uint8(p))
}

// ParseProtocol returns the protocol of that name.
func ParseProtocol(name string) (Protocol, error) {
	for p, n := range protocolNames {
		if n == name {
			return Protocol(p), nil
		}
	}
	return 0, fmt.Errorf("protocol %q: want one of %v", name, protocolNames)
}

// Defaults of a Config.
const (
	DefaultTimeout  = 2 * time.Second
	DefaultSpins    = 2000
	DefaultAttempts = 2
	// startTime is how long a worker may take until it is ready.
	startTime = 10 * time.Second
)

// Config says how a Client crosses the wall.
type Config struct {
	Transport transport.Kind
	Protocol  Protocol
	// Profile is the CPU that is emulated.
	Profile *isa.Profile
	// ForceWriteback is the emulator's option of that name.
	ForceWriteback bool
	// Batch is the most requests that cross at once: 1 to transport.MaxBatch; 0
	// means 1.
	Batch int
	// Spins is how often the transport Spin looks before it sleeps, with a PAUSE
	// between; 0 means DefaultSpins. On a machine with one CPU it is 0.
	Spins int
	// Memory is the guest's, for the protocols with a window: read-write for
	// WindowWrite, else read-only.
	Memory *Memory
	// Asked are the mechanisms of the sandbox; 0 means sandbox.All.
	Asked sandbox.Mechanism
	// Allowed are those that the machine may refuse. Without, running with less
	// than was asked is an error.
	Allowed sandbox.Mechanism
	// Timeout is how long a worker may take for an answer; 0 means
	// DefaultTimeout.
	Timeout time.Duration
	// Attempts is how many workers a request may cost before it fails; 0 means
	// DefaultAttempts, 1 that no request is run again.
	Attempts int
	// NoSpare keeps no second worker ready.
	NoSpare bool
	// Executable is the file that a worker is started from; "" means the running
	// one.
	Executable string
	// Finding is told of every worker that died, hung or was refused; nil tells
	// nobody. It is called by the goroutine that steps.
	Finding func(Finding)

	mode string // tests only: how the worker misbehaves
}

// complete fills in the defaults, or says what is wrong.
func (c Config) complete() (Config, error) {
	if c.Batch == 0 {
		c.Batch = 1
	}
	if c.Spins == 0 {
		c.Spins = DefaultSpins
	}
	if c.Asked == 0 {
		c.Asked = sandbox.All
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Attempts == 0 {
		c.Attempts = DefaultAttempts
	}
	switch {
	case c.Profile == nil:
		return c, fmt.Errorf("depriv: no profile of the CPU that is emulated")
	case c.Batch < 1 || c.Batch > transport.MaxBatch:
		return c, fmt.Errorf("depriv: batches of %d: want 1 to %d", c.Batch, transport.MaxBatch)
	case c.Protocol == Hooks && c.Batch > 1:
		return c, fmt.Errorf("depriv: batches of %d hooks: a hook waits for its answer, so that only one request can cross", c.Batch)
	case c.Protocol == Hooks && c.Transport == transport.Call:
		return c, fmt.Errorf("depriv: hooks over a direct call are the Bus itself: step the emulator with it")
	case c.Protocol >= Window && c.Memory == nil:
		return c, fmt.Errorf("depriv: protocol %v without Memory: there is no window to look through", c.Protocol)
	case c.Memory != nil && c.Memory.write != (c.Protocol == WindowWrite):
		return c, fmt.Errorf("depriv: protocol %v with memory that the worker may write: %v", c.Protocol, c.Memory.write)
	case c.Timeout < 0 || c.Attempts < 0 || c.Spins < 0:
		return c, fmt.Errorf("depriv: timeout %v, %d attempts, %d spins: want nothing below 0", c.Timeout, c.Attempts, c.Spins)
	}
	return c, nil
}

// FindingKind is what a worker has done.
type FindingKind uint8

// The kinds of finding.
const (
	// Died: the process ended.
	Died FindingKind = iota
	// Hung: it gave no answer in time.
	Hung
	// Refused: the judge refused its reply, or it was malformed.
	Refused
	// Failed: it said itself that it cannot go on, as after a panic.
	Failed
)

var findingNames = [...]string{"died", "hung", "refused", "failed"}

// String returns the name, as "refused".
func (k FindingKind) String() string {
	if int(k) < len(findingNames) {
		return findingNames[k]
	}
	return fmt.Sprintf("FindingKind(%d)", uint8(k))
}

// Finding is what a worker did that cost it its life.
type Finding struct {
	Kind FindingKind
	// Err tells more: how the process ended, or what was refused.
	Err error
	// Sequence is the number of the request in hand.
	Sequence uint32
	// Reply is the reply that was refused, of which the caller may keep no
	// reference; nil if there is none.
	Reply []byte
}

// Error is the error of a request that no worker has answered.
func (f *Finding) Error() string {
	return fmt.Sprintf("worker %v: %v", f.Kind, f.Err)
}

// Unwrap returns Err.
func (f *Finding) Unwrap() error { return f.Err }

// Stats are counts since the Client was made.
type Stats struct {
	// Requests are the steps that were asked for; Crossings the trips over the
	// wall and back that they took, those to workers that died included.
	Requests, Crossings uint64
	// Exchanges are the trips of whole batches.
	Exchanges uint64
	// Replaced is how many workers took the place of another, Refused how many
	// of those had answered with what the judge refused.
	Replaced, Refused uint64
	// Failed are the requests that ended with an error.
	Failed uint64
}
