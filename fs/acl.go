package fs

import (
	"encoding/binary"
	"slices"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
)

// POSIX ACLs are extended attributes of these names, in the log too. Their form is Linux's: a version (4 bytes, 2), then entries
// of tag (2), permissions (2) and id (4), little endian. The kernel checks permissions by them; what is here keeps them in step with
// the mode, and hands them down. An id of the mounting user's is stored as tree.Owner, as a file's is.
const (
	aclAccess  = "system.posix_acl_access"
	aclDefault = "system.posix_acl_default"
)

// Tags of entries, in the order in which they come.
const (
	aclUserObj  = 0x01
	aclUser     = 0x02
	aclGroupObj = 0x04
	aclGroup    = 0x08
	aclMask     = 0x10
	aclOther    = 0x20
)

const (
	aclVersion   = 2
	aclHeader    = 4
	aclEntrySize = 8
	aclNoID      = ^uint32(0) // in entries that name nobody
)

type aclEntry struct {
	tag, perm uint16
	id        uint32
}

// An acl has a user, group and other entry, and a mask if it names anybody.
type acl []aclEntry

// isACL reports whether an attribute is a POSIX ACL.
func isACL(name string) bool { return name == aclAccess || name == aclDefault }

// parseACL reads an ACL, and refuses what setfacl(1) would not make. nil: it has no entries.
func parseACL(b []byte) (acl, error) {
	if len(b) == 0 {
		return nil, nil
	}
	if len(b) < aclHeader || (len(b)-aclHeader)%aclEntrySize != 0 || binary.LittleEndian.Uint32(b) != aclVersion {
		return nil, ErrInvalid
	}
	var a acl
	for b = b[aclHeader:]; len(b) > 0; b = b[aclEntrySize:] {
		a = append(a, aclEntry{
			tag: binary.LittleEndian.Uint16(b), perm: binary.LittleEndian.Uint16(b[2:]), id: binary.LittleEndian.Uint32(b[4:]),
		})
	}
	if !a.valid() {
		return nil, ErrInvalid
	}
	return a, nil
}

func (a acl) valid() bool {
	if len(a) == 0 {
		return true
	}
	var count [aclOther + 1]int
	last := uint16(0)
	for _, e := range a {
		named := e.tag == aclUser || e.tag == aclGroup
		switch e.tag {
		case aclUserObj, aclUser, aclGroupObj, aclGroup, aclMask, aclOther:
		default:
			return false
		}
		if e.perm > 7 || e.tag < last || named && e.id == aclNoID {
			return false
		}
		count[e.tag]++
		last = e.tag
	}
	named := count[aclUser]+count[aclGroup] > 0
	return count[aclUserObj] == 1 && count[aclGroupObj] == 1 && count[aclOther] == 1 && count[aclMask] <= 1 &&
		(!named || count[aclMask] == 1)
}

func (a acl) encode() []byte {
	b := binary.LittleEndian.AppendUint32(make([]byte, 0, aclHeader+len(a)*aclEntrySize), aclVersion)
	for _, e := range a {
		b = binary.LittleEndian.AppendUint16(b, e.tag)
		b = binary.LittleEndian.AppendUint16(b, e.perm)
		b = binary.LittleEndian.AppendUint32(b, e.id)
	}
	return b
}

// withIDs is a with the ids of named users and groups passed through user and group.
func (a acl) withIDs(user, group func(uint32) uint32) acl {
	a = slices.Clone(a)
	for i, e := range a {
		switch e.tag {
		case aclUser:
			a[i].id = user(e.id)
		case aclGroup:
			a[i].id = group(e.id)
		}
	}
	return a
}

// mode is the permission bits that stand for a. plain: they say all that a does.
func (a acl) mode() (mode uint32, plain bool) {
	plain = true
	var group uint32
	for _, e := range a {
		switch p := uint32(e.perm); e.tag {
		case aclUserObj:
			mode |= p << 6
		case aclGroupObj:
			group = p
		case aclOther:
			mode |= p
		case aclMask: // it comes behind the group's
			group, plain = p, false
		default:
			plain = false
		}
	}
	return mode | group<<3, plain
}

// chmod is a after a chmod: the mode's group bits are the mask's, if there is one.
func (a acl) chmod(mode uint32) acl {
	return a.change(func(bits uint16, _ uint16) uint16 { return bits }, mode)
}

// limit is a as the access ACL of a new file: what its maker did not ask for it does not get.
func (a acl) limit(mode uint32) acl {
	return a.change(func(bits uint16, perm uint16) uint16 { return bits & perm }, mode)
}

func (a acl) change(f func(bits, perm uint16) uint16, mode uint32) acl {
	a = slices.Clone(a)
	group := -1
	for i, e := range a {
		switch e.tag {
		case aclUserObj:
			a[i].perm = f(uint16(mode>>6&7), e.perm)
		case aclOther:
			a[i].perm = f(uint16(mode&7), e.perm)
		case aclMask:
			group = i
		case aclGroupObj:
			if group < 0 {
				group = i
			}
		}
	}
	a[group].perm = f(uint16(mode>>3&7), a[group].perm)
	return a
}

// inherit sets what a file that is about to be made has from its directory: the group of a set-gid one, and the default ACL def in
// place of the umask.
func inherit(op *tree.Create, parent *tree.Inode, def acl, umask uint32) {
	if parent.Mode&setGID != 0 {
		op.GID = parent.GID
		if op.Kind == tree.Dir {
			op.Mode |= setGID
		}
	}
	switch {
	case op.Kind == tree.Symlink:
	case def == nil:
		op.Mode &^= umask & 0o777
	default:
		access := def.limit(op.Mode)
		mode, plain := access.mode()
		op.Mode = op.Mode&^0o777 | mode
		if !plain {
			op.Xattrs = append(op.Xattrs, tree.Xattr{Name: []byte(aclAccess), Val: access.encode()})
		}
		if op.Kind == tree.Dir {
			op.Xattrs = append(op.Xattrs, tree.Xattr{Name: []byte(aclDefault), Val: def.encode()})
		}
	}
}

// aclOf reads an ACL from the state as it is stored; nil: there is none.
func aclOf(r eventlog.Reader, ino *tree.Inode, name string) acl {
	if ino.Xattrs == 0 {
		return nil // so nearly all files cost no read
	}
	val, ok := tree.GetXattr(r, ino.ID, []byte(name))
	if !ok {
		return nil
	}
	a, _ := parseACL(val) // what another device may have stored without sense counts for nothing
	return a
}

// setACL sets an ACL. An access ACL that says no more than a mode becomes one.
func (f *FS) setACL(id NodeID, name string, val []byte, check func(bool) error, killSetGID bool) error {
	a, err := parseACL(val)
	if err != nil {
		return err
	}
	a = a.withIDs(f.storedUID, f.storedGID)
	c := xattrChange{name: name, check: check}
	if a != nil {
		c.val = a.encode()
	}
	if name == aclAccess && a != nil {
		mode, plain := a.mode()
		if plain {
			c.val = nil
		}
		c.mode = func(old uint32) uint32 {
			if killSetGID {
				old &^= setGID
			}
			return old&^0o777 | mode
		}
	}
	return f.changeXattr(id, c)
}

// shownACL is an ACL as programs see it. Where a chmod and a change of the ACL met that knew nothing of each other, the mode counts.
func (f *FS) shownACL(name string, stored []byte, mode uint32) []byte {
	a, err := parseACL(stored)
	if err != nil || a == nil {
		return stored
	}
	if name == aclAccess {
		a = a.chmod(mode)
	}
	return a.withIDs(f.uidOf, f.gidOf).encode()
}
