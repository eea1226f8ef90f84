package table

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/rhizome-fs/rhizome/ipld"
)

// Each calls fn for the records of a table in order, until it returns an error. The slices are valid during the call only. What does not
// open, or is no table, is ipld.ErrDamaged; a block that is missing ipld.ErrNotFound.
func Each(st ipld.Store, root ipld.Link, fn func(key, val []byte) error) error {
	r := &reader{st: st, fn: fn}
	return r.branch(root, -1)
}

type reader struct {
	st   ipld.Store
	fn   func(key, val []byte) error
	last []byte
	any  bool
}

func (r *reader) load(link ipld.Link) (plain []byte, children []ipld.CID, err error) {
	b, err := r.st.Get(link.CID)
	if err == nil {
		plain, children, err = ipld.Open(b, link.Key)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("table: block %v: %w", link.CID, err)
	}
	return plain, children, nil
}

func wrong(link ipld.Link) error {
	return fmt.Errorf("table: block %v: %w: %w", link.CID, ipld.ErrDamaged, errForm)
}

// branch goes through a branch at a height; -1 is any.
func (r *reader) branch(link ipld.Link, height int) error {
	plain, children, err := r.load(link)
	if err != nil {
		return err
	}
	if len(plain) < 2 || plain[0] != branchForm || plain[1] > maxLevel || height >= 0 && int(plain[1]) != height {
		return wrong(link)
	}
	height = int(plain[1])
	rest := plain[2:]
	for _, c := range children {
		first, ok := cutBytes(&rest)
		if !ok || len(rest) < len(ipld.Key{}) {
			return wrong(link)
		}
		child := ipld.Link{CID: c, Key: ipld.Key(rest[:len(ipld.Key{})])}
		rest = rest[len(child.Key):]
		if height > 0 {
			err = r.branch(child, height-1)
		} else {
			err = r.leaf(child, first)
		}
		if err != nil {
			return err
		}
	}
	if len(rest) > 0 {
		return wrong(link)
	}
	return nil
}

func (r *reader) leaf(link ipld.Link, first []byte) error {
	plain, _, err := r.load(link)
	if err != nil {
		return err
	}
	if len(plain) < 2 || plain[0] != leafForm {
		return wrong(link)
	}
	for rest := plain[1:]; len(rest) > 0; {
		key, ok := cutBytes(&rest)
		val, too := cutBytes(&rest)
		if !ok || !too || first != nil && !bytes.Equal(key, first) || r.any && bytes.Compare(r.last, key) >= 0 {
			return wrong(link)
		}
		first = nil
		r.last, r.any = append(r.last[:0], key...), true
		if err := r.fn(key, val); err != nil {
			return err
		}
	}
	return nil
}

func cutBytes(b *[]byte) ([]byte, bool) {
	n, k := binary.Uvarint(*b)
	if k <= 0 || n > uint64(len(*b)-k) {
		return nil, false
	}
	v := (*b)[k : k+int(n)]
	*b = (*b)[k+int(n):]
	return v, true
}
