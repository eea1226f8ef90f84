package eventlog

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/rhizome-fs/rhizome/internal/store"
	"github.com/rhizome-fs/rhizome/ipld"
	"github.com/rhizome-fs/rhizome/ipld/table"
)

// Shortened is what Shorten did away with.
type Shortened struct {
	Frames int
	Bytes  int64
}

// shortenChunk is about how many frames go in one batch.
const shortenChunk = 64

// ErrNotKept says that a log is to be cut where no checkpoint of it is kept.
var ErrNotKept = errors.New("no checkpoint is kept there")

// Shorten lets the frames go that have a place up to one, at which a checkpoint is kept: its table, in from, has all that they said, and is read as a
// whole before the first of them goes. Their places, hashes and what others may build on stay. Checkpoints before that one are kept no
// longer. After a crash some frames are gone, Base says up to where, and the next Shorten goes on. pause is as in Thin. If dry, nothing changes.
func (l *Log) Shorten(to Index, from ipld.Store, dry bool, pause func() error) (Shortened, error) {
	s := &shortening{l: l, to: to, dry: dry}
	err := s.begin(from, pause)
	for more := true; more && err == nil; {
		if more, err = s.chunk(); err == nil {
			err = pause()
		}
	}
	if err == nil && !dry {
		err = s.end()
	}
	if err != nil {
		return s.Shortened, fmt.Errorf("shorten the log of volume %v to %d: %w", l.volume, to, err)
	}
	return s.Shortened, nil
}

// A shortening is one run of Shorten.
type shortening struct {
	Shortened
	l   *Log
	to  Index
	dry bool
	was Index // the base as it was
	at  Index // up to here frames are gone, or would be
}

// begin makes sure that the checkpoint is there: what is cut here can be had from it alone.
func (s *shortening) begin(from ipld.Store, pause func() error) error {
	kept, err := s.l.Kept()
	if err != nil {
		return err
	}
	if s.was, err = s.l.Base(); err != nil {
		return err
	}
	early, err := s.l.Early()
	if err != nil {
		return err
	}
	if s.at = s.was; s.was < s.to && early > 0 { // there are frames before the base
		s.at = 0
	}
	for _, k := range kept {
		if k.Index != s.to {
			continue
		}
		if s.was >= s.to || s.dry {
			return nil
		}
		return k.Read(from, pause)
	}
	return ErrNotKept
}

// Read reads a checkpoint's table as a whole: ipld.ErrNotFound or ipld.ErrDamaged if it can't. pause is called between parts of the work; its error ends it.
func (k *Kept) Read(from ipld.Store, pause func() error) error {
	var n uint64
	err := table.Each(from, k.Table.Link, func(_, _ []byte) error {
		if n++; n%pauseRecords == 0 {
			return pause()
		}
		return nil
	})
	if err == nil && n != k.Table.Records {
		err = fmt.Errorf("%d records, want %d: %w", n, k.Table.Records, ipld.ErrDamaged)
	}
	return err
}

// chunk lets some frames go, all of their Index or none, and moves the base with them. It reports whether there may be more.
func (s *shortening) chunk() (more bool, err error) {
	l, n, was := s.l, 0, s.at
	b := l.db().NewBatch()
	low, high := l.ks.committed(s.at+1, 0), l.ks.committed(s.to+1, 0)
	err = scanRange(l.db(), low, high, func(key, val []byte) error {
		i := Index(binary.BigEndian.Uint64(key[len(key)-12:]))
		if i != s.at && n >= shortenChunk {
			more = true
			return errStop
		}
		h := FrameHash(val)
		m, ok, err := l.meta(h)
		if err != nil || !ok {
			return cmp.Or(err, fmt.Errorf("frame %x: %w", h[:4], errMissing))
		}
		frame := l.ks.frame(m.Feed, m.First, h)
		if size, there, err := dbSize(l.db(), frame); err != nil {
			return err
		} else if there {
			b.Delete(frame, nil)
			s.Frames++
			s.Bytes += int64(size)
		}
		n++
		s.at = i
		return nil
	})
	if errors.Is(err, errStop) {
		err = nil
	}
	if !more {
		s.at = max(s.at, s.to) // an Index without frames of this volume
	}
	if err != nil || s.dry || s.at == was {
		return more, errors.Join(err, b.Close())
	}
	base := max(s.at, s.was)
	put(b, l.ks.kind(kindBase), &base)
	return more, l.store.Commit(b, store.Applied)
}

// end forgets the checkpoints that nothing needs any more.
func (s *shortening) end() error {
	b := s.l.db().NewBatch()
	b.DeleteRange(s.l.ks.kept(0), s.l.ks.kept(s.to), nil)
	if s.was < s.to {
		b.Delete(s.l.ks.kind(kindEarly), nil)
	}
	return s.l.store.Commit(b, store.Applied)
}

// dbSize returns how many bytes stand behind a key.
func dbSize(db pebble.Reader, key []byte) (n int, ok bool, err error) {
	val, closer, err := db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	return len(val), true, closer.Close()
}
