package daemon

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/control"
	"github.com/rhizome-fs/rhizome/ipld"
	"github.com/rhizome-fs/rhizome/raftstore"
)

const (
	keyringDir    = "identities"
	firstIdentity = "me"
)

// An ident is one identity at work: its keys, the logs of its volumes, and the order of their frames.
type ident struct {
	d       *daemon
	keys    *identity.Keyring
	members *identity.Membership
	seq     *raftstore.Sequencer
	wake    chan struct{} // there may be events to frame, and more are about to follow
	soon    chan struct{} // there may be events to frame
	propose chan struct{} // there may be frames to propose

	memo      memo
	compactor compactor

	shortening sync.RWMutex // who lets frames go has it alone, who copies them shares it; before mu

	mu   sync.Mutex
	open map[identity.VolumeID]fs.Opened
}

// openIdentities opens what the store has, or makes the first identity.
func (d *daemon) openIdentities() error {
	rings, err := identity.LoadKeyrings(d.st.FS(), d.st.Path(keyringDir))
	if err != nil {
		return err
	}
	first := len(rings) == 0
	if first {
		k, err := d.newKeyring(firstIdentity)
		if err != nil {
			return err
		}
		rings = append(rings, k)
	}
	for _, k := range rings {
		if err := d.distinctName(k); err != nil {
			return err
		}
		if err := d.openIdentity(k); err != nil {
			return fmt.Errorf("open identity %s: %w", k.Name(), err)
		}
	}
	if first && d.opts.FirstRun != nil {
		words, err := rings[0].Phrase()
		if err != nil {
			return err
		}
		d.opts.FirstRun(FirstRun{Identity: firstIdentity, Words: control.Words(words)})
	}
	return nil
}

// distinctName renames an identity whose name another one has, which would hide it.
func (d *daemon) distinctName(k *identity.Keyring) error {
	name := k.Name()
	for n := 2; ; n++ {
		if _, err := d.named(k.Name()); err != nil {
			break
		}
		if err := k.SetName(fmt.Sprintf("%s %d", name, n)); err != nil {
			return err
		}
	}
	if k.Name() == name {
		return nil
	}
	d.log.Warn("two identities had one name", "name", name, "now", k.Name())
	return d.saveKeys(k)
}

// newKeyring makes an identity's keys. They are on disk when it returns.
func (d *daemon) newKeyring(name string) (*identity.Keyring, error) {
	k, err := identity.NewIdentity(rand.Reader, name, time.Now())
	if err != nil {
		return nil, err
	}
	if err := k.Save(d.st.FS(), d.st.Path(keyringDir)); err != nil {
		return nil, err
	}
	return k, nil
}

// openIdentity brings one identity to work.
func (d *daemon) openIdentity(k *identity.Keyring) error {
	id := &ident{
		d: d, keys: k, open: map[identity.VolumeID]fs.Opened{},
		wake: make(chan struct{}, 1), soon: make(chan struct{}, 1), propose: make(chan struct{}, 1),
	}
	id.compactor.i = id
	if err := id.loadMembers(); err != nil {
		return err
	}
	home := k.VolumeID("", 0)
	err := d.fs.AddIdentity(fs.Identity{
		Name: k.Name(), Home: home, InoKey: [32]byte(k.InoKey()),
		VolumeID: k.VolumeID, Open: id.openVolume, Wake: id.poke,
	})
	if err != nil {
		return err
	}
	id.seq, err = raftstore.Open(raftstore.Options{
		Store: d.st, Identity: k.ID(), ServerID: serverID(k),
		Apply: id.apply, Applied: id.applied(), Checkpoint: id.checkpoint, Logger: d.log,
	})
	if err != nil {
		return err
	}
	d.group.start("order of "+k.Name(), id.seq.Run)
	d.group.start("framing of "+k.Name(), id.frame)
	d.group.start("proposing of "+k.Name(), id.proposeAll)
	if !d.uncompacted {
		d.group.start("checkpoints of "+k.Name(), id.compactor.run)
	}
	d.mu.Lock()
	d.idents = append(d.idents, id)
	d.mu.Unlock()
	return nil
}

// serverID names a device among the voters. The order keeps the name under which it began, whatever the incarnation becomes
// later: while it has one voter, each copy of a store has an order of its own.
func serverID(k *identity.Keyring) string {
	dev := k.Device()
	return fmt.Sprintf("%s-%016x", hex.EncodeToString(dev[:8]), k.Incarnation())
}

// loadMembers reads the membership log from the database, and writes its beginning if this store is new.
func (i *ident) loadMembers() error {
	id := i.keys.ID()
	entries, err := i.d.membership(id)
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		entries = [][]byte{i.keys.Genesis()}
		if err := i.d.saveMembership(id, entries...); err != nil {
			return err
		}
	}
	if i.members, err = identity.FoldMembership(entries); err != nil {
		return fmt.Errorf("membership: %w", err)
	}
	if i.members.Identity() != id || !i.members.Allows(i.keys.Device()) {
		return fmt.Errorf("membership: %w", identity.ErrDamaged)
	}
	return nil
}

// openVolume opens a volume's log, once. The file system calls it, and the order for a volume that nobody has looked at.
func (i *ident) openVolume(v identity.VolumeID) (fs.Opened, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if o, ok := i.open[v]; ok {
		return o, nil
	}
	keys := i.keys.VolumeKeys(v)
	feed := i.feed(v)
	begun, err := i.begun(v)
	if err != nil {
		return fs.Opened{}, err
	}
	log, err := eventlog.Open(eventlog.Options{
		Store: i.d.st, Volume: v, Feed: feed, Sign: i.keys.Sign, Keys: keys, Member: i.members.Allows,
		Reducer: tree.New(), Rand: rand.Reader, Now: i.d.clock.now, Begun: begun, Logger: i.d.log,
	})
	if err != nil {
		return fs.Opened{}, err
	}
	o := fs.Opened{
		Log:    log,
		Sealer: ipld.NewSealer([32]byte(keys.ConvergenceSecret(keys.Epoch())), [32]byte(keys.ChunkKey())),
		Author: eventlog.Author{Feed: feed.ID(), Device: feed.Device},
	}
	i.open[v] = o
	return o, nil
}

// begun reports whether a volume must have a log here. The log of a home volume is the first that an identity has: its order begins after that, and so does what a home volume
// knows of this device. That another volume was opened is noted in the home volume once its log has begun. All of it goes through one write-ahead log, so
// a crash leaves none of this without the log.
func (i *ident) begun(v identity.VolumeID) (bool, error) {
	home := eventlog.Look{DB: i.d.st.DB(), Volume: i.keys.VolumeID("", 0)}
	if v != home.Volume {
		others, err := fs.EverOpened(home)
		return slices.Contains(others, v), err
	}
	begun, err := raftstore.Begun(home.DB, i.keys.ID())
	if err != nil || begun {
		return begun, err
	}
	err = home.Local(func(r eventlog.Reader) {
		r.Scan(nil, nil, func(_, _ []byte) bool {
			begun = true
			return false
		})
	})
	return begun, err
}

// feed is this device's in a volume.
func (i *ident) feed(v identity.VolumeID) eventlog.Feed {
	return eventlog.Feed{Volume: v, Device: i.keys.Device(), Incarnation: i.keys.Incarnation()}
}

func (i *ident) log(v identity.VolumeID) (*eventlog.Log, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	o, ok := i.open[v]
	return o.Log, ok
}

func (i *ident) allLogs() []*eventlog.Log {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.logsLocked()
}

func (i *ident) logsLocked() []*eventlog.Log {
	ls := make([]*eventlog.Log, 0, len(i.open))
	for _, o := range i.open {
		ls = append(ls, o.Log)
	}
	return ls
}

// applied is the highest Index of the order whose entry every log has surely taken. Entries are taken one after the other
// and each log's part of one is a batch of its own, so the last that any log knows may be half taken.
func (i *ident) applied() eventlog.Index {
	var last eventlog.Index
	for _, l := range i.allLogs() {
		idx, _ := l.Committed()
		last = max(last, idx)
	}
	return max(last, 1) - 1
}

func (d *daemon) all() []*ident {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.idents)
}

func (d *daemon) named(name string) (*ident, error) {
	for _, i := range d.all() {
		if i.keys.Name() == name {
			return i, nil
		}
	}
	return nil, control.Fail(control.NotFound, fmt.Errorf("there is no identity %q", name), "see: rhizome identity list")
}

// describe is what the outside sees of an identity.
func describe(k *identity.Keyring) control.Identity {
	_, err := k.Phrase()
	return control.Identity{
		Name: k.Name(), ID: k.ID().String(), Device: k.Device().String(),
		HasPhrase: !errors.Is(err, identity.ErrForgotten),
	}
}

func (d *daemon) identities() []control.Identity {
	list := []control.Identity{}
	for _, i := range d.all() {
		list = append(list, describe(i.keys))
	}
	return list
}
