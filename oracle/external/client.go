package external

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// DefaultTimeout is how long an engine may be silent while answers are due.
const DefaultTimeout = 2 * time.Second

// TimeoutVariable is the environment variable that sets another time, as "5s".
const TimeoutVariable = "RINGFENCE_ENGINE_TIMEOUT"

// closeTime is how long an engine may take to end when its input does.
const closeTime = 10 * time.Second

// maxTrouble is the time that one batch may lose to failures before the engine
// is given up.
const maxTrouble = 15 * time.Second

// client is the near end of one engine's process. It starts it when it is
// first needed and again after each failure.
type client struct {
	name    string
	argv    []string
	timeout time.Duration
	process *process
	hello   Hello
	id      uint64
	out     []byte
	// restarts counts the processes that failed.
	restarts int
}

func newClient(name string, argv []string) (*client, error) {
	c := &client{name: name, argv: argv, timeout: DefaultTimeout}
	if v := os.Getenv(TimeoutVariable); v != "" {
		d, err := time.ParseDuration(v)
		if err != nil || d <= 0 {
			return nil, fmt.Errorf("%s=%q: want a time above 0, as 5s", TimeoutVariable, v)
		}
		c.timeout = d
	}
	if err := c.ready(); err != nil {
		return nil, err
	}
	return c, nil
}

// ready starts the process if there is none.
func (c *client) ready() error {
	if c.process != nil {
		return nil
	}
	p, err := start(c.argv)
	if err != nil {
		return fmt.Errorf("engine %s: %w", c.name, err)
	}
	if c.hello.Protocol != 0 && c.hello.Name != p.hello.Name {
		p.kill()
		return fmt.Errorf("engine %s: was %s and, started again, is %s", c.name, c.hello.Name, p.hello.Name)
	}
	c.process, c.hello = p, p.hello
	return nil
}

// fail ends the process after an error and tells how it failed.
func (c *client) fail(err error) *failure {
	f := c.process.failed(err, c.timeout)
	c.process = nil
	c.restarts++
	return f
}

// Close ends the process.
func (c *client) Close() error {
	if c.process == nil {
		return nil
	}
	err := c.process.close(closeTime)
	c.process = nil
	if err != nil {
		return fmt.Errorf("engine %s: %w", c.name, err)
	}
	return nil
}

// ask sends a request for n answers and hands each to take, in order. It
// returns how many were taken; a failure tells why not all.
func ask[T any](c *client, request []byte, n int, take func(i int, a *T) error) (int, *failure) {
	p := c.process
	p.timer.Reset(c.timeout)
	defer func() {
		if c.process != nil {
			p.timer.Stop()
		}
	}()
	if p.reader.Buffered() > 0 {
		return 0, c.fail(&nonsenseError{fmt.Errorf("%d bytes that nobody asked for", p.reader.Buffered())})
	}
	if err := p.send(request); err != nil {
		return 0, c.fail(err)
	}
	done := 0
	for done < n {
		data, err := p.receive()
		if err != nil {
			return done, c.fail(err)
		}
		p.timer.Reset(c.timeout)
		var r reply[T]
		if err := unmarshal(data, &r); err != nil {
			return done, c.fail(&nonsenseError{fmt.Errorf("%w: %s", err, clip(string(data)))})
		}
		if err := r.check(c.id, n-done); err != nil {
			return done, c.fail(&nonsenseError{err})
		}
		for i := range r.Answers {
			if err := take(done, &r.Answers[i]); err != nil {
				return done, c.fail(&nonsenseError{err})
			}
			done++
		}
	}
	if !p.timer.Stop() {
		// It was killed between its last answer and now.
		c.process = nil
		c.restarts++
		p.kill()
	}
	return done, nil
}

// check tells what is wrong with the frame of a reply.
func (r *reply[T]) check(id uint64, most int) error {
	switch {
	case r.Error != "":
		return fmt.Errorf("the engine answers with an error: %s", clip(r.Error))
	case r.Hello != nil:
		return errors.New("a greeting in place of answers")
	case r.ID != id:
		return fmt.Errorf("an answer to request %d: the request in hand is %d", r.ID, id)
	case len(r.Answers) == 0:
		return errors.New("no answers in the frame")
	case len(r.Answers) > most:
		return fmt.Errorf("%d answers where %d are due", len(r.Answers), most)
	}
	return nil
}

// batches runs n items through the engine: exchange asks items [from, to) and
// returns how many were answered; failed records the failure of one. An item is
// held to be the cause only if the engine fails on it alone.
func (c *client) batches(n int, exchange func(from, to int) (int, *failure), failed func(i int, f *failure)) error {
	size := n
	lost := time.Duration(0)
	for i := 0; i < n; {
		if err := c.ready(); err != nil {
			return err
		}
		to := min(n, i+size)
		began := time.Now()
		done, f := exchange(i, to)
		i += done
		if f == nil {
			size *= 2
			continue
		}
		if lost += time.Since(began); lost > maxTrouble {
			return fmt.Errorf("engine %s: given up after %v of failures in one batch, the last: %w", c.name, lost.Round(time.Second), f)
		}
		switch {
		case to-i == 1 && done == 0:
			failed(i, f)
			i++
			size = 1
		case done > 0:
			// It answers one by one: the first without an answer is suspect.
			size = 1
		default:
			// A hang costs the whole timeout: few, large steps.
			size = max(1, (to-i)/16)
		}
	}
	return nil
}

// Decoder is a decoder in a process of its own. It is used by one goroutine at
// a time.
type Decoder struct {
	client
	text string
	one  [1][]byte
	ans  [1]oracle.Decoded
}

var _ oracle.BatchDecoder = (*Decoder)(nil)

// NewDecoder starts the program argv[0] as the decoder of that name. The error
// tells why it is none.
func NewDecoder(name string, argv []string) (*Decoder, error) {
	c, err := newClient(name, argv)
	if err != nil {
		return nil, err
	}
	if !c.hello.Decode {
		return nil, errors.Join(fmt.Errorf("engine %s: does not decode", name), c.Close())
	}
	return &Decoder{client: *c}, nil
}

// Name implements oracle.Decoder.
func (d *Decoder) Name() string { return d.name }

// Hello returns what the engine says of itself.
func (d *Decoder) Hello() Hello { return d.hello }

// Restarts returns how often the process failed and was started again.
func (d *Decoder) Restarts() int { return d.restarts }

// Text returns the text that came with the last answer, "" if none did.
func (d *Decoder) Text() string { return d.text }

// Decode implements oracle.Decoder. It costs a trip to the process and back;
// DecodeBatch costs one for all.
func (d *Decoder) Decode(code []byte, mode x86.Mode, out *oracle.Decoded) {
	d.one[0] = code
	d.DecodeBatch(d.one[:], mode, d.ans[:])
	*out = d.ans[0]
}

// maxDecodeBatch is how many strings are sent at once.
const maxDecodeBatch = 4096

// DecodeBatch implements oracle.BatchDecoder.
func (d *Decoder) DecodeBatch(codes [][]byte, mode x86.Mode, out []oracle.Decoded) {
	if !d.hello.hasMode(mode) {
		for i := range out {
			out[i] = oracle.Decoded{Group: "mode " + mode.String()}
		}
		return
	}
	for len(codes) > maxDecodeBatch {
		d.decodeBatch(codes[:maxDecodeBatch], mode, out[:maxDecodeBatch])
		codes, out = codes[maxDecodeBatch:], out[maxDecodeBatch:]
	}
	d.decodeBatch(codes, mode, out)
}

func (d *Decoder) decodeBatch(codes [][]byte, mode x86.Mode, out []oracle.Decoded) {
	next := 0
	failed := func(i int, f *failure) {
		out[i] = oracle.Decoded{Covered: true, Reason: f.note, Ending: f.ending}
		d.text = ""
		next = i + 1
	}
	err := d.batches(len(codes), func(from, to int) (int, *failure) {
		d.id++
		d.client.out = appendDecodeRequest(d.client.out[:0], d.id, codes[from:to], mode)
		n, f := ask(&d.client, d.client.out, to-from, func(i int, a *decodedAnswer) error {
			d.text = a.Text
			return a.take(codes[from+i], &d.hello, &out[from+i])
		})
		next = from + n
		return n, f
	}, failed)
	if err != nil {
		for i := next; i < len(out); i++ {
			out[i] = oracle.Decoded{Covered: true, Reason: err.Error(), Ending: oracle.Died}
		}
	}
}

// Executor is an executor in a process of its own. It is used by one goroutine
// at a time.
type Executor struct {
	client
}

var _ oracle.Executor = (*Executor)(nil)

// NewExecutor starts the program argv[0] as the executor of that name. The
// error tells why it is none.
func NewExecutor(name string, argv []string) (*Executor, error) {
	c, err := newClient(name, argv)
	if err != nil {
		return nil, err
	}
	if !c.hello.Execute {
		return nil, errors.Join(fmt.Errorf("engine %s: does not execute", name), c.Close())
	}
	return &Executor{client: *c}, nil
}

// Name implements oracle.Executor.
func (e *Executor) Name() string { return e.name }

// Hello returns what the engine says of itself.
func (e *Executor) Hello() Hello { return e.hello }

// Restarts returns how often the process failed and was started again.
func (e *Executor) Restarts() int { return e.restarts }

// maxExecuteBytes is how many bytes of cases are sent at once.
const maxExecuteBytes = 1 << 20

// Run implements oracle.Executor. A case on which the process dies, hangs or
// talks nonsense is answered with Died or RanAway and the reason.
func (e *Executor) Run(cases []oracle.Case, results []oracle.Result) error {
	return e.batches(len(cases), func(from, to int) (int, *failure) {
		return e.exchange(cases[from:to], results[from:to])
	}, func(i int, f *failure) {
		results[i] = oracle.Result{Ending: f.ending, Note: f.note, Memory: results[i].Memory}
	})
}

// exchange asks for as many of the cases as fit in a frame.
func (e *Executor) exchange(cases []oracle.Case, results []oracle.Result) (int, *failure) {
	e.id++
	e.out = fmt.Appendf(e.out[:0], `{"id":%d,"execute":[`, e.id)
	var asked []int
	taken := 0
	for i := range cases {
		c := &cases[i]
		if len(asked) > 0 && len(e.out) > maxExecuteBytes {
			break
		}
		taken++
		if field := e.unsupported(c); field != "" {
			results[i] = oracle.Result{Ending: oracle.Unsupported, Note: field, Memory: results[i].Memory}
			continue
		}
		if len(asked) > 0 {
			e.out = append(e.out, ',')
		}
		e.out = oracle.AppendWholeCase(e.out, c)
		asked = append(asked, i)
	}
	if len(asked) == 0 {
		return taken, nil
	}
	e.out = append(e.out, `]}`...)
	n, f := ask(&e.client, e.out, len(asked), func(i int, a *resultAnswer) error {
		k := asked[i]
		return a.take(&cases[k], &e.hello, &results[k])
	})
	if f != nil {
		// Those before the first without an answer are answered.
		return asked[n], f
	}
	return taken, nil
}

// unsupported returns the field of a case that the engine or the protocol
// cannot express, with the reason; "" if there is none.
func (e *Executor) unsupported(c *oracle.Case) string {
	switch {
	case len(c.Extra) > 0:
		return c.Extra[0]
	case !e.hello.hasMode(c.State.Mode):
		return fmt.Sprintf("mode: the engine does not execute %s", c.State.Mode)
	}
	return ""
}

// Probe starts the program argv[0] and returns what it says of itself.
func Probe(argv []string) (Hello, error) {
	p, err := start(argv)
	if err != nil {
		return Hello{}, err
	}
	defer p.kill()
	return p.hello, nil
}
