package tree

import "github.com/rhizome-fs/rhizome/identity"

func (w *work) create(o *Create) {
	if w.known(o.ID) {
		w.createdBefore(o)
		return
	}
	if o.Version != nil && (w.knownVersion(o.Version.ID) || !w.hasBytes(o.Version)) {
		return
	}
	if o.Kind == Graft && w.sameVolume(o) {
		return
	}
	dir := w.dirOf(o.Parent, o.Path, o.Time)
	if dir == nil || w.cached(o.ID) != nil { // a path may lead through the very file
		return
	}
	n := w.fresh(Inode{
		ID: o.ID, Kind: o.Kind, Mode: o.Mode, UID: o.UID, GID: o.GID, Mtime: o.Mtime, Btime: o.Btime,
		Rdev: o.Rdev, Target: o.Target, Volume: o.Volume, By: w.by(o.By),
	})
	if o.Version != nil {
		n.in.Heads = []Head{{ID: o.Version.ID, Size: o.Version.Size}}
		w.addVersion(o.Version, nil)
	}
	w.place(dir, o.Name, n, -1, o.Time)
	if there := w.load(o.ID); there != n {
		// The directory is there already: what was chosen for it later than it was made holds.
		there.set(SetAttr{Set: o.Chosen, Mode: o.Mode, UID: o.UID, GID: o.GID, Mtime: o.Mtime})
		n = there
	}
	for _, x := range o.Xattrs {
		w.putXattr(n, x.Name, x.Val)
	}
	if o.Kind == Graft {
		w.s.Set(volumeKey(o.Volume), clone(o.ID[:]))
		w.raiseGeneration(o.Name, o.Generation)
	}
}

// createdBefore applies what a Create took in before it left its device to the file, which is there already: a store was
// copied, or restored from a backup, when the file had just been made, and what each of both did with it afterwards
// became part of the Create.
func (w *work) createdBefore(o *Create) {
	if o.Version != nil {
		path := append(append(make(Path, 0, len(o.Path)+1), o.Path...), Step{Dir: o.Parent, Name: o.Name})
		w.setContent(&SetContent{ID: o.ID, Version: *o.Version, Mtime: o.Mtime, Time: o.Time, Path: path})
	}
	n := w.load(o.ID)
	n.set(SetAttr{Set: o.Chosen, Mode: o.Mode, UID: o.UID, GID: o.GID, Mtime: o.Mtime})
	for _, x := range o.Xattrs {
		w.putXattr(n, x.Name, x.Val)
	}
}

func (w *work) known(id FileID) bool { return w.load(id) != nil }

func (w *work) knownVersion(id VersionID) bool {
	_, ok := w.s.Get(w.versionKey(id))
	return ok
}

// sameVolume makes a graft an alias of the living one that has its volume.
func (w *work) sameVolume(o *Create) bool {
	there := w.graftOf(o.Volume)
	if there == nil || !there.live() {
		return false
	}
	w.raiseGeneration(o.Name, o.Generation)
	w.join(w.fresh(Inode{ID: o.ID, Kind: Graft}), there)
	return true
}

func (w *work) graftOf(v identity.VolumeID) *node {
	rec, ok := w.s.Get(volumeKey(v))
	if !ok || len(rec) != 16 {
		return nil
	}
	return w.load(FileID(rec))
}

func (w *work) raiseGeneration(name []byte, gen uint64) {
	if was := Generation(w.s, name) - 1; gen > was {
		w.s.Set(genKey(name), putUint(nil, gen))
	}
}

// addVersion records a version that a device made with this event.
func (w *work) addVersion(v *Version, prev []VersionID) {
	rec := *v
	rec.Prev, rec.Device = prev, w.a.Device
	if rec.By == "" {
		rec.By = string(w.by(""))
	}
	w.s.Set(w.versionKey(v.ID), putVersionRecord(w.valRoom[:0], &rec))
	if len(v.Inline) > 0 {
		w.s.Set(putKey(w.keyRoom[:0], keyBody, v.ID), v.Inline)
	}
}

func (w *work) link(o *Link) {
	n := w.load(o.ID)
	if n == nil || n.in.Kind.holds() {
		return
	}
	dir := w.dirOf(o.Parent, o.Path, o.Time)
	if dir == nil {
		return
	}
	if c := w.claims(dir, o.Name); c.index(n.in.ID) < 0 {
		w.place(dir, o.Name, n, -1, o.Time)
	}
}

func (w *work) unlink(o *Unlink) {
	n, dir := w.load(o.ID), w.load(o.Parent)
	if n == nil || dir == nil || n.in.Kind == Dir && (n.in.Entries > 0 || n.in.ID != o.ID) {
		return // who removed an alias had not seen the directory that it became part of
	}
	if c := w.claims(dir, o.Name); c.index(n.in.ID) < 0 {
		return
	}
	if n.in.Nlink == 1 && w.keepUnseen(n, o.Heads) {
		return
	}
	w.detach(dir, o.Name, n, o.Time)
	n.die(o.Time)
}

// keepUnseen takes from n the heads that were seen, if there are others, and reports whether there are: then the
// edit wins over the removal.
func (w *work) keepUnseen(n *node, seen []VersionID) bool {
	var unseen, gone []Head
	for _, h := range n.in.Heads {
		if contains(seen, h.ID) {
			gone = append(gone, h)
		} else {
			unseen = append(unseen, h)
		}
	}
	if len(unseen) == 0 {
		return false
	}
	for _, h := range gone {
		w.past(n, h.ID)
	}
	if len(gone) > 0 {
		n.in.Heads, n.dirty = unseen, true
	}
	return true
}

func (w *work) setAttr(o *SetAttr) {
	if n := w.load(o.ID); n != nil {
		n.set(*o)
	}
}

func (n *node) set(o SetAttr) {
	if o.Set == 0 {
		return
	}
	n.dirty = true
	if o.Set&FieldMode != 0 {
		n.in.Mode = o.Mode
	}
	if o.Set&FieldUID != 0 {
		n.in.UID = o.UID
	}
	if o.Set&FieldGID != 0 {
		n.in.GID = o.GID
	}
	if o.Set&FieldMtime != 0 {
		n.in.Mtime = o.Mtime
	}
}

func (w *work) setXattr(o *SetXattr) {
	n := w.load(o.ID)
	if n == nil {
		return
	}
	if !o.Remove {
		w.putXattr(n, o.Name, o.Val)
		return
	}
	k := w.xattrKey(n.in.ID, o.Name)
	if _, ok := w.s.Get(k); ok {
		w.s.Delete(k)
		n.in.Xattrs--
		n.dirty = true
	}
}
