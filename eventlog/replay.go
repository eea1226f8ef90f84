package eventlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/rhizome-fs/rhizome/internal/dagcbor"
	"github.com/rhizome-fs/rhizome/internal/report"
)

// State calls fn with the state as the database has it.
func (o Look) State(fn func(r Reader)) error {
	s := newDBState(o.DB, newKeyspace(o.Volume).kind(kindState))
	fn(s)
	return s.err
}

// Local calls fn with the volume's device-local keys.
func (o Look) Local(fn func(r Reader)) error {
	s := newDBState(o.DB, volumePrefix(localSpace, o.Volume))
	fn(s)
	return s.err
}

// BeforeImages calls fn for the values in undo records: what they need must be here.
func (o Look) BeforeImages(fn func(key, val []byte) error) error {
	ks := newKeyspace(o.Volume)
	for _, kind := range []byte{kindUndo, kindFrameUndo} {
		prefix := ks.kind(kind)
		err := scanRange(o.DB, prefix, after(prefix), func(_, rec []byte) error {
			u, err := decodeUndo(rec)
			if err != nil {
				return nil // Verify tells of it
			}
			for _, i := range u.images {
				if !i.ok {
					continue
				}
				if err := fn(i.key, i.val); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Replay applies the whole log to an empty state in scratch, which must be empty, or, if its first frames are gone, what is left of it to the checkpoint
// that is kept in their place, and compares it with the state that the database has, key by key; it also takes the undo records back, and compares what that gives with the committed state. With Fix it
// sets the state right, and the undo records with it. A log that lacks a frame is not replayed: the report has a note of it.
// The error is a database's, or the report's.
func (o Look) Replay(scratch *pebble.DB) error {
	p := &replay{Look: o, ks: newKeyspace(o.Volume), scratch: scratch, log: Log{keys: o.Keys, packer: newPacker()}}
	p.base = newDBState(scratch, []byte{kindState})
	p.o = newOverlay(p.base)
	err := p.run()
	if missing, ok := errors.AsType[*cannotReplay](err); ok {
		o.Report.Note(report.State, o.Name, "the log can't be replayed: %s", missing.why)
		return nil
	}
	if err != nil {
		return fmt.Errorf("replay volume %x: %w", o.Volume, err)
	}
	return nil
}

// cannotReplay says that something of the log is missing.
type cannotReplay struct{ why string }

func (e *cannotReplay) Error() string { return e.why }

// A replay is one Replay.
type replay struct {
	Look
	ks      keyspace
	scratch *pebble.DB
	base    *dbState
	o       *overlay
	log     Log // to open frames with

	self  Author
	from  Checkpoint    // where it begins; zero: with nothing
	undos []pendingUndo // what takes the suffix back, in the order of the log
	wrong bool
}

// A pendingUndo is the undo record of a unit that is not committed.
type pendingUndo struct {
	key []byte
	was *undo // as the database has it
	is  *undo // as the replay had it
}

// Bounds on what a replay holds in memory.
const (
	replayCells = 1 << 14
	replayBatch = 1 << 10
)

func (p *replay) run() error {
	var m marks
	rec, ok, err := dbGet(p.DB, p.ks.kind(kindMarks))
	if err != nil || !ok {
		return err
	}
	if err := dagcbor.Decode(rec, &m); err != nil {
		return &cannotReplay{"its marks can't be read"}
	}
	feed := Feed{Volume: p.Volume, Device: m.Device, Incarnation: m.Incarnation}
	p.self = Author{feed.ID(), feed.Device}
	if err := p.begin(); err != nil {
		return err
	}
	if err := p.committed(m); err != nil {
		return err
	}
	before := p.scratch.NewSnapshot() // the committed state
	defer before.Close()
	if err := p.tentative(); err != nil {
		return err
	}
	if err := p.unframed(m); err != nil {
		return err
	}
	if err := p.flush(true); err != nil {
		return err
	}
	if err := p.compare(); err != nil {
		return err
	}
	return p.takeBack(before)
}

// flush writes what was changed to the scratch database.
func (p *replay) flush(always bool) error {
	if p.o.err != nil || p.base.err != nil {
		return errors.Join(p.o.err, p.base.err)
	}
	if !always && p.o.cells < replayCells {
		return nil
	}
	b := p.scratch.NewBatch()
	putChanges(b, p.base.prefix, p.o)
	if err := b.Commit(pebble.NoSync); err != nil {
		return err
	}
	p.o = newOverlay(p.base)
	return nil
}

func (p *replay) committed(m marks) error {
	n := p.from.Frames
	err := scanRange(p.DB, p.ks.committed(p.from.Index+1, 0), after(p.ks.kind(kindCommitted)), func(key, val []byte) error {
		n++
		f, err := p.frame(val)
		if err != nil {
			return err
		}
		feed := f.Feed()
		for _, e := range p.events(f) {
			p.Reducer.Apply(p.o, Author{feed.ID(), feed.Device}, e)
		}
		return errors.Join(p.flush(false), p.Report.Read(int64(len(f.Raw))))
	})
	if err == nil && n != m.Frames {
		err = &cannotReplay{fmt.Sprintf("%d of %d committed frames are known", n, m.Frames)}
	}
	return errors.Join(err, p.flush(true))
}

// frame reads a frame by its hash.
func (p *replay) frame(hash []byte) (*Frame, error) {
	if len(hash) != len(FrameHash{}) {
		return nil, &cannotReplay{"a place in its order is damaged"}
	}
	h := FrameHash(hash)
	var m frameMeta
	rec, ok, err := dbGet(p.DB, p.ks.hash(kindMeta, h))
	if err != nil {
		return nil, err
	}
	if !ok || dagcbor.Decode(rec, &m) != nil {
		return nil, &cannotReplay{fmt.Sprintf("frame %x is missing", h[:8])}
	}
	raw, ok, err := dbGet(p.DB, p.ks.frame(m.Feed, m.First, h))
	if err != nil {
		return nil, err
	}
	f, err := ParseFrame(raw)
	if !ok || err != nil || f.Hash != h {
		return nil, &cannotReplay{fmt.Sprintf("frame %x is missing or damaged", h[:8])}
	}
	return f, nil
}

// events are what a frame says to the reducer; nothing if it does not open, as everywhere.
func (p *replay) events(f *Frame) []Event {
	es, err := p.log.openFrame(f)
	if err != nil {
		return nil
	}
	return es
}

func (p *replay) tentative() error {
	prefix := p.ks.kind(kindTentative)
	return scanRange(p.DB, prefix, after(prefix), func(key, _ []byte) error {
		if len(key) != 18+8+16+32 {
			return &cannotReplay{"a place in its order is damaged"}
		}
		f, err := p.frame(key[42:])
		if err != nil {
			return err
		}
		feed := f.Feed()
		return p.unit(p.ks.hash(kindFrameUndo, f.Hash), Author{feed.ID(), feed.Device}, p.events(f))
	})
}

func (p *replay) unframed(m marks) error {
	low, high := p.ks.local(kindUnframed, m.First), after(p.ks.kind(kindUnframed))
	next := m.First
	return scanRange(p.DB, low, high, func(key, rec []byte) error {
		n := LocalSeq(binary.BigEndian.Uint64(key[18:]))
		e, _, err := decodeEventRecord(bytes.Clone(rec))
		if err != nil || n != next {
			return &cannotReplay{fmt.Sprintf("event %d is missing or damaged", next)}
		}
		next++
		return p.unit(p.ks.local(kindUndo, n), p.self, []Event{e})
	})
}

// unit applies what is undone as a whole.
func (p *replay) unit(key []byte, a Author, es []Event) error {
	u := pendingUndo{key: key, is: &undo{}}
	rec, ok, err := dbGet(p.DB, key)
	if err != nil {
		return err
	}
	if ok {
		if u.was, err = decodeUndo(rec); err == nil {
			u.is.moment = u.was.moment
		}
	}
	p.o.beginUnit()
	for _, e := range es {
		p.Reducer.Apply(p.o, a, e)
	}
	p.o.endUnit(u.is)
	p.undos = append(p.undos, u)
	return errors.Join(p.flush(false), p.Report.Read(0))
}

// compare goes through both states side by side.
func (p *replay) compare() error {
	is, err := p.DB.NewIter(&pebble.IterOptions{LowerBound: p.ks.kind(kindState), UpperBound: after(p.ks.kind(kindState))})
	if err != nil {
		return err
	}
	want, err := p.scratch.NewIter(&pebble.IterOptions{LowerBound: []byte{kindState}, UpperBound: []byte{kindState + 1}})
	if err != nil {
		return errors.Join(err, is.Close())
	}
	defer want.Close()
	a, b := is.First(), want.First()
	for a || b {
		p.Report.Checked(report.State, 1)
		order := 0
		switch {
		case !b:
			order = -1
		case !a:
			order = 1
		default:
			order = bytes.Compare(is.Key()[18:], want.Key()[1:])
		}
		switch {
		case order < 0:
			err = p.differs(is.Key()[18:], nil, "the state has a key that the log does not lead to")
		case order > 0:
			err = p.differs(want.Key()[1:], want.Value(), "the state lacks a key")
		case !bytes.Equal(is.Value(), want.Value()):
			err = p.differs(want.Key()[1:], want.Value(), "the state has another value than the log leads to")
		}
		if err = errors.Join(err, p.Report.Read(0)); err != nil {
			return errors.Join(err, is.Close())
		}
		if order <= 0 {
			a = is.Next()
		}
		if order >= 0 {
			b = want.Next()
		}
	}
	return errors.Join(is.Error(), is.Close(), want.Error())
}

// differs tells of a key of the state that is not as it should be.
func (p *replay) differs(key, want []byte, what string) error {
	p.wrong = true
	p.Report.Bad(report.State, fmt.Sprintf("%s: key %x", p.Name, key), report.Rebuild, "%s", what)
	if p.Fix == nil {
		return nil
	}
	if want != nil {
		want = append(make([]byte, 0, len(want)), want...)
	}
	return p.Fix(append(p.ks.kind(kindState), key...), want)
}

// takeBack looks whether the undo records lead from the state to the committed one.
func (p *replay) takeBack(committed pebble.Reader) error {
	is, want := newOverlay(p.base), newOverlay(p.base)
	for i := len(p.undos) - 1; i >= 0; i-- {
		if p.undos[i].was != nil {
			is.takeBack(p.undos[i].was)
		}
		want.takeBack(p.undos[i].is)
	}
	base := newDBState(committed, p.base.prefix)
	bad := false
	for _, o := range []*overlay{is, want} {
		for i := range o.cells {
			key := o.cell(i).key
			val, ok, err := base.get(key)
			if err != nil {
				return err
			}
			c, _ := is.at(key)
			if c.ok != ok || !bytes.Equal(c.val, val) {
				bad = true
			}
		}
	}
	if !bad && !p.wrong {
		return errors.Join(is.err, want.err)
	}
	if bad {
		p.Report.Bad(report.Undo, p.Name, report.Rebuild, "the undo records do not lead back to the committed state")
	}
	if p.Fix == nil {
		return nil
	}
	for _, u := range p.undos {
		if err := p.Fix(u.key, u.is.encode(nil)); err != nil {
			return err
		}
	}
	return nil
}
