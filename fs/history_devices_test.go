package fs

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/store"
)

// TestHistoryNamesDevices: with two devices that write in a volume, history says of each change whose it was: renames, chmods and removals too, also
// when this device's own events are done again on top of the other's, and after a restart.
func TestHistoryNamesDevices(t *testing.T) {
	other, err := identity.NewIdentity(rand.Reader, "other", time.Unix(1, 0))
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{tb: t, disk: vfs.NewMem(), boot: "one", keys: oneKeyring(), other: other.Device(), clock: &clock{at: start}}
	r.open()
	r.vol = r.mkdir(r.home, "notes")
	defer func() { r.close() }()
	dir := r.mkdir(r.vol, "dir")
	r.put(dir, "mine", []byte("one"))
	r.put(dir, "taken", []byte("one"))
	r.commit()

	n, err := r.fs.dirOf(dir)
	r.must(err)
	theirs := newOther(r, other, n.vol)
	mine, taken := r.fileAt(dir, "mine"), r.fileAt(dir, "taken")
	theirs.do(func(p tree.Path, now int64) []tree.Op {
		return []tree.Op{
			tree.Rename{ID: mine, From: n.file, OldName: []byte("mine"), To: n.file, NewName: []byte("ours"), Path: p, Time: now},
		}
	})
	r.chmod(dir, "mine", 0o600) // tentative: it comes behind theirs
	r.moment()
	theirs.deliver()
	r.commit() // what comes now from there is behind the chmod
	r.moment()
	heads := theirs.heads(taken)
	theirs.do(func(p tree.Path, now int64) []tree.Op {
		return []tree.Op{
			tree.SetAttr{ID: mine, Set: tree.FieldMode, Mode: 0o640},
			tree.Unlink{Parent: n.file, Name: []byte("taken"), ID: taken, Heads: heads, Time: now},
			tree.Create{ID: r.fs.newFileID(), Parent: n.file, Name: []byte("new"), Kind: tree.File, Mode: 0o644, Time: now, Mtime: now, Btime: now, By: "other", Path: p},
		}
	})
	theirs.deliver()
	r.moment()
	r.must(r.fs.Rename(dir, "new", dir, "newer", 0))
	r.moment()
	for range 2 {
		r.of(other.Device(), "me/notes/dir/ours", "other chmod ours", "other rename ours", "me chmod mine", "me edit mine", "me create mine")
		r.of(other.Device(), "me/notes/dir/taken", "other remove taken", "me edit taken", "me create taken")
		r.of(other.Device(), "me/notes/dir/newer", "me rename newer", "other create new")
		r.of(other.Device(), "me/notes/dir", "me came newer", "me gone new", "other came new", "other gone taken", "other came ours", "other gone mine",
			"me came taken", "me came mine", "me create dir")
		r.reopen()
		if dir = r.dirAt(r.vol, "dir"); dir == 0 {
			t.Fatal("the directory is gone")
		}
	}
}

// of checks what happened to a path, and who did it.
func (r *rig) of(other identity.DeviceID, path string, want ...string) {
	r.Helper()
	p, err := r.fs.FindPast(strings.Split(path, "/"))
	r.must(err)
	changes, err := r.fs.History(p)
	r.must(err)
	var got []string
	for _, c := range changes {
		who := map[identity.DeviceID]string{other: "other", r.keys.Device(): "me"}[c.Device]
		got = append(got, fmt.Sprint(who, " ", c.What, " ", c.Path[strings.LastIndexByte(c.Path, '/')+1:]))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		r.Fatalf("history of %s:\n%s\nwant\n%s", path, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func (r *rig) fileAt(dir NodeID, name string) tree.FileID {
	r.Helper()
	e, err := r.fs.Lookup(dir, name)
	r.must(err)
	n, ok := r.fs.table.get(e.Node)
	if !ok {
		r.Fatal("no node")
	}
	return n.file
}

func (r *rig) dirAt(dir NodeID, name string) NodeID {
	r.Helper()
	e, err := r.fs.Lookup(dir, name)
	r.must(err)
	return e.Node
}

func (r *rig) chmod(dir NodeID, name string, mode uint32) {
	r.Helper()
	e, err := r.fs.Lookup(dir, name)
	r.must(err)
	_, err = r.fs.SetAttr(e.Node, Changes{Mode: &mode}, false)
	r.must(err)
	r.fs.Forget(e.Node, 1)
}

// An other is a second device's log of a volume, without a mount.
type other struct {
	r     *rig
	vol   *Volume
	log   *eventlog.Log
	ready []*eventlog.Frame
}

func newOther(r *rig, keys *identity.Keyring, vol *Volume) *other {
	r.Helper()
	st, err := store.Open("home", store.Options{FS: vfs.NewMem(), FlushEvery: -1})
	r.must(err)
	r.tb.(*testing.T).Cleanup(func() { st.Close() })
	log, err := eventlog.Open(eventlog.Options{
		Store: st, Volume: vol.id, Feed: eventlog.Feed{Volume: vol.id, Device: keys.Device(), Incarnation: 1}, Sign: keys.Sign,
		Keys: r.keys.VolumeKeys(vol.id), Member: func(identity.DeviceID) bool { return true }, Reducer: tree.New(), Rand: rand.Reader,
		Now: r.clock.now,
	})
	r.must(err)
	o := &other{r: r, vol: vol, log: log}
	first := eventlog.Index(1)
	for _, feed := range vol.log.Feeds() {
		r.must(vol.log.Frames(feed.ID(), 1, func(f *eventlog.Frame) bool {
			r.must(log.Commit(first, f.Raw))
			first++
			return true
		}))
	}
	return o
}

// do makes an event of the other device below the directory "dir".
func (o *other) do(ops func(path tree.Path, now int64) []tree.Op) {
	o.r.Helper()
	_, err := o.log.Update(func(tx *eventlog.Tx) error {
		now := o.r.clock.now().UnixNano()
		d, _ := tree.Lookup(tx, tree.RootID, []byte("dir"))
		path, _ := tree.PathOf(tx, d.ID)
		tx.Append(eventlog.Event{Time: now, Body: tree.Encode(ops(path, now)...)})
		return nil
	})
	o.r.must(err)
	f, err := o.log.Cut(1000)
	o.r.must(err)
	o.ready = append(o.ready, f)
}

// deliver gives what the other device did its place in the order.
func (o *other) deliver() {
	o.r.Helper()
	for _, f := range o.ready {
		o.r.index++
		o.r.must(o.vol.log.Commit(o.r.index, f.Raw))
	}
	o.ready = nil
}

func (o *other) heads(file tree.FileID) (ids []tree.VersionID) {
	o.log.View(func(r eventlog.Reader) {
		ino, _ := tree.GetInode(r, file)
		ids = ino.HeadIDs()
	})
	return ids
}
