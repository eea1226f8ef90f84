package daemon

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/store"
)

// membersPrefix begins the keys of an identity's membership log in the database.
func membersPrefix(id identity.IdentityID) []byte { return append([]byte{'k'}, id[:]...) }

// eachEntryOf calls fn for the entries of an identity's membership log and their numbers, as the database has them.
func eachEntryOf(db pebble.Reader, id identity.IdentityID, fn func(number, entry []byte) error) error {
	prefix := membersPrefix(id)
	it, err := db.NewIter(&pebble.IterOptions{
		LowerBound: prefix, UpperBound: append(slices.Clone(prefix), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
	})
	if err != nil {
		return err
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		err = fn(it.Key()[len(prefix):], it.Value())
	}
	return errors.Join(err, it.Close())
}

// membership reads an identity's membership log; it is empty in a new store.
func (d *daemon) membership(id identity.IdentityID) ([][]byte, error) {
	var entries [][]byte
	err := eachEntryOf(d.st.DB(), id, func(_, entry []byte) error {
		entries = append(entries, slices.Clone(entry))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read membership: %w", err)
	}
	return entries, nil
}

// saveMembership writes a membership log from its beginning. It is on disk on return.
func (d *daemon) saveMembership(id identity.IdentityID, entries ...[]byte) error {
	b := d.st.DB().NewBatch()
	for n, e := range entries {
		if err := b.Set(binary.BigEndian.AppendUint64(membersPrefix(id), uint64(n+1)), e, nil); err != nil {
			return fmt.Errorf("write membership: %w", err)
		}
	}
	if err := d.st.Commit(b, store.OnDisk); err != nil {
		return fmt.Errorf("write membership: %w", err)
	}
	return nil
}
