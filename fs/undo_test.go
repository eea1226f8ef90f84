package fs

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func (r *rig) undo(path string, since time.Time, dry bool) (deeds []string) {
	r.Helper()
	var names []string
	if path != "" {
		names = strings.Split(path, "/")
	}
	r.must(r.fs.Undo(context.Background(), names, since, dry, func(d Restored) error {
		switch {
		case d.Deed == DeedMoment:
		case d.From != "":
			deeds = append(deeds, fmt.Sprintf("%s %s -> %s", d.Deed, d.From, d.Path))
		default:
			deeds = append(deeds, fmt.Sprintf("%s %s", d.Deed, d.Path))
		}
		return nil
	}))
	r.check()
	slices.Sort(deeds)
	return deeds
}

// TestUndoLast: the last change goes, and with it all that came in one go; undoing again brings it back.
func TestUndoLast(t *testing.T) {
	r := newRig(t)
	r.everything(r.vol)
	want := r.tree(r.vol)
	r.moment()
	r.put(r.vol, "before", []byte("kept"))
	kept := r.tree(r.vol)
	r.moment()
	dir := r.mkdir(r.vol, "new")
	r.put(dir, "in", []byte("in"))
	r.must(r.fs.Rename(r.vol, "small", r.vol, "moved", 0))
	changed := r.tree(r.vol)
	r.clock.forward(time.Minute)

	for _, path := range []string{"me/notes", "me", ""} {
		plan := r.undo(path, time.Time{}, true)
		r.sameTree("dry", r.tree(r.vol), changed)
		did := r.undo(path, time.Time{}, false)
		if !slices.Equal(plan, did) || !slices.Contains(did, "rename me/notes/moved -> me/notes/small") || !slices.Contains(did, "remove me/notes/new/in") {
			t.Fatal(plan, did)
		}
		r.sameTree("undone", r.tree(r.vol), kept)
		r.clock.forward(time.Minute)
		r.undo(path, time.Time{}, false)
		r.sameTree("undone twice", r.tree(r.vol), changed)
		r.clock.forward(time.Minute)
	}
	r.undo("me/notes", time.Unix(0, start).Add(time.Minute), false)
	r.sameTree("since the beginning", r.tree(r.vol), want)
}

// TestUndoPath: of one file, of one that was renamed, of one that was not there, of one that is gone; what else has changed stays.
func TestUndoPath(t *testing.T) {
	r := newRig(t)
	r.put(r.vol, "a", []byte("one"))
	r.put(r.vol, "b", []byte("one"))
	r.moment()
	r.put(r.vol, "a", []byte("two"))
	r.moment()
	r.put(r.vol, "b", []byte("two"))
	at := r.moment()
	if did := r.undo("me/notes/a", time.Time{}, false); !slices.Equal(did, []string{"change me/notes/a"}) {
		t.Fatal(did)
	}
	r.expect(r.vol, "a", []byte("one"))
	r.expect(r.vol, "b", []byte("two"))

	r.moment()
	r.must(r.fs.Rename(r.vol, "b", r.vol, "c", 0))
	r.put(r.vol, "new", []byte("new"))
	if did := r.undo("me/notes/c", at, false); !slices.Equal(did, []string{"rename me/notes/c -> me/notes/b"}) {
		t.Fatal(did)
	}
	r.expect(r.vol, "b", []byte("two"))
	r.missing(r.vol, "c")
	r.expect(r.vol, "new", []byte("new"))
	if did := r.undo("me/notes/new", at, false); !slices.Equal(did, []string{"remove me/notes/new"}) {
		t.Fatal(did)
	}
	r.missing(r.vol, "new")
	if did := r.undo("me/notes/new", time.Time{}, false); !slices.Equal(did, []string{"restore me/notes/new"}) {
		t.Fatal(did)
	}
	r.expect(r.vol, "new", []byte("new"))
}

// TestUndoRemovals: rm -r of what was just made takes back the removal, not the making, in all volumes.
func TestUndoRemovals(t *testing.T) {
	r := newRig(t)
	r.everything(r.vol)
	other := r.mkdir(r.home, "other")
	r.put(other, "o", []byte("o"))
	want := r.tree(r.home)
	r.wipe(r.home)
	r.undo("", time.Time{}, false)
	r.sameTree("undone", r.tree(r.home), want)
}
