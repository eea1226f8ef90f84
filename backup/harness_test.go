package backup

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/store"
	"github.com/rhizome-fs/rhizome/ipld"
)

// lines is a reducer for tests: the state is the events' bodies in their order. A body is a block's CID and a text.
type lines struct{}

func (lines) Name() string { return "lines/1" }

func (lines) Apply(s eventlog.State, _ eventlog.Author, e eventlog.Event) {
	old, _ := s.Get([]byte("n"))
	n := len(old)
	s.Set([]byte("n"), make([]byte, n+1))
	s.Set(fmt.Appendf(nil, "line %06d", n), e.Body)
}

func (lines) Coalesce(es []eventlog.Event) []eventlog.Event { return es }

func (lines) Remembers([]byte, bool) bool { return true }

func (lines) Needs(e eventlog.Event) []ipld.CID {
	if c, err := ipld.CIDFromBytes(e.Body[:36]); err == nil {
		return []ipld.CID{c}
	}
	return nil
}

// A device is an identity's keys, two logs and blocks.
type device struct {
	testing.TB
	keys    *identity.Keyring
	members [][]byte
	st      *store.Store
	logs    []*eventlog.Log
	blocks  *ipld.Memory
	sealer  *ipld.Sealer
	index   eventlog.Index
	count   int
	now     int64
}

func newDevice(t testing.TB) *device {
	k, err := identity.NewIdentity(rand.Reader, "ada", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	d := &device{TB: t, keys: k, members: [][]byte{k.Genesis()}, sealer: ipld.NewSealer([32]byte{1}, [32]byte{2})}
	d.open()
	return d
}

// open begins with an empty store.
func (d *device) open() {
	d.Helper()
	st, err := store.Open("home", store.Options{FS: vfs.NewMem(), FlushEvery: -1})
	if err != nil {
		d.Fatal(err)
	}
	d.st, d.logs, d.blocks = st, nil, ipld.NewMemory()
	d.Cleanup(func() { st.Close() })
	for _, name := range []string{"", "notes"} {
		d.log(d.keys.VolumeID(name, 0))
	}
}

func (d *device) log(v identity.VolumeID) *eventlog.Log {
	d.Helper()
	if i := slices.IndexFunc(d.logs, func(l *eventlog.Log) bool { return l.Volume() == v }); i >= 0 {
		return d.logs[i]
	}
	members, err := identity.FoldMembership(d.members)
	if err != nil {
		d.Fatal(err)
	}
	l, err := eventlog.Open(eventlog.Options{
		Store: d.st, Volume: v, Feed: eventlog.Feed{Volume: v, Device: d.keys.Device(), Incarnation: d.keys.Incarnation()},
		Sign: d.keys.Sign, Keys: d.keys.VolumeKeys(v), Member: members.Allows, Reducer: lines{}, Rand: rand.Reader,
	})
	if err != nil {
		d.Fatal(err)
	}
	d.logs = append(d.logs, l)
	return l
}

// write adds events with contents of so many bytes, in frames of two, and orders all of them but the last when ordered is false.
func (d *device) write(l *eventlog.Log, events, size int, ordered bool) {
	d.Helper()
	for range events {
		d.count++
		data := make([]byte, size)
		copy(data, fmt.Sprintf("content %d", d.count))
		for i := range data {
			data[i] ^= byte(i * i >> 3)
		}
		b, link := d.sealer.SealLeaf(data)
		must(d, d.blocks.Put(b))
		node, link := d.sealer.SealNode(fmt.Appendf(nil, "node %d", d.count), []ipld.CID{link.CID})
		must(d, d.blocks.Put(node))
		_, err := l.Update(func(tx *eventlog.Tx) error {
			tx.Append(eventlog.Event{Time: 1, Body: fmt.Appendf(link.CID[:], "event %d", d.count)})
			return nil
		})
		must(d, err)
	}
	for {
		f, err := l.Cut(2)
		must(d, err)
		if f == nil {
			break
		}
		if d.index++; ordered {
			must(d, l.Commit(d.index, f.Raw))
		}
	}
}

// order gives the frames that have no place theirs.
func (d *device) order(l *eventlog.Log) {
	d.Helper()
	var raws [][]byte
	must(d, l.Uncommitted(func(f *eventlog.Frame) bool {
		raws = append(raws, f.Raw)
		return true
	}))
	d.index++
	must(d, l.Commit(d.index, raws...))
}

func (d *device) source() Source {
	d.now++
	return Source{
		Identity: d.keys.ID(), Members: d.members, Logs: d.logs, Blocks: d.blocks, AsOf: time.Unix(d.now, 0),
		Settings: []byte("sealed settings"), Device: d.keys.Device(), Sign: d.keys.Sign,
		Missed: func(roots map[ipld.CID]struct{}) (all []ipld.CID, _ error) {
			for c := range roots {
				all = append(all, c)
			}
			return all, nil
		},
	}
}

func (d *device) backup(fs vfs.FS) Result {
	d.Helper()
	res, err := Write(context.Background(), fs, "backup", d.source(), nil)
	must(d, err)
	return res
}

// state is what a volume's log has: its state and where its order stands.
func state(t testing.TB, l *eventlog.Log) string {
	t.Helper()
	var text []byte
	must(t, l.Snapshot(func(r eventlog.Reader) {
		r.Scan(nil, nil, func(k, v []byte) bool {
			text = fmt.Appendf(text, "%s=%x\n", k, v)
			return true
		})
	}))
	i, h := l.Committed()
	return fmt.Sprintf("%s%d %x", text, i, h)
}

// recovered is a device with nothing but a backup.
func (d *device) recovered(fs vfs.FS) *device {
	d.Helper()
	b, err := Open(fs, "backup", d.keys.ID())
	must(d, err)
	to := &device{TB: d.TB, keys: d.keys, members: b.Members(), sealer: d.sealer}
	to.open()
	whole := func(f Fault) error { return fmt.Errorf("%w: %v", ErrDamaged, f) }
	must(d, b.Blocks(context.Background(), whole, func(b ipld.Block) error { return to.blocks.Put(b) }))
	must(d, b.RestoreLogs(context.Background(), func(v identity.VolumeID) (*eventlog.Log, error) { return to.log(v), nil },
		nothing, whole, func(Progress) {}))
	return to
}

func nothing(*eventlog.Log, [][]byte) error { return nil }

// wantSame fails unless to has all that d has.
func (d *device) wantSame(to *device) {
	d.Helper()
	for i, l := range d.logs {
		if got, want := state(d, to.logs[i]), state(d, l); got != want {
			d.Fatalf("volume %d is\n%s, was\n%s", i, got, want)
		}
	}
	must(d, d.blocks.Keys(func(c ipld.CID) error {
		_, err := to.blocks.Get(c)
		return err
	}))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
