package tree

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/store"
	"github.com/rhizome-fs/rhizome/ipld"
)

// A member is a device's log of one volume.
type member struct {
	testing.TB
	*eventlog.Log
	o eventlog.Options
}

func newMember(t testing.TB, owner *identity.Keyring, v identity.VolumeID, incarnation uint64) *member {
	t.Helper()
	st, err := store.Open("home", store.Options{FS: vfs.NewMem(), FlushEvery: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return &member{TB: t, o: eventlog.Options{
		Store: st, Volume: v, Feed: eventlog.Feed{Volume: v, Device: owner.Device(), Incarnation: incarnation},
		Sign: owner.Sign, Keys: owner.VolumeKeys(v), Member: func(identity.DeviceID) bool { return true },
		Reducer: New(), Rand: rand.NewChaCha8([32]byte{byte(incarnation)}),
	}}
}

func (m *member) open() *member {
	m.Helper()
	l, err := eventlog.Open(m.o)
	if err != nil {
		m.Fatal(err)
	}
	m.Log = l
	return m
}

// does appends one event, and returns its frame.
func (m *member) does(ops ...Op) []byte {
	m.Helper()
	_, err := m.Update(func(tx *eventlog.Tx) error {
		tx.Append(eventlog.Event{Time: 1, Body: Encode(ops...)})
		return nil
	})
	if err != nil {
		m.Fatal(err)
	}
	f, err := m.Cut(1)
	if err != nil || f == nil {
		m.Fatal(f, err)
	}
	return f.Raw
}

func (m *member) commits(i eventlog.Index, frames ...[]byte) {
	m.Helper()
	if err := m.Commit(i, frames...); err != nil {
		m.Fatal(err)
	}
}

func (m *member) conflicts() (all []Conflict) {
	m.Helper()
	if err := m.Snapshot(func(r eventlog.Reader) { Unmerged(r, func(c Conflict) bool { all = append(all, c); return true }) }); err != nil {
		m.Fatal(err)
	}
	return all
}

// resolves ends every conflict, and returns the frames.
func (m *member) resolves() (frames [][]byte) {
	m.Helper()
	next := byte(100)
	draw := func() FileID { next++; return FileID{next} }
	for _, c := range m.conflicts() {
		var merge Merge
		var ok bool
		if err := m.Snapshot(func(r eventlog.Reader) { merge, ok = Resolve(r, c, draw, 9) }); err != nil || !ok {
			m.Fatalf("resolve %+v: %v", c, err)
		}
		frames = append(frames, m.does(merge))
	}
	return frames
}

func (m *member) dump() string {
	m.Helper()
	var b bytes.Buffer
	err := m.Snapshot(func(r eventlog.Reader) {
		r.Scan(nil, nil, func(k, v []byte) bool {
			fmt.Fprintf(&b, "%q %x = %x\n", k[:1], k[1:], v)
			return true
		})
	})
	if err != nil {
		m.Fatal(err)
	}
	return b.String()
}

// What nobody has merged yet is in a checkpoint, with the index by which it is found: who goes on from one finds the same conflicts, and ends them alike.
func TestCheckpointHasConflicts(t *testing.T) {
	t.Parallel()
	k, err := identity.NewIdentity(rand.NewChaCha8([32]byte{1}), "ada", time.Unix(1, 0))
	if err != nil {
		t.Fatal(err)
	}
	v := k.VolumeID("notes", 0)
	a, b := newMember(t, k, v, 1).open(), newMember(t, k, v, 2).open()
	file, first := FileID{1}, VersionID{1}
	begun := a.does(
		Begin{Reducer: a.o.Reducer.Name(), Time: 1},
		Create{ID: file, Parent: RootID, Name: []byte("file"), Kind: File, Mode: 0o644, Time: 1, Mtime: 1, Btime: 1,
			Version: &Version{ID: first, Size: 1, Time: 1, By: "a", Inline: []byte("1")}},
	)
	a.commits(1, begun)
	b.commits(1, begun)
	edit := func(m *member, n byte) []byte {
		text := []byte{'0' + n}
		return m.does(
			SetContent{ID: file, Version: Version{ID: VersionID{n}, Size: 1, Time: int64(n), By: "b", Inline: text}, Replaces: []VersionID{first}, Mtime: 2, Time: 2},
			Create{ID: FileID{n}, Parent: RootID, Name: []byte("both"), Kind: File, Mode: 0o644, Time: 2, Mtime: 2, Btime: 2,
				Version: &Version{ID: VersionID{n + 10}, Size: 1, Time: 2, By: "b", Inline: text}},
		)
	}
	fa, fb := edit(a, 2), edit(b, 3)
	a.commits(2, fa, fb)
	b.commits(2, fa, fb)
	if n := len(a.conflicts()); n != 2 {
		t.Fatalf("%d conflicts, want one of heads and one of names: %+v", n, a.conflicts())
	}

	p, err := a.Prefix()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	blocks := ipld.NewMemory()
	c, _, err := p.Checkpoint(context.Background(), blocks, ipld.NewSealer([32]byte{1}, [32]byte{2}), nil, func() error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	late := newMember(t, k, v, 3)
	if err := eventlog.Restore(late.o, blocks, eventlog.Kept{Checkpoint: c}, nil); err != nil {
		t.Fatal(err)
	}
	late.open()
	if got, want := late.conflicts(), a.conflicts(); !reflect.DeepEqual(got, want) {
		t.Errorf("from the checkpoint the conflicts are %+v, want %+v", got, want)
	}
	if got, want := late.dump(), a.dump(); got != want {
		t.Errorf("from the checkpoint the state is\n%swant\n%s", got, want)
	}
	frames := late.resolves()
	for _, m := range []*member{a, b, late} {
		m.commits(3, frames...)
		if left := m.conflicts(); len(left) > 0 {
			t.Errorf("conflicts are left: %+v", left)
		}
	}
	if a.dump() != late.dump() || a.dump() != b.dump() {
		t.Error("they part after the merge")
	}
}
