package raftstore

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/hashicorp/raft"

	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/dagcbor"
	"github.com/rhizome-fs/rhizome/internal/report"
)

// Verify checks the records of an identity's order: each entry and its place, terms, the snapshot and this voter's name. name is the
// identity's, for people; applied the highest index that its logs have; entry says what is wrong with what an entry holds; alone says that the identity has
// one device, this one. renew reports whether the order is damaged and can be begun anew (see Renew). The error is the
// database's, or the report's.
func Verify(db pebble.Reader, id identity.IdentityID, name string, applied uint64, alone bool, entry func(data []byte) error, r *report.Report) (renew bool, err error) {
	c := &check{db: db, id: id, name: name, holds: entry, r: r}
	for _, step := range []func() error{c.snapshot, c.entries, c.stable} {
		if err := step(); err != nil {
			return false, fmt.Errorf("verify the order of %s: %w", name, err)
		}
	}
	if end := max(c.cut, c.last); applied > end {
		c.bad("order", "the state has applied index %d, and the order ends at %d", applied, end)
	}
	mend := report.Nothing
	if alone || c.voters == 1 {
		mend = report.Rebuild
	}
	for _, f := range c.found {
		r.Bad(report.Raft, f.where, mend, "%s", f.what)
	}
	return mend == report.Rebuild && len(c.found) > 0, nil
}

// Begun reports whether an identity has an order.
func Begun(db pebble.Reader, id identity.IdentityID) (bool, error) {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: keyPrefix(id, 0), UpperBound: keyPrefix(id, 0xff)})
	if err != nil {
		return false, err
	}
	return it.First(), it.Close()
}

type check struct {
	db    pebble.Reader
	id    identity.IdentityID
	name  string
	r     *report.Report
	holds func(data []byte) error

	found  []finding // the first of them
	voters int       // in the last configuration that can be read; 0: there is none

	any       bool
	cut, last uint64 // index of the snapshot, and of the last entry
	term      uint64 // of the last entry
}

func (c *check) get(kind byte, key string) ([]byte, bool, error) {
	val, closer, err := c.db.Get(append(keyPrefix(c.id, kind), key...))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	defer closer.Close()
	c.r.Checked(report.Raft, 1)
	return append([]byte(nil), val...), true, nil
}

// A finding is what is wrong with a record.
type finding struct{ where, what string }

// mostFound bounds how many are kept.
const mostFound = 1000

func (c *check) bad(where string, format string, args ...any) {
	if len(c.found) < mostFound {
		c.found = append(c.found, finding{c.name + ": " + where, fmt.Sprintf(format, args...)})
	}
}

func (c *check) snapshot() error {
	val, ok, err := c.get('s', "")
	if err != nil || !ok {
		return err
	}
	var rec snapshot
	if err := dagcbor.Decode(val, &rec); err != nil {
		c.bad("snapshot", "%v", err)
		return nil
	}
	c.any, c.cut, c.term = true, rec.Index, rec.Term
	c.members("snapshot", rec.Members)
	return nil
}

// members checks a configuration as Raft writes it.
func (c *check) members(where string, data []byte) {
	n, err := decodable(data)
	if err != nil {
		c.bad(where, "its members can't be read: %v", err)
		return
	}
	c.voters = n
}

// decodable counts the members in a configuration, if Raft can read it: it panics on one that it can't.
func decodable(data []byte) (n int, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	if n = len(raft.DecodeConfiguration(data).Servers); n == 0 {
		return 0, errors.New("there are none")
	}
	return n, nil
}

func (c *check) entries() error {
	prefix := keyPrefix(c.id, 'l')
	it, err := c.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: keyPrefix(c.id, 'l'+1)})
	if err != nil {
		return err
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		c.entry(it.Key()[len(prefix):], it.Value())
		err = c.r.Read(0)
	}
	return errors.Join(err, it.Error(), it.Close())
}

func (c *check) entry(key, val []byte) {
	c.r.Checked(report.Raft, 1)
	if len(key) != 8 {
		c.bad(fmt.Sprintf("entry %x", key), "its key is none")
		return
	}
	index := binary.BigEndian.Uint64(key)
	where := fmt.Sprintf("entry %d", index)
	if c.last != 0 && index != c.last+1 || c.last == 0 && index > c.cut+1 {
		c.bad(where, "there is none before it")
	}
	c.any, c.last = true, index
	var e entry
	if err := dagcbor.Decode(val, &e); err != nil {
		c.bad(where, "%v", err)
		return
	}
	if index > c.cut && e.Term < c.term {
		c.bad(where, "its term %d is before term %d", e.Term, c.term)
	}
	c.term = max(c.term, e.Term)
	switch raft.LogType(e.Type) {
	case raft.LogCommand:
		if err := c.holds(e.Data); err != nil {
			c.bad(where, "%v", err)
		}
	case raft.LogConfiguration:
		c.members(where, e.Data)
	case raft.LogNoop, raft.LogBarrier:
	default:
		c.bad(where, "type %d", e.Type)
	}
}

// stable checks Raft's term and vote.
func (c *check) stable() error {
	if !c.any {
		return nil
	}
	for _, key := range []string{"CurrentTerm", "LastVoteTerm"} {
		val, ok, err := c.get('v', key)
		if err != nil {
			return err
		}
		switch {
		case !ok && key == "CurrentTerm":
			c.bad(key, "it is missing")
		case ok && len(val) != 8:
			c.bad(key, "it has %d bytes", len(val))
		case ok && key == "CurrentTerm" && binary.BigEndian.Uint64(val) < c.term:
			c.bad(key, "it is %d, and there is an entry of term %d", binary.BigEndian.Uint64(val), c.term)
		}
	}
	return nil
}
