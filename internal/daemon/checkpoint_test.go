package daemon

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/store"
	"github.com/rhizome-fs/rhizome/ipld"
	"github.com/rhizome-fs/rhizome/ipld/table"
)

// stateOf is a log's whole state as text.
func stateOf(t testing.TB, l *eventlog.Log) string {
	t.Helper()
	var b bytes.Buffer
	err := l.Snapshot(func(r eventlog.Reader) {
		r.Scan(nil, nil, func(k, v []byte) bool {
			fmt.Fprintf(&b, "%x=%x\n", k, v)
			return true
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// openRoot opens what a checkpoint says of a volume, as a device with the keys does.
func openRoot(t testing.TB, k *identity.Keyring, v volumeCheckpoint) eventlog.Checkpoint {
	t.Helper()
	key, err := k.VolumeKeys(v.Volume).OpenFrame(v.Epoch, v.Nonce, v.Root[:], v.Key)
	if err != nil {
		t.Fatal(err)
	}
	return eventlog.Checkpoint{
		Index: v.Index, OrderHash: v.OrderHash, Frames: v.Frames, Events: v.Events,
		Table: table.Root{Link: ipld.Link{CID: v.Root, Key: ipld.Key(key)}, Records: v.Records, Bytes: v.Bytes},
	}
}

// A device with the keys goes on from a checkpoint, and what was ordered after it, to the same state; over collections and a restart.
func TestCheckpoint(t *testing.T) {
	home := t.TempDir()
	d := opened(t, home)
	v := volume(t, d, "notes")
	for i := range 300 {
		write(t, d, v, fmt.Sprint("a", i), bytes.Repeat([]byte{byte(i)}, 50*i))
	}
	committed(t, d)
	make := func() {
		t.Helper()
		committed(t, d)
		if err := d.all()[0].compactor.make(t.Context(), "test"); err != nil {
			t.Fatal(err)
		}
	}
	make()
	write(t, d, v, "b", []byte("b"))
	make()
	if _, err := d.fs.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		write(t, d, v, fmt.Sprint("c", i), []byte("after"))
	}
	committed(t, d)
	st := d.all()[0].seq.Stats()
	if st.Entries < 2 {
		t.Errorf("after the checkpoint: %+v", st)
	}
	if c, ok := d.all()[0].compactor.told(); !ok || c.Why != "test" {
		t.Errorf("status tells of %+v", c)
	}
	shut(t, d)

	d = opened(t, home)
	i := d.all()[0]
	body, err := i.newest()
	if err != nil || len(body.Volumes) != 2 {
		t.Fatalf("after a restart the checkpoint is of %d volumes, %v", len(body.Volumes), err)
	}
	if c, ok := i.compactor.told(); !ok || c.Events == 0 {
		t.Errorf("after a restart status tells of %+v", c)
	}
	other, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for _, vc := range body.Volumes {
		from, ok := i.log(vc.Volume)
		if !ok {
			t.Fatalf("volume %v is not open", vc.Volume)
		}
		o := eventlog.Options{
			Store: other, Volume: vc.Volume, Feed: eventlog.Feed{Volume: vc.Volume, Device: i.keys.Device(), Incarnation: 7},
			Sign: i.keys.Sign, Keys: i.keys.VolumeKeys(vc.Volume), Member: i.members.Allows, Reducer: tree.New(),
		}
		if err := eventlog.Restore(o, d.blocks, eventlog.Kept{Checkpoint: openRoot(t, i.keys, vc)}, nil); err != nil {
			t.Fatal(err)
		}
		to, err := eventlog.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		for _, feed := range from.Feeds() {
			err := from.Frames(feed.ID(), 0, func(f *eventlog.Frame) bool {
				if err := to.Commit(vc.Index+eventlog.Index(f.Last()), f.Raw); err != nil {
					t.Error(err)
				}
				return true
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if got, want := stateOf(t, to), stateOf(t, from); got != want {
			t.Errorf("volume %v went on to\n%swant\n%s", vc.Volume, got, want)
		}
	}
}

// Somebody who is no member can't tell of a checkpoint, nor one who changes it.
func TestCheckpointIsSigned(t *testing.T) {
	d := opened(t, t.TempDir())
	write(t, d, volume(t, d, "notes"), "a", []byte("a"))
	committed(t, d)
	i := d.all()[0]
	if err := i.compactor.make(t.Context(), "test"); err != nil {
		t.Fatal(err)
	}
	_, data, err := i.seq.Newest()
	if err != nil {
		t.Fatal(err)
	}
	e, _, ok := parseCheckpoint(data)
	if !ok || !e.signed(i.members) {
		t.Fatal("a good checkpoint is refused")
	}
	e.Body[len(e.Body)-1] ^= 1
	if e.signed(i.members) {
		t.Error("a changed one is taken")
	}
}

// A checkpoint's record that this version can't read, or that is damaged, keeps nobody from working: the next one is put in its place.
func TestCheckpointOfNoUse(t *testing.T) {
	home := t.TempDir()
	d := opened(t, home)
	write(t, d, volume(t, d, "notes"), "a", []byte("a"))
	committed(t, d)
	if err := d.all()[0].compactor.make(t.Context(), "test"); err != nil {
		t.Fatal(err)
	}
	id := d.all()[0].keys.ID()
	b := d.st.DB().NewBatch()
	if err := b.Set(append(append([]byte{'r'}, id[:]...), 'k'), []byte("no checkpoint"), nil); err != nil {
		t.Fatal(err)
	}
	if err := d.st.Commit(b, store.OnDisk); err != nil {
		t.Fatal(err)
	}
	shut(t, d)
	d = opened(t, home)
	i := d.all()[0]
	if _, err := i.newest(); err == nil {
		t.Fatal("the record is read")
	}
	write(t, d, volume(t, d, "notes"), "b", []byte("b"))
	committed(t, d)
	if err := i.compactor.make(t.Context(), "test"); err != nil {
		t.Fatal(err)
	}
	if b, err := i.newest(); err != nil || len(b.Volumes) != 2 {
		t.Errorf("the next one is of %d volumes, %v", len(b.Volumes), err)
	}
}

// Raft is told of a checkpoint, and records it, when its blocks are on the disk: then the database's index has them.
func TestCheckpointIsSyncedBeforeItIsTold(t *testing.T) {
	d := opened(t, t.TempDir())
	write(t, d, volume(t, d, "notes"), "a", []byte("a"))
	committed(t, d)
	i := d.all()[0]
	at, err := i.checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	defer at.Release()
	data, err := at.Write()
	if err != nil {
		t.Fatal(err)
	}
	_, body, ok := parseCheckpoint(data)
	if !ok || len(body.Volumes) != 2 {
		t.Fatalf("it is of %d volumes", len(body.Volumes))
	}
	for _, v := range body.Volumes {
		digest := v.Root.Digest()
		_, closer, err := d.st.DB().Get(append(append([]byte("b"), digest[:]...), byte(v.Root.Codec())))
		if err != nil {
			t.Fatalf("the root of volume %v is in the index: %v", v.Volume, err)
		}
		closer.Close()
	}
}
