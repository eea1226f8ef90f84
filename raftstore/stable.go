package raftstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2"
	"github.com/hashicorp/raft"

	"github.com/rhizome-fs/rhizome/internal/dagcbor"
	"github.com/rhizome-fs/rhizome/internal/store"
)

// errNotFound has the text that Raft looks for.
var errNotFound = errors.New("not found")

// A stableStore holds Raft's term and vote. It implements raft.StableStore.
type stableStore struct {
	st     *store.Store
	prefix []byte
	write  func(func(*pebble.Batch) error) error
	fatal  func(error)
}

func (s *stableStore) key(k []byte) []byte {
	return append(s.prefix[:len(s.prefix):len(s.prefix)], k...)
}

// Set implements raft.StableStore.
func (s *stableStore) Set(key, val []byte) error {
	err := s.write(func(b *pebble.Batch) error { return b.Set(s.key(key), val, nil) })
	if err != nil {
		s.fatal(err)
	}
	return err
}

// SetUint64 implements raft.StableStore.
func (s *stableStore) SetUint64(key []byte, val uint64) error {
	return s.Set(key, binary.BigEndian.AppendUint64(nil, val))
}

// Get implements raft.StableStore.
func (s *stableStore) Get(key []byte) ([]byte, error) { return get(s.st, s.key(key)) }

// GetUint64 implements raft.StableStore.
func (s *stableStore) GetUint64(key []byte) (uint64, error) {
	val, err := s.Get(key)
	if err != nil {
		return 0, err
	}
	if len(val) != 8 {
		return 0, fmt.Errorf("%w: Raft's %q has %d bytes", store.ErrDamaged, key, len(val))
	}
	return binary.BigEndian.Uint64(val), nil
}

// get returns a copy of a value, or errNotFound.
func get(st *store.Store, key []byte) ([]byte, error) {
	val, closer, err := st.DB().Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, errNotFound
	}
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	return append([]byte(nil), val...), nil
}

// snapshotID is the name of the only snapshot there is.
const snapshotID = "state"

// snapshot is the record of the newest checkpoint's place: what is before it may be cut from the log.
type snapshot struct {
	_           struct{} `cbor:",toarray"`
	Index, Term uint64
	Members     []byte // Raft's encoding of its configuration
	MembersAt   uint64
}

// A snapshotStore keeps the newest snapshot. It implements raft.SnapshotStore. The data of a snapshot tells others of a checkpoint; this
// device has the state itself: so Raft is told not to restore it at a start.
type snapshotStore struct {
	st      *store.Store
	key     []byte
	dataKey []byte
	write   func(func(*pebble.Batch) error) error
}

// Create implements raft.SnapshotStore.
func (s *snapshotStore) Create(_ raft.SnapshotVersion, index, term uint64, members raft.Configuration,
	membersAt uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	return &sink{s: s, rec: snapshot{
		Index: index, Term: term, Members: raft.EncodeConfiguration(members), MembersAt: membersAt,
	}}, nil
}

// List implements raft.SnapshotStore.
func (s *snapshotStore) List() ([]*raft.SnapshotMeta, error) {
	meta, err := s.meta()
	if meta == nil || err != nil {
		return nil, err
	}
	return []*raft.SnapshotMeta{meta}, nil
}

// Open implements raft.SnapshotStore.
func (s *snapshotStore) Open(string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	meta, err := s.meta()
	if err == nil && meta == nil {
		err = errNotFound
	}
	if err != nil {
		return nil, nil, err
	}
	data, err := s.data()
	return meta, io.NopCloser(bytes.NewReader(data)), err
}

// data returns the newest snapshot's, nil if it has none.
func (s *snapshotStore) data() ([]byte, error) {
	data, err := get(s.st, s.dataKey)
	if errors.Is(err, errNotFound) {
		return nil, nil
	}
	return data, err
}

func (s *snapshotStore) meta() (*raft.SnapshotMeta, error) {
	val, err := get(s.st, s.key)
	if errors.Is(err, errNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var rec snapshot
	if err := dagcbor.DecodeTrusted(val, &rec); err != nil {
		return nil, fmt.Errorf("%w: Raft's snapshot: %w", store.ErrDamaged, err)
	}
	if _, err := decodable(rec.Members); err != nil {
		return nil, fmt.Errorf("%w: the members in Raft's snapshot: %w", store.ErrDamaged, err)
	}
	return &raft.SnapshotMeta{
		Version: raft.SnapshotVersionMax, ID: snapshotID, Index: rec.Index, Term: rec.Term,
		Configuration: raft.DecodeConfiguration(rec.Members), ConfigurationIndex: rec.MembersAt,
	}, nil
}

// A sink takes a snapshot's data.
type sink struct {
	s    *snapshotStore
	rec  snapshot
	data []byte
}

func (k *sink) Write(p []byte) (int, error) {
	k.data = append(k.data, p...)
	return len(p), nil
}

func (k *sink) ID() string    { return snapshotID }
func (k *sink) Cancel() error { return nil }

func (k *sink) Close() error {
	return k.s.write(func(b *pebble.Batch) error {
		return errors.Join(b.Set(k.s.key, dagcbor.Encode(k.rec), nil), b.Set(k.s.dataKey, k.data, nil))
	})
}
