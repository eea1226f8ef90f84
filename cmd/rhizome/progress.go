package main

import (
	"fmt"
	"time"
)

// A progress shows on a terminal how far long work is, how fast, and when it will be done.
type progress struct {
	out   *output
	verb  string // "verify"
	start time.Time
	shown time.Time
	width int
}

// showEvery is how often the line is written anew.
const showEvery = 200 * time.Millisecond

// newProgress returns a progress; it shows nothing if stderr is no terminal or JSON was asked for.
func (o *output) newProgress(verb string) *progress {
	return &progress{out: o, verb: verb, start: time.Now()}
}

// update tells how many bytes of how many are done.
func (p *progress) update(done, total int64) {
	now := time.Now()
	if !p.out.errTerminal || p.out.json || now.Sub(p.shown) < showEvery {
		return
	}
	p.shown = now
	line := progressLine(p.verb, done, total, now.Sub(p.start))
	pad := max(0, p.width-len(line))
	p.width = len(line)
	_, _ = fmt.Fprintf(p.out.err, "\r%s%*s", line, pad, "")
}

// end takes the line away.
func (p *progress) end() {
	if p.width > 0 {
		_, _ = fmt.Fprintf(p.out.err, "\r%*s\r", p.width, "")
		p.width = 0
	}
}

// progressLine is how far the work is, for a person.
func progressLine(verb string, done, total int64, took time.Duration) string {
	line := fmt.Sprintf("%s: %s", verb, size(done))
	if total > 0 {
		line += fmt.Sprintf(" of %s (%d%%)", size(total), min(100, 100*done/total))
	}
	if took < time.Second || done <= 0 {
		return line
	}
	rate := float64(done) / took.Seconds()
	if total <= 0 { // nobody knows how much it will be
		return line + fmt.Sprintf(", %s/s", size(int64(rate)))
	}
	left := time.Duration(float64(max(0, total-done)) / rate * float64(time.Second))
	return line + fmt.Sprintf(", %s/s, %s left", size(int64(rate)), left.Round(time.Second))
}
