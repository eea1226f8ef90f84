package fs

import "github.com/rhizome-fs/rhizome/fs/tree"

// What the methods of FS do with a node of the past.

func (t *pastTable) lookup(parent NodeID, name string) (Entry, error) {
	if name == "." {
		return t.again(parent)
	}
	d, err := t.dir(parent)
	switch {
	case err != nil:
		return Entry{}, err
	case name == "..":
		return d.above()
	case len(name) > tree.MaxName:
		return Entry{}, ErrNameTooLong
	default:
		return d.lookup(name)
	}
}

// again counts a reference of a node that is known: its number comes from a handle. A handle leads nowhere once the kernel has
// forgotten the node.
func (t *pastTable) again(id NodeID) (Entry, error) {
	n, err := t.get(id)
	if err != nil {
		return Entry{}, err
	}
	e, ok := t.refer(n.key)
	if !ok || e.Node != id {
		if ok {
			t.forget(e.Node, 1)
		}
		return Entry{}, ErrNotExist
	}
	return e, nil
}

func (t *pastTable) readDir(id NodeID, cookie uint64) ([]DirEntry, error) {
	d, err := t.dir(id)
	if err != nil {
		return nil, err
	}
	return d.list(cookie)
}

func (t *pastTable) dotInos(id NodeID) (self, parent uint64, err error) {
	n, err := t.get(id)
	if err != nil {
		return 0, 0, err
	}
	d, err := t.dir(id)
	if err != nil {
		return 0, 0, err
	}
	above, err := d.above()
	if err != nil {
		return 0, 0, err
	}
	t.fs.Forget(above.Node, 1)
	return n.attr.Ino, above.Attr.Ino, nil
}

func (t *pastTable) getAttr(id NodeID) (Attr, error) {
	n, err := t.get(id)
	if err != nil {
		return Attr{}, err
	}
	return t.attr(n), nil
}

func (t *pastTable) readlink(id NodeID) ([]byte, error) {
	n, err := t.get(id)
	if err != nil {
		return nil, err
	}
	return n.target()
}

func (t *pastTable) getXattr(id NodeID, name string) ([]byte, error) {
	n, err := t.get(id)
	if err != nil {
		return nil, err
	}
	if err := checkXattr(name); err != nil {
		return nil, err
	}
	return n.xattr(name)
}

func (t *pastTable) listXattr(id NodeID) ([]byte, error) {
	n, err := t.get(id)
	if err != nil {
		return nil, err
	}
	return n.xattrNames()
}
