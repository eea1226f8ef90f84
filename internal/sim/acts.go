package sim

import (
	"bytes"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
)

// What programs do.

func (e *editor) create() {
	dir, name := e.dir(), e.newName()
	if e.taken(dir, name) {
		return
	}
	c := e.newFile(dir, name, tree.File)
	e.do(c)
	if e.rnd.IntN(4) > 0 {
		e.endNow(c.ID, e.rnd.IntN(5) == 0)
	}
}

func (e *editor) mkdir() {
	if dir, name := e.dir(), e.newName(); !e.taken(dir, name) {
		e.do(e.newFile(dir, name, tree.Dir))
	}
}

func (e *editor) symlink() {
	kinds := []tree.Kind{tree.Symlink, tree.Symlink, tree.Fifo}
	if dir, name := e.dir(), e.newName(); !e.taken(dir, name) {
		e.do(e.newFile(dir, name, kinds[e.rnd.IntN(len(kinds))]))
	}
}

func (e *editor) write() {
	p, ok := e.pick(tree.File)
	if !ok {
		return
	}
	for range e.rnd.IntN(3) {
		e.endNow(p.ID, true)
	}
	e.endNow(p.ID, false)
}

// open lets a program read a file that it will write back some time later.
func (e *editor) open() {
	p, ok := e.pick(tree.File)
	if !ok {
		return
	}
	i, _ := tree.GetInode(e.tx, p.ID)
	path := append(e.pathTo(p.Dir), p.Step)
	e.handles = append(e.handles, handle{i.ID, i.HeadIDs(), path})
}

func (e *editor) writeOpen() {
	if len(e.handles) == 0 {
		return
	}
	h := e.handles[0]
	e.handles = e.handles[1:]
	e.end(h.id, h.heads, h.path, false)
}

// restore gives a file the bytes that some small version had, stored once.
func (e *editor) restore() {
	p, ok := e.pick(tree.File)
	if !ok {
		return
	}
	var small []tree.Version
	e.tx.Scan([]byte{'v'}, nil, func(k, rec []byte) bool {
		if v, ok := tree.ParseVersion(tree.VersionID(k[1:]), rec); ok && v.IsInline() {
			small = append(small, v)
		}
		return true
	})
	if len(small) == 0 {
		return
	}
	old, now := small[e.rnd.IntN(len(small))], e.w.clock()
	data, _ := tree.Body(e.tx, old)
	i, _ := tree.GetInode(e.tx, p.ID)
	op := tree.SetContent{
		ID: i.ID, Replaces: i.HeadIDs(), Mtime: now, Time: now, Path: append(e.pathTo(i.Parent), tree.Step{Dir: i.Parent, Name: i.Name}),
		Version: tree.Version{ID: e.version(), Time: now, By: e.name},
	}
	if !op.Version.TakeContent(e.tx, old) {
		e.w.fail("%s: version %x has no bytes", e.name, old.ID[:4])
	}
	e.closes(op.Version, data)
	e.do(op)
}

func (e *editor) chmod() {
	p, ok := e.pick()
	if !ok {
		return
	}
	op := tree.SetAttr{ID: p.ID, Set: tree.FieldMode, Mode: uint32(e.rnd.IntN(0o1000))}
	if e.rnd.IntN(2) == 0 {
		op = tree.SetAttr{ID: p.ID, Set: tree.FieldMtime, Mtime: e.w.clock() - int64(e.rnd.IntN(1e9))}
	}
	e.do(op)
}

func (e *editor) xattr() {
	p, ok := e.pick()
	if !ok {
		return
	}
	op := tree.SetXattr{ID: p.ID, Name: append([]byte("user."), e.newName()...), Remove: e.rnd.IntN(3) == 0}
	if !op.Remove {
		op.Val = []byte{byte(e.rnd.IntN(256))}
	}
	e.do(op)
}

func (e *editor) link() {
	p, ok := e.pick(tree.File, tree.Symlink)
	dir, name := e.dir(), e.newName()
	if ok && !e.taken(dir, name) {
		e.do(tree.Link{ID: p.ID, Parent: dir, Name: name, Time: e.w.clock(), Path: e.pathTo(dir)})
	}
}

func (e *editor) unlink() {
	if p, ok := e.pick(); ok {
		e.remove(p)
	}
}

// removeTree is rm -r.
func (e *editor) removeTree() {
	p, ok := e.pick(tree.Dir)
	if !ok {
		return
	}
	below := e.below(p.ID)
	for k := len(below) - 1; k >= 0; k-- {
		e.remove(below[k])
	}
	e.remove(p)
}

func (e *editor) rename() {
	p, ok := e.pick()
	if !ok {
		return
	}
	to, name := e.dir(), e.newName()
	if p.Kind == tree.Dir && tree.IsBelow(e.tx, to, p.ID) {
		return
	}
	op := tree.Rename{
		ID: p.ID, From: p.Dir, OldName: p.Name, To: to, NewName: name, Time: e.w.clock(), Path: e.pathTo(to),
	}
	if d, taken := tree.Lookup(e.tx, to, name); taken {
		i, ok := tree.GetInode(e.tx, d.ID)
		if !ok || i.ID == p.ID || (i.Kind == tree.Dir) != (p.Kind == tree.Dir) || i.Entries > 0 {
			return
		}
		op.Replaced, op.ReplacedHeads = i.ID, i.HeadIDs()
	}
	e.do(op)
}

func (e *editor) exchange() {
	a, ok := e.pick()
	b, _ := e.pick()
	if !ok || a.ID == b.ID || a.Kind == tree.Dir && tree.IsBelow(e.tx, b.Dir, a.ID) ||
		b.Kind == tree.Dir && tree.IsBelow(e.tx, a.Dir, b.ID) {
		return
	}
	e.do(tree.Exchange{
		A: a.ID, DirA: a.Dir, NameA: a.Name, B: b.ID, DirB: b.Dir, NameB: b.Name, Time: e.w.clock(),
	})
}

// save is an editor's: a new file beside the target, then a rename over it.
func (e *editor) save() {
	p, ok := e.pick(tree.File)
	tmp := append([]byte(".tmp-"), e.newName()...)
	if !ok || e.taken(p.Dir, tmp) {
		return
	}
	c := e.newFile(p.Dir, tmp, tree.File)
	e.do(c)
	e.endNow(c.ID, e.rnd.IntN(6) == 0)
	if e.rnd.IntN(10) == 0 {
		return // it was killed
	}
	i, _ := tree.GetInode(e.tx, p.ID)
	e.do(tree.Save{
		Target: i.ID, TargetHeads: i.HeadIDs(), Dir: p.Dir, Name: p.Name, Source: c.ID, FromDir: p.Dir, FromName: tmp,
		Time: e.w.clock(), Path: e.pathTo(p.Dir),
	})
}

// aside is an editor's too: the target moved aside, or removed, then made anew.
func (e *editor) aside() {
	p, ok := e.pick(tree.File)
	if !ok {
		return
	}
	i, _ := tree.GetInode(e.tx, p.ID)
	old := append(bytes.Clone(p.Name), '~')
	if e.taken(p.Dir, old) || i.Nlink > 1 || len(old) > 100 {
		return
	}
	if e.rnd.IntN(2) == 0 {
		e.do(tree.Rename{
			ID: p.ID, From: p.Dir, OldName: p.Name, To: p.Dir, NewName: old, Time: e.w.clock(), Path: e.pathTo(p.Dir),
		})
	} else {
		e.remove(p)
	}
	if e.taken(p.Dir, p.Name) {
		return // somebody else's file had claimed the name too
	}
	c := e.newFile(p.Dir, p.Name, tree.File)
	e.do(c)
	e.endNow(c.ID, false)
	e.do(tree.Save{
		Target: i.ID, TargetHeads: i.HeadIDs(), Dir: p.Dir, Name: p.Name, Source: c.ID, FromDir: p.Dir, FromName: p.Name,
		Aside: true, Time: e.w.clock(), Path: e.pathTo(p.Dir),
	})
}

// unpack is tar's: a directory, files in it, their attributes, and the directory's in the end.
func (e *editor) unpack() {
	dir, name := e.dir(), e.newName()
	if e.taken(dir, name) {
		return
	}
	top := e.newFile(dir, name, tree.Dir)
	e.do(top)
	for range 1 + e.rnd.IntN(4) {
		name := e.newName()
		if e.taken(top.ID, name) {
			continue
		}
		c := e.newFile(top.ID, name, tree.File)
		e.do(c)
		e.endNow(c.ID, false)
		e.do(tree.SetAttr{ID: c.ID, Set: tree.FieldMode, Mode: 0o600})
		e.do(tree.SetAttr{ID: c.ID, Set: tree.FieldMtime, Mtime: 5})
	}
	e.do(tree.SetAttr{ID: top.ID, Set: tree.FieldMode | tree.FieldMtime, Mode: 0o700, Mtime: 6})
}

// merge ends conflicts in a quiet moment.
func (r *replica) merge() {
	const moment = 1e9
	if r.w.now-r.changed < moment {
		return
	}
	e := &editor{replica: r}
	c, err := r.log.Update(func(tx *eventlog.Tx) error {
		e.tx = tx
		tree.Unmerged(tx, func(u tree.Conflict) bool {
			if op, ok := tree.Resolve(tx, u, e.file, r.w.clock()); ok {
				e.do(op)
			}
			return r.w.chance(70)
		})
		return nil
	})
	r.handed(c, err)
	if e.said != "" {
		r.w.tell("%s resolves:%s", r.name, e.said)
	}
}
