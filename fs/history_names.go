package fs

import (
	"errors"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/identity"
)

// name tells of the files that had a name: each from when it got it to when it lost it, and the present one from its beginning.
func (h *historian) name(dir tree.FileID, name string) error {
	type tenant struct {
		d          tree.Dirent
		since, end eventlog.Moment
	}
	var tenants []tenant
	var end eventlog.Moment
	h.v.view(false, func(r eventlog.Reader) error {
		if d, ok := tree.Lookup(r, dir, []byte(name)); ok {
			tenants = append(tenants, tenant{d: d})
		}
		return nil
	})
	err := h.v.log.Former(tree.DirentKey(dir, []byte(name)), func(f eventlog.Fact) bool {
		if n := len(tenants); n > 0 && tenants[n-1].since == end {
			tenants[n-1].since = f.Until
		}
		end = f.Until
		if d, is := tree.DirentOf(f.Val); f.Had && is {
			tenants = append(tenants, tenant{d: d, since: f.Until, end: f.Until})
		}
		return true
	})
	if err != nil {
		return err
	}
	seen := map[tree.FileID]bool{}
	for _, t := range tenants {
		if t.d.Kind == tree.Graft || seen[t.d.ID] {
			continue
		}
		seen[t.d.ID] = true
		if err := h.file(t.d.ID, t.since, t.end); err != nil {
			return err
		}
	}
	return nil
}

// names tells which names came into a directory and went.
func (h *historian) names(dir tree.FileID) error {
	prefix := tree.NamesPrefix(dir)
	type state struct {
		until eventlog.Moment
		by    identity.DeviceID
		d     tree.Dirent
		had   bool
	}
	former := map[string][]state{} // oldest first
	now := map[string]tree.Dirent{}
	err := h.v.log.FormerBelow(prefix, func(key []byte, f eventlog.Fact) bool {
		if len(key) > 25 {
			d, is := tree.DirentOf(f.Val)
			former[string(key[25:])] = append(former[string(key[25:])], state{f.Until, f.By, d, f.Had && is})
		}
		return true
	})
	if e := h.v.view(false, func(r eventlog.Reader) error {
		now = namesIn(r, dir)
		return nil
	}); err != nil || e != nil {
		return errors.Join(err, e)
	}
	for name, states := range former {
		d, has := now[name]
		for i := len(states) - 1; i >= 0; i-- {
			was := states[i]
			c := Change{Path: h.pathOf(dir, []byte(name)), Kind: d.Kind, Device: was.by}
			switch {
			case was.had && !has, was.had && was.d.ID != d.ID:
				c.What, c.Kind = "gone", was.d.Kind
				c.Bytes, _ = h.madeBy(was.d.ID)
			case !was.had && has:
				c.What = "came"
				var maker string
				if c.Bytes, maker = h.madeBy(d.ID); c.Device == (identity.DeviceID{}) {
					c.By = maker // or else who moved it here
				}
			default:
				d, has = was.d, was.had
				continue
			}
			h.add(was.until, c)
			d, has = was.d, was.had
		}
	}
	return nil
}

// madeBy is a file's size now, or when it was removed, and who made it.
func (h *historian) madeBy(id tree.FileID) (size int64, by string) {
	h.v.view(false, func(r eventlog.Reader) error {
		ino, ok := tree.GetInode(r, id)
		if !ok {
			ino, _ = tree.GetDead(r, id)
		}
		size, by = ino.Size(), string(ino.By)
		return nil
	})
	return size, by
}
