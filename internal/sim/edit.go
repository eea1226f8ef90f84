package sim

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
)

// A place is a name in the tree, and what it shows.
type place struct {
	tree.Step
	tree.Dirent
}

// A handle is a file that a program has open: the heads are those that it read.
type handle struct {
	id    tree.FileID
	heads []tree.VersionID
	path  tree.Path
}

// An editor makes the ops that a mount makes of what one program does.
type editor struct {
	*replica
	tx     *eventlog.Tx
	places []place
	said   string
}

// edit lets a program do something.
func (r *replica) edit() {
	if r.w.quiet {
		return
	}
	e := &editor{replica: r}
	r.handed(r.log.Update(func(tx *eventlog.Tx) error {
		e.tx = tx
		e.places = e.below(tree.RootID)
		e.act()
		return nil
	}))
	if e.said != "" {
		r.changed = r.w.now
		r.w.tell("%s edits:%s", r.name, e.said)
	}
}

// below lists the names in a directory and in those below it, directories before what is in them.
func (e *editor) below(dir tree.FileID) (ps []place) {
	tree.Walk(e.tx, dir, func(path [][]byte, d tree.Dirent) bool {
		in := dir
		for _, name := range path[:len(path)-1] {
			sub, ok := tree.Lookup(e.tx, in, name)
			if !ok {
				e.w.fail("%s: the tree has no %q", e.name, name)
			}
			in = sub.ID
		}
		i, ok := tree.GetInode(e.tx, d.ID)
		if !ok || i.ID != d.ID {
			e.w.fail("%s: %q shows %v, which is no living file of its own", e.name, path, d.ID)
		}
		ps = append(ps, place{tree.Step{Dir: in, Name: bytes.Clone(path[len(path)-1])}, d})
		return true
	})
	return ps
}

// do makes an event, after which the program goes on.
func (e *editor) do(op tree.Op) {
	e.said += fmt.Sprintf(" %T", op)[len(" tree."):]
	e.tx.Append(eventlog.Event{Time: e.w.clock(), Body: tree.Encode(op)})
}

func (e *editor) act() {
	acts := []func(){
		e.create, e.create, e.mkdir, e.write, e.write, e.write, e.open, e.open, e.writeOpen, e.writeOpen, e.chmod, e.xattr,
		e.link, e.unlink, e.unlink, e.rename, e.rename, e.rename, e.exchange, e.save, e.save, e.aside, e.symlink, e.unpack,
		e.removeTree,
	}
	if e.w.plan.again {
		acts = append(acts, e.restore, e.restore, e.restore)
	}
	if len(e.places) > 40 {
		acts = []func(){e.unlink, e.removeTree, e.write, e.rename}
	}
	acts[e.rnd.IntN(len(acts))]()
}

func (e *editor) file() (id tree.FileID)       { e.draw(id[:]); return id }
func (e *editor) version() (id tree.VersionID) { e.draw(id[:]); return id }

func (e *editor) draw(b []byte) {
	for i := 0; i < len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], e.entropy.Uint64())
	}
}

// newName draws one of few names, so that people meet.
func (e *editor) newName() []byte {
	return []byte([]string{"a", "b.txt", "c.md", "d", "ö.tar.gz"}[e.rnd.IntN(5)])
}

// dir draws a directory.
func (e *editor) dir() tree.FileID {
	dirs := []tree.FileID{tree.RootID}
	for _, p := range e.places {
		if p.Kind == tree.Dir {
			dirs = append(dirs, p.ID)
		}
	}
	return dirs[e.rnd.IntN(len(dirs))]
}

// pick draws a name that shows one of these kinds, or any.
func (e *editor) pick(kinds ...tree.Kind) (place, bool) {
	var ps []place
	for _, p := range e.places {
		ok := len(kinds) == 0
		for _, k := range kinds {
			ok = ok || p.Kind == k
		}
		if ok {
			ps = append(ps, p)
		}
	}
	if len(ps) == 0 {
		return place{}, false
	}
	return ps[e.rnd.IntN(len(ps))], true
}

func (e *editor) pathTo(dir tree.FileID) tree.Path {
	p, _ := tree.PathOf(e.tx, dir)
	return p
}

func (e *editor) taken(dir tree.FileID, name []byte) bool {
	_, ok := tree.Lookup(e.tx, dir, name)
	return ok
}

func (e *editor) newFile(dir tree.FileID, name []byte, kind tree.Kind) tree.Create {
	now := e.w.clock()
	c := tree.Create{
		ID: e.file(), Parent: dir, Name: name, Kind: kind, Mode: 0o644, UID: tree.Owner, GID: tree.Owner, Time: now,
		Mtime: now, Btime: now, By: e.name, Path: e.pathTo(dir),
	}
	if kind == tree.Symlink {
		c.Target = []byte("somewhere")
	}
	return c
}

// end ends an edit of a file: by a close, or by a quiet second.
func (e *editor) end(id tree.FileID, replaces []tree.VersionID, path tree.Path, quiet bool) {
	now, data := e.w.clock(), drawContent(e.rnd)
	op := tree.SetContent{
		ID: id, Replaces: replaces, Mtime: now, Time: now, Path: path,
		Version: tree.Version{ID: e.version(), Size: int64(len(data)), Time: now, By: e.name, Quiet: quiet},
		Drops:   tree.Drops(e.tx, replaces, e.keyring.Device()),
	}
	e.closes(op.Version, data)
	if len(data) <= maxInline {
		op.Version.Inline = data
		e.do(op)
		return
	}
	op.Version.Pending = true
	e.said += fmt.Sprintf(" holds %d bytes", len(data))
	e.tx.SetLocal(pendingKey(op.Version.ID), data)
	e.tx.AppendHeld(eventlog.Event{Time: now, Body: tree.Encode(op)})
}

// endNow ends an edit that began with what the file is now.
func (e *editor) endNow(id tree.FileID, quiet bool) {
	i, ok := tree.GetInode(e.tx, id)
	if !ok {
		return
	}
	e.end(i.ID, i.HeadIDs(), append(e.pathTo(i.Parent), tree.Step{Dir: i.Parent, Name: i.Name}), quiet)
}

func (e *editor) remove(p place) {
	i, ok := tree.GetInode(e.tx, p.ID)
	if ok && i.Entries == 0 {
		e.do(tree.Unlink{ID: i.ID, Parent: p.Dir, Name: p.Name, Heads: i.HeadIDs(), Time: e.w.clock()})
	}
}
