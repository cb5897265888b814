package mutants

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Answer is what a probe prints on its last line of standard output.
type Answer struct {
	// Found says that a divergence was found that is not known.
	Found bool `json:"found"`
	// Unavailable tells why there is no reference to judge by; then nothing
	// else counts.
	Unavailable string `json:"unavailable,omitempty"`
	// Hung says that no case ended for a while.
	Hung  bool   `json:"hung,omitempty"`
	Cases uint64 `json:"cases"`
	// Seconds is the time from the start of the campaign.
	Seconds float64 `json:"seconds"`
	// What describes the divergence, on a line.
	What string `json:"what,omitempty"`
}

// End is how a probe's run ended.
type End string

// The ends. Divergence, crash and hang mean that the damage was seen.
const (
	Survived End = "survived"
	// Unstable: a divergence that a second run with the same seed does not
	// show. It counts as if nothing had been found.
	Unstable    End = "unstable"
	Diverged    End = "divergence"
	Crashed     End = "crash"
	Hung        End = "hang"
	Unavailable End = "unavailable"
	// Broken: the program could not be built, or its harness failed.
	Broken End = "harness failure"
)

// Verdict is how the run of one mutant ended.
type Verdict struct {
	Mutant *Mutant
	End    End
	Answer Answer
	// Elapsed is the time from start to end of the process.
	Elapsed time.Duration
	// Limit is the time that the campaign was given.
	Limit time.Duration
	// Output is the end of the standard error of a probe that crashed.
	Output string
}

// Killed says whether the damage was seen.
func (v *Verdict) Killed() bool { return v.End == Diverged || v.End == Crashed || v.End == Hung }

// Unseen says whether the campaign ran and did not find the damage.
func (v *Verdict) Unseen() bool { return v.End == Survived || v.End == Unstable }

// Runner runs the probe, a mutant a process.
type Runner struct {
	Program string
	// Limit is the time a campaign may take to find the damage.
	Limit time.Duration
	// Grace is what a process may take beyond that, for its start and end.
	Grace time.Duration
	Seed  uint64
	// Parallel is the number of processes at a time.
	Parallel int
	// Own builds the program of a mutant that is not in Program; the folder
	// that holds it is removed after the run.
	Own func(*Mutant) (string, error)
}

// Run runs one mutant; nil is the unmutated model. A divergence counts if a
// second run with the same seed ends with the same one: what comes and goes is
// not the mutant's.
func (r *Runner) Run(ctx context.Context, m *Mutant) *Verdict {
	v := &Verdict{Mutant: m, Limit: r.Limit}
	if deadline, ok := ctx.Deadline(); ok {
		v.Limit = max(time.Second, min(r.Limit, time.Until(deadline)))
	}
	program := r.Program
	if m != nil && m.own != nil {
		var err error
		if program, err = r.Own(m); err != nil {
			v.End, v.Output = Broken, err.Error()
			return v
		}
		defer os.RemoveAll(filepath.Dir(program))
	}
	r.run(program, v)
	if v.End == Diverged {
		// It stops at the same case, however slow the machine has become.
		again := &Verdict{Mutant: m, Limit: 3 * v.Limit}
		if r.run(program, again); again.Unseen() || again.End == Diverged && again.Answer.What != v.Answer.What {
			v.End = Unstable
			v.Output = "a second run with the same seed: " + again.String()
		}
	}
	return v
}

// run runs the probe once.
func (r *Runner) run(program string, v *Verdict) {
	id := 0
	if v.Mutant != nil {
		id = v.Mutant.ID
	}
	// The process ends by itself; only a hang is ended from here.
	ctx, cancel := context.WithTimeout(context.Background(), v.Limit+r.Grace)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "-limit", v.Limit.String(), "-seed", strconv.FormatUint(r.Seed, 10))
	cmd.Env = append(os.Environ(), Environment+"="+strconv.Itoa(id))
	cmd.WaitDelay = 2 * time.Second
	var out, diag bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &diag
	start := time.Now()
	err := cmd.Run()
	v.Elapsed = time.Since(start)
	v.End, v.Answer = judge(ctx, err, out.Bytes())
	if v.End != Diverged && v.End != Survived {
		v.Output = tail(diag.String(), 40)
	}
}

// exitHarness is the status of a probe whose harness failed, which says
// nothing about the mutant. A panic of the Go runtime ends with another.
const exitHarness = 1

// judge reads a probe's end. What is not a clean answer is a crash: a mutant
// that takes the process down has been seen.
func judge(ctx context.Context, err error, out []byte) (End, Answer) {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return Hung, Answer{}
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	var a Answer
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() == exitHarness) {
		return Broken, a
	}
	if err != nil || json.Unmarshal([]byte(lines[len(lines)-1]), &a) != nil {
		return Crashed, a
	}
	switch {
	case a.Unavailable != "":
		return Unavailable, a
	case a.Hung:
		return Hung, a
	case a.Found:
		return Diverged, a
	}
	return Survived, a
}

// tail returns the last n lines.
func tail(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// RunAll runs the mutants and hands each verdict to done, one at a time, in
// the order in which they end. When ctx is done, what has not begun is left
// out.
func (r *Runner) RunAll(ctx context.Context, mutants []*Mutant, done func(*Verdict)) {
	queue := make(chan *Mutant)
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range max(1, r.Parallel) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for m := range queue {
				v := r.Run(ctx, m)
				mu.Lock()
				done(v)
				mu.Unlock()
			}
		}()
	}
feed:
	for _, m := range mutants {
		select {
		case queue <- m:
		case <-ctx.Done():
			break feed
		}
	}
	close(queue)
	wg.Wait()
}

// String returns the verdict on a line.
func (v *Verdict) String() string {
	name := "unmutated model"
	if v.Mutant != nil {
		name = v.Mutant.Where()
		if v.Mutant.Name != "" {
			name = v.Mutant.Name + " (" + name + ")"
		}
	}
	switch v.End {
	case Diverged:
		return fmt.Sprintf("%s: found after %d cases, %.2f s: %s", name, v.Answer.Cases, v.Answer.Seconds, v.Answer.What)
	case Survived:
		return fmt.Sprintf("%s: nothing found in %d cases, %.2f s", name, v.Answer.Cases, v.Answer.Seconds)
	case Unavailable:
		return fmt.Sprintf("%s: not run: %s", name, v.Answer.Unavailable)
	}
	return fmt.Sprintf("%s: %s after %.2f s\n%s", name, v.End, v.Elapsed.Seconds(), v.Output)
}
