package daemon

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/backup"
	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/control"
	"github.com/rhizome-fs/rhizome/ipld"
)

// statesOnly is what the logs of an identity lead to, and how far the order has come.
func statesOnly(t testing.TB, d *daemon) map[identity.VolumeID]string {
	t.Helper()
	all := map[identity.VolumeID]string{}
	for _, l := range d.all()[0].allLogs() {
		i, h := l.Committed()
		all[l.Volume()] = fmt.Sprintf("%d %x %d %v\n%s", i, h, l.Stats().CommittedEvents, l.Heads(), stateOf(t, l))
	}
	return all
}

// pasts is what the logs of an identity were at a time.
func pasts(t testing.TB, d *daemon, at time.Time) map[identity.VolumeID]string {
	t.Helper()
	all := map[identity.VolumeID]string{}
	for _, l := range d.all()[0].allLogs() {
		m, err := l.MomentAt(at)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		err = l.At(m, func(r eventlog.Reader) {
			tree.Walk(r, tree.RootID, func(path [][]byte, e tree.Dirent) bool {
				ino, _ := tree.GetInode(r, e.ID)
				fmt.Fprintf(&b, "%q %+v\n", path, ino)
				return true
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		all[l.Volume()] = b.String()
	}
	return all
}

// alike fails where two devices' logs differ, line by line.
func alike(t testing.TB, what string, got, want map[identity.VolumeID]string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d volumes, were %d", what, len(got), len(want))
	}
	for v := range want {
		has := map[string]int{}
		for line := range strings.Lines(got[v]) {
			has[line]++
		}
		for line := range strings.Lines(want[v]) {
			if has[line]--; has[line] < 0 {
				t.Errorf("%s: volume %v lacks %s", what, v, line)
			}
		}
		for line, n := range has {
			if n > 0 {
				t.Errorf("%s: volume %v has %s", what, v, line)
			}
		}
	}
	if t.Failed() {
		t.FailNow()
	}
}

// tidied applies retention to the log, with a clock that is ahead.
func tidied(t testing.TB, d *daemon, ahead time.Duration, dry bool) control.GCAnswer {
	t.Helper()
	committed(t, d)
	d.tidier.now = func() time.Time { return time.Now().Add(ahead) }
	a, err := d.tidier.retire(t.Context(), time.Time{}, dry)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func bases(t testing.TB, d *daemon) (all []eventlog.Index) {
	t.Helper()
	for _, l := range d.all()[0].allLogs() {
		b, err := l.Base()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	return all
}

// soundAtRest fails if a deep verify of a store finds anything.
func soundAtRest(t testing.TB, home string) {
	t.Helper()
	a, err := Verify(t.Context(), VerifyOptions{Home: home, Deep: true})
	if err != nil || len(a.Findings) > 0 {
		t.Errorf("verify finds %+v, %v", a.Findings, err)
	}
}

const (
	days30 = 30 * 24 * time.Hour
	day    = 24 * time.Hour
)

// A backup of a store whose first frames are gone begins with a checkpoint and its history. What is recovered from it is what is recovered from one
// that has all frames, and what the store had: state, order, past, versions with their bytes; and all go on alike.
func TestRecoverFromCheckpoint(t *testing.T) {
	t.Parallel()
	whole, late := filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "late")
	home := t.TempDir()
	d := opened(t, home)
	var times []time.Time
	quiet := func() {
		t.Helper()
		committed(t, d)
		time.Sleep(5 * time.Millisecond)
		times = append(times, time.Now())
		time.Sleep(5 * time.Millisecond)
	}
	notes := volume(t, d, "notes")
	write(t, d, notes, "first", []byte("of all"))
	quiet()
	liveALittle(t, d)
	quiet()
	backupTo(t, d, whole)
	if a := tidied(t, d, 0, false); a.Frames != 0 {
		t.Fatalf("new frames are gone: %+v", a)
	}
	err := d.fs.Rename(notes, "renamed", notes, "renamed again", 0)
	if err != nil {
		t.Fatal(err)
	}
	write(t, d, notes, "second", bytes.Repeat([]byte("behind it "), 1000))
	quiet()
	foretold := tidied(t, d, days30+day, true)
	if a := tidied(t, d, days30+day, false); a.Frames == 0 || a.Frames != foretold.Frames || a.FrameBytes != foretold.FrameBytes {
		t.Fatalf("%+v, foretold was %+v", a, foretold)
	}
	for _, b := range bases(t, d) {
		if b == 0 {
			t.Errorf("some log was not shortened: %v", bases(t, d))
		}
	}
	if _, err := d.fs.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(t, d, notes, "third", []byte("last"))
	if err := d.fs.Unlink(notes, "file 7"); err != nil {
		t.Fatal(err)
	}
	quiet()
	backupTo(t, d, whole)
	if r := backupTo(t, d, late); r[0].MissingVersions != 0 || r[0].Blocks == 0 {
		t.Fatalf("%+v", r)
	}
	if r := backupTo(t, d, late); r[0].Frames+r[0].Blocks != 0 {
		t.Fatalf("nothing was new: %+v", r)
	}
	want, words := statesOnly(t, d), phraseOfIdentity(t, d, firstIdentity)
	var was []map[identity.VolumeID]string
	for _, at := range times[1:] { // at the first one some volumes were not there yet
		was = append(was, pasts(t, d, at))
	}
	wantSealedOnly(t, d, late)
	shut(t, d)
	soundAtRest(t, home)

	for _, from := range []string{whole, late} {
		home := t.TempDir()
		if res := recovered(t, home, from, words); res.Volumes != 4 || res.MissingVersions != 0 {
			t.Fatalf("%+v", res)
		}
		again := opened(t, home)
		committed(t, again)
		alike(t, "recovered", statesOnly(t, again), want)
		for n, at := range times[1:] {
			alike(t, fmt.Sprint("at ", n), pasts(t, again, at), was[n])
		}
		readsAs(t, again, "notes", "second", bytes.Repeat([]byte("behind it "), 1000))
		readsAs(t, again, "notes", "file 29", bytes.Repeat([]byte{29}, 29*29*100))
		if b := bases(t, again); (b[0] > 0) != (from == late) {
			t.Errorf("the bases are %v", b)
		}
		if _, err := again.fs.Collect(t.Context()); err != nil {
			t.Fatal(err)
		}
		write(t, again, volume(t, again, "notes"), "behind", []byte("behind it"))
		committed(t, again)
		if r := backupTo(t, again, from); r[0].Frames != 1 || r[0].Blocks != 0 {
			t.Fatalf("it goes on with %+v", r)
		}
		gone := statesOnly(t, again)
		shut(t, again)
		soundAtRest(t, home)
		third := t.TempDir()
		recovered(t, third, from, words)
		last := opened(t, third)
		committed(t, last)
		alike(t, "recovered again", statesOnly(t, last), gone)
		shut(t, last)
	}
}

// A backup that was left alone for so long that frames are gone goes on with a checkpoint.
func TestBackupAfterAGap(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "backup")
	d := opened(t, t.TempDir())
	liveALittle(t, d)
	committed(t, d) // what has no place yet when it is copied comes again with the checkpoint
	backupTo(t, d, dir)
	early := states(t, d, firstIdentity)
	time.Sleep(5 * time.Millisecond)
	then := time.Now()
	time.Sleep(5 * time.Millisecond)
	write(t, d, volume(t, d, "notes"), "between", bytes.Repeat([]byte("between "), 1000))
	tidied(t, d, 0, false)
	if a := tidied(t, d, days30+day, false); a.Frames == 0 {
		t.Fatal("no frame is gone")
	}
	write(t, d, volume(t, d, "notes"), "behind", []byte("behind"))
	committed(t, d)
	if r := backupTo(t, d, dir); r[0].Before == nil || r[0].Frames != 1 {
		t.Fatalf("%+v", r)
	}
	want, was, words := statesOnly(t, d), pasts(t, d, then), phraseOfIdentity(t, d, firstIdentity)
	shut(t, d)
	home := t.TempDir()
	res := recovered(t, home, dir, words)
	again := opened(t, home)
	committed(t, again)
	alike(t, "recovered", statesOnly(t, again), want)
	alike(t, "before the gap", pasts(t, again, then), was)
	readsAs(t, again, "notes", "between", bytes.Repeat([]byte("between "), 1000))
	wantEvents(t, again, early)
	if len(res.Gaps) != 1 || !res.Gaps[0].Early { // the other volumes have changed no more
		t.Fatalf("the gaps that are told of: %+v", res.Gaps)
	}
	var log []string
	sources, err := again.sources(res.Gaps[0].Volume)
	if err != nil {
		t.Fatal(err)
	}
	list, err := again.past(t.Context(), sources[0], nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		log = append(log, e.What)
	}
	if at := slices.Index(log, "compacted"); at < 30 || at > len(log)-2 {
		t.Errorf("the log of notes is %q", log)
	}
	shut(t, again)
	soundAtRest(t, home)
	again = opened(t, home)
	tidied(t, again, 2*(days30+day), false) // keeps another checkpoint
	write(t, again, volume(t, again, "notes"), "last", []byte("last"))
	tidied(t, again, 4*(days30+day), false)
	for _, l := range again.all()[0].allLogs() {
		if i, err := l.Early(); i > 0 || err != nil {
			t.Errorf("frames from before the gap stay for ever: %v, %v", i, err)
		}
	}
	shut(t, again)
	soundAtRest(t, home)
}

// wantEvents fails unless the logs that began with a checkpoint have the events that states has shown before it.
func wantEvents(t testing.TB, d *daemon, states map[identity.VolumeID]string) {
	t.Helper()
	for _, l := range d.all()[0].allLogs() {
		n := 0
		if b, err := l.Base(); b == 0 && err == nil {
			continue
		}
		err := l.Entries(eventlog.Position{}, func(e eventlog.Entry) bool {
			if b, err := l.Base(); err != nil || e.Position.Index > b {
				return false
			}
			n++
			if line := fmt.Sprintf("%x %d %d %x\n", e.Author.Feed, e.Seq, e.Event.Time, e.Event.Body); !strings.Contains(states[l.Volume()], line) {
				t.Errorf("volume %v has %s", l.Volume(), line)
			}
			return true
		})
		if want := strings.Count(states[l.Volume()], "\n") - strings.Count(states[l.Volume()], "="); err != nil || n != want {
			t.Errorf("volume %v begins with %d events, %v, want %d", l.Volume(), n, err, want)
		}
	}
}

// Frames stay while any of the conditions is not met.
func TestFramesStay(t *testing.T) {
	t.Parallel()
	d := opened(t, t.TempDir())
	liveALittle(t, d)
	gone := func(what string, ahead time.Duration, want bool) {
		t.Helper()
		before := tidied(t, d, ahead, true).Frames
		a := tidied(t, d, ahead, false)
		if (a.Frames > 0) != want || a.Frames != before {
			t.Errorf("%s: %d frames went, foretold were %d", what, a.Frames, before)
		}
	}
	gone("no checkpoint is kept", 99*days30, false)
	d.tidier.now = nil
	write(t, d, volume(t, d, "notes"), "another", []byte("one"))
	gone("the checkpoint is of the future", 0, false) // another one is kept
	gone("it is too young", days30-day, false)
	i := d.all()[0]
	for _, l := range i.allLogs() {
		r, err := d.fs.Retention(l.Volume())
		if err != nil {
			t.Fatal(err)
		}
		r.All = fs.Forever
		if err := d.fs.SetRetention(l.Volume(), r); err != nil {
			t.Fatal(err)
		}
	}
	gone("everything is kept for ever", 2*days30, false)
	for _, l := range i.allLogs() {
		if err := d.fs.SetRetention(l.Volume(), fs.DefaultRetention); err != nil {
			t.Fatal(err)
		}
	}
	i.shortening.RLock()
	gone("frames are being copied", 2*days30, false)
	i.shortening.RUnlock()
	gone("nothing speaks against it", 2*days30, true)
	gone("they are gone", 2*days30, false)
}

func TestCutAt(t *testing.T) {
	at := time.Unix(1000, 0)
	kept := []eventlog.Kept{
		{Checkpoint: eventlog.Checkpoint{Index: 10}, Made: at},
		{Checkpoint: eventlog.Checkpoint{Index: 20}, Made: at.Add(time.Hour)},
		{Checkpoint: eventlog.Checkpoint{Index: 30}, Made: at.Add(2 * time.Hour)},
	}
	for _, c := range []struct {
		old          time.Time
		acknowledged eventlog.Index
		want         eventlog.Index
	}{
		{at.Add(-1), 100, 0}, {at, 100, 10}, {at.Add(time.Hour), 100, 20}, {at.Add(time.Hour), 19, 10},
		{at.Add(3 * time.Hour), 30, 30}, {at.Add(3 * time.Hour), 0, 0}, {time.Time{}, 100, 0},
	} {
		if got := cutAt(kept, c.old, c.acknowledged); got != c.want {
			t.Errorf("what is before %v, acknowledged up to %d: %d, want %d", c.old, c.acknowledged, got, c.want)
		}
	}
}

// What follows from frames is mended from the checkpoint that stands in for those that are gone, and its own damage is named.
func TestRepairShortened(t *testing.T) {
	t.Parallel()
	whole := filepath.Join(t.TempDir(), "store")
	d := opened(t, whole)
	fill(t, d)
	tidied(t, d, 0, false)
	write(t, d, volume(t, d, "notes"), "behind", []byte("behind"))
	if a := tidied(t, d, days30+day, false); a.Frames == 0 {
		t.Fatal("no frame is gone")
	}
	var roots []ipld.CID
	for _, l := range d.all()[0].allLogs() {
		kept, err := l.Kept()
		if err != nil || len(kept) == 0 {
			t.Fatal(kept, err)
		}
		for _, k := range kept {
			roots = append(roots, k.Table.Link.CID)
		}
	}
	shut(t, d)
	soundAtRest(t, whole)
	want := served(t, copyStore(t, whole))
	for _, kinds := range []string{"lsi lsd lsv lsb lsw lsg", "lm lh"} {
		home := copyStore(t, whole)
		dropKind(t, kinds)(t, home)
		if rep := verified(t, VerifyOptions{Home: home, Deep: true}); rep.Clean {
			t.Errorf("without %s: nothing is found", kinds)
		}
		if rep := verified(t, VerifyOptions{Home: home, Repair: true}); !rep.Clean {
			t.Errorf("without %s: not mended: %s", kinds, damage(rep))
		}
		if got := served(t, home); !maps.Equal(got, want) {
			t.Errorf("without %s: after the repair there is %v, and was %v", kinds, got, want)
		}
	}
	home := copyStore(t, whole)
	path, _ := theFile(t, home, "segments/*.car")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(b, roots[0][:])
	if at < 0 {
		t.Fatal("the checkpoint is in no segment")
	}
	flipBit(t, path, int64(at+len(roots[0])+20), 3)
	rep := verified(t, VerifyOptions{Home: home})
	if !strings.Contains(damage(rep), "checkpoint at") {
		t.Errorf("nobody tells that a checkpoint is damaged: %s", damage(rep))
	}
}

// A damaged backup of a store that has let go of frames is written anew as far as the store can, from its checkpoint.
func TestMendFromCheckpoint(t *testing.T) {
	t.Parallel()
	d := opened(t, t.TempDir())
	liveALittle(t, d)
	early := filepath.Join(t.TempDir(), "early") // has all frames
	backupTo(t, d, early)
	tidied(t, d, 0, false)
	write(t, d, volume(t, d, "notes"), "behind", []byte("behind"))
	if a := tidied(t, d, days30+day, false); a.Frames == 0 {
		t.Fatal("no frame is gone")
	}
	backupTo(t, d, early)
	late := filepath.Join(t.TempDir(), "late") // has an origin
	backupTo(t, d, late)
	want, words := statesOnly(t, d), phraseOfIdentity(t, d, firstIdentity)
	for _, dir := range []string{early, late} {
		for _, what := range []string{"*.car", "*.log", "manifest"} {
			files, err := filepath.Glob(filepath.Join(dir, "*", what))
			if err != nil || len(files) == 0 {
				t.Fatal(what, err)
			}
			if what == "manifest" {
				err = os.Remove(files[0])
			} else {
				flipBit(t, files[0], 300, 2)
			}
			if err != nil {
				t.Fatal(err)
			}
			err = d.backup(t.Context(), control.BackupRequest{Dir: control.Name(dir), Repair: true}, func(control.BackupEvent) error { return nil })
			if err != nil {
				t.Fatalf("%s of %s: %v", what, filepath.Base(dir), err)
			}
			if check, err := CheckBackup(t.Context(), dir, func(control.Progress) {}); err != nil {
				t.Errorf("%s: %+v, %v", what, check, err)
			}
			home := t.TempDir()
			if res := recovered(t, home, dir, words); res.MissingVersions > 0 {
				t.Errorf("%s: %+v", what, res)
			}
			again := opened(t, home)
			committed(t, again)
			alike(t, "recovered without "+what, statesOnly(t, again), want)
			readsAs(t, again, "notes", "file 29", bytes.Repeat([]byte{29}, 29*29*100))
			shut(t, again)
		}
	}
}

// A damaged block of the checkpoint with which a backup begins costs nothing but an honest report: it is there twice. Without both the volume
// is not recovered, and named; the others are.
func TestRecoverFromDamagedCheckpoint(t *testing.T) {
	t.Parallel()
	d := opened(t, t.TempDir())
	liveALittle(t, d)
	tidied(t, d, 0, false)
	write(t, d, volume(t, d, "notes"), "behind", []byte("behind"))
	tidied(t, d, days30+day, false)
	dir := filepath.Join(t.TempDir(), "backup")
	backupTo(t, d, dir)
	again := control.BackupRequest{Dir: control.Name(dir), Repair: true}
	err := d.backup(t.Context(), again, func(e control.BackupEvent) error {
		if e.Result != nil && e.Result.Blocks > 0 {
			t.Errorf("a repair of what is whole writes %d blocks", e.Result.Blocks)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want, words := statesOnly(t, d), phraseOfIdentity(t, d, firstIdentity)
	id, home := d.all()[0].keys.ID(), d.all()[0].keys.VolumeID("", 0)
	shut(t, d)
	b, err := backup.Open(vfs.Default, dir, id)
	if err != nil {
		t.Fatal(err)
	}
	origins := b.Origins()
	if len(origins) != 4 {
		t.Fatalf("%d volumes begin with a checkpoint", len(origins))
	}
	for _, o := range origins {
		for _, root := range o.Roots {
			damageBlock(t, dir, root, 0)
		}
	}
	partial := RecoverRequest{From: dir, Words: words, Partial: true}
	res, err := Recover(t.Context(), Options{Home: t.TempDir()}, RecoverRequest{From: dir, Words: words}, func(control.Progress) {})
	if control.CodeOf(err) != control.Damaged {
		t.Errorf("without --partial: %+v, %v", res, err)
	}
	to := t.TempDir()
	if res, err = Recover(t.Context(), Options{Home: to}, partial, func(control.Progress) {}); err != nil || len(res.Damaged) == 0 {
		t.Fatalf("%+v, %v", res, err)
	}
	first := opened(t, to)
	committed(t, first)
	alike(t, "recovered", statesOnly(t, first), want)
	readsAs(t, first, "notes", "file 29", bytes.Repeat([]byte{29}, 29*29*100))
	shut(t, first)

	lost := origins[slices.IndexFunc(origins, func(o backup.Origin) bool { return o.Volume != home })]
	damageBlock(t, dir, lost.Roots[0], 1)
	to = t.TempDir()
	if res, err = Recover(t.Context(), Options{Home: to}, partial, func(control.Progress) {}); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(res.Damaged, func(s string) bool { return strings.HasPrefix(s, "volume "+lost.Volume.String()) }) {
		t.Errorf("nobody says that volume %v is lost: %q", lost.Volume, res.Damaged)
	}
	last := opened(t, to)
	committed(t, last)
	delete(want, lost.Volume)
	got := statesOnly(t, last)
	delete(got, lost.Volume)
	alike(t, "recovered without one", got, want)
	shut(t, last)
}

// damageBlock flips a bit of the nth copy of a block in a backup.
func damageBlock(t testing.TB, dir string, c ipld.CID, nth int) {
	t.Helper()
	packs, err := filepath.Glob(filepath.Join(dir, "*", "*.car"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range packs {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if at := bytes.Index(b, c[:]); at < 0 {
			continue
		} else if nth--; nth < 0 {
			flipBit(t, path, int64(at+len(c)+20), 3)
			return
		}
	}
	t.Fatalf("block %v is not there so often", c)
}
