package fs

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/store"
	"github.com/rhizome-fs/rhizome/ipld"
)

// Options say what an FS stands on. All but Logger and Clock must be set.
type Options struct {
	Store  *store.Store
	Blocks *ipld.Segments
	UID    uint32           // the mounting user's
	GID    uint32           //
	Device string           // this device's name, for conflict names and the log
	Boot   string           // names the machine's boot: what was written in another one and not synced may be gone
	Now    func() time.Time // for what writes set; coarse is right (see docs/ARCHITECTURE.md)
	Clock  func() time.Time // what time it is to the logs, which may be finer; nil: Now
	// Keep yields the roots of blocks that Collect must keep beside those of the file system; nil: there are none.
	Keep   func(yield func(ipld.CID) error) error
	Logger *slog.Logger
}

// An Identity is what an FS needs to know of one: how to open its volumes and what a new one is called.
type Identity struct {
	Name     string
	Home     identity.VolumeID
	InoKey   [32]byte
	VolumeID func(name string, generation uint64) identity.VolumeID
	Open     func(identity.VolumeID) (Opened, error)
	// Wake is called, often, when there may be events to frame; soon is false if more are about to follow.
	Wake func(soon bool)
}

// Opened is a volume's log and what seals its content.
type Opened struct {
	Log    *eventlog.Log
	Sealer *ipld.Sealer
	Author eventlog.Author // this device
}

// An FS is all that a mount shows: identities, and in each its home volume with the app volumes.
// Its methods may be called from any goroutine.
type FS struct {
	st     *store.Store
	calls  atomic.Uint64 // that programs made
	blocks *ipld.Segments
	cache  *ipld.Cache
	uid    uint32
	gid    uint32
	device string
	boot   string
	now    func() time.Time
	keep   func(yield func(ipld.CID) error) error
	log    *slog.Logger
	spills *spills
	table  *table
	past   *pastTable
	space  space
	seal   sealQueue

	damage damageList
	aheads sync.WaitGroup // what is being read ahead
	counts sync.WaitGroup // volumes whose files are being counted

	// invalidate tells the kernel what changed behind its back; set once before the mount serves.
	invalidate atomic.Pointer[Invalidator]

	atime Atime // set once before the mount serves

	opening sync.Mutex // held while a volume is opened

	crossing  sync.Mutex    // held while something moves from one tree of a volume to the other
	crossings atomic.Uint64 // odd while something moves

	mu         sync.Mutex
	identities []*home
	volumes    map[identity.VolumeID]*Volume
}

// home is an identity's place at the mount's top.
type home struct {
	id   Identity
	name string // guarded by FS.mu
	vol  *Volume
	ino  uint64
}

// An Invalidator is called, without locks, with what programs may have cached and is no longer true.
type Invalidator interface {
	InvalidateNode(id NodeID)
	InvalidateEntry(parent NodeID, name string)
}

// New makes an FS without identities. Nothing runs until Run.
func New(o Options) (*FS, error) {
	sp, err := newSpills(o.Store, o.Now())
	if err != nil {
		return nil, err
	}
	f := &FS{
		st: o.Store, blocks: o.Blocks, uid: o.UID, gid: o.GID, device: o.Device, boot: o.Boot, now: o.Now, keep: o.Keep, log: o.Logger,
		spills: sp, table: newTable(), cache: ipld.NewCache(cacheBytes),
		volumes: map[identity.VolumeID]*Volume{},
	}
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = o.Now
	}
	f.past = newPastTable(f, o.Clock)
	f.SetSnapshots(snapshotNames{f})
	f.atime.Never = true
	f.seal.wake, f.seal.full = make(chan struct{}, 1), make(chan struct{}, 1)
	f.space.st, f.space.spills = o.Store, sp
	top := &Node{id: Root, ino: uint64(Root), lookups: 1}
	top.ctime = o.Now().UnixNano()
	f.table.byID[Root] = top
	o.Store.OnFlush(f.syncPending)
	return f, nil
}

const cacheBytes = 16 << 20

// SetInvalidator says who tells the kernel. It is called once, before the mount serves.
func (f *FS) SetInvalidator(i Invalidator) { f.invalidate.Store(&i) }

// AddIdentity opens an identity's home volume and all volumes in it, and shows it at the top.
// Edits that a crash interrupted are brought to their end.
func (f *FS) AddIdentity(id Identity) error {
	h := &home{id: id, name: id.Name}
	v, err := f.openVolume(h, id.Home, "")
	if err != nil {
		return fmt.Errorf("open home volume of %s: %w", id.Name, err)
	}
	v.isHome = true
	h.vol = v
	h.ino = deriveIno(id.InoKey, id.Home, tree.RootID)
	var grafts []graft
	if err := v.view(false, func(r eventlog.Reader) error {
		grafts = graftsOf(r)
		return nil
	}); err != nil {
		return err
	}
	for _, g := range grafts {
		if _, err := f.openVolume(h, g.vol, g.name); err != nil {
			return fmt.Errorf("open volume %s/%s: %w", id.Name, g.name, err)
		}
	}
	past, err := v.remembered()
	if err != nil {
		return err
	}
	for _, vol := range past {
		if _, err := f.openVolume(h, vol, ""); err != nil {
			return fmt.Errorf("open a removed volume of %s: %w", id.Name, err)
		}
	}
	f.mu.Lock()
	f.identities = append(f.identities, h)
	f.mu.Unlock()
	f.invalidateTop(id.Name)
	return nil
}

// RenameIdentity changes the name that an identity has at the top.
func (f *FS) RenameIdentity(old, name string) error {
	f.mu.Lock()
	i := f.indexLocked(old)
	if i < 0 {
		f.mu.Unlock()
		return fmt.Errorf("rename identity %s: %w", old, ErrNotExist)
	}
	if f.indexLocked(name) >= 0 {
		f.mu.Unlock()
		return fmt.Errorf("rename identity to %s: %w", name, ErrExist)
	}
	f.identities[i].name = name
	f.mu.Unlock()
	f.invalidateTop(old)
	f.invalidateTop(name)
	return nil
}

func (f *FS) indexLocked(name string) int {
	return slices.IndexFunc(f.identities, func(h *home) bool { return h.name == name })
}

func (f *FS) homeNamed(name string) *home {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i := f.indexLocked(name); i >= 0 {
		return f.identities[i]
	}
	return nil
}

func (f *FS) homes() []*home {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.identities)
}

func (f *FS) invalidateTop(name string) {
	if i := f.invalidate.Load(); i != nil {
		(*i).InvalidateEntry(Root, name)
		(*i).InvalidateNode(Root)
	}
}

// Run seals closed content and ends quiet edits until ctx is done.
func (f *FS) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { f.runSealing(ctx) })
	wg.Go(func() { f.runQuiet(ctx) })
	wg.Wait()
	return nil
}

// Settle does what a call has left to be done once its caller has the answer. Whoever reads sees it as done before.
func (f *FS) Settle() {
	f.calls.Add(1)
	f.st.Settle()
}

// Sync ends no edit, but makes everything durable that a program could ask an fsync for: all
// edits that go on, and all that was closed or changed before. syncfs, unmount and a forced detach use it.
func (f *FS) Sync() error {
	var first error
	for _, n := range f.table.edits() {
		n.mu.Lock()
		if err := n.journalLocked(store.OnDisk); err != nil && first == nil {
			first = err
		}
		n.mu.Unlock()
	}
	if err := f.syncPending(); err != nil && first == nil {
		first = err
	}
	if err := f.st.Sync(); err != nil && first == nil {
		first = err
	}
	if err := f.spills.reap(); err != nil && first == nil {
		first = err
	}
	return first
}

// Finish ends every edit as its close would. The kernel sends no more requests by then.
func (f *FS) Finish() error {
	var first error
	f.aheads.Wait()
	f.counts.Wait()
	f.spills.flowing.Wait()
	for _, n := range f.table.edits() {
		if err := f.endEdit(n, true); err != nil && first == nil {
			first = err
		}
	}
	if err := f.saveAtimes(); err != nil && first == nil {
		first = err
	}
	if err := f.Sync(); err != nil && first == nil {
		first = err
	}
	return first
}

// allVolumes returns the volumes that are open.
func (f *FS) allVolumes() []*Volume {
	f.mu.Lock()
	defer f.mu.Unlock()
	vs := make([]*Volume, 0, len(f.volumes))
	for _, v := range f.volumes {
		vs = append(vs, v)
	}
	return vs
}

// openSealed reads content in the block store.
func (f *FS) openSealed(c ipld.Content) *ipld.Reader { return ipld.NewReader(f.blocks, c, f.cache) }
