package raftstore

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/hashicorp/raft"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/dagcbor"
	"github.com/rhizome-fs/rhizome/internal/store"
)

// ErrBegun says that a store has an order of an identity already.
var ErrBegun = errors.New("the store has an order already")

// Begin begins an order that goes on behind another one, of which the store's state has everything up to the index last: its device
// is the only voter, and the first entry gets a higher index. It is for a device that was recovered, whose former order nobody
// can go on with. Open finds it; without Begin it begins with index 1. What Begin wrote is on disk with the store's next Sync;
// until an order has entries Begin may be called again, and the last call counts.
func Begin(st *store.Store, id identity.IdentityID, serverID string, last eventlog.Index) error {
	if err := begin(st, id, serverID, last); err != nil {
		return fmt.Errorf("begin the order behind %d: %w", last, err)
	}
	return nil
}

func begin(st *store.Store, id identity.IdentityID, serverID string, last eventlog.Index) error {
	logs, err := openLog(st, id, nil)
	if err != nil {
		return err
	}
	if logs.last > 0 {
		return ErrBegun
	}
	b := st.DB().NewBatch()
	return commit(st, b, putBegun(b, id, serverID, last))
}

// Renew is Begin for an order that is there and damaged, or was: all of it goes. It is for a device that is the only voter: what it had ordered, its state
// has, and what it had not is proposed again.
func Renew(st *store.Store, id identity.IdentityID, serverID string, last eventlog.Index) error {
	b := st.DB().NewBatch()
	err := b.DeleteRange(keyPrefix(id, 0), keyPrefix(id, 0xff), nil)
	if err := commit(st, b, errors.Join(err, putBegun(b, id, serverID, last))); err != nil {
		return fmt.Errorf("begin the order anew behind %d: %w", last, err)
	}
	return nil
}

// putBegun puts the records of an order into b that goes on behind last.
func putBegun(b *pebble.Batch, id identity.IdentityID, serverID string, last eventlog.Index) error {
	members := raft.Configuration{Servers: []raft.Server{{
		Suffrage: raft.Voter, ID: raft.ServerID(serverID), Address: raft.ServerAddress(serverID),
	}}}
	// Raft's log is cut behind what the state has, as it always is: the snapshot says where, and holds nothing else.
	at := snapshot{Index: max(uint64(last), 1), Term: 1, Members: raft.EncodeConfiguration(members)}
	at.MembersAt = at.Index
	one := []byte{0, 0, 0, 0, 0, 0, 0, 1}
	return errors.Join(
		b.Set(append(keyPrefix(id, 'v'), "CurrentTerm"...), one, nil),
		b.Set(keyPrefix(id, 's'), dagcbor.Encode(at), nil),
		b.Set(keyPrefix(id, 'i'), []byte(serverID), nil),
	)
}

// commit applies a batch that was filled without an error.
func commit(st *store.Store, b *pebble.Batch, err error) error {
	if err != nil {
		return errors.Join(err, b.Close())
	}
	return st.Commit(b, store.Handed)
}
