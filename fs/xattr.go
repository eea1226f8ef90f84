package fs

import (
	"slices"
	"strings"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
)

// What setxattr(2) may be asked for; the values are Linux's.
const (
	XattrCreate  = 1
	XattrReplace = 2
)

// GetXattr returns an extended attribute.
func (f *FS) GetXattr(id NodeID, name string) ([]byte, error) {
	n, err := f.nodeOf(id)
	if err != nil {
		return nil, err
	}
	if n.vol == nil {
		return nil, ErrNoAttr
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.orphan != nil {
		o, err := n.keptLocked()
		if v, ok := o.xattrs[name]; ok || err != nil {
			return v, err
		}
		return nil, ErrNoAttr
	}
	var val []byte
	err = n.vol.view(n.local, func(r eventlog.Reader) error {
		var ok bool
		if val, ok = tree.GetXattr(r, n.file, []byte(name)); !ok {
			return ErrNoAttr
		}
		return nil
	})
	return val, err
}

// ListXattr returns the names of the extended attributes, each ended by a NUL.
func (f *FS) ListXattr(id NodeID) ([]byte, error) {
	n, err := f.nodeOf(id)
	if err != nil || n.vol == nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	var list []byte
	if n.orphan != nil {
		o, err := n.keptLocked()
		for name := range o.xattrs {
			list = append(append(list, name...), 0)
		}
		return list, err
	}
	err = n.vol.view(n.local, func(r eventlog.Reader) error {
		tree.Xattrs(r, n.file, func(name, _ []byte) bool {
			list = append(append(list, name...), 0)
			return true
		})
		return nil
	})
	return list, err
}

// SetXattr sets an extended attribute.
func (f *FS) SetXattr(id NodeID, name string, val []byte, flags uint32) error {
	return f.changeXattr(id, name, func(_ []byte, there bool) ([]byte, error) {
		switch {
		case flags&XattrCreate != 0 && there:
			return nil, ErrExist
		case flags&XattrReplace != 0 && !there:
			return nil, ErrNoAttr
		case len(val) > tree.MaxXattrValue:
			return nil, ErrNoSpace
		}
		return append([]byte{}, val...), nil
	})
}

// RemoveXattr removes an extended attribute.
func (f *FS) RemoveXattr(id NodeID, name string) error {
	return f.changeXattr(id, name, func(_ []byte, there bool) ([]byte, error) {
		if !there {
			return nil, ErrNoAttr
		}
		return nil, nil
	})
}

// changeXattr sets what fn makes of an attribute; nil removes it.
func (f *FS) changeXattr(id NodeID, name string, fn func(val []byte, there bool) ([]byte, error)) error {
	n, err := f.nodeOf(id)
	if err != nil {
		return err
	}
	if n.vol == nil {
		return ErrPermission
	}
	if strings.HasPrefix(name, "system.") {
		return ErrNotSupported // POSIX ACLs are not kept
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.orphan != nil {
		o, err := n.keptLocked()
		if err != nil {
			return err
		}
		old, ok := o.xattrs[name]
		val, err := fn(old, ok)
		if err != nil {
			return err
		}
		if val == nil {
			delete(o.xattrs, name)
		} else {
			o.xattrs[name] = slices.Clone(val)
		}
		return nil
	}
	return n.vol.update(func(t *txn) error {
		if _, ok := tree.GetInode(t.state(n.local), n.file); !ok {
			return ErrNotExist
		}
		old, ok := tree.GetXattr(t.state(n.local), n.file, []byte(name))
		val, err := fn(old, ok)
		if err != nil {
			return err
		}
		t.apply(n.local, tree.SetXattr{ID: n.file, Name: []byte(name), Val: val, Remove: val == nil})
		t.touch(n)
		return nil
	})
}
