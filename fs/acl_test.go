package fs

import (
	"bytes"
	"errors"
	"testing"

	"github.com/rhizome-fs/rhizome/fs/tree"
)

func entries(es ...aclEntry) acl { return es }

var (
	plainACL = entries(aclEntry{aclUserObj, 6, aclNoID}, aclEntry{aclGroupObj, 4, aclNoID}, aclEntry{aclOther, 0, aclNoID})
	namedACL = entries(aclEntry{aclUserObj, 7, aclNoID}, aclEntry{aclUser, 6, 7}, aclEntry{aclGroupObj, 5, aclNoID},
		aclEntry{aclGroup, 4, testGID}, aclEntry{aclMask, 6, aclNoID}, aclEntry{aclOther, 1, aclNoID})
)

func TestACLForm(t *testing.T) {
	for _, a := range []acl{plainACL, namedACL} {
		b := a.encode()
		got, err := parseACL(b)
		if err != nil || !bytes.Equal(got.encode(), b) {
			t.Errorf("%x: %v %v", b, got, err)
		}
		for cut := 1; cut < len(b); cut++ {
			if got, err := parseACL(b[:cut]); err == nil && got != nil {
				t.Errorf("%x: %v, want an error", b[:cut], got)
			}
		}
	}
	for name, a := range map[string]acl{
		"no group":         entries(plainACL[0], plainACL[2]),
		"two owners":       entries(plainACL[0], plainACL[0], plainACL[1], plainACL[2]),
		"names, no mask":   entries(namedACL[0], namedACL[1], namedACL[2], namedACL[5]),
		"order":            entries(plainACL[1], plainACL[0], plainACL[2]),
		"permission":       entries(aclEntry{aclUserObj, 8, aclNoID}, plainACL[1], plainACL[2]),
		"tag":              entries(aclEntry{3, 7, aclNoID}, plainACL[0], plainACL[1], plainACL[2]),
		"tag beyond":       entries(plainACL[0], plainACL[1], plainACL[2], aclEntry{0x8000, 7, aclNoID}),
		"a user of no id":  entries(namedACL[0], aclEntry{aclUser, 6, aclNoID}, namedACL[2], namedACL[4], namedACL[5]),
		"the mask is last": entries(plainACL[0], plainACL[1], plainACL[2], namedACL[4]),
	} {
		if _, err := parseACL(a.encode()); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
}

func FuzzParseACL(f *testing.F) {
	f.Add(plainACL.encode())
	f.Add(namedACL.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := parseACL(b)
		if err != nil || a == nil {
			return
		}
		if !bytes.Equal(a.encode(), b) {
			t.Fatalf("%x became %x", b, a.encode())
		}
		if mode, _ := a.chmod(0o751).mode(); mode != 0o751 {
			t.Fatalf("%x after chmod 0751: %o", b, mode)
		}
		if mode, _ := a.mode(); mode > 0o777 {
			t.Fatalf("%x: mode %o", b, mode)
		}
	})
}

func TestACLAndMode(t *testing.T) {
	if mode, plain := namedACL.mode(); mode != 0o761 || plain {
		t.Errorf("%o %v", mode, plain)
	}
	if mode, plain := plainACL.mode(); mode != 0o640 || !plain {
		t.Errorf("%o %v", mode, plain)
	}
	op := tree.Create{Kind: tree.Dir, Mode: 0o2755}
	inherit(&op, &tree.Inode{}, namedACL, 0o077)
	if op.Mode != 0o2741 || len(op.Xattrs) != 2 {
		t.Errorf("mode %o, attributes %v", op.Mode, op.Xattrs)
	}
	op = tree.Create{Kind: tree.File, Mode: 0o666}
	inherit(&op, &tree.Inode{Mode: 0o2755, GID: 9}, nil, 0o027)
	if op.Mode != 0o640 || op.Xattrs != nil || op.GID != 9 {
		t.Errorf("mode %o, attributes %v", op.Mode, op.Xattrs)
	}
}

// The mounting user's entries are theirs on every device: the log says "owner".
func TestACLOfTheOwner(t *testing.T) {
	r := newRig(t)
	n := r.create(r.vol, "f")
	set := entries(namedACL[0], aclEntry{aclUser, 6, testUID}, namedACL[2], namedACL[3], namedACL[4], namedACL[5]).encode()
	r.must(r.fs.SetXattr(n, aclAccess, set, 0))
	if got, err := r.fs.GetXattr(n, aclAccess); err != nil || !bytes.Equal(got, set) {
		t.Errorf("%x %v, want %x", got, err, set)
	}
	node, err := r.fs.nodeOf(n)
	r.must(err)
	stored, err := node.xattr(aclAccess)
	r.must(err)
	a, err := parseACL(stored)
	if err != nil || a[1].id != tree.Owner || a[3].id != tree.Owner {
		t.Errorf("stored: %v %v", a, err)
	}
}

// A chmod made elsewhere that had not seen the ACL leaves the two apart in the log; programs see them in step.
func TestACLAndModeApart(t *testing.T) {
	r := newRig(t)
	n := r.create(r.vol, "f")
	r.must(r.fs.SetXattr(n, aclAccess, namedACL.encode(), 0))
	r.must(r.volume().update(func(t *txn) error {
		t.apply(false, tree.SetAttr{ID: r.fileOf(n), Set: tree.FieldMode, Mode: 0o710})
		return nil
	}))
	got, err := r.fs.GetXattr(n, aclAccess)
	r.must(err)
	if want := namedACL.chmod(0o710).encode(); !bytes.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
}
