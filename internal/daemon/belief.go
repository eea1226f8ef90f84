package daemon

import "time"

const (
	// leap is by how much the clock may be ahead of when it was believed last. More may be a machine that was off, or a clock that is wrong.
	leap = 7 * 24 * time.Hour
	// leapFor is for how long a clock that has leapt must have gone on before it is believed: a wrong one is set by then, if there is a network.
	leapFor = 2 * time.Hour
	// noteEvery is how often it is noted that the clock is believed.
	noteEvery = time.Hour
)

// A belief says whether the clock can be trusted with how old things are: whoever trusts one that is years ahead throws history away.
type belief struct {
	d      *daemon
	now    func() time.Time
	noted  time.Time // the last time that is noted; zero: not read yet
	doubts time.Time // since when the clock has leapt; zero: it has not
}

// right reports whether the clock is believed. It is asked again and again.
func (b *belief) right() (bool, error) {
	now := b.now()
	if b.noted.IsZero() {
		var err error
		if b.noted, err = b.d.fs.Believed(); err != nil {
			return false, err
		}
		if b.noted.IsZero() { // a store that nobody has looked at: there is no history that could look old
			b.noted = now.Round(0)
			return true, b.d.fs.Believe(b.noted)
		}
	}
	switch ahead := now.Round(0).Sub(b.noted); {
	case ahead > leap && b.doubts.IsZero():
		b.doubts = now
		b.d.log.Warn("the clock is far ahead of when it was seen last: what is old is not thrown away yet", "last", b.noted)
		return false, nil
	case ahead > leap && now.Sub(b.doubts) < leapFor:
		return false, nil
	case ahead < 0: // it was set back: things look younger
		return true, nil
	case ahead < noteEvery && b.doubts.IsZero():
		return true, nil
	}
	b.noted, b.doubts = now.Round(0), time.Time{}
	return true, b.d.fs.Believe(b.noted)
}
