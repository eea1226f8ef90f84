package fs

import (
	"errors"
	"sync"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/ipld"
)

// A making is a snapshot that is being made. What the state had at its moment the state may drop while it is made, and nothing of the snapshot is there yet: so a
// collection keeps what the state had then, and neither waits for the other. The snapshot's own blocks are young (ipld's Hold).
type making struct {
	over chan struct{} // closed when the state at the moment is needed no more
	done chan struct{} // closed when the snapshot is on record, or given up

	mu      sync.RWMutex  // shared by who walks the state at the moment, which is there for as long
	pin     *eventlog.Pin // nil: the moment has not come yet, or is over
	moment  eventlog.Moment
	waiting map[tree.VersionID]*pending // not sealed at the moment
}

// beginMaking begins a snapshot. The caller holds v.building.
func (v *Volume) beginMaking() *making {
	m := &making{over: make(chan struct{}), done: make(chan struct{})}
	v.making.Store(m)
	return m
}

// endMaking says that the snapshot is on record, or will never be.
func (v *Volume) endMaking(m *making) {
	v.making.Store(nil)
	close(m.done)
}

// at is called at the moment, under the log's lock.
func (m *making) at(p *eventlog.Pin, waiting map[tree.VersionID]*pending) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pin, m.moment, m.waiting = p, p.Moment, waiting
}

// release waits until nobody walks the state at the moment any more.
func (m *making) release() {
	close(m.over)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pin = nil
}

// pinned returns the snapshot's moment, if that has come.
func (m *making) pinned() (is eventlog.Moment, ok bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.moment, m.moment != eventlog.Moment{}
}

// errOver ends a walk.
var errOver = errors.New("the snapshot is built")

// madeAndMaking calls fn for all that a volume's snapshots reach: of one that is being made, for what the state had at its moment, or, if it is done
// meanwhile, for its root. Whatever moment a later one has, what it reaches is in the state after this.
func (v *Volume) madeAndMaking(gone map[tree.VersionID]bool, fn func(ipld.CID) error) error {
	if m := v.making.Load(); m != nil {
		err := m.reach(v, gone, fn)
		if errors.Is(err, errOver) {
			<-m.done
		} else if err != nil {
			return err
		}
	}
	return v.snapshotRoots(fn)
}

// reach calls fn for the contents that the state had at the moment. The error is errOver if it is needed no more before all are told.
func (m *making) reach(v *Volume, gone map[tree.VersionID]bool, fn func(ipld.CID) error) (err error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.isOver() {
		return errOver
	}
	if m.pin == nil { // the moment is yet to come
		return nil
	}
	root := func(c ipld.Content) error {
		if m.isOver() {
			return errOver
		}
		return fn(c.Root.CID)
	}
	if e := m.pin.Beside(func(r eventlog.Reader) { err = v.keptContent(r, gone, root) }); e != nil {
		return e
	}
	for _, p := range m.waiting {
		// What has no sealed form yet has its blocks under the hold of whoever is sealing it.
		if c := p.sealedForm(); c != nil && err == nil {
			err = root(*c)
		}
	}
	return err
}

func (m *making) isOver() bool {
	select {
	case <-m.over:
		return true
	default:
		return false
	}
}
