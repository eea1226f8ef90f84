package fs

import (
	"strings"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
)

// What SetXattr may be asked for; the values of the first two are Linux's.
const (
	XattrCreate     = 1
	XattrReplace    = 2
	XattrKillSetGID = 1 << 16 // setting an access ACL takes set-gid away: who asks is not of the file's group
)

// The namespaces of names. The kernel has checked that the caller may use them, and that files of this kind may have them.
var xattrSpaces = [...]string{"user.", "trusted.", "security."}

// checkXattr refuses names of no namespace, and names that are only that.
func checkXattr(name string) error {
	for _, space := range xattrSpaces {
		if rest, ok := strings.CutPrefix(name, space); ok {
			if rest == "" {
				return ErrInvalid
			}
			return nil
		}
	}
	if isACL(name) {
		return nil
	}
	return ErrNotSupported
}

// GetXattr returns an extended attribute.
func (f *FS) GetXattr(id NodeID, name string) ([]byte, error) {
	if id.IsPast() {
		return f.past.getXattr(id, name)
	}
	n, err := f.nodeOf(id)
	if err != nil {
		return nil, err
	}
	if err := checkXattr(name); err != nil {
		return nil, err
	}
	if n.vol == nil {
		return nil, ErrNoAttr
	}
	val, err := n.xattr(name)
	if err != nil || !isACL(name) {
		return val, err
	}
	attr, err := n.attr()
	if err != nil {
		return nil, err
	}
	return f.shownACL(name, val, attr.Mode), nil
}

func (n *Node) xattr(name string) ([]byte, error) {
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
	err := n.vol.view(n.local, func(r eventlog.Reader) error {
		// Nearly no file has any, which its inode says; the kernel asks for each file that is written to.
		ino, ok := tree.GetInode(r, n.file)
		if ok && ino.Xattrs > 0 {
			val, ok = tree.GetXattr(r, n.file, []byte(name))
		} else {
			ok = false
		}
		if !ok {
			return ErrNoAttr
		}
		return nil
	})
	return val, err
}

// ListXattr returns the names of the extended attributes, each ended by a NUL.
func (f *FS) ListXattr(id NodeID) ([]byte, error) {
	if id.IsPast() {
		return f.past.listXattr(id)
	}
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

// SetXattr sets an extended attribute. Setting an access ACL sets the mode's bits too.
func (f *FS) SetXattr(id NodeID, name string, val []byte, flags uint32) error {
	check := func(there bool) error {
		switch {
		case flags&XattrCreate != 0 && there:
			return ErrExist
		case flags&XattrReplace != 0 && !there:
			return ErrNoAttr
		}
		return nil
	}
	if len(val) > tree.MaxXattrValue {
		return ErrNoSpace
	}
	if isACL(name) {
		return f.setACL(id, name, val, check, flags&XattrKillSetGID != 0)
	}
	return f.changeXattr(id, xattrChange{name: name, val: append([]byte{}, val...), check: check})
}

// RemoveXattr removes an extended attribute.
func (f *FS) RemoveXattr(id NodeID, name string) error {
	return f.changeXattr(id, xattrChange{name: name, check: func(there bool) error {
		if !there && !isACL(name) { // to have no ACL is what was asked for
			return ErrNoAttr
		}
		return nil
	}})
}

// An xattrChange is what shall become of one attribute.
type xattrChange struct {
	name  string
	val   []byte                  // nil: it goes
	check func(there bool) error  // whether that may be
	mode  func(old uint32) uint32 // what the mode becomes; nil: stays
}

func (f *FS) changeXattr(id NodeID, c xattrChange) error {
	n, err := f.nodeOf(id)
	if err != nil {
		return err
	}
	if n.vol == nil {
		return ErrPermission
	}
	if err := checkXattr(c.name); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.orphan != nil {
		return n.changeOrphanXattr(c)
	}
	return n.vol.update(func(t *txn) error {
		r := t.state(n.local)
		ino, ok := tree.GetInode(r, n.file)
		if !ok {
			return ErrNotExist
		}
		_, there := tree.GetXattr(r, n.file, []byte(c.name))
		if err := c.check(there); err != nil {
			return err
		}
		var ops []tree.Op
		if there || c.val != nil {
			ops = append(ops, tree.SetXattr{ID: n.file, Name: []byte(c.name), Val: c.val, Remove: c.val == nil})
		}
		if c.mode != nil {
			if mode := c.mode(ino.Mode); mode != ino.Mode {
				ops = append(ops, tree.SetAttr{ID: n.file, Set: tree.FieldMode, Mode: mode})
			}
		}
		if len(ops) > 0 {
			t.apply(n.local, ops...)
		}
		if len(ops) > 0 || c.val != nil || c.mode != nil {
			t.touch(n)
		}
		return nil
	})
}

func (n *Node) changeOrphanXattr(c xattrChange) error {
	o, err := n.keptLocked()
	if err != nil {
		return err
	}
	_, there := o.xattrs[c.name]
	if err := c.check(there); err != nil {
		return err
	}
	if o.xattrs == nil {
		o.xattrs = map[string][]byte{}
	}
	if c.val == nil {
		delete(o.xattrs, c.name)
	} else {
		o.xattrs[c.name] = c.val
	}
	if c.mode != nil {
		o.ino.Mode = c.mode(o.ino.Mode)
	}
	n.ctime = n.vol.fs.now().UnixNano()
	return nil
}
