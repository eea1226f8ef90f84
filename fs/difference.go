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

// A Difference is what became of one name between two moments.
type Difference struct {
	What  string // "added", "removed", "changed", "renamed", "attributes"
	Path  string // from the mount's top, at the later moment; of what was removed at the earlier one
	From  string // of what was renamed
	Kind  tree.Kind
	Bytes int64 // of a file, at the later moment; of what was removed at the earlier one
	Was   int64 // of a file that changed, at the earlier one
}

// Diff tells what differs at and below a path between two times; the zero Time is now. Names that differ are told, directories before what is in
// them.
func (f *FS) Diff(ctx context.Context, path []string, from, to time.Time, tell func(Difference) error) error {
	a, errA := f.spotAt(path, from)
	b, errB := f.spotAt(path, to)
	if errA != nil || errB != nil {
		return errors.Join(errA, errB)
	}
	switch {
	case a.vol == b.vol:
		err := f.diffIn(ctx, a, from, to, tell)
		if err == nil && a.vol.isHome && len(a.names) == 0 {
			err = f.diffVolumes(ctx, a.home, from, to, tell)
		}
		return err
	case a.app == "": // an app volume has come where there was none
		return f.diffIn(ctx, b, from, to, tell)
	}
	return errors.Join(f.diffIn(ctx, a, from, to, tell))
}

// at reads v as it was at a time, or now. A volume that had not begun is empty.
func (v *Volume) atTime(t time.Time, fn func(r eventlog.Reader) error) (err error) {
	if !t.IsZero() {
		p, err := v.pastOf(t)
		if err != nil {
			return err
		}
		return p.view(fn)
	}
	if e := v.log.Snapshot(func(r eventlog.Reader) { err = fn(r) }); e != nil {
		return e
	}
	return err
}

// diffIn tells what differs at and below a path of one volume.
func (f *FS) diffIn(ctx context.Context, s spot, from, to time.Time, tell func(Difference) error) error {
	return s.vol.atTime(from, func(a eventlog.Reader) error {
		return s.vol.atTime(to, func(b eventlog.Reader) error {
			d := &differ{ctx: ctx, a: a, b: b, label: s.label(), scope: s.names, tell: tell}
			x, okA := d.entry(a, s.names)
			y, okB := d.entry(b, s.names)
			switch {
			case len(s.names) == 0 && okA != okB: // the volume began in between: see diffVolumes
				if okB {
					return d.each(s.path(), b, tree.RootID, d.added)
				}
				return d.each(s.path(), a, tree.RootID, d.removed)
			case !okA && !okB:
				return fmt.Errorf("%s was there at neither time: %w", s.path(), ErrNotExist)
			case !okA:
				return d.added(s.path(), y)
			case !okB:
				return d.removed(s.path(), x)
			}
			return d.both(s.path(), x, y)
		})
	})
}

// diffVolumes goes through the app volumes that a home has or had.
func (f *FS) diffVolumes(ctx context.Context, h *home, from, to time.Time, tell func(Difference) error) error {
	var had, has []graft
	list := func(t time.Time, into *[]graft) error {
		return h.vol.atTime(t, func(r eventlog.Reader) error {
			*into = graftsOf(r)
			return nil
		})
	}
	if err := errors.Join(list(from, &had), list(to, &has)); err != nil {
		return err
	}
	find := func(gs []graft, v graft) int {
		return slices.IndexFunc(gs, func(g graft) bool { return g.vol == v.vol })
	}
	label := f.nameOf(h)
	for _, g := range had {
		if find(has, g) < 0 {
			if err := tell(Difference{What: "removed", Path: label + "/" + g.name, Kind: tree.Graft}); err != nil {
				return err
			}
		}
	}
	for _, g := range has {
		var err error
		switch i := find(had, g); {
		case i < 0:
			err = tell(Difference{What: "added", Path: label + "/" + g.name, Kind: tree.Graft})
		case had[i].name != g.name:
			err = tell(Difference{What: "renamed", Path: label + "/" + g.name, From: label + "/" + had[i].name, Kind: tree.Graft})
		}
		if err != nil {
			return err
		}
	}
	for _, g := range append(slices.DeleteFunc(had, func(g graft) bool { return find(has, g) >= 0 }), has...) {
		v, err := f.openVolume(h, g.vol, g.name)
		if err != nil {
			return err
		}
		err = f.diffIn(ctx, spot{home: h, vol: v, app: g.name}, from, to, tell)
		if err != nil && !errors.Is(err, ErrNotExist) {
			return err
		}
	}
	return nil
}

// A differ compares a tree at two moments.
type differ struct {
	ctx   context.Context
	a, b  eventlog.Reader
	label string
	scope []string // names that lead to what is compared
	tell  func(Difference) error
}

func (d *differ) entry(r eventlog.Reader, names []string) (tree.Dirent, bool) {
	way := walkTo(r, names)
	if _, ok := tree.GetInode(r, tree.RootID); !ok {
		return tree.Dirent{}, false
	}
	return way[len(way)-1], len(way) == len(names)+1
}

// both compares what has one name at both moments.
func (d *differ) both(path string, x, y tree.Dirent) error {
	if x.Kind != y.Kind || x.Kind == tree.Graft {
		if x.Kind == tree.Graft || y.Kind == tree.Graft {
			return nil // see diffVolumes
		}
		return errors.Join(d.removed(path, x), d.added(path, y))
	}
	if err := d.same(path, x, y); err != nil || x.Kind != tree.Dir {
		return err
	}
	return d.dirs(path, x.ID, y.ID)
}

// same compares two states of what counts as one file.
func (d *differ) same(path string, x, y tree.Dirent) error {
	i, _ := tree.GetInode(d.a, x.ID)
	j, _ := tree.GetInode(d.b, y.ID)
	did := Difference{Path: path, Kind: y.Kind, Bytes: j.Size(), Was: i.Size()}
	switch {
	case y.Kind == tree.File && !tree.SameBytes(d.b, i, j), string(i.Target) != string(j.Target), i.Rdev != j.Rdev:
		did.What = "changed"
	case i.Mode != j.Mode, i.UID != j.UID, i.GID != j.GID, !d.sameXattrs(i, j):
		did.What = "attributes"
	default:
		return nil
	}
	return d.tell(did)
}

func (d *differ) sameXattrs(i, j tree.Inode) bool {
	if i.Xattrs != j.Xattrs || i.Xattrs == 0 {
		return i.Xattrs == j.Xattrs
	}
	return slices.EqualFunc(xattrsIn(d.a, i.ID), xattrsIn(d.b, j.ID), func(x, y tree.Xattr) bool {
		return string(x.Name) == string(y.Name) && string(x.Val) == string(y.Val)
	})
}

// dirs compares what is in two directories, or in one at both moments.
func (d *differ) dirs(path string, x, y tree.FileID) error {
	if err := d.ctx.Err(); err != nil {
		return err
	}
	was, is := namesIn(d.a, x), namesIn(d.b, y)
	for _, name := range sortedNames(was, is) {
		p := path + "/" + name
		i, had := was[name]
		j, has := is[name]
		var err error
		switch {
		case had && has:
			err = d.both(p, i, j)
		case had:
			err = d.removed(p, i)
		default:
			err = d.added(p, j)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func namesIn(r eventlog.Reader, dir tree.FileID) map[string]tree.Dirent {
	names := map[string]tree.Dirent{}
	tree.ReadDir(r, dir, 0, func(_ uint64, name []byte, e tree.Dirent) bool {
		names[string(name)] = e
		return true
	})
	return names
}

func sortedNames(a, b map[string]tree.Dirent) []string {
	var names []string
	for n := range a {
		names = append(names, n)
	}
	for n := range b {
		if _, ok := a[n]; !ok {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return names
}

// elsewhere is the path that a file has at the moment of r, if it is another one than at the other moment, and below what is compared.
func (d *differ) elsewhere(id tree.FileID, r, other eventlog.Reader) (path string, ok bool) {
	names, ok := whereabouts(r, id)
	if !ok || len(names) < len(d.scope) || !slices.Equal(names[:len(d.scope)], d.scope) {
		return "", false
	}
	ino, _ := tree.GetInode(r, id)
	beside, ok := tree.Lookup(other, ino.Parent, ino.Name)
	if e, there := d.entry(other, names); there && e.ID == id || ok && beside.ID == id {
		return "", false // the same name at both: the other is one beside it
	}
	return strings.Join(append([]string{d.label}, names...), "/"), true
}

// added tells of a name that is new, and of those below it. What had another name is renamed.
func (d *differ) added(path string, y tree.Dirent) error {
	if y.Kind == tree.Graft {
		return nil
	}
	j, _ := tree.GetInode(d.b, y.ID)
	if from, ok := d.elsewhere(y.ID, d.a, d.b); ok {
		if err := d.tell(Difference{What: "renamed", Path: path, From: from, Kind: y.Kind, Bytes: j.Size()}); err != nil {
			return err
		}
		return d.both(path, y, y)
	}
	if err := d.tell(Difference{What: "added", Path: path, Kind: y.Kind, Bytes: j.Size()}); err != nil {
		return err
	}
	if y.Kind != tree.Dir {
		return nil
	}
	return d.each(path, d.b, y.ID, d.added)
}

// removed tells of a name that is gone, and of those below it.
func (d *differ) removed(path string, x tree.Dirent) error {
	if _, ok := d.elsewhere(x.ID, d.b, d.a); ok || x.Kind == tree.Graft {
		return nil // told there
	}
	i, _ := tree.GetInode(d.a, x.ID)
	if err := d.tell(Difference{What: "removed", Path: path, Kind: x.Kind, Bytes: i.Size()}); err != nil {
		return err
	}
	if x.Kind != tree.Dir {
		return nil
	}
	return d.each(path, d.a, x.ID, d.removed)
}

func (d *differ) each(path string, r eventlog.Reader, dir tree.FileID, fn func(string, tree.Dirent) error) error {
	in := namesIn(r, dir)
	for _, name := range sortedNames(in, nil) {
		if err := errors.Join(d.ctx.Err(), fn(path+"/"+name, in[name])); err != nil {
			return err
		}
	}
	return nil
}
