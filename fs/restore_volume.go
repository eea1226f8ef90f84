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

// Restore makes a path what it was at a time, whatever has become of it since, and tells each thing that it does when it is done. The zero
// time stands for what the path was before it became what it is: what was removed is there again as it last was, a file has its version before
// the present one. An identity's directory is restored with all its volumes.
func (f *FS) Restore(ctx context.Context, path []string, at time.Time, o RestoreOptions, tell func(Restored) error) error {
	rs := f.newRestoration(ctx, o, tell)
	if at.IsZero() {
		return rs.lastState(path)
	}
	if err := tell(Restored{Deed: DeedMoment, Path: strings.Join(path, "/"), At: at}); err != nil {
		return err
	}
	return rs.to(path, at)
}

func (f *FS) newRestoration(ctx context.Context, o RestoreOptions, tell func(Restored) error) *restoration {
	return &restoration{f: f, ctx: ctx, o: o, tell: tell, back: map[*Volume]bool{}}
}

// to restores a path as it was at a time.
func (rs *restoration) to(path []string, at time.Time) error {
	s, err := rs.f.spotAt(path, at)
	if err != nil {
		return err
	}
	p, err := s.vol.pastOf(at)
	if err != nil {
		return err
	}
	home, err := s.home.vol.pastOf(at)
	if err != nil {
		return err
	}
	if s.app != "" {
		if ok, err := rs.volume(s, home); err != nil || !ok {
			return err
		}
	}
	if err := rs.place(s, p); err != nil || !s.vol.isHome || len(s.names) > 0 {
		return err
	}
	return rs.volumes(s.home, home, at)
}

// A restoration is one restore, of as many volumes as it takes.
type restoration struct {
	f    *FS
	ctx  context.Context
	o    RestoreOptions
	tell func(Restored) error

	back map[*Volume]bool // that were gone, and are there again
}

func (rs *restoration) in(s spot, p past) *restoring {
	return &restoring{
		RestoreOptions: rs.o, ctx: rs.ctx, past: p, label: s.label(), tell: rs.tell, root: rs.back[s.vol],
		was: map[tree.FileID]tree.FileID{}, made: map[tree.FileID]tree.FileID{}, moved: map[tree.FileID]bool{},
	}
}

// place restores what is in one volume.
func (rs *restoration) place(s spot, p past) error { return rs.in(s, p).run(s.names) }

// volumes restores the app volumes that a home had.
func (rs *restoration) volumes(h *home, then past, at time.Time) error {
	var had []graft
	if err := then.view(func(r eventlog.Reader) error {
		had = graftsOf(r)
		return nil
	}); err != nil {
		return err
	}
	for _, g := range had {
		v, err := rs.f.openVolume(h, g.vol, g.name)
		if err != nil {
			return err
		}
		s := spot{home: h, vol: v, app: g.name}
		p, err := v.pastOf(at)
		if errors.Is(err, eventlog.ErrNoHistory) {
			err = rs.tell(Restored{Deed: DeedSkipped, Path: s.label(), Kind: tree.Graft, Why: err.Error()})
			if err == nil {
				continue
			}
		}
		if err != nil {
			return err
		}
		if ok, err := rs.volume(s, then); err != nil || !ok {
			if err != nil {
				return err
			}
			continue
		}
		if err := rs.place(s, p); err != nil {
			return err
		}
	}
	if !rs.o.Exact {
		return nil
	}
	return rs.otherVolumes(h, had)
}

// volume has a home show an app volume under the name that it had. If something else has the name, it tells so and returns false.
func (rs *restoration) volume(s spot, then past) (ok bool, err error) {
	var was tree.Inode
	if err := then.view(func(r eventlog.Reader) error {
		if d, ok := tree.Lookup(r, tree.RootID, []byte(s.app)); ok {
			was, _ = tree.GetInode(r, d.ID)
		}
		return nil
	}); err != nil {
		return false, err
	}
	name, taken := "", false
	err = s.home.vol.view(false, func(r eventlog.Reader) error {
		for _, g := range graftsOf(r) {
			if g.vol == s.vol.id {
				name = g.name
			}
		}
		_, taken = tree.Lookup(r, tree.RootID, []byte(s.app))
		return nil
	})
	did := Restored{Deed: DeedBack, Path: s.label(), Kind: tree.Graft}
	switch {
	case err != nil:
		return false, err
	case name == s.app:
		return true, nil
	case taken:
		did.Deed, did.Why = DeedSkipped, "something else has the name now"
	case name != "" && !rs.o.Exact:
		did.Deed, did.Why = DeedSkipped, fmt.Sprintf("the volume is called %s now", name)
	case name != "":
		did.Deed, did.From = DeedRename, s.vol.fs.nameOf(s.home)+"/"+name
	}
	if did.Deed != DeedSkipped && !rs.o.DryRun {
		if err := rs.f.graft(s, was, name); err != nil {
			return false, err
		}
	}
	if did.Deed == DeedBack {
		rs.back[s.vol] = true
	}
	return did.Deed != DeedSkipped, rs.tell(did)
}

// graft gives an app volume a name in its home again; from is the one that it has, if any.
func (f *FS) graft(s spot, was tree.Inode, from string) error {
	h := s.home.vol
	dir, root := h.hold(tree.RootID, false), s.vol.hold(tree.RootID, false)
	defer f.table.release(dir)
	defer f.table.release(root)
	err := func() error {
		unlock := lockNodes(dir, root)
		defer unlock()
		return h.update(func(t *txn) error {
			r := t.state(false)
			op := tree.Rename{ID: was.ID, From: tree.RootID, OldName: []byte(from), To: tree.RootID, NewName: []byte(s.app), Time: t.now}
			if from != "" {
				d, ok := tree.Lookup(r, tree.RootID, op.OldName)
				if !ok || d.Kind != tree.Graft {
					return ErrNotExist
				}
				op.ID = d.ID
			} else if dead, ok := tree.GetDead(r, was.ID); ok {
				op.OldName = dead.Name
			} else {
				return fmt.Errorf("volume %s: %w", s.app, ErrBusy)
			}
			if _, taken := tree.Lookup(r, tree.RootID, op.NewName); taken {
				return ErrExist
			}
			t.apply(false, op)
			t.touch(dir)
			t.then(func() { root.orphan = nil })
			return nil
		})
	}()
	if err != nil {
		return err
	}
	if i := f.invalidate.Load(); i != nil {
		for _, name := range []string{from, s.app} {
			if name != "" {
				(*i).InvalidateEntry(dir.id, name)
			}
		}
		(*i).InvalidateNode(dir.id)
		(*i).InvalidateNode(root.id)
	}
	return nil
}

// otherVolumes takes the app volumes out of a home that it did not have then: their logs stay.
func (rs *restoration) otherVolumes(h *home, had []graft) error {
	var now []graft
	if err := h.vol.view(false, func(r eventlog.Reader) error {
		now = graftsOf(r)
		return nil
	}); err != nil {
		return err
	}
	for _, g := range now {
		if slices.ContainsFunc(had, func(x graft) bool { return x.vol == g.vol }) {
			continue
		}
		v, err := rs.f.openVolume(h, g.vol, g.name)
		if err != nil {
			return err
		}
		s := spot{home: h, vol: v, app: g.name}
		inner := rs.in(s, past{vol: v})
		top := &formerDir{path: s.label(), now: tree.RootID} // nothing was in it
		if err := inner.removeOthers(top); err != nil {
			return err
		}
		did := Restored{Deed: DeedRemove, Path: s.label(), Kind: tree.Graft}
		if !rs.o.DryRun {
			dir := h.vol.hold(tree.RootID, false)
			err := rs.f.Rmdir(dir.id, g.name)
			rs.f.table.release(dir)
			if i := rs.f.invalidate.Load(); i != nil {
				(*i).InvalidateEntry(dir.id, g.name)
			}
			if errors.Is(err, ErrNotEmpty) {
				did.Deed, did.Why, err = DeedSkipped, "something else is in it", nil
			}
			if err != nil {
				return err
			}
		}
		if err := rs.tell(did); err != nil {
			return err
		}
	}
	return nil
}
