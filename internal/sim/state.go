package sim

import (
	"bytes"
	"fmt"
	"slices"
	"sort"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
)

// A state is a reducer's, in memory.
type state struct {
	vals map[string][]byte
	keys []string // sorted
}

func newState() *state { return &state{vals: map[string][]byte{}} }

func (s *state) Get(key []byte) ([]byte, bool) {
	v, ok := s.vals[string(key)]
	return v, ok
}

func (s *state) Set(key, val []byte) {
	if _, ok := s.vals[string(key)]; !ok {
		s.keys = slices.Insert(s.keys, sort.SearchStrings(s.keys, string(key)), string(key))
	}
	s.vals[string(key)] = bytes.Clone(val)
}

func (s *state) Delete(key []byte) {
	if _, ok := s.vals[string(key)]; ok {
		delete(s.vals, string(key))
		at := sort.SearchStrings(s.keys, string(key))
		s.keys = slices.Delete(s.keys, at, at+1)
	}
}

func (s *state) Scan(prefix, from []byte, fn func(key, val []byte) bool) {
	at := sort.SearchStrings(s.keys, string(slices.MaxFunc([][]byte{prefix, from}, bytes.Compare)))
	for _, k := range slices.Clone(s.keys[at:]) {
		if !bytes.HasPrefix([]byte(k), prefix) || !fn([]byte(k), s.vals[k]) {
			return
		}
	}
}

// take copies all of a state into an empty one.
func (s *state) take(from eventlog.Reader) {
	from.Scan(nil, nil, func(k, v []byte) bool {
		s.vals[string(k)] = bytes.Clone(v)
		s.keys = append(s.keys, string(k))
		return true
	})
}

// dump returns the state of a replica.
func (r *replica) dump() *state {
	s := newState()
	r.w.must("dump", r.log.Snapshot(s.take))
	return s
}

// folded returns what a replica's log leads to, and the frames in their order.
func (r *replica) folded() (s *state, entries []eventlog.Entry) {
	s = newState()
	plain := tree.New()
	r.w.must("entries", r.log.Entries(eventlog.Position{}, func(e eventlog.Entry) bool {
		plain.Apply(s, e.Author, e.Event)
		if e.Position.Event == 1 {
			entries = append(entries, e)
		}
		return true
	}))
	return s, entries
}

// differ names the first key that two states have differently, or returns "".
func (s *state) differ(t *state) string {
	keys := append(slices.Clone(s.keys), t.keys...)
	slices.Sort(keys)
	for _, k := range keys {
		a, inA := s.vals[k]
		b, inB := t.vals[k]
		if inA != inB || !bytes.Equal(a, b) {
			return fmt.Sprintf("key %q: %x (there: %v) and %x (there: %v)", k, a, inA, b, inB)
		}
	}
	return ""
}
