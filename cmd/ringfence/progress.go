package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// quietEvery is how often a report is printed where there is no terminal.
const quietEvery = 15 * time.Second

// progress shows one line on a terminal, rewritten each second from the first
// second on. Elsewhere set stays silent, and report prints a line now and then.
type progress struct {
	w        io.Writer
	terminal bool
	mu       sync.Mutex
	text     string
	// shown is the number of columns in use on the terminal's line.
	shown int
	// printed is when report last printed a line.
	printed time.Time
	stop    chan struct{}
	done    sync.WaitGroup
}

// isTerminal says whether w is a terminal (or another character device).
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// newProgress starts a progress line on w. Close it.
func newProgress(w io.Writer) *progress {
	p := &progress{w: w, terminal: isTerminal(w), printed: time.Now(), stop: make(chan struct{})}
	if !p.terminal {
		return p
	}
	p.done.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-p.stop:
				return
			case <-tick.C:
				p.mu.Lock()
				p.draw()
				p.mu.Unlock()
			}
		}
	})
	return p
}

// set changes the text, which is drawn at the next tick.
func (p *progress) set(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	p.mu.Lock()
	p.text = text
	p.mu.Unlock()
}

// report is set for a long run that reports once a second: it draws at once, and
// where there is no terminal it prints a line from time to time, so that a log
// shows life.
func (p *progress) report(format string, args ...any) {
	p.set(format, args...)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.terminal:
		p.draw()
	case time.Since(p.printed) >= quietEvery:
		p.printed = time.Now()
		fmt.Fprintln(p.w, p.text)
	}
}

// say prints a line of its own, above the progress line.
func (p *progress) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wipe()
	fmt.Fprintf(p.w, format+"\n", args...)
}

// draw shows the text. The caller holds mu.
func (p *progress) draw() {
	if p.text == "" {
		return
	}
	fmt.Fprintf(p.w, "\r%-*s", p.shown, p.text)
	p.shown = len(p.text)
}

// wipe clears the line. The caller holds mu.
func (p *progress) wipe() {
	if p.shown > 0 {
		fmt.Fprintf(p.w, "\r%*s\r", p.shown, "")
		p.shown = 0
	}
}

// close ends the progress and clears its line.
func (p *progress) close() {
	close(p.stop)
	p.done.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wipe()
}
