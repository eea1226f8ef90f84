package fs

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/store"
	"github.com/rhizome-fs/rhizome/ipld"
)

// A Volume is one live tree. Its state is in the database; what is here are the contents that
// are still being sealed.
type Volume struct {
	fs     *FS
	home   *home
	id     identity.VolumeID
	inoKey [32]byte
	log    *eventlog.Log
	sealer *ipld.Sealer
	author eventlog.Author
	local  *tree.Reducer // for the device-local part
	isHome bool

	building sync.Mutex             // held while a snapshot is made
	making   atomic.Pointer[making] // that snapshot; nil: none

	usage usage

	localTree atomic.Bool // it may have a device-local tree

	unmerged atomic.Bool // there may be conflicts that nobody has looked at
	spree    spree

	lost map[tree.VersionID]bool // what an earlier run had not sealed and a power loss took; set when the volume is opened

	mu      sync.Mutex
	pending map[tree.VersionID]*pending
}

// openVolume opens a volume once. name is for messages.
func (f *FS) openVolume(h *home, id identity.VolumeID, name string) (*Volume, error) {
	if v, ok := f.volume(id); ok {
		return v, nil
	}
	f.opening.Lock()
	defer f.opening.Unlock()
	v, ok := f.volume(id)
	if ok {
		return v, nil
	}
	o, err := h.id.Open(id)
	if err != nil {
		return nil, err
	}
	v = &Volume{
		fs: f, home: h, id: id, inoKey: h.id.InoKey, log: o.Log, sealer: o.Sealer, author: o.Author,
		local: tree.New(), lost: map[tree.VersionID]bool{}, pending: map[tree.VersionID]*pending{},
	}
	if err := v.findLocalTree(); err != nil {
		return nil, fmt.Errorf("open volume: %w", err)
	}
	if err := v.begin(); err != nil {
		return nil, fmt.Errorf("begin volume: %w", err)
	}
	if err := v.recover(); err != nil {
		return nil, fmt.Errorf("recover volume: %w", err)
	}
	if h.vol != nil {
		if err := h.vol.remember(id); err != nil {
			return nil, err
		}
	}
	f.mu.Lock()
	f.volumes[id] = v
	f.mu.Unlock()
	v.log.OnChange(v.changed)
	v.unmerged.Store(true) // an earlier run may have left some
	return v, nil
}

// remember notes in a home volume that a volume has been opened: when it is removed, what was in it must still be sealed,
// and kept from garbage collection.
func (v *Volume) remember(id identity.VolumeID) error {
	known := false
	err := v.log.Local(func(r eventlog.Reader) { _, known = r.Get(localKey(localVolume, id)) })
	if err != nil || known {
		return err
	}
	return v.update(func(t *txn) error {
		t.SetLocal(localKey(localVolume, id), []byte{})
		return nil
	})
}

// remembered lists the volumes that have ever been opened in this home.
func (v *Volume) remembered() (ids []identity.VolumeID, err error) {
	err = v.log.Local(func(r eventlog.Reader) {
		r.Scan([]byte{localVolume}, nil, func(k, _ []byte) bool {
			if len(k) == 17 {
				ids = append(ids, identity.VolumeID(k[1:]))
			}
			return true
		})
	})
	return ids, err
}

// begin writes a new volume's first event, which names its reducer.
func (v *Volume) begin() error {
	s := v.log.Stats()
	if s.CommittedEvents+s.TentativeEvents+s.UnframedEvents > 0 {
		return nil
	}
	return v.update(func(t *txn) error {
		t.apply(false, tree.Begin{Reducer: v.local.Name(), Time: t.now})
		return nil
	})
}

// view calls fn with the shared or the device-local state.
func (v *Volume) view(local bool, fn func(r eventlog.Reader) error) error {
	if local && !v.localTree.Load() {
		return fn(noTree{})
	}
	var err error
	read := v.log.View
	if local {
		read = v.log.Local
	}
	if e := read(func(r eventlog.Reader) {
		if local {
			r = localReader{r}
		}
		err = fn(r)
	}); e != nil {
		return e
	}
	return err
}

// A txn is one change of a volume: events, state and device-local records in one batch.
type txn struct {
	*eventlog.Tx
	v    *Volume
	now  int64
	done []func() // what changes in memory once the change is made; node locks are still held

	removed []int64 // when the files were made that lose their last name

	metas    []metaChange
	metaRoom [3]metaChange

	opening bool // more is about to follow: a file's first edit, or the sealing of one
}

// update runs fn as one atomic change, and returns when it is in the kernel's hands: it survives kill -9.
// If fn fails nothing has changed.
func (v *Volume) update(fn func(t *txn) error) error {
	return v.updateTo(store.Handed, fn)
}

func (v *Volume) updateTo(d store.Durability, fn func(t *txn) error) error {
	t := txn{v: v, now: v.fs.now().UnixNano()}
	t.metas = t.metaRoom[:0]
	c, err := v.log.Update(func(tx *eventlog.Tx) error {
		t.Tx = tx
		if err := fn(&t); err != nil {
			return err
		}
		t.putMetas()
		return nil
	})
	if err != nil {
		return err
	}
	for _, fn := range t.done {
		fn()
	}
	if len(t.removed) > 0 {
		v.removed(t.removed, t.now)
	}
	err = c.Wait(d)
	v.home.id.Wake(!t.opening)
	return err
}

// apply appends an event of one op, or changes the device-local tree alone.
func (t *txn) apply(local bool, ops ...tree.Op) {
	ev := eventlog.Event{Time: t.now, Body: tree.Encode(ops...)}
	if local {
		t.v.localTree.Store(true) // also if nothing comes of it
		t.v.local.Apply(localState{t.Tx}, t.v.author, ev)
		return
	}
	t.Append(ev)
}

// absent takes keys of the state that nothing stands behind: it saves looking for them.
func (t *txn) absent(local bool) func(key []byte) {
	if local {
		return func([]byte) {}
	}
	return t.Tx.Absent
}

// state is what the reducer sees of the shared or the device-local tree.
func (t *txn) state(local bool) eventlog.Reader {
	switch {
	case !local:
		return t.Tx
	case !t.v.localTree.Load():
		return noTree{}
	}
	return localState{t.Tx}
}

// Device-local keys: a kind byte and what it is about. Versions' and files' ids are 16 bytes.
const (
	localMetaKey   = 'L' // FileID: localMeta
	localPending   = 'P' // VersionID: pendingRecord
	localBytes     = 'Q' // VersionID: the bytes of small pending content
	localJournal   = 'J' // FileID: journalRecord, what fsync made durable of an edit that goes on
	localChunk     = 'K' // FileID, number (8): offset (8), bytes: what fsync made durable of them
	localSums      = 'C' // spill file (8), group (8): checksums of the pages that an fsync synced
	localTreeKeys  = 'T' // the device-local tree's state
	localVolume    = 'V' // VolumeID: it has been opened; in a home volume
	localMass      = 'M' // when (8): a large part of the files was deleted
	localRestored  = 'Z' // when the last restore began and ended
	localExpired   = 'X' // VersionID: its bytes are not kept any more
	localRetention = 'R' // retentionRecord
	localBelieved  = 'W' // in a home volume: the last time that the clock was believed, ns (8)
	localSnapshot  = 'S' // name: snapshotRecord
	localBuilt     = 'B' // builtRecord
)

func localKey[ID ~[16]byte](kind byte, id ID) []byte {
	k := make([]byte, 17, 25)
	k[0] = kind
	copy(k[1:], id[:])
	return k
}

// then has fn called once the change is made.
func (t *txn) then(fn func()) { t.done = append(t.done, fn) }

// hold is the node of a file for the time of a call, which ends by table.release: meanwhile the node is not dropped and
// made anew by others.
func (v *Volume) hold(file tree.FileID, local bool) *Node { return v.node(file, local, 1) }

// node finds or makes the node of a file and counts lookups of the kernel.
func (v *Volume) node(file tree.FileID, local bool, lookups uint64) *Node {
	return v.fs.table.ref(v, file, local, lookups, func() localMeta { return v.metaOf(file, local) })
}

// graft is a volume's place in a home volume.
type graft struct {
	name string
	vol  identity.VolumeID
}

func graftsOf(r eventlog.Reader) []graft {
	var gs []graft
	tree.ReadDir(r, tree.RootID, 0, func(_ uint64, name []byte, d tree.Dirent) bool {
		if d.Kind == tree.Graft {
			if ino, ok := tree.GetInode(r, d.ID); ok {
				gs = append(gs, graft{string(name), ino.Volume})
			}
		}
		return true
	})
	return gs
}
