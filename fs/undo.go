package fs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
)

// undoPause parts one change from the one before, where nothing says what belongs together: what follows within it is one change. Of a restore or an
// undo it is known.
const undoPause = 2 * time.Second

// Undo takes back what was done to a path since a time, whoever did it, as an edit like any other: what it takes back stays in the history, and
// the undo itself can be undone. The zero time stands for the last change: all that came one after the other with less than two seconds in
// between, but for what was made just before a run of removals. No path at all stands for all identities. It tells what it does as Restore does.
func (f *FS) Undo(ctx context.Context, path []string, since time.Time, dry bool, tell func(Restored) error) error {
	rs := f.newRestoration(ctx, RestoreOptions{Exact: true, DryRun: dry}, tell)
	paths := [][]string{path}
	if len(path) == 0 {
		paths = nil
		for _, h := range f.homes() {
			paths = append(paths, []string{f.nameOf(h)})
		}
	}
	if since.IsZero() {
		began, which, err := f.lastBurst(paths)
		if errors.Is(err, ErrNotExist) && len(path) > 0 {
			return rs.lastState(path) // it is gone
		}
		if err != nil {
			return err
		}
		since, paths = began.Add(-1), which
	}
	for _, p := range paths {
		if err := tell(Restored{Deed: DeedMoment, Path: strings.Join(p, "/"), At: since}); err != nil {
			return err
		}
		if err := rs.undo(p, since); err != nil {
			return err
		}
	}
	return nil
}

// undo makes a path what it was, also if it had another name or was not there.
func (rs *restoration) undo(path []string, since time.Time) error {
	s, err := rs.f.spotAt(path, time.Time{})
	if err != nil {
		return err
	}
	d, there := s.vol.lookupNow(s.names)
	if !there || len(s.names) == 0 {
		return rs.to(path, since)
	}
	then, err := s.vol.pastOf(since)
	if err != nil {
		return err
	}
	var was []string // where what is there now was
	existed, had := false, false
	if err := then.view(func(r eventlog.Reader) error {
		was, existed = whereabouts(r, d.ID)
		had = len(walkTo(r, s.names)) == len(s.names)+1
		return nil
	}); err != nil {
		return err
	}
	if existed && !slices.Equal(was, s.names) {
		back := rs.in(s, then)
		back.free = d.ID
		if err := back.run(was); err != nil {
			return err
		}
		if _, there = s.vol.lookupNow(s.names); !had && (!there || rs.o.DryRun) {
			return nil
		}
	}
	if had {
		return rs.place(s, then)
	}
	parent, ok := s.vol.lookupNow(s.names[:len(s.names)-1])
	if !ok {
		return nil
	}
	return rs.in(s, then).remove(extra{parent.ID, []byte(s.names[len(s.names)-1]), strings.Join(path, "/"), d})
}

// lastBurst finds the last change below any of paths: when it began, and below which of them.
func (f *FS) lastBurst(paths [][]string) (began time.Time, which [][]string, err error) {
	var all []burst
	for i, path := range paths {
		s, err := f.spotAt(path, time.Time{})
		if err != nil {
			return began, nil, err
		}
		d, ok := s.vol.lookupNow(s.names)
		if !ok {
			return began, nil, fmt.Errorf("%s: %w", s.path(), ErrNotExist)
		}
		vols := []*Volume{s.vol}
		if s.vol.isHome && len(s.names) == 0 {
			ids, err := s.home.vol.remembered()
			if err != nil {
				return began, nil, err
			}
			for _, id := range ids {
				if v, ok := f.volume(id); ok {
					vols = append(vols, v)
				}
			}
		}
		for _, v := range vols {
			in := d.ID
			if v != s.vol {
				in = tree.RootID
			}
			b, err := v.bursts(in)
			if err != nil {
				return began, nil, err
			}
			b.path = i
			all = append(all, b)
		}
	}
	all = slices.DeleteFunc(all, func(b burst) bool { return b.end == 0 })
	if len(all) == 0 {
		return began, nil, fmt.Errorf("undo: nothing has changed: %w", ErrInvalid)
	}
	slices.SortFunc(all, func(a, b burst) int { return int(min(1, max(-1, b.end-a.end))) })
	run := slices.ContainsFunc(all, func(b burst) bool { return b.run && b.end >= all[0].end-int64(undoPause) })
	for i, b := range all {
		if run && b.tail != 0 {
			all[i].began = b.tail
		}
	}
	start := all[0].began
	taken := map[int]bool{}
	for _, b := range all {
		if b.end >= start-int64(undoPause) {
			start = min(start, b.began)
			taken[b.path] = true
		}
	}
	for i, p := range paths {
		if taken[i] {
			which = append(which, p)
		}
	}
	return time.Unix(0, start), which, nil
}

// A burst is changes without a pause.
type burst struct {
	began, end int64
	path       int
	tail       int64 // when the removals began with which it ends; 0: it ends with something else
	run        bool  // those are many
}

// bursts finds the last burst of changes of a file, or of what is or was below a directory.
func (v *Volume) bursts(in tree.FileID) (b burst, err error) {
	inside := map[tree.FileID]bool{}
	removals := 0 // how many there are, if there is nothing else
	began, ended, err := v.lastRestored()
	if err != nil {
		return b, err
	}
	err = v.log.EntriesBefore(eventlog.LastPosition(), func(e eventlog.Entry) bool {
		switch t := e.Event.Time; {
		case b.end == 0:
		case b.end > ended && t <= ended, b.end <= ended && b.end >= began && t < began:
			return false // a restore is a change by itself
		case t < b.began-int64(undoPause):
			return false
		}
		ops, err := tree.Decode(e.Event.Body)
		if err != nil || !slices.ContainsFunc(ops, func(op tree.Op) bool { return v.concerns(op, in, inside) }) {
			return true
		}
		only := v.removals(ops)
		if b.end != 0 && removals >= manyRemovals && only == 0 {
			return false // what was made just before was not made to be removed
		}
		if b.end == 0 {
			b = burst{began: e.Event.Time, end: e.Event.Time}
		}
		if removals += only; only == 0 {
			removals = -1 << 62
		}
		b.began = min(b.began, e.Event.Time)
		if removals > 0 {
			b.tail, b.run = b.began, removals >= manyRemovals
		}
		return true
	})
	return b, err
}

// manyRemovals are no end of a save, in which an editor clears away: they are a change by themselves.
const manyRemovals = 3

// removals counts what ops remove, a directory or a volume as many; 0 if they do anything else.
func (v *Volume) removals(ops []tree.Op) (n int) {
	for _, op := range ops {
		u, ok := op.(tree.Unlink)
		if !ok {
			return 0
		}
		n++
		v.view(false, func(r eventlog.Reader) error {
			if ino, ok := tree.GetDead(r, u.ID); ok && (ino.Kind == tree.Dir || ino.Kind == tree.Graft) {
				n += manyRemovals
			}
			return nil
		})
	}
	return n
}

// lastRestored is when the last restore or undo in the volume began and ended, by the times of its events.
func (v *Volume) lastRestored() (began, ended int64, err error) {
	err = v.log.Local(func(r eventlog.Reader) {
		if b, ok := r.Get([]byte{localRestored}); ok && len(b) == spanSize {
			began, ended = int64(binary.BigEndian.Uint64(b)), int64(binary.BigEndian.Uint64(b[8:]))
		}
	})
	return began, ended, err
}

const spanSize = 16

// encodeSpan is the record of a time from one moment to another: 8 bytes each.
func encodeSpan(from, to int64) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, spanSize), uint64(from))
	return binary.BigEndian.AppendUint64(b, uint64(to))
}

// concerns reports whether an op is about a file, or about what is or was below a directory. known is what is known of files already.
func (v *Volume) concerns(op tree.Op, in tree.FileID, known map[tree.FileID]bool) (does bool) {
	if _, begin := op.(tree.Begin); begin {
		return false
	}
	if in == tree.RootID {
		return true
	}
	tree.Subjects(op, func(id tree.FileID) {
		if does || id == tree.RootID || id == (tree.FileID{}) {
			return
		}
		is, ok := known[id]
		if !ok {
			v.view(false, func(r eventlog.Reader) error {
				is = wasBelow(r, id, in)
				return nil
			})
			known[id] = is
		}
		does = does || is
	})
	return does
}

// wasBelow reports whether a file is dir, or is below it or was when it lost its last name.
func wasBelow(r eventlog.Reader, id, dir tree.FileID) bool {
	for range tree.MaxPath {
		if id == dir {
			return true
		}
		ino, ok := tree.GetInode(r, id)
		if !ok {
			ino, ok = tree.GetDead(r, id)
		}
		if !ok || ino.ID == tree.RootID {
			return false
		}
		id = ino.Parent
	}
	return false
}
