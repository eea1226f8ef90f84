package snapshot

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/ipld"
)

// Info says of which state a snapshot is.
type Info struct {
	Volume    identity.VolumeID
	Reducer   string         // its name and version
	Index     eventlog.Index // the last place of the order that the state knows
	OrderHash [32]byte       // there
	Tentative bool           // the state has events that the order does not have
}

// Options say how a snapshot is made. All may be left out.
type Options struct {
	// Content says where the bytes of a version are that the state has as pending.
	Content func(tree.Version) (ipld.Content, error)
	// Root is what the snapshot is of, with all that is below it; zero: the volume's root directory.
	Root tree.FileID
	// Rest is called often: it may rest.
	Rest func()
	// Progress is called now and then with how many names are done.
	Progress func(names uint64)
}

// Target is where blocks go, and how they are sealed.
type Target struct {
	Store  ipld.Store
	Sealer *ipld.Sealer
}

// Built is a snapshot that was made.
type Built struct {
	Root  ipld.Link
	Files uint64     // names in it, at all depths
	Bytes uint64     // of the contents that they show
	Added ipld.Added // that was not in the store before
}

// Before is an earlier snapshot, and the state that it was made of.
type Before struct {
	Root   ipld.Link
	Reader eventlog.Reader
}

var (
	// ErrPending says that a version's bytes are still being sealed.
	ErrPending = errors.New("content is still being sealed")
	// ErrNoRoot says that nothing has begun the volume yet, or that it does not have Options.Root.
	ErrNoRoot = errors.New("the volume has no root directory")
)

// Build makes a snapshot of the state that r reads. When it returns the blocks are in the store, as durable as its Put makes them. It
// holds about a leaf of entries in memory for each directory on the way to where it is.
func Build(ctx context.Context, to Target, r eventlog.Reader, info Info, o Options) (Built, error) {
	return build(ctx, to, nil, r, nil, info, o)
}

// Update is Build for a state that differs from an earlier one in the given keys of the state at most. It reads and writes what
// lies on the way to them, and returns what Build would.
func Update(ctx context.Context, to Target, before Before, r eventlog.Reader, changed [][]byte, info Info, o Options) (Built, error) {
	return build(ctx, to, &before, r, changed, info, o)
}

func build(ctx context.Context, to Target, before *Before, r eventlog.Reader, changed [][]byte, info Info, o Options) (Built, error) {
	b := &builder{
		writer: &writer{ctx: ctx, st: ipld.NewBatch(to.Store), sealer: to.Sealer},
		r:      r, o: o, done: map[tree.FileID]Dir{}, dirty: map[tree.FileID]map[string]bool{},
	}
	if before != nil {
		old, err := Open(to.Store, before.Root)
		if err != nil {
			return Built{}, fmt.Errorf("build snapshot: the one before: %w", err)
		}
		b.old = &past{s: old, r: before.Reader, known: map[tree.FileID]*Dir{}}
		b.note(changed)
	}
	built, err := b.build(info)
	if err != nil {
		return Built{}, fmt.Errorf("build snapshot: %w", err)
	}
	return built, nil
}

// A builder makes one snapshot.
type builder struct {
	*writer
	r     eventlog.Reader
	o     Options
	old   *past                           // nil: there is none
	dirty map[tree.FileID]map[string]bool // names whose entries may have changed
	done  map[tree.FileID]Dir             // directories that were updated
	names uint64
}

func (b *builder) build(info Info) (Built, error) {
	root := b.o.Root
	if root == (tree.FileID{}) {
		root = tree.RootID
	}
	ino, ok := tree.GetInode(b.r, root)
	if !ok {
		return Built{}, ErrNoRoot
	}
	rec, children, sum, err := b.inode(&ino)
	if err != nil {
		return Built{}, err
	}
	link, err := b.node(&rootBlock{
		Version: formatVersion, Volume: info.Volume, Reducer: info.Reducer, Index: uint64(info.Index), OrderHash: info.OrderHash,
		Tentative: info.Tentative, Root: rec,
	}, children)
	if err == nil {
		err = b.st.Flush()
	}
	if err != nil {
		return Built{}, err
	}
	return Built{Root: link, Files: sum.files, Bytes: sum.bytes, Added: b.st.Added()}, nil
}

// step is called for each name.
func (b *builder) step() error {
	if b.o.Rest != nil {
		b.o.Rest()
	}
	if b.names++; b.o.Progress != nil && b.names%1024 == 0 {
		b.o.Progress(b.names)
	}
	return b.ctx.Err()
}

// directory returns the search tree of a living directory.
func (b *builder) directory(id tree.FileID) (Dir, error) {
	if d, ok := b.done[id]; ok {
		return d, nil
	}
	was, ok, err := b.old.directory(id)
	if err != nil {
		return Dir{}, err
	}
	if !ok {
		return b.whole(id)
	}
	names := b.dirty[id]
	if len(names) == 0 {
		return was, nil
	}
	changes := make([]change, 0, len(names))
	for name := range names {
		es, err := b.entries(id, []byte(name), tree.Claims(b.r, id, []byte(name)))
		if err != nil {
			return Dir{}, err
		}
		changes = append(changes, change{placeOf([]byte(name), 0), es})
	}
	slices.SortFunc(changes, func(a, c change) int { return a.compare(c.place) })
	t, err := b.load(was.child(), 0)
	if err != nil {
		return Dir{}, err
	}
	if t, err = b.update(t, 0, changes); err != nil {
		return Dir{}, err
	}
	d, err := b.sealed(t)
	b.done[id] = d
	return d, err
}

// whole builds a directory's search tree from nothing.
func (b *builder) whole(id tree.FileID) (Dir, error) {
	t, err := b.grow(&queue{rest: &listing{b: b, dir: id}}, 0)
	if err != nil {
		return Dir{}, err
	}
	return b.sealed(t)
}

func (b *builder) sealed(t subtree) (Dir, error) {
	d := Dir{Entries: t.entries, Size: t.size, Files: t.files, Bytes: t.bytes}
	if t.entries == 0 {
		return d, nil
	}
	var err error
	d.Node, err = b.seal(t)
	return d, err
}

// listBatch is how many names of a directory are read at a time.
const listBatch = 256

// A listing is a feed of a directory's entries as the state has them.
type listing struct {
	b     *builder
	dir   tree.FileID
	after uint64 // the cookie of the last name that was read
	names []named
	next  []entry // of names[0]'s
	end   bool
}

type named struct {
	cookie uint64
	name   []byte
	claims []tree.FileID
}

func (l *listing) peek() (*entry, error) {
	for len(l.next) == 0 {
		if len(l.names) == 0 {
			if l.end {
				return nil, nil
			}
			l.read()
			continue
		}
		es, err := l.b.entries(l.dir, l.names[0].name, l.names[0].claims)
		if err != nil {
			return nil, err
		}
		l.next, l.names = es, l.names[1:]
	}
	return &l.next[0], nil
}

func (l *listing) take() { l.next = l.next[1:] }

// read reads some more names: all of each cookie that it comes to.
func (l *listing) read() {
	l.names, l.end = l.names[:0], true
	tree.ReadClaims(l.b.r, l.dir, l.after, func(cookie uint64, name []byte, claims []tree.FileID) bool {
		if len(l.names) >= listBatch && cookie != l.after {
			l.end = false
			return false
		}
		l.names = append(l.names, named{cookie, slices.Clone(name), claims})
		l.after = cookie
		return true
	})
	// The state has names that share a cookie in another order.
	slices.SortStableFunc(l.names, func(a, b named) int { return place{a.cookie, a.name, 0}.compare(place{b.cookie, b.name, 0}) })
}
