package fs

import (
	"encoding/binary"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
)

// enter gives the kernel a reference of what a name in v leads to.
func (v *view) enter(p place) (Entry, error) {
	key := pastKey{v, p.vol, p.dirent.ID}
	if e, ok := v.table.refer(key); ok {
		return e, nil
	}
	n, err := v.load(key)
	if err != nil {
		return Entry{}, err
	}
	return v.table.enter(n), nil
}

// enterTop is enter for the mount's top.
func (v *view) enterTop() Entry {
	key := pastKey{view: v}
	if e, ok := v.table.refer(key); ok {
		return e
	}
	homes, _ := topThen{v}.list(0)
	at := v.at.UnixNano()
	ino := uint64(topAtIno)
	if len(homes) > 0 {
		ino = pastIno(homes[0].place.vol, binary.BigEndian.AppendUint64([]byte("top"), uint64(at)))
	}
	return v.table.enter(&pastNode{key: key, attr: v.table.fs.ownDirAttr(ino, 2+len(homes), at)})
}

// load reads a file as it was.
func (v *view) load(key pastKey) (*pastNode, error) {
	n := &pastNode{key: key}
	var ino tree.Inode
	err := v.read(key.vol, func(r eventlog.Reader) error {
		var ok bool
		if ino, ok = tree.GetInode(r, key.file); !ok {
			return ErrNotExist
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	found, err := v.findHead(key.vol, &ino)
	if err != nil {
		return nil, err
	}
	n.attr = key.vol.attrOf(&ino, v.inoOf(key.vol, key.file))
	n.attr.Atime, n.attr.Ctime = ino.Mtime, ino.Mtime
	n.what.xattrs = ino.Xattrs > 0
	if len(ino.Heads) > 0 {
		n.what.head, n.what.lost = ino.Heads[0].ID, !found
		if n.attr.Size > memLimit { // smaller files have no holes
			m, _ := key.vol.meta(key.file)
			n.attr.Data -= m.holesIn(n.what.head)
		}
	}
	return n, nil
}

// findHead leaves of a file's heads the one that the view shows, see shownAt.
func (v *view) findHead(vol *Volume, ino *tree.Inode) (bool, error) {
	m, err := v.moment(vol)
	if err != nil {
		return false, err
	}
	return vol.shownAt(m, ino)
}

// xattr reads an extended attribute.
func (n *pastNode) xattr(name string) (val []byte, err error) {
	if !n.what.xattrs {
		return nil, ErrNoAttr
	}
	err = n.key.view.read(n.key.vol, func(r eventlog.Reader) error {
		var ok bool
		if val, ok = tree.GetXattr(r, n.key.file, []byte(name)); !ok {
			return ErrNoAttr
		}
		return nil
	})
	if err != nil || !isACL(name) {
		return val, err
	}
	return n.key.vol.fs.shownACL(name, val, n.attr.Mode), nil
}

// xattrNames lists the names of the extended attributes, each ended by a NUL.
func (n *pastNode) xattrNames() (list []byte, err error) {
	if !n.what.xattrs {
		return nil, nil
	}
	err = n.key.view.read(n.key.vol, func(r eventlog.Reader) error {
		tree.Xattrs(r, n.key.file, func(name, _ []byte) bool {
			list = append(append(list, name...), 0)
			return true
		})
		return nil
	})
	return list, err
}

// target is where a symbolic link leads.
func (n *pastNode) target() (target []byte, err error) {
	if n.attr.Mode&ModeType != ModeSymlink {
		return nil, ErrInvalid
	}
	err = n.key.view.read(n.key.vol, func(r eventlog.Reader) error {
		ino, ok := tree.GetInode(r, n.key.file)
		if !ok {
			return ErrNotExist
		}
		target = ino.Target
		return nil
	})
	return target, err
}
