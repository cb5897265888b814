package external

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-4e121ece/ringfence/oracle"
)

// failure is how an engine failed on a request.
type failure struct {
	ending oracle.Ending
	note   string
}

func (f *failure) Error() string { return f.note }

// process is a running engine. When it fails it is of no more use.
type process struct {
	cmd    *exec.Cmd
	in     *os.File
	out    *os.File
	reader *bufio.Reader
	stderr *tail
	buf    []byte
	hello  Hello
	// late is set when the process was killed for being late.
	late  atomic.Bool
	timer *time.Timer
	once  sync.Once
	// waited is closed when the process has ended; status tells how.
	waited chan struct{}
	status error
}

// helloTime is how long an engine may take to start: `go run` may have to build
// it.
var helloTime = time.Minute

// start starts an engine and greets it.
func start(argv []string) (*process, error) {
	p := &process{cmd: exec.Command(argv[0], argv[1:]...), stderr: &tail{}, waited: make(chan struct{})}
	p.cmd.Stderr = p.stderr
	p.cmd.WaitDelay = time.Second
	setGroup(p.cmd)
	childIn, in, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", argv[0], err)
	}
	out, childOut, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", argv[0], err), childIn.Close(), in.Close())
	}
	p.in, p.out = in, out
	p.cmd.Stdin, p.cmd.Stdout = childIn, childOut
	err = p.cmd.Start()
	cerr := errors.Join(childIn.Close(), childOut.Close())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting: %w", err), cerr, in.Close(), out.Close())
	}
	p.reader = bufio.NewReaderSize(out, 64<<10)
	go func() {
		p.status = p.cmd.Wait()
		close(p.waited)
	}()
	p.timer = time.AfterFunc(helloTime, p.expire)
	if err := p.greet(); err != nil {
		p.kill()
		return nil, err
	}
	p.timer.Stop()
	return p, nil
}

// greet exchanges the greetings.
func (p *process) greet() error {
	text := fmt.Sprintf(`{"hello":{"protocol":%d,"program":"ringfence"}}`, Version)
	if err := p.send([]byte(text)); err != nil {
		return p.failed(err, helloTime)
	}
	data, err := p.receive()
	if err != nil {
		return p.failed(err, helloTime)
	}
	var r reply[struct{}]
	if err := unmarshal(data, &r); err != nil {
		return fmt.Errorf("hello: %w: %s", err, clip(string(data)))
	}
	switch {
	case r.Error != "":
		return fmt.Errorf("hello: the engine answers with an error: %s", clip(r.Error))
	case r.Hello == nil:
		return fmt.Errorf("hello: want an object with the key hello, not %s", clip(string(data)))
	}
	p.hello = *r.Hello
	return p.hello.check()
}

func (p *process) send(payload []byte) error { return writeFrame(p.in, payload) }

// receive returns the next frame, valid until the next call.
func (p *process) receive() (data []byte, err error) {
	p.buf, err = readFrame(p.reader, p.buf)
	return p.buf, err
}

// expire ends a process that is late.
func (p *process) expire() {
	p.late.Store(true)
	p.kill()
}

// kill ends the process, with what it started where the system can, and
// unblocks who reads and writes.
func (p *process) kill() {
	p.once.Do(func() {
		p.timer.Stop()
		select {
		case <-p.waited: // its id may be another's by now
		default:
			killGroup(p.cmd)
		}
		_ = p.in.Close() // it may have been closed already
		_ = p.out.Close()
	})
}

// close asks the process to end, by the end of its input, and ends it if it
// does not. It returns how it ended.
func (p *process) close(patience time.Duration) error {
	_ = p.in.Close()
	select {
	case <-p.waited:
		p.kill()
		return p.status
	case <-time.After(patience):
		p.kill()
		<-p.waited
		return fmt.Errorf("still running %v after the end of its input; killed", patience)
	}
}

// failed ends the process and tells how it failed, after an error of send or
// receive or of what it said.
func (p *process) failed(err error, allowed time.Duration) *failure {
	// Whoever ends by itself is given the time to do so, for its exit status.
	var nonsense *nonsenseError
	ended := false
	talking := errors.As(err, &nonsense) || errors.Is(err, errFrame) && !errors.Is(err, io.ErrUnexpectedEOF)
	if !talking && !p.late.Load() {
		select {
		case <-p.waited:
			ended = true
		case <-time.After(200 * time.Millisecond):
		}
	}
	p.kill()
	<-p.waited
	switch {
	case p.late.Load():
		return &failure{oracle.RanAway, fmt.Sprintf("no answer in %v; the process was killed%s", allowed, p.stderr.note())}
	case nonsense != nil:
		return &failure{oracle.Died, nonsense.Error() + p.stderr.note()}
	case errors.Is(err, errFrame) && !ended:
		return &failure{oracle.Died, fmt.Sprintf("nonsense: %v%s", err, p.stderr.note())}
	case ended && p.status != nil:
		return &failure{oracle.Died, fmt.Sprintf("the process ended: %v%s", p.status, p.stderr.note())}
	case ended:
		return &failure{oracle.Died, "the process ended with status 0 before it had answered" + p.stderr.note()}
	case errors.Is(err, io.EOF):
		return &failure{oracle.Died, "the process closed its output" + p.stderr.note()}
	}
	return &failure{oracle.Died, fmt.Sprintf("talking to the process: %v%s", err, p.stderr.note())}
}

// nonsenseError is an answer that no engine may give.
type nonsenseError struct{ err error }

func (e *nonsenseError) Error() string { return fmt.Sprintf("nonsense: %v", e.err) }
func (e *nonsenseError) Unwrap() error { return e.err }

// tail keeps the end of what a process writes to its standard error.
type tail struct {
	mu   sync.Mutex
	data []byte
}

const tailSize = 2048

// Write implements io.Writer.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(b)
	if n > tailSize {
		b = b[n-tailSize:]
	}
	t.data = append(t.data, b...)
	if len(t.data) > tailSize {
		t.data = append(t.data[:0], t.data[len(t.data)-tailSize:]...)
	}
	return n, nil
}

// note returns the last line, for the note of a failure.
func (t *tail) note() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(t.data)), "\n")
	if last := lines[len(lines)-1]; last != "" {
		return "; standard error ends: " + clip(last)
	}
	return ""
}
