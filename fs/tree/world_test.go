package tree

import (
	"bytes"
	"fmt"

	"pgregory.net/rapid"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/ipld"
)

// A source draws ids and times that are new in a whole test.
type source struct{ files, versions, clock int }

func (s *source) file() FileID       { s.files++; return fid(s.files) }
func (s *source) version() VersionID { s.versions++; return vid(s.versions) }
func (s *source) now() int64         { s.clock++; return int64(s.clock) * 1e9 }

// A device makes the ops that a mount would make of what programs do on its own view of the tree.
type device struct {
	n     byte
	state mem
	src   *source
	made  []eventlog.Event
}

func (d *device) do(ops ...Op) {
	e := eventlog.Event{Time: 7, Body: Encode(ops...)}
	New().Apply(d.state, author(d.n), e)
	d.made = append(d.made, e)
}

// entries lists the names in the view.
func (d *device) entries(kinds ...Kind) (list []Step, ids []Dirent) {
	d.state.Scan([]byte{keyDirent}, nil, func(k, v []byte) bool {
		e, _ := firstClaim(v)
		if len(kinds) == 0 || contains(kinds, e.Kind) {
			list = append(list, Step{Dir: FileID(k[1:17]), Name: clone(k[25:])})
			ids = append(ids, e)
		}
		return true
	})
	return list, ids
}

func (d *device) dir(t *rapid.T) FileID {
	_, ids := d.entries(Dir)
	n := rapid.IntRange(0, len(ids)).Draw(t, "dir")
	if n == 0 {
		return RootID
	}
	return ids[n-1].ID
}

var nameTable = []string{"a", "b.txt", "c", "dd.tar", "e"}

func name(t *rapid.T) []byte { return []byte(rapid.SampledFrom(nameTable).Draw(t, "name")) }

func (d *device) pathTo(dir FileID) Path {
	p, _ := PathOf(d.state, dir)
	return p
}

// content draws a version of any form.
func (d *device) content(t *rapid.T, quiet bool) Version {
	v := Version{ID: d.src.version(), Time: d.src.now(), By: fmt.Sprintf("dev%d", d.n), Quiet: quiet}
	switch rapid.IntRange(0, 4).Draw(t, "content") {
	case 4:
		if old, ok := d.smallVersion(t); ok {
			v.TakeContent(d.state, old)
		}
	case 0:
	case 1, 2:
		v.Size = int64(rapid.IntRange(1, 9).Draw(t, "size"))
		v.Inline = bytes.Repeat([]byte{byte(d.src.versions)}, int(v.Size))
	default:
		v.Size = 70000
		v.Content = ipld.Content{Size: v.Size, Root: ipld.Link{CID: leafCID(byte(d.src.versions)), Key: ipld.Key{byte(d.src.versions)}}}
	}
	return v
}

// smallVersion draws one of the versions whose bytes the state has.
func (d *device) smallVersion(t *rapid.T) (v Version, ok bool) {
	var all []Version
	d.state.Scan([]byte{keyVersion}, nil, func(k, rec []byte) bool {
		if v, _ := parseVersion(VersionID(k[1:]), rec); v.IsInline() {
			all = append(all, v)
		}
		return true
	})
	if len(all) == 0 {
		return v, false
	}
	return rapid.SampledFrom(all).Draw(t, "version"), true
}

func leafCID(n byte) ipld.CID { return ipld.CID{0x01, 0x55, 0x12, 0x20, n} }

// step does one random thing.
func (d *device) step(t *rapid.T) {
	steps := map[string]func(*rapid.T){
		"create": d.create, "mkdir": d.mkdir, "write": d.write, "chmod": d.chmod, "xattr": d.xattr, "link": d.link,
		"unlink": d.unlink, "rmtree": d.rmtree, "rename": d.rename, "rename2": d.rename, "exchange": d.exchange, "save": d.save,
		"aside": d.aside, "merge": d.resolve, "blend": d.blend, "untar": d.untar,
	}
	keys := []string{
		"create", "mkdir", "write", "chmod", "xattr", "link", "unlink", "rmtree", "rename", "rename2", "exchange", "save",
		"aside", "merge", "blend", "untar",
	}
	steps[rapid.SampledFrom(keys).Draw(t, "step")](t)
}

func (d *device) newFile(t *rapid.T, dir FileID, name []byte, kind Kind) Create {
	now := d.src.now()
	c := Create{
		ID: d.src.file(), Parent: dir, Name: name, Kind: kind, Mode: 0o644, UID: Owner, GID: 7, Time: now, Mtime: now, Btime: now,
		By: fmt.Sprintf("dev%d", d.n), Path: d.pathTo(dir),
	}
	if kind == Symlink {
		c.Target = []byte("target")
	}
	return c
}

func (d *device) create(t *rapid.T) {
	dir, nm := d.dir(t), name(t)
	if _, taken := Lookup(d.state, dir, nm); taken {
		return
	}
	kind := rapid.SampledFrom([]Kind{File, File, File, Symlink, Fifo}).Draw(t, "kind")
	c := d.newFile(t, dir, nm, kind)
	d.do(c)
	if kind == File && rapid.Bool().Draw(t, "with content") {
		d.edit(t, c.ID, rapid.Bool().Draw(t, "quiet"))
	}
}

func (d *device) mkdir(t *rapid.T) {
	dir, nm := d.dir(t), name(t)
	if _, taken := Lookup(d.state, dir, nm); !taken {
		d.do(d.newFile(t, dir, nm, Dir))
	}
}

func (d *device) pick(t *rapid.T, kinds ...Kind) (Step, Dirent, bool) {
	list, ids := d.entries(kinds...)
	if len(list) == 0 {
		return Step{}, Dirent{}, false
	}
	n := rapid.IntRange(0, len(list)-1).Draw(t, "entry")
	return list[n], ids[n], true
}

func (d *device) edit(t *rapid.T, id FileID, quiet bool) {
	i, ok := GetInode(d.state, id)
	if !ok {
		return
	}
	heads := i.HeadIDs()
	op := SetContent{
		ID: id, Version: d.content(t, quiet), Replaces: heads, Mtime: d.src.now(), Time: d.src.now(),
		Path: append(d.pathTo(i.Parent), Step{Dir: i.Parent, Name: i.Name}),
	}
	op.Drops = Drops(d.state, heads, author(d.n).Device)
	d.do(op)
}

func (d *device) write(t *rapid.T) {
	_, e, ok := d.pick(t, File)
	if !ok {
		return
	}
	for range rapid.IntRange(0, 2).Draw(t, "quiet versions") {
		d.edit(t, e.ID, true)
	}
	d.edit(t, e.ID, false)
}

func (d *device) chmod(t *rapid.T) {
	_, e, ok := d.pick(t)
	id := e.ID
	if !ok {
		id = RootID
	}
	op := SetAttr{ID: id, Set: Fields(rapid.IntRange(0, int(allFields)).Draw(t, "fields")), Mode: 0o600, UID: 3, GID: 4, Mtime: d.src.now()}
	d.do(op.only())
}

func (d *device) xattr(t *rapid.T) {
	_, e, ok := d.pick(t)
	if !ok {
		return
	}
	op := SetXattr{ID: e.ID, Name: []byte("user." + string(name(t))), Remove: rapid.Bool().Draw(t, "remove")}
	if !op.Remove {
		op.Val = []byte{byte(d.src.now() / 1e9)}
	}
	d.do(op)
}

func (d *device) link(t *rapid.T) {
	_, e, ok := d.pick(t, File, Symlink)
	dir, nm := d.dir(t), name(t)
	if _, taken := Lookup(d.state, dir, nm); ok && !taken {
		d.do(Link{ID: e.ID, Parent: dir, Name: nm, Time: d.src.now(), Path: d.pathTo(dir)})
	}
}

func (d *device) remove(s Step, e Dirent) {
	i, _ := GetInode(d.state, e.ID)
	d.do(Unlink{ID: e.ID, Parent: s.Dir, Name: s.Name, Heads: i.HeadIDs(), Time: d.src.now()})
}

func (d *device) unlink(t *rapid.T) {
	s, e, ok := d.pick(t)
	if !ok {
		return
	}
	if i, _ := GetInode(d.state, e.ID); i.Entries == 0 {
		d.remove(s, e)
	}
}

func (d *device) rmtree(t *rapid.T) {
	s, e, ok := d.pick(t, Dir)
	if ok {
		d.removeAll(s, e, 0)
	}
}

func (d *device) removeAll(s Step, e Dirent, depth int) {
	if e.Kind == Dir && depth < 20 {
		var list []Step
		var ids []Dirent
		ReadDir(d.state, e.ID, 0, func(_ uint64, name []byte, c Dirent) bool {
			list = append(list, Step{Dir: e.ID, Name: clone(name)})
			ids = append(ids, c)
			return true
		})
		for k := range list {
			d.removeAll(list[k], ids[k], depth+1)
		}
	}
	if i, _ := GetInode(d.state, e.ID); i.Entries == 0 {
		d.remove(s, e)
	}
}

func (d *device) rename(t *rapid.T) {
	s, e, ok := d.pick(t)
	if !ok {
		return
	}
	to, nm := d.dir(t), name(t)
	if e.Kind == Dir && IsBelow(d.state, to, e.ID) {
		return
	}
	op := Rename{ID: e.ID, From: s.Dir, OldName: s.Name, To: to, NewName: nm, Time: d.src.now(), Path: d.pathTo(to)}
	if r, taken := Lookup(d.state, to, nm); taken {
		i, _ := GetInode(d.state, r.ID)
		if r.ID == e.ID || (r.Kind == Dir) != (e.Kind == Dir) || i.Entries > 0 {
			return
		}
		op.Replaced, op.ReplacedHeads = r.ID, i.HeadIDs()
	}
	d.do(op)
}

func (d *device) exchange(t *rapid.T) {
	s, a, ok := d.pick(t)
	u, b, _ := d.pick(t)
	if !ok || a.ID == b.ID || a.Kind == Dir && IsBelow(d.state, u.Dir, a.ID) || b.Kind == Dir && IsBelow(d.state, s.Dir, b.ID) {
		return
	}
	d.do(Exchange{A: a.ID, DirA: s.Dir, NameA: s.Name, B: b.ID, DirB: u.Dir, NameB: u.Name, Time: d.src.now()})
}

func (d *device) save(t *rapid.T) {
	s, e, ok := d.pick(t, File)
	if !ok {
		return
	}
	tmp := []byte(".tmp" + string(name(t)))
	if _, taken := Lookup(d.state, s.Dir, tmp); taken {
		return
	}
	c := d.newFile(t, s.Dir, tmp, File)
	d.do(c)
	if rapid.Bool().Draw(t, "with content") {
		d.edit(t, c.ID, rapid.Bool().Draw(t, "quiet"))
	}
	i, _ := GetInode(d.state, e.ID)
	d.do(Save{
		Target: e.ID, TargetHeads: i.HeadIDs(), Dir: s.Dir, Name: s.Name, Source: c.ID, FromDir: s.Dir, FromName: tmp,
		Time: d.src.now(), Path: d.pathTo(s.Dir),
	})
}

func (d *device) aside(t *rapid.T) {
	s, e, ok := d.pick(t, File)
	if !ok {
		return
	}
	i, _ := GetInode(d.state, e.ID)
	backup := append(clone(s.Name), '~')
	if _, taken := Lookup(d.state, s.Dir, backup); taken || i.Nlink > 1 || len(backup) > 50 {
		return
	}
	if rapid.Bool().Draw(t, "keep backup") {
		d.do(Rename{ID: e.ID, From: s.Dir, OldName: s.Name, To: s.Dir, NewName: backup, Time: d.src.now(), Path: d.pathTo(s.Dir)})
	} else {
		d.remove(s, e)
	}
	if _, taken := Lookup(d.state, s.Dir, s.Name); taken {
		return // a hidden claim came up
	}
	c := d.newFile(t, s.Dir, s.Name, File)
	d.do(c)
	d.edit(t, c.ID, false)
	d.do(Save{
		Target: e.ID, TargetHeads: i.HeadIDs(), Dir: s.Dir, Name: s.Name, Source: c.ID, FromDir: s.Dir, FromName: s.Name,
		Aside: true, Time: d.src.now(), Path: d.pathTo(s.Dir),
	})
}

func (d *device) resolve(t *rapid.T) {
	Unmerged(d.state, func(u Conflict) bool {
		if op, ok := Resolve(d.state, u, d.src.file, d.src.now()); ok {
			d.do(op)
		}
		return rapid.Bool().Draw(t, "more")
	})
}

// blend ends conflicts of contents by contents that are merged.
func (d *device) blend(t *rapid.T) {
	Unmerged(d.state, func(u Conflict) bool {
		i, _ := GetInode(d.state, u.File)
		if u.Name == nil && i.Kind == File {
			v := d.content(t, false)
			d.do(Merge{ID: i.ID, Heads: i.HeadIDs(), Result: v.ID, Version: &v, Mtime: d.src.now(), Time: d.src.now()})
		}
		return rapid.Bool().Draw(t, "more")
	})
}

// untar makes a directory with files, and sets its times at the end, as tar does.
func (d *device) untar(t *rapid.T) {
	dir, nm := d.dir(t), name(t)
	if _, taken := Lookup(d.state, dir, nm); taken {
		return
	}
	top := d.newFile(t, dir, nm, Dir)
	d.do(top)
	dirs := []FileID{top.ID}
	for range rapid.IntRange(1, 6).Draw(t, "members") {
		in, nm := rapid.SampledFrom(dirs).Draw(t, "in"), name(t)
		if _, taken := Lookup(d.state, in, nm); taken {
			continue
		}
		if rapid.IntRange(0, 3).Draw(t, "what") == 0 {
			c := d.newFile(t, in, nm, Dir)
			d.do(c)
			dirs = append(dirs, c.ID)
			continue
		}
		c := d.newFile(t, in, nm, File)
		d.do(c)
		if rapid.Bool().Draw(t, "late close") {
			d.do(SetAttr{ID: c.ID, Set: FieldMtime, Mtime: 5})
			d.edit(t, c.ID, false)
		} else {
			d.edit(t, c.ID, false)
			d.do(SetAttr{ID: c.ID, Set: FieldUID | FieldGID, UID: 9, GID: 9})
			d.do(SetAttr{ID: c.ID, Set: FieldMode, Mode: 0o444})
			d.do(SetXattr{ID: c.ID, Name: []byte("user.x"), Val: []byte("y")})
			d.do(SetAttr{ID: c.ID, Set: FieldMtime, Mtime: 5})
		}
	}
	for _, id := range dirs {
		d.do(SetAttr{ID: id, Set: FieldMtime | FieldMode, Mtime: 6, Mode: 0o700})
	}
}

// A world is what devices share: the state that all of them have.
type world struct {
	src    source
	state  mem
	closed []VersionID
	bytes  map[VersionID]string // of the small ones among them
	seen   map[VersionID]bool   // an op names it as one that its author saw and replaced or removed
}

// round lets n devices work apart on the common state, and orders what they did at random.
func (w *world) round(t *rapid.T, n, steps int) []*device {
	var devices []*device
	for k := range n {
		d := &device{n: byte(k + 1), state: w.state.clone(), src: &w.src}
		for range rapid.IntRange(0, steps).Draw(t, "steps") {
			d.step(t)
		}
		devices = append(devices, d)
	}
	queues := make([][]eventlog.Event, n)
	for k, d := range devices {
		queues[k] = d.made
	}
	for {
		var left []int
		for k, q := range queues {
			if len(q) > 0 {
				left = append(left, k)
			}
		}
		if len(left) == 0 {
			return devices
		}
		k := rapid.SampledFrom(left).Draw(t, "next")
		run := rapid.IntRange(1, len(queues[k])).Draw(t, "run")
		for _, e := range queues[k][:run] {
			New().Apply(w.state, author(devices[k].n), e)
			w.note(e)
		}
		queues[k] = queues[k][run:]
	}
}

// note remembers versions that a close ended, and those that somebody saw and replaced or removed.
func (w *world) note(e eventlog.Event) {
	if w.seen == nil {
		w.seen = map[VersionID]bool{}
	}
	see := func(ids []VersionID) {
		for _, id := range ids {
			w.seen[id] = true
		}
	}
	ops, _ := Decode(e.Body)
	for _, op := range ops {
		_, merged := op.(Merge) // which need not count
		if v := versionOf(op); v != nil && !v.Quiet && !merged {
			w.closed = append(w.closed, v.ID)
			if w.bytes == nil {
				w.bytes = map[VersionID]string{}
			}
			if len(v.Inline) > 0 {
				w.bytes[v.ID] = string(v.Inline)
			} else if v.Like != (VersionID{}) {
				w.bytes[v.ID] = w.bytes[v.Like]
			}
		}
		switch o := op.(type) {
		case SetContent:
			see(o.Replaces)
		case Unlink:
			see(o.Heads)
		case Rename:
			see(o.ReplacedHeads)
		case Save:
			see(o.TargetHeads)
		case Merge:
			see(o.Heads)
		}
	}
}

// lost names a version that a close ended and that is neither kept, nor shown nor was ever seen by whoever
// replaced or removed it.
func (w *world) lost() (VersionID, string) {
	heads := map[VersionID]bool{}
	w.state.Scan([]byte{keyInode}, nil, func(k, v []byte) bool {
		if i, _, ok := parseInode(FileID(k[1:]), v); ok && i.Nlink > 0 {
			for _, h := range i.Heads {
				heads[h.ID] = true
			}
		}
		return true
	})
	for _, id := range w.closed {
		v, ok := GetVersion(w.state, id)
		if !ok {
			return id, "gone"
		}
		if want, small := w.bytes[id]; small {
			if b, _ := Body(w.state, v); string(b) != want {
				return id, fmt.Sprintf("%x and not %x", b, want)
			}
		}
		if !heads[id] && !w.seen[id] {
			return id, "not a head of anything, though nobody who saw it replaced it"
		}
	}
	return VersionID{}, ""
}
