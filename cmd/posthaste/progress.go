package main

import (
	"fmt"
	"io"
	"time"
)

// progressPause is how often the line on the screen changes.
const progressPause = 200 * time.Millisecond

// progress shows on a terminal how far long work has come. It draws when it is told of work, and so needs no goroutine.
type progress struct {
	screen  io.Writer // nil: nobody watches
	verb    string
	started time.Time
	drawn   time.Time
	count   int
}

// newProgress watches work whose results do not go to the same screen.
func (a *app) newProgress(verb string, quiet bool) *progress {
	p := &progress{verb: verb, started: time.Now()}
	if terminal(a.errs) && (quiet || !terminal(a.out)) {
		p.screen = a.errs
	}
	p.drawn = p.started
	return p
}

// add counts messages and, now and then, draws.
func (p *progress) add(messages int) {
	p.count += messages
	if p.screen == nil {
		return
	}
	now := time.Now()
	if now.Sub(p.drawn) < progressPause {
		return
	}
	p.drawn = now
	rate := float64(p.count) / now.Sub(p.started).Seconds()
	fmt.Fprintf(p.screen, "\r%s %d messages, %.0f a second\x1b[K", p.verb, p.count, rate)
}

// end takes the line away.
func (p *progress) end() {
	if p.screen != nil {
		fmt.Fprint(p.screen, "\r\x1b[K")
	}
}
