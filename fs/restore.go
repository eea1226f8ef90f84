package fs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
)

// A restore makes a place in the tree what it was at a moment. It is an edit like any other: a file's old content becomes a new version of it
// with the same bytes, what was removed gets its name again, and what stands there now stays in the history. It is done in many small changes,
// each of which leaves a sane tree, so that nobody waits and an interrupted one can be done again.

// RestoreOptions say how far a restore goes.
type RestoreOptions struct {
	// Exact takes away what was not there then, and names back what is elsewhere below now. Else what is newer stays.
	Exact  bool
	DryRun bool // only say what would be done
}

// A Deed is what a restore did to one name.
type Deed string

// The deeds.
const (
	DeedBack    Deed = "restore" // it is there again
	DeedChange  Deed = "change"  // content or attributes are again what they were
	DeedRename  Deed = "rename"  // it has its former name again
	DeedRemove  Deed = "remove"
	DeedSkipped Deed = "skip"   // Why says why
	DeedMoment  Deed = "moment" // the first: what At is of Path is restored
)

// A Restored is one thing that a restore did, or would do.
type Restored struct {
	Deed  Deed
	Path  string // from the mount's top
	From  string // of a rename
	Kind  tree.Kind
	Bytes int64 // of a file
	Why   string
	At    time.Time
}

// restoreAtOnce is how many names one change of a restore sees to. While it is made, nobody else changes the volume.
const restoreAtOnce = 256

// A formerDir is a directory as it was, and the one that it is now.
type formerDir struct {
	path string // from the mount's top
	ino  tree.Inode
	now  tree.FileID
	back bool // it was not there
	bare bool // it is only on the way
}

// A formerEntry is a name as it was.
type formerEntry struct {
	in   *formerDir
	name []byte
	id   tree.FileID
	bare bool // it need only be there: it is on the way to what is restored

	// What read found.
	read   bool
	ino    tree.Inode
	xattrs []tree.Xattr
	rival  tree.VersionID // of a file that has other content of the same size now: which

	// Of a file that has other names now, by what was read before anything was locked.
	seen   tree.Step // the name in its inode
	strays bool      // a name that it did not have then

	// Of what has the name now: it had another one then.
	there  tree.FileID
	wanted bool

	clear bool // what could leave its place has left it
}

func (e *formerEntry) path() string { return e.in.path + "/" + string(e.name) }

// A restoring is one restore in one volume.
type restoring struct {
	RestoreOptions
	ctx   context.Context
	past  past
	label string // the path of the volume's root
	tell  func(Restored) error
	began int64 // when it made its first change

	scope tree.FileID // the directory below which files may be renamed; zero: none may
	free  tree.FileID // a file that may be, wherever it is

	todo   []*formerDir                // to be listed
	unread []*formerEntry              // to be read
	next   *upcoming                   // what is being read
	queue  []*formerEntry              // to be seen to
	dirs   []*formerDir                // seen to, parents first
	late   []*formerEntry              // whose place is taken by what is to leave it
	root   bool                        // the volume itself was gone, and is there again
	was    map[tree.FileID]tree.FileID // what the directories seen to were
	made   map[tree.FileID]tree.FileID // what was made anew, and as what
	moved  map[tree.FileID]bool        // what has got a name back
}

// run restores what names led to below the volume's root.
func (rs *restoring) run(names []string) error {
	v, label := rs.past.vol, rs.label
	defer rs.await() // whatever fails, nothing goes on
	var way []tree.Dirent
	err := rs.past.view(func(r eventlog.Reader) error {
		way = walkTo(r, names)
		root, err := rs.past.inode(r, tree.RootID)
		if err != nil && !errors.Is(err, ErrNotExist) {
			return err
		}
		if err != nil || len(way) <= len(names) {
			return fmt.Errorf("%s/%s was not there then: %w", label, strings.Join(names, "/"), ErrNotExist)
		}
		top := &formerDir{path: label, ino: root, now: tree.RootID, bare: len(names) > 0, back: rs.root}
		if !top.bare {
			rs.todo, rs.scope = append(rs.todo, top), tree.RootID
		}
		rs.dirs = append(rs.dirs, top)
		return nil
	})
	if err != nil {
		return err
	}
	for i, name := range names {
		e := &formerEntry{in: rs.dirs[i], name: []byte(name), id: way[i+1].ID, bare: i+1 < len(names)}
		rs.queue = append(rs.queue, e)
		if !e.bare && way[i+1].Kind == tree.Dir {
			if d, ok := v.lookupNow(names); ok {
				rs.scope = d.ID
			}
		}
		if err := rs.batch(); err != nil {
			return err
		}
		if len(rs.dirs) < i+2 { // the last one, or what stands in the way was told
			break
		}
	}
	if err := errors.Join(rs.below(), rs.finish()); err != nil || len(names) > 0 || rs.DryRun {
		return err
	}
	return v.forgetMass(rs.past.at.Time)
}

// lookupNow follows names in the tree as it is.
func (v *Volume) lookupNow(names []string) (d tree.Dirent, ok bool) {
	v.view(false, func(r eventlog.Reader) error {
		way := walkTo(r, names)
		d, ok = way[len(way)-1], len(way) == len(names)+1
		return nil
	})
	return d, ok
}

// below sees to all that was in the directories to do.
func (rs *restoring) below() error {
	for len(rs.todo)+len(rs.unread)+len(rs.queue) > 0 || rs.next != nil {
		if err := rs.batch(); err != nil {
			return err
		}
	}
	return nil
}

// finish takes away what was not there, and then sees to times, which all that changed.
func (rs *restoring) finish() error {
	if rs.Exact {
		for _, d := range slices.Backward(slices.Clone(rs.dirs)) {
			if !d.bare && (!d.back || rs.root) {
				if err := rs.removeOthers(d); err != nil {
					return err
				}
			}
		}
	}
	for _, e := range rs.late {
		d, ok := tree.Dirent{}, false
		rs.past.vol.view(false, func(r eventlog.Reader) error {
			d, ok = tree.Lookup(r, e.in.now, e.name)
			return nil
		})
		if ok && d.Kind == tree.Dir {
			if err := rs.remove(extra{e.in.now, e.name, e.path(), d}); err != nil {
				return err
			}
		}
		e.clear = true
		rs.queue = append(rs.queue, e)
	}
	rs.late = nil
	return errors.Join(rs.below(), rs.setTimes())
}

// batch sees to the next names, while those that come then are read.
func (rs *restoring) batch() error {
	if err := rs.ctx.Err(); err != nil {
		return err
	}
	rs.goAhead()
	if len(rs.queue) == 0 {
		if err := rs.await(); err != nil {
			return err
		}
		rs.goAhead()
	}
	if err := rs.read(rs.queue[:min(len(rs.queue), restoreAtOnce)]); err != nil { // which costs nothing if that has been done
		return err
	}
	return rs.settleSome()
}

// settleSome sees to names of the queue, to all if it can.
func (rs *restoring) settleSome() error {
	if len(rs.queue) == 0 {
		return nil
	}
	for try := range 2 * crossTries {
		// What a change does to one name may be what another one in it did not expect: then they are made one by one.
		n := min(len(rs.queue), max(1, restoreAtOnce>>(2*try)))
		err := rs.seeNow(rs.queue[:n])
		if err == nil {
			err = rs.settle(rs.queue[:n])
		}
		if err == nil {
			rs.queue = rs.queue[n:]
		}
		if err != errChanged {
			return err
		}
	}
	return fmt.Errorf("restore %s: programs change it all the time: %w", rs.queue[0].path(), ErrBusy)
}

// seeNow notes by what names files are known now, and whether they had those then; and whether what has a name was somewhere else then.
func (rs *restoring) seeNow(es []*formerEntry) error {
	if !rs.Exact && !slices.ContainsFunc(es, func(e *formerEntry) bool { return e.ino.Nlink > 1 }) {
		return nil
	}
	return rs.past.view(func(then eventlog.Reader) error {
		return rs.past.vol.view(false, func(r eventlog.Reader) error {
			for _, e := range es {
				if rs.Exact || e.ino.Nlink > 1 {
					rs.seeEntry(then, r, e)
				}
			}
			return nil
		})
	})
}

func (rs *restoring) seeEntry(then, r eventlog.Reader, e *formerEntry) {
	now, ok := tree.GetInode(r, e.ino.ID)
	if ok && now.ID == e.ino.ID && now.ID != tree.RootID {
		in, ok := rs.was[now.Parent]
		if !ok {
			in = now.Parent
		}
		d, had := tree.Lookup(then, in, now.Name)
		e.seen, e.strays = tree.Step{Dir: now.Parent, Name: now.Name}, !had || d.ID != now.ID
	}
	e.there, e.wanted = tree.FileID{}, false
	if d, ok := tree.Lookup(r, e.in.now, e.name); ok && d.ID != e.ino.ID {
		_, had := whereabouts(then, d.ID)
		e.there, e.wanted = d.ID, had && rs.Exact && rs.scope != tree.FileID{}
	}
}
