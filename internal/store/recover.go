package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// positionKey holds the position of the last record that the database has. Each batch sets it, so the
// tables that Pebble flushed say by themselves from where the log has to be read again.
func positionKey() []byte { return []byte("s\x00position") }

// position reads positionKey; durable: as it is on disk, else as it is applied.
func position(db *pebble.DB, durable bool) (uint64, error) {
	it, err := db.NewIter(&pebble.IterOptions{
		LowerBound:                positionKey(),
		UpperBound:                append(positionKey(), 0),
		OnlyReadGuaranteedDurable: durable,
	})
	if err != nil {
		return 0, err
	}
	var pos uint64
	if it.First() {
		if v := it.Value(); len(v) == 8 {
			pos = binary.LittleEndian.Uint64(v)
		} else {
			err = fmt.Errorf("%w: position of %d bytes", ErrDamaged, len(v))
		}
	}
	return pos, errors.Join(err, it.Error(), it.Close())
}

// recoverWAL applies what the write-ahead log has and the database has not, and returns the position that
// the store is at and the segments that it read, which are on disk as far as
// they are still needed.
//
// INVARIANT: the database holds the batches 1 to position, no other and none twice in effect, before
// recoverWAL, within it and after. So it may be interrupted and begun again.
func recoverWAL(l *walDir, db *pebble.DB, log *slog.Logger) (pos uint64, kept []*segment, err error) {
	flushed, err := position(db, false) // no log was read yet: what is there is what was flushed
	if err != nil {
		return 0, nil, err
	}
	nums, err := l.list()
	if err != nil {
		return 0, nil, err
	}
	r := recovery{db: db, log: log, pos: flushed}
	for i, num := range nums {
		s, err := r.segment(l, num)
		if err != nil {
			return 0, nil, errors.Join(fmt.Errorf("%s: %w", l.segmentPath(num), err), closeSegments(kept))
		}
		if !r.hole {
			kept = append(kept, s)
			continue
		}
		// What follows a hole must never be read again, once the log goes on elsewhere. Nor may it
		// be removed if it says that the hole was on disk once.
		mark, err := highestMark(l, nums[i+1:])
		r.mark = max(r.mark, mark)
		if err = errors.Join(err, s.file.Close()); err == nil && r.mark <= r.pos {
			err = errors.Join(l.remove(nums[i:]...), l.dir.Sync())
		}
		if err != nil {
			return 0, nil, errors.Join(err, closeSegments(kept))
		}
		break
	}
	if r.mark > r.pos {
		err := fmt.Errorf("%w: the log ends at %d, but %d was on disk", ErrDamaged, r.pos, r.mark)
		return 0, nil, errors.Join(err, closeSegments(kept))
	}
	for _, s := range kept {
		if s.last <= flushed {
			continue
		}
		if err := makeCertain(s.file); err != nil {
			return 0, nil, errors.Join(err, closeSegments(kept))
		}
	}
	return r.pos, kept, nil
}

// makeCertain brings a file to the disk whatever befell the run that wrote it: if a sync failed then, the kernel may have
// bytes that never reached the disk, and call them clean. Only what is written anew is certain.
func makeCertain(f vfs.File) error {
	data, err := readAll(f)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(data, 0); err != nil {
		return err
	}
	return f.SyncData()
}

type recovery struct {
	db   *pebble.DB
	log  *slog.Logger
	pos  uint64 // the database is here
	mark uint64 // this much was on disk once
	hole bool   // a record came that is not the next one
}

// segment applies one segment.
func (r *recovery) segment(l *walDir, num uint64) (*segment, error) {
	f, err := l.fs.OpenReadWrite(l.segmentPath(num), "rhizome-wal")
	if err != nil {
		return nil, err
	}
	s := &segment{num: num, file: f}
	data, err := readAll(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if flips := unflip(data, num, r.pos+1); len(flips) > 0 {
		r.log.Warn("the log had flipped bits, which its checksums tell", "file", l.segmentPath(num), "bits", len(flips))
	}
	mark, err := readSegment(data, num, func(rec record) (bool, error) {
		if rec.pos > r.pos+1 && s.last == 0 {
			r.hole = true
			return false, nil
		}
		if rec.pos > r.pos+1 || s.last != 0 && rec.pos != s.last+1 {
			return false, fmt.Errorf("%w: record %d follows %d", ErrDamaged, rec.pos, s.last)
		}
		s.last = rec.pos
		if rec.pos <= r.pos {
			return true, nil // in a table already
		}
		r.pos = rec.pos
		return true, r.apply(rec)
	})
	r.mark = max(r.mark, mark)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return s, nil
}

func (r *recovery) apply(rec record) error {
	b := r.db.NewBatch()
	// The batch keeps the bytes if it is large, and all of them are of one file.
	if err := b.SetRepr(append([]byte(nil), rec.payload...)); err != nil {
		return fmt.Errorf("%w: batch %d: %w", ErrDamaged, rec.pos, err)
	}
	if err := r.db.Apply(b, pebble.NoSync); err != nil {
		return err
	}
	return b.Close()
}

// highestMark returns the highest mark in segments that are not going to be applied.
func highestMark(l *walDir, nums []uint64) (mark uint64, err error) {
	for _, num := range nums {
		f, err := l.fs.Open(l.segmentPath(num))
		if err != nil {
			return 0, err
		}
		data, err := readAll(f)
		if err := errors.Join(err, f.Close()); err != nil {
			return 0, err
		}
		m, _ := readSegment(data, num, func(record) (bool, error) { return false, nil })
		mark = max(mark, m)
	}
	return mark, nil
}

func readAll(f vfs.File) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	data := make([]byte, info.Size())
	n, err := f.ReadAt(data, 0)
	if err != nil && (err != io.EOF || n < len(data)) {
		return nil, err
	}
	return data, nil
}
