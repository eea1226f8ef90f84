package fs

import (
	"errors"
	"testing"
	"time"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
)

func noPause() error { return nil }

// versionsOf lists a file's versions, newest first, as far as there is one line of them.
func (r *rig) versionsOf(name string) []tree.VersionID {
	r.Helper()
	var list []tree.VersionID
	for vs := r.heads(r.fileNamed(name)); len(vs) == 1; vs = r.parents(vs[0]) {
		list = append(list, vs[0])
	}
	return list
}

// readable reports whether a version's bytes are here.
func (r *rig) readable(v tree.VersionID, want []byte) bool {
	r.Helper()
	gone, err := r.volume().expired()
	r.must(err)
	if gone[v] {
		return false
	}
	r.expectVersion(v, want)
	return true
}

// Of many versions of one file one a minute stays after an hour, and one an hour after a day; what is shown stays, and so does
// what is small, and what an open file shows.
func TestVersionsExpire(t *testing.T) {
	r := newRig(t)
	r.clock.forward(r.clock.now().Truncate(time.Hour).Add(time.Hour).Sub(r.clock.now()))
	const minutes = 10
	sizes := func(i int) int { return 100_000 + 7*i }
	r.put(r.vol, "small", []byte("one"))
	r.put(r.vol, "small", []byte("two"))
	for i := range 6 * minutes {
		r.put(r.vol, "a", pattern(sizes(i), byte(i)))
		r.clock.forward(10 * time.Second)
	}
	r.seal()
	r.commit()
	count := func() (n int) {
		vs := r.versionsOf("a")
		if len(vs) != 6*minutes {
			r.Fatalf("%d versions", len(vs))
		}
		for i, v := range vs {
			if j := 6*minutes - 1 - i; r.readable(v, pattern(sizes(j), byte(j))) {
				n++
			}
		}
		return n
	}
	retire := func() Retired {
		would, err := r.fs.Retire(time.Time{}, true, noPause)
		r.must(err)
		did, err := r.fs.Retire(time.Time{}, false, noPause)
		r.must(err)
		if would != did {
			t.Fatalf("retired %+v, said %+v", did, would)
		}
		return did
	}
	r.clock.forward(30 * time.Minute)
	if did := retire(); did.Versions != 0 {
		t.Errorf("within the hour: %+v", did)
	}
	r.clock.forward(time.Hour)
	retire()
	if n := count(); n < minutes || n > minutes+1 {
		t.Errorf("%d versions are left after an hour, want one a minute of %d", n, minutes)
	}
	r.clock.forward(30 * time.Hour)
	retire()
	if r.collect() == 0 {
		t.Error("nothing was collected")
	}
	r.reopen()
	if n := count(); n < 1 || n > 2 {
		t.Errorf("%d versions are left after a day", n)
	}
	for i, v := range r.versionsOf("small") {
		if !r.readable(v, []byte([]string{"two", "one"}[i])) {
			t.Errorf("version %d of the small file is gone", i)
		}
	}
	r.expect(r.vol, "a", pattern(sizes(6*minutes-1), byte(6*minutes-1)))
}

// A file that was removed can be had back for as long as it was kept, and its space comes back then.
func TestDeletedFilesExpire(t *testing.T) {
	r := newRig(t)
	r.must(r.fs.SetRetention(r.volume().id, Retention{All: 2 * day, Hourly: 2 * day}))
	r.put(r.vol, "a", pattern(3<<20, 1))
	r.seal()
	v := r.versionsOf("a")[0]
	r.clock.forward(time.Minute)
	r.must(r.fs.Unlink(r.vol, "a"))
	r.commit()
	r.clock.forward(day)
	if did, err := r.fs.Retire(time.Time{}, false, noPause); err != nil || did.Versions != 0 {
		t.Errorf("after a day: %+v, %v", did, err)
	}
	r.expectVersion(v, pattern(3<<20, 1))
	at := r.clock.now().Add(-day - 30*time.Second)
	if _, err := r.volume().log.MomentAt(at); err != nil {
		t.Error(err)
	}
	r.clock.forward(4 * day)
	did, err := r.fs.Retire(time.Time{}, false, noPause)
	if err != nil || did.Versions != 1 || did.Bytes != 3<<20 || did.History.Facts == 0 {
		t.Errorf("after five days: %+v, %v", did, err)
	}
	if _, err := r.volume().log.MomentAt(at); !errors.Is(err, eventlog.ErrNoHistory) {
		t.Errorf("history of then: %v", err)
	}
	if freed := r.collect(); freed == 0 {
		t.Error("nothing was collected")
	}
}

// A clock that is set back, or forth and back, makes nothing expire before its time.
func TestClockSetBackKeepsVersions(t *testing.T) {
	r := newRig(t)
	r.clock.forward(1000 * day)
	r.put(r.vol, "a", pattern(100_000, 1))
	r.clock.forward(-1000 * day)
	r.put(r.vol, "a", pattern(100_001, 2))
	r.put(r.vol, "a", pattern(100_002, 3))
	r.seal()
	r.commit()
	r.clock.forward(40 * time.Minute)
	if did, err := r.fs.Retire(time.Time{}, false, noPause); err != nil || did.Versions != 0 {
		t.Errorf("%+v, %v", did, err)
	}
}

// A version that was a head before an event which the order has not fixed yet may be one again, and stays; but not if an edit of the same device
// alone replaced it, whatever the order.
func TestWhatMayComeBackStays(t *testing.T) {
	r := newRig(t)
	r.clock.forward(r.clock.now().Truncate(time.Hour).Add(time.Hour + time.Second).Sub(r.clock.now()))
	r.put(r.vol, "a", pattern(100_000, 1))
	r.put(r.vol, "edited", pattern(100_001, 2))
	r.put(r.vol, "edited", pattern(100_002, 3))
	r.put(r.vol, "b", pattern(100_003, 4))
	r.seal()
	saved := r.versionsOf("a")[0]
	r.must(r.fs.Rename(r.vol, "b", r.vol, "a", 0))
	r.clock.forward(2 * time.Hour)
	for i, want := range []int64{100_001, 100_000} {
		if i == 1 {
			r.commit()
		}
		did, err := r.fs.Retire(time.Time{}, false, noPause)
		if err != nil || did.Versions != 1 || did.Bytes != want {
			t.Errorf("committed %v: %+v, %v; want 1 version of %d bytes", i == 1, did, err, want)
		}
		r.collect()
		if i == 0 {
			r.expectVersion(saved, pattern(100_000, 1))
		}
	}
	r.expect(r.vol, "a", pattern(100_003, 4))
}

// What lies before the floor goes first when the disk is full, whatever retention says.
func TestRetireBeforeFloor(t *testing.T) {
	r := newRig(t)
	for i := range 5 {
		r.put(r.vol, "a", pattern(500_000+i, byte(i)))
		r.clock.forward(10 * time.Minute)
	}
	r.seal()
	r.commit()
	did, err := r.fs.Retire(r.clock.now().Add(-25*time.Minute), false, noPause)
	if err != nil || did.Versions != 2 {
		t.Errorf("%+v, %v; want 2 versions", did, err)
	}
	r.collect()
	r.expect(r.vol, "a", pattern(500_004, 4))
	vs := r.versionsOf("a")
	for i := range 3 {
		r.expectVersion(vs[i], pattern(500_004-i, byte(4-i)))
	}
}

// What is restored of a time whose version is kept no longer is what .at shows of it: the next one that is kept. And the version before the
// present one is the last other one that is kept.
func TestRestoreOfWhatExpired(t *testing.T) {
	r := newRig(t)
	r.clock.forward(r.clock.now().Truncate(time.Hour).Add(time.Hour).Sub(r.clock.now()))
	var at []time.Time
	for i := range 5 { // within a minute, of which the last one is kept
		r.put(r.vol, "a", pattern(100_000+i, byte(i)))
		r.clock.forward(10 * time.Second)
		at = append(at, r.clock.now())
	}
	r.clock.forward(time.Minute)
	r.put(r.vol, "a", pattern(300_000, 9))
	r.seal()
	r.commit()
	r.clock.forward(3 * time.Hour)
	if did, err := r.fs.Retire(time.Time{}, false, noPause); err != nil || did.Versions != 4 {
		t.Fatalf("retired %+v, %v; want 4 versions", did, err)
	}
	r.collect()
	restore := func(when time.Time) {
		t.Helper()
		err := r.fs.Restore(t.Context(), []string{"me", "notes", "a"}, when, RestoreOptions{}, func(d Restored) error {
			if d.Deed == DeedSkipped {
				t.Errorf("skipped %s: %s", d.Path, d.Why)
			}
			return nil
		})
		r.must(err)
	}
	restore(at[1])
	r.expect(r.vol, "a", pattern(100_004, 4))
	r.put(r.vol, "a", pattern(300_001, 8))
	restore(time.Time{})
	r.expect(r.vol, "a", pattern(100_004, 4))
}
