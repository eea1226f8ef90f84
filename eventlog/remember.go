package eventlog

import (
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/rhizome-fs/rhizome/identity"
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
	authors []identity.DeviceID // a cell's author is the number of one of these, from 1
	cause   uint16              // the author of what came last
}

// openPast begins the history of a rebase. The caller holds l.mu.
func (c *change) openPast() *past {
	l := c.l
	p := &past{l: l, moment: l.time.next(), batch: l.db().NewBatch()}
	l.time.put(p.batch, l.ks, p.moment)
	l.time.keep(p.moment)
	return p
}

func (p *past) put(c *cell) error {
	by := c.author
	if by == 0 {
		by = p.cause
	}
	var other *identity.DeviceID
	if by > 0 && p.authors[by-1] != p.l.own {
		other = &p.authors[by-1]
	}
	p.scratch = putFact(p.batch, p.scratch, p.l.ks, c.key, p.moment, c.orig, c.origOK, other)
	if p.n++; p.n%factsAtOnce != 0 {
		return nil
	}
	err := p.flush()
	p.batch = p.l.db().NewBatch()
	return err
}

// credit notes in the cells that a rebase changed who did that: the author of the last unit that had not been applied here before and wrote the key.
// Where there is none, since the order alone has changed, it is that of the last one that was done again; and of what was done before and
// comes to nothing now the author is that of what came last: it is the cause.
func (p *past) credit(o *overlay, units []*unit) {
	for _, fresh := range []bool{false, true} {
		for _, u := range units {
			if !u.redo || (u.before == nil) != fresh {
				continue
			}
			by := p.number(u.author.Device)
			p.cause = by
			for _, im := range u.undo.images {
				if c := o.find(im.key); c != nil {
					c.author = by
				}
			}
		}
	}
}

// number gives a device a number. A rebase has to do with few.
func (p *past) number(d identity.DeviceID) uint16 {
	i := slices.Index(p.authors, d)
	if i < 0 {
		i, p.authors = len(p.authors), append(p.authors, d)
	}
	return uint16(i + 1)
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
func (ch *chase) remember(p *past, units []*unit) (err error) {
	p.credit(ch.o, units)
	ch.o.remember(ch.c.l.reducer, func(c *cell) {
		if err == nil {
			err = p.put(c)
		}
	})
	if err != nil {
		return err
	}
	return p.flush()
}

// correct puts the facts of unframed events that were done again into the batch, in place of those of the old order: the rebase
// came before them. All events of an Update have one moment, and its facts are what stood there before the first of them that changed a key;
// alone are the events before, which were left alone.
func (c *change) correct(alone, again []*unit) {
	for len(again) > 0 {
		m := again[0].undo.moment
		n := 1
		for n < len(again) && again[n].undo.moment == m {
			n++
		}
		known := make(map[string]bool)
		for i := len(alone) - 1; i >= 0 && alone[i].undo.moment == m; i-- {
			for _, im := range alone[i].undo.images {
				known[string(im.key)] = true
			}
		}
		for _, u := range again[:n] {
			for _, im := range u.undo.images {
				c.correctFact(known, m, im, true)
			}
		}
		for _, u := range again[:n] {
			for _, im := range u.before.images {
				c.correctFact(known, m, im, false)
			}
		}
		again = again[n:]
	}
}

// correctFact puts that im stood behind its key until m or, if it was not changed then, takes away what says so.
func (c *change) correctFact(known map[string]bool, m Moment, im image, changed bool) {
	if known[string(im.key)] {
		return
	}
	known[string(im.key)] = true
	if changed && c.l.reducer.Remembers(im.key, im.ok) {
		putFact(c.batch, nil, c.l.ks, im.key, m, im.val, im.ok, nil)
	} else {
		c.batch.Delete(appendFactKey(nil, c.l.ks, im.key, m), nil)
	}
}
