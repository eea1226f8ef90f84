package raftstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/hashicorp/raft"

	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/dagcbor"
	"github.com/rhizome-fs/rhizome/internal/store"
)

// entry is a log entry's record.
type entry struct {
	_          struct{} `cbor:",toarray"`
	Term       uint64
	Type       uint8
	AppendedAt int64 // ns since 1970
	Data       []byte
	Extensions []byte
}

// A logStore is Raft's log. It implements raft.LogStore.
type logStore struct {
	st     *store.Store
	prefix []byte
	write  func(func(*pebble.Batch) error) error
	fatal  func(error)

	mu          sync.Mutex
	first, last uint64 // GUARDED_BY(mu): 0, 0 if there is none
}

func keyPrefix(id identity.IdentityID, kind byte) []byte {
	return append(append([]byte{'r'}, id[:]...), kind)
}

// openLog finds the log's bounds.
func openLog(st *store.Store, id identity.IdentityID, write func(func(*pebble.Batch) error) error) (*logStore, error) {
	l := &logStore{st: st, prefix: keyPrefix(id, 'l'), write: write}
	it, err := st.DB().NewIter(&pebble.IterOptions{LowerBound: l.prefix, UpperBound: keyPrefix(id, 'l'+1)})
	if err != nil {
		return nil, err
	}
	if it.First() {
		l.first, err = l.index(it.Key())
	}
	if it.Last() && err == nil {
		l.last, err = l.index(it.Key())
	}
	return l, errors.Join(err, it.Error(), it.Close())
}

func (l *logStore) key(index uint64) []byte {
	return binary.BigEndian.AppendUint64(l.prefix[:len(l.prefix):len(l.prefix)], index)
}

func (l *logStore) index(key []byte) (uint64, error) {
	if len(key) != len(l.prefix)+8 {
		return 0, fmt.Errorf("%w: a key of %d bytes in Raft's log", store.ErrDamaged, len(key))
	}
	return binary.BigEndian.Uint64(key[len(l.prefix):]), nil
}

// FirstIndex implements raft.LogStore.
func (l *logStore) FirstIndex() (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first, nil
}

// LastIndex implements raft.LogStore.
func (l *logStore) LastIndex() (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last, nil
}

// GetLog implements raft.LogStore.
func (l *logStore) GetLog(index uint64, log *raft.Log) error {
	err := l.get(index, log)
	if err != nil && !errors.Is(err, raft.ErrLogNotFound) {
		l.fatal(err)
	}
	return err
}

func (l *logStore) get(index uint64, log *raft.Log) error {
	val, closer, err := l.st.DB().Get(l.key(index))
	if errors.Is(err, pebble.ErrNotFound) {
		return raft.ErrLogNotFound
	}
	if err != nil {
		return fmt.Errorf("read entry %d: %w", index, err)
	}
	defer closer.Close()
	var e entry
	if err := dagcbor.DecodeTrusted(val, &e); err != nil {
		return fmt.Errorf("%w: entry %d: %w", store.ErrDamaged, index, err)
	}
	if raft.LogType(e.Type) == raft.LogConfiguration {
		if _, err := decodable(e.Data); err != nil {
			return fmt.Errorf("%w: the members in entry %d: %w", store.ErrDamaged, index, err)
		}
	}
	*log = raft.Log{
		Index: index, Term: e.Term, Type: raft.LogType(e.Type),
		Data: e.Data, Extensions: e.Extensions, AppendedAt: time.Unix(0, e.AppendedAt),
	}
	return nil
}

// StoreLog implements raft.LogStore.
func (l *logStore) StoreLog(log *raft.Log) error { return l.StoreLogs([]*raft.Log{log}) }

// StoreLogs implements raft.LogStore: all of logs are stored or none.
func (l *logStore) StoreLogs(logs []*raft.Log) error {
	err := l.write(func(b *pebble.Batch) error {
		for _, log := range logs {
			if err := l.put(b, log); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, log := range logs {
		if l.first == 0 {
			l.first = log.Index
		}
		l.last = max(l.last, log.Index)
	}
	return nil
}

func (l *logStore) put(b *pebble.Batch, log *raft.Log) error {
	return b.Set(l.key(log.Index), dagcbor.Encode(entry{
		Term: log.Term, Type: uint8(log.Type), AppendedAt: log.AppendedAt.UnixNano(),
		Data: log.Data, Extensions: log.Extensions,
	}), nil)
}

// DeleteRange implements raft.LogStore. Raft deletes at one end: what was applied, or what another leader
// never committed.
func (l *logStore) DeleteRange(lo, hi uint64) error {
	err := l.write(func(b *pebble.Batch) error {
		return b.DeleteRange(l.key(lo), l.key(hi+1), nil)
	})
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case lo <= l.first && hi >= l.last:
		l.first, l.last = 0, 0
	case lo <= l.first:
		l.first = max(l.first, hi+1)
	case hi >= l.last:
		l.last = min(l.last, lo-1)
	}
	return nil
}
