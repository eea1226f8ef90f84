package main

import (
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/rhizome-fs/rhizome/internal/control"
)

// A progress shows on a terminal how far long work is, how fast, and when it will be done.
type progress struct {
	out  *output
	verb string // "backup"
	step string // what it has come to: each step has a line of its own, in the same place
	bar  *progressbar.ProgressBar
}

// showEvery is how often the line is written anew.
const showEvery = 100 * time.Millisecond

// newProgress returns a progress; it shows nothing if stderr is no terminal or JSON was asked for.
func (o *output) newProgress(verb string) *progress {
	return &progress{out: o, verb: verb}
}

// update tells how far the work is.
func (p *progress) update(s control.Progress) {
	if !p.out.errTerminal || p.out.json {
		return
	}
	total := s.Total
	if total <= 0 {
		total = -1 // nobody knows how much it will be
	}
	if p.bar == nil || p.step != s.What {
		p.end()
		p.step, p.bar = s.What, p.newBar(s, total)
	} else if total != p.bar.GetMax64() {
		p.bar.ChangeMax64(total)
	}
	done := s.Done
	if total > 0 { // a bar that is full is done with; this one ends when the work does
		done = min(done, total-1)
	}
	_ = p.bar.Set64(done) // a terminal that went away is no reason to end
}

func (p *progress) newBar(s control.Progress, total int64) *progressbar.ProgressBar {
	text := p.verb
	if s.What != "" {
		text += ": " + s.What
	}
	options := []progressbar.Option{
		progressbar.OptionSetWriter(p.out.err), progressbar.OptionSetDescription(text), progressbar.OptionSetWidth(20),
		progressbar.OptionThrottle(showEvery), progressbar.OptionSetSpinnerChangeInterval(0), progressbar.OptionSpinnerType(14),
		progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true),
	}
	if s.Unit == control.Bytes {
		options = append(options, progressbar.OptionShowBytes(true), progressbar.OptionUseIECUnits(true))
	} else {
		options = append(options, progressbar.OptionShowIts(), progressbar.OptionSetItsString(string(s.Unit)))
	}
	return progressbar.NewOptions64(total, options...)
}

// end takes the line away.
func (p *progress) end() {
	if p.bar != nil {
		_ = p.bar.Clear()
		p.bar = nil
	}
}
