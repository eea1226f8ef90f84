package eventlog

import (
	"bytes"

	"github.com/cockroachdb/pebble/v2"
	"github.com/rhizome-fs/rhizome/internal/store"
)

// factsAtOnce is how many facts of a rebase go into one batch.
const factsAtOnce = 4096

// A past is what a rebase makes history. It is written ahead of the rebase, which is safe: what a key has, it has had until any later
// moment too.
type past struct {
	l       *Log
	moment  Moment // of the rebase
	batch   *pebble.Batch
	n       int
	scratch []byte
}

// openPast begins a rebase's history. The caller holds l.mu.
func (c *change) openPast() *past {
	l := c.l
	p := &past{l: l, moment: l.time.next(), batch: l.db().NewBatch()}
	if !c.replay {
		l.time.put(p.batch, l.ks, p.moment)
		l.time.keep(p.moment)
	}
	return p
}

func (p *past) put(key []byte, m Moment, val []byte, ok bool) error {
	p.scratch = putFact(p.batch, p.scratch, p.l.ks, key, m, val, ok)
	if p.n++; p.n%factsAtOnce != 0 {
		return nil
	}
	err := p.flush()
	p.batch = p.l.db().NewBatch()
	return err
}

func (p *past) flush() error {
	done, err := p.l.store.Begin(p.batch)
	if err != nil {
		return err
	}
	return done.Wait(store.Applied)
}

// remember writes what the rebase makes history: everything that it changes stood there until the moment at which it began. For history it
// happens then at once, though programs see it when it has ended.
func (ch *chase) remember(p *past, old, new []*unit) (err error) {
	l := ch.c.l
	if ch.c.replay && len(old) == 0 {
		err = p.putUnits(new)
	} else {
		ch.o.remember(l.reducer, func(c *cell) {
			if err == nil {
				err = p.put(c.key, p.moment, c.orig, c.origOK)
			}
		})
	}
	if err != nil {
		return err
	}
	return p.flush()
}

// putUnits writes the facts of units that were applied one after the other, each at the moment of its last event.
func (p *past) putUnits(units []*unit) error {
	l := p.l
	l.mu.Lock()
	defer l.mu.Unlock()
	m := Moment{p.moment.Era, l.time.last.Time}
	for _, u := range units {
		m.Time++
		for _, e := range u.events {
			m.Time = max(m.Time, e.Time)
		}
		for _, im := range u.undo.images {
			if !l.reducer.Remembers(im.key, im.ok) {
				continue
			}
			if err := p.put(im.key, m, im.val, im.ok); err != nil {
				return err
			}
		}
	}
	l.time.put(p.batch, l.ks, m)
	l.time.keep(m)
	return nil
}

// correct puts the facts of an unframed event that was done again into the batch, in place of those of the old order: the rebase
// came before it.
func (c *change) correct(u *unit) {
	for _, im := range u.undo.images {
		if c.l.reducer.Remembers(im.key, im.ok) {
			putFact(c.batch, nil, c.l.ks, im.key, u.undo.moment, im.val, im.ok)
		}
	}
	for _, im := range u.before.images {
		if c.l.reducer.Remembers(im.key, im.ok) && !u.undo.changes(im.key) {
			c.batch.Delete(appendFactKey(nil, c.l.ks, im.key, u.undo.moment), nil)
		}
	}
}

// changes reports whether the unit changed key.
func (u *undo) changes(key []byte) bool {
	for _, im := range u.images {
		if bytes.Equal(im.key, key) {
			return true
		}
	}
	return false
}
