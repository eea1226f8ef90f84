package eventlog

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/store"
	"github.com/rhizome-fs/rhizome/ipld"
)

// seeds is for the tests whose histories take long.
var seeds = flag.Uint64("seeds", 8, "how many histories the longer tests go through, each of a seed of its own")

// register is a reducer for tests: up to 256 registers, and counts. An event is an operation's byte and its operands; any
// bytes have an outcome. Most outcomes depend on the order.
type register struct{}

const (
	opNone  = iota
	opSet   // key value...: the register holds the author's feed and the value
	opMix   // key value...: the register holds the hash of what it held and the value
	opDel   // key: the register is empty, if it was not
	opCopy  // key key: the second holds what the first holds
	opCount // key key: the second holds how many registers there are whose key begins with the first's high half
	opFirst // key value...: the register holds value, if it is empty
	opBlock // 32 bytes: names a block
	opOnce  // id value...: a record that is written once, under an id of its own: the value and what register 0 or 1 held; it is mixed with the id
	opCount_
)

func (register) Name() string { return "register/1" }

func registerKey(k byte) []byte { return []byte{'r', k >> 4, k} }

func (register) Apply(s State, a Author, e Event) {
	if len(e.Body) < 2 {
		return
	}
	key, rest := registerKey(e.Body[1]), e.Body[2:]
	other := key
	if len(rest) > 0 {
		other = registerKey(rest[0])
	}
	switch e.Body[0] % opCount_ {
	case opSet:
		s.Set(key, append(a.Feed[:4:4], rest...))
	case opMix:
		old, _ := s.Get(key)
		h := sha256.Sum256(append(bytes.Clone(old), rest...))
		s.Set(key, h[:8])
	case opDel:
		if _, ok := s.Get(key); ok {
			s.Delete(key)
		}
	case opCopy:
		if v, ok := s.Get(key); ok {
			s.Set(other, v)
		} else {
			s.Delete(other)
		}
	case opCount:
		n := uint64(0)
		s.Scan(key[:2], nil, func(_, _ []byte) bool { n++; return true })
		s.Set(other, binary.BigEndian.AppendUint64(nil, n))
	case opOnce:
		shared := registerKey(e.Body[1] % 2)
		old, _ := s.Get(shared)
		s.Set([]byte{'o', e.Body[1]}, append(bytes.Clone(rest), old...))
		h := sha256.Sum256(append(bytes.Clone(old), e.Body[1]))
		s.Set(shared, h[:8])
	case opFirst:
		if _, ok := s.Get(key); !ok {
			s.Set(key, rest)
		}
	}
}

func (register) Coalesce(es []Event) []Event {
	var out []Event
	for _, e := range es {
		if len(e.Body) < 2 || e.Body[0]%opCount_ == opNone {
			continue
		}
		if n := len(out); n > 0 && e.Body[0]%opCount_ == opSet && out[n-1].Body[0]%opCount_ == opSet && out[n-1].Body[1] == e.Body[1] {
			out[n-1] = e
			continue
		}
		out = append(out, e)
	}
	return out
}

func (register) Remembers([]byte, bool) bool { return true }

func (register) Needs(e Event) []ipld.CID {
	if len(e.Body) != 34 || e.Body[0] != opBlock {
		return nil
	}
	return []ipld.CID{ipld.CID(append([]byte{1, 0x55, 0x12, 0x20}, e.Body[2:]...))}
}

func event(op byte, operands ...byte) Event {
	return Event{Time: 1, Body: append([]byte{op}, operands...)}
}

// A device is a keyring and the feed that it writes.
type device struct {
	keyring *identity.Keyring
	feed    Feed
}

// A volume is one volume that devices of different identities write.
type volume struct {
	id      identity.VolumeID
	keys    *identity.VolumeKeys
	devices []device
}

type testingTB interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func newVolume(t testingTB, devices int) *volume {
	t.Helper()
	rng := rand.NewChaCha8([32]byte{7})
	v := &volume{}
	for i := range devices {
		k, err := identity.NewIdentity(rng, fmt.Sprint("id", i), time.Unix(1, 0))
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			v.id = k.VolumeID("notes", 0)
			v.keys = k.VolumeKeys(v.id)
		}
		v.devices = append(v.devices, device{k, Feed{Volume: v.id, Device: k.Device(), Incarnation: uint64(i) + 1}})
	}
	return v
}

func (v *volume) member(d identity.DeviceID) bool {
	for _, x := range v.devices {
		if x.keyring.Device() == d {
			return true
		}
	}
	return false
}

func (v *volume) options(st *store.Store, dev int) Options {
	d := v.devices[dev]
	return Options{
		Store: st, Volume: v.id, Feed: d.feed, Sign: d.keyring.Sign, Keys: v.keys, Member: v.member,
		Reducer: register{}, Rand: rand.NewChaCha8([32]byte{byte(dev)}),
	}
}

// A replica is a log on a store of its own.
type replica struct {
	*Log
	st *store.Store
	fs vfs.FS
	o  Options
}

func openReplica(t testingTB, fs vfs.FS, v *volume, dev int, change func(*Options)) *replica {
	t.Helper()
	r := &replica{fs: fs, o: v.options(nil, dev)}
	if change != nil {
		change(&r.o)
	}
	return r.open(t)
}

// open opens the replica's store and log.
func (r *replica) open(t testingTB) *replica {
	t.Helper()
	st, err := store.Open("home", store.Options{FS: r.fs, FlushEvery: -1, Age: FactAge})
	if err != nil {
		t.Fatal(err)
	}
	o := r.o
	o.Store = st
	l, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return &replica{l, st, r.fs, o}
}

// reopen closes the replica and opens it again.
func (r *replica) reopen(t testingTB) *replica {
	t.Helper()
	if err := r.st.Close(); err != nil {
		t.Fatal(err)
	}
	return r.open(t)
}

func holdOnly(o *Options) { o.Keys, o.Sign, o.Reducer = nil, nil, nil }

func (r *replica) append(t testingTB, es ...Event) {
	t.Helper()
	c, err := r.Update(func(tx *Tx) error {
		for _, e := range es {
			tx.Append(e)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(store.Handed); err != nil {
		t.Fatal(err)
	}
}

func (r *replica) cut(t testingTB) *Frame {
	t.Helper()
	f, err := r.Cut(1000)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (r *replica) receive(t testingTB, fs ...*Frame) {
	t.Helper()
	for _, f := range fs {
		if _, err := r.Receive(f.Raw); err != nil {
			t.Fatal(err)
		}
	}
}

func (r *replica) commit(t testingTB, i Index, fs ...*Frame) {
	t.Helper()
	raws := make([][]byte, len(fs))
	for k, f := range fs {
		raws[k] = f.Raw
	}
	if err := r.Commit(i, raws...); err != nil {
		t.Fatal(err)
	}
}

// dump returns the whole state as text.
func (r *replica) dump() string {
	var b bytes.Buffer
	err := r.Snapshot(func(s Reader) {
		s.Scan(nil, nil, func(k, v []byte) bool {
			fmt.Fprintf(&b, "%x=%x\n", k, v)
			return true
		})
	})
	if err != nil {
		panic(err)
	}
	return b.String()
}

// folded returns what the state must be: the events of all entries, applied to nothing.
func (r *replica) folded(t testingTB) string {
	t.Helper()
	o := newOverlay(emptyBase{})
	err := r.Entries(Position{}, func(e Entry) bool {
		register{}.Apply(o, e.Author, e.Event)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return dumpOverlay(o)
}

func dumpOverlay(o *overlay) string {
	var b bytes.Buffer
	o.Scan(nil, nil, func(k, v []byte) bool {
		fmt.Fprintf(&b, "%x=%x\n", k, v)
		return true
	})
	return b.String()
}

type emptyBase struct{}

func (emptyBase) get([]byte) ([]byte, bool, error)                     { return nil, false, nil }
func (emptyBase) scan(_, _ []byte, _ func(key, val []byte) bool) error { return nil }
func (emptyBase) getAll(keys [][]byte, fn func(i int, val []byte, ok bool)) error {
	for i := range keys {
		fn(i, nil, false)
	}
	return nil
}

func memReplica(t *testing.T, v *volume, dev int, change func(*Options)) *replica {
	t.Helper()
	r := openReplica(t, vfs.NewMem(), v, dev, change)
	t.Cleanup(func() { r.st.Close() })
	return r
}
